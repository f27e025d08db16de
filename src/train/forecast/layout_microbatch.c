/* A GPU is fast with many rows at a time. Its memory bounds them, and a pipeline idles less with more microbatches of fewer. A core of
 * a CPU is as fast with few. No result depends on the number, so a run may go on with another one elsewhere. */
#include "train/forecast/layout.h"

#include <math.h>
#include <stdlib.h>

/* Products of MOST_TOKENS rows are near a GPU's speed. Those of fewer take as long as if HALF_SPEED_ROWS more were there: rows by
 * which reading the weights, and tiles that are not full, are as much work as rows. Below LEAST_TOKENS nothing is gained. */
enum { MOST_TOKENS = 8192, LEAST_TOKENS = 128, HALF_SPEED_ROWS = 400 };

static bool asks_for_it(const fr_layout_problem *problem)
{
    for (int64_t i = 0; i < problem->n_tasks; i++) {
        if (problem->tasks[i].batch.microbatch_tokens == FR_AUTO) {
            return true;
        }
    }
    return false;
}

/* How long a step takes with the first layout, in no particular unit; HUGE_VAL: none fits. */
static fr_status time_of(fr_ctx *ctx, const fr_layout_problem *problem, int64_t tokens,
                         double *out)
{
    fr_layout_problem with = *problem;
    fr_layout_candidate *list = NULL;
    int64_t n = 0;
    with.microbatch_tokens = tokens;
    FR_TRY(fr_layout_list(ctx, &with, &list, &n));
    *out = n > 0 && list[0].fits
               ? list[0].seconds * (1.0 + (double)HALF_SPEED_ROWS / (double)tokens)
               : HUGE_VAL;
    free(list);
    return FR_OK;
}

/* The fastest from MOST_TOKENS down. Fewer than FR_MICROBATCH_TOKENS are only tried where that many do not fit, and fewer than
 * `fewest` never. @param[out] fits  whether any does; if not, *out is `fewest` */
static fr_status fastest(fr_ctx *ctx, const fr_layout_problem *problem, int64_t fewest,
                         int64_t *out, bool *fits)
{
    double least = HUGE_VAL;
    *out = fewest;
    for (int64_t tokens = MOST_TOKENS;
         tokens >= FR_MICROBATCH_TOKENS || (tokens >= fewest && isinf(least));
         tokens /= 2) {
        double seconds = 0.0;
        FR_TRY(time_of(ctx, problem, tokens, &seconds));
        *out = seconds < least ? tokens : *out;
        least = fmin(seconds, least);
    }
    *fits = !isinf(least);
    return FR_OK;
}

/* Layers stay on the host only where not even FR_MICROBATCH_TOKENS fit without that; they then hide their copies behind as many
 * tokens as fit. */
fr_status fr_layout_microbatch(fr_ctx *ctx, const fr_layout_problem *problem,
                               int64_t *out)
{
    fr_layout_problem resident = *problem;
    bool fits = false;
    *out = FR_MICROBATCH_TOKENS;
    if (!problem->limits.device_is_apart || !asks_for_it(problem)) {
        return FR_OK;
    }
    if (problem->offload == FR_AUTO) {
        resident.offload = FR_NONE;
        FR_TRY(fastest(ctx, &resident, FR_MICROBATCH_TOKENS, out, &fits));
    }
    return fits ? FR_OK : fastest(ctx, problem, LEAST_TOKENS, out, &fits);
}
