#define _POSIX_C_SOURCE 200809L
#include "comm/rank_line.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * Format, parser and file of a rank line.
 *
 * A line has one fixed length, so a rank rewrites it in place by one write, and no reader sees a shorter file. The
 * parser takes what the format writes and nothing else: lines come from other hosts and from files that anybody with
 * access to the run folder may change. Their words reach the report on a terminal, so only printable characters
 * pass. These functions run in threads of the watch while the main thread may hang. So they allocate nothing and
 * keep no state.
 */

static const char *const STATUS_NAMES[] = {"running", "ended", "failed"};

const char *fr_rank_line_status_name(fr_rank_line_status status)
{
    return STATUS_NAMES[status];
}

void fr_rank_line_word(const char *word, char *field, int bytes)
{
    int n = 0;
    for (; word != NULL && word[n] != '\0' && n < bytes - 1; n++) {
        field[n] = word[n] > ' ' && word[n] <= '~' ? word[n] : '_';
    }
    if (n == 0) {
        field[n++] = '-';
    }
    field[n] = '\0';
}

/* Always the full size: spaces fill the rest, so that one pwrite of this size leaves nothing of an older, longer
 * line. */
void fr_rank_line_format(const fr_rank_line *line, char text[FR_RANK_LINE_BYTES])
{
    int n = snprintf(
        text, FR_RANK_LINE_BYTES,
        "slot=%d.%d rank=%d host=%s pid=%lld status=%s state=%s what=%s peer=%d "
        "step=%lld task=%s microbatch=%lld since=%lld.%03lld beat=%lld.%03lld",
        FR_RANK_LINE_MAJOR, FR_RANK_LINE_MINOR, line->rank, line->host,
        (long long)line->pid, STATUS_NAMES[line->status], line->state, line->what,
        line->peer, (long long)line->step, line->task, (long long)line->microbatch,
        (long long)(line->since_ms / 1000), (long long)(line->since_ms % 1000),
        (long long)(line->beat_ms / 1000), (long long)(line->beat_ms % 1000));
    n = n < 0 ? 0 : n < FR_RANK_LINE_BYTES ? n : FR_RANK_LINE_BYTES - 1;
    memset(text + n, ' ', (size_t)(FR_RANK_LINE_BYTES - n));
    text[FR_RANK_LINE_BYTES - 1] = '\n';
}

static bool parse_status(const char *name, fr_rank_line_status *out)
{
    for (int i = FR_RANK_LINE_RUNNING; i <= FR_RANK_LINE_FAILED; i++) {
        if (strcmp(name, STATUS_NAMES[i]) == 0) {
            *out = (fr_rank_line_status)i;
            return true;
        }
    }
    return false;
}

/* False for what does not fit an int. */
static bool parse_int(long long value, int *out)
{
    *out = (int)value;
    return value >= INT_MIN && value <= INT_MAX;
}

/* Seconds and milliseconds; a sum of two times fits as well. */
static bool parse_time(const long long parts[2], int64_t *out)
{
    static const int64_t MAX_SECONDS = INT64_MAX / 2 / 1000;
    bool fits = parts[0] >= 0 && parts[0] < MAX_SECONDS && parts[1] >= 0;
    *out = fits ? parts[0] * 1000 + parts[1] : 0;
    return fits;
}

/* Where the pairs after the version begin; -1 for another major version. The oldest lines have none. */
static int skip_version(const char *text, int *minor)
{
    int major = 0;
    int used = 0;
    *minor = 0;
    if (strncmp(text, "slot=", 5) != 0) {
        return 0;
    }
    int n = sscanf(text, "slot=%9d.%9d %n", &major, minor, &used);
    return n == 2 && major == FR_RANK_LINE_MAJOR && *minor >= 0 ? used : -1;
}

/* Whether it is a whole line of printable characters: others would reach the terminal of whoever reads a report.
 * The copy ends with a zero in place of the newline. */
static bool copy_text(const char from[FR_RANK_LINE_BYTES],
                      char text[FR_RANK_LINE_BYTES])
{
    for (int i = 0; i < FR_RANK_LINE_BYTES - 1; i++) {
        if (from[i] < ' ' || from[i] > '~') {
            return false;
        }
    }
    memcpy(text, from, FR_RANK_LINE_BYTES);
    text[FR_RANK_LINE_BYTES - 1] = '\0';
    return from[FR_RANK_LINE_BYTES - 1] == '\n';
}

/* The widths in the format are the sizes of the fields less the final zero. Numbers are read as long long and
 * checked afterwards, since sscanf would not report that one does not fit an int. `line` is handed out only when
 * all is good. */
bool fr_rank_line_parse(const char text[FR_RANK_LINE_BYTES], fr_rank_line *out)
{
    enum { FIELDS = 14 };
    char copy[FR_RANK_LINE_BYTES];
    char status[FR_RANK_LINE_WORD_BYTES];
    long long rank = 0;
    long long peer = 0;
    long long pid = 0;
    long long step = 0;
    long long microbatch = 0;
    long long since[2] = {0, 0};
    long long beat[2] = {0, 0};
    int used = 0;
    int minor = 0;
    fr_rank_line line = {0};
    int first = copy_text(text, copy) ? skip_version(copy, &minor) : -1;
    if (first < 0) {
        return false;
    }
    errno = 0; /* ERANGE: a number beyond its type */
    int n = sscanf(
        copy + first,
        "rank=%lld host=%63s pid=%lld status=%23s state=%23s what=%23s peer=%lld "
        "step=%lld task=%127s microbatch=%lld since=%lld.%3lld beat=%lld.%3lld%n",
        &rank, line.host, &pid, status, line.state, line.what, &peer, &step, line.task,
        &microbatch, &since[0], &since[1], &beat[0], &beat[1], &used);
    if (n != FIELDS || errno == ERANGE || !parse_status(status, &line.status) ||
        !parse_int(rank, &line.rank) || !parse_int(peer, &line.peer) ||
        !parse_time(since, &line.since_ms) || !parse_time(beat, &line.beat_ms)) {
        return false;
    }
    /* A newer minor version may add pairs behind those that are known here; the own version may not. */
    const char *rest = copy + first + used;
    bool is_end = rest[strspn(rest, " ")] == '\0';
    if (!is_end && (minor <= FR_RANK_LINE_MINOR || rest[0] != ' ')) {
        return false;
    }
    line.pid = pid;
    line.step = step;
    line.microbatch = microbatch;
    *out = line;
    return true;
}

/* The file is opened for each write and not kept open: it may have been removed, and a network file system shows a
 * write to the other hosts at its close. */
bool fr_rank_line_write(const char *path, const fr_rank_line *line)
{
    char text[FR_RANK_LINE_BYTES];
    fr_rank_line_format(line, text);
    int file = fr_open_own(path, O_WRONLY);
    if (file < 0) {
        return false;
    }
    bool written = pwrite(file, text, sizeof text, 0) == (ssize_t)sizeof text;
    return close(file) == 0 && written;
}

/* A line that is just being rewritten may mix two states. If it does not parse, it counts as unread; otherwise the
 * next look corrects it. */
bool fr_rank_line_read(const char *path, fr_rank_line *out)
{
    char text[FR_RANK_LINE_BYTES];
    int file = fr_open_regular(path);
    if (file < 0) {
        return false;
    }
    bool whole = pread(file, text, sizeof text, 0) == (ssize_t)sizeof text;
    (void)close(file);
    return whole && fr_rank_line_parse(text, out);
}
