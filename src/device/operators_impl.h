/*
 * operators_impl.h - what every public operator does around the device's own function, shared by operators*.c: it checks
 * its arguments and takes the time.
 *
 * What is checked is what would otherwise read or write beside a buffer whatever the device, and is known without
 * looking into memory: counts, widths, strides, pairs and types. A caller that breaks a contract has a fault, so nothing is
 * repaired: the operator does nothing, and the device remembers the first of them (fr_device_check).
 */
#ifndef FR_DEVICE_OPERATORS_IMPL_H
#define FR_DEVICE_OPERATORS_IMPL_H

#include "base/clock.h"
#include "device/backend.h"

/* Without a profile the clock is not read: some operators take less time than that. */
static inline int64_t begin(const fr_device *device)
{
    return device->is_profiled ? fr_clock_ns() : 0;
}

static inline void end(fr_device *device, fr_operator which, int64_t began,
                       int64_t flops)
{
    if (device->is_profiled) {
        device->times[which].calls++;
        device->times[which].ns += fr_clock_ns() - began;
        device->times[which].flops += flops;
    }
}

/* Whether the operator may run: its arguments can be taken, and nothing has gone wrong before. */
static inline bool takes(fr_device *device, fr_operator which, bool good)
{
    if (!good && !device->has_failed) {
        device->has_failed = true;
        device->failed = which;
    }
    return !device->has_failed;
}

/* Whether the device works in the type of each view. */
static inline bool can_work(const fr_device *device, int n, const fr_view *views)
{
    fr_dtype work = device->ops->work(device, FR_BF16);
    bool good = true;
    for (int i = 0; i < n; i++) {
        good = good && (views[i].dtype == FR_F32 || views[i].dtype == work);
    }
    return good;
}

/* The same, and whether all that are not none have the type of the first. */
static inline bool are_alike(const fr_device *device, int n, const fr_view *views)
{
    bool good = can_work(device, n, views);
    for (int i = 1; i < n; i++) {
        good = good && (views[i].at == NULL || views[i].dtype == views[0].dtype);
    }
    return good;
}

static inline bool can_keep(const fr_device *device, fr_view saved)
{
    return saved.dtype == FR_F32 || saved.dtype == device->ops->kept(device, FR_BF16);
}

#define VIEWS(...)                                                                     \
    (int)(sizeof((fr_view[]){__VA_ARGS__}) / sizeof(fr_view)), (fr_view[])             \
    {                                                                                  \
        __VA_ARGS__                                                                    \
    }
/** can_work and are_alike of the views that are named. */
#define WORKS(device, ...) can_work(device, VIEWS(__VA_ARGS__))
#define ALIKE(device, ...) are_alike(device, VIEWS(__VA_ARGS__))

#endif
