/*
 * cuda.h - NVIDIA's GPUs as a kind of device.
 */
#ifndef FR_DEVICE_CUDA_CUDA_H
#define FR_DEVICE_CUDA_CUDA_H

#include "device/backend.h"

extern const fr_backend fr_cuda_backend;

/** The GPU of that number, with own products. Errors as fr_device_create; FR_ERR_DEVICE: the driver refuses something. */
FR_MUST_CHECK fr_status fr_cuda_create(fr_ctx *ctx, int ordinal, int n_threads,
                                       fr_device **out);

#endif
