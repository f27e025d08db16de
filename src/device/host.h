/*
 * host.h - numbers of the host as those of a device that works in the host's memory (fr_device_in_host_memory): for code of
 * the host that computes with operators, and for tests. On memory for any other device these lead to a crash.
 *
 * As in strchr, a constant may go in and come out as what an operator takes.
 */
#ifndef FR_DEVICE_HOST_H
#define FR_DEVICE_HOST_H

#include "device/memory.h"

static inline fr_f32 *fr_host_f32(const float *x)
{
    return (fr_f32 *)(uintptr_t)x;
}

static inline fr_view fr_host_view(const float *x)
{
    return fr_view_f32(fr_host_f32(x));
}

static inline fr_f64 *fr_host_f64(const double *x)
{
    return (fr_f64 *)(uintptr_t)x;
}

static inline fr_i32 *fr_host_i32(const int32_t *x)
{
    return (fr_i32 *)(uintptr_t)x;
}

static inline fr_i64 *fr_host_i64(const int64_t *x)
{
    return (fr_i64 *)(uintptr_t)x;
}

static inline fr_byte *fr_host_bytes(const void *x)
{
    return (fr_byte *)(uintptr_t)x;
}

#endif
