/*
 * step.h - optimizer updates under way, one a task at most, and the validation pass.
 *
 * A step goes through these phases on every rank:
 *
 *   begin     plan it; its microbatches may run
 *   close     the last backward is done: its gradient is complete on this rank
 *   reduce    exact integer sum of the prefix gradient over the replicas of the stage
 *   agree     the step summary over the world: loss, non-finite values, requests, norms, traffic
 *   done      clipped and updated; every replica holds the same prefix, bit for bit, on any layout
 *
 * The last three need no call of their own: fr_steps_progress moves them on, between other work and during every wait.
 * All ranks begin steps in the same order, so that the reductions match.
 */
#ifndef FR_TRAIN_STEP_STEP_H
#define FR_TRAIN_STEP_STEP_H

#include "train/step/task.h"

typedef struct fr_step_result {
    double loss; /* mean nats per target token of the step, before the update */
    double learning_rate;
    double gradient_norm; /* of the mean loss, before clipping */
    int64_t n_counted;    /* target tokens */
    int64_t n_useful;     /* source and target tokens of every example */
    int64_t n_examples;
    int64_t n_rows; /* token rows that were computed: fewer where tokens are shared */
    bool skipped;   /* non-finite: nothing was updated */
    bool stop_requested; /* some rank asked to stop; the same answer on all ranks */
    bool failed;         /* some rank has failed aside of the step, likewise */
    int n_edges;         /* stages less one */
    const fr_traffic *
        edges; /* between stage e and e + 1, all replicas; until the task's next begin */
} fr_step_result;

/** Numbers (int64_t) of the step summary that all ranks agree on at a step's end. */
int64_t fr_step_summary_length(int n_stages, int64_t n_layers);

typedef struct fr_steps fr_steps;

/** Everything is borrowed. Progress is hooked into the waits of the grid's world until destroy.
 * @param replicas  fr_engine_replicas; nobody else sums over it */
FR_MUST_CHECK fr_status fr_steps_create(const fr_task_env *env, fr_grid *grid,
                                        fr_link *replicas, fr_task *tasks,
                                        int64_t n_tasks, fr_steps **out);
void fr_steps_destroy(fr_steps **steps);

/** Begin the next step of a task, whose last one is done. @param n_own microbatches of this replica */
FR_MUST_CHECK fr_status fr_step_begin(fr_steps *steps, int64_t task, int64_t *n_own);

/** The pass that the engine runs the step's microbatches with. */
fr_pass *fr_step_pass(fr_steps *steps, int64_t task);

/**
 * The step's own microbatches are done (also where there were none).
 * @param stop    this rank asks all to stop
 * @param failed  this rank has failed and will say why at the next agreement
 */
void fr_step_close(fr_steps *steps, int64_t task, bool stop, bool failed);

/** Move on what can move without waiting. A failure shows at the next call that returns a status. */
void fr_steps_progress(fr_steps *steps);

/** Whether the task has no step under way. */
bool fr_step_is_done(const fr_steps *steps, int64_t task);

/** Wait until the task's step is done. */
FR_MUST_CHECK fr_status fr_step_finish(fr_steps *steps, int64_t task,
                                       fr_step_result *out);

#endif
