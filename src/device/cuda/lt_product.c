/*
 * The linear maps by cuBLASLt: a matrix in blocks of rows (lt.h), of which one that lies in place is used there and any other one is
 * widened into scratch first.
 *
 * Forward, a block gives some columns. Backward, it gives a piece of the depth: if there are several, their sums add up in f32, and
 * the last step, which adds what the result holds and rounds, is a product of the own kernels over no depth. A left
 * operand in another type than the weights is converted to theirs first, as many rows at a time as lt->memory has room for; no bit
 * depends on that.
 */
#include "device/cuda/lt_product.h"

#include "base/integer.h"
#include "device/cuda/lt.h"
#include "device/cuda/memory.h"
#include "device/cuda/operators.h"
#include "device/cuda/widen.h"

/* A call of either operator. */
typedef struct call {
    fr_cuda *cuda;
    const fr_matrix *w;
    fr_lt_shape shape;
    fr_lt_pin *pin;
    fr_view left; /* [m, depth] */
    fr_view add;
    fr_view out;       /* [m, columns] */
    int64_t depth;     /* of all blocks together, and so of columns */
    int64_t columns;   /* of the result */
    int64_t block;     /* rows of the matrix */
    bool is_converted; /* the left operand, into lt->memory */
    float *sums;       /* [m, columns], which may be out; NULL: one block is all */
} call;

/* ---- blocks -------------------------------------------------------------------------------------- */

static bool is_aligned(const void *at)
{
    return (uintptr_t)at % FR_LT_ALIGNMENT == 0;
}

/* Rows [first, first + count) where they lie; NULL: they are in several places, or not dense there. */
static const void *in_place(const fr_matrix *w, int64_t first, int64_t count)
{
    int64_t row = first;
    const fr_matrix_part *part = fr_matrix_find(w, &row);
    const char *rows = fr_matrix_part_in_place(w, part);
    if (rows == NULL || row + count > part->n_rows) {
        return NULL;
    }
    rows += row * w->n_in * (int64_t)fr_dtype_bytes(w->dtype);
    return is_aligned(rows) ? rows : NULL;
}

static fr_status read_block(const call *c, int64_t first, int64_t count,
                            const void **out)
{
    fr_device *device = &c->cuda->base;
    int64_t row_bytes = c->w->n_in * (int64_t)fr_dtype_bytes(c->w->dtype);
    *out = in_place(c->w, first, count);
    if (*out != NULL) {
        return FR_OK;
    }
    void *slice = NULL;
    FR_TRY(fr_cuda_scratch(device, FR_CUDA_USE_SLICE, c->block * row_bytes, &slice));
    *out = slice;
    return fr_cuda_widen(device, c->w, first, count, c->w->dtype, slice);
}

/* ---- what an operator does ----------------------------------------------------------------------- */

/* Finds the pin. @return c->pin == NULL: it is for the own kernels */
static fr_status begin(call *c)
{
    c->pin = NULL;
    c->block = fr_lt_block(&c->shape);
    bool takes = c->cuda->lt != NULL && !c->cuda->has_failed && c->block > 0 &&
                 is_aligned(c->left.at) && is_aligned(c->add.at) &&
                 is_aligned(c->out.at);
    if (!takes) {
        return FR_OK;
    }
    fr_lt_pin *pin = fr_lt_find(c->cuda->lt, &c->shape);
    if (pin == NULL) {
        return fr_lt_leave(c->cuda, &c->shape);
    }
    c->pin = pin->is_used ? pin : NULL;
    return FR_OK;
}

/* Left operands that are converted lie in lt->memory. @return rows at a time */
static int64_t rows_at_once(call *c, int64_t m)
{
    c->is_converted = c->left.dtype != c->shape.in;
    return c->is_converted
               ? fr_min(m,
                        FR_LT_BYTES / (c->depth * (int64_t)fr_dtype_bytes(c->shape.in)))
               : m;
}

/* Sums of several blocks lie in the result where that holds nothing yet and is f32. */
static fr_status find_sums(call *c, int64_t m)
{
    void *sums = NULL;
    bool has_several = c->shape.back && c->block < c->w->n_out;
    if (has_several && c->out.dtype == FR_F32 && c->add.at == NULL) {
        sums = c->out.at;
    } else if (has_several) {
        FR_TRY(fr_cuda_scratch(&c->cuda->base, FR_CUDA_USE_VALUES,
                               m * c->columns * (int64_t)sizeof(float), &sums));
    }
    c->sums = sums;
    return FR_OK;
}

/* out = add + sums, rounded once: the own kernel, for which nothing is left to multiply. */
static void finish(const call *c, int64_t m)
{
    fr_product_arguments arguments = {.begun = c->sums,
                                      .add = c->add.at,
                                      .out = c->out.at,
                                      .m = m,
                                      .columns = c->columns,
                                      .left_stride = 1,
                                      .weights_stride = 1,
                                      .out_stride = c->columns};
    fr_cuda_start kernel = {.kernel =
                                FR_KERNEL_product_back_000 + fr_cuda_digits_1(c->out),
                            .blocks = fr_ceil_div(m, FR_PRODUCT_TILE_ROWS) *
                                      fr_ceil_div(c->columns, FR_PRODUCT_TILE_COLUMNS),
                            .threads = FR_PRODUCT_THREADS,
                            .shared = FR_PRODUCT_SHARED};
    fr_cuda_launch(&c->cuda->base, &kernel, &arguments);
}

/* Rows [row, row + m) by the block of the matrix's rows [first, first + count). */
static void multiply(const call *c, int64_t row, int64_t m, const void *left,
                     const void *weights, int64_t first, int64_t count)
{
    bool back = c->shape.back;
    fr_view out = fr_view_at(c->out, row * c->columns + (back ? 0 : first));
    fr_view add = fr_view_at(c->add, row * c->columns + (back ? 0 : first));
    fr_view from = {.at = (fr_byte *)(uintptr_t)left, .dtype = c->shape.in};
    fr_lt_product product = {.left = fr_view_at(from, back ? first : 0).at,
                             .left_stride = c->depth,
                             .weights = weights,
                             .add = add.at,
                             .out = out.at,
                             .out_stride = c->columns,
                             .m = m,
                             .columns = back ? c->columns : count,
                             .depth = back ? count : c->depth};
    if (c->sums != NULL) {
        float *sums = c->sums + row * c->columns;
        product.add = first > 0 ? sums : NULL;
        product.out = sums;
    }
    fr_lt_multiply(c->cuda, c->pin, &product);
}

/* By one block, which is read once. */
static void multiply_all(const call *c, int64_t m, int64_t rows, const void *weights,
                         int64_t first, int64_t count)
{
    for (int64_t row = 0; row < m; row += rows) {
        int64_t n = fr_min(rows, m - row);
        fr_view left = fr_view_at(c->left, row * c->depth);
        if (c->is_converted) {
            fr_view to = fr_view_of((fr_byte *)c->cuda->lt->memory, c->shape.in);
            fr_cuda_save(&c->cuda->base, n * c->depth, left, to);
            left = to;
        }
        multiply(c, row, n, left.at, weights, first, count);
    }
}

static fr_status run(call *c, int64_t m)
{
    int64_t rows = rows_at_once(c, m);
    FR_TRY(find_sums(c, m));
    for (int64_t first = 0; first < c->w->n_out; first += c->block) {
        const void *weights = NULL;
        int64_t count = fr_min(c->block, c->w->n_out - first);
        FR_TRY(read_block(c, first, count, &weights));
        multiply_all(c, m, rows, weights, first, count);
    }
    if (c->sums != NULL && c->sums != (const float *)(void *)c->out.at) {
        finish(c, m);
    }
    return FR_OK;
}

/* ---- the operators ------------------------------------------------------------------------------- */

static fr_status compute(call *c, int64_t m, bool *done)
{
    *done = false;
    if (m == 0) {
        return FR_OK;
    }
    c->shape.out = c->out.dtype;
    c->shape.out = fr_lt_out(&c->shape);
    FR_TRY(begin(c));
    if (c->pin == NULL) {
        return FR_OK;
    }
    *done = true;
    return run(c, m);
}

fr_status fr_lt_linear(fr_device *device, int64_t m, fr_view x, const fr_matrix *w,
                       fr_view add, fr_view y, bool *done)
{
    call c = {.cuda = fr_cuda_of(device),
              .w = w,
              .shape = {.n_out = w->n_out, .n_in = w->n_in, .in = w->dtype},
              .left = x,
              .add = add,
              .out = y,
              .depth = w->n_in,
              .columns = w->n_out};
    return compute(&c, m, done);
}

fr_status fr_lt_linear_back(fr_device *device, int64_t m, fr_view dy,
                            const fr_matrix *w, bool accumulate, fr_view dx, bool *done)
{
    call c = {
        .cuda = fr_cuda_of(device),
        .w = w,
        .shape = {.n_out = w->n_out, .n_in = w->n_in, .back = true, .in = w->dtype},
        .left = dy,
        .add = fr_view_if(accumulate, dx),
        .out = dx,
        .depth = w->n_out,
        .columns = w->n_in};
    return compute(&c, m, done);
}
