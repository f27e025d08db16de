/*
 * gemm_fixed_body_avx512.h - products in fixed point on AVX-512: two depths of 16 columns at a time.
 *
 * Included once by each gemm_fixed_<isa>.c, which defines before it:
 *   add_products(sum, x, w): sum + x w in 32 bits, two products of 16 bits a lane; always inlined
 */
#ifndef FR_DEVICE_CPU_GEMM_FIXED_BODY_AVX512_H
#define FR_DEVICE_CPU_GEMM_FIXED_BODY_AVX512_H

#include "base/integer.h"
#include "device/cpu/gemm_fixed_avx512.h"

enum {
    ROW_PART = 1024
}; /* x 640 depths x 2 bytes: 1.25 MiB, which second caches of recent server processors hold */

typedef struct tile_sum {
    __m512i low[ROWS];
    __m512i high[ROWS];
} tile_sum;

/* A pair of depths; `rows` is a constant at each call, so that the loop unrolls and the sums stay in registers. */
FR_INLINE void step(int rows, const int32_t *left, const int32_t *right, tile_sum *sum)
{
    __m512i low = _mm512_loadu_si512(right);
    __m512i high = _mm512_loadu_si512(right + WIDTH);
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++) {
        __m512i x = _mm512_set1_epi32(left[i]);
        sum->low[i] = add_products(sum->low[i], x, low);
        sum->high[i] = add_products(sum->high[i], x, high);
    }
}

/* Memory to fetch meanwhile, see fr_gemm_tile. */
typedef struct fetch {
    const char *at[2];
    int64_t step;
} fetch;

FR_INLINE void sum_run(int rows, int64_t n_pairs, const int32_t *left,
                       const int32_t *right, fetch *next, tile_sum *sum)
{
    enum { PAIRS = FR_GEMM_PREFETCH / 2 };
    int64_t d = 0;
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++) {
        sum->low[i] = _mm512_setzero_si512();
        sum->high[i] = _mm512_setzero_si512();
    }
    for (; d + PAIRS <= n_pairs; d += PAIRS) {
        _mm_prefetch(next->at[0], _MM_HINT_T1);
        _mm_prefetch(next->at[1], _MM_HINT_T1);
        next->at[0] += next->step;
        next->at[1] += next->step;
        for (int64_t k = 0; k < PAIRS; k++) {
            step(rows, left + (d + k) * ROWS, right + (d + k) * COLUMNS, sum);
        }
    }
    for (; d < n_pairs; d++) {
        step(rows, left + d * ROWS, right + d * COLUMNS, sum);
    }
}

FR_INLINE void add_run(__mmask16 mask, bool add, __m512i sum, __m512 scale, float *out)
{
    __m512 before = add ? _mm512_maskz_loadu_ps(mask, out) : _mm512_setzero_ps();
    _mm512_mask_storeu_ps(out, mask,
                          _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, before));
}

FR_INLINE void multiply_rows(int rows, const fr_gemm_tile *tile)
{
    const __mmask16 low = fr_avx512_first_lanes(tile->columns);
    const __mmask16 high = fr_avx512_first_lanes(tile->columns - WIDTH);
    const float *left = tile->left;
    const float *right = tile->right;
    fetch next = {{tile->prefetch[0], tile->prefetch[1]}, tile->prefetch_step};
    int64_t run = fr_gemm_run(tile->depth);
    bool add = tile->add;
    fr_avx512_fetch_out(rows, tile);
    for (int64_t d = 0; d < tile->depth; d += run) {
        tile_sum sum;
        int64_t n = fr_min(tile->depth - d, run);
        int64_t n_pairs = (n + 1) / 2;
        const __m512 low_scale = _mm512_loadu_ps(right);
        const __m512 high_scale = _mm512_loadu_ps(right + WIDTH);
        sum_run(rows, n_pairs, (const int32_t *)(const void *)(left + TILE_SCALES),
                (const int32_t *)(const void *)(right + COLUMNS), &next, &sum);
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++) {
            float *out = tile->out + i * tile->out_stride;
            __m512 scale = _mm512_set1_ps(left[i]);
            add_run(low, add, sum.low[i], _mm512_mul_ps(low_scale, scale), out);
            add_run(high, add, sum.high[i], _mm512_mul_ps(high_scale, scale),
                    out + WIDTH);
        }
        add = true;
        left += TILE_SCALES + n_pairs * ROWS;
        right += COLUMNS + n_pairs * COLUMNS;
    }
}

static void multiply(const fr_gemm_tile *tile)
{
    FR_AVX512_EACH_ROWS(multiply_rows, tile)
}

#define FR_GEMM_FIXED_AVX512                                                           \
    {                                                                                  \
        .rows = ROWS, .columns = COLUMNS, .row_part = ROW_PART, .is_fixed = true,      \
        .pack_left = fr_avx512_pack_fixed_left,                                        \
        .pack_right = fr_avx512_pack_fixed_right, .multiply = multiply,                \
    }

#endif
