#include "comm/device_wait.h"

typedef struct place_in_order {
    fr_device *device;
    fr_mark mark;
} place_in_order;

static bool has_passed(void *argument)
{
    const place_in_order *place = argument;
    return fr_device_passed(place->device, place->mark);
}

fr_status fr_group_wait_device(fr_group *group, fr_device *device, fr_mark mark)
{
    place_in_order place = {device, mark};
    fr_group_wait_until(group, "device", has_passed, &place);
    return fr_device_check(device);
}
