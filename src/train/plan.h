/*
 * plan.h - what a step computes: a pure function of (data, seed, step), the same on every rank.
 *
 * Layer L4; no communication. Which examples a step takes, which of them form a unit, which units form
 * which microbatch, and which replica runs it. In which order: schedule.h.
 */
#ifndef FR_TRAIN_PLAN_H
#define FR_TRAIN_PLAN_H

#include "train/data.h"

/** The endless, shuffled order of a task's examples. Sample g belongs to epoch g / n; each epoch is a
 * Fisher-Yates shuffle keyed by (seed, epoch). Keeps the current epoch's order. */
typedef struct fr_sampler {
    uint64_t seed;
    int64_t n_examples;
    int64_t epoch; /* of `order`; -1: none */
    int64_t *order;
} fr_sampler;

FR_MUST_CHECK fr_status fr_sampler_init(fr_ctx *ctx, uint64_t seed, int64_t n_examples,
                                        fr_sampler *out);
void fr_sampler_fini(fr_sampler *sampler);
/** Example number of global sample g. */
int64_t fr_sampler_get(fr_sampler *sampler, int64_t g);

/** One source with those of its targets that are in the step. */
typedef struct fr_unit {
    int64_t row;
    int64_t first_target; /* into fr_step_plan.targets */
    int64_t n_targets;
    int64_t n_rows; /* token rows it takes */
} fr_unit;

typedef struct fr_microbatch {
    int64_t first_unit; /* into fr_step_plan.order */
    int64_t n_units;
    int64_t n_rows;
    int replica;
} fr_microbatch;

typedef struct fr_step_plan {
    int64_t n_units;
    int64_t n_targets; /* examples */
    int64_t n_microbatches;
    int64_t n_counted; /* target tokens of the step: what the mean loss divides by */
    int64_t n_useful;  /* source and target tokens, for tokens/s */
    fr_unit *units;    /* in order of first appearance */
    int64_t *targets;  /* target number within the row */
    int64_t *order;    /* unit numbers, microbatch by microbatch */
    fr_microbatch *microbatches;
    int64_t room; /* examples that the arrays have room for */
} fr_step_plan;

void fr_step_plan_fini(fr_step_plan *plan);

/**
 * Plan the step that takes samples [cursor, cursor + n_examples) of the sampler.
 *
 * Units are packed into microbatches of at most microbatch_tokens rows (a longer unit travels alone),
 * longest first into the emptiest, at least n_replicas microbatches where there are that many units.
 */
FR_MUST_CHECK fr_status fr_plan_step(fr_ctx *ctx, const fr_dataset *dataset,
                                     fr_sampler *sampler, int64_t cursor,
                                     int64_t n_examples, int64_t microbatch_tokens,
                                     int n_replicas, fr_step_plan *plan);

/** Plan one pass over examples [first, first + n_examples) in file order (evaluation). */
FR_MUST_CHECK fr_status fr_plan_rows(fr_ctx *ctx, const fr_dataset *dataset,
                                     int64_t first, int64_t n_examples,
                                     int64_t microbatch_tokens, int n_replicas,
                                     fr_step_plan *plan);

#endif
