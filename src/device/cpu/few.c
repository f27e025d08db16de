/*
 * Products of few rows (generation, short prompts): bound by reading W, so W is read once, in place, and nothing is
 * packed.
 *
 * Each thread takes a run of the rows of W, which are columns of y, and walks the parts of W that hold them. Rows in
 * place go to the kernel directly. Rows in another form are multiplied as they are stored where the instruction set has
 * a kernel for their format, or else read a few at a time. x is rounded to bf16 first where W is bf16. The order of
 * summation (few.h) does not depend on m, on the threads or on the way the rows come, so a token's numbers do not depend
 * on the other rows of its call.
 */
#include "device/cpu/few.h"

#include "base/integer.h"
#include "device/cpu/cpu.h"
#include "device/cpu/kernels.h"
#include "device/cpu/quant_kernels.h"
#include "device/matrix.h"

/* Shares of threads are multiples of COLUMN_UNIT, so they never write to the same cache line of y. READ_ROWS of a
 * matrix that is not in place stay in the first cache until they are multiplied. Below SERIAL_PRODUCTS one thread takes
 * a few microseconds, about what waking the others costs. */
enum { COLUMN_UNIT = 16, READ_ROWS = 8, SERIAL_PRODUCTS = 1 << 17 };

/* What all threads work on. */
typedef struct few_product {
    const fr_matrix *w;
    fr_few whole; /* x, y and what else does not depend on the rows of W */
    fr_few_kernel *kernel;
    const fr_quant_kernels *formats;
    float *rows; /* READ_ROWS for each thread, or NULL: none need to be read */
} few_product;

/* Rows of one part of W, and the columns of y that they give. */
typedef struct few_rows {
    const fr_matrix_part *part;
    int64_t first; /* in the part */
    int64_t count;
    int64_t column; /* of the first */
} few_rows;

static fr_few_kernel *select_kernel(fr_isa isa)
{
    if (isa >= FR_ISA_AVX512) {
        return fr_few_avx512;
    }
    return isa >= FR_ISA_AVX2 ? fr_few_avx2 : fr_few_generic;
}

static void multiply_dense(const few_product *p, const void *rows, int64_t column,
                           int64_t count)
{
    fr_few few = p->whole;
    few.w = rows;
    few.columns = count;
    few.y += column;
    p->kernel(&few);
}

/* Neighbours in y need not be neighbours in memory. */
static void multiply_stored(const few_product *p, const few_rows *rows)
{
    const fr_few *whole = &p->whole;
    const fr_matrix_part *part = rows->part;
    size_t bytes = fr_quant_bytes(fr_quant_find(part->format), whole->depth);
    fr_quant_few few = {.depth = whole->depth,
                        .round = whole->dtype == FR_BF16,
                        .m = whole->m,
                        .x = whole->x,
                        .y_stride = whole->y_stride,
                        .add = whole->add};
    for (int64_t r = 0; r < rows->count; r += few.n_rows) {
        few.n_rows = fr_min(rows->count - r, FR_QUANT_FEW_ROWS);
        few.y = whole->y + rows->column + r;
        for (int64_t j = 0; j < few.n_rows; j++) {
            int64_t stored = fr_matrix_stored_row(part, rows->first + r + j);
            few.rows[j] = (const uint8_t *)part->rows + (size_t)stored * bytes;
        }
        p->formats->few[part->format](&few);
    }
}

/* `row` counts from the first row of W, as columns do. */
static void multiply_read(const few_product *p, const few_rows *rows, float *own)
{
    for (int64_t r = 0; r < rows->count; r += READ_ROWS) {
        int64_t n = fr_min(rows->count - r, READ_ROWS);
        fr_matrix_read(p->formats, p->w, rows->column + r, n, own);
        multiply_dense(p, own, rows->column + r, n);
    }
}

static bool is_read(const few_product *p, const fr_matrix_part *part)
{
    return fr_matrix_part_in_place(p->w, part) == NULL &&
           p->formats->few[part->format] == NULL;
}

static void multiply_rows(const few_product *p, const few_rows *rows, float *own)
{
    const char *dense = fr_matrix_part_in_place(p->w, rows->part);
    if (dense != NULL) {
        int64_t row_bytes = p->w->n_in * (int64_t)fr_dtype_bytes(p->w->dtype);
        multiply_dense(p, dense + rows->first * row_bytes, rows->column, rows->count);
    } else if (is_read(p, rows->part)) {
        multiply_read(p, rows, own);
    } else {
        multiply_stored(p, rows);
    }
}

/* One thread's share: rows [first, last) of W. */
static void multiply_share(const few_product *p, int64_t first, int64_t last,
                           float *own)
{
    few_rows rows = {.column = first};
    for (; rows.column < last; rows.column += rows.count) {
        rows.first = rows.column;
        rows.part = fr_matrix_find(p->w, &rows.first);
        rows.count = fr_min(rows.part->n_rows - rows.first, last - rows.column);
        multiply_rows(p, &rows, own);
    }
}

static void multiply_shares(const few_product *p, int n_threads)
{
    int64_t n_out = p->w->n_out;
    int64_t units = fr_ceil_div(n_out, COLUMN_UNIT);
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (int i = 0; i < n_threads; i++) {
        int64_t first = units * i / n_threads * COLUMN_UNIT;
        int64_t last = fr_min(units * (i + 1) / n_threads * COLUMN_UNIT, n_out);
        float *own = p->rows != NULL ? p->rows + i * READ_ROWS * p->w->n_in : NULL;
        multiply_share(p, first, last, own);
    }
}

/* x is rounded once for all threads. */
static fr_status multiply(fr_device *device, few_product *p)
{
    int64_t n = p->whole.m * p->w->n_in;
    int n_threads = n * p->w->n_out < SERIAL_PRODUCTS ? 1 : device->n_threads;
    float *rounded = NULL;
    bool reads = false;
    if (p->w->dtype == FR_BF16) {
        FR_TRY(fr_cpu_scratch(device, FR_SCRATCH_GEMM_LEFT, n, &rounded));
        fr_kernels_select(fr_cpu_of(device)->isa)->round_bf16(n, p->whole.x, rounded);
        p->whole.x = rounded;
    }
    for (int i = 0; i < p->w->n_parts; i++) {
        reads = reads || is_read(p, &p->w->parts[i]);
    }
    if (reads) {
        FR_TRY(fr_cpu_scratch(device, FR_SCRATCH_ROWS,
                              n_threads * READ_ROWS * p->w->n_in, &p->rows));
    }
    multiply_shares(p, n_threads);
    fr_device_progress(device);
    return FR_OK;
}

fr_status fr_cpu_linear_few(fr_device *device, int64_t m, fr_view x, const fr_matrix *w,
                            fr_view add, fr_view y)
{
    few_product product = {
        .w = w,
        .whole = {.m = m,
                  .depth = w->n_in,
                  .x = fr_view_floats(x),
                  .dtype = w->dtype,
                  .y = fr_view_floats(y),
                  .y_stride = w->n_out,
                  .add = fr_cpu_begin_sum(device, m * w->n_out, add, y)},
        .kernel = select_kernel(fr_cpu_of(device)->isa),
        .formats = fr_quant_kernels_select(fr_cpu_of(device)->isa)};
    return multiply(device, &product);
}
