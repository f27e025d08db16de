/* What is forecast of prefixes on some layers: by hand on small numbers, and against a real activations. */
#include "model/network/stage_impl.h"
#include "support/forecast_case.h"
#include "support/suite.h"
#include "support/tiny_model.h"
#include "train/forecast/forecast.h"

/* Four microbatches of 10 rows, none with a target. */
static fr_task_workload load_on(fr_layer_range layers, int64_t max_rows)
{
    fr_task_workload load = fr_forecast_load(4);
    load.layers = layers;
    load.max_rows = max_rows;
    return load;
}

/* Task 0 has its prefix on layers 4 and 5 of 8 alone (stage 2 of 4), task 1 on all. FLOP as in unit.forecast. */
static void what_upper_layers_spare_is_forecast(void)
{
    fr_task_workload loads[] = {load_on((fr_layer_range){4, 2}, 20),
                                load_on((fr_layer_range){0, 0}, 10)};
    fr_forecast_params p = fr_forecast_even_stages(loads, 2);
    fr_forecast f;
    FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
    double weights = 64.0 * (64 + 64 + 64 + 384);
    double base = 2.0 * weights + 4.0 * 64.0 * 5.0;
    double back = 2.0 * weights + 10.0 * 64.0 * 5.0;
    double keys = 64.0 * 6.0;
    static const int64_t LAYERS[] = {0, 0, 2, 0};
    for (int i = 0; i < 4; i++) {
        const fr_stage_forecast *s = &f.stages[i];
        double mine = LAYERS[i] > 0 ? 1.0 : 0.0;
        double passed = i >= 2 ? 1.0 : 0.0;
        CU_ASSERT_DOUBLE_EQUAL(s->forward_seconds,
                               10.0 * (2.0 * base + (1.0 + mine) * 4.0 * keys), 1e-6);
        CU_ASSERT_DOUBLE_EQUAL(
            s->backward_seconds,
            10.0 * ((1.0 + passed) * back + (1.0 + mine) * 10.0 * keys), 1e-6);
        CU_ASSERT_EQUAL(s->reduction_bytes,
                        fr_reduction_bytes(&FR_FORECAST_ARCH, 2, 6) +
                            fr_reduction_bytes(&FR_FORECAST_ARCH, LAYERS[i], 6));
        CU_ASSERT_EQUAL(s->memory.tasks,
                        fr_task_bytes(&FR_FORECAST_ARCH, 2, 6) +
                            fr_task_bytes(&FR_FORECAST_ARCH, LAYERS[i], 6));
        CU_ASSERT_EQUAL(s->backward_bytes,
                        i == 0 ? 0
                               : fr_edge_bytes(&FR_FORECAST_ARCH, i == 3 ? 80 : 40));
        fr_stage_shape shape = {.arch = &FR_FORECAST_ARCH,
                                .dtype = FR_F32,
                                .first_layer = 2 * i,
                                .n_layers = 2,
                                .max_position = 32};
        int64_t of_all = fr_stage_activation_bytes(&shape, 10, true);
        int64_t of_upper = fr_stage_activation_bytes(&shape, 20, i >= 2);
        CU_ASSERT_EQUAL(s->memory.activations + s->memory.edges,
                        s->max_in_flight * (of_all > of_upper ? of_all : of_upper) +
                            (i > 0 ? fr_edge_bytes(&FR_FORECAST_ARCH, 20) : 0));
    }
    CU_ASSERT_EQUAL(f.edge_bytes, fr_edge_bytes(&FR_FORECAST_ARCH, 80));
    fr_forecast_fini(&f);
}

/* 16 rows: every array is a whole number of cache lines. */
static void a_real_slot_keeps_what_was_forecast(void)
{
    enum { ROWS = 16 };
    static const char *const MODELS[] = {"golden/tiny_llama", "golden/tiny_gpt2"};
    static const int32_t IDS[ROWS + 1] = {5, 17, 99, 3, 64, 21, 7, 120, 33, 2, 90, 11};
    for (int m = 0; m < 4; m++) {
        fr_tiny tiny;
        fr_dtype dtype = m < 2 ? FR_F32 : FR_BF16;
        fr_tiny_open(fr_test_data(MODELS[m % 2]), dtype, 48, &tiny);
        fr_tiny_one_row(&tiny, 0, IDS, ROWS + 1);
        CU_ASSERT_EQUAL(tiny.batch.n_tokens, ROWS);
        int64_t n = tiny.arch->n_layers;
        for (int64_t lowest = n; lowest >= 0; lowest--) {
            int64_t kept = lowest < n ? n - lowest : n;
            fr_stage_shape shape = {.arch = tiny.arch,
                                    .dtype = dtype,
                                    .first_layer = n - kept,
                                    .n_layers = kept,
                                    .max_position = 48};
            fr_stage_prefix prefix = {.layers = {lowest, 0}};
            fr_activations *activations = NULL;
            FR_ASSERT_OK(fr_activations_create(tiny.stage, true, &activations));
            FR_ASSERT_OK(
                fr_activations_prepare(tiny.stage, activations, &tiny.batch, &prefix));
            int64_t input = activations->input.capacity * tiny.arch->d_model *
                            (int64_t)sizeof(float);
            CU_ASSERT_EQUAL(activations->arena_bytes + input,
                            fr_stage_activation_bytes(&shape, ROWS, lowest < n));
            fr_activations_destroy(&activations);
        }
        fr_tiny_close(&tiny);
    }
}

static const fr_case CASES[] = {
    FR_CASE(what_upper_layers_spare_is_forecast),
    FR_CASE(a_real_slot_keeps_what_was_forecast),
};

int main(int argc, char **argv)
{
    return fr_suite_main("forecast_layers", CASES, FR_N_CASES(CASES), argc, argv);
}
