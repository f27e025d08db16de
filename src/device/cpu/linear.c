/*
 * The linear maps forward and backward over gemm.c, and matrices that are read on demand.
 *
 * A matrix that is not in place is read in slices of rows, a few MiB at a time, by all threads, and each slice is multiplied
 * like a matrix in memory. A slice gives some columns of the forward product, or a part of the depth of the backward
 * one; the latter holds whole blocks of the sum (fr_gemm_depth_block), so that the order of summation and the bits
 * stay the same.
 */
#include "base/integer.h"
#include "device/cpu/cpu.h"
#include "device/cpu/gemm.h"
#include "device/cpu/quant_kernels.h"
#include "device/matrix.h"

#include <string.h>

/* ---- matrices that are read on demand ------------------------------------------------------- */

/* Rows in memory at a time: whole blocks of a sum over them, so that its order stays. */
static int64_t slice_rows(const fr_matrix *w)
{
    int64_t unit = fr_gemm_depth_block(w->dtype, w->n_out);
    int64_t row_bytes = w->n_in * (int64_t)fr_dtype_bytes(w->dtype);
    int64_t rows = FR_SLICE_BYTES / row_bytes / unit * unit;
    return fr_min(fr_max(rows, unit), w->n_out);
}

/* Runs of rows have a fixed division among the threads. */
static void read_slice(const fr_device *device, const fr_matrix *w, int64_t first,
                       int64_t count, void *out)
{
    /* Rows that a thread takes at a time: enough to hide the cost of a call. */
    enum { RUN = 16 };
    const fr_quant_kernels *kernels = fr_quant_kernels_select(fr_cpu_of(device)->isa);
    size_t row_bytes = (size_t)w->n_in * fr_dtype_bytes(w->dtype);
#pragma omp parallel for num_threads(device->n_threads) schedule(static)
    for (int64_t row = 0; row < count; row += RUN) {
        fr_matrix_read(kernels, w, first + row, fr_min(RUN, count - row),
                       (char *)out + (size_t)row * row_bytes);
    }
}

/* A slice of rows gives some columns of the forward product, or some depth of the backward one. */
static fr_status multiply_slices(fr_device *device, const fr_product *product)
{
    const fr_matrix *w = product->weights;
    int64_t rows = slice_rows(w);
    int64_t bytes = rows * w->n_in * (int64_t)fr_dtype_bytes(w->dtype);
    float *data = NULL;
    FR_TRY(fr_cpu_scratch(device, FR_SCRATCH_ROWS,
                          fr_ceil_div(bytes, (int64_t)sizeof *data), &data));
    /* forward: other columns of y; backward: a further part of the sum, added to what earlier slices gave */
    for (int64_t first = 0; first < w->n_out; first += rows) {
        fr_matrix slice =
            fr_matrix_of(data, w->dtype, fr_min(rows, w->n_out - first), w->n_in);
        fr_product part = *product;
        part.weights = &slice;
        if (product->transposed) {
            part.columns = slice.n_out;
            part.out += first;
        } else {
            part.depth = slice.n_out;
            part.left += first;
            part.accumulate = product->accumulate || first > 0;
        }
        read_slice(device, w, first, slice.n_out, data);
        FR_TRY(fr_gemm_multiply(device, &part));
    }
    return FR_OK;
}

/* ---- the operators ------------------------------------------------------------------------ */

/* An empty product has no rows or columns to write. A sum over no depth is 0, which has to be stored. */
static fr_status multiply(fr_device *device, const fr_product *product)
{
    if (product->m == 0 || product->columns == 0) {
        return FR_OK;
    }
    if (product->depth == 0) {
        if (!product->accumulate) {
            memset(product->out, 0,
                   (size_t)(product->m * product->columns) * sizeof *product->out);
        }
        return FR_OK;
    }
    return fr_matrix_in_place(product->weights) != NULL
               ? fr_gemm_multiply(device, product)
               : multiply_slices(device, product);
}

/* y [m, n_out] = x [m, n_in] W^T: W lies as [n_out, n_in], so the depth runs along its rows in memory. */
fr_status fr_cpu_linear(fr_device *device, int64_t m, fr_view x, const fr_matrix *w,
                        fr_view add, fr_view y)
{
    fr_product product = {.m = m,
                          .columns = w->n_out,
                          .depth = w->n_in,
                          .depth_block = fr_gemm_depth_block(w->dtype, w->n_in),
                          .left = fr_view_floats(x),
                          .left_stride = w->n_in,
                          .weights = w,
                          .transposed = true,
                          .accumulate = fr_cpu_begin_sum(device, m * w->n_out, add, y),
                          .out = fr_view_floats(y),
                          .out_stride = w->n_out};
    return multiply(device, &product);
}

/* dx [m, n_in] = dy [m, n_out] W: the depth runs across the rows of W. There is no gradient of W, which is frozen. */
fr_status fr_cpu_linear_back(fr_device *device, int64_t m, fr_view dy,
                             const fr_matrix *w, bool accumulate, fr_view dx)
{
    fr_product product = {.m = m,
                          .columns = w->n_in,
                          .depth = w->n_out,
                          .depth_block = fr_gemm_depth_block(w->dtype, w->n_out),
                          .left = fr_view_floats(dy),
                          .left_stride = w->n_out,
                          .weights = w,
                          .accumulate = accumulate,
                          .out = fr_view_floats(dx),
                          .out_stride = w->n_in};
    return multiply(device, &product);
}
