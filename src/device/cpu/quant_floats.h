/*
 * quant_floats.h - the float formats of model files and the halves inside blocks, for quant_bodies.h and quant_low_bits.h.
 */
#ifndef FR_DEVICE_CPU_QUANT_FLOATS_H
#define FR_DEVICE_CPU_QUANT_FLOATS_H

#include "device/bf16.h"

#include <stdint.h>
#include <string.h>

/*
 * A half has 5 exponent bits with bias 15, a float 8 with bias 127: moving the fraction to its
 * place and raising the exponent by 112 is right for normal numbers. Infinity and NaN go up by
 * another 112. A subnormal half is given the exponent of the smallest normal one, which is then
 * subtracted. The choice is by masks: a branch would keep the compiler from using vectors.
 */
static inline float half_value(uint16_t half)
{
    const uint32_t min = 113U << 23;
    uint32_t magnitude = (uint32_t)(half & 0x7fffU) << 13;
    uint32_t normal = magnitude + (112U << 23);
    uint32_t shifted = magnitude + min;
    float subnormal = 0.0F;
    float value = 0.0F;
    memcpy(&subnormal, &shifted, sizeof shifted);
    subnormal -= 0x1p-14F;
    memcpy(&shifted, &subnormal, sizeof shifted);
    normal += (0U - (uint32_t)(magnitude >= 0x0f800000U)) & (112U << 23);
    uint32_t is_normal = 0U - (uint32_t)(magnitude >= 0x00800000U);
    uint32_t bits = (normal & is_normal) | (shifted & ~is_normal);
    bits |= (uint32_t)(half & 0x8000U) << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A block of the short types, two of them, a block of the K types and its runs of 32. */
enum { SHORT = 32, HALF = SHORT / 2, PAIR = 2 * SHORT, LONG = 256, RUNS = 8 };

/* The scale of a block. The empty instruction hides its origin: compilers would convert it once for every lane. */
static inline float load_half(const uint8_t *at)
{
    uint16_t half = 0;
    memcpy(&half, at, sizeof half);
    float value = half_value(half);
    __asm__("" : "+x"(value));
    return value;
}

static void widen_f32(const uint8_t *restrict data, int64_t n, float *restrict out)
{
    memcpy(out, data, (size_t)n * sizeof(float));
}

static void widen_f16(const uint8_t *restrict data, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t half = 0;
        memcpy(&half, data + 2 * i, sizeof half);
        out[i] = half_value(half);
    }
}

static void widen_bf16(const uint8_t *restrict data, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t top = 0;
        memcpy(&top, data + 2 * i, sizeof top);
        out[i] = fr_bf16_widen(top);
    }
}

static void round_bf16(const float *restrict x, int64_t n, uint16_t *restrict out)
{
    for (int64_t i = 0; i < n; i++) {
        out[i] = fr_bf16_round(x[i]);
    }
}

#endif
