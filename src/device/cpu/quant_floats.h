/*
 * quant_floats.h - the float formats of model files and the halves inside blocks, for quant_bodies.h and quant_low_bits.h.
 */
#ifndef FR_DEVICE_CPU_QUANT_FLOATS_H
#define FR_DEVICE_CPU_QUANT_FLOATS_H

#include "device/bf16.h"
#include "device/quant_values.h"

#include <stdint.h>
#include <string.h>

/* A block of the short types, two of them, a block of the K types and its runs of 32. */
enum { SHORT = 32, HALF = SHORT / 2, PAIR = 2 * SHORT, LONG = 256, RUNS = 8 };

/* The scale of a block. The empty instruction hides its origin: compilers would convert it once for every lane. */
static inline float load_half(const uint8_t *at)
{
    uint16_t half = 0;
    memcpy(&half, at, sizeof half);
    float value = fr_half_value(half);
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
        out[i] = fr_half_value(half);
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
