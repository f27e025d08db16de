/* Products in f32 on AVX-512. Every element is the same chain of operations as in the tiles of AVX2, so both give
 * the same bits. Weights are transposed 16 columns at a time by the code for AVX2, which is bound by memory. */
#include "device/cpu/gemm_avx2.h"
#include "device/cpu/gemm_tile_avx512.h"

/* Rows of 320 depths of 4 bytes: 640 KiB of a second cache of 1 MiB or more. */
enum { ROW_PART = 512 };

/* Sixteen columns of a panel as a panel of its own. */
static fr_gemm_panel half_of(const fr_gemm_panel *panel, int64_t half)
{
    fr_gemm_panel part = *panel;
    int64_t first = half * FR_GEMM_COLUMNS;
    int64_t rest = panel->columns - first;
    int64_t offset = rest > 0 ? first * panel->column_step : 0;
    part.source = (const float *)panel->source + offset;
    part.columns = rest < 0 ? 0 : rest < FR_GEMM_COLUMNS ? rest : FR_GEMM_COLUMNS;
    return part;
}

/* ---- packing ------------------------------------------------------------------------------ */

/* Sixteen depths of up to ROWS rows at a time: masks keep reads within the rows and writes within the tile. */
static void pack_left(const fr_gemm_rows *rows, float *out)
{
    const __mmask16 present = fr_avx512_first_lanes(rows->rows);
    for (int64_t d = 0; d < rows->depth; d += WIDTH) {
        __m512 r[WIDTH];
        __m512 depths[WIDTH];
        __mmask16 mask = fr_avx512_first_lanes(rows->depth - d);
#pragma GCC unroll 16
        for (int i = 0; i < WIDTH; i++) {
            r[i] = _mm512_setzero_ps();
            if (i < rows->rows) {
                r[i] = _mm512_maskz_loadu_ps(mask, rows->x + i * rows->stride + d);
            }
        }
        fr_avx512_transpose(r, depths);
#pragma GCC unroll 16
        for (int i = 0; i < WIDTH; i++) {
            if (d + i < rows->depth) {
                _mm512_mask_storeu_ps(out + (d + i) * ROWS, present, depths[i]);
            }
        }
    }
}

/* Weights that lie as they are multiplied. */
static void pack_plain(const fr_gemm_panel *panel, float *out)
{
    const float *w = panel->source;
    for (int64_t d = 0; d < panel->depth; d++) {
        const float *row = w + d * panel->depth_step;
        _mm512_store_ps(out + d * COLUMNS, _mm512_loadu_ps(row));
        _mm512_store_ps(out + d * COLUMNS + WIDTH, _mm512_loadu_ps(row + WIDTH));
    }
}

/* A full panel of the backward product is copied; anything else is packed as two panels of AVX2 side by side. */
static void pack_right(const fr_gemm_panel *panel, float *out)
{
    if (panel->columns == COLUMNS && panel->column_step == 1) {
        pack_plain(panel, out);
        return;
    }
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

/* One depth; `rows` is a constant at each call, so that the loop unrolls and the sums stay in registers. */
FR_INLINE void step(int rows, const float *left, const float *right, tile_sum *sum)
{
    __m512 low = _mm512_load_ps(right);
    __m512 high = _mm512_load_ps(right + WIDTH);
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++) {
        __m512 x = _mm512_set1_ps(left[i]);
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
            step(rows, left + (d + k) * ROWS, right + (d + k) * COLUMNS, sum);
        }
    }
    for (; d < tile->depth; d++) {
        step(rows, left + d * ROWS, right + d * COLUMNS, sum);
    }
}

/* The mask holds the columns that exist: none of the high half where the panel has 16 or fewer. */
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
    __mmask16 low = fr_avx512_first_lanes(tile->columns);
    __mmask16 high = fr_avx512_first_lanes(tile->columns - WIDTH);
    fr_avx512_fetch_out(rows, tile);
    sum_products(rows, tile, &sum);
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++) {
        float *out = tile->out + i * tile->out_stride;
        store(tile, low, sum.low[i], out);
        store(tile, high, sum.high[i], out + WIDTH);
    }
}

static void multiply(const fr_gemm_tile *tile)
{
    FR_AVX512_EACH_ROWS(multiply_rows, tile)
}

/* Products of few rows are bound by reading the weights, which the registers of AVX2 do as fast. */
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
    .rows = ROWS,
    .columns = COLUMNS,
    .row_part = ROW_PART,
    .pack_left = pack_left,
    .pack_right = pack_right,
    .multiply = multiply,
    .multiply_narrow = multiply_narrow,
};
