/*
 * lane.h - a second order of work of a device, for a library that asks the GPU for work by itself.
 *
 * A lane is a stream of the device's, which the library gets as the driver's handle. What stands on it is behind nothing and before
 * nothing of the device's own work: the caller waits for a mark of the device (memory.h) before work on the lane may begin, and for
 * the lane's mark before the device goes on with what came of it. Devices in the host's memory have none. Not thread-safe, like the
 * device.
 */
#ifndef FR_DEVICE_LANE_H
#define FR_DEVICE_LANE_H

#include "device/memory.h"

typedef struct fr_lane fr_lane;

/** @return FR_OK; FR_ERR_UNSUPPORTED: the device has none;
 * FR_ERR_NO_MEMORY; FR_ERR_DEVICE */
FR_MUST_CHECK fr_status fr_lane_open(fr_device *device, fr_lane **out);
/** Before the device is destroyed; accepts NULL inside, nulls the pointer. Waits for what is on the lane, which its library has
 * ended or aborted before: memory may be freed then that it used. */
void fr_lane_close(fr_lane **lane);

/** The driver's handle: a CUstream. Lives as long as the lane. */
void *fr_lane_stream(const fr_lane *lane);

/** Put the lane's one mark behind all that it was asked so far. */
void fr_lane_mark(fr_lane *lane);
/** Whether everything before the mark is done. Never blocks. A device that has failed says so, as its own marks do
 * (fr_device_check). */
bool fr_lane_passed(fr_lane *lane);

#endif
