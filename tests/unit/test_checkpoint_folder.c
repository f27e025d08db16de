#define _XOPEN_SOURCE 700
#include "base/file.h"
#include "base/rng.h"
#include "support/checkpoints.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static fr_status save(const char *folder, int64_t step, int64_t keep)
{
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(1, true, step);
    fr_status status =
        fr_checkpoint_save(fr_test_ctx(), folder, step, keep, checkpoint);
    fr_checkpoint_destroy(&checkpoint);
    return status;
}

static bool has(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    fr_fixture_path(folder, name, path);
    return fr_file_exists(path);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[PATH_BYTES];
    fr_fixture_path(folder, name, path);
    fr_fixture_write(path, text, strlen(text));
}

/* Flip one bit in the middle. */
static void damage(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    char *bytes = NULL;
    size_t n = 0;
    fr_fixture_path(folder, name, path);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &bytes, &n));
    CU_ASSERT_TRUE_FATAL(n > 0);
    bytes[n / 2] ^= 4;
    fr_fixture_write(path, bytes, n);
    free(bytes);
}

/* Load, demand the file's name and the step in it. */
static void assert_loads(const char *folder, const char *name, int64_t step)
{
    char wanted[PATH_BYTES];
    fr_checkpoint *read = NULL;
    char *path = NULL;
    fr_fixture_path(folder, name, wanted);
    FR_ASSERT_OK(fr_checkpoint_load_latest(fr_test_ctx(), folder, &read, &path));
    CU_ASSERT_PTR_NOT_NULL_FATAL(read);
    CU_ASSERT_PTR_NOT_NULL_FATAL(path);
    CU_ASSERT_STRING_EQUAL(path, wanted);
    CU_ASSERT_EQUAL(read->tasks[0].progress.step, step);
    fr_checkpoint_destroy(&read);
    free(path);
}

static void newest_ones_are_kept(void)
{
    const char *folder = fr_test_folder();
    char *latest = NULL;
    size_t n = 0;
    char path[PATH_BYTES];
    static const int64_t STEPS[] = {0, 5, 9, 10, 100};
    for (size_t i = 0; i < sizeof STEPS / sizeof STEPS[0]; i++) {
        FR_ASSERT_OK(save(folder, STEPS[i], 2));
        CU_ASSERT_EQUAL(fr_fixture_count(folder, "checkpoint-"), i == 0 ? 1 : 2);
    }
    CU_ASSERT_TRUE(has(folder, "checkpoint-10.h5"));
    CU_ASSERT_TRUE(has(folder, "checkpoint-100.h5"));
    fr_fixture_path(folder, "latest", path);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &latest, &n));
    CU_ASSERT_STRING_EQUAL(latest, "checkpoint-100.h5\n");
    free(latest);
    assert_loads(folder, "checkpoint-100.h5", 100);
}

static void one_just_saved_is_never_dropped(void)
{
    const char *folder = fr_test_folder();
    FR_ASSERT_OK(save(folder, 30, 3));
    FR_ASSERT_OK(save(folder, 40, 3));
    FR_ASSERT_OK(save(folder, 10, 3));
    CU_ASSERT_EQUAL(fr_fixture_count(folder, "checkpoint-"), 3);
    FR_ASSERT_OK(save(folder, 20, 2));
    CU_ASSERT_TRUE(has(folder, "checkpoint-20.h5"));
    CU_ASSERT_TRUE(has(folder, "checkpoint-10.h5"));
    CU_ASSERT_EQUAL(fr_fixture_count(folder, "checkpoint-"), 2);
    assert_loads(folder, "checkpoint-20.h5", 20);
    FR_ASSERT_OK(save(folder, 15, 0));
    CU_ASSERT_EQUAL(fr_fixture_count(folder, "checkpoint-"), 1);
    assert_loads(folder, "checkpoint-15.h5", 15);
}

static void other_files_are_left_alone(void)
{
    static const char *const OTHERS[] = {
        "checkpoint-3.h5.bak", "checkpoint-03.h5", "checkpoint-x.h5",
        "checkpoint-.h5",      "prefix.h5",        "metrics.jsonl",
        "checkpoint--1.h5",    "notes.tmp.12",     "checkpoint-7.h5.tmp.x",
        "my-prefix.h5.tmp.1"};
    const int n = sizeof OTHERS / sizeof OTHERS[0];
    const char *folder = fr_test_folder();
    for (int i = 0; i < n; i++) {
        write_file(folder, OTHERS[i], "mine");
    }
    FR_ASSERT_OK(save(folder, 1, 1));
    FR_ASSERT_OK(save(folder, 2, 1));
    for (int i = 0; i < n; i++) {
        CU_ASSERT_TRUE(has(folder, OTHERS[i]));
    }
    CU_ASSERT_EQUAL(fr_fixture_count(folder, ""), n + 2);
}

static void left_overs_of_killed_writers_are_removed(void)
{
    const char *folder = fr_test_folder();
    write_file(folder, "checkpoint-7.h5.tmp.4711", "half");
    write_file(folder, "latest.tmp.4711", "half");
    write_file(folder, "prefix.h5.tmp.4711", "half");
    write_file(folder, "best.h5.tmp.1", "half");
    write_file(folder, "metrics.jsonl.tmp.12", "half");
    write_file(folder, "config.yaml.tmp.3", "half");
    write_file(folder, "tokens-07ea1328144e0a0a.cache.tmp.3", "half");
    FR_ASSERT_OK(fr_checkpoint_tidy(fr_test_ctx(), folder));
    CU_ASSERT_EQUAL(fr_fixture_count(folder, ""), 0);
    write_file(folder, "checkpoint-7.h5.tmp.4711", "half");
    FR_ASSERT_OK(save(folder, 8, 1));
    CU_ASSERT_EQUAL(fr_fixture_count(folder, ".tmp."), 0);
    assert_loads(folder, "checkpoint-8.h5", 8);
}

static void empty_or_missing_folder_has_no_checkpoint(void)
{
    char path[PATH_BYTES];
    const char *folder = fr_test_folder();
    fr_checkpoint *read = NULL;
    char *used = NULL;
    fr_fixture_path(folder, "none", path);
    FR_ASSERT_OK(fr_checkpoint_load_latest(fr_test_ctx(), path, &read, &used));
    CU_ASSERT_PTR_NULL(read);
    CU_ASSERT_PTR_NULL(used);
    FR_ASSERT_OK(fr_checkpoint_load_latest(fr_test_ctx(), folder, &read, &used));
    CU_ASSERT_PTR_NULL(read);
    CU_ASSERT_PTR_NULL(used);
}

static void damaged_ones_fall_back_one_by_one(void)
{
    const char *folder = fr_test_folder();
    for (int64_t step = 1; step <= 4; step++) {
        FR_ASSERT_OK(save(folder, step * 3, 4));
    }
    assert_loads(folder, "checkpoint-12.h5", 12);
    damage(folder, "checkpoint-12.h5");
    assert_loads(folder, "checkpoint-9.h5", 9);
    write_file(folder, "checkpoint-9.h5", "");
    assert_loads(folder, "checkpoint-6.h5", 6);
    write_file(folder, "checkpoint-6.h5", "not a checkpoint at all\n");
    assert_loads(folder, "checkpoint-3.h5", 3);
    damage(folder, "checkpoint-3.h5");
    fr_checkpoint *read = NULL;
    char *used = NULL;
    FR_ASSERT_FAILS(fr_checkpoint_load_latest(fr_test_ctx(), folder, &read, &used),
                    FR_ERR_CHECKPOINT, "none of its 4 checkpoints");
    CU_ASSERT_PTR_NULL(read);
    CU_ASSERT_PTR_NULL(used);
}

static void warning_names_the_damaged_file(void)
{
    char path[PATH_BYTES];
    char *log = NULL;
    size_t n = 0;
    const char *folder = fr_test_folder();
    FR_ASSERT_OK(save(folder, 1, 2));
    FR_ASSERT_OK(save(folder, 2, 2));
    damage(folder, "checkpoint-2.h5");
    fr_fixture_path(folder, "log", path);
    int saved = dup(STDERR_FILENO);
    CU_ASSERT_PTR_NOT_NULL_FATAL(freopen(path, "w", stderr));
    assert_loads(folder, "checkpoint-1.h5", 1);
    (void)fflush(stderr);
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &log, &n));
    CU_ASSERT_PTR_NOT_NULL(strstr(log, "warning: "));
    CU_ASSERT_PTR_NOT_NULL(strstr(log, "checkpoint-2.h5 is damaged"));
    free(log);
}

static void latest_decides_over_a_higher_step(void)
{
    const char *folder = fr_test_folder();
    FR_ASSERT_OK(save(folder, 10, 5));
    FR_ASSERT_OK(save(folder, 20, 5));
    write_file(folder, "latest", "checkpoint-10.h5");
    assert_loads(folder, "checkpoint-10.h5", 10);
}

static void useless_latest_gives_the_highest_step(void)
{
    static const char *const TEXTS[] = {"",
                                        "\n",
                                        "checkpoint-99.h5\n",
                                        "../checkpoint-10.h5\n",
                                        "checkpoint-10.h5/../../x\n",
                                        "checkpoint-99999999999999999999.h5\n",
                                        "checkpoint-010.h5\n"};
    const char *folder = fr_test_folder();
    char path[PATH_BYTES];
    FR_ASSERT_OK(save(folder, 9, 5));
    FR_ASSERT_OK(save(folder, 10, 5));
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        write_file(folder, "latest", TEXTS[i]);
        assert_loads(folder, "checkpoint-10.h5", 10);
    }
    fr_fixture_path(folder, "latest", path);
    CU_ASSERT_EQUAL(unlink(path), 0);
    assert_loads(folder, "checkpoint-10.h5", 10);
}

/* Starting anew in silence would be wrong: there was a checkpoint. */
static void latest_of_a_folder_without_files_is_an_error(void)
{
    const char *folder = fr_test_folder();
    fr_checkpoint *read = NULL;
    char *used = NULL;
    write_file(folder, "latest", "checkpoint-5.h5\n");
    FR_ASSERT_FAILS(fr_checkpoint_load_latest(fr_test_ctx(), folder, &read, &used),
                    FR_ERR_CHECKPOINT, "none of its 0 checkpoints");
}

static void full_disk_keeps_the_old_checkpoint(void)
{
    struct rlimit saved;
    const char *folder = fr_test_folder();
    FR_ASSERT_OK(save(folder, 1, 1));
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &saved), 0);
    struct rlimit small = {2000, saved.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &small), 0);
    fr_status status = save(folder, 2, 1);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &saved), 0);
    (void)signal(SIGXFSZ, handler);
    FR_ASSERT_FAILS(status, FR_ERR_IO, "checkpoint-2.h5");
    CU_ASSERT_EQUAL(fr_fixture_count(folder, ""), 2);
    assert_loads(folder, "checkpoint-1.h5", 1);
}

/* A child that saves step after step; never returns. */
static void save_for_ever(const char *folder, int64_t step)
{
    for (;; step++) {
        fr_checkpoint *checkpoint = fr_fixture_checkpoint(1, true, step);
        if (fr_checkpoint_save(fr_test_ctx(), folder, step, 2, checkpoint) != FR_OK) {
            _exit(3);
        }
        fr_checkpoint_destroy(&checkpoint);
    }
}

/* Step of the checkpoint that loads, which must be there. */
static int64_t load_step(const char *folder)
{
    fr_checkpoint *read = NULL;
    char *path = NULL;
    int64_t step = -1;
    FR_ASSERT_OK(fr_checkpoint_load_latest(fr_test_ctx(), folder, &read, &path));
    CU_ASSERT_PTR_NOT_NULL(read);
    if (read != NULL) {
        step = read->tasks[0].progress.step;
    }
    fr_checkpoint_destroy(&read);
    free(path);
    return step;
}

static void killed_writer_leaves_a_loadable_folder(void)
{
    enum { ROUNDS = 20, MAX_MS = 30 };
    const char *folder = fr_test_folder();
    int64_t step = 1;
    FR_ASSERT_OK(save(folder, step, 2));
    for (uint64_t round = 0; round < ROUNDS; round++) {
        double ms = 1 + MAX_MS * fr_rng_uniform(1, FR_RNG_TEST, 0, round);
        const struct timespec wait = {0, (long)(ms * 1e6)};
        int result = 0;
        pid_t child = fork();
        CU_ASSERT_TRUE_FATAL(child >= 0);
        if (child == 0) {
            save_for_ever(folder, step + 1);
        }
        (void)nanosleep(&wait, NULL);
        CU_ASSERT_EQUAL(kill(child, SIGKILL), 0);
        CU_ASSERT_EQUAL_FATAL(waitpid(child, &result, 0), child);
        CU_ASSERT_TRUE(WIFSIGNALED(result) && WTERMSIG(result) == SIGKILL);
        int64_t loaded = load_step(folder);
        CU_ASSERT_TRUE(loaded >= step);
        step = loaded;
    }
    FR_ASSERT_OK(save(folder, step + 1, 2));
    CU_ASSERT_EQUAL(fr_fixture_count(folder, ".tmp."), 0);
}

/* SIGXFSZ kills the writer exactly after `limit` bytes of a file. */
static void writer_killed_at_any_byte_leaves_the_old_checkpoint(void)
{
    const char *folder = fr_test_folder();
    FR_ASSERT_OK(save(folder, 1, 2));
    for (rlim_t limit = 0; limit < 8192; limit += 500) {
        int result = 0;
        pid_t child = fork();
        CU_ASSERT_TRUE_FATAL(child >= 0);
        if (child == 0) {
            const struct rlimit no_core = {0, 0};
            const struct rlimit small = {limit, limit};
            (void)setrlimit(RLIMIT_CORE, &no_core);
            (void)signal(SIGXFSZ, SIG_DFL);
            (void)setrlimit(RLIMIT_FSIZE, &small);
            save_for_ever(folder, 2);
        }
        CU_ASSERT_EQUAL_FATAL(waitpid(child, &result, 0), child);
        CU_ASSERT_TRUE(WIFSIGNALED(result) && WTERMSIG(result) == SIGXFSZ);
        CU_ASSERT_EQUAL(load_step(folder), 1);
    }
}

static const fr_case CASES[] = {
    FR_CASE(newest_ones_are_kept),
    FR_CASE(one_just_saved_is_never_dropped),
    FR_CASE(other_files_are_left_alone),
    FR_CASE(left_overs_of_killed_writers_are_removed),
    FR_CASE(empty_or_missing_folder_has_no_checkpoint),
    FR_CASE(damaged_ones_fall_back_one_by_one),
    FR_CASE(warning_names_the_damaged_file),
    FR_CASE(latest_decides_over_a_higher_step),
    FR_CASE(useless_latest_gives_the_highest_step),
    FR_CASE(latest_of_a_folder_without_files_is_an_error),
    FR_CASE(full_disk_keeps_the_old_checkpoint),
    FR_CASE(killed_writer_leaves_a_loadable_folder),
    FR_CASE(writer_killed_at_any_byte_leaves_the_old_checkpoint),
};

int main(int argc, char **argv)
{
    return fr_suite_main("checkpoint_folder", CASES, FR_N_CASES(CASES), argc, argv);
}
