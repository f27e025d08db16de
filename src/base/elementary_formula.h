/*
 * elementary_formula.h - the exponential and the logarithm of elementary.h as formulas that other processors have too: how they
 * reach the last bit is said in elementary.c. Callers on the host use elementary.h.
 *
 * They are made of +, -, *, / and of bits alone. No operation may be fused with another one.
 */
#ifndef FR_BASE_ELEMENTARY_FORMULA_H
#define FR_BASE_ELEMENTARY_FORMULA_H

#include "base/formula.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* ln 2: 42 bits, so that a product with an exponent of a double is exact, and the rest */
static const double FR_LN2_HIGH = 0x1.62e42fefa3800p-1;
static const double FR_LN2_LOW = 0x1.ef35793c76730p-45;

/* high + low, |low| at most half a unit in the last place of high: some 106 bits. */
typedef struct fr_sum_pair {
    double high;
    double low;
} fr_sum_pair;

/* a + b exactly for |a| >= |b| or a = 0 (Dekker). */
FR_FORMULA fr_sum_pair fr_short_sum(double a, double b)
{
    double sum = a + b;
    fr_sum_pair out = {sum, b - (sum - a)};
    return out;
}

/* 2^k, -1022 <= k <= 1023 */
FR_FORMULA double fr_power_of_two(int k)
{
    enum { BIAS = 1023, MANTISSA = 52 };
    uint64_t bits = (uint64_t)(k + BIAS) << MANTISSA;
    double power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/* value 2^k for a value near 1, as ldexp. Beyond the normal numbers in two steps, of which the first is exact. */
FR_FORMULA double fr_times_power_of_two(double value, int k)
{
    enum { MIN = -1021, MAX = 1022, STEP = 1000 };
    if (k < MIN) {
        return value * fr_power_of_two(-STEP) * fr_power_of_two(k + STEP);
    }
    if (k > MAX) {
        return value * fr_power_of_two(STEP) * fr_power_of_two(k - STEP);
    }
    return value * fr_power_of_two(k);
}

/* To the nearest integer, ties to even, for |x| < 2^51. */
FR_FORMULA double fr_nearest(double x)
{
    static const double ROUNDER = 0x1.8p52;
    return (x + ROUNDER) - ROUNDER;
}

/* e^(high + low), |low| far below 1; `high` is a number. */
FR_FORMULA double fr_exp_of_pair(double high, double low)
{
    static const double PER_LN2 = 1.4426950408889634074;
    static const double TERMS[] = {1.0 / 2,        1.0 / 6,         1.0 / 24,
                                   1.0 / 120,      1.0 / 720,       1.0 / 5040,
                                   1.0 / 40320,    1.0 / 362880,    1.0 / 3628800,
                                   1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0};
    enum { LAST = (int)(sizeof TERMS / sizeof TERMS[0]) - 1 };
    if (high > 710.0) { /* e^709.79 is beyond the largest double */
        return (double)INFINITY;
    }
    if (high < -746.0) { /* e^-745.14 is below half of the smallest one */
        return 0.0;
    }
    double k = fr_nearest(high * PER_LN2);
    double r = high - k * FR_LN2_HIGH; /* exact */
    double rest = k * FR_LN2_LOW - low;
    fr_sum_pair x = fr_short_sum(r, -rest);
    double square = x.high * x.high;
    double odd = TERMS[LAST];
    double even = TERMS[LAST - 1];
    for (int i = LAST - 2; i > 0; i -= 2) {
        odd = odd * square + TERMS[i];
        even = even * square + TERMS[i - 1];
    }
    fr_sum_pair linear = fr_short_sum(1.0, x.high);
    double tail = square * (even + odd * x.high);
    double value = linear.high + (tail + (linear.low + x.low * linear.high));
    return fr_times_power_of_two(value, (int)k);
}

/* x = m 2^e with m in [sqrt(1/2), sqrt(2)), for a finite x above 0 */
FR_FORMULA double fr_split(double x, int *exponent)
{
    static const double SQRT_HALF = 0.70710678118654752440;
    static const double LEAST_NORMAL = 0x1p-1022;
    enum { BIAS = 1022, MANTISSA = 52, RAISED = 54 };
    uint64_t bits;
    double m;
    int raised = 0;
    if (x < LEAST_NORMAL) {
        x *= 0x1p54;
        raised = RAISED;
    }
    memcpy(&bits, &x, sizeof bits);
    *exponent = (int)(bits >> MANTISSA) - BIAS - raised;
    bits = (bits & (((uint64_t)1 << MANTISSA) - 1)) | ((uint64_t)BIAS << MANTISSA);
    memcpy(&m, &bits, sizeof m);
    if (m < SQRT_HALF) {
        m *= 2;
        *exponent -= 1;
    }
    return m;
}

/* ln x of a finite x above 0 */
FR_FORMULA double fr_ln_of_positive(double x)
{
    enum { TERMS = 11 }; /* |s| <= 0.172: reaches 1e-17 */
    int exponent = 0;
    double f = fr_split(x, &exponent) - 1; /* exact */
    double s = f / (2 + f);
    double square = s * s;
    double sum = 0; /* 2 (artanh(s) / s - 1) */
    for (int term = TERMS - 1; term > 0; term--) {
        sum = (sum + 2.0 / (2 * term + 1)) * square;
    }
    /* 2 s = f - s f: only a small part of the whole is rounded on the way */
    return exponent * FR_LN2_HIGH + (f - (s * (f - sum) - exponent * FR_LN2_LOW));
}

#endif
