/* Logits, losses and exact sums on a CUDA device: bits of the CPU where its formula is one of single numbers, else within 1e-6. */
#include "pair.h"

#include "device/loss.h"
#include "support/devices.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const fr_logit_shape PLAIN = {1.0F, 0.0F};
static const fr_logit_shape SCALED = {0.0625F, 0.0F};
static const fr_logit_shape CAPPED = {0.75F, 30.0F};

static fr_f32 *cuda_f32(const fr_pair *pair, int64_t at)
{
    return (fr_f32 *)pair->cuda + at;
}

static fr_f32 *cpu_f32(const fr_pair *pair, int64_t at)
{
    return (fr_f32 *)pair->cpu + at;
}

/* ---- logits --------------------------------------------------------------------------------------- */

static void check_shape(const fr_two *two, int64_t n, int64_t at,
                        const fr_logit_shape *shape)
{
    static const float EXTREMES[] = {NAN,  INFINITY, -INFINITY, 3e38F,  -3e38F,
                                     0.0F, -0.0F,    1e-42F,    -1e-40F};
    fr_pair x = fr_pair_numbers(two, "logits", n + at, FR_F32, (uint64_t)(n + at), 90);
    if (n >= FR_N_CASES(EXTREMES)) {
        memcpy((float *)x.cpu + at, EXTREMES, sizeof EXTREMES);
        FR_ASSERT_OK(
            fr_device_load(two->cuda, x.cuda, x.cpu, x.n * (int64_t)sizeof(float)));
    }
    fr_shape_logits(two->cpu, n, shape, cpu_f32(&x, at));
    fr_shape_logits(two->cuda, n, shape, cuda_f32(&x, at));
    float *got = fr_pair_fetch(&x);
    for (int64_t i = 0; i < x.n; i++) { /* NaN may have another sign */
        float wanted = ((float *)x.cpu)[i];
        if (isnan(wanted) && isnan(got[i])) {
            got[i] = wanted;
        }
    }
    fr_assert_same_bytes("logits", got, x.cpu, (size_t)x.n * sizeof(float));
    free(got);
    fr_pair_free(&x);
}

static void logits_have_the_bits_of_the_cpu(void)
{
    static const int64_t SIZES[] = {0, 1, 3, 7, 8, 31, 33, 257, 5000};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(SIZES); i++) {
        for (int64_t at = 0; at < 4; at++) {
            check_shape(&two, SIZES[i], at, &PLAIN);
            check_shape(&two, SIZES[i], at, &SCALED);
            check_shape(&two, SIZES[i], at, &CAPPED);
        }
    }
    fr_two_close(&two);
}

/* ---- cross-entropy -------------------------------------------------------------------------------- */

typedef struct loss_case {
    const fr_two *two;
    int64_t rows;
    int64_t vocab;
    const fr_logit_shape *shape;
    bool want_gradient;
    double size; /* of logits */
} loss_case;

static int32_t *targets_of(const loss_case *c)
{
    int32_t *out = calloc((size_t)c->rows + 1, sizeof *out);
    for (int64_t r = 0; r < c->rows; r++) {
        out[r] = (int32_t)((r * 7919 + c->vocab - 1) % c->vocab);
    }
    return out;
}

/* The CPU adds some hundred terms in f32, so next to a probability of 1 it loses what is below `lost`. */
static void assert_losses(const fr_pair *nll, double lost)
{
    double *got = fr_pair_fetch(nll);
    const double *wanted = nll->cpu;
    for (int64_t r = 0; r < nll->n; r++) {
        bool both_nan = isnan(got[r]) && isnan(wanted[r]);
        bool near = fabs(got[r] - wanted[r]) <= 1e-6 * fabs(wanted[r]) + lost;
        if (!both_nan && !near) {
            printf("row %d: loss %.17g, not %.17g\n", (int)r, got[r], wanted[r]);
            CU_FAIL("a loss is not that of the CPU");
        }
    }
    free(got);
}

static void assert_gradients(const fr_pair *x)
{
    float *got = fr_pair_fetch(x);
    const float *wanted = x->cpu;
    double worst = 0;
    for (int64_t i = 0; i < x->n; i++) {
        worst = fmax(worst, fabs((double)got[i] - (double)wanted[i]));
    }
    if (worst > 1e-6) {
        printf("gradients differ by %g\n", worst);
        CU_FAIL("a gradient is not that of the CPU");
    }
    free(got);
}

static void check_loss(const loss_case *c)
{
    int32_t *targets = targets_of(c);
    fr_pair x = fr_pair_numbers(c->two, "logits", c->rows * c->vocab, FR_F32,
                                (uint64_t)c->vocab, c->size);
    fr_pair nll = fr_pair_bytes(c->two, "nll", c->rows, sizeof(double), NULL);
    fr_cross_entropy(c->two->cpu, c->rows, c->vocab, c->shape, cpu_f32(&x, 0), targets,
                     c->want_gradient, (fr_f64 *)nll.cpu);
    fr_cross_entropy(c->two->cuda, c->rows, c->vocab, c->shape, cuda_f32(&x, 0),
                     targets, c->want_gradient, (fr_f64 *)nll.cuda);
    assert_losses(&nll, 2e-7);
    if (c->want_gradient) {
        assert_gradients(&x);
    } else {
        fr_pair_assert_same(&x);
    }
    fr_pair_free(&x);
    fr_pair_free(&nll);
    free(targets);
}

static void losses_are_those_of_the_cpu(void)
{
    static const int64_t VOCABS[] = {1, 3, 4, 7, 8, 31, 33, 257, 1000, 5003, 20001};
    static const fr_logit_shape *const SHAPES[] = {NULL, &PLAIN, &SCALED, &CAPPED};
    static const double SIZES[] = {1e-3, 10, 200};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(VOCABS) * FR_N_CASES(SHAPES) * 6; i++) {
        int64_t vocab = VOCABS[i / (FR_N_CASES(SHAPES) * 6)];
        loss_case c = {.two = &two,
                       .rows = vocab > 300 ? 2 : 5,
                       .vocab = vocab,
                       .shape = SHAPES[i / 6 % FR_N_CASES(SHAPES)],
                       .want_gradient = i / 3 % 2 == 1,
                       .size = SIZES[i % 3]};
        check_loss(&c);
    }
    check_loss(&(loss_case){.two = &two, .rows = 0, .vocab = 5});
    fr_two_close(&two);
}

/* Where the target has nearly all of the probability the loss is small. It is compared with the truth. */
static void small_losses_are_exact(void)
{
    enum { VOCAB = 1000, TARGET = 517 };
    static const int32_t TARGETS[1] = {TARGET};
    fr_two two = fr_two_open();
    for (int gap = 1; gap < 40; gap++) {
        float *numbers = fr_test_numbers(VOCAB, (uint64_t)gap, 1.0);
        double others = 0;
        numbers[TARGET] = (float)gap;
        for (int i = 0; i < VOCAB; i++) {
            others += i != TARGET ? exp((double)numbers[i] - gap) : 0.0;
        }
        fr_pair x = fr_pair_of(&two, "logits", VOCAB, FR_F32, numbers);
        fr_pair nll = fr_pair_bytes(&two, "nll", 1, sizeof(double), NULL);
        fr_cross_entropy(two.cuda, 1, VOCAB, NULL, cuda_f32(&x, 0), TARGETS, false,
                         (fr_f64 *)nll.cuda);
        *(double *)nll.cpu = log1p(others);
        assert_losses(&nll, 1e-15);
        fr_pair_free(&x);
        fr_pair_free(&nll);
        free(numbers);
    }
    fr_two_close(&two);
}

/* Where all logits are 0 each probability is 1 / VOCAB: what is rounded to f32 has known bits, with a cap too. */
static void gradients_are_rounded_to_nearest(void)
{
    enum { MOST = 40 };
    static const fr_logit_shape SHAPES[] = {{1.0F, 0.0F}, {1.0F, 30.0F}};
    fr_two two = fr_two_open();
    for (int i = 0; i < 2 * MOST; i++) {
        int vocab = i / 2 + 1;
        int32_t target = vocab / 2;
        float wanted[MOST];
        for (int at = 0; at < vocab; at++) {
            wanted[at] = (float)(1.0 / vocab - (at == target ? 1.0 : 0.0));
        }
        fr_pair x = fr_pair_numbers(&two, "logits", vocab, FR_F32, 0, 0);
        fr_pair nll = fr_pair_bytes(&two, "nll", 1, sizeof(double), NULL);
        fr_cross_entropy(two.cuda, 1, vocab, &SHAPES[i % 2], cuda_f32(&x, 0), &target,
                         true, (fr_f64 *)nll.cuda);
        float *got = fr_pair_fetch(&x);
        fr_assert_same_bytes("gradient", got, wanted, (size_t)vocab * sizeof *got);
        free(got);
        fr_pair_free(&x);
        fr_pair_free(&nll);
    }
    fr_two_close(&two);
}

/* Rows of one width, one of which is bad; each alone (and elsewhere in memory) has the bits that it has among the others. */
static void rows_depend_on_themselves_alone(void)
{
    enum { ROWS = 7, VOCAB = 1021, N = ROWS * VOCAB, BAD_ROW = 4 };
    static const fr_logit_shape *const SHAPES[] = {NULL, &SCALED, &CAPPED};
    fr_two two = fr_two_open();
    float *numbers = fr_test_numbers(N, 5, 20.0);
    for (int i = 0; i < 9; i++) {
        static const float BAD[] = {NAN, INFINITY, -INFINITY};
        int32_t targets[ROWS] = {0, 1020, 3, 512, 7, 8, 9};
        float row[VOCAB];
        numbers[BAD_ROW * VOCAB + 100 * i] = BAD[i % 3];
        fr_pair all = fr_pair_of(&two, "all", N, FR_F32, numbers);
        fr_pair one = fr_pair_of(&two, "one", VOCAB + 4, FR_F32, numbers);
        fr_pair nll = fr_pair_bytes(&two, "nll", ROWS + 1, sizeof(double), NULL);
        fr_f64 *losses = nll.cuda;
        fr_cross_entropy(two.cuda, ROWS, VOCAB, SHAPES[i / 3], cuda_f32(&all, 0),
                         targets, true, losses);
        float *together = fr_pair_fetch(&all);
        for (int64_t r = 0; r < ROWS; r++) {
            memcpy(row, numbers + r * VOCAB, sizeof row);
            fr_device_put(two.cuda, cuda_f32(&one, (r + 1) % 4), row, sizeof row);
            fr_cross_entropy(two.cuda, 1, VOCAB, SHAPES[i / 3],
                             cuda_f32(&one, (r + 1) % 4), targets + r, true,
                             losses + ROWS);
            float *alone = fr_pair_fetch(&one);
            double *got = fr_pair_fetch(&nll);
            CU_ASSERT_EQUAL(isnan(got[r]) != 0, r == BAD_ROW);
            CU_ASSERT_EQUAL(isnan(got[ROWS]) != 0, r == BAD_ROW);
            if (r != BAD_ROW) {
                fr_assert_same_bytes("loss", got + r, got + ROWS, sizeof *got);
                fr_assert_same_bytes("gradient", alone + (r + 1) % 4,
                                     together + r * VOCAB, sizeof row);
            }
            free(alone);
            free(got);
        }
        numbers[BAD_ROW * VOCAB + 100 * i] = 0.0F;
        free(together);
        fr_pair_free(&all);
        fr_pair_free(&one);
        fr_pair_free(&nll);
    }
    free(numbers);
    fr_two_close(&two);
}

/* ---- exact sums ----------------------------------------------------------------------------------- */

static void spoil(int64_t n, float *x)
{
    static const float EDGES[] = {NAN,        INFINITY,   -INFINITY,   131072.0F,
                                  -131072.0F, 131071.99F, -131071.99F, 1e-45F,
                                  0.5F,       -1.5F};
    for (int64_t i = 0; i < n; i += 3) {
        x[i] = EDGES[i / 3 % FR_N_CASES(EDGES)];
    }
}

static void check_exact(const fr_two *two, int64_t units, int64_t n, int exponent)
{
    float *numbers = fr_test_numbers(units * n + 1, (uint64_t)n, 100.0);
    spoil(units * n, numbers);
    fr_pair g = fr_pair_of(two, "g", units * n, FR_F32, numbers);
    fr_pair sum = fr_pair_bytes(two, "sum", n, sizeof(int64_t), NULL);
    fr_pair refused = fr_pair_bytes(two, "refused", 1, sizeof(int64_t), NULL);
    for (int i = 0; i < 2; i++) {
        fr_exact_add(two->cpu, units, n, exponent, fr_pair_cpu_f32(&g), sum.cpu,
                     refused.cpu);
        fr_exact_add(two->cuda, units, n, exponent, fr_pair_cuda_f32(&g), sum.cuda,
                     refused.cuda);
    }
    fr_pair_assert_same(&sum);
    fr_pair_assert_same(&refused);
    fr_pair_free(&g);
    fr_pair_free(&sum);
    fr_pair_free(&refused);
    free(numbers);
}

static void check_exact_numbers(const fr_two *two, int64_t n, int exponent)
{
    double *numbers = calloc((size_t)n + 1, sizeof *numbers);
    float *f32 = fr_test_numbers(n + 1, (uint64_t)n, 100.0);
    spoil(n, f32);
    for (int64_t i = 0; i < n; i++) {
        numbers[i] = (double)f32[i] / (i % 2 == 0 ? 1 : 3);
    }
    fr_pair x = fr_pair_bytes(two, "x", n, sizeof *numbers, numbers);
    fr_pair sum = fr_pair_bytes(two, "sum", 1, sizeof(int64_t), NULL);
    fr_pair refused = fr_pair_bytes(two, "refused", 1, sizeof(int64_t), NULL);
    for (int i = 0; i < 2; i++) {
        fr_exact_add_numbers(two->cpu, n, exponent, x.cpu, sum.cpu, refused.cpu);
        fr_exact_add_numbers(two->cuda, n, exponent, x.cuda, sum.cuda, refused.cuda);
    }
    fr_pair_assert_same(&sum);
    fr_pair_assert_same(&refused);
    fr_pair_free(&x);
    fr_pair_free(&sum);
    fr_pair_free(&refused);
    free(numbers);
    free(f32);
}

static void exact_sums_are_the_same_integers(void)
{
    static const int64_t SIZES[] = {0, 1, 3, 31, 33, 257, 3000};
    static const int EXPONENTS[] = {1, 20, 31};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(SIZES) * FR_N_CASES(EXPONENTS); i++) {
        int64_t n = SIZES[i % FR_N_CASES(SIZES)];
        int exponent = EXPONENTS[i / FR_N_CASES(SIZES)];
        check_exact(&two, 0, n, exponent);
        check_exact(&two, 1, n, exponent);
        check_exact(&two, 5, n, exponent);
        check_exact_numbers(&two, n, exponent);
    }
    check_exact(&two, 1, 100, 44);
    check_exact_numbers(&two, 2, 44);
    fr_two_close(&two);
}

static const fr_case CASES[] = {
    FR_CASE(logits_have_the_bits_of_the_cpu), FR_CASE(losses_are_those_of_the_cpu),
    FR_CASE(small_losses_are_exact),          FR_CASE(gradients_are_rounded_to_nearest),
    FR_CASE(rows_depend_on_themselves_alone), FR_CASE(exact_sums_are_the_same_integers),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_loss", CASES, FR_N_CASES(CASES), argc, argv);
}
