#include "support/suite.h"
#include "train/layout.h"

#include <string.h>

static double cost_of(const int64_t *bounds, int n_stages, double head)
{
    double worst = 0.0;
    for (int s = 0; s < n_stages; s++) {
        double cost =
            (double)(bounds[s + 1] - bounds[s]) + (s == n_stages - 1 ? head : 0.0);
        worst = cost > worst ? cost : worst;
    }
    return worst;
}

/* The best contiguous split by trying every one (few layers). */
static double best_cost(int64_t n_layers, double head, int n_stages)
{
    if (n_stages == 1) {
        return (double)n_layers + head;
    }
    double best = 1e300;
    for (int64_t first = 1; first <= n_layers - (n_stages - 1); first++) {
        double rest = best_cost(n_layers - first, head, n_stages - 1);
        double cost = (double)first > rest ? (double)first : rest;
        best = cost < best ? cost : best;
    }
    return best;
}

static void every_layer_has_one_stage_and_the_split_is_optimal(void)
{
    static const double HEADS[] = {0.0, 0.4, 1.0, 2.5, 8.0, 50.0};
    int64_t bounds[16];
    for (int64_t layers = 1; layers <= 10; layers++) {
        for (int stages = 1; stages <= layers && stages <= 6; stages++) {
            for (size_t h = 0; h < sizeof HEADS / sizeof HEADS[0]; h++) {
                memset(bounds, 0xff, sizeof bounds);
                fr_split_layers(layers, HEADS[h], stages, bounds);
                CU_ASSERT_EQUAL(bounds[0], 0);
                CU_ASSERT_EQUAL(bounds[stages], layers);
                for (int s = 0; s < stages; s++) {
                    CU_ASSERT(bounds[s] < bounds[s + 1]);
                }
                CU_ASSERT_DOUBLE_EQUAL(cost_of(bounds, stages, HEADS[h]),
                                       best_cost(layers, HEADS[h], stages), 1e-9);
            }
        }
    }
}

static void an_uneven_split_keeps_all_thirty_layers(void)
{
    int64_t bounds[5];
    fr_split_layers(30, 2.0, 4, bounds);
    CU_ASSERT_EQUAL(bounds[4], 30);
    CU_ASSERT_EQUAL(bounds[4] - bounds[3], 6);
}

static const fr_arch ARCH = {.family = FR_LLAMA,
                             .n_layers = 4,
                             .d_model = 64,
                             .d_ff = 128,
                             .n_heads = 4,
                             .n_kv_heads = 2,
                             .head_dim = 16,
                             .vocab_size = 128,
                             .context_length = 64};

static fr_status resolve(int64_t stages, int64_t replicas, int64_t examples, int ranks,
                         int64_t memory, fr_layout *out)
{
    fr_task_config task = {.name = (char *)(uintptr_t) "t"};
    fr_config config = {.n_tasks = 1, .tasks = &task};
    task.batch.examples = examples;
    config.run.stages = stages;
    config.run.replicas = replicas;
    return fr_layout_resolve(fr_test_ctx(), &config, &ARCH, ranks, 1000, memory, out);
}

static void auto_prefers_replicas_while_memory_lasts(void)
{
    fr_layout layout;
    FR_ASSERT_OK(resolve(0, 0, 8, 4, 1 << 20, &layout));
    CU_ASSERT_EQUAL(layout.n_stages, 1);
    CU_ASSERT_EQUAL(layout.n_replicas, 4);
    FR_ASSERT_OK(resolve(0, 0, 8, 4, 1000, &layout));
    CU_ASSERT_EQUAL(layout.n_stages, 2);
    CU_ASSERT_EQUAL(layout.n_replicas, 2);
}

static void one_given_side_fixes_the_other(void)
{
    fr_layout layout;
    FR_ASSERT_OK(resolve(2, 0, 8, 4, 1 << 20, &layout));
    CU_ASSERT_EQUAL(layout.n_replicas, 2);
    FR_ASSERT_OK(resolve(0, 1, 8, 4, 1 << 20, &layout));
    CU_ASSERT_EQUAL(layout.n_stages, 4);
}

static void impossible_layouts_name_both_numbers(void)
{
    fr_layout layout;
    FR_ASSERT_FAILS(resolve(2, 2, 8, 3, 1 << 20, &layout), FR_ERR_CONFIG, "ranks 3");
    FR_ASSERT_FAILS(resolve(5, 1, 8, 5, 1 << 20, &layout), FR_ERR_CONFIG, "4 layers");
    FR_ASSERT_FAILS(resolve(1, 4, 3, 4, 1 << 20, &layout), FR_ERR_CONFIG,
                    "fewer than the 4 replicas");
}

static const fr_case CASES[] = {
    FR_CASE(every_layer_has_one_stage_and_the_split_is_optimal),
    FR_CASE(an_uneven_split_keeps_all_thirty_layers),
    FR_CASE(auto_prefers_replicas_while_memory_lasts),
    FR_CASE(one_given_side_fixes_the_other),
    FR_CASE(impossible_layouts_name_both_numbers),
};

int main(int argc, char **argv)
{
    return fr_suite_main("layout", CASES, FR_N_CASES(CASES), argc, argv);
}
