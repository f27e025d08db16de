/* The lock of a change is a file of its own beside the file, FILE.lock, because the file itself is replaced. It is removed
 * before the lock is given back. A run holds the lock of its folder while it trains and replaces prefix.h5 and best.h5 there
 * at any time, so a file in a run folder needs that lock too. */
#define _POSIX_C_SOURCE 200809L
#include "cli/prefix_change.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/output.h"
#include "cli/path_ending.h"
#include "train/checkpoint/collection.h"
#include "train/run/run_folder.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WHAT_BYTES = 8192 };

/* A lock file of this program is empty here; anything else is somebody's, and would be removed in the end. */
static fr_status check_lock_file(fr_prefix_change *change)
{
    struct stat info;
    if (fstat(fr_lock_file(change->lock), &info) == 0 && info.st_size == 0) {
        return FR_OK;
    }
    fr_lock_release(&change->lock);
    return FR_FAIL(change->ctx, FR_ERR_ARG,
                   "%s is not empty, so it is not a lock that this program left; move "
                   "it away",
                   change->lock_path);
}

static fr_status lock_file(fr_prefix_change *change)
{
    /* A change takes moments, and scripts may start some at once. */
    enum { WAIT_SECONDS = 60 };
    char what[WHAT_BYTES];
    FR_TRY(fr_path_with_ending(change->ctx, change->path, ".lock", &change->lock_path));
    (void)snprintf(what, sizeof what, "file %s", change->path);
    FR_TRY(fr_lock_take_removable(change->ctx, change->lock_path, what, WAIT_SECONDS,
                                  &change->lock));
    return check_lock_file(change);
}

/* Without a lock file in it the folder has had no run. Nothing waits here: a run may take days. */
static fr_status lock_run_folder(fr_prefix_change *change)
{
    char what[WHAT_BYTES];
    struct stat info;
    char *copy = NULL;
    char *path = NULL;
    FR_TRY(fr_copy_string(change->ctx, change->path, &copy));
    const char *folder = dirname(copy);
    fr_status status = fr_join_path(change->ctx, folder, FR_RUN_LOCK, &path);
    if (status == FR_OK && lstat(path, &info) == 0 && S_ISREG(info.st_mode)) {
        (void)snprintf(what, sizeof what, "run folder %s", folder);
        status = fr_lock_take(change->ctx, path, what, 0, &change->run_lock);
    }
    free(path);
    free(copy);
    return status;
}

fr_status fr_prefix_change_begin(fr_ctx *ctx, const char *path, bool may_be_new,
                                 fr_prefix_change *out)
{
    *out = (fr_prefix_change){.ctx = ctx, .path = path};
    FR_TRY(fr_output_check(ctx, path));
    if (!may_be_new && !fr_file_exists(path)) {
        FR_TRY(fr_checkpoint_read(ctx, path, &out->collection)); /* for its message */
        fr_checkpoint_destroy(&out->collection);                 /* it came just now */
    }
    FR_TRY(lock_file(out));
    FR_TRY(lock_run_folder(out));
    if (may_be_new && !fr_file_exists(path)) {
        return FR_OK;
    }
    FR_TRY(fr_checkpoint_read(ctx, path, &out->collection));
    return fr_collection_check(ctx, path, out->collection);
}

/* The file says which Forerun wrote it. */
fr_status fr_prefix_change_write(fr_prefix_change *change)
{
    char *version = NULL;
    FR_TRY(fr_copy_string(change->ctx, FORERUN_VERSION, &version));
    free(change->collection->version);
    change->collection->version = version;
    return fr_checkpoint_write(change->ctx, change->path, change->collection);
}

void fr_prefix_change_end(fr_prefix_change *change)
{
    fr_checkpoint_destroy(&change->collection);
    fr_lock_release(&change->run_lock);
    if (change->lock != NULL) {
        (void)unlink(change->lock_path);
        fr_lock_release(&change->lock);
    }
    free(change->lock_path);
}
