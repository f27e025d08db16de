/*
 * sample.h - the options by which the next token is chosen (device/sample.h chooses).
 */
#ifndef FR_MODEL_NETWORK_SAMPLE_H
#define FR_MODEL_NETWORK_SAMPLE_H

#include "base/ctx.h"

#include <stdint.h>

typedef struct fr_sample_params {
    double temperature; /* 0: greedy (the lowest id among equals) */
    int64_t top_k;      /* keep the k likeliest; 0: all */
    double top_p;       /* keep the smallest set with this much probability; 1: all */
    uint64_t seed;
    const uint8_t *never_V; /* not 0: never chosen; NULL: all may be; borrowed */
} fr_sample_params;

/** FR_ERR_ARG naming the option that is out of range. */
FR_MUST_CHECK fr_status fr_sample_check(fr_ctx *ctx, const fr_sample_params *params);

#endif
