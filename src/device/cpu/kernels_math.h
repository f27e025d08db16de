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

/* e^r - 1 for |r| <= ln(2)/2: r + r^2 c(r), c interpolated at Chebyshev nodes; e^r so has a relative error of 1.0e-8
 * (a sixth of a rounding). */
static inline v8 v8_expm1_reduced(v8 r)
{
    v8 c = v8_set(0x1.6d1112p-10F);
    c = v8_fma(c, r, v8_set(0x1.120b76p-7F));
    c = v8_fma(c, r, v8_set(0x1.55551ap-5F));
    c = v8_fma(c, r, v8_set(0x1.5554dcp-3F));
    c = v8_fma(c, r, v8_set(0.5F));
    return v8_fma(v8_mul(r, r), c, r);
}

static inline v8 v8_exp_reduced(v8 r)
{
    return v8_add(v8_expm1_reduced(r), v8_set(1));
}

/* Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits. */
static const float V8_ROUNDER = 12582912.0F;

/* n = x / ln 2 to the nearest integer, plus the rounder */
static inline v8 v8_exp_shifted(v8 x)
{
    return v8_fma(x, v8_set(0x1.715476p+0F), v8_set(V8_ROUNDER));
}

/* x - n ln 2 */
static inline v8 v8_exp_rest(v8 x, v8 shifted)
{
    v8 n = v8_sub(shifted, v8_set(V8_ROUNDER));
    /* ln 2 in two parts, the first of 9 bits so that n times it is exact */
    v8 r = v8_fnma(n, v8_set(0.693359375F), x);
    return v8_fnma(n, v8_set(-2.12194440e-4F), r);
}

/** e^x to about 1 ulp for x in [-87.3, 88.3]; 0 below, e^88.3 above; NaN stays NaN. */
static inline v8 v8_exp(v8 x)
{
    v8 low = v8_set(-87.3F);
    v8 bounded = v8_min(v8_set(88.3F), v8_max(low, x));
    v8 shifted = v8_exp_shifted(bounded);
    v8 y = v8_mul(v8_exp_reduced(v8_exp_rest(bounded, shifted)), v8_power(shifted));
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

/**
 * tanh x within 2 ulp, small x too; tanh(-0) = -0, NaN stays NaN.
 *
 * With E = e^2|x| - 1 it is E / (E + 2), and E = 2^n (e^r - 1) + (2^n - 1) without cancellation. From 10 on it is 1.
 */
static inline v8 v8_tanh(v8 x)
{
    v8 size = v8_min(v8_set(10), v8_with_sign(x, v8_set(0)));
    v8 twice = v8_add(size, size);
    v8 shifted = v8_exp_shifted(twice);
    v8 power = v8_power(shifted);
    v8 e = v8_fma(power, v8_expm1_reduced(v8_exp_rest(twice, shifted)),
                  v8_sub(power, v8_set(1)));
    return v8_with_sign(v8_div(e, v8_add(e, v8_set(2))), x);
}

/** x within [-14, 14]; NaN stays NaN. The normal distribution has no f32 left beyond. */
static inline v8 v8_normal_bounded(v8 x)
{
    return v8_max(v8_set(-14), v8_min(v8_set(14), x));
}

/** The standard normal density at a bounded x, to about 2 ulp: e^(-x^2/2) / sqrt(2 pi), 0 beyond 13.2. */
static inline v8 v8_normal_density(v8 x)
{
    v8 square = v8_mul(x, x);
    v8 lost = v8_fma(x, x, v8_sub(v8_set(0), square));
    v8 y = v8_exp(v8_mul(square, v8_set(-0.5F)));
    y = v8_mul(y, v8_set(0x1.988454p-2F));
    /* what rounding took from x^2 is small, so e^(-lost/2) is 1 - lost/2 */
    return v8_fnma(y, v8_mul(lost, v8_set(0.5F)), y);
}

/**
 * The standard normal distribution function of a bounded x, to a few ulp where it is small, too: (1 + erf(x / sqrt 2)) / 2.
 *
 * Beyond z = |x| lies the density times Mills' ratio, which is t h(t) with t = 1 / (1 + 0.3 z) (Hastings, Approximations for
 * Digital Computers, 1955, has the same form); h is interpolated at Chebyshev nodes, relative error 4.2e-9.
 */
static inline v8 v8_normal(v8 x, v8 density)
{
    static const float H[] = {-0x1.ab945ep-5F, 0x1.2375c4p-2F,  -0x1.285932p-1F,
                              0x1.f5bcfep-2F,  -0x1.a7d378p-3F, 0x1.f66becp-3F,
                              0x1.8f580ap-3F,  0x1.1b4828p-2F,  0x1.32e032p-2F,
                              0x1.33365ap-2F};
    v8 one = v8_set(1);
    v8 size = v8_with_sign(x, v8_set(0));
    v8 t = v8_div(one, v8_fma(size, v8_set(0x1.333334p-2F), one));
    v8 h = v8_set(H[0]);
    for (int i = 1; i < 10; i++) {
        h = v8_fma(h, t, v8_set(H[i]));
    }
    v8 beyond = v8_mul(v8_mul(density, t), h);
    /* below 0 that is it, else the rest of 1 */
    v8 between = v8_fnma(v8_set(2), beyond, one);
    return v8_add(beyond, v8_zero_below(between, x, v8_set(0)));
}

#endif
