/* Products in f32 on AVX2. Tiles are 6 x 16: 12 sums, 2 registers of weights and 1 broadcast activation of 16
 * registers. */
#include "device/cpu/gemm_avx2.h"

enum {
    ROWS = FR_AVX2_ROWS,
    WIDTH = FR_AVX2_WIDTH,
    COLUMNS = FR_GEMM_COLUMNS,
    ROW_PART = 256 /* x 320 depths x 4 bytes: 320 KiB of the second cache */
};

/* ---- packing ----------------------------------------------------------------------------- */

/* Four depths of two rows that lie `gap` floats apart, or of one. */
FR_INLINE __m256 load_rows(const float *x, int64_t gap)
{
    __m128 second = gap > 0 ? _mm_loadu_ps(x + gap) : _mm_setzero_ps();
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(x)), second, 1);
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
            load_rows(x, 4 * stride), load_rows(x + stride, 4 * stride),
            load_rows(x + 2 * stride, 0), load_rows(x + 3 * stride, 0));
        store_depth(quad.depth0, out + d * ROWS);
        store_depth(quad.depth1, out + (d + 1) * ROWS);
        store_depth(quad.depth2, out + (d + 2) * ROWS);
        store_depth(quad.depth3, out + (d + 3) * ROWS);
    }
    return d;
}

/* Packed as [depth][ROWS], so that one step of the product reads neighbouring numbers. Tiles with fewer rows leave
 * gaps, which are never read. */
static void pack_left(const fr_gemm_rows *rows, float *out)
{
    int64_t done = rows->rows == ROWS ? pack_left_fast(rows, out) : 0;
    for (int64_t i = 0; i < rows->rows; i++) {
        const float *x = rows->x + i * rows->stride;
        for (int64_t d = done; d < rows->depth; d++) {
            out[d * ROWS + i] = x[d];
        }
    }
}

/* For what the fast ways leave over: the last depths, or a panel with fewer columns, whose missing ones become 0. */
void fr_avx2_pack_slowly(const fr_gemm_panel *panel, int64_t first, int64_t pitch,
                         float *out)
{
    const float *w = panel->source;
    for (int64_t d = first; d < panel->depth; d++) {
        for (int64_t j = 0; j < COLUMNS; j++) {
            int64_t at = d * panel->depth_step + j * panel->column_step;
            out[d * pitch + j] = j < panel->columns ? w[at] : 0.0F;
        }
    }
}

/* Forward: columns are rows in memory. @return the depths that are packed, a multiple of 4 */
static int64_t pack_transposed(const fr_gemm_panel *panel, int64_t pitch, float *out)
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

/* Backward: the columns of a depth follow one another in memory. */
static int64_t pack_plain(const fr_gemm_panel *panel, int64_t pitch, float *out)
{
    const float *w = panel->source;
    for (int64_t d = 0; d < panel->depth; d++) {
        const float *row = w + d * panel->depth_step;
        float *to = out + d * pitch;
        _mm256_store_ps(to, _mm256_loadu_ps(row));
        _mm256_store_ps(to + WIDTH, _mm256_loadu_ps(row + WIDTH));
    }
    return panel->depth;
}

void fr_avx2_pack(const fr_gemm_panel *panel, int64_t pitch, float *out)
{
    int64_t done = 0;
    if (panel->columns == COLUMNS) {
        done = panel->depth_step == 1 ? pack_transposed(panel, pitch, out)
                                      : pack_plain(panel, pitch, out);
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

/* One depth; `rows` is a constant at each call, so that compilers drop the conditions. */
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

/* Two cache lines of the next panel are fetched for every FR_GEMM_PREFETCH depths: their loading hides behind the
 * products. */
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

/* The columns of the last panel may be fewer; what lies behind them belongs to the next row. */
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

/* The output is fetched first and needed last. */
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
    FR_AVX2_EACH_ROWS(multiply_rows, tile)
}

const fr_gemm_kernel fr_gemm_kernel_avx2 = {
    .rows = ROWS,
    .columns = COLUMNS,
    .row_part = ROW_PART,
    .pack_left = pack_left,
    .pack_right = pack_right,
    .multiply = multiply,
    .multiply_narrow = fr_avx2_multiply_narrow,
};
