#include "cli/answers_record.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static fr_record make_record(const char *arithmetic, const char *seed,
                             const char *model)
{
    fr_record record;
    fr_record_init(&record);
    fr_record_add(&record, "the arithmetic", arithmetic);
    fr_record_add(&record, "--seed", seed);
    fr_record_add(&record, "the model", model);
    return record;
}

static void a_record_names_what_differs(void)
{
    fr_record now = make_record("cpu 1", "1", "abc");
    fr_record other = make_record("cpu 1", "12", "abc");
    fr_ctx *ctx = fr_test_ctx();
    FR_ASSERT_OK(fr_record_check(ctx, "o.part", now.text, now.bytes, &now));
    FR_ASSERT_FAILS(fr_record_check(ctx, "o.part", other.text, other.bytes, &now),
                    FR_ERR_ARG,
                    "cannot continue from o.part: --seed differs from what its answers "
                    "were made with (12 then, 1 now)");
    other = make_record("cpu 1", "1", "abcd");
    FR_ASSERT_FAILS(fr_record_check(ctx, "o.part", other.text, other.bytes, &now),
                    FR_ERR_ARG, "the model differs from what");
    other = make_record("cuda 1", "1", "abc");
    FR_ASSERT_OK(fr_record_check(ctx, "o.part", other.text, other.bytes, &now));
    other = make_record("cuda 1", "2", "abc");
    FR_ASSERT_FAILS(fr_record_check(ctx, "o.part", other.text, other.bytes, &now),
                    FR_ERR_ARG, "--seed differs from what");
    fr_record_add(&now, "more", "facts");
    other = make_record("cpu 1", "1", "abc");
    FR_ASSERT_FAILS(fr_record_check(ctx, "o.part", other.text, other.bytes, &now),
                    FR_ERR_ARG, "damaged or of another version");
    FR_ASSERT_FAILS(fr_record_check(ctx, "o.part", now.text, now.bytes, &other),
                    FR_ERR_ARG, "damaged or of another version");
}

/* Later options have a line only where they are set, so that older records hold still. */
static void later_options_are_named_where_one_record_lacks_them(void)
{
    fr_record without = make_record("cpu 1", "1", "abc");
    fr_record with;
    fr_record other;
    fr_ctx *ctx = fr_test_ctx();
    fr_record_init(&with);
    fr_record_add(&with, "the arithmetic", "cpu 1");
    fr_record_add(&with, "--seed", "1");
    other = with;
    fr_record_add(&with, "--n", "3");
    fr_record_add(&other, "--n", "4");
    fr_record_add(&with, "the model", "abc");
    fr_record_add(&other, "the model", "abc");
    FR_ASSERT_OK(fr_record_check(ctx, "o.part", with.text, with.bytes, &with));
    FR_ASSERT_FAILS(fr_record_check(ctx, "o.part", with.text, with.bytes, &without),
                    FR_ERR_ARG,
                    "--n differs from what its answers were made with (at its default "
                    "now, but not then)");
    FR_ASSERT_FAILS(fr_record_check(ctx, "o.part", without.text, without.bytes, &with),
                    FR_ERR_ARG, "(at its default then, but not now)");
    FR_ASSERT_FAILS(fr_record_check(ctx, "o.part", other.text, other.bytes, &with),
                    FR_ERR_ARG,
                    "--n differs from what its answers were made with (4 then, 3 now)");
}

/* It came later, in front of the rows. */
static void the_epsilon_of_norms_is_compared_where_it_is_told(void)
{
    static const char EPS[] = "the epsilon of the model's norms";
    fr_record before = make_record("avx2", "1", "abc");
    fr_record now = before;
    fr_record other = before;
    fr_ctx *ctx = fr_test_ctx();
    fr_record_add(&now, EPS, "1e-05");
    fr_record_add(&other, EPS, "1e-06");
    fr_record_add(&before, "--input", "rows");
    fr_record_add(&now, "--input", "rows");
    fr_record_add(&other, "--input", "rows");
    FR_ASSERT_OK(fr_record_check(ctx, "o.part", before.text, before.bytes, &now));
    FR_ASSERT_FAILS(fr_record_check(ctx, "o.part", other.text, other.bytes, &now),
                    FR_ERR_ARG,
                    "the epsilon of the model's norms differs from what its answers "
                    "were made with (1e-06 then, 1e-05 now)");
    before = make_record("avx2", "1", "abc");
    fr_record_add(&before, "--input", "other rows");
    FR_ASSERT_FAILS(fr_record_check(ctx, "o.part", before.text, before.bytes, &now),
                    FR_ERR_ARG, "--input differs from what");
}

/* Records from before arithmetics had names. */
static void an_instruction_set_stands_for_an_arithmetic(void)
{
    fr_record now = make_record("cpu 1", "1", "abc");
    fr_record old;
    fr_record_init(&old);
    fr_record_add(&old, "the instruction set", "avx512_bf16");
    fr_record_add(&old, "--seed", "1");
    fr_record_add(&old, "the model", "abc");
    FR_ASSERT_OK(fr_record_check(fr_test_ctx(), "o.part", old.text, old.bytes, &now));
    FR_ASSERT_FAILS(fr_record_check(fr_test_ctx(), "o.part", now.text, now.bytes, &old),
                    FR_ERR_ARG, "damaged or of another version");
}

static void a_record_that_was_cut_is_refused_and_known(void)
{
    fr_record now = make_record("cpu 1", "1", "abc");
    for (size_t cut = 0; cut + 1 < now.bytes; cut++) {
        char *block = malloc(cut + 1);
        CU_ASSERT_PTR_NOT_NULL_FATAL(block);
        memcpy(block, now.text, cut);
        CU_ASSERT_TRUE(fr_record_is_ours(block, cut));
        FR_ASSERT_FAILS(fr_record_check(fr_test_ctx(), "o.part", block, cut, &now),
                        FR_ERR_ARG, "cannot continue from o.part");
        free(block);
    }
    CU_ASSERT_FALSE(fr_record_is_ours("my notes\n", 9));
}

static const fr_case CASES[] = {
    FR_CASE(a_record_names_what_differs),
    FR_CASE(later_options_are_named_where_one_record_lacks_them),
    FR_CASE(the_epsilon_of_norms_is_compared_where_it_is_told),
    FR_CASE(an_instruction_set_stands_for_an_arithmetic),
    FR_CASE(a_record_that_was_cut_is_refused_and_known),
};

int main(int argc, char **argv)
{
    return fr_suite_main("answers_record", CASES, FR_N_CASES(CASES), argc, argv);
}
