/*
 * few_lanes_avx2.h - eight lanes of few.h, for the sources compiled for AVX2 and more.
 */
#ifndef FR_DEVICE_CPU_FEW_LANES_AVX2_H
#define FR_DEVICE_CPU_FEW_LANES_AVX2_H

#include <immintrin.h>

/** Halves added until one lane is left. */
static inline float fr_sum_lanes(__m256 x)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

#endif
