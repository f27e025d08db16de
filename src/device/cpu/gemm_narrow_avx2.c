/* Few rows (generation): the weights are read once, so they are transposed in registers and used there.
 * Every element is the same chain of operations as in the tiles of gemm_kernel_avx2.c. */
#include "device/cpu/gemm_avx2.h"

enum { COLUMNS = FR_GEMM_COLUMNS, WIDTH = FR_AVX2_WIDTH };

/* Eight columns of up to four rows. */
typedef struct half_sum {
    __m256 row0;
    __m256 row1;
    __m256 row2;
    __m256 row3;
} half_sum;

typedef struct narrow_sum {
    half_sum low;
    half_sum high;
} narrow_sum;

/* One depth; `rows` is a constant at each call, so that compilers drop the conditions. */
FR_INLINE void step(int rows, const float *left, __m256 w, half_sum *sum)
{
    sum->row0 = _mm256_fmadd_ps(_mm256_broadcast_ss(left), w, sum->row0);
    if (rows > 1) {
        sum->row1 = _mm256_fmadd_ps(_mm256_broadcast_ss(left + 1), w, sum->row1);
    }
    if (rows > 2) {
        sum->row2 = _mm256_fmadd_ps(_mm256_broadcast_ss(left + 2), w, sum->row2);
    }
    if (rows > 3) {
        sum->row3 = _mm256_fmadd_ps(_mm256_broadcast_ss(left + 3), w, sum->row3);
    }
}

FR_INLINE void step_quad(int rows, const float *left, int64_t left_step, fr_avx2_quad w,
                         half_sum *sum)
{
    step(rows, left, w.depth0, sum);
    step(rows, left + left_step, w.depth1, sum);
    step(rows, left + 2 * left_step, w.depth2, sum);
    step(rows, left + 3 * left_step, w.depth3, sum);
}

/* Four depths of eight columns at a time become four registers with one depth each. @return the depths that are
 * done */
FR_INLINE int64_t sum_transposed(int rows, const fr_gemm_tile *tile,
                                 const fr_gemm_panel *panel, narrow_sum *sum)
{
    const float *w = panel->source;
    int64_t stride = panel->column_step;
    int64_t d = 0;
    for (; d + 4 <= tile->depth; d += 4) {
        const float *left = tile->left + d * tile->left_step;
        step_quad(rows, left, tile->left_step, fr_avx2_transpose_f32(w + d, stride),
                  &sum->low);
        step_quad(rows, left, tile->left_step,
                  fr_avx2_transpose_f32(w + WIDTH * stride + d, stride), &sum->high);
    }
    return d;
}

/* The depths that do not fill a transposition. */
FR_INLINE void sum_rest(int rows, const fr_gemm_tile *tile, const fr_gemm_panel *panel,
                        int64_t done, narrow_sum *sum)
{
    float rest[4 * COLUMNS];
    fr_gemm_panel part = *panel;
    part.source = (const float *)panel->source + done;
    part.depth = tile->depth - done;
    fr_avx2_pack_slowly(&part, 0, COLUMNS, rest);
    for (int64_t d = 0; d < part.depth; d++) {
        const float *left = tile->left + (done + d) * tile->left_step;
        step(rows, left, _mm256_loadu_ps(rest + d * COLUMNS), &sum->low);
        step(rows, left, _mm256_loadu_ps(rest + d * COLUMNS + WIDTH), &sum->high);
    }
}

FR_INLINE void store(const fr_gemm_tile *tile, int64_t row, __m256 low, __m256 high)
{
    float *out = tile->out + row * tile->out_stride;
    if (tile->add) {
        low = _mm256_add_ps(_mm256_loadu_ps(out), low);
        high = _mm256_add_ps(_mm256_loadu_ps(out + WIDTH), high);
    }
    _mm256_storeu_ps(out, low);
    _mm256_storeu_ps(out + WIDTH, high);
}

FR_INLINE void multiply(int rows, const fr_gemm_tile *tile, const fr_gemm_panel *panel)
{
    __m256 zero = _mm256_setzero_ps();
    narrow_sum sum = {{zero, zero, zero, zero}, {zero, zero, zero, zero}};
    int64_t done = sum_transposed(rows, tile, panel, &sum);
    if (done < tile->depth) {
        sum_rest(rows, tile, panel, done, &sum);
    }
    store(tile, 0, sum.low.row0, sum.high.row0);
    if (rows > 1) {
        store(tile, 1, sum.low.row1, sum.high.row1);
    }
    if (rows > 2) {
        store(tile, 2, sum.low.row2, sum.high.row2);
    }
    if (rows > 3) {
        store(tile, 3, sum.low.row3, sum.high.row3);
    }
}

/* One copy of the code for each number of rows, so that sums stay in registers. */
void fr_avx2_multiply_narrow(const fr_gemm_tile *tile, const fr_gemm_panel *panel)
{
    switch (tile->rows) {
    case 1:
        multiply(1, tile, panel);
        break;
    case 2:
        multiply(2, tile, panel);
        break;
    case 3:
        multiply(3, tile, panel);
        break;
    default:
        multiply(FR_GEMM_NARROW_ROWS, tile, panel);
        break;
    }
}
