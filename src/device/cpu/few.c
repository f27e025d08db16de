/*
 * Products of few rows (generation, short prompts): bound by reading W, so W is read once, in place, and nothing is
 * packed.
 *
 * Each thread takes a run of the rows of W, which are columns of y. Rows in memory go to the kernel directly. A
 * matrix that is read on demand multiplies its stored form itself (fr_matrix.multiply) or is read a few rows at a
 * time. x is rounded to bf16 first where W is bf16. The order of summation (device/few.h) does not depend on m, on
 * the threads or on the way the rows come, so a token's numbers do not depend on the other rows of its call.
 */
#include "device/cpu/few.h"

#include "base/integer.h"
#include "device/cpu/cpu.h"
#include "device/cpu/kernels.h"
#include "device/matrix.h"

/* Shares of threads are multiples of COLUMN_UNIT, so they never write to the same cache line of y. READ_ROWS of a
 * matrix on demand stay in the first cache until they are multiplied. Below SERIAL_PRODUCTS one thread takes a few
 * microseconds, about what waking the others costs. */
enum { COLUMN_UNIT = 16, READ_ROWS = 8, SERIAL_PRODUCTS = 1 << 17 };

static fr_few_kernel *select_kernel(fr_isa isa)
{
    if (isa >= FR_ISA_AVX512) {
        return fr_few_avx512;
    }
    return isa >= FR_ISA_AVX2 ? fr_few_avx2 : fr_few_generic;
}

/* The columns of y from `first` on that `count` rows of W at `rows` give. */
static void multiply_part(fr_few_kernel *kernel, const fr_few *whole, const void *rows,
                          int64_t first, int64_t count)
{
    fr_few part = *whole;
    part.w = rows;
    part.columns = count;
    part.y += first;
    kernel(&part);
}

/* Rows of a matrix that is read on demand: by the matrix itself if it can multiply, else some at a time in `rows`. */
static void multiply_read(fr_few_kernel *kernel, const fr_few *whole,
                          const fr_matrix *w, int64_t first, int64_t last, float *rows)
{
    if (w->multiply != NULL) {
        fr_few part = *whole;
        part.columns = last - first;
        part.y += first;
        w->multiply(w, first, &part);
        return;
    }
    for (int64_t row = first; row < last; row += READ_ROWS) {
        int64_t n = fr_min(last - row, READ_ROWS);
        fr_matrix_read(w, row, n, rows);
        multiply_part(kernel, whole, rows, row, n);
    }
}

static void multiply_shares(const fr_device *device, const fr_few *whole,
                            const fr_matrix *w, int n_threads, float *rows)
{
    fr_few_kernel *kernel = select_kernel(fr_cpu_of(device)->isa);
    int64_t row_bytes = w->n_in * (int64_t)fr_dtype_bytes(w->dtype);
    int64_t units = fr_ceil_div(w->n_out, COLUMN_UNIT);
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (int i = 0; i < n_threads; i++) {
        int64_t first = units * i / n_threads * COLUMN_UNIT;
        int64_t last = fr_min(units * (i + 1) / n_threads * COLUMN_UNIT, w->n_out);
        if (rows != NULL) {
            multiply_read(kernel, whole, w, first, last,
                          rows + i * READ_ROWS * w->n_in);
        } else {
            multiply_part(kernel, whole, (const char *)w->data + first * row_bytes,
                          first, last - first);
        }
    }
}

/* x is rounded once for all threads. */
static fr_status multiply(fr_device *device, const fr_matrix *w, fr_few *whole)
{
    int64_t n = whole->m * w->n_in;
    int n_threads = n * w->n_out < SERIAL_PRODUCTS ? 1 : device->n_threads;
    float *rounded = NULL;
    float *rows = NULL;
    if (w->dtype == FR_BF16) {
        FR_TRY(fr_cpu_scratch(device, FR_SCRATCH_GEMM_LEFT, n, &rounded));
        fr_kernels_select(fr_cpu_of(device)->isa)->round_bf16(n, whole->x, rounded);
        whole->x = rounded;
    }
    if (w->read != NULL) {
        FR_TRY(fr_cpu_scratch(device, FR_SCRATCH_ROWS, n_threads * READ_ROWS * w->n_in,
                              &rows));
    }
    multiply_shares(device, whole, w, n_threads, rows);
    fr_device_progress(device);
    return FR_OK;
}

/* Counted as FR_OP_LINEAR in the profile: to its caller it is the same operator. */
fr_status fr_cpu_linear_few(fr_device *device, int64_t m, const float *x,
                            const fr_matrix *w, bool accumulate, float *y)
{
    fr_few whole = {.m = m,
                    .depth = w->n_in,
                    .x = x,
                    .dtype = w->dtype,
                    .y = y,
                    .y_stride = w->n_out,
                    .add = accumulate};
    fr_status status = multiply(device, w, &whole);
    return status;
}
