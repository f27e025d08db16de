#include "support/tiny_model.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "support/device_memory.h"
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
    out->device = fr_test_any_device(2);
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

fr_tiny_prefix fr_tiny_random_prefix(const fr_tiny *tiny, int64_t length,
                                     fr_layer_range layers)
{
    int64_t n = tiny->arch->n_layers * fr_arch_prefix_elements(tiny->arch, length);
    fr_tiny_prefix p = {.device = tiny->device, .n = n};
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * n, sizeof *p.values, &p.values));
    for (int64_t i = 0; i < 2 * n; i++) {
        p.values[i] = (float)fr_rng_normal(1, FR_RNG_TEST, 0, (uint64_t)i);
    }
    int64_t bytes = 2 * n * (int64_t)sizeof *p.values;
    FR_ASSERT_OK(fr_image_open(p.device, p.values, bytes, &p.image));
    fr_f32 *k = p.image.device;
    p.view = (fr_stage_prefix){.length = length, .k = k, .v = k + n, .layers = layers};
    return p;
}

void fr_tiny_prefix_put(fr_tiny_prefix *prefix)
{
    fr_image_put(prefix->device, &prefix->image);
}

void fr_tiny_prefix_close(fr_tiny_prefix *prefix)
{
    fr_image_close(prefix->device, &prefix->image);
    free(prefix->values);
}

/* Gradients of n numbers of K and as many of V, of exact sums that are then freed. */
static void read_gradient(fr_device *device, const fr_exact_sum *sum, int64_t n,
                          double *gradient)
{
    int64_t *exact = NULL;
    int64_t bytes = n * (int64_t)sizeof *exact;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * n, sizeof *exact, &exact));
    fr_test_fetch_last(device, exact, sum->k, bytes);
    fr_test_fetch_last(device, exact + n, sum->v, bytes);
    for (int64_t i = 0; i < 2 * n; i++) {
        gradient[i] = ldexp((double)exact[i], -sum->exponent);
    }
    free(exact);
}

static void find_gradient(fr_tiny *tiny, const fr_stage_prefix *prefix,
                          double *gradient)
{
    enum { EXPONENT = 40 };
    fr_device *device = tiny->device;
    int64_t n =
        tiny->arch->n_layers * fr_arch_prefix_elements(tiny->arch, prefix->length);
    int64_t n_refused = 0;
    fr_exact_sum exact = {.k = fr_test_room(device, n, sizeof *exact.k),
                          .v = fr_test_room(device, n, sizeof *exact.v),
                          .exponent = EXPONENT,
                          .n_refused =
                              fr_test_room(device, 1, sizeof *exact.n_refused)};
    FR_ASSERT_OK(fr_stage_backward(tiny->stage, &tiny->batch, prefix, tiny->activations,
                                   &exact));
    fr_test_fetch_last(device, &n_refused, exact.n_refused, sizeof n_refused);
    CU_ASSERT_EQUAL(n_refused, 0);
    read_gradient(device, &exact, n, gradient);
}

/* With d (sum of nats) / d output for the way back if wanted. */
static void find_nats(fr_tiny *tiny, bool want_gradient, double *nll)
{
    int64_t n = tiny->batch.n_targets;
    fr_f64 *nats = fr_test_room(tiny->device, n, sizeof *nats);
    FR_ASSERT_OK(fr_stage_loss(tiny->stage, &tiny->batch, tiny->activations,
                               want_gradient, nats));
    fr_test_fetch_last(tiny->device, nll, nats, n * (int64_t)sizeof *nll);
}

void fr_tiny_nats(fr_tiny *tiny, double *nll)
{
    find_nats(tiny, false, nll);
}

double fr_tiny_loss(fr_tiny *tiny, const fr_stage_prefix *prefix, double *gradient)
{
    double *nll = NULL;
    double sum = 0.0;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), tiny->batch.n_targets, sizeof *nll, &nll));
    FR_ASSERT_OK(
        fr_activations_prepare(tiny->stage, tiny->activations, &tiny->batch, prefix));
    FR_ASSERT_OK(
        fr_stage_forward(tiny->stage, &tiny->batch, prefix, NULL, tiny->activations));
    find_nats(tiny, gradient != NULL, nll);
    for (int64_t r = 0; r < tiny->batch.n_targets; r++) {
        sum += nll[r];
    }
    if (gradient != NULL) {
        find_gradient(tiny, prefix, gradient);
    }
    FR_ASSERT_OK(fr_device_check(tiny->device));
    free(nll);
    return sum;
}

void fr_tiny_one_row(fr_tiny *tiny, int64_t prefix_length, const int32_t *ids,
                     int64_t n)
{
    enum { MAX = 2048 };
    uint8_t counted[MAX];
    CU_ASSERT_FATAL(n <= MAX);
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
