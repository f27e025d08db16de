#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "support/suite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static const char *path_in(const char *folder, const char *name, char out[PATH_BYTES])
{
    (void)snprintf(out, PATH_BYTES, "%s/%s", folder, name);
    return out;
}

static int count_entries(const char *folder)
{
    DIR *directory = opendir(folder);
    CU_ASSERT_PTR_NOT_NULL_FATAL(directory);
    int n = 0;
    for (struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    (void)closedir(directory);
    return n;
}

static void check_content(const char *path, const char *wanted)
{
    char *text = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &text, &bytes));
    CU_ASSERT_EQUAL(bytes, strlen(wanted));
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_STRING_EQUAL(text, wanted);
    free(text);
}

static void replace_creates_then_replaces(void)
{
    char path[PATH_BYTES];
    const char *folder = fr_test_folder();
    path_in(folder, "a file", path);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, "old content", 11));
    check_content(path, "old content");
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, "new", 3));
    check_content(path, "new");
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, NULL, 0));
    check_content(path, "");
    CU_ASSERT_EQUAL(count_entries(folder), 1);
}

static void open_reader_keeps_the_old_content(void)
{
    char path[PATH_BYTES];
    path_in(fr_test_folder(), "f", path);
    fr_map map;
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, "before", 6));
    FR_ASSERT_OK(fr_map_open(fr_test_ctx(), path, &map));
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, "behind", 6));
    CU_ASSERT_EQUAL(map.bytes, 6);
    fr_assert_same_bytes("mapped", map.data, "before", 6);
    fr_map_close(&map);
    CU_ASSERT_PTR_NULL(map.data);
    check_content(path, "behind");
}

/* A limit on the size of files makes the second write fail. */
static void failing_write_leaves_the_old_file(void)
{
    char path[PATH_BYTES];
    struct rlimit before;
    const char *folder = fr_test_folder();
    path_in(folder, "kept", path);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, "kept", 4));
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit few = {2, before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &few), 0);
    fr_status status = fr_file_replace(fr_test_ctx(), path, "lost", 4);
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    FR_ASSERT_FAILS(status, FR_ERR_IO, "too large");
    check_content(path, "kept");
    CU_ASSERT_EQUAL(count_entries(folder), 1);
}

/* What lies under the temporary name is of a killed process with this number, or a trap: it is neither followed nor in
 * the way. */
static void temporary_name_is_not_followed(void)
{
    char path[PATH_BYTES];
    char other[PATH_BYTES];
    char temporary[PATH_BYTES + 32];
    const char *folder = fr_test_folder();
    path_in(folder, "f", path);
    path_in(folder, "other", other);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), other, "other", 5));
    (void)snprintf(temporary, sizeof temporary, "%s.tmp.%ld", path, (long)getpid());
    CU_ASSERT_EQUAL_FATAL(symlink(other, temporary), 0);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, "first", 5));
    check_content(path, "first");
    check_content(other, "other");
    CU_ASSERT_EQUAL_FATAL(link(other, temporary), 0);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, "second", 6));
    check_content(path, "second");
    check_content(other, "other");
    CU_ASSERT_EQUAL_FATAL(mkfifo(temporary, 0600), 0);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, "third", 5));
    check_content(path, "third");
    CU_ASSERT_EQUAL(count_entries(folder), 2);
}

/* Opening such a FIFO in the ordinary way would wait for ever. */
static void other_than_files_are_refused_at_once(void)
{
    fr_map map;
    char path[PATH_BYTES];
    path_in(fr_test_folder(), "fifo", path);
    CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
    FR_ASSERT_FAILS(fr_map_open(fr_test_ctx(), path, &map), FR_ERR_DATA,
                    "not a regular file but a FIFO, device or socket");
    FR_ASSERT_FAILS(fr_map_open(fr_test_ctx(), "/dev/null", &map), FR_ERR_DATA,
                    "not a regular file");
    FR_ASSERT_FAILS(fr_map_open(fr_test_ctx(), fr_test_folder(), &map), FR_ERR_DATA,
                    "not a regular file but a folder");
    CU_ASSERT_EQUAL(fr_open_own(path, O_WRONLY), -1);
    CU_ASSERT_EQUAL(errno, ENOTSUP);
    CU_ASSERT_EQUAL(fr_open_own(fr_test_folder(), O_WRONLY), -1);
    CU_ASSERT_EQUAL(errno, EISDIR);
}

static void own_files_are_no_links(void)
{
    char path[PATH_BYTES];
    char target[PATH_BYTES];
    FILE *out = NULL;
    path_in(fr_test_folder(), "target", target);
    path_in(fr_test_folder(), "link", path);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), target, "kept", 4));
    CU_ASSERT_EQUAL_FATAL(symlink(target, path), 0);
    CU_ASSERT_EQUAL(fr_open_own(path, O_RDWR), -1);
    CU_ASSERT_EQUAL(errno, ELOOP);
    FR_ASSERT_FAILS(fr_file_open_output(fr_test_ctx(), path, &out), FR_ERR_IO,
                    "it is a symbolic link");
    CU_ASSERT_PTR_NULL(out);
    check_content(target, "kept");
    check_content(path, "kept"); /* a link may be read */
    int file = fr_open_own(target, O_WRONLY | O_APPEND);
    CU_ASSERT_FATAL(file >= 0);
    CU_ASSERT_EQUAL(fcntl(file, F_GETFL) & O_NONBLOCK, 0);
    CU_ASSERT_EQUAL(write(file, "!", 1), 1);
    CU_ASSERT_EQUAL(close(file), 0);
    check_content(target, "kept!");
}

static void output_goes_to_files_and_devices(void)
{
    char path[PATH_BYTES];
    FILE *out = NULL;
    path_in(fr_test_folder(), "out", path);
    FR_ASSERT_OK(fr_file_open_output(fr_test_ctx(), path, &out));
    CU_ASSERT_FATAL(out != NULL);
    CU_ASSERT_EQUAL(fclose(out), 0);
    check_content(path, "");
    FR_ASSERT_OK(fr_file_open_output(fr_test_ctx(), "/dev/null", &out));
    CU_ASSERT_EQUAL(fclose(out), 0);
    path_in(fr_test_folder(), "fifo", path);
    CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
    FR_ASSERT_FAILS(fr_file_open_output(fr_test_ctx(), path, &out), FR_ERR_IO,
                    "a FIFO that nobody reads");
}

static void unwritable_folder_leaves_the_old_file(void)
{
    enum { NOBODY = 65534 };
    char path[PATH_BYTES];
    const char *folder = fr_test_folder();
    path_in(folder, "kept", path);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, "kept", 4));
    bool is_root = geteuid() == 0;
    CU_ASSERT_EQUAL(chmod(folder, 0555), 0);
    if (is_root && seteuid(NOBODY) != 0) {
        fr_skip("root may write anywhere and cannot become another user");
        return;
    }
    fr_status status = fr_file_replace(fr_test_ctx(), path, "lost", 4);
    if (is_root) {
        CU_ASSERT_EQUAL_FATAL(seteuid(0), 0);
    }
    FR_ASSERT_FAILS(status, FR_ERR_IO, "ermission");
    CU_ASSERT_EQUAL(chmod(folder, 0755), 0);
    check_content(path, "kept");
    CU_ASSERT_EQUAL(count_entries(folder), 1);
}

static void missing_folder_is_named(void)
{
    char path[PATH_BYTES];
    path_in(fr_test_folder(), "no/such/f", path);
    FR_ASSERT_FAILS(fr_file_replace(fr_test_ctx(), path, "x", 1), FR_ERR_IO,
                    "no/such/f");
}

static void failed_rename_removes_the_temporary(void)
{
    char path[PATH_BYTES];
    char inner[PATH_BYTES];
    char temporary[PATH_BYTES];
    const char *folder = fr_test_folder();
    path_in(folder, "taken", path);
    path_in(folder, "taken/inner", inner);
    path_in(folder, "ready", temporary);
    FR_ASSERT_OK(fr_make_folder(fr_test_ctx(), inner));
    FR_ASSERT_FAILS(fr_file_replace(fr_test_ctx(), path, "x", 1), FR_ERR_IO, "rename");
    CU_ASSERT_EQUAL(count_entries(folder), 1);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), temporary, "x", 1));
    FR_ASSERT_FAILS(fr_file_commit(fr_test_ctx(), temporary, path), FR_ERR_IO, "taken");
    CU_ASSERT_EQUAL(count_entries(folder), 1);
}

/* What took hours to write is not thrown away because it cannot be renamed. */
static void put_keeps_what_it_cannot_rename(void)
{
    char path[PATH_BYTES];
    char inner[PATH_BYTES];
    char temporary[PATH_BYTES];
    const char *folder = fr_test_folder();
    path_in(folder, "taken", path);
    path_in(folder, "taken/inner", inner);
    path_in(folder, "ready", temporary);
    FR_ASSERT_OK(fr_make_folder(fr_test_ctx(), inner));
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), temporary, "hours", 5));
    int file = open(temporary, O_WRONLY | O_APPEND);
    CU_ASSERT_TRUE_FATAL(file >= 0);
    FR_ASSERT_FAILS(fr_file_put(fr_test_ctx(), file, temporary, path), FR_ERR_IO,
                    "taken");
    check_content(temporary, "hours");
    path_in(folder, "free", path);
    FR_ASSERT_OK(fr_file_put(fr_test_ctx(), file, temporary, path));
    check_content(path, "hours");
    CU_ASSERT_FALSE(fr_file_exists(temporary));
    CU_ASSERT_EQUAL(close(file), 0);
}

static void commit_moves_the_temporary(void)
{
    char path[PATH_BYTES];
    char temporary[PATH_BYTES];
    const char *folder = fr_test_folder();
    path_in(folder, "final", path);
    path_in(folder, "part", temporary);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), temporary, "done", 4));
    FR_ASSERT_OK(fr_file_commit(fr_test_ctx(), temporary, path));
    check_content(path, "done");
    CU_ASSERT_FALSE(fr_file_exists(temporary));
    FR_ASSERT_FAILS(fr_file_commit(fr_test_ctx(), temporary, path), FR_ERR_IO, "part");
    check_content(path, "done");
}

static void bad_inputs_are_data_errors_with_the_path(void)
{
    char missing[PATH_BYTES];
    const char *folder = fr_test_folder();
    char *text = NULL;
    size_t bytes = 0;
    fr_map map;
    path_in(folder, "missing", missing);
    FR_ASSERT_FAILS(fr_map_open(fr_test_ctx(), missing, &map), FR_ERR_DATA, missing);
    CU_ASSERT_PTR_NULL(map.data);
    FR_ASSERT_FAILS(fr_file_read(fr_test_ctx(), missing, &text, &bytes), FR_ERR_DATA,
                    missing);
    CU_ASSERT_PTR_NULL(text);
    FR_ASSERT_FAILS(fr_map_open(fr_test_ctx(), folder, &map), FR_ERR_DATA,
                    "not a regular file");
    FR_ASSERT_FAILS(fr_map_open(fr_test_ctx(), "/dev/null", &map), FR_ERR_DATA,
                    "not a regular file");
}

/* KiB of mapped files (also of those that lie in memory) that are resident in this process. */
static long long resident_kib(void)
{
    char line[256];
    long long kib = 0;
    long long sum = 0;
    FILE *status = fopen("/proc/self/status", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(status);
    while (fgets(line, sizeof line, status) != NULL) {
        if (sscanf(line, "RssFile: %lld", &kib) == 1 ||
            sscanf(line, "RssShmem: %lld", &kib) == 1) {
            sum += kib;
        }
    }
    (void)fclose(status);
    return sum;
}

static int64_t add_up(const fr_map *map)
{
    int64_t sum = 0;
    for (size_t i = 0; i < map->bytes; i++) {
        sum += map->data[i];
    }
    return sum;
}

static void released_pages_leave_and_come_back(void)
{
    enum { BYTES = 8 << 20 };
    char path[PATH_BYTES];
    fr_map map;
    uint8_t *content = malloc(BYTES);
    CU_ASSERT_PTR_NOT_NULL_FATAL(content);
    memset(content, 3, BYTES);
    path_in(fr_test_folder(), "large", path);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, content, BYTES));
    free(content);
    FR_ASSERT_OK(fr_map_open(fr_test_ctx(), path, &map));
    CU_ASSERT_EQUAL(add_up(&map), 3 * (int64_t)BYTES);
    long long before = resident_kib();
    fr_map_release(&map);
    CU_ASSERT(before - resident_kib() > BYTES / 1024 * 3 / 4);
    CU_ASSERT_EQUAL(add_up(&map), 3 * (int64_t)BYTES);
    fr_map_close(&map);
    fr_map_release(&map);
}

static void empty_file_maps_to_nothing(void)
{
    char path[PATH_BYTES];
    fr_map map = {.data = (const uint8_t *)"x", .bytes = 1};
    path_in(fr_test_folder(), "empty", path);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, "", 0));
    FR_ASSERT_OK(fr_map_open(fr_test_ctx(), path, &map));
    CU_ASSERT_PTR_NULL(map.data);
    CU_ASSERT_EQUAL(map.bytes, 0);
    fr_map_close(&map);
}

static void read_keeps_inner_nul_bytes(void)
{
    char path[PATH_BYTES];
    char *text = NULL;
    size_t bytes = 0;
    path_in(fr_test_folder(), "nul", path);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, "a\0b", 3));
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &text, &bytes));
    CU_ASSERT_EQUAL_FATAL(bytes, 3);
    fr_assert_same_bytes("content and final NUL", text, "a\0b", 4);
    free(text);
}

static void folders_are_made_with_their_parents(void)
{
    char deep[PATH_BYTES];
    char file[PATH_BYTES];
    const char *folder = fr_test_folder();
    path_in(folder, "a//b/c/", deep);
    FR_ASSERT_OK(fr_make_folder(fr_test_ctx(), deep));
    CU_ASSERT_TRUE(fr_is_folder(deep));
    FR_ASSERT_OK(fr_make_folder(fr_test_ctx(), deep));
    path_in(folder, "a/file", file);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), file, "x", 1));
    FR_ASSERT_FAILS(fr_make_folder(fr_test_ctx(), file), FR_ERR_IO, "not a folder");
    path_in(folder, "a/file/below", deep);
    FR_ASSERT_FAILS(fr_make_folder(fr_test_ctx(), deep), FR_ERR_IO, "a/file");
    FR_ASSERT_FAILS(fr_make_folder(fr_test_ctx(), ""), FR_ERR_IO, "");
}

static void existence_tells_files_from_folders(void)
{
    char path[PATH_BYTES];
    const char *folder = fr_test_folder();
    path_in(folder, "f", path);
    CU_ASSERT_FALSE(fr_file_exists(path));
    CU_ASSERT_FALSE(fr_is_folder(path));
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, "x", 1));
    CU_ASSERT_TRUE(fr_file_exists(path));
    CU_ASSERT_FALSE(fr_is_folder(path));
    CU_ASSERT_FALSE(fr_file_exists(folder));
    CU_ASSERT_TRUE(fr_is_folder(folder));
}

static void check_join(const char *folder, const char *name, const char *wanted)
{
    char *path = NULL;
    FR_ASSERT_OK(fr_join_path(fr_test_ctx(), folder, name, &path));
    CU_ASSERT_STRING_EQUAL(path, wanted);
    free(path);
}

static void join_uses_one_slash(void)
{
    check_join("a", "b", "a/b");
    check_join("a/", "b", "a/b");
    check_join("/", "b", "/b");
    check_join("a b", "c d", "a b/c d");
}

static const fr_case CASES[] = {
    FR_CASE(replace_creates_then_replaces),
    FR_CASE(open_reader_keeps_the_old_content),
    FR_CASE(failing_write_leaves_the_old_file),
    FR_CASE(temporary_name_is_not_followed),
    FR_CASE(other_than_files_are_refused_at_once),
    FR_CASE(own_files_are_no_links),
    FR_CASE(output_goes_to_files_and_devices),
    FR_CASE(unwritable_folder_leaves_the_old_file),
    FR_CASE(missing_folder_is_named),
    FR_CASE(failed_rename_removes_the_temporary),
    FR_CASE(put_keeps_what_it_cannot_rename),
    FR_CASE(commit_moves_the_temporary),
    FR_CASE(bad_inputs_are_data_errors_with_the_path),
    FR_CASE(released_pages_leave_and_come_back),
    FR_CASE(empty_file_maps_to_nothing),
    FR_CASE(read_keeps_inner_nul_bytes),
    FR_CASE(folders_are_made_with_their_parents),
    FR_CASE(existence_tells_files_from_folders),
    FR_CASE(join_uses_one_slash),
};

int main(int argc, char **argv)
{
    return fr_suite_main("file", CASES, FR_N_CASES(CASES), argc, argv);
}
