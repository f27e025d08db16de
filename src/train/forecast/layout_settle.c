#include "base/integer.h"
#include "base/quantity.h"
#include "comm/placement.h"
#include "train/forecast/layout.h"

/* A warning and not a failure: a forecast may be too high, and the run may still fit. It compares with all of the
 * memory, whereas the choice of a layout keeps a tenth free. Only rank 0 logs. A device with memory of its own says itself
 * what it lacks, when its memory is reserved. */
static void warn(fr_ctx *ctx, int64_t needed, int64_t there)
{
    char needed_text[FR_SIZE_BYTES];
    char there_text[FR_SIZE_BYTES];
    if (needed > there && fr_ctx_rank(ctx) == 0) {
        fr_size_text((double)needed, needed_text);
        fr_size_text((double)there, there_text);
        fr_log(ctx, FR_LOG_WARN,
               "too little memory: by forecast a rank needs %s and may use %s, so the "
               "kernel may kill this run; `forerun plan` shows what would fit",
               needed_text, there_text);
    }
}

static fr_status find_stage(fr_ctx *ctx, const fr_layout_problem *problem,
                            const fr_layout *layout, int *stage)
{
    fr_placement placement;
    int replica = 0;
    FR_TRY(fr_placement_init(ctx, problem->nodes, problem->n_ranks, layout->n_stages,
                             &placement));
    fr_placement_of_rank(&placement, fr_ctx_rank(ctx), stage, &replica);
    fr_placement_fini(&placement);
    return FR_OK;
}

fr_status fr_layout_settle(fr_ctx *ctx, const fr_layout_problem *problem,
                           fr_layout *out, fr_device_needs *needs)
{
    fr_layout_forecast input;
    int64_t max = 0;
    int stage = 0;
    *needs = (fr_device_needs){0};
    FR_TRY(fr_layout_resolve(ctx, problem, out));
    /* with many examples a forecast takes a while, and nothing else asks for it */
    if (fr_ctx_rank(ctx) != 0 && !problem->limits.device_is_apart) {
        return FR_OK;
    }
    FR_TRY(find_stage(ctx, problem, out, &stage));
    FR_TRY(fr_layout_forecast_init(ctx, problem, out, &input));
    for (int i = 0; i < out->n_stages; i++) {
        fr_rank_memory memory;
        fr_forecast_memory(&input.params, i, &memory);
        max = fr_max(max, memory.total);
        if (i == stage) {
            /* what NCCL takes must stay free for it */
            *needs = (fr_device_needs){memory.device - memory.sums, input.offload[i]};
        }
    }
    fr_layout_forecast_fini(&input);
    warn(ctx, max, problem->limits.memory);
    return FR_OK;
}
