/*
 * run_folder.h - what lies in a run folder: a run, what a failed start left, or what is no run's.
 *
 * Layer L4; uses checkpoint. For the one process that holds the folder's lock, or is about to take it.
 */
#ifndef FR_TRAIN_RUN_FOLDER_H
#define FR_TRAIN_RUN_FOLDER_H

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
 * Let a run go on from the latest checkpoint of `folder`, or start at step 0 where there is none. A prefix.h5 without a
 * checkpoint is a whole run's, which nothing replaces: refused. A best.h5 alone may be of a start that ended before its first
 * checkpoint: it is kept as best.before.h5, with a warning, or removed if there is one from an earlier start. Under the
 * folder's lock: a run that ends may be writing its first one.
 * @return FR_OK, checkpoints are not looked into; FR_ERR_CHECKPOINT; FR_ERR_IO if the folder cannot be listed or changed
 */
FR_MUST_CHECK fr_status fr_run_folder_begin_resume(fr_ctx *ctx, const char *folder);

/**
 * Remove what an older run wrote and the new one does not replace at its start: checkpoints, `latest`, best.h5,
 * best.before.h5, prefix.h5, sweep.jsonl. Nothing else is touched. A kill in between leaves a folder that an older step can be resumed from.
 * @return FR_OK; FR_ERR_IO naming what cannot be removed
 */
FR_MUST_CHECK fr_status fr_run_folder_clear(fr_ctx *ctx, const char *folder);

#endif
