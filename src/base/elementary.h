/*
 * elementary.h - exponential, logarithm, powers, sine, cosine and hyperbolic tangent with the same bits everywhere.
 *
 * A C library's functions differ in the last bit between its versions and between processors with and without fused
 * multiply-add. These use +, -, *, / alone, which IEEE 754 rounds in one way, and of exact steps (frexp, ldexp, rint,
 * fabs), in a fixed order and compiled without contraction: each result is one pattern of bits on every x86-64 processor,
 * compiler and system. tests/lint/elementary.py
 * keeps the library's own out of src/.
 *
 * Errors are in units of the last place (ulp) of the double nearest to the true value, against the library's long double
 * functions. A NaN is always the one of NAN's bits. None of them sets errno, and any thread may call them; the
 * rounding mode must be to nearest. A NaN gives NaN unless a function says otherwise.
 */
#ifndef FR_BASE_ELEMENTARY_H
#define FR_BASE_ELEMENTARY_H

#include <stdint.h>

/**
 * e^x, within 1 ulp, subnormal results too. 0 below about -745.13, infinity above 709.78.
 *
 * x = k ln 2 + r, |r| <= ln 2 / 2, with ln 2 in two parts; e^r is its Taylor polynomial of degree 13.
 */
double fr_exp(double x);

/**
 * The natural logarithm (fr_log writes the log), within 1.5 ulp (0.97 at most of 50 million numbers), also next to 1 and of
 * subnormal x. -infinity of 0 and -0, NaN below 0.
 *
 * x = m 2^e with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh(s), s = (m - 1) / (m + 1), eleven terms of its series, summed as
 * (m - 1) - s (m - 1 - the terms after the first).
 */
double fr_ln(double x);

/**
 * sin x and cos x, within 1 ulp for |x| <= 2^30, next to their zeros too. NaN beyond, and of infinities: nothing here has
 * angles that large, and a value whose digits cannot be trusted is worse than none.
 *
 * x = n pi/2 + r, |r| <= pi/4, with pi/2 in five parts of which n times the first four is exact; r is kept as the sum of two
 * doubles; Taylor polynomials of degree 17 and 16.
 */
double fr_sin(double x);
double fr_cos(double x);

/**
 * tanh x, within 2 ulp; 1 and -1 at the ends, tanh(-0) = -0.
 *
 * Below 0.55 Lambert's continued fraction x / (1 + x^2 / (3 + x^2 / (5 + ...))), beyond 1 - 2 / (e^2x + 1).
 */
double fr_tanh(double x);

/**
 * base^exponent for base >= 0, within 1 ulp; NaN for a base below 0. Zeros, infinities, and 1 for an exponent of 0 or a base of 1
 * (of NaN too) as C's pow.
 *
 * e^(exponent ln base), the logarithm and its product as sums of two doubles (some 100 bits).
 */
double fr_power_of(double base, double exponent);

/**
 * base^exponent for any base, within 1 ulp; base^1 is base. Zeros, infinities and NaN as C's pow.
 *
 * Repeated squaring; each product is a sum of two doubles with an exponent of its own, so that none overflows on the way.
 */
double fr_power(double base, int64_t exponent);

#endif
