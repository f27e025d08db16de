#include "model/network/sample.h"
#include "support/suite.h"

#include <math.h>

static void bad_options_are_named(void)
{
    fr_sample_params params = {-1.0, 0, 1.0, 0, NULL};
    FR_ASSERT_FAILS(fr_sample_check(fr_test_ctx(), &params), FR_ERR_ARG,
                    "--temperature");
    params = (fr_sample_params){1.0, -1, 1.0, 0, NULL};
    FR_ASSERT_FAILS(fr_sample_check(fr_test_ctx(), &params), FR_ERR_ARG, "--top-k");
    params = (fr_sample_params){1.0, 0, 0.0, 0, NULL};
    FR_ASSERT_FAILS(fr_sample_check(fr_test_ctx(), &params), FR_ERR_ARG, "--top-p");
    params = (fr_sample_params){1.0, 0, (double)NAN, 0, NULL};
    FR_ASSERT_FAILS(fr_sample_check(fr_test_ctx(), &params), FR_ERR_ARG, "--top-p");
}

static const fr_case CASES[] = {
    FR_CASE(bad_options_are_named),
};

int main(int argc, char **argv)
{
    return fr_suite_main("sample", CASES, FR_N_CASES(CASES), argc, argv);
}
