#define _POSIX_C_SOURCE 200809L
#include "comm/watch_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/*
 * What the thread of lines does after each beat: it looks at the other ranks, decides, and leaves.
 *
 *   waited < a quarter of the timeout   nothing is looked at
 *   from there on                       each look notes whose line has changed, and for how long the others' have not
 *   waited >= the timeout               fr_hang_judge gives a verdict; the rank leaves unless it is FR_HANG_NONE
 *
 * A look takes the age of another rank's line from this rank's own clock: clocks of two hosts are never compared.
 */
/* Three quarters of the timeout are enough to find who is silent. */
enum { FIRST_LOOK_SHARE = 4 };
/* For another rank's report to pass, before this rank's end ends it. By messages, ranks come to a verdict apart, by as much as
 * they began to wait apart, and Open MPI's launcher takes a second to end the others: five seconds cover both. */
enum { OTHERS_FIRST_MS = 2000, OTHERS_FIRST_APART_MS = 5000 };

/* False: there is no line, or another rank's lies in the file. */
static bool read_line(fr_watch *w, int rank, fr_rank_line *out)
{
    if (w->channel != NULL) {
        return w->channel->read(w->channel->argument, rank, out);
    }
    fr_watch_line_path(w, rank, w->peer_path);
    return fr_rank_line_read(w->peer_path, out) && out->rank == rank;
}

/* By messages, a rank other than 0 hears of rank 0 alone: it looks at rank 0 and at itself. */
static bool sees_rank_0_alone(const fr_watch *w)
{
    return w->channel != NULL && w->own.rank != 0;
}

static int n_looked_at(const fr_watch *w)
{
    return sees_rank_0_alone(w) ? 2 : w->n_ranks;
}

static int rank_looked_at(const fr_watch *w, int index)
{
    return sees_rank_0_alone(w) && index > 0 ? w->own.rank : index;
}

/* Forgets what an earlier wait saw: silence is counted from the first look of this wait. */
static void begin_to_look(fr_watch *w)
{
    for (int i = 0; i < n_looked_at(w); i++) {
        w->ranks[i] = (fr_sighting){.line = {.rank = rank_looked_at(w, i)}};
    }
    w->is_looking = true;
}

/* A line that cannot be read, or is just being rewritten, counts as one whose beat has not changed. */
static void look_at(fr_watch *w, fr_sighting *seen, int64_t passed_ms)
{
    fr_rank_line line;
    seen->silent_ms += passed_ms;
    if (!read_line(w, seen->line.rank, &line)) {
        return;
    }
    if (seen->is_known && line.beat_ms != seen->line.beat_ms) {
        seen->is_beating = true;
        seen->silent_ms = 0;
    }
    seen->is_known = true;
    seen->line = line;
}

/* The own line needs no reading: this thread wrote it a moment ago. */
static void look_at_all(fr_watch *w, int64_t passed_ms)
{
    for (int i = 0; i < n_looked_at(w); i++) {
        if (rank_looked_at(w, i) != w->own.rank) {
            look_at(w, &w->ranks[i], passed_ms);
        } else {
            w->ranks[i] =
                (fr_sighting){.line = w->latest, .is_known = true, .is_beating = true};
        }
    }
}

/* Gives a verdict only after the whole timeout. */
static fr_hang look(fr_watch *w, int64_t passed_ms)
{
    int64_t waited = (int64_t)atomic_load(&w->waited_ms);
    int n = n_looked_at(w);
    if (waited < w->timeout_ms / FIRST_LOOK_SHARE) {
        w->is_looking = false;
        return FR_HANG_NONE;
    }
    if (!w->is_looking) {
        begin_to_look(w);
        passed_ms = 0;
    }
    look_at_all(w, passed_ms);
    fr_hang hang = waited >= w->timeout_ms ? fr_hang_judge(w->ranks, n, w->timeout_ms)
                                           : FR_HANG_NONE;
    /* only rank 0 sees whether all wait, and at the end nobody is to blame for ending */
    bool is_void = (hang == FR_HANG_ALL_WAIT && n < w->n_ranks) ||
                   (hang == FR_HANG_LEFT && w->has_closed);
    return is_void ? FR_HANG_NONE : hang;
}

/* Errors are ignored, since the report is also printed. */
static void write_whole(int file, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = write(file, text, bytes);
        if (n <= 0) {
            return;
        }
        text += n;
        bytes -= (size_t)n;
    }
}

/* So that the others see a rank that failed, not one that fell silent. */
static void end_line(fr_watch *w)
{
    atomic_store(&w->has_failed, true);
    (void)fr_watch_write_line(w, FR_RANK_LINE_FAILED);
}

/* The thread of time must not take the pause for a look that hangs. */
static void let_others_report(fr_watch *w, int64_t pause_ms)
{
    enum { STEP_MS = 500 };
    for (int64_t passed = 0; passed < pause_ms; passed += STEP_MS) {
        atomic_store(&w->looked_ms, fr_watch_now_ms(w));
        fr_watch_pause(w, STEP_MS);
    }
}

/* Another rank prints the report. */
static void leave_silently(fr_watch *w)
{
    end_line(w);
    let_others_report(w, OTHERS_FIRST_MS);
    w->leave(w->argument, FR_WATCH_EXIT, "");
}

/* No file can be claimed. Ranks 0 and 1 print at once, and their end makes the launcher end the others: a rank above
 * them prints only if it is still there after the pause. */
static void leave_by_messages(fr_watch *w, fr_hang hang)
{
    if (w->own.rank > 1) {
        let_others_report(w, OTHERS_FIRST_APART_MS);
    }
    (void)fr_hang_report(hang, w->ranks, n_looked_at(w), w->timeout_ms,
                         &FR_HANG_BY_MESSAGES, w->report, w->report_bytes);
    w->leave(w->argument, FR_WATCH_EXIT, w->report);
}

/* The rank that creates timeout.txt prints the report; so does one that cannot find out whether another rank has. */
static void leave_with_report(fr_watch *w, fr_hang hang)
{
    int claim =
        open(w->claim_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (claim < 0 && errno == EEXIST) {
        leave_silently(w);
        return;
    }
    size_t bytes = fr_hang_report(hang, w->ranks, w->n_ranks, w->timeout_ms,
                                  &FR_HANG_BY_FILES, w->report, w->report_bytes);
    if (claim >= 0) {
        write_whole(claim, w->report, bytes);
        (void)close(claim);
    }
    end_line(w);
    w->leave(w->argument, FR_WATCH_EXIT, w->report);
}

/* A claim of another rank counts at once, however short the own wait is: that rank has judged for all. looked_ms
 * is set after the look, so it stands still while a call on a file hangs. */
bool fr_watch_others(fr_watch *w, int64_t passed_ms)
{
    if (w->timeout_ms == 0 || w->n_ranks == 1) {
        return false;
    }
    if (w->channel == NULL && access(w->claim_path, F_OK) == 0) {
        leave_silently(w);
        return true;
    }
    fr_hang hang = look(w, passed_ms);
    atomic_store(&w->looked_ms, fr_watch_now_ms(w));
    if (hang == FR_HANG_NONE || (int64_t)atomic_load(&w->waited_ms) < w->timeout_ms) {
        return false;
    }
    if (w->channel != NULL) {
        leave_by_messages(w, hang);
    } else {
        leave_with_report(w, hang);
    }
    return true;
}
