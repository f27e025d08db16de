#include "cli/plan_needed.h"

#include "base/quantity.h"

#include <math.h>

/* Longer pipelines are not tried: each one costs a forecast. */
enum { MAX_STAGES = 512 };

/* Whether a pipeline of so many stages would fit into the memory that a rank has. */
static fr_status try_stages(fr_ctx *ctx, const fr_layout_problem *problem, int n_stages,
                            bool *fits)
{
    fr_layout_problem longer = *problem;
    fr_layout layout = {n_stages, 1};
    fr_layout_forecast input;
    longer.n_ranks = n_stages;
    *fits = true;
    FR_TRY(fr_layout_forecast_init(ctx, &longer, &layout, &input));
    for (int i = 0; i < n_stages; i++) {
        fr_rank_memory memory;
        fr_forecast_memory(&input.params, i, &memory);
        *fits = *fits &&
                fr_layout_filled(&memory, &problem->limits) <= fr_layout_memory_share();
    }
    fr_layout_forecast_fini(&input);
    return FR_OK;
}

/* Two remedies: more memory a rank for the layout that needs least, or the shortest pipeline that fits into the
 * memory that there is. The second is sought only if the config leaves the number of stages open. */
fr_status fr_plan_needed_find(fr_ctx *ctx, fr_plan_report *report)
{
    const fr_layout_problem *problem = report->problem;
    int64_t max =
        problem->arch->n_layers < MAX_STAGES ? problem->arch->n_layers : MAX_STAGES;
    bool fits = false;
    double share = fr_layout_memory_share();
    report->needed.rank_bytes =
        (int64_t)ceil((double)report->chosen->largest_bytes / share);
    report->needed.device_bytes =
        (int64_t)ceil((double)report->chosen->device_bytes / share);
    if (problem->stages != FR_AUTO) {
        return FR_OK;
    }
    for (int n = 1; n <= max && !fits; n++) {
        FR_TRY(try_stages(ctx, problem, n, &fits));
        report->needed.n_stages = fits ? n : 0;
    }
    return FR_OK;
}

/* "2.0 GiB of memory a rank, 4.0 GiB a node, instead of 1.0 GiB a rank", with that of the device where it has its own. */
static void print_more_memory(const fr_plan_report *report, FILE *out)
{
    const fr_plan_needed *n = &report->needed;
    const fr_rank_limits *limits = &report->problem->limits;
    char rank[FR_SIZE_BYTES];
    char node[FR_SIZE_BYTES];
    char has[FR_SIZE_BYTES];
    fr_size_text((double)n->rank_bytes, rank);
    fr_size_text((double)n->rank_bytes * (double)report->ranks_per_node, node);
    fr_size_text((double)limits->memory, has);
    (void)fprintf(out, "   * %s of memory a rank, %s a node, instead of %s a rank",
                  rank, node, has);
    if (limits->device_is_apart) {
        fr_size_text((double)n->device_bytes, rank);
        fr_size_text((double)limits->device_memory, has);
        (void)fprintf(out, ", and %s of its device's instead of %s", rank, has);
    }
    (void)fprintf(out, " (%d x %d then fits)\n", report->chosen->layout.n_stages,
                  report->chosen->layout.n_replicas);
}

void fr_plan_needed_print(const fr_plan_report *report, FILE *out)
{
    const fr_plan_needed *n = &report->needed;
    char has[FR_SIZE_BYTES];
    fr_size_text((double)report->problem->limits.memory, has);
    (void)fprintf(out, "   no layout fits. Any of these would help:\n");
    print_more_memory(report, out);
    if (n->n_stages > 0) {
        (void)fprintf(out, "   * %d ranks, or a multiple, of %s each (run.stages=%d)\n",
                      n->n_stages, has, n->n_stages);
    }
    const fr_config *config = report->config;
    (void)fprintf(
        out, "   * less a rank: a smaller batch.microbatch_tokens%s%s%s\n",
        config->run.recompute != FR_RECOMPUTE_LAYER ? ", run.recompute=layer" : "",
        config->run.precision != FR_PRECISION_BF16 ? ", run.precision=bf16" : "",
        config->base.quantised ? "" : ", base.weights=quantised");
}
