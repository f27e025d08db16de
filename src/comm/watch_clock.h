/*
 * watch_clock.h - the time that a watch goes by. A test passes a clock that it advances by hand.
 */
#ifndef FR_COMM_WATCH_CLOCK_H
#define FR_COMM_WATCH_CLOCK_H

#include <pthread.h>
#include <stdint.h>

/** Called by several threads. */
typedef struct fr_watch_clock {
    int64_t (*monotonic_ms)(void *argument); /* never goes back; begins anywhere */
    int64_t (*wall_ms)(void *argument);      /* since 1970, for rank lines */
    /* Sleep until `wake` is signalled or until this time of monotonic_ms, giving `mutex` up meanwhile; may return
     * earlier, like pthread_cond_timedwait. */
    void (*sleep)(void *argument, pthread_cond_t *wake, pthread_mutex_t *mutex,
                  int64_t until_ms);
    void *argument;
} fr_watch_clock;

/** The machine's. */
extern const fr_watch_clock FR_WATCH_CLOCK;

#endif
