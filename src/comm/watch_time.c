#include "comm/watch_impl.h"

#include <stdio.h>

/*
 * The thread that keeps time: it counts how long the current wait lasts. It touches no file. If the thread of lines
 * hangs in one, this thread still ends the rank.
 */
enum {
    TICK_MS = 100, /* the error of a wait's length */
    GRACE_MS =
        2500, /* after the timeout: five beats, in which the thread of lines decides */
    MIN_BLIND_MS = 2500, /* the same five beats */
    TEXT_BYTES = 1024
};

/* Lines that could not be read or written for so long hang for good. A folder that is slow for a while must
 * not end a run whose ranks wait for one that loads. */
static int64_t blind_ms(int64_t timeout_ms)
{
    int64_t half = timeout_ms / 2;
    return half > MIN_BLIND_MS ? half : MIN_BLIND_MS;
}

/* The hard end of a rank whose folder hangs. */
static bool leave_blind(fr_watch *w, const fr_position *position, int64_t waited_ms)
{
    char text[TEXT_BYTES];
    int64_t blind = fr_watch_now_ms(w) - (int64_t)atomic_load(&w->looked_ms);
    if (w->timeout_ms == 0 || waited_ms < w->timeout_ms + GRACE_MS ||
        blind < blind_ms(w->timeout_ms)) {
        return false;
    }
    int n = snprintf(text, sizeof text,
                     "error: rank %d on %s: no progress for %lld s in step %lld of %s, "
                     "waiting (%s) for rank %lld (-1: all); ",
                     w->own.rank, w->own.host, (long long)(waited_ms / 1000),
                     (long long)position->step, position->task, position->wait,
                     (long long)position->peer);
    if (n > 0 && n < TEXT_BYTES && w->channel == NULL) {
        (void)snprintf(text + n, sizeof text - (size_t)n,
                       "the files rank-*.slot in %s cannot be read or written in time; "
                       "see whether that folder is reachable\n",
                       w->folder);
    } else if (n > 0 && n < TEXT_BYTES) {
        (void)snprintf(text + n, sizeof text - (size_t)n,
                       "no messages come from the other ranks; see whether they and "
                       "their network are alive\n");
    }
    w->leave(w->argument, FR_WATCH_EXIT, text);
    return true;
}

/* The number of the place changes with every call of the main thread. A wait is the same one only if the number
 * is, so two short waits never add up to a long one. */
void *fr_watch_keep_time(void *argument)
{
    fr_watch *w = argument;
    int64_t last = fr_watch_now_ms(w);
    int64_t waited = 0;
    uint64_t known = 0;
    while (!fr_watch_rest(w, TICK_MS)) {
        fr_position position;
        int64_t awake = fr_watch_awake_ms(w, &last);
        uint64_t number = fr_place_get(&w->place, &position);
        waited = position.wait != NULL && number == known ? waited + awake : 0;
        known = number;
        atomic_store(&w->waited_ms, waited);
        if (position.wait != NULL && leave_blind(w, &position, waited)) {
            break;
        }
    }
    return NULL;
}
