#include "support/reparam_case.h"

#include "base/rng.h"
#include "support/devices.h"
#include "support/suite.h"

#include <stdlib.h>

enum { STREAM_START = 500, STREAM_W2, STREAM_B2, STREAM_B1, STREAM_GRADIENT };

/* Numbers in [-scale, scale] for n layers from `first` on, `floats` each: the same wherever a layer lies. */
static void fill(int64_t first, int64_t n, int64_t floats, uint64_t stream,
                 double scale, float *out)
{
    for (int64_t i = 0; i < n * floats; i++) {
        double x =
            fr_rng_uniform(3, FR_RNG_TEST, stream, (uint64_t)(first * floats + i));
        out[i] = (float)(scale * (2.0 * x - 1.0));
    }
}

void fr_reparam_case_open(fr_device *device, int64_t first, int64_t n, int64_t all,
                          bool freeze_first, fr_reparam_case *out)
{
    *out = (fr_reparam_case){.device = device, .n_layers = n};
    out->config.seed = 11;
    out->config.optimizer.kind = FR_ADAMW;
    out->config.optimizer.beta1 = 0.9;
    out->config.optimizer.beta2 = 0.99;
    out->config.optimizer.eps = 1e-8;
    out->config.prefix.freeze_first = freeze_first;
    fr_reparam_params params = {.device = device,
                                .config = &out->config,
                                .shape = {FR_CASE_SLOTS, FR_CASE_HEADS, FR_CASE_WIDTH,
                                          FR_CASE_HIDDEN, FR_CASE_EMBEDDING},
                                .n_layers = n,
                                .n_all_layers = all};
    out->prefix.k = fr_test_zeros(n * FR_CASE_LAYER);
    out->prefix.v = fr_test_zeros(n * FR_CASE_LAYER);
    fill(first, n, FR_CASE_LAYER, STREAM_START, 1.0, out->prefix.k);
    fill(first + all, n, FR_CASE_LAYER, STREAM_START, 1.0, out->prefix.v);
    FR_ASSERT_OK(fr_reparam_create(fr_test_ctx(), &params, &out->reparam));
    CU_ASSERT_PTR_NOT_NULL_FATAL(out->reparam);
    FR_ASSERT_OK(fr_reparam_start(out->reparam, &out->prefix));
}

void fr_reparam_case_fill(int64_t first, fr_reparam_case *c)
{
    const fr_mlp_state *state = fr_reparam_state(c->reparam);
    int64_t per_slot = 2 * FR_CASE_HEADS * FR_CASE_WIDTH;
    fill(first, c->n_layers, per_slot * FR_CASE_HIDDEN, STREAM_W2, 0.5,
         fr_mlp_values(state, FR_MLP_W2, 0));
    fill(first, c->n_layers, per_slot, STREAM_B2, 0.3,
         fr_mlp_values(state, FR_MLP_B2, 0));
    fill(0, 1, FR_CASE_HIDDEN, STREAM_B1, 0.4, fr_mlp_values(state, FR_MLP_B1, 0));
    FR_ASSERT_OK(fr_reparam_hidden(c->reparam));
    FR_ASSERT_OK(fr_reparam_apply(c->reparam, &c->prefix));
}

void fr_reparam_case_close(fr_reparam_case *c)
{
    fr_reparam_destroy(&c->reparam);
    CU_ASSERT_PTR_NULL(c->reparam);
    free(c->prefix.k);
    free(c->prefix.v);
}

float *fr_reparam_case_gradient(int64_t first, int64_t n, double scale)
{
    enum {
        VALUES = 1000
    }; /* layers, so that keys and values have numbers of their own */
    float *out = fr_test_zeros(2 * n * FR_CASE_LAYER);
    fill(first, n, FR_CASE_LAYER, STREAM_GRADIENT, scale, out);
    fill(first + VALUES, n, FR_CASE_LAYER, STREAM_GRADIENT, scale,
         out + n * FR_CASE_LAYER);
    return out;
}

fr_status fr_reparam_backward(fr_reparam *reparam, fr_group *pipeline,
                              const float *dprefix, int64_t *n_nonfinite)
{
    int64_t largest = 0;
    int64_t *sum = NULL;
    int64_t n = 0;
    FR_TRY(fr_reparam_contribute(reparam, dprefix, &largest));
    FR_TRY(fr_group_allreduce(pipeline, FR_MAX, &largest, 1));
    fr_reparam_scale(reparam, largest, &sum, &n);
    FR_TRY(fr_group_allreduce(pipeline, FR_SUM, sum, n));
    return fr_reparam_complete(reparam, n_nonfinite);
}
