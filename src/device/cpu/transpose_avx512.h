/*
 * transpose_avx512.h - sixteen registers of sixteen lanes, turned; for the sources compiled for AVX-512.
 */
#ifndef FR_DEVICE_CPU_TRANSPOSE_AVX512_H
#define FR_DEVICE_CPU_TRANSPOSE_AVX512_H

#include "device/cpu/lanes_avx512.h"

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
