/*
 * gemm_avx2.h - registers of weights in the order that the AVX2 kernels multiply: one register a depth and
 * eight columns. Only for sources compiled for AVX2.
 */
#ifndef FR_DEVICE_CPU_GEMM_AVX2_H
#define FR_DEVICE_CPU_GEMM_AVX2_H

#include "device/cpu/gemm.h"

#include <immintrin.h>

#define FR_INLINE static inline __attribute__((always_inline))

enum { FR_AVX2_WIDTH = 8 };

/** Sixteen columns of one depth. */
typedef struct fr_avx2_row {
    __m256 low;
    __m256 high;
} fr_avx2_row;

/** Eight columns of four depths. */
typedef struct fr_avx2_quad {
    __m256 depth0;
    __m256 depth1;
    __m256 depth2;
    __m256 depth3;
} fr_avx2_quad;

/** Sixteen columns of eight depths, see fr_avx2_widen. */
typedef struct fr_avx2_octet {
    __m256i depth[8];
} fr_avx2_octet;

/* Columns j and j + 4 in one register: [W[j, 0..3] | W[j + 4, 0..3]]. */
FR_INLINE __m256 fr_avx2_load_pair(const float *w, int64_t stride)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(w)),
                                _mm_loadu_ps(w + 4 * stride), 1);
}

/** A 4 x 4 transposition in each half. */
FR_INLINE fr_avx2_quad fr_avx2_transpose(__m256 r0, __m256 r1, __m256 r2, __m256 r3)
{
    __m256 low01 = _mm256_unpacklo_ps(r0, r1);
    __m256 low23 = _mm256_unpacklo_ps(r2, r3);
    __m256 high01 = _mm256_unpackhi_ps(r0, r1);
    __m256 high23 = _mm256_unpackhi_ps(r2, r3);
    fr_avx2_quad quad = {_mm256_shuffle_ps(low01, low23, 0x44),
                         _mm256_shuffle_ps(low01, low23, 0xee),
                         _mm256_shuffle_ps(high01, high23, 0x44),
                         _mm256_shuffle_ps(high01, high23, 0xee)};
    return quad;
}

/** Eight columns, `stride` elements apart, of four depths. */
FR_INLINE fr_avx2_quad fr_avx2_transpose_f32(const float *w, int64_t stride)
{
    return fr_avx2_transpose(fr_avx2_load_pair(w, stride),
                             fr_avx2_load_pair(w + stride, stride),
                             fr_avx2_load_pair(w + 2 * stride, stride),
                             fr_avx2_load_pair(w + 3 * stride, stride));
}

/* Columns j and j + 4 in one register: eight depths of each. */
FR_INLINE __m256i fr_avx2_load_pair_bf16(const uint16_t *w, int64_t stride)
{
    const __m128i *low = (const __m128i *)(const void *)w;
    const __m128i *high = (const __m128i *)(const void *)(w + 4 * stride);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)),
                                   _mm_loadu_si128(high), 1);
}

/** 8 x 8 transpositions of 16-bit words in both halves. The low half takes columns 0-3 and 8-11, the high
 * half 4-7 and 12-15, so that fr_avx2_widen leaves them in order. */
FR_INLINE fr_avx2_octet fr_avx2_transpose_bf16(const uint16_t *w, int64_t stride)
{
    fr_avx2_octet octet;
    __m256i r[8];
    __m256i s[8];
    for (int64_t i = 0; i < 4; i++) {
        r[i] = fr_avx2_load_pair_bf16(w + i * stride, stride);
        r[i + 4] = fr_avx2_load_pair_bf16(w + (i + 8) * stride, stride);
    }
    for (int i = 0; i < 4; i++) {
        s[2 * i] = _mm256_unpacklo_epi16(r[2 * i], r[2 * i + 1]);
        s[2 * i + 1] = _mm256_unpackhi_epi16(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        r[4 * i] = _mm256_unpacklo_epi32(s[4 * i], s[4 * i + 2]);
        r[4 * i + 1] = _mm256_unpackhi_epi32(s[4 * i], s[4 * i + 2]);
        r[4 * i + 2] = _mm256_unpacklo_epi32(s[4 * i + 1], s[4 * i + 3]);
        r[4 * i + 3] = _mm256_unpackhi_epi32(s[4 * i + 1], s[4 * i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        octet.depth[2 * i] = _mm256_unpacklo_epi64(r[i], r[i + 4]);
        octet.depth[2 * i + 1] = _mm256_unpackhi_epi64(r[i], r[i + 4]);
    }
    return octet;
}

/** bf16 columns [0-3, 8-11 | 4-7, 12-15] to f32: a zero below each word. */
FR_INLINE fr_avx2_row fr_avx2_widen(__m256i columns)
{
    __m256i zero = _mm256_setzero_si256();
    fr_avx2_row row = {_mm256_castsi256_ps(_mm256_unpacklo_epi16(zero, columns)),
                       _mm256_castsi256_ps(_mm256_unpackhi_epi16(zero, columns))};
    return row;
}

/** Fetch as much of the next panel as eight depths of bf16 are: four cache lines. The processor foresees too
 * little of runs as short as a panel's columns; in f32, with runs twice as long, it does better alone. */
FR_INLINE void fr_avx2_fetch(const fr_gemm_panel *panel, int64_t depth)
{
    const char *next = panel->next;
    if (next != NULL) {
        next += depth * FR_GEMM_COLUMNS * (int64_t)sizeof(uint16_t);
        _mm_prefetch(next, _MM_HINT_T1);
        _mm_prefetch(next + 64, _MM_HINT_T1);
        _mm_prefetch(next + 128, _MM_HINT_T1);
        _mm_prefetch(next + 192, _MM_HINT_T1);
    }
}

/** Any part of a panel of at most FR_GEMM_COLUMNS columns, element by element: depths from `first` on to
 * out[first, :] ..., whose rows lie `pitch` floats apart; absent columns become 0. */
void fr_avx2_pack_slowly(const fr_gemm_panel *panel, int64_t first, int64_t pitch,
                         float *out);

/** A whole panel of at most FR_GEMM_COLUMNS columns (also none) to rows `pitch` floats apart. */
void fr_avx2_pack(const fr_gemm_panel *panel, int64_t pitch, float *out);

/** Multiply rows (1 .. FR_GEMM_NARROW_ROWS) with a whole transposed panel where it lies. */
void fr_avx2_multiply_narrow(const fr_gemm_tile *tile, const fr_gemm_panel *panel);

#endif
