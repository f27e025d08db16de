#include "base/integer.h"
#include "support/suite.h"

static void the_smaller_and_the_larger(void)
{
    CU_ASSERT_EQUAL(fr_min(-1, 2), -1);
    CU_ASSERT_EQUAL(fr_min(2, -1), -1);
    CU_ASSERT_EQUAL(fr_max(INT64_MIN, INT64_MAX), INT64_MAX);
    CU_ASSERT_EQUAL(fr_max(7, 7), 7);
}

static void a_clamped_number_lies_in_the_interval(void)
{
    CU_ASSERT_EQUAL(fr_clamp(5, 1, 10), 5);
    CU_ASSERT_EQUAL(fr_clamp(0, 1, 10), 1);
    CU_ASSERT_EQUAL(fr_clamp(11, 1, 10), 10);
}

static void quotients_and_multiples_are_the_smallest_that_reach(void)
{
    for (int64_t b = 1; b < 20; b++) {
        for (int64_t a = 0; a < 100; a++) {
            int64_t n = fr_ceil_div(a, b);
            CU_ASSERT_TRUE(n * b >= a && (n - 1) * b < a);
            CU_ASSERT_EQUAL(fr_round_up(a, b), n * b);
        }
    }
}

static const fr_case CASES[] = {
    FR_CASE(the_smaller_and_the_larger),
    FR_CASE(a_clamped_number_lies_in_the_interval),
    FR_CASE(quotients_and_multiples_are_the_smallest_that_reach),
};

int main(int argc, char **argv)
{
    return fr_suite_main("integer", CASES, FR_N_CASES(CASES), argc, argv);
}
