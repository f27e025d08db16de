#include "device/state.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>

void fr_device_progress(const fr_device *device)
{
    if (device->progress != NULL) {
        device->progress(device->progress_argument);
    }
}

/* Without a profile the clock is not read: some operators take less time than that. */
int64_t fr_operator_begin(const fr_device *device)
{
    return device->is_profiled ? fr_clock_ns() : 0;
}

void fr_operator_end(fr_device *device, fr_operator which, int64_t began, int64_t flops)
{
    if (device->is_profiled) {
        device->times[which].calls++;
        device->times[which].ns += fr_clock_ns() - began;
        device->times[which].flops += flops;
    }
}

/* One buffer for each use, which only grows. So a run allocates in its first step, and the content of a buffer is
 * lost with the next call for the same use. */
fr_status fr_device_scratch(fr_device *device, fr_scratch_use use, int64_t count,
                            float **out)
{
    fr_scratch *scratch = &device->scratch[use];
    *out = NULL;
    if (count > scratch->count || scratch->data == NULL) {
        free(scratch->data);
        scratch->count = 0;
        FR_TRY(fr_alloc(device->ctx, count, sizeof *scratch->data, &scratch->data));
        scratch->count = count;
    }
    *out = scratch->data;
    return FR_OK;
}

void fr_device_free_scratch(fr_device *device)
{
    for (int use = 0; use < FR_SCRATCH_USES; use++) {
        free(device->scratch[use].data);
    }
}
