/*
 * quant_short.h - conversions of the short blocks of four and eight bits in plain C; layouts: quant_bodies.h.
 */
#ifndef FR_DEVICE_CPU_QUANT_SHORT_H
#define FR_DEVICE_CPU_QUANT_SHORT_H

#include "device/cpu/quant_bodies.h"

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

#endif
