/*
 * step_plan.h - what a step computes: a pure function of (data, seed, step), the same on every rank.
 *
 * The plan says which examples the step takes, which of them form a unit, which units form a microbatch, and which
 * replica runs it. Every rank computes the same plan, so nothing is communicated. schedule.h decides when each
 * microbatch runs.
 */
#ifndef FR_TRAIN_DATA_STEP_PLAN_H
#define FR_TRAIN_DATA_STEP_PLAN_H

#include "train/config/config.h"
#include "train/data/sampler.h"

/** How examples become units and microbatches. share_sources and share_prompt decide what is summed as one, and so the
 * bits of the result; the last two decide only where and when it is computed. */
typedef struct fr_plan_params {
    const fr_dataset *dataset;
    bool share_sources; /* equal sources are computed once; false: once per example */
    /* at most so many sources share a common beginning; up to 1: none do */
    int64_t share_prompt;
    int64_t microbatch_tokens;
    int n_replicas;
} fr_plan_params;

/** As a task's config says; its FR_AUTO is FR_MICROBATCH_TOKENS. */
fr_plan_params fr_plan_of_task(const fr_task_config *config, const fr_dataset *dataset,
                               int n_replicas);

/** A source and its examples in the step. */
typedef struct fr_plan_source {
    int64_t row;
    int64_t first_example; /* into fr_step_plan.examples */
    int64_t n_examples;
} fr_plan_source;

/** What is summed as one: a source with its examples, or neighbouring sources that begin alike. */
typedef struct fr_unit {
    int64_t first_source; /* into fr_step_plan.sources */
    int64_t n_sources;
    /* leading tokens that its sources share and that are computed once */
    int64_t n_shared;
    int64_t n_rows; /* token rows to compute */
} fr_unit;

typedef struct fr_microbatch {
    int64_t first_unit; /* into fr_step_plan.order */
    int64_t n_units;
    int64_t n_rows;
    int replica;
} fr_microbatch;

typedef struct fr_step_plan {
    int64_t n_sources;
    int64_t n_units;
    int64_t n_examples;
    int64_t n_microbatches;
    int64_t n_counted; /* target tokens of the step: the divisor of the mean loss */
    int64_t n_useful;  /* source and target tokens of every example, for tokens/s */
    int64_t n_rows;    /* token rows that are computed */
    int64_t n_keys;    /* keys that these rows attend to, without the prefix */
    fr_plan_source *sources;     /* in order of first appearance */
    fr_unit *units;              /* likewise */
    int64_t *examples;           /* example numbers, source by source */
    int64_t *order;              /* unit numbers, microbatch by microbatch */
    fr_microbatch *microbatches; /* a replica's own: fr_plan_microbatch */
    int n_replicas;
    int64_t *drawn;   /* scratch: examples in order, then the microbatch of each unit */
    int64_t capacity; /* of the arrays, in examples */
} fr_step_plan;

void fr_step_plan_fini(fr_step_plan *plan);

/**
 * Plan the step that takes samples [cursor, cursor + n_examples) of the sampler. Allocates only if the
 * plan never held as many examples.
 *
 * With share_prompt N the step's sources, in order of first appearance, are cut into groups of N. A group whose
 * sources begin with at least 8 common tokens is one unit, which computes these tokens once. Tokens in the loss are not
 * shared, and each source keeps at least one token of its own. In other groups each source is a unit.
 *
 * Units are packed into microbatches of at most microbatch_tokens rows, longest first into the emptiest. A unit longer
 * than that has a microbatch of its own. There are at least n_replicas microbatches if there are that many units.
 */
FR_MUST_CHECK fr_status fr_plan_step(fr_ctx *ctx, const fr_plan_params *params,
                                     fr_sampler *sampler, int64_t cursor,
                                     int64_t n_examples, fr_step_plan *plan);

/** Plan one pass over examples [first, first + n_examples) in file order (evaluation). */
FR_MUST_CHECK fr_status fr_plan_rows(fr_ctx *ctx, const fr_plan_params *params,
                                     int64_t first, int64_t n_examples,
                                     fr_step_plan *plan);

/** Number of microbatches that a replica runs. Constant time. */
int64_t fr_plan_count(const fr_step_plan *plan, int replica);

/** The microbatch that a replica runs at `index` (0 .. fr_plan_count - 1), in the order of the plan. Constant time. */
const fr_microbatch *fr_plan_microbatch(const fr_step_plan *plan, int replica,
                                        int64_t index);

#endif
