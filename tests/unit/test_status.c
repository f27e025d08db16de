#include "support/suite.h"

#include <string.h>

static void each_status_has_text_and_exit_code(void)
{
    static const int ALLOWED[] = {0, 1, 2, 3, 4, 5, 6, 75};
    for (int i = 0; i < FR_STATUS_COUNT; i++) {
        bool found = false;
        for (size_t k = 0; k < sizeof ALLOWED / sizeof ALLOWED[0]; k++) {
            found = found || fr_status_exit_code((fr_status)i) == ALLOWED[k];
        }
        CU_ASSERT_TRUE(found);
        CU_ASSERT_TRUE(strlen(fr_status_text((fr_status)i)) > 3);
    }
}

static void texts_differ_from_each_other(void)
{
    for (int i = 0; i < FR_STATUS_COUNT; i++) {
        for (int k = i + 1; k < FR_STATUS_COUNT; k++) {
            CU_ASSERT_STRING_NOT_EQUAL(fr_status_text((fr_status)i),
                                       fr_status_text((fr_status)k));
        }
    }
}

static void success_alone_exits_with_zero(void)
{
    CU_ASSERT_EQUAL(FR_OK, 0);
    for (int i = 0; i < FR_STATUS_COUNT; i++) {
        CU_ASSERT_EQUAL(fr_status_exit_code((fr_status)i) == 0, i == FR_OK);
    }
}

static void exit_codes_are_the_documented_ones(void)
{
    CU_ASSERT_EQUAL(fr_status_exit_code(FR_ERR_ARG), 2);
    CU_ASSERT_EQUAL(fr_status_exit_code(FR_ERR_CONFIG), 2);
    CU_ASSERT_EQUAL(fr_status_exit_code(FR_ERR_DATA), 3);
    CU_ASSERT_EQUAL(fr_status_exit_code(FR_ERR_FORMAT), 3);
    CU_ASSERT_EQUAL(fr_status_exit_code(FR_ERR_NUMERIC), 4);
    CU_ASSERT_EQUAL(fr_status_exit_code(FR_ERR_COMM), 5);
    CU_ASSERT_EQUAL(fr_status_exit_code(FR_ERR_CHECKPOINT), 6);
    CU_ASSERT_EQUAL(fr_status_exit_code(FR_ERR_STOPPED), 75);
    CU_ASSERT_EQUAL(fr_status_exit_code(FR_ERR_IO), 1);
}

static void unknown_status_is_still_answered(void)
{
    CU_ASSERT_STRING_EQUAL(fr_status_text((fr_status)FR_STATUS_COUNT),
                           "unknown status");
    CU_ASSERT_EQUAL(fr_status_exit_code((fr_status)FR_STATUS_COUNT), 1);
}

static fr_status try_twice(fr_status first, fr_status second, int *reached)
{
    FR_TRY(first);
    *reached = 1;
    FR_TRY(second);
    *reached = 2;
    return FR_OK;
}

static void try_returns_the_first_failure(void)
{
    int reached = 0;
    CU_ASSERT_EQUAL(try_twice(FR_ERR_IO, FR_ERR_ARG, &reached), FR_ERR_IO);
    CU_ASSERT_EQUAL(reached, 0);
    CU_ASSERT_EQUAL(try_twice(FR_OK, FR_ERR_ARG, &reached), FR_ERR_ARG);
    CU_ASSERT_EQUAL(reached, 1);
    CU_ASSERT_EQUAL(try_twice(FR_OK, FR_OK, &reached), FR_OK);
    CU_ASSERT_EQUAL(reached, 2);
}

static const fr_case CASES[] = {
    FR_CASE(each_status_has_text_and_exit_code),
    FR_CASE(texts_differ_from_each_other),
    FR_CASE(success_alone_exits_with_zero),
    FR_CASE(exit_codes_are_the_documented_ones),
    FR_CASE(unknown_status_is_still_answered),
    FR_CASE(try_returns_the_first_failure),
};

int main(int argc, char **argv)
{
    return fr_suite_main("status", CASES, FR_N_CASES(CASES), argc, argv);
}
