/*
 * kernels_math.h - the exponential and what is made of it, lane by lane.
 *
 * Included after one of the kernels_simd headers. Each function is branch-free per lane: a lane's result
 * depends on that lane's value alone, so the last vector of a row needs no code of its own.
 */
#ifndef FR_DEVICE_CPU_KERNELS_MATH_H
#define FR_DEVICE_CPU_KERNELS_MATH_H

#include "base/formula.h"

#include <math.h>

/* e^r - 1 for |r| <= ln(2)/2: r + r^2 c(r), c interpolated at Chebyshev nodes; e^r so has a relative error of 1.0e-8
 * (a sixth of a rounding). */
FR_FORMULA v8 v8_expm1_reduced(v8 r)
{
    v8 c = v8_set(0x1.6d1112p-10F);
    c = v8_fma(c, r, v8_set(0x1.120b76p-7F));
    c = v8_fma(c, r, v8_set(0x1.55551ap-5F));
    c = v8_fma(c, r, v8_set(0x1.5554dcp-3F));
    c = v8_fma(c, r, v8_set(0.5F));
    return v8_fma(v8_mul(r, r), c, r);
}

FR_FORMULA v8 v8_exp_reduced(v8 r)
{
    return v8_add(v8_expm1_reduced(r), v8_set(1));
}

/* Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits. */
static const float V8_ROUNDER = 12582912.0F;

/* n = x / ln 2 to the nearest integer, plus the rounder */
FR_FORMULA v8 v8_exp_shifted(v8 x)
{
    return v8_fma(x, v8_set(0x1.715476p+0F), v8_set(V8_ROUNDER));
}

/* x - n ln 2 */
FR_FORMULA v8 v8_exp_rest(v8 x, v8 shifted)
{
    v8 n = v8_sub(shifted, v8_set(V8_ROUNDER));
    /* ln 2 in two parts, the first of 9 bits so that n times it is exact */
    v8 r = v8_fnma(n, v8_set(0.693359375F), x);
    return v8_fnma(n, v8_set(-2.12194440e-4F), r);
}

/** e^x to about 1 ulp for x in [-87.3, 88.3]; 0 below, e^88.3 above; NaN stays NaN. */
FR_FORMULA v8 v8_exp(v8 x)
{
    v8 low = v8_set(-87.3F);
    v8 bounded = v8_min(v8_set(88.3F), v8_max(low, x));
    v8 shifted = v8_exp_shifted(bounded);
    v8 y = v8_mul(v8_exp_reduced(v8_exp_rest(bounded, shifted)), v8_power(shifted));
    return v8_zero_below(y, x, low);
}

/** 2^x to about 1 ulp for x in [-126, 127]; 0 below, 2^127 above; NaN stays NaN. */
FR_FORMULA v8 v8_exp2(v8 x)
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
FR_FORMULA v8 v8_sigmoid(v8 x)
{
    v8 one = v8_set(1);
    return v8_div(one, v8_add(one, v8_exp(v8_sub(v8_set(0), x))));
}

/**
 * tanh x within 2.5 ulp, small x too; tanh(-0) = -0, NaN stays NaN.
 *
 * With E = e^2|x| - 1 it is E / (E + 2), and E = 2^n (e^r - 1) + (2^n - 1) without cancellation. From 10 on it is 1.
 */
FR_FORMULA v8 v8_tanh(v8 x)
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
FR_FORMULA v8 v8_normal_bounded(v8 x)
{
    return v8_max(v8_set(-14), v8_min(v8_set(14), x));
}

/* e^(-x^2/2) to about 1 ulp */
FR_FORMULA v8 v8_bell(v8 x)
{
    v8 square = v8_mul(x, x);
    v8 lost = v8_fma(x, x, v8_sub(v8_set(0), square));
    v8 y = v8_exp(v8_mul(square, v8_set(-0.5F)));
    /* what rounding took from x^2 is small, so e^(-lost/2) is 1 - lost/2 */
    return v8_fnma(y, v8_mul(lost, v8_set(0.5F)), y);
}

/* Mills' ratio, which is (1 - Phi(z)) / phi(z), for z in [0.7, 14], divided by sqrt(2 pi): t h(t - 1/2) with
 * t = 1 / (1 + 0.3 z), the form of Hastings (Approximations for Digital Computers, 1955); h is interpolated at Chebyshev
 * nodes, relative error 1.7e-8. */
FR_FORMULA v8 v8_mills(v8 z)
{
    static const float H[] = {-0x1.624834p-6F, 0x1.4e59c8p-6F,  0x1.27afa8p-5F,
                              -0x1.2bfa44p-5F, -0x1.3db2dcp-4F, 0x1.dc39b4p-6F,
                              0x1.c6d376p-3F,  0x1.6281e4p-2F,  0x1.510f0cp-2F,
                              0x1.c69888p-3F};
    v8 one = v8_set(1);
    v8 t = v8_div(one, v8_fma(z, v8_set(0x1.333334p-2F), one));
    v8 u = v8_sub(t, v8_set(0.5F));
    v8 h = v8_set(H[0]);
    for (int i = 1; i < 10; i++) {
        h = v8_fma(h, u, v8_set(H[i]));
    }
    return v8_mul(t, h);
}

/** The standard normal distribution at x: Phi(x) = (1 + erf(x / sqrt 2)) / 2 and its density phi(x). */
typedef struct v8_normal {
    v8 phi;
    v8 share; /* Phi */
} v8_normal;

/**
 * At a bounded x, phi within 3 ulp; Phi within 2 ulp from x = -0.7 on, 3 from -1 on, and 6 below, down to the least numbers. 0
 * and 1 beyond 13.2.
 *
 * Near 0 Phi is 1/2 + x r(x^2), r interpolated at Chebyshev nodes, relative error 3.7e-8; beyond z = |x| lies phi(z) times
 * Mills' ratio.
 */
FR_FORMULA v8_normal v8_normal_at(v8 x)
{
    v8 size = v8_with_sign(x, v8_set(0));
    v8 square = v8_mul(x, x);
    v8 bell = v8_bell(x);
    v8 beyond = v8_mul(bell, v8_mills(size));
    v8 far = v8_if_below(x, v8_set(0), beyond, v8_sub(v8_set(1), beyond));
    v8 r = v8_set(-0x1.010b86p-17F);
    r = v8_fma(r, square, v8_set(0x1.dc102ap-14F));
    r = v8_fma(r, square, v8_set(-0x1.36fe32p-10F));
    r = v8_fma(r, square, v8_set(0x1.46ce58p-7F));
    r = v8_fma(r, square, v8_set(-0x1.105832p-4F));
    r = v8_fma(r, square, v8_set(0x1.988454p-2F));
    v8 near = v8_fma(x, r, v8_set(0.5F));
    return (v8_normal){v8_mul(bell, v8_set(0x1.988454p-2F)),
                       v8_if_below(size, v8_set(1), near, far)};
}

#endif
