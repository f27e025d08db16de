/*
 * state.h - what a device consists of and what its operators share: scratch memory, progress and times. For the sources of
 * src/device alone; callers use device.h.
 *
 * Operators take the device's state and nothing else from this folder, and device.c calls no operator. So a backend lies above
 * both: today's is src/device/cpu, which looks up its kernels by `isa` at each call.
 */
#ifndef FR_DEVICE_STATE_H
#define FR_DEVICE_STATE_H

#include "device/device.h"
#include "device/profile.h"

/** One growing buffer per purpose; an operator uses only its own. */
typedef enum fr_scratch_use {
    FR_SCRATCH_GEMM_LEFT,  /* packed activations */
    FR_SCRATCH_GEMM_RIGHT, /* packed weights, one part a thread */
    FR_SCRATCH_ROWS,       /* rows of a matrix that is read on demand */
    FR_SCRATCH_ATTENTION,
    FR_SCRATCH_ATTENTION_BACK,
    FR_SCRATCH_USES
} fr_scratch_use;

typedef struct fr_scratch {
    float *data;
    int64_t count; /* floats */
} fr_scratch;

struct fr_device {
    fr_ctx *ctx; /* borrowed */
    int n_threads;
    fr_isa isa;
    fr_scratch scratch[FR_SCRATCH_USES];
    void (*progress)(void *); /* see fr_device_set_progress */
    void *progress_argument;
    bool is_profiled;
    fr_operator_time times[FR_OPERATORS];
};

/** One call of the progress function, if there is one; on the thread that called the operator. */
void fr_device_progress(const fr_device *device);

/** Around the body of an operator: what fr_operator_begin gave goes to fr_operator_end. `flops`: 0 where they are not
 * counted. */
int64_t fr_operator_begin(const fr_device *device);
void fr_operator_end(fr_device *device, fr_operator which, int64_t began,
                     int64_t flops);

/**
 * A buffer of at least `count` floats, 64-byte aligned, kept until the device ends: only a larger count
 * than before allocates. Contents are undefined. Valid until the next call for the same use.
 * To be called outside parallel regions; for per-thread parts ask for n_threads times the part.
 *
 * @return FR_OK; FR_ERR_NO_MEMORY (*out = NULL)
 */
FR_MUST_CHECK fr_status fr_device_scratch(fr_device *device, fr_scratch_use use,
                                          int64_t count, float **out);

/** Free all buffers; for fr_device_destroy. */
void fr_device_free_scratch(fr_device *device);

#endif
