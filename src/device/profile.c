#include "device/profile.h"

#include "base/clock.h"
#include "device/device_impl.h"

#include <string.h>

const char *fr_operator_name(fr_operator which)
{
    static const char *const NAMES[FR_OPERATORS] = {
        "linear",    "linear back", "attention",  "attention back",  "norm",
        "norm back", "rope",        "activation", "activation back", "storage",
        "loss",      "exact sum"};
    return NAMES[which];
}

void fr_device_profile_start(fr_device *device)
{
    memset(device->times, 0, sizeof device->times);
    device->is_profiled = true;
}

const fr_operator_time *fr_device_profile(const fr_device *device)
{
    return device->times;
}

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
