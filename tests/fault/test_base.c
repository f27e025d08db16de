#define _POSIX_C_SOURCE 200809L
#include "base/digest.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "support/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fr_status allocate_three(fr_ctx *ctx, void *argument)
{
    (void)argument;
    double *first = NULL;
    char *second = NULL;
    char *third = NULL;
    fr_status status = fr_alloc(ctx, 10, sizeof *first, &first);
    if (status == FR_OK) {
        status = fr_copy_string(ctx, "text", &second);
    }
    if (status == FR_OK) {
        status = fr_join_path(ctx, "folder", "name", &third);
    }
    free(third);
    free(second);
    free(first);
    return status;
}

static fr_status repair_text(fr_ctx *ctx, void *argument)
{
    (void)argument;
    char *text = NULL;
    size_t bytes = 1;
    FR_TRY(fr_copy_string(ctx, "\xFF", &text));
    fr_status status = fr_utf8_repair(ctx, &text, &bytes, NULL);
    free(text); /* the caller's, also after a failure */
    return status;
}

static fr_status digest_in_pieces(fr_ctx *ctx, void *argument)
{
    (void)argument;
    uint8_t out[FR_DIGEST_BYTES];
    fr_digest *digest = NULL;
    fr_status status = fr_digest_create(ctx, &digest);
    if (status == FR_OK) {
        status = fr_digest_add(ctx, digest, "abc", 3);
    }
    if (status == FR_OK) {
        status = fr_digest_end(ctx, digest, out);
    }
    fr_digest_destroy(&digest);
    return status;
}

static fr_status read_file(fr_ctx *ctx, void *path)
{
    char *text = NULL;
    size_t bytes = 0;
    fr_status status = fr_file_read(ctx, path, &text, &bytes);
    free(text);
    return status;
}

static fr_status replace_file(fr_ctx *ctx, void *path)
{
    return fr_file_replace(ctx, path, "new content", 11);
}

static fr_status make_folder(fr_ctx *ctx, void *path)
{
    return fr_make_folder(ctx, path);
}

static fr_status leak_on_failure(fr_ctx *ctx, void *argument)
{
    char *text = NULL;
    char *other = NULL;
    FR_TRY(fr_copy_string(ctx, "kept", &text));
    memcpy(argument, &text, sizeof text);
    FR_TRY(fr_copy_string(ctx, "other", &other));
    free(other);
    free(text);
    memset(argument, 0, sizeof text);
    return FR_OK;
}

static void memory_helpers_survive_each_failed_allocation(void)
{
    CU_ASSERT_EQUAL(fr_fault_sweep("mem", allocate_three, NULL), 3);
    CU_ASSERT_EQUAL(fr_fault_sweep("utf8", repair_text, NULL), 2);
}

static void digest_survives_each_failed_allocation(void)
{
    CU_ASSERT_TRUE(fr_fault_sweep("digest", digest_in_pieces, NULL) >= 1);
}

static void file_functions_survive_each_failed_allocation(void)
{
    char path[4096];
    const char *folder = fr_test_folder();
    (void)snprintf(path, sizeof path, "%s/file", folder);
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, "old", 3));
    CU_ASSERT_EQUAL(fr_fault_sweep("read", read_file, path), 1);
    CU_ASSERT_TRUE(fr_fault_sweep("replace", replace_file, path) >= 1);
    char *text = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &text, &bytes));
    CU_ASSERT_EQUAL(bytes, 11);
    free(text);
    (void)snprintf(path, sizeof path, "%s/a/b", folder);
    CU_ASSERT_TRUE(fr_fault_sweep("make_folder", make_folder, path) >= 1);
    CU_ASSERT_TRUE(fr_is_folder(path));
}

/* A sweep that cannot see a kept block proves nothing: one is planted. */
static void kept_block_is_counted(void)
{
    char *kept = NULL;
    fr_fault_outcome outcome = fr_fault_run(fr_test_ctx(), 2, leak_on_failure, &kept);
    CU_ASSERT_TRUE(outcome.fired);
    CU_ASSERT_EQUAL(outcome.n_kept, 1);
    FR_ASSERT_FAILS(outcome.status, FR_ERR_NO_MEMORY, "allocate");
    free(kept);
    outcome = fr_fault_run(fr_test_ctx(), 3, leak_on_failure, &kept);
    CU_ASSERT_FALSE(outcome.fired);
    CU_ASSERT_EQUAL(outcome.n_kept, 0);
    FR_ASSERT_OK(outcome.status);
}

static const fr_case CASES[] = {
    FR_CASE(memory_helpers_survive_each_failed_allocation),
    FR_CASE(digest_survives_each_failed_allocation),
    FR_CASE(file_functions_survive_each_failed_allocation),
    FR_CASE(kept_block_is_counted),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fault_base", CASES, FR_N_CASES(CASES), argc, argv);
}
