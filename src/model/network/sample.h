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
    double
        min_p; /* keep what has at least this share of the likeliest one's probability; 0: all */
    /* logits of ids that stand in the prompt or in the answer so far: divided by it where they are above 0, else multiplied
     * (Keskar et al. 2019, arXiv:1909.05858, section 4.1); 1 or 0: as they are */
    double repetition_penalty;
    uint64_t seed;
} fr_sample_params;

/** Whether logits are changed before a choice. */
bool fr_sample_penalises(const fr_sample_params *params);

/** FR_ERR_ARG naming the option that is out of range. */
FR_MUST_CHECK fr_status fr_sample_check(fr_ctx *ctx, const fr_sample_params *params);

#endif
