/* The kernels of AVX2 by the wider processor's instructions: 8 lanes where a sum runs over lanes, so that the bits are
 * the same, 16 in the product of tiles, whose elements are chains of their own. */
#include "device/cpu/kernels_simd_avx2.h"

#include "device/cpu/kernels_table.h"
#include "device/cpu/lanes_avx512.h"

enum { ROWS = 12, WIDTH = 16 };

/* `rows` is a constant at each call, so the loops unroll into registers. */
static inline __attribute__((always_inline)) void
product_block(const fr_tile_product *p, const int rows, int64_t row, int64_t column)
{
    const float *a = p->a + row * p->a_row;
    const float *b = p->b + column;
    float *c = p->c + row * p->ldc + column;
    const __mmask16 mask = fr_avx512_first_lanes(p->n - column);
    __m512 sum[ROWS];
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        sum[r] = p->accumulate ? _mm512_maskz_loadu_ps(mask, c + r * p->ldc)
                               : _mm512_setzero_ps();
    }
    for (int64_t k = 0; k < p->depth; k++) {
        __m512 right = _mm512_loadu_ps(b);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            sum[r] = _mm512_fmadd_ps(_mm512_set1_ps(a[r * p->a_row]), right, sum[r]);
        }
        a += p->a_step;
        b += p->ldb;
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        _mm512_mask_storeu_ps(c + r * p->ldc, mask, sum[r]);
    }
}

static void tile_product(const fr_tile_product *p)
{
    for (int64_t column = 0; column < p->n; column += WIDTH) {
        int64_t row = 0;
        for (; row + ROWS <= p->n_rows; row += ROWS) {
            product_block(p, ROWS, row, column);
        }
        for (; row + 4 <= p->n_rows; row += 4) {
            product_block(p, 4, row, column);
        }
        for (; row < p->n_rows; row++) {
            product_block(p, 1, row, column);
        }
    }
}

const fr_kernels fr_kernels_avx512 = FR_KERNEL_TABLE(tile_product);
