/*
 * run_folder.h - what lies in a run folder: a run, what a failed start left, or files that no run wrote.
 */
#ifndef FR_TRAIN_RUN_RUN_FOLDER_H
#define FR_TRAIN_RUN_RUN_FOLDER_H

#include "base/ctx.h"

/** Name of the lock file: who has it in its folder has had a run. */
#define FR_RUN_LOCK "lock"

/**
 * Whether a run may start anew in `folder`, which need not be there. It may where the folder holds nothing, or only what
 * a start leaves that came to no checkpoint (logs, metrics, token caches, lock, the copy of the config); and with
 * `overwrite` where it holds a run, whatever else lies there.
 * @return FR_OK; FR_ERR_CONFIG naming a file: checkpoints or prefixes of a run, or a file that no run wrote; FR_ERR_IO if
 *         the folder cannot be listed
 */
FR_MUST_CHECK fr_status fr_run_folder_check(fr_ctx *ctx, const char *folder,
                                            bool overwrite);

/**
 * Whether a run may go on from the latest checkpoint of `folder`, or start at step 0 where there is none: not where a prefix.h5
 * lies without a checkpoint, which is a whole run's and would be replaced. Under the folder's lock: a run that ends may be
 * writing its first one.
 * @return FR_OK, checkpoints are not looked into; FR_ERR_CHECKPOINT; FR_ERR_IO if the folder cannot be listed
 */
FR_MUST_CHECK fr_status fr_run_folder_check_resume(fr_ctx *ctx, const char *folder);

/**
 * Before a run starts at step 0 in a folder without checkpoints: a best.h5 there is of a start that ended before its first
 * one, or the user's. It gets the name best.before.h5, or best.before-2.h5 and so on where that is taken by other bytes, and a
 * warning names it. Nothing is lost.
 * @return FR_OK, also where there is none; FR_ERR_IO, and best.h5 is where it was
 */
FR_MUST_CHECK fr_status fr_run_folder_set_best_aside(fr_ctx *ctx, const char *folder);

/**
 * Remove what an older run wrote and the new one does not replace at its start: checkpoints, `latest`, best.h5,
 * best.before*.h5, prefix.h5, sweep.jsonl. Nothing else is touched. A kill in between leaves a folder in which an older
 * step can be resumed.
 * @return FR_OK; FR_ERR_IO naming what cannot be removed
 */
FR_MUST_CHECK fr_status fr_run_folder_clear(fr_ctx *ctx, const char *folder);

#endif
