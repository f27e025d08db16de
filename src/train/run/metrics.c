/* What a run reports while it trains: lines of metrics.jsonl, and the progress on stderr.
 *
 * The file is append-only during a run, and each line is one write, so a reader never sees two lines mixed and a
 * kill costs at most the end of the last line. A run that resumes first rewrites the file without the lines of
 * steps that are still to be done. Those steps were done before the kill, but after the checkpoint, and they are
 * done and reported again.
 *
 * What always holds: rank 0 alone has the file open. On the other ranks `file` is -1, and every call returns at
 * once.
 *
 * Times. `started` and `first_step` belong to this process, so rate and remaining time are those of this process,
 * and a resumed run does not count the steps before it. `last_step` is moved by validations too: the seconds in a
 * line are those of the step alone. */
#define _POSIX_C_SOURCE 200809L
#include "train/run/metrics.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json_out.h"
#include "base/json_size.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of a line's format, docs/format-metrics.md. Lines without a version are older and mean the same. */
#define VERSION_KEY "metrics"
enum { VERSION_MAJOR = 1, VERSION_MINOR = 1 };

struct fr_metrics {
    fr_ctx *ctx;
    int file; /* -1 on ranks that stay silent */
    char *path;
    bool terminal;
    int64_t first_step; /* steps done before this process, of all tasks */
    int64_t done_steps;
    int64_t total_steps;
    int64_t useful_tokens;
    double started;
    double last_step;
    double last_shown;
};

/* Whether this program reads the line's version. A version that is not a text M.N is not read. */
static bool can_read(const json_t *object)
{
    int major = 0;
    int minor = 0;
    const json_t *version = json_object_get(object, VERSION_KEY);
    const char *text = json_string_value(version);
    return version == NULL ||
           (text != NULL && sscanf(text, "%9d.%9d", &major, &minor) == 2 &&
            major == VERSION_MAJOR && minor >= 0);
}

/* Whether the line is about a step that its task has done. */
static bool is_of_the_past(const json_t *object, const fr_task *tasks, int64_t n_tasks)
{
    bool past = false;
    const json_t *step = json_object_get(object, "step");
    const char *name = json_string_value(json_object_get(object, "task"));
    /* A file holds all tasks at once: its line stays if any task has reached that step. */
    bool saved = json_object_get(object, "saved") != NULL; /* of all tasks */
    for (int64_t i = 0; i < n_tasks && json_is_integer(step); i++) {
        bool is_of_task =
            saved || (name != NULL && strcmp(tasks[i].config->name, name) == 0);
        past = past || (is_of_task && tasks[i].progress.step > 0 &&
                        json_integer_value(step) <= (json_int_t)tasks[i].progress.step);
    }
    return past;
}

/* Whether the line stays. A line that a kill cut short does not; a line of another version must not be lost. */
static fr_status judge_line(fr_ctx *ctx, const char *path, int64_t number,
                            const json_t *object, const fr_task *tasks, int64_t n_tasks,
                            bool *stays)
{
    *stays = is_of_the_past(object, tasks, n_tasks);
    if (!can_read(object)) {
        const char *found = json_string_value(json_object_get(object, VERSION_KEY));
        return FR_FAIL(ctx, FR_ERR_DATA,
                       "%s:%lld: the line is of version %s, this program reads and "
                       "writes %d.x; go on with the program that wrote it, or move the "
                       "file away",
                       path, (long long)number, found != NULL ? found : "unknown",
                       (int)VERSION_MAJOR);
    }
    return FR_OK;
}

/* Rewrite the file with only the whole lines of steps that are done: a resumed run then leaves one line a step. */
static fr_status drop_later_lines(fr_ctx *ctx, const char *path, const fr_task *tasks,
                                  int64_t n_tasks)
{
    char *text = NULL;
    size_t bytes = 0;
    size_t kept = 0;
    if (!fr_file_exists(path)) {
        return FR_OK;
    }
    FR_TRY(fr_file_read(ctx, path, &text, &bytes));
    fr_status status = FR_OK;
    int64_t number = 0;
    for (size_t at = 0; at < bytes && status == FR_OK;) {
        const char *end = memchr(text + at, '\n', bytes - at);
        /* Without a line break it is the end that a kill cut off. */
        if (end == NULL) {
            break;
        }
        size_t length = (size_t)(end - (text + at)) + 1;
        bool stays = false;
        /* Text that is not JSON gives no object, has no step, and is dropped like a line of a later step. */
        json_t *object = fr_json_fits(text + at, length)
                             ? json_loadb(text + at, length, 0, NULL)
                             : NULL;
        status = judge_line(ctx, path, ++number, object, tasks, n_tasks, &stays);
        json_decref(object);
        if (stays) {
            memmove(text + kept, text + at, length);
            kept += length;
        }
        at += length;
    }
    if (status == FR_OK) {
        status = fr_file_replace(ctx, path, text, kept);
    }
    free(text);
    return status;
}

static fr_status open_file(fr_metrics *m, const char *folder, const fr_task *tasks,
                           int64_t n_tasks)
{
    FR_TRY(fr_join_path(m->ctx, folder, "metrics.jsonl", &m->path));
    FR_TRY(drop_later_lines(m->ctx, m->path, tasks, n_tasks));
    /* Not through a link: an append would go to whatever file it leads to. */
    m->file = fr_open_own(m->path, O_WRONLY | O_APPEND);
    if (m->file < 0) {
        return FR_FAIL(m->ctx, FR_ERR_IO,
                       "cannot append to %s: %s; see what lies there, and its "
                       "permissions",
                       m->path,
                       errno == ELOOP ? "it is a symbolic link" : strerror(errno));
    }
    return FR_OK;
}

fr_status fr_metrics_open(fr_ctx *ctx, const char *folder, const fr_task *tasks,
                          int64_t n_tasks, int64_t total_steps, fr_metrics **out)
{
    fr_metrics *m = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *m, &m));
    m->ctx = ctx;
    m->file = -1;
    for (int64_t i = 0; i < n_tasks; i++) {
        m->done_steps += tasks[i].progress.step;
    }
    m->first_step = m->done_steps;
    m->total_steps = total_steps;
    m->started = m->last_step = m->last_shown = fr_clock_seconds();
    m->terminal = isatty(STDERR_FILENO) == 1;
    fr_status status = FR_OK;
    if (fr_ctx_rank(ctx) == 0) {
        status = open_file(m, folder, tasks, n_tasks);
    }
    if (status != FR_OK) {
        fr_metrics_close(&m);
    }
    *out = m;
    return status;
}

void fr_metrics_close(fr_metrics **metrics)
{
    if (*metrics != NULL) {
        if ((*metrics)->file >= 0) {
            (void)close((*metrics)->file);
        }
        free((*metrics)->path);
        free(*metrics);
        *metrics = NULL;
    }
}

/* Takes `object` over. Nine digits are as many as a float can need. */
static fr_status write_line(fr_metrics *m, json_t *object)
{
    enum { VERSION_BYTES = 24 };
    char version[VERSION_BYTES];
    (void)snprintf(version, sizeof version, "%d.%d", (int)VERSION_MAJOR,
                   (int)VERSION_MINOR);
    (void)json_object_set_new(object, VERSION_KEY, json_string(version));
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    size_t bytes = text != NULL ? strlen(text) : 0;
    json_decref(object);
    FR_TRY(fr_check_memory(m->ctx, text != NULL, 1));
    text[bytes] =
        '\n'; /* in the place of the closing zero, so that a line is one write */
    bool written = fr_write_whole(m->file, text, bytes + 1);
    free(text);
    if (!written) {
        return FR_FAIL(m->ctx, FR_ERR_IO, "cannot write to %s: %s; free space", m->path,
                       strerror(errno));
    }
    return FR_OK;
}

/* One object an edge between stages: bytes of all replicas, and seconds that its receivers waited, added up. */
static json_t *traffic_of(const fr_step_result *result)
{
    static const double NS = 1e-9;
    json_t *edges = json_array();
    for (int e = 0; e < result->n_edges; e++) {
        const fr_traffic *edge = &result->edges[e];
        (void)json_array_append_new(
            edges,
            json_pack("{s:I, s:I, s:o, s:o}", "forward_bytes",
                      (json_int_t)edge->forward_bytes, "backward_bytes",
                      (json_int_t)edge->backward_bytes, "forward_wait",
                      fr_json_real(NS * (double)edge->forward_wait_ns), "backward_wait",
                      fr_json_real(NS * (double)edge->backward_wait_ns)));
    }
    return edges;
}

/* Rate and remaining time are means over this process: single steps vary too much to be shown. */
static void show_progress(fr_metrics *m, const char *task, int64_t step,
                          const fr_step_result *result, double now)
{
    enum { WIDTH = 24 }; /* the bar and its numbers fit a terminal of 80 columns */
    /* For logs without a terminal: often enough to see that a run lives, and no flood at thousands of fast steps. */
    static const double PLAIN_LINE_SECONDS = 5.0;
    double elapsed = now - m->started;
    int64_t done = m->done_steps - m->first_step;
    double left = elapsed / (double)done * (double)(m->total_steps - m->done_steps);
    double rate = (double)m->useful_tokens / elapsed;
    if (m->terminal) {
        char bar[WIDTH + 1];
        int64_t full =
            WIDTH * m->done_steps / (m->total_steps > 0 ? m->total_steps : 1);
        for (int64_t i = 0; i < WIDTH; i++) {
            bar[i] = i < full ? '#' : '.';
        }
        bar[WIDTH] = '\0';
        (void)fprintf(stderr,
                      "\r[%s] %s step %lld loss %.4f %.0f tokens/s ETA %.0f s  ", bar,
                      task, (long long)step, result->loss, rate, left);
        if (m->done_steps == m->total_steps) {
            (void)fputc('\n', stderr);
        }
    } else if (now - m->last_shown >= PLAIN_LINE_SECONDS || done == 1 ||
               m->done_steps == m->total_steps) {
        m->last_shown = now;
        fr_log(m->ctx, FR_LOG_INFO,
               "%s step %lld/%lld loss %.4f %.0f tokens/s ETA %.0f s", task,
               (long long)m->done_steps, (long long)m->total_steps, result->loss, rate,
               left);
    }
}

fr_status fr_metrics_step(fr_metrics *metrics, const char *task, int64_t step,
                          int64_t log_every, const fr_step_result *result)
{
    if (metrics->file < 0) {
        return FR_OK;
    }
    double now = fr_clock_seconds();
    double seconds = now - metrics->last_step;
    metrics->last_step = now;
    metrics->done_steps++;
    metrics->useful_tokens += result->n_useful;
    show_progress(metrics, task, step, result, now);
    /* Counts and the display follow every step; the file has only each log_every-th. */
    if (step % log_every != 0) {
        return FR_OK;
    }
    json_t *line = json_pack(
        "{s:s, s:I, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:b, s:o}",
        "task", task, "step", (json_int_t)step, "loss", fr_json_real(result->loss),
        "lr", fr_json_real(result->learning_rate), "gradient_norm",
        fr_json_real(result->gradient_norm), "target_tokens",
        (json_int_t)result->n_counted, "tokens", (json_int_t)result->n_useful,
        "examples", (json_int_t)result->n_examples, "rows", (json_int_t)result->n_rows,
        "seconds", fr_json_real(seconds), "tokens_per_second",
        fr_json_real((double)result->n_useful / seconds), "examples_per_second",
        fr_json_real((double)result->n_examples / seconds), "skipped",
        (int)result->skipped, "edges", traffic_of(result));
    return write_line(metrics, line);
}

fr_status fr_metrics_validation(fr_metrics *metrics, const char *task, int64_t step,
                                const fr_evaluation *result, bool best)
{
    if (metrics->file < 0) {
        return FR_OK;
    }
    metrics->last_step = fr_clock_seconds();
    if (metrics->terminal) {
        (void)fputc('\n', stderr); /* below the progress bar */
    }
    fr_log(metrics->ctx, FR_LOG_INFO, "%s step %lld: validation loss %.4f%s", task,
           (long long)step, result->loss, best ? " (best)" : "");
    json_t *line =
        json_pack("{s:s, s:I, s:o, s:I, s:b}", "task", task, "step", (json_int_t)step,
                  "valid_loss", fr_json_real(result->loss), "valid_target_tokens",
                  (json_int_t)result->n_targets, "best", (int)best);
    return write_line(metrics, line);
}

/* Measuring the base takes time that belongs to no step, so the clocks start after it. */
fr_status fr_metrics_start(fr_metrics *metrics, const fr_task *task)
{
    if (metrics->file < 0) {
        return FR_OK;
    }
    metrics->started = metrics->last_step = metrics->last_shown = fr_clock_seconds();
    json_t *line = json_pack("{s:s, s:I, s:o, s:o, s:s}", "task", task->config->name,
                             "step", (json_int_t)task->progress.step, "base_loss",
                             fr_json_real(task->progress.base_loss), "init_loss",
                             fr_json_real(task->progress.init_loss), "measured_on",
                             task->valid != NULL ? "valid" : "train");
    return write_line(metrics, line);
}

fr_status fr_metrics_stopped(fr_metrics *metrics, const char *task, int64_t step,
                             int64_t steps_left, const char *reason)
{
    if (metrics->file < 0) {
        return FR_OK;
    }
    /* Else the bar would never be full and the remaining time would be too long. */
    metrics->total_steps -= steps_left;
    json_t *line = json_pack("{s:s, s:I, s:s}", "task", task, "step", (json_int_t)step,
                             "stopped", reason);
    return write_line(metrics, line);
}

fr_status fr_metrics_saved(fr_metrics *metrics, const fr_write *write, double blocked)
{
    enum { NAME_BYTES = 64 };
    char name[NAME_BYTES];
    if (metrics->file < 0) {
        return FR_OK;
    }
    /* A checkpoint has no name in its write, because the writer makes it from the step. */
    (void)snprintf(name, sizeof name, "checkpoint-%lld.h5", (long long)write->step);
    json_t *line = json_pack(
        "{s:s, s:I, s:o, s:o, s:o}", "saved", write->name != NULL ? write->name : name,
        "step", (json_int_t)write->step, "blocked_seconds", fr_json_real(blocked),
        "writer_seconds", fr_json_real(write->seconds), "writer_cpu_seconds",
        fr_json_real(write->cpu_seconds));
    return write_line(metrics, line);
}
