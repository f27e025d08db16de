#include "base/file.h"
#include "support/checkpoints.h"
#include "train/checkpoint/writer.h"

#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, KEEP = 9, REST_MS = 50 };

static fr_writer *start(const char *folder)
{
    fr_writer *writer = NULL;
    FR_ASSERT_OK(fr_writer_create(fr_test_ctx(), folder, KEEP, &writer));
    CU_ASSERT_PTR_NOT_NULL_FATAL(writer);
    return writer;
}

static void add(fr_writer *writer, int64_t step, const char *name)
{
    fr_write write = {
        .name = name, .step = step, .checkpoint = fr_fixture_checkpoint(2, true, step)};
    fr_writer_add(writer, &write);
}

/* Wait for the oldest write; the caller frees its checkpoint. */
static fr_status take(fr_writer *writer, fr_write *out)
{
    bool taken = false;
    fr_status status = fr_writer_take(writer, out, &taken);
    while (!taken) {
        fr_writer_rest(writer, REST_MS);
        status = fr_writer_take(writer, out, &taken);
    }
    return status;
}

static void read_text(const char *folder, const char *name, char **out, size_t *bytes)
{
    char path[PATH_BYTES];
    fr_fixture_path(folder, name, path);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, out, bytes));
}

static void assert_latest(const char *folder, const char *name)
{
    char *text = NULL;
    size_t bytes = 0;
    read_text(folder, "latest", &text, &bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_STRING_EQUAL(text, name);
    free(text);
}

static bool has(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    fr_fixture_path(folder, name, path);
    return fr_file_exists(path);
}

static void writes_come_back_in_their_order(void)
{
    const char *folder = fr_test_folder();
    fr_writer *writer = start(folder);
    CU_ASSERT_TRUE(fr_writer_is_empty(writer));
    for (int64_t step = 1; step <= 20; step += 2) {
        add(writer, step, NULL);
        CU_ASSERT_TRUE(fr_writer_has_room(writer));
        add(writer, step + 1, NULL);
        CU_ASSERT_FALSE(fr_writer_has_room(writer));
        for (int64_t i = step; i <= step + 1; i++) {
            fr_write write;
            FR_ASSERT_OK(take(writer, &write));
            CU_ASSERT_EQUAL(write.step, i);
            CU_ASSERT_EQUAL(write.checkpoint->tasks[0].progress.step, i);
            CU_ASSERT_TRUE(write.seconds > 0 && write.cpu_seconds > 0);
            fr_checkpoint_destroy(&write.checkpoint);
            CU_ASSERT_TRUE(fr_writer_has_room(writer));
        }
    }
    CU_ASSERT_TRUE(fr_writer_is_empty(writer));
    assert_latest(folder, "checkpoint-20.h5\n");
    CU_ASSERT_EQUAL(fr_fixture_count(folder, "checkpoint-"), KEEP);
    fr_writer_destroy(&writer);
    CU_ASSERT_PTR_NULL(writer);
}

static void files_are_those_of_a_direct_save(void)
{
    const char *folder = fr_test_folder();
    char aside[PATH_BYTES];
    char *got = NULL;
    char *wanted = NULL;
    size_t n_got = 0;
    size_t n_wanted = 0;
    fr_writer *writer = start(folder);
    add(writer, 7, NULL);
    fr_writer_destroy(&writer);
    fr_fixture_path(folder, "aside", aside);
    FR_ASSERT_OK(fr_make_folder(fr_test_ctx(), aside));
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(2, true, 7);
    FR_ASSERT_OK(fr_checkpoint_save(fr_test_ctx(), aside, 7, KEEP, checkpoint));
    fr_checkpoint_destroy(&checkpoint);
    read_text(folder, "checkpoint-7.h5", &got, &n_got);
    read_text(aside, "checkpoint-7.h5", &wanted, &n_wanted);
    CU_ASSERT_EQUAL_FATAL(n_got, n_wanted);
    CU_ASSERT_EQUAL(memcmp(got, wanted, n_got), 0);
    free(got);
    free(wanted);
}

static void a_named_file_leaves_latest_alone(void)
{
    const char *folder = fr_test_folder();
    fr_writer *writer = start(folder);
    add(writer, 3, NULL);
    add(writer, 4, "best.h5");
    fr_writer_destroy(&writer);
    CU_ASSERT_TRUE(has(folder, "best.h5"));
    CU_ASSERT_FALSE(has(folder, "checkpoint-4.h5"));
    assert_latest(folder, "checkpoint-3.h5\n");
}

static void destroy_waits_for_what_was_added(void)
{
    const char *folder = fr_test_folder();
    for (int64_t step = 1; step <= 8; step += 2) {
        fr_writer *writer = start(folder);
        add(writer, step, NULL);
        add(writer, step + 1, NULL);
        fr_writer_destroy(&writer);
        CU_ASSERT_EQUAL(fr_fixture_count(folder, "checkpoint-"), (int)step + 1);
    }
    assert_latest(folder, "checkpoint-8.h5\n");
    CU_ASSERT_EQUAL(fr_fixture_count(folder, ".tmp."), 0);
}

/* A folder in the place of the file: the rename fails. */
static void nothing_is_written_after_a_failure(void)
{
    const char *folder = fr_test_folder();
    char blocked[PATH_BYTES];
    fr_write write;
    fr_writer *writer = start(folder);
    add(writer, 1, NULL);
    FR_ASSERT_OK(take(writer, &write));
    fr_checkpoint_destroy(&write.checkpoint);
    fr_fixture_path(folder, "checkpoint-2.h5", blocked);
    FR_ASSERT_OK(fr_make_folder(fr_test_ctx(), blocked));
    add(writer, 2, NULL);
    add(writer, 3, NULL);
    FR_ASSERT_FAILS(take(writer, &write), FR_ERR_IO, "checkpoint-2.h5: Is a directory");
    CU_ASSERT_EQUAL(write.step, 2);
    fr_checkpoint_destroy(&write.checkpoint);
    FR_ASSERT_FAILS(take(writer, &write), FR_ERR_IO, "checkpoint-2.h5");
    CU_ASSERT_EQUAL(write.step, 3);
    fr_checkpoint_destroy(&write.checkpoint);
    add(writer, 4, NULL);
    fr_writer_destroy(&writer);
    CU_ASSERT_FALSE(has(folder, "checkpoint-3.h5"));
    CU_ASSERT_FALSE(has(folder, "checkpoint-4.h5"));
    assert_latest(folder, "checkpoint-1.h5\n");
}

/* What the owner failed at first is what it tells. */
static void the_owner_keeps_its_own_error(void)
{
    char path[PATH_BYTES];
    fr_write write;
    fr_fixture_path(fr_test_folder(), "none", path);
    fr_writer *writer = start(path);
    add(writer, 1, NULL);
    fr_ctx *ctx = fr_test_ctx(); /* each call clears the error */
    (void)FR_FAIL(ctx, FR_ERR_DATA, "mine");
    CU_ASSERT_EQUAL(take(writer, &write), FR_ERR_IO);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(ctx), "mine");
    CU_ASSERT_EQUAL(fr_ctx_error_status(ctx), FR_ERR_DATA);
    fr_checkpoint_destroy(&write.checkpoint);
    fr_writer_destroy(&writer);
}

static void rest_ends_without_a_write(void)
{
    fr_write write;
    bool taken = true;
    fr_writer *writer = start(fr_test_folder());
    fr_writer_rest(writer, 1);
    FR_ASSERT_OK(fr_writer_take(writer, &write, &taken));
    CU_ASSERT_FALSE(taken);
    fr_writer_destroy(&writer);
    fr_writer_destroy(&writer);
}

static const fr_case CASES[] = {
    FR_CASE(writes_come_back_in_their_order),
    FR_CASE(files_are_those_of_a_direct_save),
    FR_CASE(a_named_file_leaves_latest_alone),
    FR_CASE(destroy_waits_for_what_was_added),
    FR_CASE(nothing_is_written_after_a_failure),
    FR_CASE(the_owner_keeps_its_own_error),
    FR_CASE(rest_ends_without_a_write),
};

int main(int argc, char **argv)
{
    return fr_suite_main("writer", CASES, FR_N_CASES(CASES), argc, argv);
}
