/*
 * run.h - a training run from its config to its files, on all ranks.
 *
 * Layer L4. Collective over the world.
 */
#ifndef FR_TRAIN_RUN_H
#define FR_TRAIN_RUN_H

#include "comm/group.h"
#include "train/config.h"

typedef struct fr_run_options {
    bool
        resume; /* go on from the newest checkpoint of the run folder; without one start at 0 */
    const char *resume_file; /* NULL, "latest", or a checkpoint file */
    bool force;              /* resume over other weights of the same shape */
    int64_t
        stop_after; /* stop with a checkpoint once every task has done this many steps; 0: never */
    const char *version;
} fr_run_options;

/** Block the signals that fr_run answers. Call before MPI starts its threads: a signal that one of them took would
 * end the process. */
void fr_run_block_signals(void);

/**
 * Train every task of the config. SIGINT, SIGTERM and SIGUSR1, or a file STOP in the run folder, stop all
 * ranks after the same step with a checkpoint; the file is removed once that checkpoint is committed.
 *
 * @return FR_OK; FR_ERR_STOPPED (checkpoint written, start again with --resume); FR_ERR_CONFIG (also: a run
 *         folder in use without resume); FR_ERR_DATA; FR_ERR_NUMERIC (more than nonfinite_limit skipped steps
 *         in a row); FR_ERR_CHECKPOINT; FR_ERR_IO; FR_ERR_COMM
 */
FR_MUST_CHECK fr_status fr_run(fr_ctx *ctx, fr_group *world, const fr_config *config,
                               const fr_run_options *options);

#endif
