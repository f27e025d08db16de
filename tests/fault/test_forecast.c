#include "base/mem.h"
#include "support/fault.h"
#include "support/rows.h"
#include "train/forecast/layout.h"

#include <stdlib.h>

static const fr_arch ARCH = {.family = "llama",
                             .attn_norm = true,
                             .mlp_norm = true,
                             .gated = true,
                             .embedding_scale = 1.0,
                             .residual_scale = 1.0,
                             .logit_scale = 1.0,
                             .n_layers = 4,
                             .d_model = 64,
                             .d_ff = 128,
                             .n_heads = 4,
                             .n_kv_heads = 2,
                             .head_dim = 16,
                             .vocab_size = 128,
                             .context_length = 64};

static const char ROWS[] = "{\"source_ids\":[1,2,3],\"target_ids\":[4,5]}\n"
                           "{\"source_ids\":[1,2],\"target_ids\":[6,7,8]}\n"
                           "{\"source_ids\":[9],\"target_ids\":[4,5]}\n";

static fr_status choose(fr_ctx *ctx, void *argument)
{
    const fr_layout_problem *problem = argument;
    fr_layout layout;
    return fr_layout_resolve(ctx, problem, &layout);
}

static void forecasts_survive_each_failed_allocation(void)
{
    fr_data_params rows = fr_test_id_params(fr_test_rows(ROWS));
    fr_dataset *dataset = NULL;
    fr_workload_source sources[2];
    fr_task_config tasks[2] = {{.name = NULL}, {.name = NULL}};
    for (int i = 0; i < 2; i++) {
        tasks[i].batch.examples = 2;
        tasks[i].batch.microbatch_tokens = 16;
    }
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &rows, &dataset));
    fr_workload_from_rows(dataset, 3, &sources[0]);
    fr_workload_from_numbers(3, 4, 0.5, &sources[1]);
    fr_layout_problem problem = {.arch = &ARCH,
                                 .n_tasks = 2,
                                 .tasks = tasks,
                                 .n_ranks = 2,
                                 .limits.memory = 1 << 30,
                                 .sources = sources,
                                 .machine = fr_machine_assumed()};
    CU_ASSERT_TRUE(fr_fault_sweep("choose", choose, &problem) >= 20);
    fr_dataset_close(&dataset);
}

static const fr_case CASES[] = {
    FR_CASE(forecasts_survive_each_failed_allocation),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fault_forecast", CASES, FR_N_CASES(CASES), argc, argv);
}
