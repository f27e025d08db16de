#include "device/activation.h"
#include "support/approx.h"
#include "support/devices.h"
#include "support/difference.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double reference_gelu(double x)
{
    double u = sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x);
    return 0.5 * x * (1 + tanh(u));
}

static double reference_gelu_slope(double x)
{
    double root = sqrt(2 / acos(-1.0));
    double t = tanh(root * (x + 0.044715 * x * x * x));
    double inner = root * (1 + 3 * 0.044715 * x * x);
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/** swiglu on [n, 2 width] -> [n, width]; gelu uses the first half as its input rows. */
typedef struct activation_case {
    int64_t n;
    int64_t width;
    float *gate_up;
    float *dy;
    float *y_ref;
    float *back_ref;
} activation_case;

static activation_case make_case(int64_t n, int64_t width)
{
    activation_case c = {.n = n, .width = width};
    c.gate_up = fr_test_numbers(2 * n * width, 1, 8);
    c.dy = fr_test_numbers(n * width, 2, 1);
    c.y_ref = fr_test_zeros(n * width);
    c.back_ref = fr_test_zeros(2 * n * width);
    return c;
}

static void free_case(activation_case *c)
{
    free(c->gate_up);
    free(c->dy);
    free(c->y_ref);
    free(c->back_ref);
}

static void fill_swiglu(activation_case *c)
{
    for (int64_t i = 0; i < c->n * c->width; i++) {
        int64_t at = i / c->width * 2 * c->width + i % c->width;
        double gate = (double)c->gate_up[at];
        double up = (double)c->gate_up[at + c->width];
        double s = sigmoid(gate);
        double dy = (double)c->dy[i];
        c->y_ref[i] = (float)(gate * s * up);
        c->back_ref[at] = (float)(dy * up * s * (1 + gate * (1 - s)));
        c->back_ref[at + c->width] = (float)(dy * gate * s);
    }
}

static void check_swiglu(fr_device *device, activation_case *c)
{
    int64_t all = c->n * c->width;
    float *y = fr_test_zeros(all);
    float *back = fr_test_zeros(2 * all);
    fill_swiglu(c);
    fr_gated(device, FR_ACTIVATION_SILU, c->n, c->width, c->gate_up, y);
    fr_gated_back(device, FR_ACTIVATION_SILU, c->n, c->width, c->gate_up, c->dy, back);
    fr_assert_close("swiglu", y, c->y_ref, all,
                    fr_approx(FR_APPROX_ACTIVATION, FR_F32));
    fr_assert_close("swiglu back", back, c->back_ref, 2 * all,
                    fr_approx(FR_APPROX_ACTIVATION_BACK, FR_F32));
    fr_gated_back(device, FR_ACTIVATION_SILU, c->n, c->width, c->gate_up, c->dy,
                  c->gate_up);
    fr_assert_same_bytes("swiglu back in place", c->gate_up, back,
                         (size_t)(2 * all) * sizeof *back);
    free(y);
    free(back);
}

static void check_gelu(fr_device *device, activation_case *c)
{
    int64_t all = c->n * c->width;
    size_t bytes = (size_t)all * sizeof(float);
    float *y = fr_test_zeros(all);
    float *dx = fr_test_zeros(all);
    for (int64_t i = 0; i < all; i++) {
        double x = (double)c->gate_up[i];
        c->y_ref[i] = (float)reference_gelu(x);
        c->back_ref[i] = (float)(reference_gelu_slope(x) * (double)c->dy[i]);
    }
    fr_activate(device, FR_ACTIVATION_GELU_TANH, all, c->gate_up, y);
    fr_activate_back(device, FR_ACTIVATION_GELU_TANH, all, c->gate_up, c->dy, dx);
    fr_assert_close("gelu", y, c->y_ref, all, fr_approx(FR_APPROX_ACTIVATION, FR_F32));
    fr_assert_close("gelu back", dx, c->back_ref, all,
                    fr_approx(FR_APPROX_ACTIVATION_BACK, FR_F32));
    float *shared = fr_test_zeros(all);
    memcpy(shared, c->dy, bytes);
    fr_activate_back(device, FR_ACTIVATION_GELU_TANH, all, c->gate_up, shared, shared);
    fr_assert_same_bytes("dx is dy", shared, dx, bytes);
    memcpy(shared, c->gate_up, bytes);
    fr_activate_back(device, FR_ACTIVATION_GELU_TANH, all, shared, c->dy, shared);
    fr_assert_same_bytes("dx is x", shared, dx, bytes);
    memcpy(shared, c->gate_up, bytes);
    fr_activate(device, FR_ACTIVATION_GELU_TANH, all, shared, shared);
    fr_assert_same_bytes("y is x", shared, y, bytes);
    free(shared);
    free(y);
    free(dx);
}

static void check_sizes(fr_device *device, void *user)
{
    static const int64_t WIDTHS[] = {1, 7, 64, 576, 1536};
    void (*check)(fr_device *, activation_case *) =
        *(void (**)(fr_device *, activation_case *))user;
    for (int w = 0; w < FR_N_CASES(WIDTHS); w++) {
        for (int64_t n = 1; n <= 17; n += 16) {
            activation_case c = make_case(n, WIDTHS[w]);
            check(device, &c);
            free_case(&c);
        }
    }
}

static void swiglu_matches_f64_both_ways(void)
{
    void (*check)(fr_device *, activation_case *) = check_swiglu;
    fr_test_each_device(check_sizes, (void *)&check);
}

static void gelu_matches_f64_both_ways(void)
{
    void (*check)(fr_device *, activation_case *) = check_gelu;
    fr_test_each_device(check_sizes, (void *)&check);
}

enum { SLOPES = 19 };

/* sum of dy * swiglu over one row */
static double swiglu_loss(const double *x, const void *user)
{
    const float *dy = user;
    double loss = 0;
    for (int i = 0; i < SLOPES; i++) {
        loss += (double)dy[i] * x[i] * sigmoid(x[i]) * x[i + SLOPES];
    }
    return loss;
}

static double gelu_loss(const double *x, const void *user)
{
    const float *dy = user;
    double loss = 0;
    for (int i = 0; i < SLOPES; i++) {
        loss += (double)dy[i] * reference_gelu(x[i]);
    }
    return loss;
}

static void check_slopes(fr_device *device, void *user)
{
    (void)user;
    activation_case c = make_case(1, SLOPES);
    double x[2 * SLOPES];
    float wanted[2 * SLOPES];
    float got[2 * SLOPES];
    double tolerance = fr_approx(FR_APPROX_DIFFERENCE, FR_F32);
    for (int i = 0; i < 2 * SLOPES; i++) {
        x[i] = (double)c.gate_up[i];
    }
    fr_test_difference(swiglu_loss, c.dy, 2 * SLOPES, 1, x, wanted);
    fr_gated_back(device, FR_ACTIVATION_SILU, 1, SLOPES, c.gate_up, c.dy, got);
    fr_assert_close("swiglu slope", got, wanted, 2 * SLOPES, tolerance);
    fr_test_difference(gelu_loss, c.dy, SLOPES, 1, x, wanted);
    fr_activate_back(device, FR_ACTIVATION_GELU_TANH, SLOPES, c.gate_up, c.dy, got);
    fr_assert_close("gelu slope", got, wanted, SLOPES, tolerance);
    free_case(&c);
}

static void gradients_are_slopes_of_the_forward_pass(void)
{
    fr_test_each_isa(check_slopes, NULL);
}

/* Relative error of each value, so that the exponential is tested where it is small, too. */
static void check_relative_error(fr_device *device, void *user)
{
    enum { POINTS = 4001 };
    (void)user;
    float *gate_up = fr_test_zeros(2 * POINTS);
    float *y = fr_test_zeros(POINTS);
    double worst = 0;
    for (int i = 0; i < POINTS; i++) {
        gate_up[i] = -80.0F + 0.04F * (float)i;
        gate_up[POINTS + i] = 1;
    }
    fr_gated(device, FR_ACTIVATION_SILU, 1, POINTS, gate_up, y);
    for (int i = 0; i < POINTS; i++) {
        double x = (double)gate_up[i];
        double wanted = x * sigmoid(x);
        double error =
            wanted == 0 ? fabs((double)y[i]) : fabs((double)y[i] / wanted - 1);
        worst = fmax(worst, error);
    }
    CU_ASSERT(worst < 4e-7);
    free(gate_up);
    free(y);
}

static void silu_is_exact_to_a_few_roundings_over_its_range(void)
{
    fr_test_each_isa(check_relative_error, NULL);
}

static void check_extremes(fr_device *device, void *user)
{
    (void)user;
    const float x[] = {INFINITY, -INFINITY, NAN, 1e4F, -1e4F, 0.0F, -0.0F, 200, -200};
    float y[9];
    fr_activate(device, FR_ACTIVATION_GELU_TANH, 9, x, y);
    CU_ASSERT(isinf(y[0]) && y[0] > 0);
    CU_ASSERT(isnan(y[2]));
    CU_ASSERT(y[3] == 1e4F && y[7] == 200);
    CU_ASSERT(fabsf(y[4]) < 1e-30F && fabsf(y[8]) < 1e-30F);
    CU_ASSERT(y[5] == 0 && y[6] == 0);
    const float gate_up[] = {1e4F, -1e4F, NAN, 2, 3, 4};
    float z[3];
    fr_gated(device, FR_ACTIVATION_SILU, 1, 3, gate_up, z);
    CU_ASSERT(z[0] == 2e4F);
    CU_ASSERT(fabsf(z[1]) < 1e-30F);
    CU_ASSERT(isnan(z[2]));
}

static void extreme_inputs_saturate_and_nan_stays(void)
{
    fr_test_each_isa(check_extremes, NULL);
}

/* In one pass or in two, with what is saved or (forward) without: the same numbers. */
static void check_fused(fr_device *device, void *user)
{
    const fr_dtype *dtype = user;
    enum { N = 5, WIDTH = 2100 }; /* a row is longer than what is stored at a time */
    activation_case c = make_case(N, WIDTH);
    int64_t n = 2 * (int64_t)N * WIDTH;
    size_t bytes = (size_t)n * sizeof(float);
    float *apart = fr_test_zeros(n);
    float *fused = fr_test_zeros(n);
    float *kept_apart = fr_test_zeros(n);
    float *kept_fused = fr_test_zeros(n);
    float *y = fr_test_zeros(n / 2);
    for (int saves = 0; saves < 2; saves++) {
        memcpy(apart, c.gate_up, bytes);
        memcpy(fused, c.gate_up, bytes);
        fr_save(device, n, *dtype, apart, saves == 0 ? NULL : kept_apart);
        fr_gated(device, FR_ACTIVATION_SILU, N, WIDTH, apart, c.y_ref);
        fr_save_gated(device, FR_ACTIVATION_SILU, N, WIDTH, *dtype, fused,
                      saves == 0 ? NULL : kept_fused, y);
        fr_assert_same_bytes("gate and up", fused, apart, bytes);
        fr_assert_same_bytes("saved", kept_fused, kept_apart, bytes);
        fr_assert_same_bytes("swiglu", y, c.y_ref, bytes / 2);
    }
    fr_restore(device, n, *dtype, kept_apart, apart);
    fr_gated_back(device, FR_ACTIVATION_SILU, N, WIDTH, apart, c.dy, apart);
    fr_restore_gated_back(device, FR_ACTIVATION_SILU, N, WIDTH, *dtype, kept_fused,
                          c.dy, fused);
    fr_assert_same_bytes("swiglu back", fused, apart, bytes);
    free(apart);
    free(fused);
    free(kept_apart);
    free(kept_fused);
    free(y);
    free_case(&c);
}

static void saving_on_the_way_gives_the_same_bits(void)
{
    fr_dtype types[] = {FR_F32, FR_BF16};
    fr_test_each_device(check_fused, &types[0]);
    fr_test_each_device(check_fused, &types[1]);
}

static const fr_case CASES[] = {
    FR_CASE(saving_on_the_way_gives_the_same_bits),
    FR_CASE(swiglu_matches_f64_both_ways),
    FR_CASE(gelu_matches_f64_both_ways),
    FR_CASE(gradients_are_slopes_of_the_forward_pass),
    FR_CASE(silu_is_exact_to_a_few_roundings_over_its_range),
    FR_CASE(extreme_inputs_saturate_and_nan_stays),
};

int main(int argc, char **argv)
{
    return fr_suite_main("rowwise_activation", CASES, FR_N_CASES(CASES), argc, argv);
}
