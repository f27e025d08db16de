/*
 * watch.h - the watchdog of a rank: it shows where the rank is, and ends the rank when another one never comes.
 *
 * In a run, each rank keeps one line in a file of the run folder and rewrites it about twice a second (rank_line.h).
 * A rank that has been in one wait for longer than the timeout reads the lines of all ranks and decides who is to
 * blame (hang.h). The first rank to decide creates the file `timeout.txt`, writes the report into it and prints it.
 * The others find that file, give the output 2 s to pass and leave without a word. So a run has one report, and all
 * ranks have left within timeout + 5 s. This needs no MPI.
 *
 * Commands without a run folder exchange these lines as messages (post.h). Rank 0 hears of all ranks, and the others
 * hear of rank 0. A rank that decides prints its report: ranks 0 and 1 at once, the others 2 s later. The launcher then
 * ends the rest. All ranks close such a watch before MPI is finalised; a rank that waits too long after that leaves by
 * itself.
 *
 * A watch has two threads. One keeps time and never touches a file, so that a folder that hangs cannot hold the rank.
 * The other reads and writes the lines. Time during which the process itself was stopped counts as one second at most:
 * a rank that was stopped for less than the timeout and goes on makes nobody leave. Both threads block all signals and
 * allocate nothing, and only the thread of a watch by messages calls MPI.
 *
 * All fr_watch_* calls but create, clear and destroy are cheap (no system call, no lock), are made by one
 * thread, and accept NULL: nothing is watched.
 */
#ifndef FR_COMM_WATCH_H
#define FR_COMM_WATCH_H

#include "base/ctx.h"
#include "comm/rank_line.h"

#include <stdint.h>

typedef struct fr_watch fr_watch;
struct fr_watch_clock;

/**
 * Called by a thread of the watch when the rank has to leave at once: write `text` ("" : nothing to say) where
 * errors go and end the process with `exit_code` (5 after a timeout). Must
 * not block on a full pipe. If it returns, that thread ends.
 */
typedef void fr_watch_leave(void *argument, int exit_code, const char *text);

/**
 * How rank lines travel where the ranks share no folder; post.h provides one. One thread calls it at a time, and no
 * function of it blocks. exchange and close return false after a failure: no further line will come.
 */
typedef struct fr_watch_channel {
    /* Send the own line, and take in the lines that have arrived. */
    bool (*exchange)(void *argument, const fr_rank_line *own);
    /* The same with the last line of this rank. Called again until *is_over: the others' last lines have arrived. */
    bool (*close)(void *argument, const fr_rank_line *last, bool *is_over);
    /* The newest line of a rank; false: none has ever arrived. */
    bool (*read)(void *argument, int rank, fr_rank_line *out);
    void *argument;
} fr_watch_channel;

typedef struct fr_watch_params {
    const char *folder; /* holds the line files; must exist; NULL: by messages */
    const fr_watch_channel *channel; /* borrowed: the messages; NULL with a folder */
    int rank;
    int n_ranks;
    int64_t timeout_seconds; /* 0: never */
    fr_watch_leave *leave;
    void *argument;                     /* of leave */
    const struct fr_watch_clock *clock; /* borrowed; NULL: the machine's */
} fr_watch_params;

/** Remove the line files and the timeout.txt of an earlier run. One rank, before any rank creates its watch. */
FR_MUST_CHECK fr_status fr_watch_clear(fr_ctx *ctx, const char *folder);

/**
 * Write the first line and start the threads; the rank is in the phase "starting". Not collective.
 * @return FR_OK; FR_ERR_IO if the line file cannot be written; FR_ERR_NO_MEMORY; FR_ERR_INTERNAL
 */
FR_MUST_CHECK fr_status fr_watch_create(fr_ctx *ctx, const fr_watch_params *params,
                                        fr_watch **out);

/** End the threads and leave the line file with status=ended, or failed after fr_watch_fail. Accepts NULL
 * inside, nulls the pointer. Takes 3 s at most: a thread that hangs in the folder is left behind. */
void fr_watch_destroy(fr_watch **watch);

/** End a watch by messages, before the owner of its channel is destroyed. Waits for the other ranks, which make the
 * same call. Does nothing for NULL and for a watch by files. */
void fr_watch_close(fr_watch *watch);

/** The run has failed: the line file will end with status=failed. */
void fr_watch_fail(fr_watch *watch);

/** Computing for this step (from 1) of this task, whose name is copied. -1 and NULL: none. */
void fr_watch_at(fr_watch *watch, int64_t step, const char *task, int64_t microbatch);
/** Computing for another microbatch of the same step. */
void fr_watch_microbatch(fr_watch *watch, int64_t microbatch);
/** In a phase that may take long without a message (loading, saving): the rank counts as alive however long
 * that takes. `phase` is one word, a constant of the program; NULL: computing again. */
void fr_watch_busy(fr_watch *watch, const char *phase);

/** Begin and end of a wait for `peer` (a world rank; -1: all ranks). `what` is one word, a constant of
 * the program. The kinds of group call this (fr_group_set_watch). */
void fr_watch_wait_begin(fr_watch *watch, const char *what, int peer);
void fr_watch_wait_end(fr_watch *watch);

#endif
