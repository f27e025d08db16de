/* Against the C library's long double functions, which have 11 bits more, and against digests of the bits that every
 * compiler, processor and system has to give. */
#include "base/elementary.h"
#include "base/rng.h"
#include "support/suite.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef double (*function)(double);
typedef long double (*long_function)(long double);

/* ---- what is fed ---------------------------------------------------------------------------------- */

enum { N_RANDOM = 20000, N_DIGEST = 4000 };

/* Arguments are made by exact steps and single roundings, so they too are the same everywhere. */
static double between(double low, double high, uint64_t stream, int64_t i)
{
    return low + (high - low) * fr_rng_uniform(7, FR_RNG_TEST, stream, 2 * (uint64_t)i);
}

/* Of either sign, with an exponent of 2 from low to high. */
static double wide(int low, int high, uint64_t stream, int64_t i)
{
    uint64_t word = fr_rng_u64(7, FR_RNG_TEST, stream, 2 * (uint64_t)i + 1);
    int exponent = low + (int)((word >> 1) % (uint64_t)(high - low + 1));
    double size = ldexp(between(1.0, 2.0, stream, i), exponent);
    return (word & 1) != 0 ? -size : size;
}

static double positive(int low, int high, uint64_t stream, int64_t i)
{
    return fabs(wide(low, high, stream, i));
}

/* ---- errors --------------------------------------------------------------------------------------- */

/* |got - wanted| in units of the last place of the double nearest to wanted */
static double error_of(double got, long double wanted)
{
    int exponent = 0;
    if (got == (double)wanted) { /* nearest, or the same infinity */
        return isfinite(got) ? 0.5 : 0.0;
    }
    if (!isfinite(got) || !isfinite((double)wanted)) {
        return (double)INFINITY;
    }
    (void)frexpl(wanted, &exponent);
    int last = exponent - 53 < -1074 ? -1074 : exponent - 53;
    return (double)fabsl(ldexpl((long double)got - wanted, -last));
}

typedef struct worst {
    double error;
    double at;
} worst;

static void note(worst *w, double got, long double wanted, double at)
{
    double error = error_of(got, wanted);
    if (!(error <= w->error)) {
        *w = (worst){error, at};
    }
}

static void expect_within(const char *name, worst w, double limit)
{
    printf("  %s: at most %.3f ulp\n", name, w.error);
    if (!(w.error <= limit)) {
        printf("  %s: %.3f ulp at %a, limit %.3f\n", name, w.error, w.at, limit);
        CU_FAIL("error beyond the header's");
    }
}

/* Both over numbers of [low, high] and over numbers of either sign with exponents of 2 from least to most. */
static worst worst_of(function f, long_function exact, double low, double high)
{
    worst w = {0};
    for (int64_t i = 0; i < N_RANDOM; i++) {
        double x = between(low, high, 1, i);
        note(&w, f(x), exact((long double)x), x);
    }
    return w;
}

static void worst_wide(worst *w, function f, long_function exact, int min, int max)
{
    for (int64_t i = 0; i < N_RANDOM; i++) {
        double x = wide(min, max, 2, i);
        note(w, f(x), exact((long double)x), x);
    }
}

static void exp_is_near_the_true_value(void)
{
    worst w = worst_of(fr_exp, expl, -746.0, 709.7);
    worst_wide(&w, fr_exp, expl, -1074, 8);
    expect_within("exp", w, 1.0);
    expect_within("exp, subnormal", worst_of(fr_exp, expl, -746.0, -708.0), 1.0);
    expect_within("exp, small", worst_of(fr_exp, expl, -1.0, 1.0), 1.0);
}

static void log_is_near_the_true_value(void)
{
    worst w = worst_of(fr_ln, logl, 0.3, 3.0);
    for (int64_t i = 0; i < N_RANDOM; i++) {
        double x = positive(-1074, 1023, 3, i);
        note(&w, fr_ln(x), logl((long double)x), x);
        x = 1.0 + wide(-52, -2, 4, i);
        note(&w, fr_ln(x), logl((long double)x), x);
    }
    expect_within("ln", w, 1.0);
}

static void circle_is_near_the_true_value(void)
{
    worst sine = worst_of(fr_sin, sinl, -0x1p30, 0x1p30);
    worst cosine = worst_of(fr_cos, cosl, -0x1p30, 0x1p30);
    worst_wide(&sine, fr_sin, sinl, -1074, 29);
    worst_wide(&cosine, fr_cos, cosl, -1074, 29);
    /* next to the zeros of both */
    for (int64_t i = 0; i < N_RANDOM; i++) {
        double n = floor(between(0.0, 683565275.0, 5, i));
        double x = n * 1.57079632679489661923;
        note(&sine, fr_sin(x), sinl((long double)x), x);
        note(&cosine, fr_cos(x), cosl((long double)x), x);
    }
    expect_within("sin", sine, 1.0);
    expect_within("cos", cosine, 1.0);
}

static void tanh_is_near_the_true_value(void)
{
    worst w = worst_of(fr_tanh, tanhl, -1.0, 1.0);
    worst_wide(&w, fr_tanh, tanhl, -1074, 6);
    expect_within("tanh", w, 2.0);
    expect_within("tanh, middle", worst_of(fr_tanh, tanhl, 0.5, 0.7), 2.0);
}

static void powers_are_near_the_true_value(void)
{
    worst real = {0};
    worst whole = {0};
    for (int64_t i = 0; i < N_RANDOM; i++) {
        double base =
            i % 2 == 0 ? positive(-1074, 1023, 6, i) : between(0.5, 2.0, 6, i);
        double y = between(-745.0, 709.0, 7, i) / fr_ln(base);
        note(&real, fr_power_of(base, y), powl((long double)base, (long double)y),
             base);
        double n = rint(y);
        if (fabs(n) < 0x1p53) {
            double sign = i % 3 == 0 ? -base : base;
            note(&whole, fr_power(sign, (int64_t)n),
                 powl((long double)sign, (long double)n), base);
        }
    }
    expect_within("power_of", real, 1.0);
    expect_within("power", whole, 1.0);
}

static void powers_of_beta_stay_near_over_long_runs(void)
{
    static const double BETAS[] = {0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 0.9999};
    worst w = {0};
    for (size_t b = 0; b < sizeof BETAS / sizeof BETAS[0]; b++) {
        for (int64_t n = 1; n < 3000000; n += 1 + n / 7) {
            note(&w, fr_power(BETAS[b], n), powl((long double)BETAS[b], (long double)n),
                 BETAS[b]);
        }
        CU_ASSERT_EQUAL(fr_power(BETAS[b], 1), BETAS[b]);
        CU_ASSERT_EQUAL(fr_power(BETAS[b], 2), BETAS[b] * BETAS[b]);
    }
    expect_within("powers of beta", w, 1.0);
}

/* ---- special values ------------------------------------------------------------------------------- */

static void expect_bits(const char *what, double got, double wanted)
{
    if (memcmp(&got, &wanted, sizeof got) != 0) {
        printf("  %s: %a, wanted %a\n", what, got, wanted);
        CU_FAIL("special value");
    }
}

#define EXPECT(call, wanted) expect_bits(#call, (call), (double)(wanted))

static void ends_of_exp_and_log(void)
{
    EXPECT(fr_exp(0.0), 1.0);
    EXPECT(fr_exp(-0.0), 1.0);
    EXPECT(fr_exp(0x1p-1074), 1.0);
    EXPECT(fr_exp((double)INFINITY), INFINITY);
    EXPECT(fr_exp(-(double)INFINITY), 0.0);
    EXPECT(fr_exp(709.79), INFINITY);
    EXPECT(fr_exp(1e308), INFINITY);
    EXPECT(fr_exp(-745.14), 0.0);
    EXPECT(fr_exp(-745.13), 0x1p-1074);
    EXPECT(fr_exp(-(double)NAN), NAN);
    EXPECT(fr_ln(1.0), 0.0);
    EXPECT(fr_ln(0.0), -INFINITY);
    EXPECT(fr_ln(-0.0), -INFINITY);
    EXPECT(fr_ln(-0x1p-1074), NAN);
    EXPECT(fr_ln(-(double)INFINITY), NAN);
    EXPECT(fr_ln((double)INFINITY), INFINITY);
    EXPECT(fr_ln(-(double)NAN), NAN);
    EXPECT(fr_ln(0x1p-1074), -0x1.74385446d71c3p+9);
    EXPECT(fr_ln(0x1.fffffffffffffp+1023), 0x1.62e42fefa39efp+9);
}

static void ends_of_circle_and_tanh(void)
{
    EXPECT(fr_sin(0.0), 0.0);
    EXPECT(fr_sin(-0.0), -0.0);
    EXPECT(fr_sin(-0x1p-1074), -0x1p-1074);
    EXPECT(fr_cos(0.0), 1.0);
    EXPECT(fr_cos(-0.0), 1.0);
    EXPECT(fr_cos(3.14159265358979323846), -1.0);
    EXPECT(fr_sin(3.14159265358979323846), 0x1.1a62633145c07p-53);
    CU_ASSERT_TRUE(isfinite(fr_sin(0x1p30)) && isfinite(fr_cos(-0x1p30)));
    EXPECT(fr_sin(0x1.0000000000001p30), NAN);
    EXPECT(fr_cos(-0x1.0000000000001p30), NAN);
    EXPECT(fr_sin((double)INFINITY), NAN);
    EXPECT(fr_cos(-(double)INFINITY), NAN);
    EXPECT(fr_sin(-(double)NAN), NAN);
    EXPECT(fr_cos(-(double)NAN), NAN);
    EXPECT(fr_tanh(0.0), 0.0);
    EXPECT(fr_tanh(-0.0), -0.0);
    EXPECT(fr_tanh(0x1p-1074), 0x1p-1074);
    EXPECT(fr_tanh(20.0), 1.0);
    EXPECT(fr_tanh(-1e308), -1.0);
    EXPECT(fr_tanh((double)INFINITY), 1.0);
    EXPECT(fr_tanh(-(double)INFINITY), -1.0);
    EXPECT(fr_tanh(-(double)NAN), NAN);
}

/* The bits of ends, the neighbourhood of the rest. */
static void expect_power(const char *what, double got, long double exact)
{
    double wanted = isnan(exact) ? (double)NAN : (double)exact;
    if (isfinite(wanted) && wanted != 0.0 && fabs(wanted) != 1.0) {
        CU_ASSERT_TRUE(error_of(got, exact) <= 1.0);
    } else {
        expect_bits(what, got, wanted);
    }
}

/* Zeros, infinities, NaN and what stands next to them, as C lays down for pow. */
static void ends_of_powers_are_those_of_c(void)
{
    static const double BASES[] = {0.0,   0x1p-1074, 0x1p-1022,  0.5,  1.0,        1.5,
                                   1e300, 0x1p1023,  HUGE_VAL,   -0.0, -0x1p-1074, -1.0,
                                   -1.5,  -HUGE_VAL, (double)NAN};
    static const double EXPONENTS[] = {
        -HUGE_VAL, -0x1p62, -1e9,   -1075.0, -3.0, -2.0,   -1.0,     0.0,        1.0,
        2.0,       3.0,     1074.0, 1075.0,  1e9,  0x1p62, HUGE_VAL, (double)NAN};
    for (size_t b = 0; b < sizeof BASES / sizeof BASES[0]; b++) {
        for (size_t e = 0; e < sizeof EXPONENTS / sizeof EXPONENTS[0]; e++) {
            double base = BASES[b];
            double exponent = EXPONENTS[e];
            long double wanted = powl((long double)base, (long double)exponent);
            if (!signbit(base)) {
                expect_power("power_of", fr_power_of(base, exponent), wanted);
            }
            if (isfinite(exponent)) {
                expect_power("power", fr_power(base, (int64_t)exponent), wanted);
            }
        }
    }
    EXPECT(fr_power_of(-2.0, 2.0), NAN);
    EXPECT(fr_power_of(-2.0, 0.0), 1.0);
    EXPECT(fr_power(2.0, INT64_MIN), 0.0);
    EXPECT(fr_power(0.5, INT64_MIN), INFINITY);
    EXPECT(fr_power(-0.5, INT64_MAX), -0.0);
    EXPECT(fr_power(-1.0, INT64_MAX), -1.0);
}

static void whole_powers_of_ten_are_exact(void)
{
    double wanted = 1.0;
    for (int n = 0; n <= 22; n++) {
        expect_bits("power", fr_power(10.0, n), wanted);
        expect_bits("power_of", fr_power_of(10.0, n), wanted);
        wanted *= 10.0;
    }
}

/* ---- the same bits everywhere --------------------------------------------------------------------- */

/* FNV-1a over the bits, low byte first */
static void add_bits(uint64_t *digest, double value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    for (int byte = 0; byte < 8; byte++) {
        *digest = (*digest ^ (bits >> (8 * byte) & 0xff)) * 0x100000001b3u;
    }
}

static const uint64_t START = 0xcbf29ce484222325u;

static void expect_digest(const char *name, uint64_t got, uint64_t wanted)
{
    if (got != wanted) {
        printf("  %s: digest 0x%016" PRIx64 ", wanted 0x%016" PRIx64 "\n", name, got,
               wanted);
        CU_FAIL("other bits than elsewhere");
    }
}

/* Numbers of [low, high], and numbers of either sign with exponents of 2 from -40 to most. */
static uint64_t digest_of(function f, double low, double high, int max)
{
    uint64_t digest = START;
    for (int64_t i = 0; i < N_DIGEST; i++) {
        add_bits(&digest, f(between(low, high, 11, i)));
        add_bits(&digest, f(wide(-40, max, 12, i)));
    }
    return digest;
}

static uint64_t digest_of_powers(bool whole)
{
    uint64_t digest = START;
    for (int64_t i = 0; i < N_DIGEST; i++) {
        double base =
            i % 2 == 0 ? positive(-1074, 1023, 13, i) : between(0.5, 2, 13, i);
        double y = wide(-10, 9, 14, i);
        add_bits(&digest, whole ? fr_power(base, (int64_t)y) : fr_power_of(base, y));
    }
    return digest;
}

static uint64_t digest_of_normals(void)
{
    uint64_t digest = START;
    for (uint64_t i = 0; i < N_DIGEST; i++) {
        add_bits(&digest, fr_rng_normal(3, FR_RNG_TEST, 15, i));
    }
    return digest;
}

/* A constant changes only where the function does. */
static void bits_are_the_same_everywhere(void)
{
    expect_digest("exp", digest_of(fr_exp, -746.0, 710.0, 10), 0x43c427153a8af96cu);
    expect_digest("ln", digest_of(fr_ln, 0.0, 3.0, 1023), 0xd7fad7389df3284du);
    expect_digest("sin", digest_of(fr_sin, -10.0, 10.0, 29), 0xf78810f197d456e6u);
    expect_digest("cos", digest_of(fr_cos, -10.0, 10.0, 29), 0xcd1057ff4d959d57u);
    expect_digest("tanh", digest_of(fr_tanh, -2.0, 2.0, 5), 0x331da97d364cb761u);
    expect_digest("power_of", digest_of_powers(false), 0xc8858a0ac72af36cu);
    expect_digest("power", digest_of_powers(true), 0x7f54b58e9a7e0370u);
    expect_digest("rng_normal", digest_of_normals(), 0x5f55d0556c09ee56u);
}

static const fr_case CASES[] = {
    FR_CASE(exp_is_near_the_true_value),
    FR_CASE(log_is_near_the_true_value),
    FR_CASE(circle_is_near_the_true_value),
    FR_CASE(tanh_is_near_the_true_value),
    FR_CASE(powers_are_near_the_true_value),
    FR_CASE(powers_of_beta_stay_near_over_long_runs),
    FR_CASE(ends_of_exp_and_log),
    FR_CASE(ends_of_circle_and_tanh),
    FR_CASE(ends_of_powers_are_those_of_c),
    FR_CASE(whole_powers_of_ten_are_exact),
    FR_CASE(bits_are_the_same_everywhere),
};

int main(int argc, char **argv)
{
    return fr_suite_main("elementary", CASES, FR_N_CASES(CASES), argc, argv);
}
