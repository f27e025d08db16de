/*
 * The linear maps forward and backward: by cuBLASLt where it computes them (lt_product.c), else over kernels_product_tensor.cu,
 * where the weights are in bf16, and kernels_product.cu, as follows.
 *
 * A matrix is a list of runs of rows: a part that lies in place is one run and is used there; the rows of other parts are
 * widened a slice at a time into scratch. A run gives some columns of the forward product, or the next piece of the backward
 * product's depth.
 *
 * A number of the backward product is one sum over all rows in their order, whatever the runs are: between runs it lies unrounded
 * in an f32 buffer, from which the next run's kernel takes it up again. The buffer is dx itself if that is f32 and nothing
 * is to be added to what it holds. Tensor cores add groups of 16 products, so that for them a run ends at a multiple of 16 rows: the
 * rest of a group that a part in place begins or ends within is copied beside the rows of its neighbour.
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

/* How a matrix is cut into runs. */
typedef struct run_rule {
    int64_t slice_bytes; /* of widened rows, at most, but for one group */
    int64_t group;       /* rows that go together */
} run_rule;

/* The run of rows in place that begins with row `first` of its part, or of none. */
static int64_t rows_in_place(const fr_matrix *w, const fr_matrix_part *part,
                             int64_t first, int64_t end, int64_t group)
{
    bool ends = end == w->n_out;
    return fr_matrix_part_in_place(w, part) == NULL
               ? 0
               : fr_max((ends ? end : end / group * group) - first, 0);
}

/* The run that begins with row `first`, a multiple of the rule's group. A slice may reach over parts that are not in place. n_in > 0 */
static row_run run_at(const fr_matrix *w, int64_t first, const run_rule *rule)
{
    int64_t row = first;
    int64_t row_bytes = row_bytes_of(w);
    const fr_matrix_part *part = fr_matrix_find(w, &row);
    int64_t end = first + part->n_rows - row;
    int64_t in_place = rows_in_place(w, part, first, end, rule->group);
    if (in_place > 0) {
        const char *rows = fr_matrix_part_in_place(w, part);
        return (row_run){rows + row * row_bytes, first, in_place};
    }
    for (part++;
         part < w->parts + w->n_parts && fr_matrix_part_in_place(w, part) == NULL;
         part++) {
        end += part->n_rows;
    }
    int64_t rows = fr_max(rule->slice_bytes / row_bytes / rule->group, 1) * rule->group;
    end = fr_min(fr_round_up(end, rule->group), w->n_out);
    return (row_run){NULL, first, fr_min(end - first, rows)};
}

/* Scratch for the largest slice; NULL if everything is in place. */
static fr_status slice_scratch(fr_device *device, const fr_matrix *w,
                               const run_rule *rule, void **out)
{
    int64_t rows = 0;
    int64_t next = 0;
    for (int64_t first = 0; first < w->n_out; first = next) {
        row_run run = run_at(w, first, rule);
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
                          const run_rule *rule, void *slice, row_run *out)
{
    *out = run_at(w, first, rule);
    if (out->rows == NULL) {
        out->rows = slice;
        FR_TRY(fr_cuda_widen(device, w, first, out->count, w->dtype, slice));
    }
    return FR_OK;
}

/* ---- products -------------------------------------------------------------------------------- */

/* The product of a run, by the kernels that its types and the way name. */
typedef struct run_product {
    fr_product_arguments arguments;
    fr_view left;
    fr_view out;
    fr_dtype weights;
    bool back;
    bool on_tensor_cores;
} run_product;

static bool on_tensor_cores(const fr_matrix *w, const fr_cuda_product_way *way)
{
    return w->dtype == FR_BF16 && !way->is_plain;
}

static void start_plain(fr_device *device, const run_product *p)
{
    fr_cuda_kernel first =
        p->back ? FR_KERNEL_product_back_000 : FR_KERNEL_product_forward_000;
    fr_cuda_start kernel = {
        .kernel =
            first + fr_cuda_digits_3(p->left, fr_view_of(NULL, p->weights), p->out),
        .blocks = fr_ceil_div(p->arguments.m, FR_PRODUCT_TILE_ROWS) *
                  fr_ceil_div(p->arguments.columns, FR_PRODUCT_TILE_COLUMNS),
        .threads = FR_PRODUCT_THREADS,
        .shared = FR_PRODUCT_SHARED};
    fr_cuda_launch(device, &kernel, &p->arguments);
}

/* Small tiles where one of them has all rows; bits are the same. */
static void start_tensor(fr_device *device, const run_product *p)
{
    static const fr_cuda_kernel FIRST[2][2] = {
        {FR_KERNEL_tensor_forward_00, FR_KERNEL_tensor_forward_few_00},
        {FR_KERNEL_tensor_back_00, FR_KERNEL_tensor_back_few_00}};
    bool is_few = p->arguments.m <= FR_TENSOR_FEW_ROWS;
    int64_t rows = is_few ? FR_TENSOR_FEW_ROWS : FR_TENSOR_ROWS;
    fr_cuda_start kernel = {
        .kernel = FIRST[p->back][is_few] + fr_cuda_digits_2(p->left, p->out),
        .blocks =
            fr_ceil_div(p->arguments.m, rows) * fr_ceil_div(p->arguments.columns, rows),
        .threads = is_few ? FR_TENSOR_FEW_THREADS : FR_TENSOR_THREADS,
        .shared = FR_TENSOR_SHARED(rows)};
    fr_cuda_launch(device, &kernel, &p->arguments);
}

static void start(fr_device *device, const run_product *p)
{
    if (p->on_tensor_cores) {
        start_tensor(device, p);
    } else {
        start_plain(device, p);
    }
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

/* Columns are independent of each other: rows of the matrix are cut anywhere. */
fr_status fr_cuda_linear_by(fr_device *device, int64_t m, fr_view x, const fr_matrix *w,
                            fr_view add, fr_view y, const fr_cuda_product_way *way)
{
    if (m == 0 || w->n_out == 0) {
        return FR_OK;
    }
    if (w->n_in == 0) {
        write_nothing(device, m * w->n_out, add, y);
        return FR_OK;
    }
    run_rule rule = {way->slice_bytes, 1};
    void *slice = NULL;
    FR_TRY(slice_scratch(device, w, &rule, &slice));
    row_run run = {0};
    for (int64_t first = 0; first < w->n_out; first += run.count) {
        FR_TRY(read_run(device, w, first, &rule, slice, &run));
        run_product product = {.left = x,
                               .out = y,
                               .weights = w->dtype,
                               .on_tensor_cores = on_tensor_cores(w, way)};
        product.arguments = (fr_product_arguments){.left = x.at,
                                                   .weights = run.rows,
                                                   .add = fr_view_at(add, first).at,
                                                   .out = fr_view_at(y, first).at,
                                                   .m = m,
                                                   .columns = run.count,
                                                   .depth = w->n_in,
                                                   .left_stride = w->n_in,
                                                   .weights_stride = w->n_in,
                                                   .out_stride = w->n_out};
        start(device, &product);
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
                                 const fr_cuda_product_way *way)
{
    if (m == 0 || w->n_in == 0) {
        return FR_OK;
    }
    if (w->n_out == 0) {
        write_nothing(device, m * w->n_in, fr_view_if(accumulate, dx), dx);
        return FR_OK;
    }
    run_rule rule = {way->slice_bytes, on_tensor_cores(w, way) ? FR_TENSOR_GROUP : 1};
    float *sums = NULL;
    bool has_one_run = run_at(w, 0, &rule).count == w->n_out;
    FR_TRY(running_sums(device, m * w->n_in, has_one_run, accumulate, dx, &sums));
    void *slice = NULL;
    FR_TRY(slice_scratch(device, w, &rule, &slice));
    row_run run = {0};
    for (int64_t first = 0; first < w->n_out; first += run.count) {
        FR_TRY(read_run(device, w, first, &rule, slice, &run));
        bool is_last = first + run.count == w->n_out;
        run_product product = {.left = dy,
                               .out = dx,
                               .weights = w->dtype,
                               .back = true,
                               .on_tensor_cores = on_tensor_cores(w, way)};
        product.arguments = (fr_product_arguments){.left = fr_view_at(dy, first).at,
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
        start(device, &product);
    }
    return FR_OK;
}

/* ---- the operators --------------------------------------------------------------------------- */

static const fr_cuda_product_way WAY = {.slice_bytes = FR_CUDA_SLICE_BYTES};

fr_status fr_cuda_linear(fr_device *device, int64_t m, fr_view x, const fr_matrix *w,
                         fr_view add, fr_view y)
{
    bool done = false;
    FR_TRY(fr_lt_linear(device, m, x, w, add, y, &done));
    return done ? FR_OK : fr_cuda_linear_by(device, m, x, w, add, y, &WAY);
}

fr_status fr_cuda_linear_back(fr_device *device, int64_t m, fr_view dy,
                              const fr_matrix *w, bool accumulate, fr_view dx)
{
    bool done = false;
    FR_TRY(fr_lt_linear_back(device, m, dy, w, accumulate, dx, &done));
    return done ? FR_OK
                : fr_cuda_linear_back_by(device, m, dy, w, accumulate, dx, &WAY);
}
