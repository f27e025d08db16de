/*
 * kernels_activation.h - bodies of the activations' kernels, and the kernels.
 *
 * Included after kernels_math.h. `kind` is a constant wherever a body is used, so each kernel holds one function alone.
 */
#ifndef FR_DEVICE_CPU_KERNELS_ACTIVATION_H
#define FR_DEVICE_CPU_KERNELS_ACTIVATION_H

#include "device/activation.h"
#include "device/cpu/inline.h"
#include "device/cpu/kernels_activation_at.h"

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
