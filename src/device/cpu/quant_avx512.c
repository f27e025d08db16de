/* Blocks of four and eight bits by hand: a run of four bits has 16 values, which are computed once and looked up. */
#include "device/cpu/quant_avx512.h"
#include "device/cpu/quant_bodies.h"

static inline __m256i to_bf16(__m512 x)
{
    return _mm512_cvtepi32_epi16(
        _mm512_srli_epi32(_mm512_castps_si512(rounded(x)), 16));
}

/* ---- four bits ------------------------------------------------------------------------------ */

/* A byte holds two numbers: element i in the low half, element i + 16 in the high one. permutexvar ignores the
 * upper bits of an index. */
static inline void look_up(__m512 values, const uint8_t *nibbles, float *out)
{
    __m512i low = _mm512_cvtepu8_epi32(load_16(nibbles));
    _mm512_storeu_ps(out, _mm512_permutexvar_ps(low, values));
    _mm512_storeu_ps(out + 16,
                     _mm512_permutexvar_ps(_mm512_srli_epi32(low, 4), values));
}

static inline void look_up_bf16(__m512 values, const uint8_t *nibbles, uint16_t *out)
{
    __m512i table = _mm512_castsi256_si512(to_bf16(values));
    __m256i bytes = _mm256_cvtepu8_epi16(load_16(nibbles));
    __m256i low = _mm256_and_si256(bytes, _mm256_set1_epi16(15));
    __m512i both =
        _mm512_inserti64x4(_mm512_castsi256_si512(low), _mm256_srli_epi16(bytes, 4), 1);
    _mm512_storeu_si512(out, _mm512_permutexvar_epi16(both, table));
}

/* A block has 2 bytes of scale before the halves; q4_1 has a minimum as well and so 4. */
static void widen_q4_0(const uint8_t *blocks, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 18) {
        look_up(values_q4_0(blocks), blocks + 2, out + i);
    }
}

static void widen_q4_1(const uint8_t *blocks, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 20) {
        look_up(values_q4_1(blocks), blocks + 4, out + i);
    }
}

static void convert_q4_0(const uint8_t *blocks, int64_t n, uint16_t *out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 18) {
        look_up_bf16(values_q4_0(blocks), blocks + 2, out + i);
    }
}

static void convert_q4_1(const uint8_t *blocks, int64_t n, uint16_t *out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 20) {
        look_up_bf16(values_q4_1(blocks), blocks + 4, out + i);
    }
}

/* ---- four bits that choose from a table ----------------------------------------------------- */

static void widen_iq4_nl(const uint8_t *blocks, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 18) {
        look_up(values_iq4_nl(blocks), blocks + 2, out + i);
    }
}

static void convert_iq4_nl(const uint8_t *blocks, int64_t n, uint16_t *out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 18) {
        look_up_bf16(values_iq4_nl(blocks), blocks + 2, out + i);
    }
}

static void widen_mxfp4(const uint8_t *blocks, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 17) {
        look_up(values_mxfp4(blocks), blocks + 1, out + i);
    }
}

static void convert_mxfp4(const uint8_t *blocks, int64_t n, uint16_t *out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 17) {
        look_up_bf16(values_mxfp4(blocks), blocks + 1, out + i);
    }
}

static void widen_iq4_xs(const uint8_t *blocks, int64_t n, float *out)
{
    const __m512 values = load_whole(IQ4_VALUES);
    for (int64_t i = 0; i < n; i += LONG, blocks += 136) {
        float scale[RUNS];
        unpack_scales_iq4_xs(blocks, scale);
        for (int run = 0; run < RUNS; run++, out += SHORT) {
            look_up(_mm512_mul_ps(values, _mm512_set1_ps(scale[run])),
                    blocks + 8 + run * HALF, out);
        }
    }
}

static void convert_iq4_xs(const uint8_t *blocks, int64_t n, uint16_t *out)
{
    const __m512 values = load_whole(IQ4_VALUES);
    for (int64_t i = 0; i < n; i += LONG, blocks += 136) {
        float scale[RUNS];
        unpack_scales_iq4_xs(blocks, scale);
        for (int run = 0; run < RUNS; run++, out += SHORT) {
            look_up_bf16(_mm512_mul_ps(values, _mm512_set1_ps(scale[run])),
                         blocks + 8 + run * HALF, out);
        }
    }
}

/* ---- eight bits ----------------------------------------------------------------------------- */

static void widen_q8_0(const uint8_t *blocks, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 34) {
        _mm512_storeu_ps(out + i, half_block_q8_0(blocks, 0));
        _mm512_storeu_ps(out + i + 16, half_block_q8_0(blocks, 1));
    }
}

static void convert_q8_0(const uint8_t *blocks, int64_t n, uint16_t *out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 34) {
        __m256i low = to_bf16(half_block_q8_0(blocks, 0));
        __m256i high = to_bf16(half_block_q8_0(blocks, 1));
        _mm512_storeu_si512(out + i,
                            _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
    }
}

const fr_quant_kernels fr_quant_avx512 = {
    FR_QUANT_WIDEN,
    .to_bf16 = {[FR_QUANT_Q4_0] = convert_q4_0,
                [FR_QUANT_Q4_1] = convert_q4_1,
                [FR_QUANT_Q8_0] = convert_q8_0,
                [FR_QUANT_IQ4_NL] = convert_iq4_nl,
                [FR_QUANT_IQ4_XS] = convert_iq4_xs,
                [FR_QUANT_MXFP4] = convert_mxfp4},
    .few = {[FR_QUANT_Q4_0] = fr_quant_few_q4_0,
            [FR_QUANT_Q4_1] = fr_quant_few_q4_1,
            [FR_QUANT_Q8_0] = fr_quant_few_q8_0,
            [FR_QUANT_IQ4_NL] = fr_quant_few_iq4_nl,
            [FR_QUANT_MXFP4] = fr_quant_few_mxfp4},
    .round_bf16 = round_bf16,
};
