/*
 * kernels_math.h - sums over lanes and the exponential, on either 8-lane vector.
 *
 * Included after one of the kernels_simd headers. Each function is branch-free per lane: a lane's result
 * depends on that lane's value alone, so the last vector of a row needs no code of its own.
 */
#ifndef FR_DEVICE_CPU_KERNELS_MATH_H
#define FR_DEVICE_CPU_KERNELS_MATH_H

#include <math.h>

/** Lanes added as ((0+4)+(2+6)) + ((1+5)+(3+7)). */
static inline float v8_sum(v8 x)
{
    float t[8];
    v8_store(t, x);
    return ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]));
}

/** Largest lane. */
static inline float v8_largest(v8 x)
{
    float t[8];
    v8_store(t, x);
    for (int width = 4; width > 0; width /= 2) {
        for (int i = 0; i < width; i++) {
            t[i] = t[i] > t[i + width] ? t[i] : t[i + width];
        }
    }
    return t[0];
}

/* e^r for |r| <= ln(2)/2: 1 + r + r^2 c(r), c interpolated at Chebyshev nodes, relative error 1.0e-8
 * (a sixth of a rounding). */
static inline v8 v8_exp_reduced(v8 r)
{
    v8 c = v8_set(0x1.6d1112p-10F);
    c = v8_fma(c, r, v8_set(0x1.120b76p-7F));
    c = v8_fma(c, r, v8_set(0x1.55551ap-5F));
    c = v8_fma(c, r, v8_set(0x1.5554dcp-3F));
    c = v8_fma(c, r, v8_set(0.5F));
    return v8_add(v8_fma(v8_mul(r, r), c, r), v8_set(1));
}

/* Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits. */
static const float V8_ROUNDER = 12582912.0F;

/** e^x to about 1 ulp for x in [-87.3, 88.3]; 0 below, e^88.3 above; NaN stays NaN. */
static inline v8 v8_exp(v8 x)
{
    v8 low = v8_set(-87.3F);
    v8 bounded = v8_min(v8_set(88.3F), v8_max(low, x));
    v8 rounder = v8_set(V8_ROUNDER);
    v8 shifted = v8_fma(bounded, v8_set(0x1.715476p+0F), rounder);
    v8 n = v8_sub(shifted, rounder);
    /* ln 2 in two parts, the first of 9 bits so that n times it is exact */
    v8 r = v8_fnma(n, v8_set(0.693359375F), bounded);
    r = v8_fnma(n, v8_set(-2.12194440e-4F), r);
    v8 y = v8_mul(v8_exp_reduced(r), v8_power(shifted));
    return v8_zero_below(y, x, low);
}

/** 2^x to about 1 ulp for x in [-126, 127]; 0 below, 2^127 above; NaN stays NaN. */
static inline v8 v8_exp2(v8 x)
{
    v8 low = v8_set(-126);
    v8 bounded = v8_min(v8_set(127), v8_max(low, x));
    v8 rounder = v8_set(V8_ROUNDER);
    v8 shifted = v8_add(bounded, rounder);
    v8 r = v8_mul(v8_sub(bounded, v8_sub(shifted, rounder)), v8_set(0x1.62e43p-1F));
    v8 y = v8_mul(v8_exp_reduced(r), v8_power(shifted));
    return v8_zero_below(y, x, low);
}

/** 1 / (1 + e^-x) */
static inline v8 v8_sigmoid(v8 x)
{
    v8 one = v8_set(1);
    return v8_div(one, v8_add(one, v8_exp(v8_sub(v8_set(0), x))));
}

#endif
