/*
 * evaluate.h - the loss of a prefix on rows of data, forward only.
 */
#ifndef FR_TRAIN_STEP_EVALUATE_H
#define FR_TRAIN_STEP_EVALUATE_H

#include "train/step/task.h"

typedef struct fr_evaluation {
    double loss; /* mean nats per target token; NaN if some value was not finite */
    int64_t n_targets;
    int64_t n_examples;
} fr_evaluation;

/**
 * Mean loss over all rows of a dataset, the same bits on every layout. Equal sources are computed once, whatever the
 * config says: that changes no bit of a forward pass. Collective over the world; nothing may be in flight. A rank that fails
 * alone abandons the others (fr_group_abandon).
 * @param microbatch_tokens  upper bound of a microbatch
 * @param example_nll        NULL, or [n_examples]: nats of each example, on every rank
 */
FR_MUST_CHECK fr_status fr_evaluate(const fr_task_env *env, fr_grid *grid,
                                    fr_engine *engine, const fr_dataset *dataset,
                                    const fr_stage_prefix *prefix,
                                    int64_t microbatch_tokens, double *example_nll,
                                    fr_evaluation *out);

/** The same over the first out->n_examples examples, or over all where there are fewer; out->n_examples says how many. */
FR_MUST_CHECK fr_status fr_evaluate_first(const fr_task_env *env, fr_grid *grid,
                                          fr_engine *engine, const fr_dataset *dataset,
                                          const fr_stage_prefix *prefix,
                                          int64_t microbatch_tokens,
                                          fr_evaluation *out);

#endif
