/*
 * watch_impl.h - the state of a watch, shared by watch*.c.
 *
 * The main thread owns `position` and publishes it through `place`. The thread of lines owns `latest`, `ranks`,
 * `is_looking`, `has_closed`, `report` and `peer_path`. What threads share is atomic, or under the mutex, or never
 * changes.
 */
#ifndef FR_COMM_WATCH_IMPL_H
#define FR_COMM_WATCH_IMPL_H

#include "comm/hang.h"
#include "comm/place.h"
#include "comm/watch.h"
#include "comm/watch_clock.h"

#include <pthread.h>

enum {
    FR_WATCH_EXIT = 5,     /* the exit code after a timeout */
    FR_WATCH_BEAT_MS = 500 /* between two lines of a rank */
};

struct fr_watch {
    int n_ranks;
    int64_t timeout_ms; /* 0: never */
    fr_watch_leave *leave;
    void *argument;
    const fr_watch_clock *clock;

    fr_position position;
    fr_place place;

    atomic_int_fast64_t
        waited_ms; /* of the current wait, while this process was awake */
    atomic_int_fast64_t looked_ms; /* when lines were last found readable */
    atomic_bool has_failed;

    fr_rank_line own;                /* what never changes in it: rank, host, pid */
    fr_rank_line latest;             /* as written last */
    const fr_watch_channel *channel; /* NULL: by files */
    char *folder;
    char *own_path;
    char *claim_path; /* of timeout.txt */
    char *peer_path;  /* holds the path of any rank's file */
    size_t path_bytes;
    fr_sighting *ranks; /* [n_ranks] */
    bool is_looking;    /* ranks holds what was seen in the current wait */
    bool has_closed;    /* by messages: the last line is out, so others may end too */
    char *report;
    size_t report_bytes;

    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool is_ending;      /* under the mutex */
    bool is_closing;     /* under the mutex: by messages, all ranks end */
    bool lines_are_done; /* under the mutex: the thread of lines has ended */
    pthread_t time_thread;
    pthread_t line_thread;
};

/* ---- watch_state.c: what the threads share -------------------------------------------------- */

FR_MUST_CHECK fr_status fr_watch_init_locks(fr_ctx *ctx, fr_watch *watch);
void fr_watch_fini_locks(fr_watch *watch);

int64_t fr_watch_now_ms(const fr_watch *watch);
int64_t fr_watch_wall_ms(const fr_watch *watch);

/** Time of a thread since its `*last` look at the clock, which moves on. A gap of more than a second means that this
 * process was stopped meanwhile, and counts as one second. */
int64_t fr_watch_awake_ms(const fr_watch *watch, int64_t *last);

/** Sleep for so long, or until the watch is ending. @return whether it is ending */
bool fr_watch_rest(fr_watch *watch, int64_t ms);
/** The same, and until the watch is closing. @return whether it is ending or closing */
bool fr_watch_rest_open(fr_watch *watch, int64_t ms);
/** Sleep for so long, whatever happens. */
void fr_watch_pause(fr_watch *watch, int64_t ms);

/** Sleep until the thread of lines has ended, for so long at most. @return whether it has */
bool fr_watch_await_lines(fr_watch *watch, int64_t ms);
/** Called by the thread of lines as its last act. */
void fr_watch_lines_are_done(fr_watch *watch);

/** The own line as of now. */
fr_rank_line fr_watch_own_line(fr_watch *watch, fr_rank_line_status status);
/** Write the own line as of now to its file. @return false, with errno, if that fails */
bool fr_watch_write_line(fr_watch *watch, fr_rank_line_status status);
/** The path of a rank's line file, written into `path` of path_bytes. */
void fr_watch_line_path(const fr_watch *watch, int rank, char *path);

/* ---- watch_look.c --------------------------------------------------------------------------- */

/** Look at the other ranks and leave if it is time to. @return true if the rank has left (for a leave that returns) */
bool fr_watch_others(fr_watch *watch, int64_t passed_ms);

/* ---- the threads: watch_time.c, watch_files.c, watch_messages.c; argument: the watch --------- */

void *fr_watch_keep_time(void *argument);
void *fr_watch_keep_files(void *argument);
void *fr_watch_keep_messages(void *argument);

#endif
