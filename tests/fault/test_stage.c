/* A stage's passes without memory. */
#include "model/network/stage.h"

#include "device/cpu/cpu.h"
#include "support/fault.h"
#include "support/suite.h"

enum { LENGTH = 2, MAX_VALUES = 4096, N_TARGETS = 3 };

typedef struct model {
    const char *path;
    fr_recompute recompute;
} model;

/* What a run of the stage holds; all of it may be missing. */
typedef struct held {
    fr_weights *weights;
    fr_device *device;
    fr_stage *stage;
    fr_activations *activations;
    fr_batch batch;
} held;

static fr_status build(fr_ctx *ctx, const model *m, held *h)
{
    static const int32_t IDS[] = {5, 17, 99, 3, 64};
    static const uint8_t ALL[] = {1, 1, 1};
    fr_sequence source = {IDS, NULL, 2};
    fr_sequence target = {IDS + 2, ALL, N_TARGETS};
    FR_TRY(fr_weights_open(ctx, m->path, &h->weights));
    FR_TRY(fr_cpu_create(ctx, 1, fr_isa_detect(), &h->device));
    fr_stage_params params = {.weights = h->weights,
                              .device = h->device,
                              .dtype = FR_BF16,
                              .recompute = m->recompute,
                              .n_layers = fr_weights_arch(h->weights)->n_layers,
                              .max_position = 16};
    FR_TRY(fr_stage_create(ctx, &params, &h->stage));
    FR_TRY(fr_activations_create(h->stage, true, &h->activations));
    return fr_batch_add(ctx, &h->batch, LENGTH, &source, &target, 1);
}

static fr_status pass(held *h)
{
    static float values[MAX_VALUES];
    static int64_t k[MAX_VALUES];
    static int64_t v[MAX_VALUES];
    double nll[N_TARGETS];
    fr_stage_prefix prefix = {.length = LENGTH, .k = values, .v = values};
    int64_t n_refused = 0;
    fr_exact_sum sum = {.k = k, .v = v, .exponent = 20, .n_refused = &n_refused};
    FR_TRY(fr_activations_prepare(h->stage, h->activations, &h->batch, &prefix));
    FR_TRY(fr_stage_forward(h->stage, &h->batch, &prefix, NULL, h->activations));
    FR_TRY(fr_stage_loss(h->stage, &h->batch, h->activations, true, nll));
    return fr_stage_backward(h->stage, &h->batch, &prefix, h->activations, &sum);
}

static fr_status run(fr_ctx *ctx, void *argument)
{
    held h = {0};
    fr_status status = build(ctx, argument, &h);
    if (status == FR_OK) {
        status = pass(&h);
    }
    fr_batch_fini(&h.batch);
    fr_activations_destroy(&h.activations);
    fr_stage_destroy(&h.stage);
    fr_device_destroy(&h.device);
    fr_weights_close(&h.weights);
    return status;
}

static void passes_survive_each_failed_allocation(void)
{
    static const fr_recompute MODES[] = {FR_RECOMPUTE_NONE, FR_RECOMPUTE_MLP,
                                         FR_RECOMPUTE_LAYER};
    char path[4096];
    (void)snprintf(path, sizeof path, "%s", fr_test_data("golden/tiny_llama"));
    for (size_t i = 0; i < sizeof MODES / sizeof MODES[0]; i++) {
        model m = {path, MODES[i]};
        CU_ASSERT_TRUE(fr_fault_sweep("passes", run, &m) >= 30);
    }
}

static const fr_case CASES[] = {
    FR_CASE(passes_survive_each_failed_allocation),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fault_stage", CASES, FR_N_CASES(CASES), argc, argv);
}
