/* Products in f32. Every element is the same chain of operations as in the AVX2 tiles, so both instruction sets give
 * the same bits. */
#include "device/cpu/gemm_avx2.h"
#include "device/cpu/gemm_tile_avx512.h"

enum { ROW_PART = 512 };

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

/* x to bf16, nearest even, kept as f32; NaN stays NaN (its quiet bit is set). */
static __m512 round_bf16(__m512 x)
{
    __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    __m512i rounded = _mm512_add_epi32(bits, half);
    __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x00400000));
    __mmask16 is_nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    __m512i high = _mm512_set1_epi32((int)0xffff0000U);
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_mask_blend_epi32(is_nan, rounded, quiet), high));
}

static void round_all(int64_t n, const float *x, float *out)
{
    for (int64_t i = 0; i < n; i += WIDTH) {
        __mmask16 mask = fr_avx512_first_lanes(n - i);
        __m512 value = _mm512_maskz_loadu_ps(mask, x + i);
        _mm512_mask_storeu_ps(out + i, mask, round_bf16(value));
    }
}

/* ---- packing ------------------------------------------------------------------------------ */

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
                r[i] = rows->round ? round_bf16(r[i]) : r[i];
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

/* Weights that lie as they are multiplied: widened row by row. */
static void pack_plain(const fr_gemm_panel *panel, float *out)
{
    const float *f32 = panel->source;
    const uint16_t *bf16 = panel->source;
    for (int64_t d = 0; d < panel->depth; d++) {
        for (int64_t half = 0; half < HALVES; half++) {
            int64_t at = d * panel->depth_step + half * WIDTH;
            __m512 row;
            if (panel->dtype == FR_F32) {
                row = _mm512_loadu_ps(f32 + at);
            } else {
                __m256i words =
                    _mm256_loadu_si256((const __m256i *)(const void *)(bf16 + at));
                row = _mm512_castsi512_ps(
                    _mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
            }
            _mm512_store_ps(out + d * COLUMNS + half * WIDTH, row);
        }
    }
}

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

/* One depth; `rows` is a constant at each call, so that the loop vanishes and the sums stay in registers. */
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
    .rows = ROWS,
    .columns = COLUMNS,
    .row_part = ROW_PART,
    .round = round_all,
    .pack_left = pack_left,
    .pack_right = pack_right,
    .multiply = multiply,
    .multiply_narrow = multiply_narrow,
};
