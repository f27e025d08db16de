/*
 * gemm_tile_avx512.h - the tiles that both kernels for AVX-512 multiply, in f32 and in fixed point. Only for sources
 * compiled for it.
 */
#ifndef FR_DEVICE_CPU_GEMM_TILE_AVX512_H
#define FR_DEVICE_CPU_GEMM_TILE_AVX512_H

#include "device/cpu/gemm.h"
#include "device/cpu/lanes_avx512.h"

/* 28 accumulators, 2 registers of weights and 1 activation fill the registers. */
enum { ROWS = 14, WIDTH = 16, HALVES = 2, COLUMNS = HALVES * WIDTH };

#define FR_AVX512_ROWS_CASE(n, multiply_rows, tile)                                    \
    case n:                                                                            \
        multiply_rows(n, tile);                                                        \
        break;

/** multiply_rows(tile->rows, tile), the rows being a constant in each case. */
#define FR_AVX512_EACH_ROWS(multiply_rows, tile)                                       \
    switch ((tile)->rows) {                                                            \
        FR_AVX512_ROWS_CASE(1, multiply_rows, tile)                                    \
        FR_AVX512_ROWS_CASE(2, multiply_rows, tile)                                    \
        FR_AVX512_ROWS_CASE(3, multiply_rows, tile)                                    \
        FR_AVX512_ROWS_CASE(4, multiply_rows, tile)                                    \
        FR_AVX512_ROWS_CASE(5, multiply_rows, tile)                                    \
        FR_AVX512_ROWS_CASE(6, multiply_rows, tile)                                    \
        FR_AVX512_ROWS_CASE(7, multiply_rows, tile)                                    \
        FR_AVX512_ROWS_CASE(8, multiply_rows, tile)                                    \
        FR_AVX512_ROWS_CASE(9, multiply_rows, tile)                                    \
        FR_AVX512_ROWS_CASE(10, multiply_rows, tile)                                   \
        FR_AVX512_ROWS_CASE(11, multiply_rows, tile)                                   \
        FR_AVX512_ROWS_CASE(12, multiply_rows, tile)                                   \
        FR_AVX512_ROWS_CASE(13, multiply_rows, tile)                                   \
    default:                                                                           \
        multiply_rows(ROWS, tile);                                                     \
        break;                                                                         \
    }

/** Fetch what the tile will be added to. */
FR_INLINE void fr_avx512_fetch_out(int rows, const fr_gemm_tile *tile)
{
    for (int i = 0; i < rows; i++) {
        const char *out = (const char *)(tile->out + i * tile->out_stride);
        _mm_prefetch(out, _MM_HINT_T0);
        _mm_prefetch(out + sizeof(__m512), _MM_HINT_T0);
    }
}

/* Four rows of four 4 x 4 blocks, each block in itself. */
FR_INLINE void fr_avx512_transpose_blocks(__m512 r[4])
{
    __m512 low01 = _mm512_unpacklo_ps(r[0], r[1]);
    __m512 high01 = _mm512_unpackhi_ps(r[0], r[1]);
    __m512 low23 = _mm512_unpacklo_ps(r[2], r[3]);
    __m512 high23 = _mm512_unpackhi_ps(r[2], r[3]);
    r[0] = _mm512_shuffle_ps(low01, low23, 0x44);
    r[1] = _mm512_shuffle_ps(low01, low23, 0xee);
    r[2] = _mm512_shuffle_ps(high01, high23, 0x44);
    r[3] = _mm512_shuffle_ps(high01, high23, 0xee);
}

/** r [16, 16] to out, r being used up: the 4 x 4 blocks in themselves, then the blocks among each other. */
FR_INLINE void fr_avx512_transpose(__m512 r[16], __m512 out[16])
{
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        fr_avx512_transpose_blocks(r + i);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m512 low01 = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        __m512 low23 = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        __m512 high01 = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        __m512 high23 = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
        out[i] = _mm512_shuffle_f32x4(low01, low23, 0x88);
        out[i + 8] = _mm512_shuffle_f32x4(low01, low23, 0xdd);
        out[i + 4] = _mm512_shuffle_f32x4(high01, high23, 0x88);
        out[i + 12] = _mm512_shuffle_f32x4(high01, high23, 0xdd);
    }
}

#endif
