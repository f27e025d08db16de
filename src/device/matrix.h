/*
 * matrix.h - frozen matrices and the products with them.
 *
 * Words, shape letters and promises as in device.h.
 */
#ifndef FR_DEVICE_MATRIX_H
#define FR_DEVICE_MATRIX_H

#include "device/memory.h"
#include "device/quant.h"

/**
 * Neighbouring rows of a matrix that lie in one piece of memory, borrowed: of a mapped file, as the file's format stores them,
 * or converted. Rows are stored one after the other, row s at `rows` + s * fr_quant_bytes(format, n_in), and row r of the part is
 * stored row (fr_matrix_stored_row)
 *
 *     r                                                          head 0
 *     step * (r / head) + i,                  i = r % head       heads that lie `step` rows apart
 *     step * (r / head) + 2 * (i % half) + i / half              with `pairs`, half = head / 2: the halves of a head row by row in
 *                                                                turn, as rotations of neighbouring elements store them
 */
typedef struct fr_matrix_part {
    const void *rows; /* stored row 0, at any address */
    int64_t n_rows;
    int64_t head; /* rows of a head; 0: in order */
    int64_t step;
    bool pairs;      /* head is even */
    uint32_t format; /* FR_QUANT_*, one that widens; n_in is a multiple of its block */
} fr_matrix_part;

enum { FR_MATRIX_PARTS = 3 };

/**
 * A frozen weight matrix [n_out, n_in]: its parts one below the other. One description serves both directions. Operators use its
 * numbers in `dtype`, converted as quant.h does where the format is another; results do not depend on how a number is stored.
 * A matrix that is not in place (fr_matrix_in_place) never exists in memory as a whole: operators read runs of rows and drop
 * them.
 */
typedef struct fr_matrix {
    int64_t n_out;
    int64_t n_in;
    fr_dtype dtype;
    int n_parts; /* 1 .. FR_MATRIX_PARTS */
    fr_matrix_part parts[FR_MATRIX_PARTS];
} fr_matrix;

/** Memory that a matrix which is not in place takes at a time: FR_SLICE_BYTES, or one block of a sum over its rows
 * (FR_SLICE_ROWS_*, the longest blocks of cpu/gemm.c) if that is more. 4 MiB stay in the caches between reading and
 * multiplying. */
enum { FR_SLICE_BYTES = 4 << 20, FR_SLICE_ROWS_F32 = 320, FR_SLICE_ROWS_BF16 = 640 };

/** The format whose numbers are those of a dtype. */
static inline uint32_t fr_dtype_format(fr_dtype dtype)
{
    return dtype == FR_BF16 ? FR_QUANT_BF16 : FR_QUANT_F32;
}

/** A matrix that lies in memory, dense. */
static inline fr_matrix fr_matrix_of(const void *rows, fr_dtype dtype, int64_t n_out,
                                     int64_t n_in)
{
    return (fr_matrix){
        .n_out = n_out,
        .n_in = n_in,
        .dtype = dtype,
        .n_parts = 1,
        .parts = {{.rows = rows, .n_rows = n_out, .format = fr_dtype_format(dtype)}}};
}

/** The stored row that is row r of a part. */
static inline int64_t fr_matrix_stored_row(const fr_matrix_part *part, int64_t r)
{
    if (part->head == 0) {
        return r;
    }
    int64_t i = r % part->head;
    int64_t first = r / part->head * part->step;
    int64_t half = part->head / 2;
    return first + (part->pairs ? 2 * (i % half) + i / half : i);
}

/** The part that holds row *row, 0 <= *row < n_out, which becomes the row's number in that part. */
const fr_matrix_part *fr_matrix_find(const fr_matrix *w, int64_t *row);

/** The rows of one of the parts, dense, if products can use them where they lie: in dtype and in order, at an address that
 * such numbers have. Else NULL. */
const void *fr_matrix_part_in_place(const fr_matrix *w, const fr_matrix_part *part);

/** The same for the whole matrix, which must be one part. */
const void *fr_matrix_in_place(const fr_matrix *w);

/** Rows [first, first + count) of any matrix to out [count, n_in] in its dtype, read on the calling thread. Any number of
 * threads may call it at once. */
void fr_matrix_read(const fr_quant_kernels *kernels, const fr_matrix *w, int64_t first,
                    int64_t count, void *out);

/**
 * y_MN = add_MN + x_MK W_NK^T, where `add` may be y itself, whose numbers the product is then added to.
 * W in bf16: x and W enter in fixed point (cpu/gemm.h), which is closer to the exact product than x rounded to bf16.
 *
 * @param m    rows of x and y, >= 0
 * @param x    [m, w->n_in]   @param y  [m, w->n_out], does not overlap x
 * @param add  [m, w->n_out] in y's type; y, or memory that does not overlap it; none: zeros
 * @return FR_OK; FR_ERR_NO_MEMORY (scratch)
 */
FR_MUST_CHECK fr_status fr_linear(fr_device *device, int64_t m, fr_view x,
                                  const fr_matrix *w, fr_view add, fr_view y);

/** fr_linear for few rows, at the speed at which W can be read; its order of summation, and so its bits, are its own
 * (cpu/few.h), whatever m is. W in bf16: x is rounded to bf16 (nearest even), products and sums are f32. */
FR_MUST_CHECK fr_status fr_linear_few(fr_device *device, int64_t m, fr_view x,
                                      const fr_matrix *w, fr_view add, fr_view y);

/** dx_MK = dy_MN W_NK, or dx += ... with `accumulate`; same precision rule on dy. */
FR_MUST_CHECK fr_status fr_linear_back(fr_device *device, int64_t m, fr_view dy,
                                       const fr_matrix *w, bool accumulate, fr_view dx);

/** y[t, :] = row ids[t] of the table [V, D], widened. FR_ERR_NO_MEMORY (scratch, for a table that is not in place). */
FR_MUST_CHECK fr_status fr_gather_rows(fr_device *device, int64_t n_tokens,
                                       const int32_t *ids, const fr_matrix *table,
                                       fr_f32 *y_TD);

#endif
