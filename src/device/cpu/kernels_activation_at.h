/*
 * kernels_activation_at.h - the activations and their slopes at a vector of numbers.
 *
 * Included after kernels_math.h.
 */
#ifndef FR_DEVICE_CPU_KERNELS_ACTIVATION_AT_H
#define FR_DEVICE_CPU_KERNELS_ACTIVATION_AT_H

#include "base/formula.h"
#include "device/activation.h"

/* The tanh form of GELU: x (1 + tanh(u)) / 2 = x sigmoid(2u), 2u = x (c1 + c3 x^2). */
static const float GELU_C1 = 1.5957691216057308F;  /* 2 sqrt(2 / pi) */
static const float GELU_C3 = 0.07135481282739553F; /* c1 * 0.044715 */

/* e^(-2u) */
FR_FORMULA v8 gelu_exp(v8 x)
{
    v8 slope = v8_fma(v8_mul(x, x), v8_set(GELU_C3), v8_set(GELU_C1));
    return v8_exp(v8_mul(v8_sub(v8_set(0), x), slope));
}

/* x Phi(x), Phi being the standard normal distribution function */
FR_FORMULA v8 gelu_erf(v8 x)
{
    return v8_mul(x, v8_normal_at(v8_normal_bounded(x)).share);
}

FR_FORMULA_WHOLE v8 activation_of(fr_activation kind, v8 x)
{
    switch (kind) {
    case FR_ACTIVATION_SILU:
        return v8_mul(x, v8_sigmoid(x));
    case FR_ACTIVATION_GELU_TANH:
        return v8_div(x, v8_add(v8_set(1), gelu_exp(x)));
    case FR_ACTIVATION_GELU_ERF:
        return gelu_erf(x);
    default: /* FR_ACTIVATION_RELU; x where it is NaN */
        return v8_max(v8_set(0), x);
    }
}

/** The function's value and its slope. */
typedef struct activation_point {
    v8 value;
    v8 slope;
} activation_point;

/* silu'(x) = s (1 + x (1 - s)), s = sigmoid(x) = 1 / (1 + e), and 1 - s = e s without cancellation. */
FR_FORMULA activation_point silu_point(v8 x)
{
    v8 one = v8_set(1);
    v8 e = v8_exp(v8_sub(v8_set(0), x));
    v8 s = v8_div(one, v8_add(one, e));
    return (activation_point){v8_mul(x, s), v8_mul(s, v8_fma(x, v8_mul(e, s), one))};
}

/* gelu'(x) = s + x s (1 - s) (c1 + 3 c3 x^2), s = sigmoid(2u) */
FR_FORMULA activation_point gelu_tanh_point(v8 x)
{
    v8 one = v8_set(1);
    v8 e = gelu_exp(x);
    v8 s = v8_div(one, v8_add(one, e));
    v8 inner = v8_fma(v8_mul(x, x), v8_set(3 * GELU_C3), v8_set(GELU_C1));
    v8 spread = v8_mul(v8_mul(x, s), v8_mul(e, s));
    return (activation_point){v8_mul(x, s), v8_fma(spread, inner, s)};
}

/* gelu'(x) = Phi(x) + x phi(x) */
FR_FORMULA activation_point gelu_erf_point(v8 x)
{
    v8 bounded = v8_normal_bounded(x);
    v8_normal at = v8_normal_at(bounded);
    return (activation_point){v8_mul(x, at.share), v8_fma(bounded, at.phi, at.share)};
}

FR_FORMULA_WHOLE activation_point activation_at(fr_activation kind, v8 x)
{
    switch (kind) {
    case FR_ACTIVATION_SILU:
        return silu_point(x);
    case FR_ACTIVATION_GELU_TANH:
        return gelu_tanh_point(x);
    case FR_ACTIVATION_GELU_ERF:
        return gelu_erf_point(x);
    default: /* FR_ACTIVATION_RELU: 1 from the least positive number on, and where x is NaN */
        return (activation_point){activation_of(FR_ACTIVATION_RELU, x),
                                  v8_zero_below(v8_set(1), x, v8_set(0x1p-149F))};
    }
}

#endif
