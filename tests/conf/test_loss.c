#include "device/host.h"
#include "device/loss.h"
#include "support/approx.h"
#include "support/devices.h"
#include "support/difference.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double reference_nll(int64_t vocab, const double *logits, int64_t target)
{
    double max = logits[0];
    double sum = 0;
    for (int64_t i = 1; i < vocab; i++) {
        max = fmax(max, logits[i]);
    }
    for (int64_t i = 0; i < vocab; i++) {
        sum += exp(logits[i] - max);
    }
    return log(sum) + max - logits[target];
}

/* None, a factor alone, a cap alone, and a low cap after a factor: many logits near it. */
static const fr_logit_shape SHAPES[] = {{1, 0}, {0.125F, 0}, {1, 30}, {2.5F, 4}};

/* Products become logits, in place; slopes (may be NULL) are those of the logits over the products. */
static void reference_shape(const fr_logit_shape *shape, int64_t n, double *x,
                            double *slopes)
{
    double scale = (double)shape->scale;
    double cap = (double)shape->cap;
    for (int64_t i = 0; i < n; i++) {
        double t = cap > 0 ? tanh(scale * x[i] / cap) : 0;
        x[i] = cap > 0 ? cap * t : scale * x[i];
        if (slopes != NULL) {
            slopes[i] = scale * (1 - t * t);
        }
    }
}

/** Rows of logits, or of products with a shape, with their reference losses and gradients. */
typedef struct loss_case {
    const fr_logit_shape *shape; /* NULL: none */
    int64_t n;
    int64_t vocab;
    float *logits;
    int32_t *targets;
    double *nll_ref;
    float *gradient_ref;
} loss_case;

/* `row` and `slopes` have room for a row. */
static void fill_row(loss_case *c, int64_t r, double *row, double *slopes)
{
    const float *logits = c->logits + r * c->vocab;
    for (int64_t i = 0; i < c->vocab; i++) {
        row[i] = (double)logits[i];
    }
    reference_shape(c->shape != NULL ? c->shape : SHAPES, c->vocab, row, slopes);
    c->nll_ref[r] = reference_nll(c->vocab, row, c->targets[r]);
    double total = c->nll_ref[r] + row[c->targets[r]];
    for (int64_t i = 0; i < c->vocab; i++) {
        double p = exp(row[i] - total) - (i == c->targets[r] ? 1 : 0);
        c->gradient_ref[r * c->vocab + i] = (float)(p * slopes[i]);
    }
}

static loss_case make_case(const fr_logit_shape *shape, int64_t n, int64_t vocab,
                           double scale)
{
    loss_case c = {.shape = shape, .n = n, .vocab = vocab};
    c.logits = fr_test_numbers(n * vocab, 1, scale);
    c.targets = calloc((size_t)n, sizeof *c.targets);
    c.nll_ref = calloc((size_t)n, sizeof *c.nll_ref);
    c.gradient_ref = fr_test_zeros(n * vocab);
    double *row = calloc((size_t)(2 * vocab), sizeof *row);
    for (int64_t r = 0; r < n; r++) {
        c.targets[r] = (int32_t)((r * 7919 + vocab - 1) % vocab);
        fill_row(&c, r, row, row + vocab);
    }
    free(row);
    return c;
}

static void free_case(loss_case *c)
{
    free(c->logits);
    free(c->targets);
    free(c->nll_ref);
    free(c->gradient_ref);
}

static void check_nll(const loss_case *c, const double *nll)
{
    for (int64_t r = 0; r < c->n; r++) {
        double allowed = fr_approx(FR_APPROX_LOSS, FR_F32) * fmax(1, c->nll_ref[r]);
        CU_ASSERT(fabs(nll[r] - c->nll_ref[r]) <= allowed);
    }
}

static void check_case(fr_device *device, void *user)
{
    const loss_case *c = user;
    int64_t all = c->n * c->vocab;
    size_t bytes = (size_t)all * sizeof(float);
    float *x = fr_test_zeros(all);
    double *nll = calloc((size_t)c->n, sizeof *nll);
    double *nll_alone = calloc((size_t)c->n, sizeof *nll_alone);
    memcpy(x, c->logits, bytes);
    float *shaped = fr_test_zeros(all);
    memcpy(shaped, c->logits, bytes);
    if (c->shape != NULL) {
        fr_shape_logits(device, all, c->shape, fr_host_f32(shaped));
    }
    fr_cross_entropy(device, c->n, c->vocab, c->shape, fr_host_f32(x), c->targets,
                     false, fr_host_f64(nll_alone));
    fr_assert_same_bytes("logits without gradient", x, shaped, bytes);
    memcpy(x, c->logits, bytes);
    fr_cross_entropy(device, c->n, c->vocab, c->shape, fr_host_f32(x), c->targets, true,
                     fr_host_f64(nll));
    check_nll(c, nll);
    fr_assert_same_bytes("nll without gradient", nll_alone, nll,
                         (size_t)c->n * sizeof *nll);
    fr_assert_close("loss gradient", x, c->gradient_ref, all,
                    fr_approx(FR_APPROX_LOSS_GRADIENT, FR_F32));
    free(shaped);
    free(x);
    free(nll);
    free(nll_alone);
}

static void loss_and_gradient_match_f64(void)
{
    static const int64_t VOCABS[] = {1, 7, 513, 49152};
    for (int v = 0; v < FR_N_CASES(VOCABS); v++) {
        loss_case c = make_case(NULL, v == 3 ? 3 : 20, VOCABS[v], 12);
        fr_test_each_device(check_case, &c);
        free_case(&c);
    }
}

static void shaped_loss_and_gradient_match_f64(void)
{
    static const int64_t VOCABS[] = {1, 7, 5003};
    for (int i = 0; i < FR_N_CASES(SHAPES) * FR_N_CASES(VOCABS); i++) {
        loss_case c = make_case(&SHAPES[i % FR_N_CASES(SHAPES)], 5,
                                VOCABS[i / FR_N_CASES(SHAPES)], 12);
        fr_test_each_device(check_case, &c);
        free_case(&c);
    }
}

static void check_shape(fr_device *device, void *user)
{
    enum { N = 9001 };
    const fr_logit_shape *shape = user;
    float *x = fr_test_numbers(N, 3, 100);
    double *wanted = calloc(N, sizeof *wanted);
    double worst = 0;
    for (int i = 0; i < N; i++) {
        x[i] *= i % 2 == 0 ? 1 : 1e-4F;
        wanted[i] = (double)x[i];
    }
    reference_shape(shape, N, wanted, NULL);
    fr_shape_logits(device, N, shape, fr_host_f32(x));
    for (int i = 0; i < N; i++) {
        worst = fmax(worst, fabs((double)x[i] / wanted[i] - 1));
    }
    CU_ASSERT(worst < 4e-7);
    free(x);
    free(wanted);
}

/* Small logits, too: a logit's error is in proportion to it, not to the cap. */
static void shaped_logits_are_exact_to_a_few_roundings(void)
{
    for (int i = 0; i < FR_N_CASES(SHAPES); i++) {
        fr_logit_shape shape = SHAPES[i];
        fr_test_each_device(check_shape, &shape);
    }
}

static void check_shape_extremes(fr_device *device, void *user)
{
    (void)user;
    static const fr_logit_shape CAPPED = {2, 30};
    float x[] = {INFINITY, -INFINITY, NAN, 0.0F, -0.0F, 1e30F, -3e38F, 1e-40F, 1};
    fr_shape_logits(device, 9, &CAPPED, fr_host_f32(x));
    CU_ASSERT(x[0] == 30 && x[1] == -30 && isnan(x[2]));
    CU_ASSERT(x[3] == 0 && !signbit(x[3]) && x[4] == 0 && signbit(x[4]));
    CU_ASSERT(x[5] == 30 && x[6] == -30 && fabsf(x[7] - 2e-40F) < 1e-43F);
    static const fr_logit_shape SCALED = {0.5F, 0};
    float y[] = {INFINITY, -INFINITY, NAN, -0.0F, 3};
    fr_shape_logits(device, 5, &SCALED, fr_host_f32(y));
    CU_ASSERT(isinf(y[0]) && y[0] > 0 && isinf(y[1]) && y[1] < 0 && isnan(y[2]));
    CU_ASSERT(signbit(y[3]) && y[4] == 1.5F);
}

static void extreme_products_end_at_the_cap_and_nan_stays(void)
{
    fr_test_each_isa(check_shape_extremes, NULL);
}

static void large_logits_do_not_overflow(void)
{
    loss_case c = make_case(NULL, 3, 100, 3e4);
    fr_test_each_device(check_case, &c);
    free_case(&c);
}

/* A sure prediction: nll = log(1 + 99 e^-16), the gradient of the target keeps its relative accuracy. */
static void check_confident(fr_device *device, void *user)
{
    enum { VOCAB = 100 };
    (void)user;
    float x[VOCAB] = {0};
    int32_t target = 42;
    double nll = 0;
    double wanted = log1p((VOCAB - 1) * exp(-16));
    x[target] = 16;
    fr_cross_entropy(device, 1, VOCAB, NULL, fr_host_f32(x), &target, true,
                     fr_host_f64(&nll));
    CU_ASSERT(fabs(nll / wanted - 1) < 1e-2);
    CU_ASSERT(fabs((double)x[target] / expm1(-wanted) - 1) < 1e-2);
}

static void small_loss_keeps_its_digits(void)
{
    fr_test_each_isa(check_confident, NULL);
}

static void check_non_finite(fr_device *device, void *user)
{
    static const float BAD[] = {NAN, INFINITY, -INFINITY};
    static const int PLACES[] = {0, 5, 8, 16, 18};
    enum { VOCAB = 19 };
    const fr_logit_shape *shape = user;
    for (int b = 0; b < FR_N_CASES(BAD); b++) {
        for (int p = 0; p < FR_N_CASES(PLACES); p++) {
            float *x = fr_test_numbers(3 * VOCAB, 1, 1);
            int32_t targets[] = {2, 8, 2};
            double nll[3] = {0};
            x[VOCAB + PLACES[p]] = BAD[b];
            fr_cross_entropy(device, 3, VOCAB, shape, fr_host_f32(x), targets, true,
                             fr_host_f64(nll));
            CU_ASSERT(isfinite(nll[0]) && !isfinite(nll[1]) && isfinite(nll[2]));
            free(x);
        }
    }
}

static void non_finite_logits_give_a_non_finite_loss_of_their_row(void)
{
    fr_test_each_isa(check_non_finite, NULL);
    for (int i = 0; i < FR_N_CASES(SHAPES); i++) {
        fr_logit_shape shape = SHAPES[i];
        fr_test_each_isa(check_non_finite, &shape);
    }
}

enum { SLOPES = 23, SLOPE_TARGET = 4 };

static double one_nll(const double *x, const void *user)
{
    double logits[SLOPES];
    memcpy(logits, x, sizeof logits);
    reference_shape(user, SLOPES, logits, NULL);
    return reference_nll(SLOPES, logits, SLOPE_TARGET);
}

static void check_slopes(fr_device *device, void *user)
{
    const fr_logit_shape *shape = user;
    float *logits = fr_test_numbers(SLOPES, 9, 3);
    double x[SLOPES];
    float wanted[SLOPES];
    double nll = 0;
    int32_t target = SLOPE_TARGET;
    for (int i = 0; i < SLOPES; i++) {
        x[i] = (double)logits[i];
    }
    fr_test_difference(one_nll, shape, SLOPES, 1, x, wanted);
    fr_cross_entropy(device, 1, SLOPES, shape == SHAPES ? NULL : shape,
                     fr_host_f32(logits), &target, true, fr_host_f64(&nll));
    fr_assert_close("loss slope", logits, wanted, SLOPES,
                    fr_approx(FR_APPROX_DIFFERENCE, FR_F32));
    free(logits);
}

static void gradient_is_the_slope_of_the_loss(void)
{
    for (int i = 0; i < FR_N_CASES(SHAPES); i++) {
        fr_test_each_isa(check_slopes, (void *)(uintptr_t)&SHAPES[i]);
    }
}

/* Row 4 of a case, alone at an unaligned address. */
static void check_row_alone(fr_device *device, void *user)
{
    enum { ROW = 4, SHIFT = 5 };
    const loss_case *c = user;
    size_t row_bytes = (size_t)c->vocab * sizeof(float);
    float *all = fr_test_zeros(c->n * c->vocab);
    float *alone = fr_test_zeros(c->vocab + SHIFT);
    double *nll = calloc((size_t)c->n, sizeof *nll);
    double nll_alone = 0;
    memcpy(all, c->logits, row_bytes * (size_t)c->n);
    memcpy(alone + SHIFT, c->logits + ROW * c->vocab, row_bytes);
    fr_cross_entropy(device, c->n, c->vocab, c->shape, fr_host_f32(all), c->targets,
                     true, fr_host_f64(nll));
    fr_cross_entropy(device, 1, c->vocab, c->shape, fr_host_f32(alone + SHIFT),
                     c->targets + ROW, true, fr_host_f64(&nll_alone));
    fr_assert_same_bytes("nll alone", &nll_alone, nll + ROW, sizeof nll_alone);
    fr_assert_same_bytes("gradient alone", alone + SHIFT, all + ROW * c->vocab,
                         row_bytes);
    free(all);
    free(alone);
    free(nll);
}

static void rows_keep_their_bits_in_any_company(void)
{
    loss_case c = make_case(NULL, 20, 1021, 12);
    fr_test_each_device(check_row_alone, &c);
    free_case(&c);
    c = make_case(&SHAPES[3], 20, 1021, 12);
    fr_test_each_device(check_row_alone, &c);
    free_case(&c);
}

static const fr_case CASES[] = {
    FR_CASE(loss_and_gradient_match_f64),
    FR_CASE(shaped_loss_and_gradient_match_f64),
    FR_CASE(shaped_logits_are_exact_to_a_few_roundings),
    FR_CASE(extreme_products_end_at_the_cap_and_nan_stays),
    FR_CASE(large_logits_do_not_overflow),
    FR_CASE(small_loss_keeps_its_digits),
    FR_CASE(non_finite_logits_give_a_non_finite_loss_of_their_row),
    FR_CASE(gradient_is_the_slope_of_the_loss),
    FR_CASE(rows_keep_their_bits_in_any_company),
};

int main(int argc, char **argv)
{
    return fr_suite_main("loss", CASES, FR_N_CASES(CASES), argc, argv);
}
