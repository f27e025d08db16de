/*
 * progress.h - how far a task has come: what training changes from step to step, besides its arrays.
 *
 * One struct for the task that trains and for the checkpoint that keeps it, so that saving and resuming copy it as a
 * whole. A new field also needs its line in a table of checkpoint.c.
 */
#ifndef FR_TRAIN_CHECKPOINT_PROGRESS_H
#define FR_TRAIN_CHECKPOINT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct fr_progress {
    int64_t step;     /* updates done, skipped ones included */
    int64_t cursor;   /* next global example index */
    bool stopped;     /* by its step count or another rule, see stopping.h */
    double best_loss; /* of the best validation; INFINITY: none yet */
    int64_t best_step;
    double last_loss; /* training loss of the last step that was not skipped */
    int64_t skipped;  /* non-finite steps skipped so far */
    int64_t skipped_in_row;
    int64_t stale_validations; /* in a row without a better loss */
    double valid_loss;         /* of the last validation; INFINITY: none yet */
    double
        base_loss; /* of the base alone, as run_base.c measures it; INFINITY: not yet */
    double init_loss; /* of the init text; INFINITY: not measured */
} fr_progress;

/** Of a task that has not begun: no step, no loss measured. */
fr_progress fr_progress_start(void);

#endif
