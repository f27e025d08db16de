/*
 * rounds.h - the training loop: round after round until no task trains.
 */
#ifndef FR_TRAIN_RUN_ROUNDS_H
#define FR_TRAIN_RUN_ROUNDS_H

#include "train/run/saves.h"
#include "train/run/stop_request.h"

/** Everything is borrowed. */
typedef struct fr_rounds_params {
    const fr_task_env *env;
    fr_grid *grid;
    fr_engine *engine;
    fr_task *tasks;
    int64_t n_tasks;
    fr_metrics *metrics;
    fr_saves *saves;
    fr_watch *watch;
    const fr_stop_request *stop;
    int64_t stop_after; /* stop once every task has done this many steps; 0: never */
} fr_rounds_params;

/**
 * Train until no task is live. Requests to stop are looked at once a round. Collective over the world.
 * @return FR_OK; FR_ERR_STOPPED with a checkpoint; the errors of fr_run
 */
FR_MUST_CHECK fr_status fr_rounds_run(const fr_rounds_params *params);

#endif
