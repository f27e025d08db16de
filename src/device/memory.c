/* The memory of a device that works in the host's: copies are done when they return. */
#include "device/memory.h"

#include "base/mem.h"
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

void fr_device_copy(fr_device *device, void *to, const void *from, int64_t bytes)
{
    (void)device;
    memcpy(to, from, (size_t)bytes);
}

void fr_device_zero(fr_device *device, void *to, int64_t bytes)
{
    (void)device;
    memset(to, 0, (size_t)bytes);
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
