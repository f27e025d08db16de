/* Storing, reading back and gathering rows, and the plain sum: bound by memory, shared among the threads
 * in chunks of CHUNK numbers. */
#include "device/cpu/kernels.h"
#include "device/device_impl.h"

#include <string.h>

enum { CHUNK = 4096 };

static int64_t chunk_length(int64_t n, int64_t start)
{
    return n - start < CHUNK ? n - start : CHUNK;
}

void fr_save(fr_device *device, int64_t n, fr_dtype dtype, float *x, void *saved)
{
    const fr_kernels *kernels = fr_kernels_select(device->isa);
    int threads = fr_kernels_threads(device->n_threads, n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < n; start += CHUNK) {
        uint16_t unused[CHUNK];
        int64_t length = chunk_length(n, start);
        if (dtype == FR_BF16) {
            kernels->save_bf16(length, x + start,
                               saved != NULL ? (uint16_t *)saved + start : unused);
        } else if (saved != NULL) {
            memcpy((float *)saved + start, x + start, (size_t)length * sizeof *x);
        }
    }
}

void fr_restore(fr_device *device, int64_t n, fr_dtype dtype, const void *saved,
                float *x)
{
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
}

void fr_gather_rows(fr_device *device, int64_t n_tokens, int64_t width,
                    const int32_t *ids, fr_dtype dtype, const void *table, float *y_TD)
{
    const fr_kernels *kernels = fr_kernels_select(device->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        int64_t row = ids[t] * width;
        float *y = y_TD + t * width;
        if (dtype == FR_BF16) {
            kernels->widen_bf16(width, (const uint16_t *)table + row, y);
        } else {
            memcpy(y, (const float *)table + row, (size_t)width * sizeof *y);
        }
    }
}

void fr_add(fr_device *device, int64_t n, const float *x, float *y)
{
    const fr_kernels *kernels = fr_kernels_select(device->isa);
    int threads = fr_kernels_threads(device->n_threads, n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < n; start += CHUNK) {
        kernels->add(chunk_length(n, start), x + start, y + start);
    }
}
