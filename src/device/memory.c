/* The memory of a device that works in the host's: copies are done when they return. What moves within the device is
 * shared among the threads, as one core does not use the bandwidth of a processor. */
#include "device/memory.h"

#include "base/integer.h"
#include "base/mem.h"
#include "device/cpu/kernels.h"
#include "device/state.h"

#include <stdlib.h>
#include <string.h>

fr_status fr_device_alloc(fr_device *device, int64_t count, size_t size, void *out)
{
    return fr_alloc(device->ctx, count, size, out);
}

void fr_device_free(fr_device *device, void *memory)
{
    (void)device;
    free(memory);
}

fr_status fr_host_alloc(fr_device *device, int64_t count, size_t size, void *out)
{
    return fr_alloc(device->ctx, count, size, out);
}

void fr_host_free(fr_device *device, void *memory)
{
    (void)device;
    free(memory);
}

void fr_device_put(fr_device *device, void *to, const void *from, int64_t bytes)
{
    (void)device;
    memcpy(to, from, (size_t)bytes);
}

void fr_device_get(fr_device *device, void *to, const void *from, int64_t bytes)
{
    (void)device;
    memcpy(to, from, (size_t)bytes);
}

/* Bytes of a thread's chunk: long enough for the processor's prefetch and short enough for an even share. */
enum { CHUNK = 16 << 10 };

void fr_device_copy(fr_device *device, void *to, const void *from, int64_t bytes)
{
    int64_t began = fr_operator_begin(device);
    int threads = fr_kernels_threads(device->n_threads, bytes / (int64_t)sizeof(float));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < bytes; start += CHUNK) {
        memcpy((char *)to + start, (const char *)from + start,
               (size_t)fr_min(bytes - start, CHUNK));
    }
    fr_operator_end(device, FR_OP_STORAGE, began, 0);
}

void fr_device_zero(fr_device *device, void *to, int64_t bytes)
{
    int64_t began = fr_operator_begin(device);
    int threads = fr_kernels_threads(device->n_threads, bytes / (int64_t)sizeof(float));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < bytes; start += CHUNK) {
        memset((char *)to + start, 0, (size_t)fr_min(bytes - start, CHUNK));
    }
    fr_operator_end(device, FR_OP_STORAGE, began, 0);
}

fr_mark fr_device_mark(fr_device *device)
{
    (void)device;
    return (fr_mark){0};
}

bool fr_device_passed(fr_device *device, fr_mark mark)
{
    (void)device;
    (void)mark;
    return true;
}
