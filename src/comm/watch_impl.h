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
#include "comm/watch.h"

#include <pthread.h>

struct fr_watch {
    int n_ranks;
    int64_t timeout_ms; /* 0: never */
    bool takes_signals;
    fr_watch_leave *leave;
    void *argument;

    fr_position position;
    fr_place place;

    atomic_int_fast64_t
        waited_ms; /* of the current wait, while this process was awake */
    atomic_int_fast64_t
        looked_ms; /* monotonic clock: the files were last found readable */
    atomic_bool has_failed;
    atomic_bool stop_wanted;

    fr_slot own;    /* what never changes in it: rank, host, pid */
    fr_slot latest; /* as written last */
    char *folder;
    char *own_path;
    char *claim_path;
    char *peer_path; /* room for any rank's */
    size_t path_bytes;
    fr_sighting *ranks; /* [n_ranks] */
    bool is_looking;    /* ranks holds what was seen in the current wait */
    char *report;
    size_t report_bytes;

    pthread_mutex_t mutex;
    pthread_cond_t wake; /* monotonic clock */
    bool is_ending;      /* under the mutex */
    bool files_are_done; /* under the mutex: the file thread has ended */
    pthread_t time_thread;
    pthread_t file_thread;
};

int64_t fr_watch_monotonic_ms(void);
int64_t fr_watch_wall_ms(void);

/** Rest so long, or until the watch is ending. @return whether it is */
bool fr_watch_rest(fr_watch *watch, int64_t ms);

/** The two threads; argument: the watch. */
void *fr_watch_keep_time(void *argument);
void *fr_watch_keep_files(void *argument);

/** Write the own slot as of now. @return false, with errno, if that fails */
bool fr_watch_write_slot(fr_watch *watch, fr_slot_status status);

/** The path of a rank's slot file, written into `path` of path_bytes. */
void fr_watch_slot_path(const fr_watch *watch, int rank, char *path);

#endif
