/*
 * stopping.h - when a task stops: a pure function of its rules and of what it has seen, so every rank decides
 * alike and a resume decides again.
 *
 * Without communication and output. Nothing but the facts below is remembered. So a task that one rule stopped stays stopped after a resume as long
 * as the rule holds, and goes on where the rule was relaxed (more steps, more patience, a lower stop_below, a
 * higher run.nonfinite_limit). A rule made stricter counts at once.
 */
#ifndef FR_TRAIN_STEP_STOPPING_H
#define FR_TRAIN_STEP_STOPPING_H

#include "train/step/task.h"

typedef enum fr_stop_reason {
    FR_STOP_NONE,      /* goes on */
    FR_STOP_NONFINITE, /* run.nonfinite_limit skipped steps in a row: a failure */
    FR_STOP_STEPS,     /* all steps are done */
    FR_STOP_BELOW,     /* the last validation loss is below stop_below */
    FR_STOP_PATIENCE   /* `patience` validations in a row without a better loss */
} fr_stop_reason;

typedef struct fr_stop_rules {
    int64_t n_steps;
    int64_t nonfinite_limit;
    int64_t patience;  /* 0: none */
    double stop_below; /* 0: none */
} fr_stop_rules;

typedef struct fr_stop_facts {
    int64_t step; /* updates done, skipped ones included */
    int64_t skipped_in_row;
    int64_t stale_validations; /* in a row without a better loss */
    double valid_loss;         /* of the last validation; INFINITY: none yet */
} fr_stop_facts;

/** The first reason in the order of the enum that holds. */
fr_stop_reason fr_stop_decide(const fr_stop_rules *rules, const fr_stop_facts *facts);

/** Decide for a task and set task->progress.stopped. Call after every step, validation and restore. */
fr_stop_reason fr_task_decide(fr_task *task, int64_t nonfinite_limit);

/** Count a validation; true if its loss is the best so far (best_loss and best_step then say so). A loss that
 * is not a number is never better. */
bool fr_task_count_validation(fr_task *task, double loss);

/** "steps", "patience", "stop_below", "nonfinite"; "" while the task goes on. */
const char *fr_stop_reason_name(fr_stop_reason reason);

#endif
