/* What the numbers of a reparametrised prefix depend on, and what not; at a size where threads share the work. */
#include "comm/group.h"
#include "support/reparam_case.h"
#include "train/step/reparam.h"

#include "support/devices.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS = 20, HEADS = 2, HEAD = 32, HIDDEN = 200, WIDTH = 50, LAYERS = 3 };
enum { LAYER = SLOTS * HEADS * HEAD, N_ALL = LAYERS * LAYER };

typedef struct bench {
    fr_task_config config;
    fr_reparam *reparam;
    fr_prefix_state prefix;
} bench;

static void bench_open(fr_device *device, int64_t n_layers, uint64_t seed, bench *out)
{
    memset(out, 0, sizeof *out);
    out->config.seed = seed;
    out->config.optimizer.kind = FR_ADAMW;
    out->config.optimizer.beta1 = 0.9;
    out->config.optimizer.beta2 = 0.99;
    out->config.optimizer.eps = 1e-8;
    fr_reparam_params params = {
        device, &out->config, {SLOTS, HEADS, HEAD, HIDDEN, WIDTH}, n_layers, LAYERS};
    out->prefix.k = fr_test_numbers(n_layers * LAYER, 1, 1.0);
    out->prefix.v = fr_test_numbers(n_layers * LAYER, 2, 1.0);
    FR_ASSERT_OK(fr_reparam_create(fr_test_ctx(), &params, &out->reparam));
    CU_ASSERT_PTR_NOT_NULL_FATAL(out->reparam);
    FR_ASSERT_OK(fr_reparam_start(out->reparam, &out->prefix));
}

static void bench_close(bench *b)
{
    fr_reparam_destroy(&b->reparam);
    free(b->prefix.k);
    free(b->prefix.v);
}

static void assert_same_mlp(const fr_mlp_state *got, const fr_mlp_state *wanted,
                            bool shared_only)
{
    for (int i = 0; i < FR_MLP_ARRAYS; i++) {
        fr_mlp_array array = fr_mlp_describe(&wanted->shape, i);
        int64_t n = array.floats * (array.shared ? 1 : wanted->n_layers);
        if (array.shared || !shared_only) {
            fr_assert_same_bytes(array.name, got->arrays[i], wanted->arrays[i],
                                 (size_t)n * sizeof(float));
        }
    }
}

static void run_steps(bench *b, const float *gradient)
{
    int64_t n_nonfinite = 0;
    fr_group *self = NULL;
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &self));
    for (int64_t step = 0; step < 3; step++) {
        FR_ASSERT_OK(fr_reparam_backward(b->reparam, self, gradient, &n_nonfinite));
        FR_ASSERT_OK(fr_reparam_update(b->reparam, step, 1e-3, 0.5, &b->prefix));
    }
    CU_ASSERT_EQUAL(n_nonfinite, 0);
    fr_group_destroy(&self);
}

static void check_threads(fr_device *device, void *user)
{
    bench alone;
    bench now;
    float *gradient = fr_test_numbers(2 * (int64_t)N_ALL, 3, 1e-3);
    fr_device *one = fr_test_device(fr_test_isa(device), 1);
    (void)user;
    bench_open(one, LAYERS, 4, &alone);
    bench_open(device, LAYERS, 4, &now);
    run_steps(&alone, gradient);
    run_steps(&now, gradient);
    assert_same_mlp(fr_reparam_state(now.reparam), fr_reparam_state(alone.reparam),
                    false);
    fr_assert_same_bytes("k", now.prefix.k, alone.prefix.k, N_ALL * sizeof(float));
    fr_assert_same_bytes("v", now.prefix.v, alone.prefix.v, N_ALL * sizeof(float));
    bench_close(&alone);
    bench_close(&now);
    fr_device_destroy(&one);
    free(gradient);
}

static void threads_change_no_bit(void)
{
    fr_test_each_device(check_threads, NULL);
}

/* H is not stored: computed anew from restored tensors it gives the same next step. */
static void restored_tensors_go_on_with_the_same_bits(void)
{
    bench whole;
    bench resumed;
    float *gradient = fr_test_numbers(2 * (int64_t)N_ALL, 3, 1e-3);
    fr_device *device = fr_test_device(fr_isa_detect(), 1);
    bench_open(device, LAYERS, 4, &whole);
    bench_open(device, LAYERS, 9, &resumed);
    run_steps(&whole, gradient);
    const fr_mlp_state *from = fr_reparam_state(whole.reparam);
    const fr_mlp_state *to = fr_reparam_state(resumed.reparam);
    for (int i = 0; i < FR_MLP_ARRAYS; i++) {
        fr_mlp_array array = fr_mlp_describe(&from->shape, i);
        int64_t n = array.floats * (array.shared ? 1 : LAYERS);
        memcpy(to->arrays[i], from->arrays[i], (size_t)n * sizeof(float));
    }
    FR_ASSERT_OK(fr_reparam_hidden(resumed.reparam));
    run_steps(&whole, gradient);
    run_steps(&resumed, gradient);
    assert_same_mlp(to, from, false);
    fr_assert_same_bytes("k", resumed.prefix.k, whole.prefix.k, N_ALL * sizeof(float));
    bench_close(&whole);
    bench_close(&resumed);
    fr_device_destroy(&device);
    free(gradient);
}

static void drawn_numbers_depend_on_the_seed_alone(void)
{
    bench a;
    bench b;
    bench other;
    fr_device *device = fr_test_device(fr_isa_detect(), 1);
    bench_open(device, LAYERS, 4, &a);
    bench_open(device, 1, 4, &b);
    bench_open(device, 1, 5, &other);
    assert_same_mlp(fr_reparam_state(a.reparam), fr_reparam_state(b.reparam), true);
    for (int t = FR_MLP_E; t <= FR_MLP_W1; t++) {
        const float *x =
            fr_mlp_values(fr_reparam_state(b.reparam), (fr_mlp_tensor)t, 0);
        const float *y =
            fr_mlp_values(fr_reparam_state(other.reparam), (fr_mlp_tensor)t, 0);
        CU_ASSERT_TRUE(memcmp(x, y, WIDTH * sizeof *x) != 0);
    }
    bench_close(&a);
    bench_close(&b);
    bench_close(&other);
    fr_device_destroy(&device);
}

static double variance(const float *values, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)values[i] * (double)values[i];
    }
    return sum / (double)n;
}

/* Standard normal embeddings; W1 such that what enters tanh has variance 1 for any width. */
static void scales_fit_the_width(void)
{
    bench b;
    fr_device *device = fr_test_device(fr_isa_detect(), 1);
    bench_open(device, 1, 1, &b);
    const fr_mlp_state *state = fr_reparam_state(b.reparam);
    double e = variance(fr_mlp_values(state, FR_MLP_E, 0), SLOTS * (int64_t)WIDTH);
    double w1 = variance(fr_mlp_values(state, FR_MLP_W1, 0), HIDDEN * (int64_t)WIDTH);
    CU_ASSERT_DOUBLE_EQUAL(e, 1.0, 0.15);
    CU_ASSERT_DOUBLE_EQUAL(WIDTH * w1, 1.0, 0.1);
    bench_close(&b);
    fr_device_destroy(&device);
}

static const fr_case CASES[] = {
    FR_CASE(threads_change_no_bit),
    FR_CASE(restored_tensors_go_on_with_the_same_bits),
    FR_CASE(drawn_numbers_depend_on_the_seed_alone),
    FR_CASE(scales_fit_the_width),
};

int main(int argc, char **argv)
{
    return fr_suite_main("reparam_bits", CASES, FR_N_CASES(CASES), argc, argv);
}
