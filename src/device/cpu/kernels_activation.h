/*
 * kernels_activation.h - bodies of the activations, and their kernels.
 *
 * Included after kernels_math.h. `kind` is a constant wherever a body is used, so each kernel holds one function alone.
 */
#ifndef FR_DEVICE_CPU_KERNELS_ACTIVATION_H
#define FR_DEVICE_CPU_KERNELS_ACTIVATION_H

#include "device/activation.h"
#include "device/cpu/inline.h"

/* The tanh form of GELU: x (1 + tanh(u)) / 2 = x sigmoid(2u), 2u = x (c1 + c3 x^2). */
static const float GELU_C1 = 1.5957691216057308F;  /* 2 sqrt(2 / pi) */
static const float GELU_C3 = 0.07135481282739553F; /* c1 * 0.044715 */

/* e^(-2u) */
static inline v8 gelu_exp(v8 x)
{
    v8 slope = v8_fma(v8_mul(x, x), v8_set(GELU_C3), v8_set(GELU_C1));
    return v8_exp(v8_mul(v8_sub(v8_set(0), x), slope));
}

/* x Phi(x), Phi being the standard normal distribution function */
static inline v8 gelu_erf(v8 x)
{
    return v8_mul(x, v8_normal_at(v8_normal_bounded(x)).share);
}

FR_INLINE v8 activation_of(fr_activation kind, v8 x)
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
static inline activation_point silu_point(v8 x)
{
    v8 one = v8_set(1);
    v8 e = v8_exp(v8_sub(v8_set(0), x));
    v8 s = v8_div(one, v8_add(one, e));
    return (activation_point){v8_mul(x, s), v8_mul(s, v8_fma(x, v8_mul(e, s), one))};
}

/* gelu'(x) = s + x s (1 - s) (c1 + 3 c3 x^2), s = sigmoid(2u) */
static inline activation_point gelu_tanh_point(v8 x)
{
    v8 one = v8_set(1);
    v8 e = gelu_exp(x);
    v8 s = v8_div(one, v8_add(one, e));
    v8 inner = v8_fma(v8_mul(x, x), v8_set(3 * GELU_C3), v8_set(GELU_C1));
    v8 spread = v8_mul(v8_mul(x, s), v8_mul(e, s));
    return (activation_point){v8_mul(x, s), v8_fma(spread, inner, s)};
}

/* gelu'(x) = Phi(x) + x phi(x) */
static inline activation_point gelu_erf_point(v8 x)
{
    v8 bounded = v8_normal_bounded(x);
    v8_normal at = v8_normal_at(bounded);
    return (activation_point){v8_mul(x, at.share), v8_fma(bounded, at.phi, at.share)};
}

FR_INLINE activation_point activation_at(fr_activation kind, v8 x)
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

FR_INLINE void gated(fr_activation kind, int64_t width, const float *gate_up, float *y)
{
    for (int64_t i = 0; i < width; i += 8) {
        v8 gate = v8_load_first(gate_up + i, width - i);
        v8 up = v8_load_first(gate_up + width + i, width - i);
        v8_store_first(y + i, v8_mul(activation_of(kind, gate), up), width - i);
    }
}

FR_INLINE void gated_back(fr_activation kind, int64_t width, const float *gate_up,
                          const float *dy, float *dgate_up)
{
    for (int64_t i = 0; i < width; i += 8) {
        int64_t lanes = width - i;
        v8 gate = v8_load_first(gate_up + i, lanes);
        v8 up = v8_load_first(gate_up + width + i, lanes);
        v8 upper = v8_load_first(dy + i, lanes);
        activation_point at = activation_at(kind, gate);
        v8_store_first(dgate_up + i, v8_mul(v8_mul(upper, up), at.slope), lanes);
        v8_store_first(dgate_up + width + i, v8_mul(upper, at.value), lanes);
    }
}

FR_INLINE void activate(fr_activation kind, int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i += 8) {
        v8 value = v8_load_first(x + i, n - i);
        v8_store_first(y + i, activation_of(kind, value), n - i);
    }
}

FR_INLINE void activate_back(fr_activation kind, int64_t n, const float *x,
                             const float *dy, float *dx)
{
    for (int64_t i = 0; i < n; i += 8) {
        v8 value = v8_load_first(x + i, n - i);
        v8 upper = v8_load_first(dy + i, n - i);
        v8_store_first(dx + i, v8_mul(upper, activation_at(kind, value).slope), n - i);
    }
}

/* One kernel a direction and form, for an activation. */
#define FR_ACTIVATION_KERNELS(name, kind)                                              \
    static void name##_gated(int64_t width, const float *gate_up, float *y)            \
    {                                                                                  \
        gated(kind, width, gate_up, y);                                                \
    }                                                                                  \
    static void name##_gated_back(int64_t width, const float *gate_up,                 \
                                  const float *dy, float *dgate_up)                    \
    {                                                                                  \
        gated_back(kind, width, gate_up, dy, dgate_up);                                \
    }                                                                                  \
    static void name##_plain(int64_t n, const float *x, float *y)                      \
    {                                                                                  \
        activate(kind, n, x, y);                                                       \
    }                                                                                  \
    static void name##_plain_back(int64_t n, const float *x, const float *dy,          \
                                  float *dx)                                           \
    {                                                                                  \
        activate_back(kind, n, x, dy, dx);                                             \
    }

FR_ACTIVATION_KERNELS(silu, FR_ACTIVATION_SILU)
FR_ACTIVATION_KERNELS(gelu_tanh, FR_ACTIVATION_GELU_TANH)
FR_ACTIVATION_KERNELS(gelu_erf, FR_ACTIVATION_GELU_ERF)
FR_ACTIVATION_KERNELS(relu, FR_ACTIVATION_RELU)

/** The kernels of an activation, for the table. */
#define FR_ACTIVATION_ENTRY(name)                                                      \
    {                                                                                  \
        name##_gated, name##_gated_back, name##_plain, name##_plain_back               \
    }

#endif
