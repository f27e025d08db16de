/*
 * step.h - one optimizer update of one task, and one validation pass.
 *
 * Layer L4; uses engine, task, optimizer. Collective over the world.
 */
#ifndef FR_TRAIN_STEP_H
#define FR_TRAIN_STEP_H

#include "train/task.h"

typedef struct fr_step_result {
    double loss; /* mean nats per target token of the step, before the update */
    double learning_rate;
    double gradient_norm; /* of the mean loss, before clipping */
    int64_t n_counted;    /* target tokens */
    int64_t n_useful;     /* source and target tokens */
    bool skipped;         /* non-finite: nothing was updated */
    bool stop_requested;  /* some rank asked to stop; the same answer on all ranks */
} fr_step_result;

/**
 * Plan, forward, loss, backward, exact reduction over the replicas, clip, update. Every rank leaves with the
 * same result and every replica with the same prefix, bit for bit, on any layout.
 *
 * @param stop  this rank asks all to stop after this step (rides on the loss reduction)
 * @return FR_OK (also for a skipped step); FR_ERR_COMM, FR_ERR_NO_MEMORY, FR_ERR_INTERNAL
 */
FR_MUST_CHECK fr_status fr_step_run(const fr_task_env *env, fr_grid *grid,
                                    fr_engine *engine, fr_task *task, bool stop,
                                    fr_step_result *out);

typedef struct fr_evaluation {
    double loss; /* mean nats per target token; NaN if some value was not finite */
    int64_t n_targets;
    int64_t n_examples;
} fr_evaluation;

/**
 * Mean loss over all rows of a dataset, the same bits on every layout.
 * @param microbatch_tokens  upper bound of a microbatch
 * @param example_nll        NULL, or [n_examples]: nats of each example, on every rank
 */
FR_MUST_CHECK fr_status fr_evaluate(const fr_task_env *env, fr_grid *grid,
                                    fr_engine *engine, const fr_dataset *dataset,
                                    const fr_stage_prefix *prefix,
                                    int64_t microbatch_tokens, double *example_nll,
                                    fr_evaluation *out);

#endif
