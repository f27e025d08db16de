#include "support/tiny_model.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "device/cpu/cpu.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void open_tiny(const char *path, fr_dtype dtype, bool in_file,
                      int64_t max_position, fr_recompute recompute, fr_tiny *out)
{
    fr_ctx *ctx = fr_test_ctx();
    *out = (fr_tiny){0};
    FR_ASSERT_OK(fr_weights_open(ctx, path, &out->weights));
    CU_ASSERT_PTR_NOT_NULL_FATAL(out->weights);
    out->arch = fr_weights_arch(out->weights);
    FR_ASSERT_OK(fr_cpu_create(ctx, 2, fr_isa_detect(), &out->device));
    fr_stage_params params = {.weights = out->weights,
                              .device = out->device,
                              .dtype = dtype,
                              .recompute = recompute,
                              .n_layers = out->arch->n_layers,
                              .max_position = max_position,
                              .in_file = in_file};
    FR_ASSERT_OK(fr_stage_create(ctx, &params, &out->stage));
    CU_ASSERT_PTR_NOT_NULL_FATAL(out->stage);
    FR_ASSERT_OK(fr_activations_create(out->stage, true, &out->activations));
}

void fr_tiny_open(const char *path, fr_dtype dtype, int64_t max_position, fr_tiny *out)
{
    open_tiny(path, dtype, false, max_position, FR_RECOMPUTE_NONE, out);
}

void fr_tiny_open_held(const char *path, fr_dtype dtype, bool in_file,
                       int64_t max_position, fr_tiny *out)
{
    open_tiny(path, dtype, in_file, max_position, FR_RECOMPUTE_NONE, out);
}

void fr_tiny_open_lean(const char *path, fr_dtype dtype, fr_recompute recompute,
                       fr_tiny *out)
{
    open_tiny(path, dtype, false, 64, recompute, out);
}

void fr_tiny_close(fr_tiny *tiny)
{
    fr_batch_fini(&tiny->batch);
    fr_activations_destroy(&tiny->activations);
    fr_stage_destroy(&tiny->stage);
    fr_device_destroy(&tiny->device);
    fr_weights_close(&tiny->weights);
}

fr_tiny_prefix fr_tiny_random_prefix(const fr_arch *arch, int64_t length,
                                     fr_layer_range layers)
{
    fr_tiny_prefix p = {.n = arch->n_layers * fr_arch_prefix_elements(arch, length)};
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * p.n, sizeof *p.values, &p.values));
    for (int64_t i = 0; i < 2 * p.n; i++) {
        p.values[i] = (float)fr_rng_normal(1, FR_RNG_TEST, 0, (uint64_t)i);
    }
    p.view = (fr_stage_prefix){
        .length = length, .k = p.values, .v = p.values + p.n, .layers = layers};
    return p;
}

static void read_gradient(const fr_exact_sum *sum, int64_t n, double *gradient)
{
    for (int64_t i = 0; i < n; i++) {
        gradient[i] = ldexp((double)sum->k[i], -sum->exponent);
        gradient[n + i] = ldexp((double)sum->v[i], -sum->exponent);
    }
}

double fr_tiny_loss(fr_tiny *tiny, const fr_stage_prefix *prefix, double *gradient)
{
    enum { EXPONENT = 40 };
    fr_ctx *ctx = fr_test_ctx();
    double *nll = NULL;
    double sum = 0.0;
    int64_t n =
        tiny->arch->n_layers * fr_arch_prefix_elements(tiny->arch, prefix->length);
    int64_t n_refused = 0;
    fr_exact_sum exact = {.exponent = EXPONENT, .n_refused = &n_refused};
    FR_ASSERT_OK(fr_alloc(ctx, tiny->batch.n_targets, sizeof *nll, &nll));
    FR_ASSERT_OK(fr_alloc(ctx, n, sizeof *exact.k, &exact.k));
    FR_ASSERT_OK(fr_alloc(ctx, n, sizeof *exact.v, &exact.v));
    FR_ASSERT_OK(
        fr_activations_prepare(tiny->stage, tiny->activations, &tiny->batch, prefix));
    FR_ASSERT_OK(
        fr_stage_forward(tiny->stage, &tiny->batch, prefix, NULL, tiny->activations));
    FR_ASSERT_OK(fr_stage_loss(tiny->stage, &tiny->batch, tiny->activations,
                               gradient != NULL, nll));
    for (int64_t r = 0; r < tiny->batch.n_targets; r++) {
        sum += nll[r];
    }
    if (gradient != NULL) {
        FR_ASSERT_OK(fr_stage_backward(tiny->stage, &tiny->batch, prefix,
                                       tiny->activations, &exact));
        CU_ASSERT_EQUAL(n_refused, 0);
        read_gradient(&exact, n, gradient);
    }
    free(exact.k);
    free(exact.v);
    free(nll);
    return sum;
}

void fr_tiny_one_row(fr_tiny *tiny, int64_t prefix_length, const int32_t *ids,
                     int64_t n)
{
    enum { MAX = 256 };
    uint8_t counted[MAX];
    memset(counted, 1, sizeof counted);
    fr_sequence source = {ids, NULL, 1};
    fr_sequence target = {ids + 1, counted, n - 1};
    fr_batch_clear(&tiny->batch);
    FR_ASSERT_OK(
        fr_batch_add(fr_test_ctx(), &tiny->batch, prefix_length, &source, &target, 1));
}

const char *fr_real_model(void)
{
    const char *path = getenv("FORERUN_MODEL");
    if (path == NULL) {
        path = fr_test_data("../models/smollm2-135m-instruct.gguf");
    }
    return fr_file_exists(path) ? path : NULL;
}
