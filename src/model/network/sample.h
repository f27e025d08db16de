/*
 * sample.h - choose the next token from logits.
 *
 * Pure: the choice is a function of the logits, the options and one uniform number.
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

/** One candidate; scratch of fr_sample. */
typedef struct fr_candidate {
    int32_t id;
    float logit;
} fr_candidate;

/** What fr_sample answers where nothing can be chosen: no token has this id. */
enum { FR_NO_TOKEN = -1 };

/**
 * @param uniform     in [0, 1): picks from the kept distribution
 * @param scratch_V   room for `vocab` candidates
 * @return the token's id; FR_NO_TOKEN if a logit is not finite, whatever the options, or no id may be chosen
 */
FR_MUST_CHECK int32_t fr_sample(const float *logits_V, int64_t vocab,
                                const fr_sample_params *params, double uniform,
                                fr_candidate *scratch_V);

#endif
