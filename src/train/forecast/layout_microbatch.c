/* A GPU is fast with many rows at a time, and its memory bounds them; a CPU core is as fast with few. No result depends on the
 * number, so a run may go on with another one elsewhere. */
#include "train/forecast/layout.h"

#include <stdlib.h>

/* Products of 8192 rows are near the speed of the largest. Below some hundred a GPU waits for its own memory. */
enum { MOST_TOKENS = 8192, LEAST_TOKENS = 128 };

static bool asks_for_it(const fr_layout_problem *problem)
{
    for (int64_t i = 0; i < problem->n_tasks; i++) {
        if (problem->tasks[i].batch.microbatch_tokens == FR_AUTO) {
            return true;
        }
    }
    return false;
}

/* Whether any layout that is possible fits. */
static fr_status fits(fr_ctx *ctx, const fr_layout_problem *problem, int64_t tokens,
                      bool *out)
{
    fr_layout_problem with = *problem;
    fr_layout_candidate *list = NULL;
    int64_t n = 0;
    with.microbatch_tokens = tokens;
    FR_TRY(fr_layout_list(ctx, &with, &list, &n));
    *out = n > 0 && list[0].fits;
    free(list);
    return FR_OK;
}

fr_status fr_layout_microbatch(fr_ctx *ctx, const fr_layout_problem *problem,
                               int64_t *out)
{
    bool found = false;
    *out = FR_MICROBATCH_TOKENS;
    if (!problem->limits.device_is_apart || !asks_for_it(problem)) {
        return FR_OK;
    }
    *out = MOST_TOKENS;
    FR_TRY(fits(ctx, problem, *out, &found));
    while (!found && *out > LEAST_TOKENS) {
        *out /= 2;
        FR_TRY(fits(ctx, problem, *out, &found));
    }
    return FR_OK;
}
