/*
 * lock.h - one process at a time holds a file's lock, on this machine and over shared file systems.
 *
 * The kernel releases the lock when its holder ends, however it ends. It is a POSIX record lock, which works over NFS too;
 * a process loses it when it closes any descriptor of the file, so nothing else may open that file. Children do not inherit
 * it.
 */
#ifndef FR_BASE_LOCK_H
#define FR_BASE_LOCK_H

#include "base/ctx.h"

typedef struct fr_lock fr_lock;

/**
 * Take the lock of `path`, which is created if need be and stays; the holder's process id and host are written into it.
 * @param what          what the lock guards, for the messages ("run folder runs/a")
 * @param wait_seconds  how long to try: the holder may be a process that is about to end
 * @param[out] out      to be released; it is also given, with a warning, where the file system has no locks
 * @return FR_OK; FR_ERR_IO (held by another process, which is named; the file cannot be created)
 */
FR_MUST_CHECK fr_status fr_lock_take(fr_ctx *ctx, const char *path, const char *what,
                                     double wait_seconds, fr_lock **out);

/**
 * As fr_lock_take for a file whose content is the caller's, and which its holder removes in the end, before the lock is
 * given back: nothing is written, and what was removed while this process waited is created anew.
 * @param what  "output out.jsonl"
 */
FR_MUST_CHECK fr_status fr_lock_take_removable(fr_ctx *ctx, const char *path,
                                               const char *what, double wait_seconds,
                                               fr_lock **out);

/** The locked file's descriptor, open for reading and writing; the lock's own. */
int fr_lock_file(const fr_lock *lock);

/** Give it back; accepts NULL inside, nulls the pointer. */
void fr_lock_release(fr_lock **lock);

#endif
