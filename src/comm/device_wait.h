/*
 * device_wait.h - wait for a device as for a message: other messages and the watch go on meanwhile.
 */
#ifndef FR_COMM_DEVICE_WAIT_H
#define FR_COMM_DEVICE_WAIT_H

#include "comm/group.h"
#include "device/memory.h"

/** Until everything before `mark` is done: then what fr_device_get was asked for before it has arrived. As fr_group_wait_until,
 * it does not call the progress function. Local; `group` is any that this rank is in.
 * @return fr_device_check: marks of a device that has failed have passed, and what it was to bring has not come */
FR_MUST_CHECK fr_status fr_group_wait_device(fr_group *group, fr_device *device,
                                             fr_mark mark);

#endif
