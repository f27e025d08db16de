/*
 * device_impl.h - what a device is made of, for the sources of src/device alone.
 */
#ifndef FR_DEVICE_DEVICE_IMPL_H
#define FR_DEVICE_DEVICE_IMPL_H

#include "device/device.h"
#include "device/profile.h"

/** One growing buffer per purpose; an operator uses only its own slots. */
typedef enum fr_scratch_slot {
    FR_SCRATCH_GEMM_LEFT,  /* packed activations */
    FR_SCRATCH_GEMM_RIGHT, /* packed weights, one part a thread */
    FR_SCRATCH_ROWS,       /* rows of a matrix that lies nowhere as a whole */
    FR_SCRATCH_ATTENTION,
    FR_SCRATCH_ATTENTION_BACK,
    FR_SCRATCH_LOSS,
    FR_SCRATCH_SLOTS
} fr_scratch_slot;

typedef struct fr_scratch {
    float *data;
    int64_t count; /* floats */
} fr_scratch;

struct fr_gemm_kernel;

struct fr_device {
    fr_ctx *ctx; /* borrowed */
    int n_threads;
    fr_isa isa;
    fr_scratch scratch[FR_SCRATCH_SLOTS];
    void (*progress)(void *); /* see fr_device_set_progress */
    void *progress_argument;
    const struct fr_gemm_kernel *gemm[FR_BF16 + 1]; /* by the weights' type */
    bool is_profiled;
    fr_operator_time times[FR_OPERATORS];
};

/** One call of the progress function, if there is one; on the thread that called the operator. */
void fr_device_progress(const fr_device *device);

/** Around the body of an operator: what fr_operator_begin gave goes to fr_operator_end. */
int64_t fr_operator_begin(const fr_device *device);
void fr_operator_end(fr_device *device, fr_operator which, int64_t began,
                     int64_t flops);

/**
 * A buffer of at least `count` floats, 64-byte aligned, kept until the device ends: only a larger count
 * than before allocates. Contents are undefined. Valid until the next call for the same slot.
 * To be called outside parallel regions; for per-thread parts ask for n_threads times the part.
 *
 * @return FR_OK; FR_ERR_NO_MEMORY (*out = NULL)
 */
FR_MUST_CHECK fr_status fr_device_scratch(fr_device *device, fr_scratch_slot slot,
                                          int64_t count, float **out);

#endif
