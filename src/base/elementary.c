/*
 * How the functions of elementary.h reach the last bit without the C library.
 *
 * Each one reduces its argument exactly (to x = k ln 2 + r, m 2^e or n pi/2 + r), evaluates a polynomial or continued
 * fraction on the small rest, and puts both parts together. Rounding errors stay small because the large part of a
 * result is kept as an unrounded sum of two doubles ("pair") until the last addition. The order of operations is part
 * of the result: the compiler must neither fuse nor reassociate them (-ffp-contract=off, no -ffast-math; checked
 * below).
 *
 * Degrees and numbers of terms are such that on the reduced interval the truncation error is below the rounding error.
 * Constants like ln 2 and pi/2 are split into parts with few bits, so that their products with k and n are exact.
 * tests/unit/test_elementary.c compares all of them with the long double functions of the C library.
 */
#include "base/elementary.h"
#include "base/elementary_formula.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#if defined(__FAST_MATH__) || FLT_EVAL_METHOD != 0
#error "each operation must be rounded to double: no -ffast-math, no x87"
#endif

/* ---- sums of two doubles ------------------------------------------------------------------------ */

typedef fr_sum_pair pair;

/* a + b exactly (Knuth) */
static pair sum_of(double a, double b)
{
    double sum = a + b;
    double part = sum - a;
    return (pair){sum, (a - (sum - part)) + (b - part)};
}

/* The upper 26 bits, rounded (Veltkamp); |a| < 2^996 */
static double upper_half(double a)
{
    double scaled = a * 0x1.0000002p+27;
    return scaled - (scaled - a);
}

/* a b exactly (Dekker), unless its low part is subnormal */
static pair product_of(double a, double b)
{
    double product = a * b;
    double a_up = upper_half(a);
    double b_up = upper_half(b);
    double a_down = a - a_up;
    double b_down = b - b_up;
    double low =
        ((a_up * b_up - product) + a_up * b_down + a_down * b_up) + a_down * b_down;
    return (pair){product, low};
}

static pair pair_sum(pair a, pair b)
{
    pair sum = sum_of(a.high, b.high);
    return fr_short_sum(sum.high, sum.low + (a.low + b.low));
}

static pair pair_product(pair a, pair b)
{
    pair product = product_of(a.high, b.high);
    double cross = a.high * b.low + a.low * b.high;
    return fr_short_sum(product.high, product.low + cross);
}

/* a / b for a plain a */
static pair quotient(double a, pair b)
{
    double high = a / b.high;
    pair back = product_of(high, b.high);
    double rest = ((a - back.high) - back.low) - high * b.low;
    return fr_short_sum(high, rest / b.high);
}

/* ---- exponential and logarithm -------------------------------------------------------------------- */

double fr_exp(double x)
{
    return isnan(x) ? (double)NAN : fr_exp_of_pair(x, 0.0);
}

/* What log gives where x has no mantissa to work on. */
static double log_of_special(double x)
{
    if (x == 0) {
        return -(double)INFINITY;
    }
    return x > 0 ? (double)INFINITY : (double)NAN;
}

double fr_ln(double x)
{
    return isfinite(x) && x > 0 ? fr_ln_of_positive(x) : log_of_special(x);
}

/* log x for a finite x above 0, by the same series to some 100 bits */
static pair log_pair(double x)
{
    enum { TERMS = 19 }; /* |s| <= 0.172: 0.172^38 / 39 is below 2^-100 */
    int exponent = 0;
    double m = fr_split(x, &exponent);
    pair s = quotient(m - 1, sum_of(m, 1));
    pair square = pair_product(s, s);
    pair sum = {0, 0};
    for (int term = TERMS - 1; term >= 0; term--) {
        pair odd = {2 * term + 1, 0};
        sum = pair_sum(pair_product(sum, square), quotient(1, odd));
    }
    pair log_m = pair_product((pair){2 * s.high, 2 * s.low}, sum);
    return pair_sum(fr_short_sum(exponent * FR_LN2_HIGH, exponent * FR_LN2_LOW), log_m);
}

/* ---- powers --------------------------------------------------------------------------------------- */

double fr_power_of(double base, double exponent)
{
    if (exponent == 0 || base == 1) {
        return 1.0;
    }
    if (isnan(base) || isnan(exponent) || base < 0) {
        return (double)NAN;
    }
    if (base == 0 || isinf(base)) {
        return (base == 0) == (exponent < 0) ? (double)INFINITY : 0.0;
    }
    pair log_base = log_pair(base);
    double about = exponent * log_base.high;
    if (!(fabs(about) <
          800.0)) { /* beyond e^710 and e^-746; the exact product could overflow */
        return about > 0 ? (double)INFINITY : 0.0;
    }
    pair product = product_of(exponent, log_base.high);
    return fr_exp_of_pair(product.high, product.low + exponent * log_base.low);
}

/* value 2^exponent, |value| in [1/2, 1] */
typedef struct scaled {
    pair value;
    int64_t exponent;
} scaled;

static scaled normalised(pair value, int64_t exponent)
{
    /* Far outside of a double's exponents; sums of two such still fit an int. */
    enum { BEYOND_ALL = 1 << 20 };
    int shift = 0;
    double high = frexp(value.high, &shift);
    exponent += shift;
    exponent = exponent > BEYOND_ALL ? BEYOND_ALL : exponent;
    exponent = exponent < -BEYOND_ALL ? -BEYOND_ALL : exponent;
    return (scaled){{high, ldexp(value.low, -shift)}, exponent};
}

static scaled scaled_product(scaled a, scaled b)
{
    return normalised(pair_product(a.value, b.value), a.exponent + b.exponent);
}

/* The power of a base that is 0 or infinite, for an exponent other than 0. */
static double power_of_end(double base, bool to_zero, bool odd)
{
    double size = to_zero ? 0.0 : (double)INFINITY;
    return odd && signbit(base) ? -size : size;
}

double fr_power(double base, int64_t exponent)
{
    uint64_t left = exponent < 0 ? 0 - (uint64_t)exponent : (uint64_t)exponent;
    if (exponent == 0 || base == 1) {
        return 1.0;
    }
    if (isnan(base)) {
        return (double)NAN;
    }
    if (base == 0 || isinf(base)) {
        return power_of_end(base, (base == 0) == (exponent > 0), (left & 1) != 0);
    }
    scaled result = {{1, 0}, 0};
    scaled factor = normalised((pair){base, 0}, 0);
    for (;;) {
        if ((left & 1) != 0) {
            result = scaled_product(result, factor);
        }
        left >>= 1;
        if (left == 0) {
            break;
        }
        factor = scaled_product(factor, factor);
    }
    if (exponent < 0) {
        result = (scaled){quotient(1, result.value), -result.exponent};
    }
    return ldexp(result.value.high, (int)result.exponent);
}

/* ---- circle --------------------------------------------------------------------------------------- */

static const double MAX_ANGLE = 0x1p30;

/* x - n pi/2 for the nearest n, of which *quarter gets the last two bits; |x| <= MAX_ANGLE */
static pair reduce(double x, int *quarter)
{
    static const double PER_QUARTER = 0.63661977236758134308;
    /* pi/2: four parts of 23 bits, whose products with n < 2^30 are exact, and the rest */
    static const double PARTS[] = {0x1.921fb4p+0, 0x1.4442dp-24, 0x1.84698p-48,
                                   0x1.3198ap-69, 0x1.701b839a25205p-92};
    enum { N_PARTS = (int)(sizeof PARTS / sizeof PARTS[0]) };
    double n = rint(x * PER_QUARTER);
    *quarter = (int)((int64_t)n & 3);
    pair r = {x, 0};
    for (int i = 0; i < N_PARTS; i++) {
        pair next = sum_of(r.high, -n * PARTS[i]);
        r = sum_of(next.high, next.low + r.low);
    }
    return r;
}

/* sin(high + low) for |high| <= pi/4 */
static double sin_of(pair x)
{
    static const double TERMS[] = {-1.0 / 6,
                                   1.0 / 120,
                                   -1.0 / 5040,
                                   1.0 / 362880,
                                   -1.0 / 39916800,
                                   1.0 / 6227020800.0,
                                   -1.0 / 1307674368000.0,
                                   1.0 / 355687428096000.0};
    enum { LAST = (int)(sizeof TERMS / sizeof TERMS[0]) - 1 };
    double square = x.high * x.high;
    double sum = TERMS[LAST];
    for (int i = LAST - 1; i >= 0; i--) {
        sum = sum * square + TERMS[i];
    }
    return x.high + (x.high * square * sum + x.low * (1 - square / 2));
}

/* cos(high + low) for |high| <= pi/4 */
static double cos_of(pair x)
{
    static const double TERMS[] = {
        1.0 / 24,        -1.0 / 720,           1.0 / 40320,           -1.0 / 3628800,
        1.0 / 479001600, -1.0 / 87178291200.0, 1.0 / 20922789888000.0};
    enum { LAST = (int)(sizeof TERMS / sizeof TERMS[0]) - 1 };
    double square = x.high * x.high;
    double sum = TERMS[LAST];
    for (int i = LAST - 1; i >= 0; i--) {
        sum = sum * square + TERMS[i];
    }
    pair start = fr_short_sum(1.0, -square / 2);
    return start.high + (start.low + (square * square * sum - x.high * x.low));
}

/* sin(x + turns pi/2) */
static double circle(double x, int turns)
{
    if (!(fabs(x) <= MAX_ANGLE)) {
        return (double)NAN;
    }
    int quarter = 0;
    pair r = reduce(x, &quarter);
    quarter += turns;
    double value = (quarter & 1) != 0 ? cos_of(r) : sin_of(r);
    return (quarter & 2) != 0 ? -value : value;
}

double fr_sin(double x)
{
    return fabs(x) < 0x1p-27 ? x : circle(x, 0);
}

double fr_cos(double x)
{
    return circle(x, 1);
}

/* ---- hyperbolic tangent --------------------------------------------------------------------------- */

double fr_tanh(double x)
{
    static const double FRACTION_BELOW = 0.55;
    enum { DEPTH = 9 }; /* of the fraction: reaches 1e-18 */
    double size = fabs(x);
    if (isnan(x)) {
        return (double)NAN;
    }
    if (size < 0x1p-28) {
        return x;
    }
    if (size >= FRACTION_BELOW) {
        double value = 1 - 2 / (fr_exp(2 * size) + 1);
        return x < 0 ? -value : value;
    }
    double square = x * x;
    double below = 2 * DEPTH + 1;
    for (int k = DEPTH - 1; k > 0; k--) {
        below = (2 * k + 1) + square / below;
    }
    /* x / (1 + square / below), with the rounding of a small part alone */
    return x - x * square / (below + square);
}
