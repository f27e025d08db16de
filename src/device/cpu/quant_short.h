/*
 * quant_short.h - conversions of the short blocks of four and eight bits, and of those whose nibbles choose from 16
 * values, in plain C; layouts: quant_bodies.h.
 */
#ifndef FR_DEVICE_CPU_QUANT_SHORT_H
#define FR_DEVICE_CPU_QUANT_SHORT_H

#include "device/cpu/quant_bodies.h"
#include "device/cpu/quant_values.h"

static void widen_q4_0(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 18, out += SHORT) {
        float d = load_half(blocks);
        const uint8_t *q = blocks + 2;
        for (int j = 0; j < HALF; j++) {
            out[j] = (float)((q[j] & 15) - 8) * d;
        }
        for (int j = 0; j < HALF; j++) {
            out[j + HALF] = (float)((q[j] >> 4) - 8) * d;
        }
    }
}

static void widen_q4_1(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 20, out += SHORT) {
        float d = load_half(blocks);
        float m = load_half(blocks + 2);
        const uint8_t *q = blocks + 4;
        for (int j = 0; j < HALF; j++) {
            out[j] = (float)(q[j] & 15) * d + m;
        }
        for (int j = 0; j < HALF; j++) {
            out[j + HALF] = (float)(q[j] >> 4) * d + m;
        }
    }
}

static void widen_q8_0(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 34, out += SHORT) {
        float d = load_half(blocks);
        const int8_t *q = (const int8_t *)blocks + 2;
        for (int j = 0; j < SHORT; j++) {
            out[j] = (float)q[j] * d;
        }
    }
}

/* 32 elements. The products are made once, as by hand for AVX-512. */
static inline void look_up(const int8_t *restrict values, float scale,
                           const uint8_t *restrict nibbles, float *restrict out)
{
    float products[16];
    for (int j = 0; j < 16; j++) {
        products[j] = (float)values[j] * scale;
    }
    for (int j = 0; j < HALF; j++) {
        out[j] = products[nibbles[j] & 15];
    }
    for (int j = 0; j < HALF; j++) {
        out[j + HALF] = products[nibbles[j] >> 4];
    }
}

static void widen_iq4_nl(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 18) {
        look_up(IQ4_VALUES, load_half(blocks), blocks + 2, out + i);
    }
}

static void widen_iq4_xs(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += LONG, blocks += 136) {
        float scale[RUNS];
        unpack_scales_iq4_xs(blocks, scale);
        for (int run = 0; run < RUNS; run++, out += SHORT) {
            look_up(IQ4_VALUES, scale[run], blocks + 8 + run * HALF, out);
        }
    }
}

static void widen_mxfp4(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 17) {
        look_up(MXFP4_VALUES, fr_half_power(*blocks), blocks + 1, out + i);
    }
}

#endif
