/*
 * prefix_change.h - a change of a file of prefixes: under a lock, in memory, then the whole file at once.
 */
#ifndef FR_CLI_PREFIX_CHANGE_H
#define FR_CLI_PREFIX_CHANGE_H

#include "base/lock.h"
#include "train/checkpoint/checkpoint.h"

/** A file that is being changed. */
typedef struct fr_prefix_change {
    fr_ctx *ctx;
    const char *path;
    char *lock_path;
    fr_lock *lock; /* PATH.lock, removed in the end */
    fr_lock
        *run_lock; /* of the run folder in which the file lies; NULL: it lies in none */
    fr_checkpoint *collection; /* NULL: the file is not there yet */
} fr_prefix_change;

/**
 * Lock the file, waiting some seconds for another change to end, and read it. Call fr_prefix_change_end also after a failure.
 * @param may_be_new  whether the file may be missing
 * @return FR_OK; FR_ERR_IO (locked, a run writes into the folder, no such folder, not writable, a symbolic link);
 *         FR_ERR_CHECKPOINT (missing, damaged, a checkpoint from which a run can go on); FR_ERR_ARG (another file has the
 *         lock's name)
 */
FR_MUST_CHECK fr_status fr_prefix_change_begin(fr_ctx *ctx, const char *path,
                                               bool may_be_new, fr_prefix_change *out);

/** Write the collection in place of the file: it holds the old or the new content, never a part. As fr_checkpoint_write. */
FR_MUST_CHECK fr_status fr_prefix_change_write(fr_prefix_change *change);

/** Remove the lock and free everything. */
void fr_prefix_change_end(fr_prefix_change *change);

#endif
