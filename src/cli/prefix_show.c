#include "cli/prefix_show.h"

#include "base/file.h"
#include "base/print.h"
#include "base/task_name.h"
#include "cli/checkpoint_report.h"
#include "train/config/written.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOSS_BYTES = 32 };

/* A loss that was not measured is infinite in a file. */
static void write_loss(double loss, char out[LOSS_BYTES])
{
    if (isfinite(loss)) {
        (void)snprintf(out, LOSS_BYTES, "%.6f", loss);
    } else {
        (void)snprintf(out, LOSS_BYTES, "-");
    }
}

/* ---- list ------------------------------------------------------------------------------------- */

/* Bytes of the longest name, for columns. */
static int widest_name(const fr_checkpoint *checkpoint)
{
    size_t widest = 0;
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        size_t width = strlen(checkpoint->tasks[i].name);
        widest = width > widest ? width : widest;
    }
    return widest <= FR_TASK_NAME_MAX ? (int)widest : FR_TASK_NAME_MAX;
}

/* The template stands last: it has blanks, and a long one is cut. */
static fr_status list_task(fr_ctx *ctx, const fr_checkpoint_task *task, int width)
{
    enum { TEMPLATE_BYTES = 60 };
    char loss[LOSS_BYTES];
    char *written = NULL;
    const char *text = task->chat ? "chat" : "rows of ids";
    bool is_long = false;
    if (task->template_text != NULL) {
        FR_TRY(fr_written_write_template(ctx, task->template_text, &written));
        is_long = strlen(written) > TEMPLATE_BYTES;
        text = written;
    }
    write_loss(task->progress.best_loss, loss);
    fr_print_line(
        stdout,
        "%-*s  slots %lld  layers %lld-%lld/%lld  best %s  step %lld"
        "%s  %s%.*s%s%s",
        width, task->name, (long long)task->length, (long long)task->first_layer,
        (long long)(task->first_layer + task->n_layers - 1),
        (long long)task->base_layers, loss, (long long)task->progress.step,
        task->slides ? "  slides" : "", written != NULL ? "\"" : "", TEMPLATE_BYTES,
        text, is_long ? "..." : "", written != NULL ? "\"" : "");
    free(written);
    return FR_OK;
}

fr_status fr_prefix_list(fr_ctx *ctx, const fr_checkpoint *checkpoint)
{
    int width = widest_name(checkpoint);
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        FR_TRY(list_task(ctx, &checkpoint->tasks[i], width));
    }
    return FR_OK;
}

/* ---- info ------------------------------------------------------------------------------------- */

static void print_numbers(const char *what, const fr_checkpoint_task *task,
                          const float *values)
{
    int64_t layer = task->length * task->n_kv_heads * task->head_dim;
    int64_t n = layer * task->n_layers;
    int64_t largest = 0;
    double squares = 0;
    for (int64_t i = 0; i < n; i++) {
        squares += (double)values[i] * (double)values[i];
        largest = fabsf(values[i]) > fabsf(values[largest]) ? i : largest;
    }
    fr_print_line(stdout, "  %-11s  root mean square %.6g, largest %.6g in layer %lld",
                  what, sqrt(squares / (double)n), (double)fabsf(values[largest]),
                  (long long)(task->first_layer + largest / layer));
}

/* What fr_report_task leaves out. */
static void print_more(const fr_checkpoint_task *task)
{
    const fr_progress *p = &task->progress;
    char digest[FR_DIGEST_HEX];
    char last[LOSS_BYTES];
    char base[LOSS_BYTES];
    char init[LOSS_BYTES];
    fr_digest_hex(task->valid_digest, digest);
    write_loss(p->valid_loss, last);
    write_loss(p->base_loss, base);
    write_loss(p->init_loss, init);
    bool is_known = strspn(digest, "0") < strlen(digest);
    fr_print_line(stdout,
                  "  validation   last loss %s, %lld in a row without a better "
                  "one, rows %s%s",
                  last, (long long)p->stale_validations,
                  is_known ? "sha256 " : "not named", is_known ? digest : "");
    fr_print_line(stdout, "  measured     base alone %s, init text %s", base, init);
    fr_print_line(stdout, "  skipped      %lld steps in all, %lld in a row at the end",
                  (long long)p->skipped, (long long)p->skipped_in_row);
    fr_print_line(stdout,
                  "  keys are     as they enter attention (RoPE applied, halves), for "
                  "tokens at positions from %lld on",
                  (long long)task->length);
    print_numbers("keys", task, task->state.k);
    print_numbers("values", task, task->state.v);
    fr_print_line(stdout, "  size         %lld numbers, f32",
                  (long long)(2 * task->length * task->n_layers * task->n_kv_heads *
                              task->head_dim));
}

/* Line by line, each escaped as what comes from files is. */
static void print_config(const char *config)
{
    if (config == NULL) {
        fr_print_line(stdout, "config         not kept");
        return;
    }
    fr_print_line(stdout, "config");
    while (*config != '\0') {
        size_t length = strcspn(config, "\n");
        fr_print_line(stdout, "  %.*s", (int)length, config);
        config += length + (config[length] != '\0' ? 1 : 0);
    }
}

fr_status fr_prefix_info(fr_ctx *ctx, const char *path, const fr_checkpoint *checkpoint,
                         int64_t index)
{
    fr_stamp stamp;
    fr_report_file(checkpoint);
    if (fr_file_stamp(path, &stamp)) {
        fr_print_line(stdout, "file           %s, %lld bytes, %lld task%s", path,
                      (long long)stamp.bytes, (long long)checkpoint->n_tasks,
                      checkpoint->n_tasks == 1 ? "" : "s");
    }
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        if (index < 0 || i == index) {
            FR_TRY(fr_report_task(ctx, &checkpoint->tasks[i]));
            print_more(&checkpoint->tasks[i]);
        }
    }
    print_config(checkpoint->config);
    return FR_OK;
}
