/*
 * quant_bodies.h - the conversions of the number formats, and the initialiser of the table that names them. Numbers
 * of one to three bits are in quant_low_bits.h, with their layouts. The short blocks of four and eight bits, which most
 * files are made of, and the blocks whose nibbles choose from 16 values are in quant_short.h, or written by hand for a set.
 *
 * Included once by each quant_<isa>.c, where the compiler turns the loops into that set's vectors. Products and
 * sums are rounded in the order of the formulas below and never fused (cmake/options.cmake), so that all sets give
 * the bits of the formats' reference implementation.
 *
 * Block layouts (bytes in file order; d, m: IEEE halves; low nibbles hold the first half of a run of
 * elements, high nibbles the second half):
 *   Q4_0  d, 16 bytes of nibbles              x = d (q - 8)
 *   Q4_1  d, m, 16 bytes of nibbles           x = d q + m
 *   Q5_0  d, 32 fifth bits, 16 bytes          x = d (q - 16)
 *   Q5_1  d, m, 32 fifth bits, 16 bytes       x = d q + m
 *   Q8_0  d, 32 signed bytes                  x = d q
 *   Q4_K  d, m, 12 bytes of 6-bit scales, 128 bytes of nibbles
 *   Q5_K  d, m, 12 bytes of 6-bit scales, 32 bytes of fifth bits, 128 bytes of nibbles
 *                                             x = (d s) q - (m t), s, t per run of 32
 *   Q6_K  128 bytes of low nibbles, 64 of upper bit pairs, 16 signed scales, d
 *                                             x = (d s) (q - 32), s per run of 16
 *   IQ4_NL  d, 16 bytes of nibbles            x = d v[q], v: quant_values.h
 *   IQ4_XS  d, 8 upper bit pairs of scales, 4 bytes of their low nibbles, 128 bytes of nibbles, each run of 32 in 16
 *                                             x = (d (s - 32)) v[q], s per run of 32
 *   MXFP4  e, 16 bytes of nibbles             x = 2^(e - 128) v[q]
 */
#ifndef FR_DEVICE_CPU_QUANT_BODIES_H
#define FR_DEVICE_CPU_QUANT_BODIES_H

#include "device/cpu/quant_floats.h"
#include "device/cpu/quant_kernels.h"
#include "device/cpu/quant_low_bits.h"

#include <string.h>

/* Five-bit integers of one block: nibbles plus bit 4 from the 32 bits at `fifth`. */
static inline void unpack_five_bits(const uint8_t *restrict fifth,
                                    const uint8_t *restrict nibbles,
                                    int32_t *restrict q)
{
    uint32_t bits = 0;
    memcpy(&bits, fifth, sizeof bits);
    for (uint32_t j = 0; j < HALF; j++) {
        q[j] = (int32_t)((nibbles[j] & 15U) | (bits >> j & 1U) << 4);
    }
    bits >>= HALF;
    for (uint32_t j = 0; j < HALF; j++) {
        q[j + HALF] = (int32_t)((nibbles[j] >> 4U) | (bits >> j & 1U) << 4);
    }
}

static void widen_q5_0(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 22, out += SHORT) {
        int32_t q[SHORT];
        float d = load_half(blocks);
        unpack_five_bits(blocks + 2, blocks + 6, q);
        for (int j = 0; j < SHORT; j++) {
            out[j] = (float)(q[j] - 16) * d;
        }
    }
}

static void widen_q5_1(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 24, out += SHORT) {
        int32_t q[SHORT];
        float d = load_half(blocks);
        float m = load_half(blocks + 2);
        unpack_five_bits(blocks + 4, blocks + 8, q);
        for (int j = 0; j < SHORT; j++) {
            out[j] = (float)q[j] * d + m;
        }
    }
}

/* The scale and offset of the eight runs of a K block. Bytes 0-3 hold the scales and bytes 4-7 the
 * offsets of runs 0-3 in their low six bits; runs 4-7 have their low nibbles in bytes 8-11 and
 * their upper two bits on top of bytes 0-7. */
static void unpack_scales(const uint8_t *blocks, float *scale, float *offset)
{
    float d = load_half(blocks);
    float m = load_half(blocks + 2);
    const uint8_t *s = blocks + 4;
    for (int j = 0; j < RUNS / 2; j++) {
        scale[j] = d * (float)(s[j] & 63);
        offset[j] = m * (float)(s[j + 4] & 63);
        scale[j + 4] = d * (float)((s[j + 8] & 15) | ((s[j] >> 6) << 4));
        offset[j + 4] = m * (float)((s[j + 8] >> 4) | ((s[j + 4] >> 6) << 4));
    }
}

static void widen_q4_k(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += LONG, blocks += 144) {
        float scale[RUNS];
        float offset[RUNS];
        const uint8_t *q = blocks + 16;
        unpack_scales(blocks, scale, offset);
        for (int run = 0; run < RUNS; run += 2, q += SHORT, out += PAIR) {
            for (int j = 0; j < SHORT; j++) {
                out[j] = scale[run] * (float)(q[j] & 15) - offset[run];
                out[j + SHORT] = scale[run + 1] * (float)(q[j] >> 4) - offset[run + 1];
            }
        }
    }
}

static void widen_q5_k(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += LONG, blocks += 176) {
        float scale[RUNS];
        float offset[RUNS];
        const uint8_t *fifth = blocks + 16;
        const uint8_t *q = blocks + 48;
        unpack_scales(blocks, scale, offset);
        for (int run = 0; run < RUNS; run += 2, q += SHORT, out += PAIR) {
            for (int j = 0; j < SHORT; j++) {
                int low = (q[j] & 15) | (((fifth[j] >> run) & 1) << 4);
                int high = (q[j] >> 4) | (((fifth[j] >> (run + 1)) & 1) << 4);
                out[j] = scale[run] * (float)low - offset[run];
                out[j + SHORT] = scale[run + 1] * (float)high - offset[run + 1];
            }
        }
    }
}

/* One half of a Q6_K block: four runs of 32, in the four bit pairs of each `upper` byte, as eight of 16. */
static inline void widen_six_bits(const uint8_t *restrict lower,
                                  const uint8_t *restrict upper,
                                  const int8_t *restrict scales, float d,
                                  float *restrict out)
{
    for (int run = 0; run < 2 * 4; run++, out += HALF) {
        const uint8_t *nibbles = lower + run % 4 * HALF;
        const uint8_t *pairs = upper + run % 2 * HALF;
        int nibble_shift = run < 4 ? 0 : 4;
        int pair_shift = run / 2 * 2;
        float scale = d * (float)scales[run];
        for (int j = 0; j < HALF; j++) {
            int q = ((nibbles[j] >> nibble_shift) & 15) | ((pairs[j] >> pair_shift) & 3)
                                                              << 4;
            out[j] = scale * (float)(q - 32);
        }
    }
}

static void widen_q6_k(const uint8_t *restrict blocks, int64_t n, float *restrict out)
{
    for (int64_t i = 0; i < n; i += LONG, blocks += 210, out += LONG) {
        int8_t scales[16];
        float d = load_half(blocks + 208);
        memcpy(scales, blocks + 192, sizeof scales);
        widen_six_bits(blocks, blocks + 128, scales, d, out);
        widen_six_bits(blocks + 64, blocks + 160, scales + 8, d, out + 128);
    }
}

/* The scales of the eight runs of an IQ4_XS block: six bits with 32 added, the upper two apart. */
static inline void unpack_scales_iq4_xs(const uint8_t *block, float *scale)
{
    uint16_t upper = 0;
    float d = load_half(block);
    memcpy(&upper, block + 2, sizeof upper);
    for (int run = 0; run < RUNS; run++) {
        int lower = block[4 + run / 2] >> (run % 2 * 4) & 15;
        scale[run] = d * (float)((lower | (upper >> (2 * run) & 3) << 4) - 32);
    }
}

/* The list of conversions to f32, for the tables. */
#define FR_QUANT_WIDEN                                                                 \
    .widen = {[FR_QUANT_F32] = widen_f32,       [FR_QUANT_F16] = widen_f16,            \
              [FR_QUANT_BF16] = widen_bf16,     [FR_QUANT_Q4_0] = widen_q4_0,          \
              [FR_QUANT_Q4_1] = widen_q4_1,     [FR_QUANT_Q5_0] = widen_q5_0,          \
              [FR_QUANT_Q5_1] = widen_q5_1,     [FR_QUANT_Q8_0] = widen_q8_0,          \
              [FR_QUANT_Q2_K] = widen_q2_k,     [FR_QUANT_Q3_K] = widen_q3_k,          \
              [FR_QUANT_Q4_K] = widen_q4_k,     [FR_QUANT_Q5_K] = widen_q5_k,          \
              [FR_QUANT_Q6_K] = widen_q6_k,     [FR_QUANT_IQ4_NL] = widen_iq4_nl,      \
              [FR_QUANT_IQ4_XS] = widen_iq4_xs, [FR_QUANT_TQ1_0] = widen_tq1_0,        \
              [FR_QUANT_TQ2_0] = widen_tq2_0,   [FR_QUANT_MXFP4] = widen_mxfp4,        \
              [FR_QUANT_Q1_0] = widen_q1_0,     [FR_QUANT_Q2_0] = widen_q2_0}

#endif
