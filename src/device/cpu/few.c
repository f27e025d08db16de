#include "device/cpu/few.h"

#include "device/cpu/gemm.h"
#include "device/device_impl.h"

enum {
    COLUMN_UNIT = 16,         /* a thread's share is a multiple: one cache line of y */
    SERIAL_PRODUCTS = 1 << 17 /* below, waking threads costs more than it brings */
};

static fr_few_kernel *select_kernel(fr_isa isa)
{
    if (isa >= FR_ISA_AVX512) {
        return fr_few_avx512;
    }
    return isa >= FR_ISA_AVX2 ? fr_few_avx2 : fr_few_generic;
}

/* Rows [first, last) of W for thread `index`. */
static fr_few share_of(const fr_few *whole, int index, int n_threads)
{
    int64_t units = (whole->columns + COLUMN_UNIT - 1) / COLUMN_UNIT;
    int64_t first = units * index / n_threads * COLUMN_UNIT;
    int64_t last = units * (index + 1) / n_threads * COLUMN_UNIT;
    fr_few part = *whole;
    last = last < whole->columns ? last : whole->columns;
    part.columns = last - first;
    part.w = (const char *)whole->w +
             (size_t)(first * whole->depth) * fr_dtype_bytes(whole->dtype);
    part.y += first;
    return part;
}

static fr_status multiply(fr_device *device, fr_few *whole)
{
    fr_few_kernel *kernel = select_kernel(device->isa);
    int64_t n = whole->m * whole->depth;
    int n_threads = n * whole->columns < SERIAL_PRODUCTS ? 1 : device->n_threads;
    if (whole->dtype == FR_BF16) {
        float *rounded = NULL;
        FR_TRY(fr_device_scratch(device, FR_SCRATCH_GEMM_LEFT, n, &rounded));
        device->gemm->copy_left(n, true, whole->x, rounded);
        whole->x = rounded;
    }
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (int i = 0; i < n_threads; i++) {
        fr_few part = share_of(whole, i, n_threads);
        kernel(&part);
    }
    fr_device_progress(device);
    return FR_OK;
}

fr_status fr_linear_few(fr_device *device, int64_t m, const float *x,
                        const fr_matrix *w, bool accumulate, float *y)
{
    int64_t began = fr_operator_begin(device);
    fr_few whole = {.m = m,
                    .columns = w->n_out,
                    .depth = w->n_in,
                    .x = x,
                    .w = w->data,
                    .dtype = w->dtype,
                    .y = y,
                    .y_stride = w->n_out,
                    .add = accumulate};
    fr_status status = multiply(device, &whole);
    fr_operator_end(device, FR_OP_LINEAR, began, 2 * m * w->n_out * w->n_in);
    return status;
}
