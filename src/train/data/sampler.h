/*
 * sampler.h - the endless order of a task's examples: a pure function of (seed, epoch), the same on every rank.
 *
 * Nothing is communicated and nothing but the cursor is saved: a resume computes the same order again.
 */
#ifndef FR_TRAIN_DATA_SAMPLER_H
#define FR_TRAIN_DATA_SAMPLER_H

#include "train/data/data.h"

/** Sample g belongs to epoch g / n; every epoch holds each example once. Keeps the current epoch's order. */
typedef struct fr_sampler {
    uint64_t seed;
    int64_t n_examples;
    int64_t epoch; /* of `order`; -1: none */
    int64_t *order;
    /* only where examples are ordered by source: */
    int64_t n_sources;
    int64_t *by_source; /* [n_examples] examples, source by source; NULL: shuffled */
    int64_t *first;     /* [n_sources + 1] into by_source */
    int64_t *sources;   /* [n_sources] order of the sources in the epoch */
} fr_sampler;

/**
 * @param by_source  NULL: each epoch is a Fisher-Yates shuffle of all examples, keyed by (seed, epoch). Else the
 *                   dataset of the examples: an epoch is such a shuffle of its distinct sources, each followed by a
 *                   shuffle of its examples.
 */
FR_MUST_CHECK fr_status fr_sampler_init(fr_ctx *ctx, uint64_t seed, int64_t n_examples,
                                        const fr_dataset *by_source, fr_sampler *out);
void fr_sampler_fini(fr_sampler *sampler);
/** Example number of global sample g. */
int64_t fr_sampler_get(fr_sampler *sampler, int64_t g);

#endif
