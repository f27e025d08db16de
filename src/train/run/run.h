/*
 * run.h - a training run from its config to its files, on all ranks.
 */
#ifndef FR_TRAIN_RUN_RUN_H
#define FR_TRAIN_RUN_RUN_H

#include "comm/group.h"
#include "comm/signals.h"
#include "train/config/config.h"

#include <stdio.h>

typedef struct fr_run_options {
    bool
        resume; /* go on from the newest checkpoint of the run folder; without one start at 0 */
    bool
        overwrite; /* without resume: the folder's older run goes once the new one has all that it needs */
    const char *resume_file; /* NULL, "latest", or a checkpoint file */
    bool force;              /* resume over other weights of the same shape */
    int64_t
        stop_after; /* stop with a checkpoint once every task has done this many steps; 0: never */
    bool profile; /* print at the end where the time of the steps went */
    const char *version;
    const char *program;   /* how it was called, for lines to type */
    fr_watch_leave *leave; /* how this rank ends at once */
    fr_signals *signals;   /* borrowed; NULL: none are answered */
    fr_watch **
        watch; /* out: the run's watch, watching the world from then on; NULL if the run ended before
                              its folder was there. The caller destroys it after the world. */
    FILE *results; /* rank 0 prints the table of a sweep here; NULL: nowhere */
} fr_run_options;

/**
 * Train every task of the config. From the first step on SIGINT, SIGTERM, SIGHUP and SIGUSR1, or a file STOP in the
 * run folder, stop all ranks after the same step with a checkpoint; a second SIGINT or SIGTERM ends the rank at once,
 * and so does the first one while it loads (signals.h). The file is renamed to STOPPED once that checkpoint is committed.
 * From the moment the run folder exists, a rank that does not come within run.timeout (or FORERUN_TIMEOUT) ends the others.
 *
 * @return FR_OK; FR_ERR_STOPPED (checkpoint written, start again with --resume); FR_ERR_CONFIG (also: a run
 *         folder in use without resume); FR_ERR_DATA; FR_ERR_NUMERIC (nonfinite_limit skipped steps in a row: of
 *         the only task, at once; of one among several, after the others are done and written); FR_ERR_CHECKPOINT;
 *         FR_ERR_IO; FR_ERR_COMM
 */
FR_MUST_CHECK fr_status fr_run(fr_ctx *ctx, fr_group *world, const fr_config *config,
                               const fr_run_options *options);

#endif
