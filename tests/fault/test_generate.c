/* A generation without memory. */
#include "model/network/generate.h"

#include "device/cpu/cpu.h"
#include "support/fault.h"
#include "support/suite.h"

enum { VOCAB = 4096, N_ROWS = 2 };

/* What a generation holds; all of it may be missing. */
typedef struct held {
    fr_device *device;
    fr_stage *stage;
    fr_group *group;
    fr_generator *generator;
    fr_generate_row rows[N_ROWS];
} held;

static fr_status generate(fr_ctx *ctx, const fr_weights *weights, held *h)
{
    static const fr_stage_prefix NONE = {0};
    static int32_t ids[] = {5, 17, 99};
    static uint8_t never[VOCAB] = {1};
    fr_generate_params params = {
        .ids = {.never_V = never}, .batch = N_ROWS, .cache_bytes = INT64_MAX};
    FR_TRY(fr_cpu_create(ctx, 1, fr_isa_detect(), &h->device));
    fr_stage_params stage = {.weights = weights,
                             .device = h->device,
                             .dtype = FR_BF16,
                             .n_layers = fr_weights_arch(weights)->n_layers,
                             .max_position = 32};
    FR_TRY(fr_stage_create(ctx, &stage, &h->stage));
    FR_TRY(fr_group_create_self(ctx, &h->group));
    fr_generator_params create = {.pipeline = h->group, .stage = h->stage};
    FR_TRY(fr_generator_create(ctx, &create, &h->generator));
    for (int64_t r = 0; r < N_ROWS; r++) {
        h->rows[r].prefix = &NONE;
        h->rows[r].prompt = (fr_ids){.data = ids, .count = 2 + r};
        h->rows[r].sample = (fr_sample_params){
            .temperature = 1.0, .top_p = 0.9, .repetition_penalty = 1.2};
        h->rows[r].max_new_tokens = 20;
        h->rows[r].n_logprobs = 3 * r;
    }
    return fr_generate(h->generator, h->rows, N_ROWS, &params);
}

static fr_status run(fr_ctx *ctx, void *weights)
{
    held h = {0};
    fr_status status = generate(ctx, weights, &h);
    for (int64_t r = 0; r < N_ROWS; r++) {
        h.rows[r].prompt = (fr_ids){0};
        fr_generate_row_fini(&h.rows[r]);
    }
    fr_generator_destroy(&h.generator);
    fr_group_destroy(&h.group);
    fr_stage_destroy(&h.stage);
    fr_device_destroy(&h.device);
    return status;
}

static void a_generation_survives_each_failed_allocation(void)
{
    fr_weights *weights = NULL;
    FR_ASSERT_OK(
        fr_weights_open(fr_test_ctx(), fr_test_data("golden/tiny_llama"), &weights));
    CU_ASSERT_FATAL(fr_weights_arch(weights)->vocab_size <= VOCAB);
    CU_ASSERT_TRUE(fr_fault_sweep("generation", run, weights) >= 30);
    fr_weights_close(&weights);
}

static const fr_case CASES[] = {
    FR_CASE(a_generation_survives_each_failed_allocation),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fault_generate", CASES, FR_N_CASES(CASES), argc, argv);
}
