#include "device/profile.h"

#include "device/state.h"

#include <string.h>

/* In the order of fr_operator. */
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
