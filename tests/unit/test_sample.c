#include "model/network/sample.h"
#include "support/suite.h"

#include <math.h>

static void refuses(fr_sample_params params, const char *option)
{
    FR_ASSERT_FAILS(fr_sample_check(fr_test_ctx(), &params), FR_ERR_ARG, option);
}

static void bad_options_are_named(void)
{
    refuses((fr_sample_params){.temperature = -1.0, .top_p = 1.0}, "--temperature");
    refuses((fr_sample_params){.top_k = -1, .top_p = 1.0}, "--top-k");
    refuses((fr_sample_params){.top_p = 0.0}, "--top-p");
    refuses((fr_sample_params){.top_p = (double)NAN}, "--top-p");
    refuses((fr_sample_params){.top_p = 1.0, .min_p = 1.5}, "--min-p");
    refuses((fr_sample_params){.top_p = 1.0, .min_p = (double)NAN}, "--min-p");
    refuses((fr_sample_params){.top_p = 1.0, .repetition_penalty = -2.0},
            "--repetition-penalty");
    refuses((fr_sample_params){.top_p = 1.0, .repetition_penalty = (double)NAN},
            "--repetition-penalty");
}

static const fr_case CASES[] = {
    FR_CASE(bad_options_are_named),
};

int main(int argc, char **argv)
{
    return fr_suite_main("sample", CASES, FR_N_CASES(CASES), argc, argv);
}
