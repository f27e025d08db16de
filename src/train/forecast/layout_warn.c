#include "base/quantity.h"
#include "train/forecast/layout.h"

/* A warning and not a failure: a forecast may be too high, and the run may still fit. It compares with all of the
 * memory, whereas the choice of a layout keeps a tenth free. Only rank 0 logs. */
fr_status fr_layout_warn(fr_ctx *ctx, const fr_layout_problem *problem,
                         const fr_layout *layout)
{
    fr_layout_forecast input;
    int64_t max = 0;
    if (fr_ctx_rank(ctx) != 0) {
        return FR_OK;
    }
    FR_TRY(fr_layout_forecast_init(ctx, problem, layout, &input));
    for (int i = 0; i < layout->n_stages; i++) {
        fr_rank_memory memory;
        fr_forecast_memory(&input.params, i, &memory);
        max = memory.total > max ? memory.total : max;
    }
    fr_layout_forecast_fini(&input);
    if (max > problem->rank_memory) {
        char needed[FR_SIZE_BYTES];
        char there[FR_SIZE_BYTES];
        fr_size_text((double)max, needed);
        fr_size_text((double)problem->rank_memory, there);
        fr_log(ctx, FR_LOG_WARN,
               "too little memory: by forecast a rank needs %s and may use %s, so the "
               "kernel may kill this run; `forerun plan` shows what would fit",
               needed, there);
    }
    return FR_OK;
}
