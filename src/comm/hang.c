#include "comm/hang.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * A verdict must not blame a rank that is merely slow, so it needs evidence against somebody, or the evidence that all
 * are alive. Beats come every half second. A rank whose beat is younger than DOUBT_MS (three beats) is alive, one whose
 * beat is older than fr_hang_silence_ms (six beats or more) is silent, and between the two nothing is known.
 *
 *   silent ranks             stopped or cut off; they are blamed even if others are in doubt
 *   ranks that have ended    blamed likewise
 *   some rank is in doubt    no verdict yet
 *   long computing           all are alive: the ranks that compute, or wait for their own device, for longer than the
 *                            timeout are blamed
 *   all wait                 a deadlock; a rank that loads or saves prevents this verdict
 */
enum { DOUBT_MS = 1500, MIN_SILENCE_MS = 3000 };

/* Of a report: its lines but the rows, with MAX_NAMED culprits; a row with the longest names. More names than that
 * would hide the table below them. */
enum { HEAD_BYTES = 4096, ROW_BYTES = 512, MAX_NAMED = 8, CLOCK_BYTES = 24 };

/* The fields continue sentences of the report: see add_name and add_reason. */
const fr_hang_terms FR_HANG_BY_FILES = {
    .limit = "run.timeout",
    .unheard = "its rank line cannot be read",
    .unseen = "has stopped, never started, or does not share the run folder",
    .remedy = "start again with --resume"};
const fr_hang_terms FR_HANG_BY_MESSAGES = {
    .limit = "FORERUN_TIMEOUT",
    .unheard = "no message of it has arrived",
    .unseen = "has stopped, or cannot be reached",
    .remedy = "look at that rank and its host, then start again"};

/* A text that grows in memory of fixed size. */
typedef struct sheet {
    const fr_hang_terms *terms;
    char *text;
    size_t bytes;
    size_t used;
} sheet;

/* Text that does not fit is cut, and the final zero always stays. Nothing is allocated: a thread of the watch
 * writes the report while the main thread may hang with a lock of the allocator. */
__attribute__((format(printf, 2, 3))) static void add(sheet *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(s->text + s->used, s->bytes - s->used, format, arguments);
    va_end(arguments);
    size_t left = s->bytes - s->used - 1;
    s->used += n < 0 ? 0 : (size_t)n < left ? (size_t)n : left;
}

/* Half of the timeout at least: with a long timeout a rank gets longer to come back, for example from a slow
 * folder. */
int64_t fr_hang_silence_ms(int64_t timeout_ms)
{
    int64_t half = timeout_ms / 2;
    return half > MIN_SILENCE_MS ? half : MIN_SILENCE_MS;
}

/* A rank that waits for its own device waits for nobody else: its device computes, or hangs. */
static bool awaits_device(const fr_rank_line *line)
{
    return strcmp(line->state, "waiting") == 0 && strcmp(line->what, "device") == 0;
}

static bool is_waiting(const fr_rank_line *line)
{
    return strcmp(line->state, "waiting") == 0 && !awaits_device(line);
}

static bool is_computing(const fr_rank_line *line)
{
    return strcmp(line->state, "computing") == 0 || awaits_device(line);
}

/* How long the state lasts, by the rank's own clock. */
static int64_t span_ms(const fr_rank_line *line)
{
    return line->beat_ms - line->since_ms;
}

/* A rank whose line was never read may still be starting. */
static bool is_running(const fr_sighting *rank)
{
    return !rank->is_known || rank->line.status == FR_RANK_LINE_RUNNING;
}

/* Each kind has its own test, and the report uses the same one to mark rows. So the table always agrees with the
 * verdict. */
bool fr_hang_is_culprit(fr_hang hang, const fr_sighting *rank, int64_t timeout_ms)
{
    switch (hang) {
    case FR_HANG_SILENT:
        return is_running(rank) && rank->silent_ms >= fr_hang_silence_ms(timeout_ms);
    case FR_HANG_LEFT:
        return !is_running(rank);
    case FR_HANG_COMPUTING:
        return rank->is_known && is_computing(&rank->line) &&
               span_ms(&rank->line) >= timeout_ms;
    case FR_HANG_ALL_WAIT:
        return rank->is_known && is_waiting(&rank->line) &&
               span_ms(&rank->line) >= timeout_ms;
    case FR_HANG_NONE:
        break;
    }
    return false;
}

static int count_culprits(fr_hang hang, const fr_sighting *ranks, int n_ranks,
                          int64_t timeout_ms)
{
    int n = 0;
    for (int r = 0; r < n_ranks; r++) {
        n += fr_hang_is_culprit(hang, &ranks[r], timeout_ms);
    }
    return n;
}

/* A rank counts as alive only if its beat changed while it was looked at: a line from before a crash looks young
 * at first. */
static bool is_in_doubt(const fr_sighting *rank)
{
    return !rank->is_known || !rank->is_beating || rank->silent_ms > DOUBT_MS;
}

/* The order matters: evidence against a rank comes first, then a doubt ends the search, and only without doubt are
 * those blamed that are alive. */
fr_hang fr_hang_judge(const fr_sighting *ranks, int n_ranks, int64_t timeout_ms)
{
    if (count_culprits(FR_HANG_SILENT, ranks, n_ranks, timeout_ms) > 0) {
        return FR_HANG_SILENT;
    }
    if (count_culprits(FR_HANG_LEFT, ranks, n_ranks, timeout_ms) > 0) {
        return FR_HANG_LEFT;
    }
    for (int r = 0; r < n_ranks; r++) {
        if (is_in_doubt(&ranks[r])) {
            return FR_HANG_NONE;
        }
    }
    if (count_culprits(FR_HANG_COMPUTING, ranks, n_ranks, timeout_ms) > 0) {
        return FR_HANG_COMPUTING;
    }
    /* One rank that is not in this list may still send what the others wait for. */
    int n_waiting = count_culprits(FR_HANG_ALL_WAIT, ranks, n_ranks, timeout_ms);
    return n_waiting == n_ranks ? FR_HANG_ALL_WAIT : FR_HANG_NONE;
}

/* The time of day. The calendar functions of the C library may take locks and memory, so they are not used. */
static const char *clock_of(int64_t wall_ms, char out[CLOCK_BYTES])
{
    int second = (int)(wall_ms / 1000 % 86400);
    (void)snprintf(out, CLOCK_BYTES, "%02d:%02d:%02d UTC", second / 3600,
                   second / 60 % 60, second % 60);
    return out;
}

/* With one decimal, cut and not rounded. */
static void add_seconds(sheet *s, int64_t ms)
{
    add(s, "%lld.%lld s", (long long)(ms / 1000), (long long)(ms % 1000 / 100));
}

static void add_name(sheet *s, const fr_sighting *rank)
{
    if (rank->is_known) {
        add(s, "rank %d on %s", rank->line.rank, rank->line.host);
    } else {
        add(s, "rank %d (%s)", rank->line.rank, s->terms->unheard);
    }
}

/* Times of day are those of the blamed rank's own clock; durations are measured by this rank or are differences of
 * the line's own times. */
static void add_reason(sheet *s, fr_hang hang, const fr_sighting *rank)
{
    char clock[CLOCK_BYTES];
    if (hang == FR_HANG_SILENT && rank->is_known) {
        add(s, " has stopped or been cut off: no sign of life since %s, ",
            clock_of(rank->line.beat_ms, clock));
        add_seconds(s, rank->silent_ms);
    } else if (hang == FR_HANG_SILENT) {
        add(s, " %s, ", s->terms->unseen);
        add_seconds(s, rank->silent_ms);
    } else if (hang == FR_HANG_LEFT) {
        add(s, " left (%s) at %s", fr_rank_line_status_name(rank->line.status),
            clock_of(rank->line.beat_ms, clock));
    } else if (hang == FR_HANG_COMPUTING) {
        add(s, " has computed without sending a message since %s, ",
            clock_of(rank->line.since_ms, clock));
        add_seconds(s, span_ms(&rank->line));
    }
}

/* Further culprits are counted, and the table marks all. */
static void add_culprits(sheet *s, fr_hang hang, const fr_sighting *ranks, int n_ranks,
                         int64_t timeout_ms)
{
    int n = 0;
    for (int r = 0; r < n_ranks; r++) {
        if (!fr_hang_is_culprit(hang, &ranks[r], timeout_ms)) {
            continue;
        }
        if (n < MAX_NAMED) {
            add(s, "%s", n > 0 ? "; " : "");
            add_name(s, &ranks[r]);
            add_reason(s, hang, &ranks[r]);
        }
        n++;
    }
    if (n > MAX_NAMED) {
        add(s, "; and %d more", n - MAX_NAMED);
    }
}

/* The wait that began last closed the circle of waits. */
static void add_deadlock(sheet *s, const fr_sighting *ranks, int n_ranks)
{
    char clock[CLOCK_BYTES];
    const fr_sighting *last = &ranks[0];
    for (int r = 1; r < n_ranks; r++) {
        last = span_ms(&ranks[r].line) < span_ms(&last->line) ? &ranks[r] : last;
    }
    add(s, "all ranks are alive and wait, because of a deadlock or a broken network: "
           "the last one to wait is ");
    add_name(s, last);
    add(s, " since %s, ", clock_of(last->line.since_ms, clock));
    add_seconds(s, span_ms(&last->line));
}

/* Columns as in the heading of fr_hang_report. "<--" marks a culprit, "?" a rank without a line. */
static void add_row(sheet *s, const fr_sighting *rank, bool is_culprit)
{
    const fr_rank_line *line = &rank->line;
    char peer[16] = "-";
    char clock[CLOCK_BYTES];
    if (!rank->is_known) {
        add(s, "%4d  ?%s\n", line->rank, is_culprit ? "  <--" : "");
        return;
    }
    if (line->peer >= 0) {
        (void)snprintf(peer, sizeof peer, "%d", line->peer);
    } else if (is_waiting(line)) {
        (void)snprintf(peer, sizeof peer, "all");
    }
    add(s, "%4d  %-16s %8lld  %-9s  %-12s  %4s  %5lld  %-16s  %10lld  %s, ", line->rank,
        line->host, (long long)line->pid,
        line->status == FR_RANK_LINE_RUNNING ? line->state
                                             : fr_rank_line_status_name(line->status),
        line->what, peer, (long long)line->step, line->task,
        (long long)line->microbatch, clock_of(line->since_ms, clock));
    add_seconds(s, span_ms(line) + rank->silent_ms);
    add(s, "%s\n", is_culprit ? "  <--" : "");
}

/* The watch reserves this when it is created, before anything can hang. */
size_t fr_hang_report_bytes(int n_ranks)
{
    return (size_t)HEAD_BYTES + (size_t)n_ranks * ROW_BYTES;
}

/* In a deadlock no row is marked: all wait, and none is to blame more than another. */
size_t fr_hang_report(fr_hang hang, const fr_sighting *ranks, int n_ranks,
                      int64_t timeout_ms, const fr_hang_terms *terms, char *text,
                      size_t bytes)
{
    sheet s = {terms, text, bytes, 0};
    text[0] = '\0';
    add(&s, "error: no progress within %s (", terms->limit);
    add_seconds(&s, timeout_ms);
    add(&s, "): ");
    if (hang == FR_HANG_ALL_WAIT) {
        add_deadlock(&s, ranks, n_ranks);
    } else {
        add_culprits(&s, hang, ranks, n_ranks, timeout_ms);
    }
    add(&s, "; %s\n", terms->remedy);
    add(&s,
        "who waits for whom:\nrank  %-16s %8s  %-9s  %-12s  %4s  %5s  %-16s  %10s  "
        "since\n",
        "host", "pid", "state", "what", "peer", "step", "task", "microbatch");
    for (int r = 0; r < n_ranks; r++) {
        bool marked =
            hang != FR_HANG_ALL_WAIT && fr_hang_is_culprit(hang, &ranks[r], timeout_ms);
        add_row(&s, &ranks[r], marked);
    }
    return s.used;
}
