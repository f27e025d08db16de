#define _POSIX_C_SOURCE 200809L
#include "comm/watch_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The thread that reads and writes slot files, decides, and leaves. Any call on a file may hang in it. */
enum {
    BEAT_MS = 500,
    MOST_BEAT_MS = 1000,  /* a longer gap means that this process was stopped */
    FIRST_LOOK_SHARE = 4, /* of the timeout: others are looked at from there on */
    OTHERS_FIRST_S = 2,   /* until the table of the rank that prints it is through */
    EXIT_TIMEOUT = 5
};

bool fr_watch_write_slot(fr_watch *watch, fr_slot_status status)
{
    fr_position position;
    fr_slot slot = watch->own;
    (void)fr_place_get(&watch->place, &position);
    const char *state = position.wait != NULL    ? "waiting"
                        : position.phase != NULL ? position.phase
                                                 : "computing";
    fr_slot_word(state, slot.state, FR_SLOT_WORD_BYTES);
    fr_slot_word(position.wait, slot.what, FR_SLOT_WORD_BYTES);
    fr_slot_word(position.task, slot.task, FR_SLOT_TASK_BYTES);
    slot.status = status;
    slot.peer = (int)position.peer;
    slot.step = position.step;
    slot.microbatch = position.microbatch;
    slot.since_ms = position.since_ms;
    slot.beat_ms = fr_watch_wall_ms();
    watch->latest = slot;
    return fr_slot_write(watch->own_path, &slot);
}

static void begin_to_look(fr_watch *w)
{
    for (int r = 0; r < w->n_ranks; r++) {
        w->ranks[r] = (fr_sighting){.slot = {.rank = r}};
    }
    w->is_looking = true;
}

/* A slot that cannot be read, or is just being rewritten, is one whose beat has not changed. */
static void look_at(fr_watch *w, int rank, int64_t passed_ms)
{
    fr_sighting *seen = &w->ranks[rank];
    fr_slot slot;
    fr_watch_slot_path(w, rank, w->peer_path);
    bool is_read = fr_slot_read(w->peer_path, &slot) && slot.rank == rank;
    seen->silent_ms += passed_ms;
    if (!is_read) {
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
    if (waited < w->timeout_ms / FIRST_LOOK_SHARE) {
        w->is_looking = false;
        return FR_HANG_NONE;
    }
    if (!w->is_looking) {
        begin_to_look(w);
        passed_ms = 0;
    }
    for (int r = 0; r < w->n_ranks; r++) {
        if (r != w->own.rank) {
            look_at(w, r, passed_ms);
        }
    }
    w->ranks[w->own.rank] =
        (fr_sighting){.slot = w->latest, .is_known = true, .is_beating = true};
    return waited >= w->timeout_ms ? fr_hang_judge(w->ranks, w->n_ranks, w->timeout_ms)
                                   : FR_HANG_NONE;
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
    static const struct timespec PAUSE = {OTHERS_FIRST_S, 0};
    atomic_store(&w->has_failed, true);
    (void)fr_watch_write_slot(w, FR_SLOT_FAILED);
    atomic_store(&w->looked_ms, fr_watch_monotonic_ms());
    (void)nanosleep(&PAUSE, NULL);
    w->leave(w->argument, EXIT_TIMEOUT, "");
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
    size_t bytes = fr_hang_report(hang, w->ranks, w->n_ranks, w->timeout_ms, w->report,
                                  w->report_bytes);
    if (claim >= 0) {
        write_whole(claim, w->report, bytes);
        (void)close(claim);
    }
    atomic_store(&w->has_failed, true);
    (void)fr_watch_write_slot(w, FR_SLOT_FAILED);
    w->leave(w->argument, EXIT_TIMEOUT, w->report);
}

/* True if the rank has left (for a leave that returns). */
static bool watch_others(fr_watch *w, int64_t passed_ms)
{
    if (w->timeout_ms == 0 || w->n_ranks == 1) {
        return false;
    }
    if (access(w->claim_path, F_OK) == 0) {
        leave_silently(w);
        return true;
    }
    fr_hang hang = look(w, passed_ms);
    atomic_store(&w->looked_ms, fr_watch_monotonic_ms());
    if (hang == FR_HANG_NONE || (int64_t)atomic_load(&w->waited_ms) < w->timeout_ms) {
        return false;
    }
    leave_with_report(w, hang);
    return true;
}

void *fr_watch_keep_files(void *argument)
{
    fr_watch *w = argument;
    int64_t last = fr_watch_monotonic_ms();
    while (!fr_watch_rest(w, BEAT_MS)) {
        int64_t now = fr_watch_monotonic_ms();
        int64_t passed = now - last < MOST_BEAT_MS ? now - last : MOST_BEAT_MS;
        last = now;
        (void)fr_watch_write_slot(w, FR_SLOT_RUNNING);
        if (watch_others(w, passed)) {
            break;
        }
    }
    (void)fr_watch_write_slot(w, atomic_load(&w->has_failed) ? FR_SLOT_FAILED
                                                             : FR_SLOT_ENDED);
    (void)pthread_mutex_lock(&w->mutex);
    w->files_are_done = true;
    (void)pthread_cond_broadcast(&w->wake);
    (void)pthread_mutex_unlock(&w->mutex);
    return NULL;
}
