/*
 * The linear maps forward and backward: by cuBLASLt where it computes them (lt_product.c), else over kernels_product.cu, as follows.
 *
 * A matrix is a list of runs of rows: a part that lies in place is one run and is used there; the rows of other parts are
 * widened a slice at a time into scratch. A run gives some columns of the forward product, or the next piece of the backward
 * product's depth.
 *
 * A number of the backward product is one sum over all rows in their order, whatever the runs are: between runs it lies unrounded
 * in an f32 buffer, from which the next run's kernel takes it up again. The buffer is dx itself if that is f32 and nothing
 * is to be added to what it holds.
 *
 * What is to be added is added to the finished sum, which has not been rounded before; then the view's type rounds once.
 */
#include "device/cuda/product.h"

#include "base/integer.h"
#include "device/cuda/lt_product.h"
#include "device/cuda/memory.h"
#include "device/cuda/operators.h"
#include "device/cuda/widen.h"

/* ---- runs of rows ---------------------------------------------------------------------------- */

typedef struct row_run {
    const void *rows; /* in place; NULL: to be widened */
    int64_t first;
    int64_t count;
} row_run;

static int64_t row_bytes_of(const fr_matrix *w)
{
    return w->n_in * (int64_t)fr_dtype_bytes(w->dtype);
}

/* The run that begins with row `first`. A slice may reach over parts that are not in place. n_in > 0 */
static row_run run_at(const fr_matrix *w, int64_t first, int64_t slice_bytes)
{
    int64_t row = first;
    int64_t row_bytes = row_bytes_of(w);
    const fr_matrix_part *part = fr_matrix_find(w, &row);
    const char *rows = fr_matrix_part_in_place(w, part);
    row_run run = {NULL, first, part->n_rows - row};
    if (rows != NULL) {
        run.rows = rows + row * row_bytes;
        return run;
    }
    for (part++;
         part < w->parts + w->n_parts && fr_matrix_part_in_place(w, part) == NULL;
         part++) {
        run.count += part->n_rows;
    }
    run.count = fr_min(run.count, fr_max(slice_bytes / row_bytes, 1));
    return run;
}

/* Scratch for the largest slice; NULL if everything is in place. */
static fr_status slice_scratch(fr_device *device, const fr_matrix *w,
                               int64_t slice_bytes, void **out)
{
    int64_t rows = 0;
    int64_t next = 0;
    for (int64_t first = 0; first < w->n_out; first = next) {
        row_run run = run_at(w, first, slice_bytes);
        rows = run.rows == NULL ? fr_max(rows, run.count) : rows;
        next = first + run.count;
    }
    *out = NULL;
    return rows > 0
               ? fr_cuda_scratch(device, FR_CUDA_USE_SLICE, rows * row_bytes_of(w), out)
               : FR_OK;
}

/* The run at `first` with its rows in memory. */
static fr_status read_run(fr_device *device, const fr_matrix *w, int64_t first,
                          int64_t slice_bytes, void *slice, row_run *out)
{
    *out = run_at(w, first, slice_bytes);
    if (out->rows == NULL) {
        out->rows = slice;
        FR_TRY(fr_cuda_widen(device, w, first, out->count, w->dtype, slice));
    }
    return FR_OK;
}

/* ---- products -------------------------------------------------------------------------------- */

static void start(fr_device *device, fr_cuda_kernel first,
                  const fr_product_arguments *arguments)
{
    fr_cuda_start kernel = {
        .kernel = first,
        .blocks = fr_ceil_div(arguments->m, FR_PRODUCT_TILE_ROWS) *
                  fr_ceil_div(arguments->columns, FR_PRODUCT_TILE_COLUMNS),
        .threads = FR_PRODUCT_THREADS,
        .shared = FR_PRODUCT_SHARED};
    fr_cuda_launch(device, &kernel, arguments);
}

/* The digits of left operand, weights and result. */
static unsigned digits_of(fr_view left, const fr_matrix *w, fr_view out)
{
    return fr_cuda_digits_3(left, fr_view_of(NULL, w->dtype), out);
}

/* A sum over no depth is 0, which has to be stored, or what is to be added. */
static void write_nothing(fr_device *device, int64_t n, fr_view add, fr_view out)
{
    int64_t bytes = n * (int64_t)fr_dtype_bytes(out.dtype);
    if (add.at == NULL) {
        fr_cuda_zero(device, out.at, bytes);
    } else if (add.at != out.at) {
        fr_cuda_copy(device, out.at, add.at, bytes);
    }
}

fr_status fr_cuda_linear_by(fr_device *device, int64_t m, fr_view x, const fr_matrix *w,
                            fr_view add, fr_view y, int64_t slice_bytes)
{
    if (m == 0 || w->n_out == 0) {
        return FR_OK;
    }
    if (w->n_in == 0) {
        write_nothing(device, m * w->n_out, add, y);
        return FR_OK;
    }
    void *slice = NULL;
    FR_TRY(slice_scratch(device, w, slice_bytes, &slice));
    row_run run = {0};
    for (int64_t first = 0; first < w->n_out; first += run.count) {
        FR_TRY(read_run(device, w, first, slice_bytes, slice, &run));
        fr_product_arguments arguments = {.left = x.at,
                                          .weights = run.rows,
                                          .add = fr_view_at(add, first).at,
                                          .out = fr_view_at(y, first).at,
                                          .m = m,
                                          .columns = run.count,
                                          .depth = w->n_in,
                                          .left_stride = w->n_in,
                                          .weights_stride = w->n_in,
                                          .out_stride = w->n_out};
        start(device, FR_KERNEL_product_forward_000 + digits_of(x, w, y), &arguments);
    }
    return FR_OK;
}

/* Where sums lie between runs; NULL if one run is all. */
static fr_status running_sums(fr_device *device, int64_t n, bool has_one_run,
                              bool accumulate, fr_view dx, float **out)
{
    void *sums = NULL;
    if (!has_one_run && dx.dtype == FR_F32 && !accumulate) {
        sums = dx.at;
    } else if (!has_one_run) {
        FR_TRY(fr_cuda_scratch(device, FR_CUDA_USE_VALUES, n * (int64_t)sizeof(float),
                               &sums));
    }
    *out = sums;
    return FR_OK;
}

fr_status fr_cuda_linear_back_by(fr_device *device, int64_t m, fr_view dy,
                                 const fr_matrix *w, bool accumulate, fr_view dx,
                                 int64_t slice_bytes)
{
    if (m == 0 || w->n_in == 0) {
        return FR_OK;
    }
    if (w->n_out == 0) {
        write_nothing(device, m * w->n_in, fr_view_if(accumulate, dx), dx);
        return FR_OK;
    }
    float *sums = NULL;
    bool has_one_run = run_at(w, 0, slice_bytes).count == w->n_out;
    FR_TRY(running_sums(device, m * w->n_in, has_one_run, accumulate, dx, &sums));
    void *slice = NULL;
    FR_TRY(slice_scratch(device, w, slice_bytes, &slice));
    row_run run = {0};
    for (int64_t first = 0; first < w->n_out; first += run.count) {
        FR_TRY(read_run(device, w, first, slice_bytes, slice, &run));
        bool is_last = first + run.count == w->n_out;
        fr_product_arguments arguments = {.left = fr_view_at(dy, first).at,
                                          .weights = run.rows,
                                          .begun = first > 0 ? sums : NULL,
                                          .unfinished = is_last ? NULL : sums,
                                          .add = fr_view_if(accumulate, dx).at,
                                          .out = dx.at,
                                          .m = m,
                                          .columns = w->n_in,
                                          .depth = run.count,
                                          .left_stride = w->n_out,
                                          .weights_stride = w->n_in,
                                          .out_stride = w->n_in};
        start(device, FR_KERNEL_product_back_000 + digits_of(dy, w, dx), &arguments);
    }
    return FR_OK;
}

/* ---- the operators --------------------------------------------------------------------------- */

fr_status fr_cuda_linear(fr_device *device, int64_t m, fr_view x, const fr_matrix *w,
                         fr_view add, fr_view y)
{
    bool done = false;
    FR_TRY(fr_lt_linear(device, m, x, w, add, y, &done));
    return done ? FR_OK
                : fr_cuda_linear_by(device, m, x, w, add, y, FR_CUDA_SLICE_BYTES);
}

fr_status fr_cuda_linear_back(fr_device *device, int64_t m, fr_view dy,
                              const fr_matrix *w, bool accumulate, fr_view dx)
{
    bool done = false;
    FR_TRY(fr_lt_linear_back(device, m, dy, w, accumulate, dx, &done));
    return done ? FR_OK
                : fr_cuda_linear_back_by(device, m, dy, w, accumulate, dx,
                                         FR_CUDA_SLICE_BYTES);
}
