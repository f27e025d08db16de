/*
 * attention_plan.h - a call of attention as its kernels have it (kernels_attention.h): lists made on the host from the segments.
 */
#ifndef FR_DEVICE_CUDA_ATTENTION_PLAN_H
#define FR_DEVICE_CUDA_ATTENTION_PLAN_H

#include "device/backend.h"
#include "device/cuda/attention_size.h"
#include "device/cuda/memory.h"

typedef struct fr_attend_plan {
    const fr_attention_params *params;
    int64_t group;
    fr_attend_size size;
    int64_t n_segments; /* those that have queries */
    int64_t n_tiles;
    int64_t n_keys;
    int64_t n_views;
    fr_attend_segment *segments;
    fr_attend_tile *tiles;
    fr_attend_keys *keys;
    fr_attend_view *views;
} fr_attend_plan;

/**
 * Segments and tiles of query rows; with `gradients` also tiles of keys and who sees them. dtype: of the call's views
 * @return FR_OK; FR_ERR_UNSUPPORTED: heads of more than FR_ATTEND_DIM numbers; FR_ERR_NO_MEMORY. *out is for
 *         fr_attend_plan_free in any case
 */
FR_MUST_CHECK fr_status fr_attend_plan_make(fr_device *device,
                                            const fr_attention_params *params,
                                            fr_dtype dtype,
                                            const fr_attention_gradients *gradients,
                                            fr_attend_plan *out);
void fr_attend_plan_free(fr_attend_plan *plan);

/** What all kernels take, with the plan's lists sent to the device. */
FR_MUST_CHECK fr_status fr_attend_send(fr_device *device, const fr_attend_plan *plan,
                                       fr_view q, fr_view k, fr_view v,
                                       fr_attend_back *out);

#endif
