/* The results of a sweep: a table for people and sweep.jsonl for programs, from the same sorted rows.
 *
 * Only tasks that the sweep made are rows. Tasks with a validation loss come first, by that loss. A training loss
 * is no substitute for it and is compared among the others only. The last order is that of the config, so that the
 * result is the same for every sort of the C library.
 *
 * Rank 0 has all that is needed, because progress is the same on all ranks. The file is written before the table is
 * printed: a closed terminal must not cost the results. */
#define _POSIX_C_SOURCE 200809L
#include "train/run/run_impl.h"

#include "base/file.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "train/step/stopping.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A cell shows at most 27 bytes: several axes fit one line, and the file has the whole text. */
enum { CELL_BYTES = 28 };

/* A task that the sweep made, and its results. */
typedef struct row {
    fr_task *task;
    double best;         /* best validation loss; NaN: none */
    double loss;         /* training loss of the last update; NaN: none */
    const char *stopped; /* by which rule */
    fr_swept_value values[FR_MAX_SWEPT]; /* owned texts */
} row;

typedef struct table {
    fr_ctx *ctx;
    const fr_config *config;
    int64_t n_rows;
    row *rows;
} table;

/* Tasks with a validation loss come first, then tasks with a training loss, then tasks without either. */
static double rank_of(const row *r)
{
    return isfinite(r->best) ? r->best : r->loss;
}

static int group_of(const row *r)
{
    return isfinite(r->best) ? 0 : isfinite(r->loss) ? 1 : 2;
}

static int compare_rows(const void *a, const void *b)
{
    const row *x = a;
    const row *y = b;
    if (group_of(x) != group_of(y)) {
        return group_of(x) - group_of(y);
    }
    if (rank_of(x) < rank_of(y)) {
        return -1;
    }
    if (rank_of(x) > rank_of(y)) {
        return 1;
    }
    return x->task < y->task ? -1 : x->task > y->task; /* as in the config */
}

/* A task whose steps were all skipped has no training loss, whatever its progress holds. */
static fr_status fill_row(const table *t, fr_task *task, int64_t nonfinite_limit,
                          row *out)
{
    bool updated = task->progress.skipped < task->progress.step;
    out->task = task;
    out->best =
        isfinite(task->progress.best_loss) ? task->progress.best_loss : (double)NAN;
    out->loss = updated ? task->progress.last_loss : (double)NAN;
    out->stopped = fr_stop_reason_name(fr_task_decide(task, nonfinite_limit));
    for (int i = 0; i < t->config->n_swept; i++) {
        FR_TRY(
            fr_config_swept_value(t->ctx, t->config, task->config, i, &out->values[i]));
    }
    return FR_OK;
}

static fr_status fill_table(fr_run_state *run, table *t)
{
    FR_TRY(fr_alloc(run->ctx, run->n_tasks, sizeof *t->rows, &t->rows));
    for (int64_t i = 0; i < run->n_tasks; i++) {
        if (run->tasks[i].config->swept) {
            FR_TRY(fill_row(t, &run->tasks[i], run->config->run.nonfinite_limit,
                            &t->rows[t->n_rows++]));
        }
    }
    qsort(t->rows, (size_t)t->n_rows, sizeof *t->rows, compare_rows);
    return FR_OK;
}

static void free_table(table *t)
{
    for (int64_t i = 0; i < t->n_rows; i++) {
        for (int v = 0; v < FR_MAX_SWEPT; v++) {
            free(t->rows[i].values[v].text);
        }
    }
    free(t->rows);
}

/* "0.005", or "random 0.02" where the key has several forms; line breaks are blanks, long texts are cut. */
static void print_cell(const table *t, const row *r, int axis, char out[CELL_BYTES])
{
    const fr_swept_value *value = &r->values[axis];
    const char *dot = strrchr(value->key, '.');
    bool has_form = strcmp(value->key, fr_config_swept_name(t->config, axis)) != 0;
    (void)snprintf(out, CELL_BYTES, "%s%s%s", has_form && dot != NULL ? dot + 1 : "",
                   has_form ? " " : "", value->text);
    size_t n = strlen(out);
    if (n == CELL_BYTES - 1) { /* no half of a UTF-8 character */
        while (n > 0 && ((unsigned char)out[n - 1] & 0xC0) == 0x80) {
            n--;
        }
        n -= n > 0 && ((unsigned char)out[n - 1] & 0x80) != 0;
        out[n] = '\0';
    }
    for (char *c = out; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' ? ' ' : *c;
    }
}

/* Four decimals, as in the progress lines. */
static void print_number(double value, char out[CELL_BYTES])
{
    if (isfinite(value)) {
        (void)snprintf(out, CELL_BYTES, "%.4f", value);
    } else {
        (void)snprintf(out, CELL_BYTES, "-");
    }
}

static int longest(int so_far, const char *text)
{
    int length = (int)strlen(text);
    return length > so_far ? length : so_far;
}

/* Widths of numbers fit the largest that are usual; a wider number moves the rest of its row only. */
static void print_head(const table *t, FILE *out, int name_width, const int *widths)
{
    (void)fprintf(out, "%-*s", name_width, "task");
    for (int a = 0; a < t->config->n_swept; a++) {
        (void)fprintf(out, "  %-*s", widths[a], fr_config_swept_name(t->config, a));
    }
    (void)fprintf(out, "  %9s  %7s  %9s  %6s  %7s  %s\n", "best loss", "at step",
                  "last loss", "steps", "skipped", "stopped by");
}

static void print_row(const table *t, const row *r, FILE *out, int name_width,
                      const int *widths)
{
    char cell[CELL_BYTES];
    char at_step[CELL_BYTES] = "-";
    (void)fprintf(out, "%-*s", name_width, r->task->config->name);
    for (int a = 0; a < t->config->n_swept; a++) {
        print_cell(t, r, a, cell);
        (void)fprintf(out, "  %-*s", widths[a], cell);
    }
    print_number(r->best, cell);
    if (isfinite(r->best)) {
        (void)snprintf(at_step, sizeof at_step, "%lld",
                       (long long)r->task->progress.best_step);
    }
    (void)fprintf(out, "  %9s  %7s", cell, at_step);
    print_number(r->loss, cell);
    (void)fprintf(out, "  %9s  %6lld  %7lld  %s\n", cell,
                  (long long)r->task->progress.step,
                  (long long)r->task->progress.skipped, r->stopped);
}

/* Two passes, because a column is as wide as its widest cell. */
static void print_table(const table *t, FILE *out)
{
    char cell[CELL_BYTES];
    int widths[FR_MAX_SWEPT] = {0};
    int name_width = longest(0, "task");
    for (int64_t i = 0; i < t->n_rows; i++) {
        name_width = longest(name_width, t->rows[i].task->config->name);
        for (int a = 0; a < t->config->n_swept; a++) {
            print_cell(t, &t->rows[i], a, cell);
            widths[a] = longest(widths[a], cell);
            widths[a] = longest(widths[a], fr_config_swept_name(t->config, a));
        }
    }
    print_head(t, out, name_width, widths);
    for (int64_t i = 0; i < t->n_rows; i++) {
        print_row(t, &t->rows[i], out, name_width, widths);
    }
}

/* Numbers and true are written alike in YAML and JSON; what JSON cannot hold (auto, a very large seed) is text. */
static json_t *value_json(const fr_swept_value *value)
{
    json_t *plain =
        value->is_text ? NULL : json_loads(value->text, JSON_DECODE_ANY, NULL);
    return plain != NULL ? plain : fr_json_string(value->text);
}

static json_t *row_json(const table *t, int64_t index)
{
    const row *r = &t->rows[index];
    json_t *values = json_object();
    for (int a = 0; a < t->config->n_swept; a++) {
        (void)json_object_set_new(values, r->values[a].key, value_json(&r->values[a]));
    }
    /* A step of a best loss that does not exist is null, not 0: 0 would be a step. */
    json_t *at_step = isfinite(r->best)
                          ? json_integer((json_int_t)r->task->progress.best_step)
                          : json_null();
    return json_pack("{s:I, s:s, s:o, s:o, s:o, s:o, s:I, s:I, s:s}", "rank",
                     (json_int_t)(index + 1), "task", r->task->config->name, "values",
                     values, "best_loss", fr_json_real(r->best), "best_step", at_step,
                     "last_loss", fr_json_real(r->loss), "steps",
                     (json_int_t)r->task->progress.step, "skipped",
                     (json_int_t)r->task->progress.skipped, "stopped", r->stopped);
}

/* The place of a row in the order is its rank, beginning with 1. */
static fr_status print_lines(const table *t, FILE *out)
{
    for (int64_t i = 0; i < t->n_rows; i++) {
        json_t *object = row_json(t, i);
        char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
        bool printed = text != NULL && fprintf(out, "%s\n", text) > 0;
        free(text);
        json_decref(object);
        FR_TRY(fr_check_memory(t->ctx, printed, sizeof *t->rows));
    }
    return FR_OK;
}

/* The whole text is made in memory and replaces the file at once, so a reader never sees half a table. */
static fr_status write_lines(const table *t)
{
    char *path = NULL;
    char *text = NULL;
    size_t bytes = 0;
    FR_TRY(fr_join_path(t->ctx, t->config->run.dir, "sweep.jsonl", &path));
    FILE *stream = open_memstream(&text, &bytes);
    fr_status status = fr_check_memory(t->ctx, stream != NULL, sizeof *t->rows);
    if (status == FR_OK) {
        status = print_lines(t, stream);
    }
    bool closed = stream == NULL || fclose(stream) == 0;
    if (status == FR_OK) {
        status = fr_check_memory(t->ctx, closed, bytes);
    }
    if (status == FR_OK) {
        status = fr_file_replace(t->ctx, path, text, bytes);
    }
    free(text);
    free(path);
    return status;
}

fr_status fr_run_report_sweep(fr_run_state *run)
{
    table t = {.ctx = run->ctx, .config = run->config};
    fr_status status = FR_OK;
    if (run->config->n_swept == 0) {
        return FR_OK;
    }
    if (fr_group_rank(run->world) == 0) {
        status = fill_table(run, &t);
        if (status == FR_OK) {
            status = write_lines(&t);
        }
        if (status == FR_OK && run->options->results != NULL) {
            print_table(&t, run->options->results);
        }
        free_table(&t);
    }
    return fr_group_agree(run->world, status);
}
