/* 6 x 16 tiles: 12 accumulators, 2 registers of weights, 1 broadcast activation. */
#include "device/cpu/gemm_avx2.h"

#include <string.h>

enum { ROWS = 6, WIDTH = FR_AVX2_WIDTH, COLUMNS = FR_GEMM_COLUMNS, ROW_PART = 256 };

/* x to bf16, nearest even, kept as f32; NaN stays NaN (its quiet bit is set). */
static __m256 round_bf16(__m256 x)
{
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    __m256 rounded = _mm256_castsi256_ps(_mm256_add_epi32(bits, half));
    __m256 quiet = _mm256_or_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x00400000)));
    __m256 is_nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    __m256 high = _mm256_castsi256_ps(_mm256_set1_epi32((int)0xffff0000U));
    return _mm256_and_ps(_mm256_blendv_ps(rounded, quiet, is_nan), high);
}

static void round_all(int64_t n, const float *x, float *out)
{
    int64_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) {
        _mm256_storeu_ps(out + i, round_bf16(_mm256_loadu_ps(x + i)));
    }
    if (i < n) {
        float tail[WIDTH] = {0};
        memcpy(tail, x + i, (size_t)(n - i) * sizeof *x);
        _mm256_storeu_ps(tail, round_bf16(_mm256_loadu_ps(tail)));
        memcpy(out + i, tail, (size_t)(n - i) * sizeof *x);
    }
}

/* ---- packing ----------------------------------------------------------------------------- */

/* Four depths of two rows that lie `gap` floats apart, or of one. */
FR_INLINE __m256 load_rows(const fr_gemm_rows *rows, const float *x, int64_t gap)
{
    __m128 second = gap > 0 ? _mm_loadu_ps(x + gap) : _mm_setzero_ps();
    __m256 pair =
        _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(x)), second, 1);
    return rows->round ? round_bf16(pair) : pair;
}

FR_INLINE void store_depth(__m256 depth, float *out)
{
    _mm_storeu_ps(out, _mm256_castps256_ps128(depth));
    _mm_storel_pi((__m64 *)(void *)(out + 4), _mm256_extractf128_ps(depth, 1));
}

/* Six rows, as many depths as come in fours; returns how many. */
static int64_t pack_left_fast(const fr_gemm_rows *rows, float *out)
{
    int64_t d = 0;
    int64_t stride = rows->stride;
    for (; d + 4 <= rows->depth; d += 4) {
        const float *x = rows->x + d;
        fr_avx2_quad quad = fr_avx2_transpose(
            load_rows(rows, x, 4 * stride), load_rows(rows, x + stride, 4 * stride),
            load_rows(rows, x + 2 * stride, 0), load_rows(rows, x + 3 * stride, 0));
        store_depth(quad.depth0, out + d * ROWS);
        store_depth(quad.depth1, out + (d + 1) * ROWS);
        store_depth(quad.depth2, out + (d + 2) * ROWS);
        store_depth(quad.depth3, out + (d + 3) * ROWS);
    }
    return d;
}

static void pack_left(const fr_gemm_rows *rows, float *out)
{
    int64_t done = rows->rows == ROWS ? pack_left_fast(rows, out) : 0;
    for (int64_t d = done; d < rows->depth; d += WIDTH) {
        int64_t n = rows->depth - d < WIDTH ? rows->depth - d : WIDTH;
        for (int64_t i = 0; i < rows->rows; i++) {
            float rounded[WIDTH];
            const float *x = rows->x + i * rows->stride + d;
            if (rows->round) {
                round_all(n, x, rounded);
                x = rounded;
            }
            for (int64_t k = 0; k < n; k++) {
                out[(d + k) * ROWS + i] = x[k];
            }
        }
    }
}

static float widen(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

void fr_avx2_pack_slowly(const fr_gemm_panel *panel, int64_t first, int64_t pitch,
                         float *out)
{
    const float *f32 = panel->source;
    const uint16_t *bf16 = panel->source;
    for (int64_t d = first; d < panel->depth; d++) {
        for (int64_t j = 0; j < COLUMNS; j++) {
            int64_t at = d * panel->depth_step + j * panel->column_step;
            float value = 0.0F;
            if (j < panel->columns) {
                value = panel->dtype == FR_BF16 ? widen(bf16[at]) : f32[at];
            }
            out[d * pitch + j] = value;
        }
    }
}

static int64_t pack_transposed_f32(const fr_gemm_panel *panel, int64_t pitch,
                                   float *out)
{
    const float *w = panel->source;
    int64_t stride = panel->column_step;
    int64_t d = 0;
    for (; d + 4 <= panel->depth; d += 4) {
        float *at = out + d * pitch;
        fr_avx2_quad low = fr_avx2_transpose_f32(w + d, stride);
        fr_avx2_quad high = fr_avx2_transpose_f32(w + WIDTH * stride + d, stride);
        _mm256_store_ps(at, low.depth0);
        _mm256_store_ps(at + WIDTH, high.depth0);
        _mm256_store_ps(at + pitch, low.depth1);
        _mm256_store_ps(at + pitch + WIDTH, high.depth1);
        _mm256_store_ps(at + 2 * pitch, low.depth2);
        _mm256_store_ps(at + 2 * pitch + WIDTH, high.depth2);
        _mm256_store_ps(at + 3 * pitch, low.depth3);
        _mm256_store_ps(at + 3 * pitch + WIDTH, high.depth3);
    }
    return d;
}

static int64_t pack_transposed_bf16(const fr_gemm_panel *panel, int64_t pitch,
                                    float *out)
{
    const uint16_t *w = panel->source;
    int64_t d = 0;
    for (; d + 8 <= panel->depth; d += 8) {
        fr_avx2_fetch(panel, d);
        fr_avx2_octet octet = fr_avx2_transpose_bf16(w + d, panel->column_step);
        for (int i = 0; i < 8; i++) {
            fr_avx2_row row = fr_avx2_widen(octet.depth[i]);
            _mm256_store_ps(out + (d + i) * pitch, row.low);
            _mm256_store_ps(out + (d + i) * pitch + WIDTH, row.high);
        }
    }
    return d;
}

static int64_t pack_plain(const fr_gemm_panel *panel, int64_t pitch, float *out)
{
    const float *f32 = panel->source;
    const uint16_t *bf16 = panel->source;
    for (int64_t d = 0; d < panel->depth; d++) {
        int64_t at = d * panel->depth_step;
        float *to = out + d * pitch;
        if (panel->dtype == FR_F32) {
            _mm256_store_ps(to, _mm256_loadu_ps(f32 + at));
            _mm256_store_ps(to + WIDTH, _mm256_loadu_ps(f32 + at + WIDTH));
        } else {
            const __m256i *row = (const __m256i *)(const void *)(bf16 + at);
            __m256i words = _mm256_permute4x64_epi64(_mm256_loadu_si256(row), 0xd8);
            fr_avx2_row wide = fr_avx2_widen(words);
            _mm256_store_ps(to, wide.low);
            _mm256_store_ps(to + WIDTH, wide.high);
        }
    }
    return panel->depth;
}

void fr_avx2_pack(const fr_gemm_panel *panel, int64_t pitch, float *out)
{
    int64_t done = 0;
    if (panel->columns == COLUMNS && panel->depth_step != 1) {
        done = pack_plain(panel, pitch, out);
    } else if (panel->columns == COLUMNS && panel->dtype == FR_F32) {
        done = pack_transposed_f32(panel, pitch, out);
    } else if (panel->columns == COLUMNS) {
        done = pack_transposed_bf16(panel, pitch, out);
    }
    fr_avx2_pack_slowly(panel, done, pitch, out);
}

static void pack_right(const fr_gemm_panel *panel, float *out)
{
    fr_avx2_pack(panel, COLUMNS, out);
}

/* ---- the product -------------------------------------------------------------------------- */

/* Named, not an array: compilers then keep all of them in registers. */
typedef struct tile_sum {
    fr_avx2_row row0;
    fr_avx2_row row1;
    fr_avx2_row row2;
    fr_avx2_row row3;
    fr_avx2_row row4;
    fr_avx2_row row5;
} tile_sum;

FR_INLINE void step_row(const float *left, fr_avx2_row w, fr_avx2_row *sum)
{
    __m256 x = _mm256_broadcast_ss(left);
    sum->low = _mm256_fmadd_ps(x, w.low, sum->low);
    sum->high = _mm256_fmadd_ps(x, w.high, sum->high);
}

/* One depth; `rows` is a constant at each call, so that the conditions vanish. */
FR_INLINE void step(int rows, const float *left, const float *right, tile_sum *sum)
{
    fr_avx2_row w = {_mm256_load_ps(right), _mm256_load_ps(right + WIDTH)};
    step_row(left, w, &sum->row0);
    if (rows > 1) {
        step_row(left + 1, w, &sum->row1);
    }
    if (rows > 2) {
        step_row(left + 2, w, &sum->row2);
    }
    if (rows > 3) {
        step_row(left + 3, w, &sum->row3);
    }
    if (rows > 4) {
        step_row(left + 4, w, &sum->row4);
    }
    if (rows > 5) {
        step_row(left + 5, w, &sum->row5);
    }
}

FR_INLINE tile_sum sum_products(int rows, const fr_gemm_tile *tile)
{
    const fr_avx2_row zero = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    tile_sum sum = {zero, zero, zero, zero, zero, zero};
    const float *left = tile->left;
    const float *right = tile->right;
    const char *first = tile->prefetch[0];
    const char *second = tile->prefetch[1];
    int64_t d = 0;
    for (; d + FR_GEMM_PREFETCH <= tile->depth; d += FR_GEMM_PREFETCH) {
        _mm_prefetch(first, _MM_HINT_T1);
        _mm_prefetch(second, _MM_HINT_T1);
        first += tile->prefetch_step;
        second += tile->prefetch_step;
        for (int k = 0; k < FR_GEMM_PREFETCH; k++) {
            step(rows, left + (int64_t)k * ROWS, right + (int64_t)k * COLUMNS, &sum);
        }
        left += FR_GEMM_PREFETCH * ROWS;
        right += FR_GEMM_PREFETCH * COLUMNS;
    }
    for (; d < tile->depth; d++) {
        step(rows, left, right, &sum);
        left += ROWS;
        right += COLUMNS;
    }
    return sum;
}

static void store_part(const fr_gemm_tile *tile, int64_t row, fr_avx2_row sum)
{
    float part[COLUMNS];
    float *out = tile->out + row * tile->out_stride;
    _mm256_storeu_ps(part, sum.low);
    _mm256_storeu_ps(part + WIDTH, sum.high);
    for (int64_t j = 0; j < tile->columns; j++) {
        out[j] = tile->add ? out[j] + part[j] : part[j];
    }
}

FR_INLINE void store_row(const fr_gemm_tile *tile, int64_t row, fr_avx2_row sum)
{
    float *out = tile->out + row * tile->out_stride;
    if (tile->columns < COLUMNS) {
        store_part(tile, row, sum);
        return;
    }
    if (tile->add) {
        sum.low = _mm256_add_ps(_mm256_loadu_ps(out), sum.low);
        sum.high = _mm256_add_ps(_mm256_loadu_ps(out + WIDTH), sum.high);
    }
    _mm256_storeu_ps(out, sum.low);
    _mm256_storeu_ps(out + WIDTH, sum.high);
}

FR_INLINE void multiply_rows(int rows, const fr_gemm_tile *tile)
{
    for (int i = 0; i < rows; i++) {
        _mm_prefetch((const char *)(tile->out + i * tile->out_stride), _MM_HINT_T0);
    }
    tile_sum sum = sum_products(rows, tile);
    store_row(tile, 0, sum.row0);
    if (rows > 1) {
        store_row(tile, 1, sum.row1);
    }
    if (rows > 2) {
        store_row(tile, 2, sum.row2);
    }
    if (rows > 3) {
        store_row(tile, 3, sum.row3);
    }
    if (rows > 4) {
        store_row(tile, 4, sum.row4);
    }
    if (rows > 5) {
        store_row(tile, 5, sum.row5);
    }
}

static void multiply(const fr_gemm_tile *tile)
{
    switch (tile->rows) {
    case 1:
        multiply_rows(1, tile);
        break;
    case 2:
        multiply_rows(2, tile);
        break;
    case 3:
        multiply_rows(3, tile);
        break;
    case 4:
        multiply_rows(4, tile);
        break;
    case 5:
        multiply_rows(5, tile);
        break;
    default:
        multiply_rows(ROWS, tile);
        break;
    }
}

const fr_gemm_kernel fr_gemm_kernel_avx2 = {
    .rows = ROWS,
    .columns = COLUMNS,
    .row_part = ROW_PART,
    .round = round_all,
    .pack_left = pack_left,
    .pack_right = pack_right,
    .multiply = multiply,
    .multiply_narrow = fr_avx2_multiply_narrow,
};
