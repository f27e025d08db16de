/*
 * kernels_simd_avx2.h - the 8-lane f32 vector of the kernel bodies, on AVX2 with FMA.
 *
 * For the sources compiled for AVX2 and more. Operations mean the same as in kernels_simd_generic.h, where they are
 * described, and give the same bits.
 */
#ifndef FR_DEVICE_CPU_KERNELS_SIMD_AVX2_H
#define FR_DEVICE_CPU_KERNELS_SIMD_AVX2_H

#include <immintrin.h>
#include <stdint.h>

typedef __m256 v8;

enum { V8_BLOCK_ROWS = 6 }; /* 12 sums, 2 vectors of B, 1 of A: 15 of 16 registers */

static inline v8 v8_set(float x)
{
    return _mm256_set1_ps(x);
}

static inline v8 v8_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline void v8_store(float *p, v8 x)
{
    _mm256_storeu_ps(p, x);
}

static inline __m256i v8_first_lanes(int64_t n)
{
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}

static inline v8 v8_load_first(const float *p, int64_t n)
{
    return n >= 8 ? v8_load(p) : _mm256_maskload_ps(p, v8_first_lanes(n));
}

static inline void v8_store_first(float *p, v8 x, int64_t n)
{
    if (n >= 8) {
        v8_store(p, x);
    } else {
        _mm256_maskstore_ps(p, v8_first_lanes(n), x);
    }
}

static inline v8 v8_keep_first(v8 x, int64_t n, float other)
{
    __m256 keep = _mm256_castsi256_ps(v8_first_lanes(n));
    return n >= 8 ? x : _mm256_blendv_ps(v8_set(other), x, keep);
}

static inline v8 v8_add(v8 a, v8 b)
{
    return _mm256_add_ps(a, b);
}

static inline v8 v8_sub(v8 a, v8 b)
{
    return _mm256_sub_ps(a, b);
}

static inline v8 v8_mul(v8 a, v8 b)
{
    return _mm256_mul_ps(a, b);
}

static inline v8 v8_div(v8 a, v8 b)
{
    return _mm256_div_ps(a, b);
}

static inline v8 v8_fma(v8 a, v8 b, v8 c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline v8 v8_fnma(v8 a, v8 b, v8 c)
{
    return _mm256_fnmadd_ps(a, b, c);
}

static inline v8 v8_max(v8 a, v8 b)
{
    return _mm256_max_ps(a, b);
}

static inline v8 v8_min(v8 a, v8 b)
{
    return _mm256_min_ps(a, b);
}

static inline v8 v8_zero_below(v8 x, v8 key, v8 limit)
{
    return _mm256_andnot_ps(_mm256_cmp_ps(key, limit, _CMP_LT_OQ), x);
}

static inline v8 v8_if_below(v8 key, v8 limit, v8 yes, v8 no)
{
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(key, limit, _CMP_LT_OQ));
}

static inline v8 v8_with_sign(v8 x, v8 sign)
{
    v8 minus = v8_set(-0.0F);
    return _mm256_or_ps(_mm256_andnot_ps(minus, x), _mm256_and_ps(minus, sign));
}

static inline v8 v8_power(v8 shifted)
{
    __m256i bits = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_set1_epi32(0x3f800000)));
}

static inline v8 v8_even(v8 lo, v8 hi)
{
    __m256 mixed = _mm256_shuffle_ps(lo, hi, _MM_SHUFFLE(2, 0, 2, 0));
    return _mm256_castpd_ps(
        _mm256_permute4x64_pd(_mm256_castps_pd(mixed), _MM_SHUFFLE(3, 1, 2, 0)));
}

static inline v8 v8_odd(v8 lo, v8 hi)
{
    __m256 mixed = _mm256_shuffle_ps(lo, hi, _MM_SHUFFLE(3, 1, 3, 1));
    return _mm256_castpd_ps(
        _mm256_permute4x64_pd(_mm256_castps_pd(mixed), _MM_SHUFFLE(3, 1, 2, 0)));
}

static inline void v8_transpose(v8 row[8])
{
    v8 t[8];
    v8 u[8];
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(row[2 * i], row[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(row[2 * i], row[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        const v8 *s = t + 4 * i;
        u[4 * i] = _mm256_shuffle_ps(s[0], s[2], _MM_SHUFFLE(1, 0, 1, 0));
        u[4 * i + 1] = _mm256_shuffle_ps(s[0], s[2], _MM_SHUFFLE(3, 2, 3, 2));
        u[4 * i + 2] = _mm256_shuffle_ps(s[1], s[3], _MM_SHUFFLE(1, 0, 1, 0));
        u[4 * i + 3] = _mm256_shuffle_ps(s[1], s[3], _MM_SHUFFLE(3, 2, 3, 2));
    }
    for (int i = 0; i < 4; i++) {
        row[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
        row[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
}

#endif
