/*
 * watch_impl.h - the state of a watch, shared by watch*.c.
 *
 * Layer L2. `position` belongs to the main thread, which publishes it through `place`; `latest`, `ranks`, `report`
 * and `peer_path` belong to the thread that looks at files; what threads share is atomic, under the mutex, or never
 * changes.
 */
#ifndef FR_COMM_WATCH_IMPL_H
#define FR_COMM_WATCH_IMPL_H

#include "comm/hang.h"
#include "comm/place.h"
#include "comm/post.h"
#include "comm/watch.h"

#include <pthread.h>

struct fr_watch {
    int n_ranks;
    int64_t timeout_ms; /* 0: never */
    fr_watch_leave *leave;
    void *argument;

    fr_position position;
    fr_place place;

    atomic_int_fast64_t
        waited_ms; /* of the current wait, while this process was awake */
    atomic_int_fast64_t
        looked_ms; /* monotonic clock: the files were last found readable */
    atomic_bool has_failed;

    fr_rank_line own;    /* what never changes in it: rank, host, pid */
    fr_rank_line latest; /* as written last */
    fr_post *post;       /* NULL: by files */
    char *folder;
    char *own_path;
    char *claim_path;
    char *peer_path; /* room for any rank's */
    size_t path_bytes;
    fr_sighting *ranks; /* [n_ranks] */
    bool is_looking;    /* ranks holds what was seen in the current wait */
    bool has_closed;    /* by messages: the last slot is out, so others may end too */
    char *report;
    size_t report_bytes;

    pthread_mutex_t mutex;
    pthread_cond_t wake; /* monotonic clock */
    bool is_ending;      /* under the mutex */
    bool is_closing;     /* under the mutex: by messages, all ranks end */
    bool
        files_are_done; /* under the mutex: the thread of files or messages has ended */
    pthread_t time_thread;
    pthread_t file_thread;
};

int64_t fr_watch_wall_ms(void);

/** Rest so long, or until the watch is ending or, for the thread of messages, closing. @return whether it is */
bool fr_watch_rest(fr_watch *watch, int64_t ms);
bool fr_watch_rest_open(fr_watch *watch, int64_t ms);

/** The two threads; argument: the watch. */
void *fr_watch_keep_time(void *argument);
void *fr_watch_keep_files(void *argument);
void *fr_watch_keep_post(void *argument);

/** The own slot as of now. */
fr_rank_line fr_watch_own_line(fr_watch *watch, fr_rank_line_status status);

/** Look at the others and leave if it is time to. True if the rank has left (for a leave that returns). */
bool fr_watch_others(fr_watch *watch, int64_t passed_ms);

/** Tell that the thread of files or messages has ended. */
void fr_watch_files_are_done(fr_watch *watch);

/** Write the own slot as of now. @return false, with errno, if that fails */
bool fr_watch_write_line(fr_watch *watch, fr_rank_line_status status);

/** The path of a rank's slot file, written into `path` of path_bytes. */
void fr_watch_line_path(const fr_watch *watch, int rank, char *path);

#endif
