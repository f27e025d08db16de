#define _POSIX_C_SOURCE 200809L
#include "comm/group.h"
#include "support/suite.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* All ranks of these tests share one host, so each of them knows the whole message. */
static void expect_message(const fr_ctx *ctx, int rank, const char *text)
{
    char host[256] = "";
    char wanted[1024];
    (void)gethostname(host, sizeof host - 1);
    (void)snprintf(wanted, sizeof wanted, "rank %d on %s: %s", rank, host, text);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(ctx), wanted);
}

/* The group is as good as before: what follows a failed phase must still get through. */
static void expect_group_works(fr_group *world)
{
    int64_t one = 1;
    FR_ASSERT_OK(fr_group_allreduce(world, FR_SUM, &one, 1));
    CU_ASSERT_EQUAL(one, fr_group_size(world));
    FR_ASSERT_OK(fr_group_agree(world, FR_OK));
}

static void nobody_failing_is_ok_and_leaves_no_error(void)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_group *world = fr_test_world();
    for (int i = 0; i < 50; i++) {
        FR_ASSERT_OK(fr_group_agree(world, FR_OK));
    }
    CU_ASSERT_EQUAL(fr_ctx_error_status(ctx), FR_OK);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(ctx), "");
    fr_group_destroy(&world);
}

static void one_failing_rank_ends_all_with_its_message(void)
{
    fr_group *world = fr_test_world();
    for (int culprit = 0; culprit < fr_group_size(world); culprit++) {
        fr_ctx *ctx = fr_test_ctx();
        fr_status mine = FR_OK;
        if (fr_group_rank(world) == culprit) {
            mine = FR_FAIL(ctx, FR_ERR_DATA, "row %d of 100%% is empty", culprit + 40);
        }
        char text[64];
        (void)snprintf(text, sizeof text, "row %d of 100%% is empty", culprit + 40);
        CU_ASSERT_EQUAL(fr_group_agree(world, mine), FR_ERR_DATA);
        CU_ASSERT_EQUAL(fr_ctx_error_status(ctx), FR_ERR_DATA);
        expect_message(ctx, culprit, text);
        fr_ctx_clear_error(ctx);
        expect_group_works(world);
    }
    fr_group_destroy(&world);
}

static void place_of_detection_is_spread(void)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_group *world = fr_test_world();
    fr_status mine = FR_OK;
    if (fr_group_rank(world) == 1) {
        mine = fr_fail_at(ctx, FR_ERR_FORMAT, "/some/folder/gguf.c", 321, "bad magic");
    }
    CU_ASSERT_EQUAL(fr_group_agree(world, mine), FR_ERR_FORMAT);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error_place(ctx), "gguf.c:321");
    fr_group_destroy(&world);
}

static void of_several_failing_the_lowest_rank_speaks(void)
{
    static const fr_status KINDS[] = {FR_ERR_CONFIG, FR_ERR_NO_MEMORY, FR_ERR_NUMERIC};
    fr_ctx *ctx = fr_test_ctx();
    fr_group *world = fr_test_world();
    int rank = fr_group_rank(world);
    fr_status mine = FR_FAIL(ctx, KINDS[rank % 3], "rank number %d complains", rank);
    CU_ASSERT_EQUAL(fr_group_agree(world, mine), FR_ERR_CONFIG);
    CU_ASSERT_EQUAL(fr_ctx_error_status(ctx), FR_ERR_CONFIG);
    expect_message(ctx, 0, "rank number 0 complains");

    fr_ctx_clear_error(ctx);
    mine = rank == 0 ? FR_OK : FR_FAIL(ctx, KINDS[rank % 3], "complaint %d", rank);
    CU_ASSERT_EQUAL(fr_group_agree(world, mine), FR_ERR_NO_MEMORY);
    expect_message(ctx, 1, "complaint 1");
    fr_ctx_clear_error(ctx);
    expect_group_works(world);
    fr_group_destroy(&world);
}

static void an_agreement_within_an_agreement_names_the_culprit_once(void)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_group *world = fr_test_world();
    fr_status mine = FR_OK;
    if (fr_group_rank(world) == 1) {
        mine = FR_FAIL(ctx, FR_ERR_IO, "disk full");
    }
    fr_status inner = fr_group_agree(world, mine);
    CU_ASSERT_EQUAL(inner, FR_ERR_IO);
    CU_ASSERT_EQUAL(fr_group_agree(world, inner), FR_ERR_IO);
    expect_message(ctx, 1, "disk full");
    fr_group_destroy(&world);
}

static void a_status_without_a_message_is_described(void)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_group *world = fr_test_world();
    fr_status mine = fr_group_rank(world) == 1 ? FR_ERR_STOPPED : FR_OK;
    CU_ASSERT_EQUAL(fr_group_agree(world, mine), FR_ERR_STOPPED);
    expect_message(ctx, 1, fr_status_text(FR_ERR_STOPPED));
    fr_group_destroy(&world);
}

static void a_long_message_is_cut_not_overrun(void)
{
    char text[4000];
    fr_ctx *ctx = fr_test_ctx();
    fr_group *world = fr_test_world();
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    fr_status mine = FR_OK;
    if (fr_group_rank(world) == 1) {
        mine = FR_FAIL(ctx, FR_ERR_DATA, "%s", text);
    }
    CU_ASSERT_EQUAL(fr_group_agree(world, mine), FR_ERR_DATA);
    CU_ASSERT_PTR_NOT_NULL(strstr(fr_ctx_error(ctx), "rank 1 on "));
    CU_ASSERT_TRUE(strlen(fr_ctx_error(ctx)) > 3900);
    fr_group_destroy(&world);
}

static void an_agreement_of_a_part_leaves_the_others_alone(void)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_group *world = fr_test_world();
    fr_group *part = NULL;
    int rank = fr_group_rank(world);
    FR_ASSERT_OK(fr_group_split(world, rank == 0 ? 0 : 1, 0, &part));
    fr_status mine = FR_OK;
    if (rank == 0) {
        mine = FR_FAIL(ctx, FR_ERR_DATA, "only here");
    }
    CU_ASSERT_EQUAL(fr_group_agree(part, mine), rank == 0 ? FR_ERR_DATA : FR_OK);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(ctx), rank == 0 ? "only here" : "");
    fr_group_destroy(&part);
    fr_group_destroy(&world);
}

static void ranks_with_one_text_agree(void)
{
    fr_group *world = fr_test_world();
    FR_ASSERT_OK(fr_group_agree_text(world, "the thing", "cpu 1", "mend it"));
    FR_ASSERT_OK(fr_group_agree_text(world, "the thing", "", "mend it"));
    expect_group_works(world);
    fr_group_destroy(&world);
}

static void of_ranks_with_other_texts_the_lowest_is_named(void)
{
    char host[256] = "";
    char wanted[512];
    fr_ctx *ctx = fr_test_ctx();
    fr_group *world = fr_test_world();
    int n = fr_group_size(world);
    int rank = fr_group_rank(world);
    (void)gethostname(host, sizeof host - 1);
    for (int odd = 1; odd < n; odd++) {
        const char *mine = rank >= odd ? "cpu 2" : "cpu 1";
        CU_ASSERT_EQUAL(fr_group_agree_text(world, "the thing", mine, "mend it"),
                        FR_ERR_UNSUPPORTED);
        (void)snprintf(wanted, sizeof wanted,
                       "the thing is \"cpu 2\" here and \"cpu 1\" on rank 0 (%s); "
                       "mend it",
                       host);
        expect_message(ctx, odd, wanted);
        fr_ctx_clear_error(ctx);
        expect_group_works(world);
    }
    fr_group_destroy(&world);
}

static const fr_case CASES[] = {
    FR_CASE(nobody_failing_is_ok_and_leaves_no_error),
    FR_CASE(one_failing_rank_ends_all_with_its_message),
    FR_CASE(place_of_detection_is_spread),
    FR_CASE(of_several_failing_the_lowest_rank_speaks),
    FR_CASE(an_agreement_within_an_agreement_names_the_culprit_once),
    FR_CASE(a_status_without_a_message_is_described),
    FR_CASE(a_long_message_is_cut_not_overrun),
    FR_CASE(an_agreement_of_a_part_leaves_the_others_alone),
    FR_CASE(ranks_with_one_text_agree),
    FR_CASE(of_ranks_with_other_texts_the_lowest_is_named),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("agree", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
