#include "device/activation.h"
#include "device/host.h"
#include "device/rowwise.h"
#include "support/approx.h"
#include "support/devices.h"
#include "support/difference.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double reference(fr_activation activation, double x)
{
    double root = sqrt(2 / acos(-1.0));
    switch (activation) {
    case FR_ACTIVATION_SILU:
        return x * sigmoid(x);
    case FR_ACTIVATION_GELU_TANH:
        return 0.5 * x * (1 + tanh(root * (x + 0.044715 * x * x * x)));
    case FR_ACTIVATION_GELU_ERF:
        return 0.5 * x * erfc(-x / sqrt(2));
    default:
        return fmax(x, 0);
    }
}

static double reference_slope(fr_activation activation, double x)
{
    double root = sqrt(2 / acos(-1.0));
    double s = sigmoid(x);
    double t = tanh(root * (x + 0.044715 * x * x * x));
    switch (activation) {
    case FR_ACTIVATION_SILU:
        return s * (1 + x * (1 - s));
    case FR_ACTIVATION_GELU_TANH:
        return 0.5 * (1 + t) +
               0.5 * x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x);
    case FR_ACTIVATION_GELU_ERF:
        return 0.5 * erfc(-x / sqrt(2)) + x * 0.5 * root * exp(-x * x / 2);
    default:
        return x > 0 ? 1 : 0;
    }
}

/** Gated: [n, 2 width] -> [n, width]; plain uses the first half as its input. */
typedef struct activation_case {
    fr_activation activation;
    int64_t n;
    int64_t width;
    float *gate_up;
    float *dy;
    float *y_ref;
    float *back_ref;
} activation_case;

static activation_case make_case(fr_activation activation, int64_t n, int64_t width)
{
    activation_case c = {.activation = activation, .n = n, .width = width};
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

static void fill_gated(activation_case *c)
{
    for (int64_t i = 0; i < c->n * c->width; i++) {
        int64_t at = i / c->width * 2 * c->width + i % c->width;
        double gate = (double)c->gate_up[at];
        double up = (double)c->gate_up[at + c->width];
        double value = reference(c->activation, gate);
        double dy = (double)c->dy[i];
        c->y_ref[i] = (float)(value * up);
        c->back_ref[at] = (float)(dy * up * reference_slope(c->activation, gate));
        c->back_ref[at + c->width] = (float)(dy * value);
    }
}

static void check_gated(fr_device *device, activation_case *c)
{
    int64_t all = c->n * c->width;
    float *y = fr_test_zeros(all);
    float *back = fr_test_zeros(2 * all);
    fill_gated(c);
    fr_gated(device, c->activation, c->n, c->width, fr_host_view(c->gate_up),
             fr_host_view(y));
    fr_gated_back(device, c->activation, c->n, c->width, fr_host_view(c->gate_up),
                  fr_host_view(c->dy), fr_host_view(back));
    fr_assert_close("gated", y, c->y_ref, all, fr_approx(FR_APPROX_ACTIVATION, FR_F32));
    fr_assert_close("gated back", back, c->back_ref, 2 * all,
                    fr_approx(FR_APPROX_ACTIVATION_BACK, FR_F32));
    fr_gated_back(device, c->activation, c->n, c->width, fr_host_view(c->gate_up),
                  fr_host_view(c->dy), fr_host_view(c->gate_up));
    fr_assert_same_bytes("gated back in place", c->gate_up, back,
                         (size_t)(2 * all) * sizeof *back);
    free(y);
    free(back);
}

static void check_plain(fr_device *device, activation_case *c)
{
    int64_t all = c->n * c->width;
    size_t bytes = (size_t)all * sizeof(float);
    float *y = fr_test_zeros(all);
    float *dx = fr_test_zeros(all);
    for (int64_t i = 0; i < all; i++) {
        double x = (double)c->gate_up[i];
        c->y_ref[i] = (float)reference(c->activation, x);
        c->back_ref[i] = (float)(reference_slope(c->activation, x) * (double)c->dy[i]);
    }
    fr_activate(device, c->activation, all, fr_host_view(c->gate_up), fr_host_view(y));
    fr_activate_back(device, c->activation, all, fr_host_view(c->gate_up),
                     fr_host_view(c->dy), fr_host_view(dx));
    fr_assert_close("plain", y, c->y_ref, all, fr_approx(FR_APPROX_ACTIVATION, FR_F32));
    fr_assert_close("plain back", dx, c->back_ref, all,
                    fr_approx(FR_APPROX_ACTIVATION_BACK, FR_F32));
    float *shared = fr_test_zeros(all);
    memcpy(shared, c->dy, bytes);
    fr_activate_back(device, c->activation, all, fr_host_view(c->gate_up),
                     fr_host_view(shared), fr_host_view(shared));
    fr_assert_same_bytes("dx is dy", shared, dx, bytes);
    memcpy(shared, c->gate_up, bytes);
    fr_activate_back(device, c->activation, all, fr_host_view(shared),
                     fr_host_view(c->dy), fr_host_view(shared));
    fr_assert_same_bytes("dx is x", shared, dx, bytes);
    memcpy(shared, c->gate_up, bytes);
    fr_activate(device, c->activation, all, fr_host_view(shared), fr_host_view(shared));
    fr_assert_same_bytes("y is x", shared, y, bytes);
    free(shared);
    free(y);
    free(dx);
}

static void check_sizes(fr_device *device, void *user)
{
    static const int64_t WIDTHS[] = {1, 7, 64, 576, 1536};
    const fr_activation *activation = user;
    for (int w = 0; w < FR_N_CASES(WIDTHS); w++) {
        for (int64_t n = 1; n <= 17; n += 16) {
            activation_case c = make_case(*activation, n, WIDTHS[w]);
            check_gated(device, &c);
            free_case(&c);
            c = make_case(*activation, n, WIDTHS[w]);
            check_plain(device, &c);
            free_case(&c);
        }
    }
}

/* One after the other, as `user` of each device. */
static void each_activation(void (*check)(fr_device *device, void *user))
{
    for (int i = 0; i < FR_ACTIVATIONS; i++) {
        fr_activation activation = (fr_activation)i;
        fr_test_each_device(check, &activation);
    }
}

static void activations_match_f64_both_ways(void)
{
    each_activation(check_sizes);
}

enum { SLOPES = 19 };

/* sum of dy * y over one row, gated and plain */
static double gated_loss(const double *x, const void *user)
{
    const activation_case *c = user;
    double loss = 0;
    for (int i = 0; i < SLOPES; i++) {
        loss += (double)c->dy[i] * reference(c->activation, x[i]) * x[i + SLOPES];
    }
    return loss;
}

static double plain_loss(const double *x, const void *user)
{
    const activation_case *c = user;
    double loss = 0;
    for (int i = 0; i < SLOPES; i++) {
        loss += (double)c->dy[i] * reference(c->activation, x[i]);
    }
    return loss;
}

static void check_slopes(fr_device *device, void *user)
{
    const fr_activation *activation = user;
    activation_case c = make_case(*activation, 1, SLOPES);
    double x[2 * SLOPES];
    float wanted[2 * SLOPES];
    float got[2 * SLOPES];
    double tolerance = fr_approx(FR_APPROX_DIFFERENCE, FR_F32);
    for (int i = 0; i < 2 * SLOPES; i++) {
        x[i] = (double)c.gate_up[i];
    }
    fr_test_difference(gated_loss, &c, 2 * SLOPES, 1, x, wanted);
    fr_gated_back(device, *activation, 1, SLOPES, fr_host_view(c.gate_up),
                  fr_host_view(c.dy), fr_host_view(got));
    fr_assert_close("gated slope", got, wanted, 2 * SLOPES, tolerance);
    fr_test_difference(plain_loss, &c, SLOPES, 1, x, wanted);
    fr_activate_back(device, *activation, SLOPES, fr_host_view(c.gate_up),
                     fr_host_view(c.dy), fr_host_view(got));
    fr_assert_close("plain slope", got, wanted, SLOPES, tolerance);
    free_case(&c);
}

static void gradients_are_slopes_of_the_forward_pass(void)
{
    each_activation(check_slopes);
}

/** Where an activation's relative error is measured, and how much of it may be: an ulp is up to 1.2e-7. */
typedef struct accuracy {
    fr_activation activation;
    float from;
    float to;
    double allowed;
} accuracy;

/* Relative error of each value, so that the exponential is tested where it is small, too. */
static void check_relative_error(fr_device *device, void *user)
{
    enum { POINTS = 40001 };
    const accuracy *a = user;
    float *gate_up = fr_test_zeros(2 * POINTS);
    float *y = fr_test_zeros(POINTS);
    double worst = 0;
    for (int i = 0; i < POINTS; i++) {
        gate_up[i] = a->from + (a->to - a->from) / (POINTS - 1) * (float)i;
        gate_up[POINTS + i] = 1;
    }
    for (int plain = 0; plain < 2; plain++) {
        if (plain == 0) {
            fr_gated(device, a->activation, 1, POINTS, fr_host_view(gate_up),
                     fr_host_view(y));
        } else {
            fr_activate(device, a->activation, POINTS, fr_host_view(gate_up),
                        fr_host_view(y));
        }
        for (int i = 0; i < POINTS; i++) {
            double wanted = reference(a->activation, (double)gate_up[i]);
            double error =
                wanted == 0 ? fabs((double)y[i]) : fabs((double)y[i] / wanted - 1);
            worst = fmax(worst, error);
        }
    }
    CU_ASSERT(worst < a->allowed);
    free(gate_up);
    free(y);
}

/* The tanh form of GELU has no line: its error grows with the exponent where x is large and negative. */
static void values_are_exact_to_a_few_roundings(void)
{
    static const accuracy ACCURACIES[] = {
        {FR_ACTIVATION_SILU, -80, 80, 4e-7},
        {FR_ACTIVATION_GELU_ERF, -0.7F, 1e-3F, 2.4e-7},
        {FR_ACTIVATION_GELU_ERF, -1e-3F, 20, 2.4e-7},
        {FR_ACTIVATION_GELU_ERF, -1, -0.7F, 3.6e-7},
        {FR_ACTIVATION_GELU_ERF, -12.9F, -1, 7.2e-7},
        {FR_ACTIVATION_RELU, -80, 80, 1e-30},
    };
    for (int i = 0; i < FR_N_CASES(ACCURACIES); i++) {
        accuracy a = ACCURACIES[i];
        fr_test_each_isa(check_relative_error, &a);
    }
}

static void check_extremes(fr_device *device, void *user)
{
    (void)user;
    const float x[] = {INFINITY, -INFINITY, NAN, 1e4F, -1e4F, 0.0F, -0.0F, 200, -200};
    for (int i = 0; i < FR_ACTIVATIONS; i++) {
        float y[9];
        fr_activate(device, (fr_activation)i, 9, fr_host_view(x), fr_host_view(y));
        CU_ASSERT(isinf(y[0]) && y[0] > 0);
        CU_ASSERT(i == FR_ACTIVATION_RELU ? y[1] == 0 : !isfinite(y[1]));
        CU_ASSERT(isnan(y[2]));
        CU_ASSERT(y[3] == 1e4F && y[7] == 200);
        CU_ASSERT(fabsf(y[4]) < 1e-30F && fabsf(y[8]) < 1e-30F);
        CU_ASSERT(y[5] == 0 && y[6] == 0);
    }
    const float gate_up[] = {1e4F, -1e4F, NAN, 2, 3, 4};
    for (int i = 0; i < FR_ACTIVATIONS; i++) {
        float z[3];
        fr_gated(device, (fr_activation)i, 1, 3, fr_host_view(gate_up),
                 fr_host_view(z));
        CU_ASSERT(z[0] == 2e4F);
        CU_ASSERT(fabsf(z[1]) < 1e-30F);
        CU_ASSERT(isnan(z[2]));
    }
}

static void extreme_inputs_saturate_and_nan_stays(void)
{
    fr_test_each_isa(check_extremes, NULL);
}

/* Slopes end at 1 and 0. ReLU has none at 0, and all at the least number above. */
static void check_extreme_slopes(fr_device *device, void *user)
{
    (void)user;
    const float x[] = {1e4F, -1e4F, NAN, 200, -200, 0.0F, -0.0F, 1e-45F};
    const float ones[] = {1, 1, 1, 1, 1, 1, 1, 1};
    float dx[8];
    for (int i = 0; i < FR_ACTIVATIONS; i++) {
        fr_activation activation = (fr_activation)i;
        bool steps = activation == FR_ACTIVATION_RELU;
        fr_activate_back(device, activation, 8, fr_host_view(x), fr_host_view(ones),
                         fr_host_view(dx));
        CU_ASSERT(dx[0] == 1 && dx[3] == 1);
        CU_ASSERT(fabsf(dx[1]) < 1e-25F && fabsf(dx[4]) < 1e-25F);
        CU_ASSERT(steps || isnan(dx[2]));
        CU_ASSERT(dx[5] == (steps ? 0 : 0.5F) && dx[6] == dx[5]);
        CU_ASSERT(dx[7] == (steps ? 1 : 0.5F));
    }
}

static void slopes_end_at_one_and_zero(void)
{
    fr_test_each_isa(check_extreme_slopes, NULL);
}

typedef struct fused {
    fr_activation activation;
    fr_dtype dtype;
} fused;

/* In one pass or in two, with what is saved or (forward) without: the same numbers. */
static void check_fused(fr_device *device, void *user)
{
    const fused *f = user;
    enum { N = 5, WIDTH = 2100 }; /* a row is longer than what is stored at a time */
    activation_case c = make_case(f->activation, N, WIDTH);
    int64_t n = 2 * (int64_t)N * WIDTH;
    size_t bytes = (size_t)n * sizeof(float);
    float *apart = fr_test_zeros(n);
    float *together = fr_test_zeros(n);
    float *kept_apart = fr_test_zeros(n);
    float *kept_fused = fr_test_zeros(n);
    float *y = fr_test_zeros(n / 2);
    for (int saves = 0; saves < 2; saves++) {
        memcpy(apart, c.gate_up, bytes);
        memcpy(together, c.gate_up, bytes);
        fr_save(device, n, fr_host_view(apart),
                fr_view_of(fr_host_bytes(saves == 0 ? NULL : kept_apart), f->dtype));
        fr_gated(device, f->activation, N, WIDTH, fr_host_view(apart),
                 fr_host_view(c.y_ref));
        fr_save_gated(
            device, f->activation, N, WIDTH, fr_host_view(together),
            fr_view_of(fr_host_bytes(saves == 0 ? NULL : kept_fused), f->dtype),
            fr_host_view(y));
        fr_assert_same_bytes("gate and up", together, apart, bytes);
        fr_assert_same_bytes("saved", kept_fused, kept_apart, bytes);
        fr_assert_same_bytes("gated", y, c.y_ref, bytes / 2);
    }
    fr_restore(device, n, fr_view_of(fr_host_bytes(kept_apart), f->dtype),
               fr_host_view(apart));
    fr_gated_back(device, f->activation, N, WIDTH, fr_host_view(apart),
                  fr_host_view(c.dy), fr_host_view(apart));
    fr_restore_gated_back(device, f->activation, N, WIDTH,
                          fr_view_of(fr_host_bytes(kept_fused), f->dtype),
                          fr_host_view(c.dy), fr_host_view(together));
    fr_assert_same_bytes("gated back", together, apart, bytes);
    free(apart);
    free(together);
    free(kept_apart);
    free(kept_fused);
    free(y);
    free_case(&c);
}

static void saving_on_the_way_gives_the_same_bits(void)
{
    for (int i = 0; i < 2 * FR_ACTIVATIONS; i++) {
        fused f = {(fr_activation)(i / 2), i % 2 == 0 ? FR_F32 : FR_BF16};
        fr_test_each_device(check_fused, &f);
    }
}

static const fr_case CASES[] = {
    FR_CASE(saving_on_the_way_gives_the_same_bits),
    FR_CASE(activations_match_f64_both_ways),
    FR_CASE(gradients_are_slopes_of_the_forward_pass),
    FR_CASE(values_are_exact_to_a_few_roundings),
    FR_CASE(slopes_end_at_one_and_zero),
    FR_CASE(extreme_inputs_saturate_and_nan_stays),
};

int main(int argc, char **argv)
{
    return fr_suite_main("rowwise_activation", CASES, FR_N_CASES(CASES), argc, argv);
}
