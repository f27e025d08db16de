/*
 * lane.h - a lane (device/lane.h) of a GPU: a stream and an event of its own.
 */
#ifndef FR_DEVICE_CUDA_LANE_H
#define FR_DEVICE_CUDA_LANE_H

#include "device/cuda/runtime.h"

/* The functions of the table (backend.h). */
fr_status fr_cuda_lane_open(fr_device *device, fr_lane **out);
void fr_cuda_lane_close(fr_lane *lane);
void *fr_cuda_lane_stream(const fr_lane *lane);
void fr_cuda_lane_mark(fr_lane *lane);
bool fr_cuda_lane_passed(fr_lane *lane);

#endif
