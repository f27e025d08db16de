#define _POSIX_C_SOURCE 200809L
#include "support/rows.h"

#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static const char ROWS[] = "{\"source_ids\":[5,6],\"target_ids\":[[7],[8,9]]}\n"
                           "{\"source_ids\":[3],\"target_ids\":[4,5]}\n";

/* Count the caches in a folder; *path becomes that of the last one. */
static int find_caches(const char *folder, char path[PATH_BYTES])
{
    int n = 0;
    DIR *directory = opendir(folder);
    CU_ASSERT_PTR_NOT_NULL_FATAL(directory);
    for (struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        if (strncmp(entry->d_name, "tokens-", 7) == 0) {
            CU_ASSERT_EQUAL(strlen(entry->d_name), strlen("tokens-.cache") + 16);
            (void)snprintf(path, PATH_BYTES, "%s/%s", folder, entry->d_name);
            n++;
        }
    }
    (void)closedir(directory);
    return n;
}

static ino_t inode_of(const char *path)
{
    struct stat info;
    CU_ASSERT_EQUAL_FATAL(stat(path, &info), 0);
    return info.st_ino;
}

/* Open, check the rows, close. */
static void open_and_check(const fr_data_params *params)
{
    fr_dataset *data = NULL;
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), params, &data));
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_rows, 2);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_examples, 3);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_target_tokens, 5);
    fr_assert_ids("source", fr_dataset_source(data, 0), "5 6");
    fr_assert_ids("target", fr_dataset_target(data, 0, 1), "8* 9*");
    fr_assert_ids("second row", fr_dataset_target(data, 1, 0), "4* 5*");
    CU_ASSERT_EQUAL(fr_dataset_line(data, 1), 2);
    fr_dataset_close(&data);
}

static fr_data_params cached_params(void)
{
    fr_data_params params = fr_test_id_params(fr_test_rows(ROWS));
    params.cache_folder = fr_test_folder();
    return params;
}

static void second_open_uses_the_cache(void)
{
    char path[PATH_BYTES];
    fr_data_params params = cached_params();
    open_and_check(&params);
    CU_ASSERT_EQUAL_FATAL(find_caches(params.cache_folder, path), 1);
    ino_t first = inode_of(path);
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), 1);
    CU_ASSERT_EQUAL(inode_of(path), first);
}

static void other_data_or_options_make_another_cache(void)
{
    char path[PATH_BYTES];
    fr_data_params params = cached_params();
    int n = 0;
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
    params.max_tokens = 49;
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
    params.cut_long_rows = true;
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
    params.vocab_size = 101;
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
    params.max_rows = 2;
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
    params.template_text = "{target}";
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
    params.template_text = "{target} ";
    open_and_check(&params);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
    fr_test_write_text(params.path, "\n{\"source_ids\":[1],\"target_ids\":[2]}\n");
    fr_dataset *data = NULL;
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &data));
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_rows, 1);
    fr_dataset_close(&data);
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), ++n);
}

/* Rows with the ids of `how`'s tokenizer, in the folder's cache. */
static int caches_with(const char *folder, const fr_letters *how, bool chat)
{
    char path[PATH_BYTES];
    fr_dataset *data = NULL;
    fr_tokenizer *tokenizer = fr_test_letters(how);
    fr_data_params params = fr_test_text_params(
        fr_test_rows("{\"source\":\"a\",\"target\":\"b\",\"messages\":"
                     "[{\"role\":\"assistant\",\"content\":\"c\"}]}\n"),
        tokenizer);
    params.cache_folder = folder;
    params.chat = chat;
    params.template_text = chat ? NULL : params.template_text;
    params.eos = !how->without_eos;
    if (!chat) {
        fr_test_write_text(params.path, "{\"source\":\"a\",\"target\":\"b\"}\n");
    }
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &data));
    fr_dataset_close(&data);
    fr_tokenizer_close(&tokenizer);
    return find_caches(folder, path);
}

static void what_frames_a_row_is_in_the_key(void)
{
    const char *folder = fr_test_folder();
    fr_letters plain = {0};
    fr_letters bos = {.add_bos = true};
    fr_letters chat = {.chat_template = FR_TEST_CHATML};
    fr_letters other = {.chat_template = "{{ '<|im_start|>' }}{{ '<|im_end|>' }}"};
    CU_ASSERT_EQUAL(caches_with(folder, &plain, false), 1);
    CU_ASSERT_EQUAL(caches_with(folder, &plain, false), 1);
    CU_ASSERT_EQUAL(caches_with(folder, &bos, false), 2);
    CU_ASSERT_EQUAL(caches_with(folder, &chat, true), 3);
    CU_ASSERT_EQUAL(caches_with(folder, &other, true), 4);
}

static void eos_id_is_in_the_key(void)
{
    char path[PATH_BYTES];
    fr_dataset *data = NULL;
    fr_data_params params = cached_params();
    params.eos = true;
    for (params.eos_id = 10; params.eos_id < 12; params.eos_id++) {
        FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &data));
        CU_ASSERT_PTR_NOT_NULL_FATAL(data);
        CU_ASSERT_EQUAL(fr_dataset_target(data, 0, 0).ids[1], params.eos_id);
        fr_dataset_close(&data);
    }
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), 2);
}

/* Every byte of the file in turn is changed: header, statistics and arrays are all covered. */
static void damaged_cache_is_made_again(void)
{
    char path[PATH_BYTES];
    char *good = NULL;
    char *now = NULL;
    size_t bytes = 0;
    fr_data_params params = cached_params();
    open_and_check(&params);
    CU_ASSERT_EQUAL_FATAL(find_caches(params.cache_folder, path), 1);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &good, &bytes));
    for (size_t i = 0; i < bytes; i++) {
        good[i] = (char)(good[i] ^ 1);
        fr_test_write(path, good, bytes);
        good[i] = (char)(good[i] ^ 1);
        open_and_check(&params);
        FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &now, &bytes));
        fr_assert_same_bytes("cache made again", now, good, bytes);
        free(now);
    }
    free(good);
}

static void short_and_long_caches_are_made_again(void)
{
    char path[PATH_BYTES];
    char *good = NULL;
    size_t bytes = 0;
    fr_data_params params = cached_params();
    open_and_check(&params);
    CU_ASSERT_EQUAL_FATAL(find_caches(params.cache_folder, path), 1);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &good, &bytes));
    /* the reader's buffer ends with a NUL, so one byte more can be written */
    for (size_t length = 0; length <= bytes + 1; length += length < bytes ? 7 : 1) {
        fr_test_write(path, good, length);
        open_and_check(&params);
    }
    free(good);
}

static void unwritable_folder_is_no_error(void)
{
    fr_data_params params = fr_test_id_params(fr_test_rows(ROWS));
    params.cache_folder = "/proc/no-such-folder";
    open_and_check(&params);
    params.cache_folder = params.path; /* a file */
    open_and_check(&params);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(fr_test_ctx()), "");
}

static void bad_rows_leave_no_cache(void)
{
    char path[PATH_BYTES];
    fr_dataset *data = NULL;
    fr_data_params params = fr_test_id_params(fr_test_rows("{\"source_ids\":[1]}\n"));
    params.cache_folder = fr_test_folder();
    FR_ASSERT_FAILS(fr_dataset_open(fr_test_ctx(), &params, &data), FR_ERR_DATA,
                    "rows.jsonl:1");
    CU_ASSERT_EQUAL(find_caches(params.cache_folder, path), 0);
}

static const fr_case CASES[] = {
    FR_CASE(second_open_uses_the_cache),
    FR_CASE(other_data_or_options_make_another_cache),
    FR_CASE(what_frames_a_row_is_in_the_key),
    FR_CASE(eos_id_is_in_the_key),
    FR_CASE(damaged_cache_is_made_again),
    FR_CASE(short_and_long_caches_are_made_again),
    FR_CASE(unwritable_folder_is_no_error),
    FR_CASE(bad_rows_leave_no_cache),
};

int main(int argc, char **argv)
{
    return fr_suite_main("data_cache", CASES, FR_N_CASES(CASES), argc, argv);
}
