/*
 * kernels_product.h - the product of tiles on the 8-lane vector.
 *
 * Included after kernels_math.h. Every element of a product is one chain of multiply-adds over k in
 * ascending order, whichever block it falls into: blocks of fewer rows or columns change nothing.
 */
#ifndef FR_DEVICE_CPU_KERNELS_PRODUCT_H
#define FR_DEVICE_CPU_KERNELS_PRODUCT_H

#include "device/cpu/inline.h"

/* `rows` and `unit_step` are constants at each call, so the loops unroll into registers. */
FR_INLINE void product_block(const fr_tile_product *p, const int rows,
                             const bool unit_step, int64_t row, int64_t column)
{
    const int64_t step = unit_step ? 1 : p->a_step;
    const int64_t a_row = unit_step ? p->a_row : 1;
    const float *a = p->a + row * a_row;
    const float *b = p->b + column;
    float *c = p->c + row * p->ldc + column;
    const int64_t lanes = p->n - column;
    v8 left[V8_BLOCK_ROWS];
    v8 right[V8_BLOCK_ROWS];
    for (int r = 0; r < rows; r++) {
        bool loads = p->accumulate;
        left[r] = loads ? v8_load_first(c + r * p->ldc, lanes) : v8_set(0);
        right[r] = loads && lanes > 8 ? v8_load_first(c + r * p->ldc + 8, lanes - 8)
                                      : v8_set(0);
    }
    for (int64_t k = 0; k < p->depth; k++) {
        v8 b0 = v8_load(b);
        v8 b1 = v8_load(b + 8);
        for (int r = 0; r < rows; r++) {
            v8 value = v8_set(a[r * a_row]);
            left[r] = v8_fma(value, b0, left[r]);
            right[r] = v8_fma(value, b1, right[r]);
        }
        a += step;
        b += p->ldb;
    }
    for (int r = 0; r < rows; r++) {
        v8_store_first(c + r * p->ldc, left[r], lanes);
        if (lanes > 8) {
            v8_store_first(c + r * p->ldc + 8, right[r], lanes - 8);
        }
    }
}

FR_INLINE void product_column(const fr_tile_product *p, const bool unit_step,
                              int64_t column)
{
    int64_t row = 0;
    for (; row + V8_BLOCK_ROWS <= p->n_rows; row += V8_BLOCK_ROWS) {
        product_block(p, V8_BLOCK_ROWS, unit_step, row, column);
    }
    for (; row + 2 <= p->n_rows; row += 2) {
        product_block(p, 2, unit_step, row, column);
    }
    if (row < p->n_rows) {
        product_block(p, 1, unit_step, row, column);
    }
}

static void tile_product(const fr_tile_product *p)
{
    for (int64_t column = 0; column < p->n; column += 16) {
        if (p->a_step == 1) {
            product_column(p, true, column);
        } else {
            product_column(p, false, column);
        }
    }
}

#endif
