/* The short blocks by hand: a block of four bits has 16 values, which are computed once and looked up. */
#include "model/quant_bodies.h"

#include <immintrin.h>

static inline __m512 scale_of(const uint8_t *at)
{
    uint16_t half = 0;
    memcpy(&half, at, sizeof half);
    return _mm512_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
}

/* As round_bf16. */
static inline __m256i to_bf16(__m512 x)
{
    __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x00400000));
    __mmask16 is_nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    __m512i rounded = _mm512_add_epi32(bits, half);
    rounded = _mm512_mask_blend_epi32(is_nan, rounded, quiet);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

/* ---- four bits ------------------------------------------------------------------------------ */

/* The values of the nibbles 0 to 15. */
static inline __m512 values_q4_0(const uint8_t *block)
{
    const __m512 q =
        _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    return _mm512_mul_ps(q, scale_of(block));
}

static inline __m512 values_q4_1(const uint8_t *block)
{
    const __m512 q =
        _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_add_ps(_mm512_mul_ps(q, scale_of(block)), scale_of(block + 2));
}

static inline __m128i load_16(const uint8_t *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

static inline void look_up(__m512 values, const uint8_t *nibbles, float *out)
{
    __m512i low = _mm512_cvtepu8_epi32(load_16(nibbles));
    _mm512_storeu_ps(out, _mm512_permutexvar_ps(low, values));
    _mm512_storeu_ps(out + HALF,
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

/* ---- eight bits ----------------------------------------------------------------------------- */

static inline __m512 half_block_q8_0(const uint8_t *block, int64_t half)
{
    __m128i bytes = load_16(block + 2 + half * HALF);
    __m512 q = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
    return _mm512_mul_ps(q, scale_of(block));
}

static void widen_q8_0(const uint8_t *blocks, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += SHORT, blocks += 34) {
        _mm512_storeu_ps(out + i, half_block_q8_0(blocks, 0));
        _mm512_storeu_ps(out + i + HALF, half_block_q8_0(blocks, 1));
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

const fr_quant_kernels fr_quant_avx512 = {FR_QUANT_WIDEN,
                                          .to_bf16 = {[FR_QUANT_Q4_0] = convert_q4_0,
                                                      [FR_QUANT_Q4_1] = convert_q4_1,
                                                      [FR_QUANT_Q8_0] = convert_q8_0},
                                          .round_bf16 = round_bf16};
