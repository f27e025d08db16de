/*
 * matrix.h - frozen matrices and the products with them.
 *
 * Words, shape letters and promises as in device.h.
 */
#ifndef FR_DEVICE_MATRIX_H
#define FR_DEVICE_MATRIX_H

#include "device/device.h"

struct fr_few; /* few.h */

/**
 * A frozen weight matrix [n_out, n_in], row-major, borrowed. One copy serves both directions. With `read` it never exists in
 * memory as a whole: operators read runs of rows and drop them, and results equal those of a matrix in memory.
 */
typedef struct fr_matrix {
    const void *data; /* the rows, or what `read` reads them from */
    fr_dtype dtype;
    int64_t n_out;
    int64_t n_in;
    /* NULL, or: rows [first, first + count) to out [count, n_in] in dtype. Several threads call it at once. */
    void (*read)(const struct fr_matrix *w, int64_t first, int64_t count, void *out);
    /* NULL, or with `read`: rows [first, first + part->columns) with part->x to part->y, faster than by reading
     * them first and as few.h sums. Several threads call it at once. */
    void (*multiply)(const struct fr_matrix *w, int64_t first,
                     const struct fr_few *part);
} fr_matrix;

/** Memory that a matrix with `read` takes at a time: FR_SLICE_BYTES, or one block of a sum over its rows (FR_SLICE_ROWS_*,
 * the longest blocks of cpu/gemm.c) if that is more. 4 MiB stay in the caches between reading and multiplying. */
enum { FR_SLICE_BYTES = 4 << 20, FR_SLICE_ROWS_F32 = 320, FR_SLICE_ROWS_BF16 = 640 };

/** A matrix that lies in memory, dense. */
static inline fr_matrix fr_matrix_of(const void *data, fr_dtype dtype, int64_t n_out,
                                     int64_t n_in)
{
    return (fr_matrix){.data = data, .dtype = dtype, .n_out = n_out, .n_in = n_in};
}

/** Rows [first, first + count) of any matrix to out [count, n_in] in its dtype; on the calling thread. */
void fr_matrix_read(const fr_matrix *w, int64_t first, int64_t count, void *out);

/**
 * y_MN = x_MK W_NK^T, or y += ... with `accumulate`.
 * W in bf16: x and W enter in fixed point (cpu/gemm.h), which is closer to the exact product than x rounded to bf16.
 *
 * @param m  rows of x and y, >= 0
 * @param x  [m, w->n_in]   @param y  [m, w->n_out], does not overlap x
 * @return FR_OK; FR_ERR_NO_MEMORY (scratch)
 */
FR_MUST_CHECK fr_status fr_linear(fr_device *device, int64_t m, const float *x,
                                  const fr_matrix *w, bool accumulate, float *y);

/** fr_linear for few rows, at the speed at which W can be read; its order of summation, and so its bits, are its own
 * (few.h), whatever m is. W in bf16: x is rounded to bf16 (nearest even), products and sums are f32. */
FR_MUST_CHECK fr_status fr_linear_few(fr_device *device, int64_t m, const float *x,
                                      const fr_matrix *w, bool accumulate, float *y);

/** dx_MK = dy_MN W_NK, or dx += ... with `accumulate`; same precision rule on dy. */
FR_MUST_CHECK fr_status fr_linear_back(fr_device *device, int64_t m, const float *dy,
                                       const fr_matrix *w, bool accumulate, float *dx);

/** y[t, :] = row ids[t] of the table [V, D], widened. FR_ERR_NO_MEMORY (scratch, with table->read). */
FR_MUST_CHECK fr_status fr_gather_rows(fr_device *device, int64_t n_tokens,
                                       const int32_t *ids, const fr_matrix *table,
                                       float *y_TD);

#endif
