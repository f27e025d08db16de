#include "train/step/reparam.h"

#include "support/devices.h"
#include "support/reparam_case.h"
#include "support/suite.h"
#include "train/step/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LAYERS = 3,
    N_SLOT = 2 * FR_CASE_HEADS * FR_CASE_WIDTH,
    N_ALL = LAYERS * FR_CASE_LAYER
};

static const int64_t TENSOR_FLOATS[FR_MLP_TENSORS] = {
    LAYERS * N_SLOT * FR_CASE_HIDDEN, LAYERS *N_SLOT, FR_CASE_SLOTS *FR_CASE_EMBEDDING,
    FR_CASE_HIDDEN *FR_CASE_EMBEDDING, FR_CASE_HIDDEN};
static const char *const TENSOR_NAMES[FR_MLP_TENSORS] = {"w2", "b2", "e", "w1", "b1"};

static fr_device *make_device(void)
{
    return fr_test_device(fr_isa_detect(), 1);
}

static fr_group *make_self(void)
{
    fr_group *self = NULL;
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &self));
    CU_ASSERT_PTR_NOT_NULL_FATAL(self);
    return self;
}

/* All tensors in f64, and the prefix they make, straight from the formula. */
typedef struct reference {
    double *tensors[FR_MLP_TENSORS];
    double k[N_ALL]; /* P0, then P */
    double v[N_ALL];
} reference;

static void reference_open(const fr_reparam_case *c, reference *out)
{
    const fr_mlp_state *state = fr_reparam_state(c->reparam);
    for (int t = 0; t < FR_MLP_TENSORS; t++) {
        out->tensors[t] = calloc((size_t)TENSOR_FLOATS[t], sizeof(double));
        CU_ASSERT_PTR_NOT_NULL_FATAL(out->tensors[t]);
        for (int64_t i = 0; i < TENSOR_FLOATS[t]; i++) {
            out->tensors[t][i] = (double)fr_mlp_values(state, (fr_mlp_tensor)t, 0)[i];
        }
    }
}

static void reference_close(reference *r)
{
    for (int t = 0; t < FR_MLP_TENSORS; t++) {
        free(r->tensors[t]);
    }
}

static double hidden_unit(const reference *r, int64_t slot, int64_t unit)
{
    double z = r->tensors[FR_MLP_B1][unit];
    for (int64_t d = 0; d < FR_CASE_EMBEDDING; d++) {
        z += r->tensors[FR_MLP_E][slot * FR_CASE_EMBEDDING + d] *
             r->tensors[FR_MLP_W1][unit * FR_CASE_EMBEDDING + d];
    }
    return tanh(z);
}

/* Write P = P0 + H W2^T + b2 of all layers into k and v. */
static void reference_forward(const fr_mlp_state *state, reference *r)
{
    int64_t half = N_SLOT / 2;
    for (int64_t slot = 0; slot < FR_CASE_SLOTS; slot++) {
        double h[FR_CASE_HIDDEN];
        for (int64_t m = 0; m < FR_CASE_HIDDEN; m++) {
            h[m] = hidden_unit(r, slot, m);
        }
        for (int64_t row = 0; row < LAYERS * N_SLOT; row++) {
            int64_t i = row % N_SLOT;
            int64_t at = (row / N_SLOT * FR_CASE_SLOTS + slot) * half + i % half;
            double x = r->tensors[FR_MLP_B2][row];
            for (int64_t m = 0; m < FR_CASE_HIDDEN; m++) {
                x += h[m] * r->tensors[FR_MLP_W2][row * FR_CASE_HIDDEN + m];
            }
            const float *start = state->arrays[i < half ? FR_MLP_P0_K : FR_MLP_P0_V];
            (i < half ? r->k : r->v)[at] = (double)start[at] + x;
        }
    }
}

/* A scalar function of P with a gradient that depends on P: sum of w sin(P). */
static double weight(int64_t i)
{
    return 0.5 + (double)(i * 37 % 11) / 7.0;
}

static double reference_loss(const fr_mlp_state *state, reference *r)
{
    double sum = 0.0;
    reference_forward(state, r);
    for (int64_t i = 0; i < N_ALL; i++) {
        sum += weight(i) * sin(r->k[i]) + weight(i + N_ALL) * sin(r->v[i]);
    }
    return sum;
}

static float *loss_gradient(const fr_prefix_state *prefix)
{
    float *out = fr_test_zeros(2 * (int64_t)N_ALL);
    for (int64_t i = 0; i < N_ALL; i++) {
        out[i] = (float)(weight(i) * cos((double)prefix->k[i]));
        out[N_ALL + i] = (float)(weight(i + N_ALL) * cos((double)prefix->v[i]));
    }
    return out;
}

static void start_is_what_it_starts_from_bit_for_bit(void)
{
    fr_device *device = make_device();
    for (int init = 0; init < 3; init++) {
        fr_reparam_case c;
        fr_reparam_case_open(device, 0, LAYERS, LAYERS, false, &c);
        fr_prefix_state start = {.k = fr_test_numbers(N_ALL, 1, 3.0),
                                 .v = fr_test_numbers(N_ALL, 2, 3.0)};
        for (int64_t i = 0; init > 0 && i < N_ALL; i++) {
            start.k[i] = init == 1 ? 0.0f : -0.0f;
            start.v[i] = init == 1 ? 1e-42f : -1e30f;
        }
        FR_ASSERT_OK(fr_reparam_start(c.reparam, &start));
        FR_ASSERT_OK(fr_reparam_apply(c.reparam, &c.prefix));
        fr_assert_same_bytes("k", c.prefix.k, start.k, N_ALL * sizeof(float));
        fr_assert_same_bytes("v", c.prefix.v, start.v, N_ALL * sizeof(float));
        free(start.k);
        free(start.v);
        fr_reparam_case_close(&c);
    }
    fr_device_destroy(&device);
}

static void check_forward(fr_device *device, void *user)
{
    (void)user;
    fr_reparam_case c;
    reference r;
    float wanted[N_ALL];
    fr_reparam_case_open(device, 0, LAYERS, LAYERS, false, &c);
    fr_reparam_case_fill(0, &c);
    reference_open(&c, &r);
    reference_forward(fr_reparam_state(c.reparam), &r);
    for (int64_t i = 0; i < N_ALL; i++) {
        wanted[i] = (float)r.k[i];
    }
    fr_assert_close("k", c.prefix.k, wanted, N_ALL, 1e-6);
    for (int64_t i = 0; i < N_ALL; i++) {
        wanted[i] = (float)r.v[i];
    }
    fr_assert_close("v", c.prefix.v, wanted, N_ALL, 1e-6);
    reference_close(&r);
    fr_reparam_case_close(&c);
}

static void prefix_follows_the_formula(void)
{
    fr_test_each_isa(check_forward, NULL);
}

static void check_tensor(const fr_reparam_case *c, int tensor, reference *r)
{
    const double step = 1e-5;
    const fr_mlp_state *state = fr_reparam_state(c->reparam);
    float *wanted = fr_test_zeros(TENSOR_FLOATS[tensor]);
    for (int64_t i = 0; i < TENSOR_FLOATS[tensor]; i++) {
        double *x = &r->tensors[tensor][i];
        double saved = *x;
        *x = saved + step;
        double above = reference_loss(state, r);
        *x = saved - step;
        wanted[i] = (float)((above - reference_loss(state, r)) / (2.0 * step));
        *x = saved;
    }
    fr_assert_close(TENSOR_NAMES[tensor],
                    fr_reparam_gradient(c->reparam, (fr_mlp_tensor)tensor), wanted,
                    TENSOR_FLOATS[tensor], 2e-6);
    free(wanted);
}

static void check_gradients(fr_device *device, void *user)
{
    (void)user;
    fr_reparam_case c;
    reference r;
    int64_t n_nonfinite = 0;
    fr_group *self = make_self();
    fr_reparam_case_open(device, 0, LAYERS, LAYERS, false, &c);
    fr_reparam_case_fill(0, &c);
    float *gradient = loss_gradient(&c.prefix);
    FR_ASSERT_OK(fr_reparam_backward(c.reparam, self, gradient, &n_nonfinite));
    CU_ASSERT_EQUAL(n_nonfinite, 0);
    reference_open(&c, &r);
    for (int t = 0; t < FR_MLP_TENSORS; t++) {
        check_tensor(&c, t, &r);
    }
    reference_close(&r);
    free(gradient);
    fr_group_destroy(&self);
    fr_reparam_case_close(&c);
}

static void gradients_match_finite_differences(void)
{
    fr_test_each_isa(check_gradients, NULL);
}

static void norms_are_those_of_the_gradients(void)
{
    fr_reparam_case c;
    int64_t n_nonfinite = 0;
    double wanted = 0.0;
    fr_device *device = make_device();
    fr_group *self = make_self();
    fr_reparam_case_open(device, 0, LAYERS, LAYERS, false, &c);
    fr_reparam_case_fill(0, &c);
    float *gradient = loss_gradient(&c.prefix);
    FR_ASSERT_OK(fr_reparam_backward(c.reparam, self, gradient, &n_nonfinite));
    for (int t = 0; t < FR_MLP_TENSORS; t++) {
        const float *g = fr_reparam_gradient(c.reparam, (fr_mlp_tensor)t);
        for (int64_t i = 0; i < TENSOR_FLOATS[t]; i++) {
            wanted += (double)g[i] * (double)g[i];
        }
    }
    double got = fr_reparam_shared_norm(c.reparam);
    CU_ASSERT_TRUE(got > 0.0);
    for (int64_t layer = 0; layer < LAYERS; layer++) {
        CU_ASSERT_TRUE(fr_reparam_layer_norm(c.reparam, layer) > 0.0);
        got += fr_reparam_layer_norm(c.reparam, layer);
    }
    CU_ASSERT_DOUBLE_EQUAL(got, wanted, 1e-12 * wanted);
    free(gradient);
    fr_group_destroy(&self);
    fr_reparam_case_close(&c);
    fr_device_destroy(&device);
}

/* dH is exact relative to its largest part: a gradient of 1e-20 is not lost beside a fixed unit. */
static void tiny_gradients_reach_the_shared_tensors(void)
{
    fr_reparam_case c;
    int64_t n_nonfinite = 0;
    fr_device *device = make_device();
    fr_group *self = make_self();
    float scaled[FR_CASE_SLOTS * FR_CASE_EMBEDDING];
    const float power = 0x1p-66f;
    fr_reparam_case_open(device, 0, LAYERS, LAYERS, false, &c);
    fr_reparam_case_fill(0, &c);
    float *gradient = fr_reparam_case_gradient(0, LAYERS, 1.0);
    FR_ASSERT_OK(fr_reparam_backward(c.reparam, self, gradient, &n_nonfinite));
    for (int i = 0; i < FR_CASE_SLOTS * FR_CASE_EMBEDDING; i++) {
        scaled[i] = fr_reparam_gradient(c.reparam, FR_MLP_E)[i] * power;
    }
    for (int64_t i = 0; i < 2 * (int64_t)N_ALL; i++) {
        gradient[i] *= power;
    }
    FR_ASSERT_OK(fr_reparam_backward(c.reparam, self, gradient, &n_nonfinite));
    CU_ASSERT_EQUAL(n_nonfinite, 0);
    CU_ASSERT_TRUE(scaled[0] != 0.0f);
    fr_assert_same_bytes("e", fr_reparam_gradient(c.reparam, FR_MLP_E), scaled,
                         sizeof scaled);
    free(gradient);
    fr_group_destroy(&self);
    fr_reparam_case_close(&c);
    fr_device_destroy(&device);
}

/* One weight of W2 set to `value` under a gradient of ones: whether the step counts as non-finite. */
static int64_t count_bad(fr_reparam_case *c, fr_group *self, float value)
{
    int64_t n_nonfinite = 0;
    float *gradient = fr_test_zeros(2 * (int64_t)N_ALL);
    float *w2 = fr_mlp_values(fr_reparam_state(c->reparam), FR_MLP_W2, 0);
    memset(w2, 0, (size_t)TENSOR_FLOATS[FR_MLP_W2] * sizeof *w2);
    w2[7] = value;
    for (int64_t i = 0; i < 2 * (int64_t)N_ALL; i++) {
        gradient[i] = 1.0f;
    }
    FR_ASSERT_OK(fr_reparam_backward(c->reparam, self, gradient, &n_nonfinite));
    free(gradient);
    return n_nonfinite;
}

static void contributions_out_of_range_are_counted(void)
{
    fr_reparam_case c;
    fr_device *device = make_device();
    fr_group *self = make_self();
    fr_reparam_case_open(device, 0, LAYERS, LAYERS, false, &c);
    CU_ASSERT_EQUAL(count_bad(&c, self, 0.0f), 0);
    CU_ASSERT_EQUAL(count_bad(&c, self, -131071.0f), 0);
    CU_ASSERT_EQUAL(count_bad(&c, self, 131072.0f), 1);
    CU_ASSERT_EQUAL(count_bad(&c, self, -INFINITY), 1);
    CU_ASSERT_EQUAL(count_bad(&c, self, NAN), 1);
    /* finite contributions, a shared gradient that is not */
    float *w1 = fr_mlp_values(fr_reparam_state(c.reparam), FR_MLP_W1, 0);
    for (int64_t i = 0; i < TENSOR_FLOATS[FR_MLP_W1]; i++) {
        w1[i] = 3e38f;
    }
    CU_ASSERT_EQUAL(count_bad(&c, self, 131071.0f), 1);
    fr_group_destroy(&self);
    fr_reparam_case_close(&c);
    fr_device_destroy(&device);
}

/* What one update must give: every tensor by the optimizer, then P from the new tensors. */
static void check_update(fr_reparam_case *c, fr_group *self)
{
    int64_t n_nonfinite = 0;
    float *values[FR_MLP_TENSORS];
    const fr_mlp_state *state = fr_reparam_state(c->reparam);
    float *gradient = loss_gradient(&c->prefix);
    FR_ASSERT_OK(fr_reparam_backward(c->reparam, self, gradient, &n_nonfinite));
    for (int t = 0; t < FR_MLP_TENSORS; t++) {
        int64_t n = TENSOR_FLOATS[t];
        float *m = fr_test_zeros(n);
        float *s = fr_test_zeros(n);
        values[t] = fr_test_zeros(n);
        memcpy(values[t], fr_mlp_values(state, (fr_mlp_tensor)t, 0),
               (size_t)n * sizeof(float));
        fr_update update = {n, values[t],
                            fr_reparam_gradient(c->reparam, (fr_mlp_tensor)t), m, s};
        fr_optimizer_update(&c->config, 0, 0.01, 0.5, &update);
        free(m);
        free(s);
    }
    FR_ASSERT_OK(fr_reparam_update(c->reparam, 0, 0.01, 0.5, &c->prefix));
    for (int t = 0; t < FR_MLP_TENSORS; t++) {
        fr_assert_same_bytes(TENSOR_NAMES[t], fr_mlp_values(state, (fr_mlp_tensor)t, 0),
                             values[t], (size_t)TENSOR_FLOATS[t] * sizeof(float));
        free(values[t]);
    }
    free(gradient);
}

static void update_moves_every_tensor_and_the_prefix(void)
{
    fr_reparam_case c;
    reference r;
    fr_device *device = make_device();
    fr_group *self = make_self();
    fr_reparam_case_open(device, 0, LAYERS, LAYERS, false, &c);
    c.config.optimizer.weight_decay = 0.1;
    fr_reparam_case_fill(0, &c);
    float before = c.prefix.k[0];
    double loss = 0.0;
    for (int step = 0; step < 2; step++) {
        reference_open(&c, &r);
        double now = reference_loss(fr_reparam_state(c.reparam), &r);
        CU_ASSERT_TRUE(step == 0 || now < loss);
        CU_ASSERT_DOUBLE_EQUAL(r.k[3], (double)c.prefix.k[3], 1e-6);
        CU_ASSERT_DOUBLE_EQUAL(r.v[N_ALL - 1], (double)c.prefix.v[N_ALL - 1], 1e-6);
        loss = now;
        reference_close(&r);
        if (step == 0) {
            check_update(&c, self);
        }
    }
    CU_ASSERT_TRUE(c.prefix.k[0] != before);
    fr_group_destroy(&self);
    fr_reparam_case_close(&c);
    fr_device_destroy(&device);
}

static void frozen_slot_stays_at_its_start(void)
{
    fr_reparam_case c;
    fr_device *device = make_device();
    int64_t half = N_SLOT / 2;
    fr_reparam_case_open(device, 0, LAYERS, LAYERS, true, &c);
    fr_reparam_case_fill(0, &c);
    const fr_mlp_state *state = fr_reparam_state(c.reparam);
    for (int64_t layer = 0; layer < LAYERS; layer++) {
        int64_t at = layer * FR_CASE_LAYER;
        fr_assert_same_bytes("k", c.prefix.k + at, state->arrays[FR_MLP_P0_K] + at,
                             (size_t)half * sizeof(float));
        fr_assert_same_bytes("v", c.prefix.v + at, state->arrays[FR_MLP_P0_V] + at,
                             (size_t)half * sizeof(float));
        CU_ASSERT_TRUE(c.prefix.k[at + half] != state->arrays[FR_MLP_P0_K][at + half]);
    }
    fr_reparam_case_close(&c);
    fr_device_destroy(&device);
}

static void impossible_shapes_are_refused(void)
{
    fr_task_config config;
    fr_reparam *r = NULL;
    memset(&config, 0, sizeof config);
    fr_device *device = make_device();
    fr_reparam_params none = {device, &config, {4, 1, 1, 0, 8}, 1, 1};
    fr_reparam_params huge = {device, &config, {4, 1, 1, INT64_MAX, 8}, 1, 1};
    FR_ASSERT_FAILS(fr_reparam_create(fr_test_ctx(), &none, &r), FR_ERR_SHAPE,
                    "an MLP of 0 hidden units");
    CU_ASSERT_PTR_NULL(r);
    FR_ASSERT_FAILS(fr_reparam_create(fr_test_ctx(), &huge, &r), FR_ERR_SHAPE,
                    "is not possible");
    CU_ASSERT_PTR_NULL(r);
    fr_device_destroy(&device);
}

static const fr_case CASES[] = {
    FR_CASE(start_is_what_it_starts_from_bit_for_bit),
    FR_CASE(prefix_follows_the_formula),
    FR_CASE(gradients_match_finite_differences),
    FR_CASE(norms_are_those_of_the_gradients),
    FR_CASE(tiny_gradients_reach_the_shared_tensors),
    FR_CASE(contributions_out_of_range_are_counted),
    FR_CASE(update_moves_every_tensor_and_the_prefix),
    FR_CASE(frozen_slot_stays_at_its_start),
    FR_CASE(impossible_shapes_are_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("reparam", CASES, FR_N_CASES(CASES), argc, argv);
}
