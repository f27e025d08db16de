#include "comm/watch_impl.h"

/*
 * The thread of lines where the ranks share no folder: it sends and receives them through a channel. No call on the
 * channel waits, but MPI may hang in one; then the thread that keeps time ends the rank.
 */

/* All ranks are about to end: send the last line, and wait for the last lines of the others. */
static void close_channel(fr_watch *w)
{
    enum { CLOSING_MS = 5 }; /* the end of every command waits for this */
    bool is_over = false;
    bool is_good = true;
    int64_t last = fr_watch_now_ms(w);
    w->has_closed = true;
    while (is_good && !is_over && !fr_watch_rest(w, CLOSING_MS)) {
        int64_t passed = fr_watch_awake_ms(w, &last);
        fr_rank_line line = fr_watch_own_line(w, FR_RANK_LINE_ENDED);
        is_good = w->channel->close(w->channel->argument, &line, &is_over);
        if (!is_over && fr_watch_others(w, passed)) {
            break;
        }
    }
}

void *fr_watch_keep_messages(void *argument)
{
    fr_watch *w = argument;
    int64_t last = fr_watch_now_ms(w);
    bool is_good = true;
    bool has_left = false;
    while (is_good && !has_left && !fr_watch_rest_open(w, FR_WATCH_BEAT_MS)) {
        int64_t passed = fr_watch_awake_ms(w, &last);
        fr_rank_line line = fr_watch_own_line(w, FR_RANK_LINE_RUNNING);
        is_good = w->channel->exchange(w->channel->argument, &line);
        has_left = fr_watch_others(w, passed);
    }
    if (is_good && !has_left) {
        close_channel(w);
    }
    fr_watch_lines_are_done(w);
    return NULL;
}
