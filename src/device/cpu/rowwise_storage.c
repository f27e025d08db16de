/* Storing, reading back and gathering rows, and the plain sum: bound by memory, shared among the threads
 * in chunks of CHUNK numbers. */
#include "device/cpu/kernels.h"
#include "device/device_impl.h"

#include <omp.h>
#include <string.h>

enum { CHUNK = 4096 };

static int64_t chunk_length(int64_t n, int64_t start)
{
    return n - start < CHUNK ? n - start : CHUNK;
}

void fr_save(fr_device *device, int64_t n, fr_dtype dtype, float *x, void *saved)
{
    int64_t began = fr_operator_begin(device);
    const fr_kernels *kernels = fr_kernels_select(device->isa);
    int threads = fr_kernels_threads(device->n_threads, n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < n; start += CHUNK) {
        int64_t length = chunk_length(n, start);
        if (dtype == FR_BF16) {
            kernels->save_bf16(length, x + start, (uint16_t *)saved + start);
        } else {
            memcpy((float *)saved + start, x + start, (size_t)length * sizeof *x);
        }
    }
    fr_operator_end(device, FR_OP_STORAGE, began, 0);
}

void fr_restore(fr_device *device, int64_t n, fr_dtype dtype, const void *saved,
                float *x)
{
    int64_t began = fr_operator_begin(device);
    const fr_kernels *kernels = fr_kernels_select(device->isa);
    int threads = fr_kernels_threads(device->n_threads, n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < n; start += CHUNK) {
        int64_t length = chunk_length(n, start);
        if (dtype == FR_BF16) {
            kernels->widen_bf16(length, (const uint16_t *)saved + start, x + start);
        } else {
            memcpy(x + start, (const float *)saved + start, (size_t)length * sizeof *x);
        }
    }
    fr_operator_end(device, FR_OP_STORAGE, began, 0);
}

/* `row` is room for one, needed where rows in bf16 lie nowhere. */
static void gather_row(const fr_kernels *kernels, const fr_matrix *table, int64_t id,
                       uint16_t *row, float *y)
{
    if (table->dtype == FR_F32) {
        fr_matrix_read(table, id, 1, y);
        return;
    }
    const uint16_t *from = (const uint16_t *)table->data + id * table->n_in;
    if (table->read != NULL) {
        fr_matrix_read(table, id, 1, row);
        from = row;
    }
    kernels->widen_bf16(table->n_in, from, y);
}

fr_status fr_gather_rows(fr_device *device, int64_t n_tokens, const int32_t *ids,
                         const fr_matrix *table, float *y_TD)
{
    int64_t began = fr_operator_begin(device);
    const fr_kernels *kernels = fr_kernels_select(device->isa);
    int64_t width = table->n_in;
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
    float *rows = NULL;
    if (table->read != NULL && table->dtype == FR_BF16) {
        FR_TRY(fr_device_scratch(device, FR_SCRATCH_ROWS, threads * width, &rows));
    }
#pragma omp parallel num_threads(threads)
    {
        float *own = rows != NULL ? rows + omp_get_thread_num() * width : NULL;
#pragma omp for schedule(static)
        for (int64_t t = 0; t < n_tokens; t++) {
            gather_row(kernels, table, ids[t], (uint16_t *)(void *)own,
                       y_TD + t * width);
        }
    }
    fr_operator_end(device, FR_OP_STORAGE, began, 0);
    return FR_OK;
}

void fr_add(fr_device *device, int64_t n, const float *x, float *y)
{
    int64_t began = fr_operator_begin(device);
    const fr_kernels *kernels = fr_kernels_select(device->isa);
    int threads = fr_kernels_threads(device->n_threads, n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < n; start += CHUNK) {
        kernels->add(chunk_length(n, start), x + start, y + start);
    }
    fr_operator_end(device, FR_OP_STORAGE, began, 0);
}
