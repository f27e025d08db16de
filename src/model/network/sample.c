#include "model/network/sample.h"

bool fr_sample_penalises(const fr_sample_params *params)
{
    return params->repetition_penalty != 0.0 && params->repetition_penalty != 1.0;
}

fr_status fr_sample_check(fr_ctx *ctx, const fr_sample_params *params)
{
    if (!(params->temperature >= 0.0 && params->temperature <= 100.0)) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--temperature %g, must be 0 to 100",
                       params->temperature);
    }
    if (params->top_k < 0) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--top-k %lld, must be at least 0 (0: all)",
                       (long long)params->top_k);
    }
    if (!(params->top_p > 0.0 && params->top_p <= 1.0)) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--top-p %g, must be in (0, 1]", params->top_p);
    }
    if (!(params->min_p >= 0.0 && params->min_p <= 1.0)) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--min-p %g, must be in [0, 1]", params->min_p);
    }
    if (!(params->repetition_penalty == 0.0 ||
          (params->repetition_penalty >= 0.1 && params->repetition_penalty <= 10.0))) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "--repetition-penalty %g, must be 0.1 to 10 (1: none)",
                       params->repetition_penalty);
    }
    return FR_OK;
}
