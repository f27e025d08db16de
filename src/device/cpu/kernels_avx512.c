/* The bodies of AVX2, compiled for AVX-512. Sums over lanes keep 8 lanes, so that the bits stay the same. The
 * product of tiles uses 16: each of its elements is a sum of its own. */
#include "device/cpu/kernels_simd_avx2.h"

#include "device/cpu/kernels_table.h"
#include "device/cpu/lanes_avx512.h"

/* 24 sums, 2 vectors of B, 1 of A: 27 of 32 registers. */
enum { ROWS = 12, WIDTH = 16, VECTORS = 2, GROUP = 4 };

/* `rows` (a multiple of GROUP, or 1) and `vectors` are constants at each call, so the loops unroll into registers.
 * Rows are addressed in groups, whose offsets an address can hold. */
FR_INLINE void product_block(const fr_tile_product *p, const int rows,
                             const int vectors, int64_t row, int64_t column)
{
    const int64_t a_row = p->a_row;
    const float *a[ROWS / GROUP];
    const float *b = p->b + column;
    float *c = p->c + row * p->ldc + column;
    __mmask16 mask[VECTORS];
    __m512 sum[ROWS][VECTORS];
#pragma GCC unroll 3
    for (int g = 0; g * GROUP < rows; g++) {
        a[g] = p->a + (row + g * GROUP) * a_row;
    }
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
        mask[v] = fr_avx512_first_lanes(p->n - column - v * WIDTH);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            sum[r][v] = p->accumulate
                            ? _mm512_maskz_loadu_ps(mask[v], c + r * p->ldc + v * WIDTH)
                            : _mm512_setzero_ps();
        }
    }
    for (int64_t k = 0; k < p->depth; k++) {
        __m512 right[VECTORS];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            right[v] = _mm512_loadu_ps(b + v * WIDTH);
        }
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            __m512 left = _mm512_set1_ps(a[r / GROUP][r % GROUP * a_row]);
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) {
                sum[r][v] = _mm512_fmadd_ps(left, right[v], sum[r][v]);
            }
        }
#pragma GCC unroll 3
        for (int g = 0; g * GROUP < rows; g++) {
            a[g] += p->a_step;
        }
        b += p->ldb;
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            _mm512_mask_storeu_ps(c + r * p->ldc + v * WIDTH, mask[v], sum[r][v]);
        }
    }
}

/* Full blocks first, then groups, then single rows: each number of rows is compiled as a copy of its own. */
FR_INLINE void product_columns(const fr_tile_product *p, const int vectors,
                               int64_t column)
{
    int64_t row = 0;
    for (; row + ROWS <= p->n_rows; row += ROWS) {
        product_block(p, ROWS, vectors, row, column);
    }
    for (; row + GROUP <= p->n_rows; row += GROUP) {
        product_block(p, GROUP, vectors, row, column);
    }
    for (; row < p->n_rows; row++) {
        product_block(p, 1, vectors, row, column);
    }
}

static void tile_product(const fr_tile_product *p)
{
    int64_t column = 0;
    for (; column + WIDTH < p->n; column += VECTORS * WIDTH) {
        product_columns(p, VECTORS, column);
    }
    if (column < p->n) {
        product_columns(p, 1, column);
    }
}

const fr_kernels fr_kernels_avx512 = FR_KERNEL_TABLE(tile_product);
