/*
 * gemm_avx2.h - registers of weights in the order that the AVX2 kernels multiply: one register a depth and
 * eight columns. Only for sources compiled for AVX2.
 */
#ifndef FR_DEVICE_CPU_GEMM_AVX2_H
#define FR_DEVICE_CPU_GEMM_AVX2_H

#include "device/cpu/gemm.h"
#include "device/cpu/inline.h"

#include <immintrin.h>

enum { FR_AVX2_WIDTH = 8, FR_AVX2_ROWS = 6 };

#define FR_AVX2_ROWS_CASE(n, multiply_rows, tile)                                      \
    case n:                                                                            \
        multiply_rows(n, tile);                                                        \
        break;

/** multiply_rows(tile->rows, tile), the rows being a constant in each case. */
#define FR_AVX2_EACH_ROWS(multiply_rows, tile)                                         \
    switch ((tile)->rows) {                                                            \
        FR_AVX2_ROWS_CASE(1, multiply_rows, tile)                                      \
        FR_AVX2_ROWS_CASE(2, multiply_rows, tile)                                      \
        FR_AVX2_ROWS_CASE(3, multiply_rows, tile)                                      \
        FR_AVX2_ROWS_CASE(4, multiply_rows, tile)                                      \
        FR_AVX2_ROWS_CASE(5, multiply_rows, tile)                                      \
    default:                                                                           \
        multiply_rows(FR_AVX2_ROWS, tile);                                             \
        break;                                                                         \
    }

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

/** Any part of a panel of at most FR_GEMM_COLUMNS columns, element by element: depths from `first` on to
 * out[first, :] ..., whose rows lie `pitch` floats apart; absent columns become 0. */
void fr_avx2_pack_slowly(const fr_gemm_panel *panel, int64_t first, int64_t pitch,
                         float *out);

/** A whole panel of at most FR_GEMM_COLUMNS columns (also none) to rows `pitch` floats apart. */
void fr_avx2_pack(const fr_gemm_panel *panel, int64_t pitch, float *out);

/** Multiply rows (1 .. FR_GEMM_NARROW_ROWS) with a whole transposed panel where it lies. */
void fr_avx2_multiply_narrow(const fr_gemm_tile *tile, const fr_gemm_panel *panel);

#endif
