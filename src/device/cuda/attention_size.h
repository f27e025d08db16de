/*
 * attention_size.h - which kernels compute a call of attention, and how they are started.
 *
 * Views in bf16 with heads of 64, 96, 128 or 256 numbers are taken by kernels_attention_tensor.h, all others by kernels_attention.h. The
 * choice depends on the type and the heads alone, so rows have the same bits in each call.
 */
#ifndef FR_DEVICE_CUDA_ATTENTION_SIZE_H
#define FR_DEVICE_CUDA_ATTENTION_SIZE_H

#include "device/cuda/runtime.h"

typedef struct fr_attend_size {
    bool on_tensor_cores;
    unsigned kernel; /* of four kernels of a kind, by heads */
    unsigned type;   /* of the views: fr_cuda_digits_1 */
    int64_t head_dim;
    int64_t rows; /* of a tile */
} fr_attend_size;

/** head_dim: at most FR_ATTEND_DIM; back: whether for the backward kernels */
fr_attend_size fr_attend_size_of(int64_t head_dim, fr_dtype dtype, bool back);

typedef enum fr_attend_pass {
    FR_ATTEND_FORWARD,
    FR_ATTEND_QUERY_BACK,
    FR_ATTEND_KEY_BACK
} fr_attend_pass;

/** A start for so many tiles, of query rows or of keys, of each key/value head. */
fr_cuda_start fr_attend_start(const fr_attend_size *size, fr_attend_pass pass,
                              int64_t n_tiles, int64_t n_kv_heads);

/** Whether rows so far apart all begin where the kernels can read and write as many numbers at once as they like to. `number`: bytes of one */
bool fr_attend_is_wide(const fr_attend_size *size, const void *at, size_t number,
                       int64_t stride);

#endif
