#include "model/quant_blocks.h"

#include "model/quant.h"

#include <string.h>

/*
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
 */
enum { SHORT = 32, PAIR = 2 * SHORT, LONG = 256, RUNS = 8 };

static float load_half(const uint8_t *at)
{
    uint16_t half = 0;
    memcpy(&half, at, sizeof half);
    return fr_quant_half(half);
}

void fr_quant_widen_q4_0(const uint8_t *blocks, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 18, out += SHORT) {
        float d = load_half(blocks);
        const uint8_t *q = blocks + 2;
        for (int j = 0; j < SHORT / 2; j++) {
            out[j] = (float)((q[j] & 15) - 8) * d;
            out[j + SHORT / 2] = (float)((q[j] >> 4) - 8) * d;
        }
    }
}

void fr_quant_widen_q4_1(const uint8_t *blocks, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 20, out += SHORT) {
        float d = load_half(blocks);
        float m = load_half(blocks + 2);
        const uint8_t *q = blocks + 4;
        for (int j = 0; j < SHORT / 2; j++) {
            out[j] = (float)(q[j] & 15) * d + m;
            out[j + SHORT / 2] = (float)(q[j] >> 4) * d + m;
        }
    }
}

/* Five-bit integers of one block: nibbles plus bit 4 from the 32 bits at `fifth`. */
static void unpack_five_bits(const uint8_t *fifth, const uint8_t *nibbles, int32_t *q)
{
    uint32_t bits = 0;
    memcpy(&bits, fifth, sizeof bits);
    for (int j = 0; j < SHORT / 2; j++) {
        uint32_t low = (bits >> j) & 1U;
        uint32_t high = (bits >> (j + SHORT / 2)) & 1U;
        q[j] = (int32_t)((nibbles[j] & 15U) | (low << 4));
        q[j + SHORT / 2] = (int32_t)((uint32_t)(nibbles[j] >> 4) | (high << 4));
    }
}

void fr_quant_widen_q5_0(const uint8_t *blocks, int64_t n, float *out)
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

void fr_quant_widen_q5_1(const uint8_t *blocks, int64_t n, float *out)
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

void fr_quant_widen_q8_0(const uint8_t *blocks, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 34, out += SHORT) {
        float d = load_half(blocks);
        int8_t q[SHORT];
        memcpy(q, blocks + 2, sizeof q);
        for (int j = 0; j < SHORT; j++) {
            out[j] = (float)q[j] * d;
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

void fr_quant_widen_q4_k(const uint8_t *blocks, int64_t n, float *out)
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

void fr_quant_widen_q5_k(const uint8_t *blocks, int64_t n, float *out)
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

/* One half of a Q6_K block: four runs of 32, in the four bit pairs of each `upper` byte. */
static void widen_six_bits(const uint8_t *lower, const uint8_t *upper,
                           const int8_t *scales, float d, float *out)
{
    for (int run = 0; run < 4; run++, scales += 2, out += SHORT) {
        const uint8_t *nibbles = run % 2 == 0 ? lower : lower + SHORT;
        int nibble_shift = run < 2 ? 0 : 4;
        float scale[2] = {d * (float)scales[0], d * (float)scales[1]};
        for (int j = 0; j < SHORT; j++) {
            int q = ((nibbles[j] >> nibble_shift) & 15) |
                    (((upper[j] >> (2 * run)) & 3) << 4);
            out[j] = scale[j / 16] * (float)(q - 32);
        }
    }
}

void fr_quant_widen_q6_k(const uint8_t *blocks, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += LONG, blocks += 210, out += LONG) {
        int8_t scales[16];
        float d = load_half(blocks + 208);
        memcpy(scales, blocks + 192, sizeof scales);
        widen_six_bits(blocks, blocks + 128, scales, d, out);
        widen_six_bits(blocks + 64, blocks + 160, scales + 8, d, out + 128);
    }
}
