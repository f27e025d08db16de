/*
 * quant_avx512.h - values of blocks of four and eight bits in vectors of 16, for quant_*avx512.c alone; layouts:
 * quant_bodies.h.
 */
#ifndef FR_DEVICE_CPU_QUANT_AVX512_H
#define FR_DEVICE_CPU_QUANT_AVX512_H

#include "device/cpu/quant_kernels.h"
#include "device/cpu/quant_values.h"

#include <immintrin.h>
#include <string.h>

/* The halves at `at` and `at` + 2, by turns. Broadcasting both from memory spares the port that shuffles. */
static inline __m512 two_halves(const uint8_t *at)
{
    int32_t both = 0;
    memcpy(&both, at, sizeof both);
    return _mm512_cvtph_ps(_mm256_set1_epi32(both));
}

/* The values of the nibbles 0 to 15. */
static inline __m512 values_q4_0(const uint8_t *block)
{
    const __m512 q =
        _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    return _mm512_mul_ps(q, _mm512_moveldup_ps(two_halves(block)));
}

/* The product of a half and four bits is exact: nothing is lost by fusing. */
static inline __m512 values_q4_1(const uint8_t *block)
{
    const __m512 q =
        _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512 halves = two_halves(block);
    return _mm512_fmadd_ps(q, _mm512_moveldup_ps(halves), _mm512_movehdup_ps(halves));
}

static inline __m128i load_16(const uint8_t *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

/* 16 whole numbers. */
static inline __m512 load_whole(const void *at)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_16(at)));
}

static inline __m512 values_iq4_nl(const uint8_t *block)
{
    return _mm512_mul_ps(load_whole(IQ4_VALUES), _mm512_moveldup_ps(two_halves(block)));
}

static inline __m512 values_mxfp4(const uint8_t *block)
{
    return _mm512_mul_ps(load_whole(MXFP4_VALUES),
                         _mm512_set1_ps(fr_half_power(*block)));
}

static inline __m512 half_block_q8_0(const uint8_t *block, int64_t half)
{
    return _mm512_mul_ps(load_whole(block + 2 + half * 16),
                         _mm512_moveldup_ps(two_halves(block)));
}

/* fr_bf16_round of device/bf16.h, kept as f32. A NaN is only cut off: those that arithmetic gives are quiet already. */
static inline __m512 rounded(__m512 x)
{
    __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    __mmask16 is_number = _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q);
    bits = _mm512_mask_add_epi32(bits, is_number, bits, half);
    return _mm512_castsi512_ps(
        _mm512_and_si512(bits, _mm512_set1_epi32((int)0xffff0000U)));
}

/** For the table. */
void fr_quant_few_q4_0(const fr_quant_few *few);
void fr_quant_few_q4_1(const fr_quant_few *few);
void fr_quant_few_q8_0(const fr_quant_few *few);
void fr_quant_few_iq4_nl(const fr_quant_few *few);
void fr_quant_few_mxfp4(const fr_quant_few *few);

#endif
