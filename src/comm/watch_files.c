#define _POSIX_C_SOURCE 200809L
#include "comm/watch_impl.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The thread that reads and writes slot files, decides, and leaves. Any call on a file may hang in it. */
enum {
    BEAT_MS = 500,
    MAX_BEAT_MS = 1000,   /* a longer gap means that this process was stopped */
    FIRST_LOOK_SHARE = 4, /* of the timeout: others are looked at from there on */
    EXIT_TIMEOUT = 5
};
/* By then the table of the rank that prints it has reached the user. */
static const int64_t OTHERS_FIRST_NS = 2000000000;

fr_rank_line fr_watch_own_line(fr_watch *watch, fr_rank_line_status status)
{
    fr_position position;
    fr_rank_line slot = watch->own;
    (void)fr_place_get(&watch->place, &position);
    const char *state = position.wait != NULL    ? "waiting"
                        : position.phase != NULL ? position.phase
                                                 : "computing";
    fr_rank_line_word(state, slot.state, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(position.wait, slot.what, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(position.task, slot.task, FR_RANK_LINE_TASK_BYTES);
    slot.status = status;
    slot.peer = (int)position.peer;
    slot.step = position.step;
    slot.microbatch = position.microbatch;
    slot.since_ms = position.since_ms;
    slot.beat_ms = fr_watch_wall_ms();
    watch->latest = slot;
    return slot;
}

bool fr_watch_write_line(fr_watch *watch, fr_rank_line_status status)
{
    fr_rank_line slot = fr_watch_own_line(watch, status);
    return fr_rank_line_write(watch->own_path, &slot);
}

static bool read_slot(fr_watch *w, int rank, fr_rank_line *out)
{
    if (w->post != NULL) {
        return fr_post_read(w->post, rank, out);
    }
    fr_watch_line_path(w, rank, w->peer_path);
    return fr_rank_line_read(w->peer_path, out) && out->rank == rank;
}

/* By messages the others than rank 0 hear of rank 0 alone. Only those that are looked at have a sighting. */
static int n_looked_at(const fr_watch *w)
{
    return w->post != NULL && w->own.rank != 0 ? 2 : w->n_ranks;
}

static int rank_looked_at(const fr_watch *w, int place)
{
    return w->post != NULL && w->own.rank != 0 && place > 0 ? w->own.rank : place;
}

static void begin_to_look(fr_watch *w)
{
    for (int i = 0; i < n_looked_at(w); i++) {
        w->ranks[i] = (fr_sighting){.slot = {.rank = rank_looked_at(w, i)}};
    }
    w->is_looking = true;
}

/* A slot that cannot be read, or is just being rewritten, is one whose beat has not changed. */
static void look_at(fr_watch *w, fr_sighting *seen, int64_t passed_ms)
{
    fr_rank_line slot;
    seen->silent_ms += passed_ms;
    if (!read_slot(w, seen->slot.rank, &slot)) {
        return;
    }
    if (seen->is_known && slot.beat_ms != seen->slot.beat_ms) {
        seen->is_beating = true;
        seen->silent_ms = 0;
    }
    seen->is_known = true;
    seen->slot = slot;
}

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
    for (int i = 0; i < n; i++) {
        if (rank_looked_at(w, i) != w->own.rank) {
            look_at(w, &w->ranks[i], passed_ms);
        } else {
            w->ranks[i] =
                (fr_sighting){.slot = w->latest, .is_known = true, .is_beating = true};
        }
    }
    fr_hang hang = waited >= w->timeout_ms ? fr_hang_judge(w->ranks, n, w->timeout_ms)
                                           : FR_HANG_NONE;
    /* whoever does not see all leaves that verdict to rank 0, and at the end nobody is to blame for ending */
    bool is_void = (hang == FR_HANG_ALL_WAIT && n < w->n_ranks) ||
                   (hang == FR_HANG_LEFT && w->has_closed);
    return is_void ? FR_HANG_NONE : hang;
}

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

/* Another rank speaks: leave after its output has had time to pass. */
static void leave_silently(fr_watch *w)
{
    atomic_store(&w->has_failed, true);
    (void)fr_watch_write_line(w, FR_RANK_LINE_FAILED);
    atomic_store(&w->looked_ms, fr_clock_ms());
    fr_sleep_ns(OTHERS_FIRST_NS);
    w->leave(w->argument, EXIT_TIMEOUT, "");
}

/* There is no claim: the lowest rank that decides speaks, for its end makes the launcher end the others. */
static void leave_by_messages(fr_watch *w, fr_hang hang)
{
    if (w->own.rank > 1) {
        fr_sleep_ns(OTHERS_FIRST_NS);
    }
    (void)fr_hang_report(hang, w->ranks, n_looked_at(w), w->timeout_ms,
                         &FR_HANG_BY_MESSAGES, w->report, w->report_bytes);
    w->leave(w->argument, EXIT_TIMEOUT, w->report);
}

/* The rank that can create the claim speaks; so does one that cannot tell whether another does. */
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
    atomic_store(&w->has_failed, true);
    (void)fr_watch_write_line(w, FR_RANK_LINE_FAILED);
    w->leave(w->argument, EXIT_TIMEOUT, w->report);
}

bool fr_watch_others(fr_watch *w, int64_t passed_ms)
{
    if (w->timeout_ms == 0 || w->n_ranks == 1) {
        return false;
    }
    if (w->post == NULL && access(w->claim_path, F_OK) == 0) {
        leave_silently(w);
        return true;
    }
    fr_hang hang = look(w, passed_ms);
    atomic_store(&w->looked_ms, fr_clock_ms());
    if (hang == FR_HANG_NONE || (int64_t)atomic_load(&w->waited_ms) < w->timeout_ms) {
        return false;
    }
    if (w->post != NULL) {
        leave_by_messages(w, hang);
    } else {
        leave_with_report(w, hang);
    }
    return true;
}

void *fr_watch_keep_files(void *argument)
{
    fr_watch *w = argument;
    int64_t last = fr_clock_ms();
    while (!fr_watch_rest(w, BEAT_MS)) {
        int64_t now = fr_clock_ms();
        int64_t passed = now - last < MAX_BEAT_MS ? now - last : MAX_BEAT_MS;
        last = now;
        (void)fr_watch_write_line(w, FR_RANK_LINE_RUNNING);
        if (fr_watch_others(w, passed)) {
            break;
        }
    }
    (void)fr_watch_write_line(w, atomic_load(&w->has_failed) ? FR_RANK_LINE_FAILED
                                                             : FR_RANK_LINE_ENDED);
    fr_watch_files_are_done(w);
    return NULL;
}
