#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "cli/plan_picture.h"

#include "base/output.h"
#include "train/forecast/forecast_time.h"
#include "train/forecast/picture.h"

#include <stdlib.h>

/* Two rounds show how one step follows the other. COLUMNS is about the width of a report's other lines, so that the
 * picture does not wrap where they do not. */
enum { ROUNDS = 2, COLUMNS = 100, LINE = 256 };

/* Drawn in memory and written at once, so that a failure leaves no part of a picture. */
static fr_status write_svg(fr_ctx *ctx, const fr_picture *picture, const char *path)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    if (memory == NULL) {
        return FR_FAIL(ctx, FR_ERR_NO_MEMORY, "no memory for the picture");
    }
    fr_picture_svg(picture, memory);
    bool written = ferror(memory) == 0;
    fr_status status = FR_OK;
    if (fclose(memory) != 0 || !written) {
        status = FR_FAIL(ctx, FR_ERR_NO_MEMORY, "no memory for the picture");
    }
    if (status == FR_OK) {
        status = fr_output_write(ctx, path, text, bytes);
    }
    free(text);
    return status;
}

fr_status fr_plan_draw(fr_ctx *ctx, const fr_plan_picture *picture, FILE *out)
{
    const fr_forecast_params *p = picture->params;
    const fr_forecast *f = picture->forecast;
    char title[LINE];
    char subtitle[LINE];
    fr_timeline timeline;
    int64_t left_out = 0;
    FR_TRY(fr_forecast_play(ctx, p, f, ROUNDS, &timeline, &left_out));
    (void)snprintf(title, sizeof title, "%d stage%s, %s%d replica%s", p->n_stages,
                   p->n_stages == 1 ? "" : "s", p->n_replicas == 1 ? "" : "one of ",
                   p->n_replicas, p->n_replicas == 1 ? "" : "s");
    (void)snprintf(subtitle, sizeof subtitle,
                   "idle %.1f %% in the steady state (formula for even stages without "
                   "links %.1f %%) · a step of every task takes %.3g s%s",
                   100.0 * f->bubble, 100.0 * f->bubble_formula, f->round_seconds,
                   left_out > 0 ? " · not all microbatches are drawn" : "");
    fr_picture drawn = {.timeline = &timeline,
                        .n_stages = p->n_stages,
                        .n_tasks = p->n_tasks,
                        .task_names = picture->task_names,
                        .bounds = p->bounds,
                        .title = title,
                        .subtitle = subtitle};
    if (out != NULL) {
        fr_picture_text(&drawn, COLUMNS, out);
    }
    if (out != NULL && left_out > 0) {
        (void)fprintf(out,
                      "           %lld more microbatches of each step are not drawn\n",
                      (long long)left_out);
    }
    fr_status status = FR_OK;
    if (picture->svg != NULL) {
        status = write_svg(ctx, &drawn, picture->svg);
    }
    fr_timeline_fini(&timeline);
    return status;
}
