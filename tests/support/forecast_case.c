#include "support/forecast_case.h"

const fr_arch FR_FORECAST_ARCH = {.family = "llama",
                                  .attn_norm = true,
                                  .mlp_norm = true,
                                  .gated = true,
                                  .embedding_scale = 1.0,
                                  .residual_scale = 1.0,
                                  .logit_scale = 1.0,
                                  .n_layers = 8,
                                  .d_model = 64,
                                  .d_ff = 128,
                                  .n_heads = 4,
                                  .n_kv_heads = 2,
                                  .head_dim = 16,
                                  .vocab_size = 100,
                                  .context_length = 64};

fr_forecast_params fr_forecast_even_stages(const fr_task_workload *tasks,
                                           int64_t n_tasks)
{
    static const int64_t EVEN[] = {0, 2, 4, 6, 8};
    return (fr_forecast_params){.arch = &FR_FORECAST_ARCH,
                                .n_stages = 4,
                                .n_replicas = 1,
                                .bounds = EVEN,
                                .warmup_depth = 1,
                                .max_position = 32,
                                .n_tasks = n_tasks,
                                .tasks = tasks,
                                .machine = {.flops = 1.0,
                                            .inside = {.bytes = 1e300},
                                            .between = {.bytes = 1e300}}};
}

fr_task_workload fr_forecast_load(int64_t n_microbatches)
{
    double rows = 10.0 * (double)n_microbatches;
    return (fr_task_workload){.length = 6,
                              .step_rows = rows,
                              .useful_tokens = rows,
                              .replica_rows = rows,
                              .n_microbatches = n_microbatches,
                              .max_rows = 10,
                              .max_units = 1,
                              .row_keys = 5.0};
}
