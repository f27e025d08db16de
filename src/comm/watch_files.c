#include "comm/watch_impl.h"

/* The thread of lines of a run: it reads and writes the line files of the run folder. Any call on a file may hang in
 * it. */
/* A failed write of the line is ignored: the rank goes on, and the others see its beat stand still. The last line
 * is written on every way out, so that the others do not take an ended rank for a silent one. */
void *fr_watch_keep_files(void *argument)
{
    fr_watch *w = argument;
    int64_t last = fr_watch_now_ms(w);
    while (!fr_watch_rest(w, FR_WATCH_BEAT_MS)) {
        int64_t passed = fr_watch_awake_ms(w, &last);
        (void)fr_watch_write_line(w, FR_RANK_LINE_RUNNING);
        if (fr_watch_others(w, passed)) {
            break;
        }
    }
    (void)fr_watch_write_line(w, atomic_load(&w->has_failed) ? FR_RANK_LINE_FAILED
                                                             : FR_RANK_LINE_ENDED);
    fr_watch_lines_are_done(w);
    return NULL;
}
