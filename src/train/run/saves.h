/*
 * saves.h - the files of a run that are written while training goes on: checkpoints, best.h5 and prefix.h5.
 */
#ifndef FR_TRAIN_RUN_SAVES_H
#define FR_TRAIN_RUN_SAVES_H

#include "train/run/describe.h"
#include "train/run/metrics.h"

typedef struct fr_saves fr_saves;

/** Everything is borrowed until close. */
typedef struct fr_saves_params {
    const fr_task_env *env;
    fr_grid *grid;
    fr_task *tasks;
    int64_t n_tasks;
    fr_metrics *metrics; /* gets a line for each file */
    fr_watch *watch;
    const char *folder; /* of the run */
    int64_t keep;       /* checkpoints, as in fr_checkpoint_save */
    int64_t newest;     /* fr_tasks_total of the newest checkpoint; -1: none */
    fr_run_identity identity;
} fr_saves_params;

/** Collective over the world. */
FR_MUST_CHECK fr_status fr_saves_open(const fr_saves_params *params, fr_saves **out);
/** Local. Waits for the writer and drops everything; accepts NULL inside, nulls the pointer. */
void fr_saves_close(fr_saves **saves);

/**
 * A checkpoint while microbatches are in flight, in three parts that every rank goes through alike. None of them waits
 * for a rank that may be waiting for this one, so they cannot deadlock.
 *
 *   begin     once the steps are decided that it holds; waits if two checkpoints are still being written
 *   task      right after each task's own step, or at once where it made none
 *   progress  now and then: layers that have arrived go to the writer
 *
 * A failed write shows in fr_saves_failure and is returned by fr_saves_finish. Any other failure concerns this rank only.
 *
 * @param total  fr_tasks_total once the steps under way are done
 */
FR_MUST_CHECK fr_status fr_saves_begin(fr_saves *saves, int64_t total);
FR_MUST_CHECK fr_status fr_saves_task(fr_saves *saves, int64_t task);
FR_MUST_CHECK fr_status fr_saves_progress(fr_saves *saves);

/** What made a write fail on this rank, the first one; FR_OK: nothing. */
fr_status fr_saves_failure(const fr_saves *saves);

/** Wait until the layers of a checkpoint begun are with the writer; every task is done. */
FR_MUST_CHECK fr_status fr_saves_settle(fr_saves *saves);

/** The whole of a checkpoint, where no step is under way; nothing if the newest one is of the same steps. */
FR_MUST_CHECK fr_status fr_saves_whole(fr_saves *saves);

/** Wait until all that was saved is committed. Collective over the world. */
FR_MUST_CHECK fr_status fr_saves_finish(fr_saves *saves);

/** Write prefix.h5 and wait for it. Collective over the world; no step is under way. */
FR_MUST_CHECK fr_status fr_saves_prefixes(fr_saves *saves);
/** Hand best.h5, the best prefix of each task by validation, to the writer. Collective likewise. */
FR_MUST_CHECK fr_status fr_saves_best(fr_saves *saves);

#endif
