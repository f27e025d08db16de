/*
 * quant_low_bits.h - conversions of blocks of one to three bits a number, for quant_bodies.h alone.
 *
 * Block layouts (as in quant_bodies.h; of a byte's bit pairs or bits, the lowest come first):
 *   Q1_0  d, 16 bytes of bits                 x = d (2 q - 1), neighbours in one byte
 *   Q2_0  d, 16 bytes of bit pairs            x = d (q - 1), neighbours in one byte
 *   Q2_K  16 bytes of 4-bit scales s (low) and offsets t (high), 64 bytes of bit pairs, d, m
 *                                             x = (d s) q - (m t), s, t per run of 16
 *   Q3_K  32 bytes of third bits, 64 of lower bit pairs, 12 bytes of 6-bit scales, d
 *                                             x = (d (s - 32)) (q - 4), s per run of 16
 *   TQ1_0  48 bytes of five base-3 digits, 4 bytes of four, d
 *                                             x = d (q - 1)
 *   TQ2_0  64 bytes of bit pairs, d           x = d (q - 1)
 * In Q2_K, Q3_K and TQ2_0 32 bytes hold 128 elements: their lowest pairs the first 32, and so on. In the third bits of
 * Q3_K, bit r of 32 bytes belongs to elements 32 r to 32 r + 31.
 */
#ifndef FR_DEVICE_CPU_QUANT_LOW_BITS_H
#define FR_DEVICE_CPU_QUANT_LOW_BITS_H

#include "device/cpu/quant_floats.h"

#include <string.h>

/* Runs of 16 in a long block. */
enum { SHORT_RUNS = LONG / HALF };

static void widen_q1_0(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    enum { BLOCK = 128 };
    for (int64_t i = 0; i < n; i += BLOCK, blocks += 18, out += BLOCK) {
        float d = load_half(blocks);
        const uint8_t *bits = blocks + 2;
        for (int j = 0; j < BLOCK; j++) {
            out[j] = d * (float)(2 * (bits[j / 8] >> j % 8 & 1) - 1);
        }
    }
}

static void widen_q2_0(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += PAIR, blocks += 18, out += PAIR) {
        float d = load_half(blocks);
        const uint8_t *pairs = blocks + 2;
        for (int j = 0; j < PAIR; j++) {
            out[j] = d * (float)((pairs[j / 4] >> j % 4 * 2 & 3) - 1);
        }
    }
}

static void widen_q2_k(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += LONG, blocks += 84) {
        float d = load_half(blocks + 80);
        float m = load_half(blocks + 82);
        for (int run = 0; run < SHORT_RUNS; run++, out += HALF) {
            const uint8_t *pairs = blocks + 16 + run / 8 * SHORT + run % 2 * HALF;
            int shift = run % 8 / 2 * 2;
            float scale = d * (float)(blocks[run] & 15);
            float offset = m * (float)(blocks[run] >> 4);
            for (int j = 0; j < HALF; j++) {
                out[j] = scale * (float)((pairs[j] >> shift) & 3) - offset;
            }
        }
    }
}

static void widen_q3_k(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += LONG, blocks += 110) {
        float d = load_half(blocks + 108);
        for (int run = 0; run < SHORT_RUNS; run++, out += HALF) {
            const uint8_t *third = blocks + run % 2 * HALF;
            const uint8_t *pairs = blocks + 32 + run / 8 * SHORT + run % 2 * HALF;
            int pair_shift = run % 8 / 2 * 2;
            int third_shift = run / 2;
            float scale = d * (float)fr_q3_k_scale(blocks + 96, run);
            for (int j = 0; j < HALF; j++) {
                int q = ((pairs[j] >> pair_shift) & 3) | ((third[j] >> third_shift) & 1)
                                                             << 2;
                out[j] = scale * (float)(q - 4);
            }
        }
    }
}

/* Bytes are fractions of 256 with base-3 digits: multiplied by a power of 3, what remains below 1 begins with the
 * digit. The first digits of all `width` bytes come first. */
static inline float *widen_digits(const uint8_t *restrict bytes, int width,
                                  int n_digits, float d, float *restrict out)
{
    int power = 1;
    for (int i = 0; i < n_digits; i++, power *= 3, out += width) {
        for (int j = 0; j < width; j++) {
            int rest = bytes[j] * power & 255;
            out[j] = d * (float)((rest * 3 >> 8) - 1);
        }
    }
    return out;
}

static void widen_tq1_0(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += LONG, blocks += 54) {
        float d = load_half(blocks + 52);
        out = widen_digits(blocks, SHORT, 5, d, out);
        out = widen_digits(blocks + 32, HALF, 5, d, out);
        out = widen_digits(blocks + 48, 4, 4, d, out);
    }
}

static void widen_tq2_0(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += LONG, blocks += 66) {
        float d = load_half(blocks + 64);
        for (int run = 0; run < RUNS; run++, out += SHORT) {
            const uint8_t *pairs = blocks + run / 4 * SHORT;
            int shift = run % 4 * 2;
            for (int j = 0; j < SHORT; j++) {
                out[j] = d * (float)(((pairs[j] >> shift) & 3) - 1);
            }
        }
    }
}

#endif
