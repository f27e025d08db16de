#include "comm/watch_impl.h"

#include "base/clock.h"

/* The thread that sends and receives slots where the ranks share no folder. A message never waits, but MPI may hang
 * in one; then the thread that keeps time leaves. */
enum {
    BEAT_MS = 500,
    MAX_BEAT_MS = 1000, /* a longer gap means that this process was stopped */
    CLOSING_MS = 5
};

/* All ranks are about to end: the last slots go out, and those of the others are waited for. */
static void close_post(fr_watch *w)
{
    bool is_over = false;
    bool is_good = true;
    int64_t last = fr_clock_ms();
    w->has_closed = true;
    while (is_good && !is_over && !fr_watch_rest(w, CLOSING_MS)) {
        int64_t now = fr_clock_ms();
        int64_t passed = now - last < MAX_BEAT_MS ? now - last : MAX_BEAT_MS;
        fr_rank_line slot = fr_watch_own_line(w, FR_RANK_LINE_ENDED);
        last = now;
        is_good = fr_post_close(w->post, &slot, &is_over);
        if (!is_over && fr_watch_others(w, passed)) {
            break;
        }
    }
}

void *fr_watch_keep_post(void *argument)
{
    fr_watch *w = argument;
    int64_t last = fr_clock_ms();
    bool is_good = true;
    bool has_left = false;
    while (is_good && !has_left && !fr_watch_rest_open(w, BEAT_MS)) {
        int64_t now = fr_clock_ms();
        int64_t passed = now - last < MAX_BEAT_MS ? now - last : MAX_BEAT_MS;
        fr_rank_line slot = fr_watch_own_line(w, FR_RANK_LINE_RUNNING);
        last = now;
        is_good = fr_post_exchange(w->post, &slot);
        has_left = fr_watch_others(w, passed);
    }
    if (is_good && !has_left) {
        close_post(w);
    }
    fr_watch_files_are_done(w);
    return NULL;
}
