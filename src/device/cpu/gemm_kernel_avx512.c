/* 14 x 32 tiles: 28 accumulators, 2 registers of weights, 1 broadcast activation. Every element is the same
 * chain of operations as in the AVX2 tiles, so both instruction sets give the same bits. */
#include "device/cpu/gemm_avx2.h"

enum { ROWS = 14, WIDTH = 16, COLUMNS = 2 * WIDTH, HALVES = 2, ROW_PART = 512 };

/* Sixteen columns of a panel as a panel of its own. */
static fr_gemm_panel half_of(const fr_gemm_panel *panel, int64_t half)
{
    fr_gemm_panel part = *panel;
    int64_t first = half * FR_GEMM_COLUMNS;
    int64_t rest = panel->columns - first;
    int64_t offset = rest > 0 ? first * panel->column_step : 0;
    part.source =
        (const char *)panel->source + (size_t)offset * fr_dtype_bytes(panel->dtype);
    part.columns = rest < 0 ? 0 : rest < FR_GEMM_COLUMNS ? rest : FR_GEMM_COLUMNS;
    return part;
}

static void pack_right(const fr_gemm_panel *panel, float *out)
{
    for (int64_t half = 0; half < HALVES; half++) {
        fr_gemm_panel part = half_of(panel, half);
        fr_avx2_pack(&part, COLUMNS, out + half * FR_GEMM_COLUMNS);
    }
}

/* ---- the product -------------------------------------------------------------------------- */

typedef struct tile_sum {
    __m512 low[ROWS];
    __m512 high[ROWS];
} tile_sum;

/* One depth; `rows` is a constant at each call, so that the loop vanishes and the sums stay in registers. */
FR_INLINE void step(int rows, const float *left, int64_t stride, const float *right,
                    tile_sum *sum)
{
    __m512 low = _mm512_load_ps(right);
    __m512 high = _mm512_load_ps(right + WIDTH);
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++) {
        __m512 x = _mm512_set1_ps(left[i * stride]);
        sum->low[i] = _mm512_fmadd_ps(x, low, sum->low[i]);
        sum->high[i] = _mm512_fmadd_ps(x, high, sum->high[i]);
    }
}

FR_INLINE void sum_products(int rows, const fr_gemm_tile *tile, tile_sum *sum)
{
    const float *left = tile->left;
    const float *right = tile->right;
    const char *first = tile->prefetch[0];
    const char *second = tile->prefetch[1];
    int64_t stride = tile->depth;
    int64_t d = 0;
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++) {
        sum->low[i] = _mm512_setzero_ps();
        sum->high[i] = _mm512_setzero_ps();
    }
    for (; d + FR_GEMM_PREFETCH <= tile->depth; d += FR_GEMM_PREFETCH) {
        _mm_prefetch(first, _MM_HINT_T1);
        _mm_prefetch(second, _MM_HINT_T1);
        first += tile->prefetch_step;
        second += tile->prefetch_step;
        for (int64_t k = 0; k < FR_GEMM_PREFETCH; k++) {
            step(rows, left + d + k, stride, right + (d + k) * COLUMNS, sum);
        }
    }
    for (; d < tile->depth; d++) {
        step(rows, left + d, stride, right + d * COLUMNS, sum);
    }
}

FR_INLINE __mmask16 first_columns(int64_t n)
{
    return n >= WIDTH ? (__mmask16)0xffff : (__mmask16)((1U << (n > 0 ? n : 0)) - 1);
}

FR_INLINE void store(const fr_gemm_tile *tile, __mmask16 mask, __m512 sum, float *out)
{
    if (tile->add) {
        sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), sum);
    }
    _mm512_mask_storeu_ps(out, mask, sum);
}

FR_INLINE void multiply_rows(int rows, const fr_gemm_tile *tile)
{
    tile_sum sum;
    __mmask16 low = first_columns(tile->columns);
    __mmask16 high = first_columns(tile->columns - WIDTH);
    sum_products(rows, tile, &sum);
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++) {
        float *out = tile->out + i * tile->out_stride;
        store(tile, low, sum.low[i], out);
        store(tile, high, sum.high[i], out + WIDTH);
    }
}

#define ROWS_CASE(n)                                                                   \
    case n:                                                                            \
        multiply_rows(n, tile);                                                        \
        break;

static void multiply(const fr_gemm_tile *tile)
{
    switch (tile->rows) {
        ROWS_CASE(1)
        ROWS_CASE(2)
        ROWS_CASE(3)
        ROWS_CASE(4)
        ROWS_CASE(5)
        ROWS_CASE(6)
        ROWS_CASE(7)
        ROWS_CASE(8)
        ROWS_CASE(9)
        ROWS_CASE(10)
        ROWS_CASE(11)
        ROWS_CASE(12)
        ROWS_CASE(13)
    default:
        multiply_rows(ROWS, tile);
        break;
    }
}

/* Few rows are bound by reading the weights, which AVX2's registers do as fast. */
static void multiply_narrow(const fr_gemm_tile *tile, const fr_gemm_panel *panel)
{
    for (int64_t half = 0; half < HALVES; half++) {
        fr_gemm_panel part = half_of(panel, half);
        fr_gemm_tile own = *tile;
        own.out += half * FR_GEMM_COLUMNS;
        own.columns = FR_GEMM_COLUMNS;
        fr_avx2_multiply_narrow(&own, &part);
    }
}

const fr_gemm_kernel fr_gemm_kernel_avx512 = {
    ROWS, COLUMNS, ROW_PART, fr_avx2_copy_left, pack_right, multiply, multiply_narrow};
