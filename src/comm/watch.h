/*
 * watch.h - the watchdog of a rank: says where the rank is, and leaves when another one never comes.
 *
 * Layer L2; uses base, place, slot, hang, post. Works without MPI: each rank keeps one line in a slot file of the
 * run folder, rewritten about twice a second (slot.h). A rank that has been in one wait for longer than the
 * timeout reads all of them and decides who is to blame (hang.h). The first to decide claims the file
 * `timeout.txt`, writes the table into it and out; the others see the claim, let that output pass for 2 s and
 * leave silently. So there is one table a run, and all have left within timeout + 5 s.
 *
 * Commands without a run folder send these lines to rank 0 as messages (post.h), which looks at all of them; the
 * others look at rank 0. Who decides prints; where that is not rank 0, rank 1 speaks and others give it 2 s. The
 * launcher ends the rest. Before MPI is finalised such a watch is closed by all ranks; from there on a rank that waits
 * for too long leaves by itself.
 *
 * Two threads a rank. One keeps time and never touches a file, so that even a folder that
 * hangs cannot hold the rank; the other reads and writes the slot files. Time during which the process itself
 * was stopped counts as one second at most, so a rank that was stopped for less than the timeout and goes on
 * trips nobody. Both threads block all signals and allocate nothing; only that of a watch by messages calls MPI.
 *
 * All fr_watch_* calls but create, clear and destroy are cheap (no system call, no lock), are made by one
 * thread, and accept NULL: nothing is watched.
 */
#ifndef FR_COMM_WATCH_H
#define FR_COMM_WATCH_H

#include "base/ctx.h"

#include <stdint.h>

typedef struct fr_watch fr_watch;
struct fr_post;

/**
 * Called by a thread of the watch when the rank has to leave at once: write `text` ("" : nothing to say) where
 * errors go and end the process with `exit_code` (5 after a timeout). Must
 * not block on a full pipe. If it returns, that thread ends.
 */
typedef void fr_watch_leave(void *argument, int exit_code, const char *text);

typedef struct fr_watch_params {
    const char *folder;   /* holds the slot files; must exist; NULL: by messages */
    struct fr_post *post; /* borrowed: the messages; NULL with a folder */
    int rank;
    int n_ranks;
    int64_t timeout_seconds; /* 0: never */
    fr_watch_leave *leave;
    void *argument; /* of leave */
} fr_watch_params;

/** Remove the slot files and the claim of an earlier run. One rank, before any rank creates its watch. */
FR_MUST_CHECK fr_status fr_watch_clear(fr_ctx *ctx, const char *folder);

/**
 * Write the first slot and start the threads; the rank is in the phase "starting". Not collective.
 * @return FR_OK; FR_ERR_IO if the slot file cannot be written; FR_ERR_NO_MEMORY; FR_ERR_INTERNAL
 */
FR_MUST_CHECK fr_status fr_watch_create(fr_ctx *ctx, const fr_watch_params *params,
                                        fr_watch **out);

/** End the threads and leave the slot file with status=ended, or failed after fr_watch_fail. Accepts NULL
 * inside, nulls the pointer. Takes 3 s at most: threads that hang in the folder are left behind. */
void fr_watch_destroy(fr_watch **watch);

/** A watch by messages, before its post is destroyed: end them. Waits for the other ranks, which make the same call.
 * Does nothing for NULL and for a watch by files. */
void fr_watch_close(fr_watch *watch);

/** The run goes wrong: the slot file will end with status=failed. */
void fr_watch_fail(fr_watch *watch);

/** Computing for this step (from 1) of this task, whose name is copied. -1 and NULL: none. */
void fr_watch_at(fr_watch *watch, int64_t step, const char *task, int64_t microbatch);
/** Computing for another microbatch of the same step. */
void fr_watch_microbatch(fr_watch *watch, int64_t microbatch);
/** In a phase that may take long without a message (loading, saving): the rank counts as alive however long
 * that takes. `phase` is one word, a constant of the program; NULL: computing again. */
void fr_watch_busy(fr_watch *watch, const char *phase);

/** Begin and end of a wait, for `peer` (a world rank; -1: all ranks). `what` is one word, a constant of
 * the program. The kinds of group call this (fr_group_set_watch). */
void fr_watch_wait_begin(fr_watch *watch, const char *what, int peer);
void fr_watch_wait_end(fr_watch *watch);

#endif
