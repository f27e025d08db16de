#define _POSIX_C_SOURCE 200809L
#include "comm/watch_impl.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/*
 * What the threads of a watch share: clocks, sleeping, and the rank's own line.
 *
 * All times come through the watch's clock, so that tests can replace it. Lengths of time are taken from the
 * monotonic clock alone; the wall clock serves for times that people read and for the spans within one line. Every
 * sleep waits on the same condition. So each thread wakes at once when the watch ends, and no end has to wait for a
 * whole beat.
 */

static int64_t machine_monotonic_ms(void *argument)
{
    (void)argument;
    return fr_clock_ms();
}

static int64_t machine_wall_ms(void *argument)
{
    (void)argument;
    return fr_clock_wall_ns() / 1000000;
}

/* `wake` goes by the monotonic clock (fr_watch_init_locks). */
static void machine_sleep(void *argument, pthread_cond_t *wake, pthread_mutex_t *mutex,
                          int64_t until_ms)
{
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000) * 1000000};
    (void)argument;
    (void)pthread_cond_timedwait(wake, mutex, &until);
}

const fr_watch_clock FR_WATCH_CLOCK = {.monotonic_ms = machine_monotonic_ms,
                                       .wall_ms = machine_wall_ms,
                                       .sleep = machine_sleep};

int64_t fr_watch_now_ms(const fr_watch *watch)
{
    return watch->clock->monotonic_ms(watch->clock->argument);
}

int64_t fr_watch_wall_ms(const fr_watch *watch)
{
    return watch->clock->wall_ms(watch->clock->argument);
}

/* A longer gap means that the process was stopped, or its machine slept. To count it would blame others for time
 * in which this rank did not listen. */
int64_t fr_watch_awake_ms(const fr_watch *watch, int64_t *last)
{
    enum { MAX_AWAKE_MS = 1000 }; /* twice the longest rest between two looks */
    int64_t now = fr_watch_now_ms(watch);
    int64_t passed = now - *last;
    *last = now;
    return passed < MAX_AWAKE_MS ? passed : MAX_AWAKE_MS;
}

/* The condition goes by the monotonic clock: a change of the time of day must not lengthen or shorten a sleep. */
fr_status fr_watch_init_locks(fr_ctx *ctx, fr_watch *watch)
{
    pthread_condattr_t attributes;
    int code = pthread_condattr_init(&attributes);
    if (code == 0) {
        (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        code = pthread_cond_init(&watch->wake, &attributes);
        (void)pthread_condattr_destroy(&attributes);
    }
    if (code == 0) {
        code = pthread_mutex_init(&watch->mutex, NULL);
        if (code != 0) {
            (void)pthread_cond_destroy(&watch->wake);
        }
    }
    return code == 0 ? FR_OK
                     : FR_FAIL(ctx, FR_ERR_INTERNAL,
                               "cannot make the watch's locks: %s", strerror(code));
}

void fr_watch_fini_locks(fr_watch *watch)
{
    (void)pthread_mutex_destroy(&watch->mutex);
    (void)pthread_cond_destroy(&watch->wake);
}

/* Sleep for so long, or until one of two members, which are under the mutex, is set. NULL: there is none. */
static bool sleep_until_set(fr_watch *watch, int64_t ms, const bool *one,
                            const bool *other)
{
    int64_t until = fr_watch_now_ms(watch) + ms;
    bool is_set = false;
    (void)pthread_mutex_lock(&watch->mutex);
    for (;;) {
        is_set = (one != NULL && *one) || (other != NULL && *other);
        if (is_set || fr_watch_now_ms(watch) >= until) {
            break;
        }
        watch->clock->sleep(watch->clock->argument, &watch->wake, &watch->mutex, until);
    }
    (void)pthread_mutex_unlock(&watch->mutex);
    return is_set;
}

bool fr_watch_rest(fr_watch *watch, int64_t ms)
{
    return sleep_until_set(watch, ms, &watch->is_ending, NULL);
}

bool fr_watch_rest_open(fr_watch *watch, int64_t ms)
{
    return sleep_until_set(watch, ms, &watch->is_ending, &watch->is_closing);
}

void fr_watch_pause(fr_watch *watch, int64_t ms)
{
    (void)sleep_until_set(watch, ms, NULL, NULL);
}

bool fr_watch_await_lines(fr_watch *watch, int64_t ms)
{
    return sleep_until_set(watch, ms, &watch->lines_are_done, NULL);
}

void fr_watch_lines_are_done(fr_watch *watch)
{
    (void)pthread_mutex_lock(&watch->mutex);
    watch->lines_are_done = true;
    (void)pthread_cond_broadcast(&watch->wake);
    (void)pthread_mutex_unlock(&watch->mutex);
}

/* A wait hides the phase: a rank that saves and waits for another one is shown as waiting. */
fr_rank_line fr_watch_own_line(fr_watch *watch, fr_rank_line_status status)
{
    fr_position position;
    fr_rank_line line = watch->own;
    (void)fr_place_get(&watch->place, &position);
    const char *state = position.wait != NULL    ? "waiting"
                        : position.phase != NULL ? position.phase
                                                 : "computing";
    fr_rank_line_word(state, line.state, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(position.wait, line.what, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(position.task, line.task, FR_RANK_LINE_TASK_BYTES);
    line.status = status;
    line.peer = (int)position.peer;
    line.step = position.step;
    line.microbatch = position.microbatch;
    line.since_ms = position.since_ms;
    line.beat_ms = fr_watch_wall_ms(watch);
    watch->latest = line;
    return line;
}

bool fr_watch_write_line(fr_watch *watch, fr_rank_line_status status)
{
    fr_rank_line line = fr_watch_own_line(watch, status);
    return fr_rank_line_write(watch->own_path, &line);
}

/* Four digits keep a listing in order; more are written where the rank needs them. */
void fr_watch_line_path(const fr_watch *watch, int rank, char *path)
{
    (void)snprintf(path, watch->path_bytes, "%s/rank-%04d.slot", watch->folder, rank);
}
