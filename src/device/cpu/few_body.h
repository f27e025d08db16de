/*
 * few_body.h - the loops of few.h over a vector of 16 lanes.
 *
 * Included once by each few_<isa>.c, which defines before it:
 *   v16, LANES = 16; ROWS and COLUMNS: the largest block whose sums stay in registers
 *   v16_zero(); v16_load(dtype, p, at): elements at .. at + 15 of p, widened; v16_fma(a, b, c) = a b + c;
 *   v16_sum(x): halves added until one lane is left
 */
#ifndef FR_DEVICE_CPU_FEW_BODY_H
#define FR_DEVICE_CPU_FEW_BODY_H

#include "device/cpu/few.h"
#include "device/cpu/inline.h"

#include <string.h>

/* The last n < LANES elements, then zeros. */
FR_INLINE v16 load_first(fr_dtype dtype, const void *p, int64_t at, int64_t n)
{
    float padded[LANES] = {0};
    size_t bytes = fr_dtype_bytes(dtype);
    memcpy(padded, (const char *)p + (size_t)at * bytes, (size_t)n * bytes);
    return v16_load(dtype, padded, 0);
}

FR_INLINE void store(const fr_few *f, int64_t row, int64_t column, float sum)
{
    float *y = f->y + row * f->y_stride + column;
    *y = f->add ? *y + sum : sum;
}

/* `rows`, `columns` and `dtype` are constants at each call, so that the loops unroll. */
FR_INLINE void multiply_block(int rows, int columns, fr_dtype dtype, const fr_few *f,
                              int64_t row, int64_t column)
{
    v16 sum[ROWS][COLUMNS];
    const int64_t depth = f->depth;
    const float *x = f->x + row * depth;
    const char *w =
        (const char *)f->w + (size_t)(column * depth) * fr_dtype_bytes(dtype);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++) {
            sum[i][j] = v16_zero();
        }
    }
    int64_t d = 0;
    for (; d + LANES <= depth; d += LANES) {
        v16 weights[COLUMNS];
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++) {
            weights[j] = v16_load(dtype, w, j * depth + d);
        }
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            v16 left = v16_load(FR_F32, x, i * depth + d);
#pragma GCC unroll 8
            for (int j = 0; j < columns; j++) {
                sum[i][j] = v16_fma(left, weights[j], sum[i][j]);
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++) {
            if (d < depth) {
                v16 left = load_first(FR_F32, x, i * depth + d, depth - d);
                v16 weight = load_first(dtype, w, j * depth + d, depth - d);
                sum[i][j] = v16_fma(left, weight, sum[i][j]);
            }
            store(f, row + i, column + j, v16_sum(sum[i][j]));
        }
    }
}

/* All rows of x for some rows of W, which stay in the first cache meanwhile. */
FR_INLINE void multiply_columns(int columns, fr_dtype dtype, const fr_few *f,
                                int64_t column)
{
    int64_t row = 0;
    for (; row + ROWS <= f->m; row += ROWS) {
        multiply_block(ROWS, columns, dtype, f, row, column);
    }
    for (; row < f->m; row++) {
        multiply_block(1, columns, dtype, f, row, column);
    }
}

FR_INLINE void multiply(fr_dtype dtype, const fr_few *f)
{
    int64_t column = 0;
    for (; column + COLUMNS <= f->columns; column += COLUMNS) {
        multiply_columns(COLUMNS, dtype, f, column);
    }
    for (; column < f->columns; column++) {
        multiply_columns(1, dtype, f, column);
    }
}

FR_INLINE void multiply_any(const fr_few *f)
{
    if (f->dtype == FR_BF16) {
        multiply(FR_BF16, f);
    } else {
        multiply(FR_F32, f);
    }
}

#endif
