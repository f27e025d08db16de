#define _POSIX_C_SOURCE 200809L
#include "comm/rank_line.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

void fr_rank_line_format(const fr_rank_line *slot, char line[FR_RANK_LINE_BYTES])
{
    int n = snprintf(
        line, FR_RANK_LINE_BYTES,
        "slot=%d.%d rank=%d host=%s pid=%lld status=%s state=%s what=%s peer=%d "
        "step=%lld task=%s microbatch=%lld since=%lld.%03lld beat=%lld.%03lld",
        FR_RANK_LINE_MAJOR, FR_RANK_LINE_MINOR, slot->rank, slot->host,
        (long long)slot->pid, STATUS_NAMES[slot->status], slot->state, slot->what,
        slot->peer, (long long)slot->step, slot->task, (long long)slot->microbatch,
        (long long)(slot->since_ms / 1000), (long long)(slot->since_ms % 1000),
        (long long)(slot->beat_ms / 1000), (long long)(slot->beat_ms % 1000));
    n = n < 0 ? 0 : n < FR_RANK_LINE_BYTES ? n : FR_RANK_LINE_BYTES - 1;
    memset(line + n, ' ', (size_t)(FR_RANK_LINE_BYTES - n));
    line[FR_RANK_LINE_BYTES - 1] = '\n';
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

/* Where the pairs after the version begin; -1 for another major version. Lines had none at first. */
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

/* A whole line of printable characters (others would reach the terminal of whoever reads a report), with a zero in place
 * of the newline. */
static bool copy_line(const char line[FR_RANK_LINE_BYTES],
                      char text[FR_RANK_LINE_BYTES])
{
    for (int i = 0; i < FR_RANK_LINE_BYTES - 1; i++) {
        if (line[i] < ' ' || line[i] > '~') {
            return false;
        }
    }
    memcpy(text, line, FR_RANK_LINE_BYTES);
    text[FR_RANK_LINE_BYTES - 1] = '\0';
    return line[FR_RANK_LINE_BYTES - 1] == '\n';
}

bool fr_rank_line_parse(const char line[FR_RANK_LINE_BYTES], fr_rank_line *out)
{
    enum { FIELDS = 14 };
    char text[FR_RANK_LINE_BYTES];
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
    fr_rank_line slot = {0};
    int first = copy_line(line, text) ? skip_version(text, &minor) : -1;
    if (first < 0) {
        return false;
    }
    errno = 0; /* ERANGE: a number beyond its type */
    int n = sscanf(
        text + first,
        "rank=%lld host=%63s pid=%lld status=%23s state=%23s what=%23s peer=%lld "
        "step=%lld task=%127s microbatch=%lld since=%lld.%3lld beat=%lld.%3lld%n",
        &rank, slot.host, &pid, status, slot.state, slot.what, &peer, &step, slot.task,
        &microbatch, &since[0], &since[1], &beat[0], &beat[1], &used);
    if (n != FIELDS || errno == ERANGE || !parse_status(status, &slot.status) ||
        !parse_int(rank, &slot.rank) || !parse_int(peer, &slot.peer) ||
        !parse_time(since, &slot.since_ms) || !parse_time(beat, &slot.beat_ms)) {
        return false;
    }
    const char *rest = text + first + used;
    bool is_end = rest[strspn(rest, " ")] == '\0';
    if (!is_end && (minor <= FR_RANK_LINE_MINOR || rest[0] != ' ')) {
        return false;
    }
    slot.pid = pid;
    slot.step = step;
    slot.microbatch = microbatch;
    *out = slot;
    return true;
}

bool fr_rank_line_write(const char *path, const fr_rank_line *slot)
{
    char line[FR_RANK_LINE_BYTES];
    fr_rank_line_format(slot, line);
    int file = fr_open_own(path, O_WRONLY);
    if (file < 0) {
        return false;
    }
    bool written = pwrite(file, line, sizeof line, 0) == (ssize_t)sizeof line;
    return close(file) == 0 && written;
}

bool fr_rank_line_read(const char *path, fr_rank_line *out)
{
    char line[FR_RANK_LINE_BYTES];
    int file = fr_open_regular(path);
    if (file < 0) {
        return false;
    }
    bool whole = pread(file, line, sizeof line, 0) == (ssize_t)sizeof line;
    (void)close(file);
    return whole && fr_rank_line_parse(line, out);
}
