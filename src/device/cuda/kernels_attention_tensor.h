/*
 * kernels_attention_tensor.h - kernels of attention on tensor cores: their sizes and names (kernels.h).
 *
 * They take what the kernels of kernels_attention.h take, with views in bf16 and heads of as many numbers as their name says; keys, values and
 * what is written may begin anywhere, but rows are copied by 16 bytes only where fr_attend.wide says so.
 */
#ifndef FR_DEVICE_CUDA_KERNELS_ATTENTION_TENSOR_H
#define FR_DEVICE_CUDA_KERNELS_ATTENTION_TENSOR_H

#include "device/cuda/kernels_attention.h"

/* A tile's own rows, and rows of what passes by in a step; of the backward kernels likewise. With more rows sums and addresses do not fit
 * in registers. */
#define FR_ATTEND_TENSOR_ROWS(dim) ((dim) > 96 ? 64 : 128)
#define FR_ATTEND_TENSOR_STEP(dim) ((dim) > 64 ? 32 : 64)
#define FR_ATTEND_TENSOR_ROWS_BACK(dim) 64
#define FR_ATTEND_TENSOR_STEP_BACK(dim) ((dim) > 128 ? 16 : 32)

/* Columns of dK and dV that a block of attend_tensor_key_back computes: its sums of more do not fit in registers. */
#define FR_ATTEND_TENSOR_PART(dim) ((dim) > 128 ? 128 : (dim))

/** A query row as the kernel for keys has it, while it passes by: keys of the run that it sees, and what it brings along. */
typedef struct fr_attend_fact {
    int32_t low; /* sees keys [low, high) of the run */
    int32_t high;
    int32_t token; /* in the segment */
    float slope;
    float lse; /* to base 2 */
    float delta;
} fr_attend_fact;

/** Bytes of shared memory: `own` matrices of a tile's own rows, then two stages of two matrices that pass by. */
#define FR_ATTEND_TENSOR_SHARED(dim, own, rows, step)                                  \
    (((own) * (rows) + 4 * (step)) * (dim)*2)
#define FR_ATTEND_TENSOR_SHARED_FACTS(step) (2 * (step) * (int)sizeof(fr_attend_fact))

/** A query row as the kernel forward has it, all the time. */
typedef struct fr_attend_row {
    int32_t token; /* in the segment */
    float slope;
} fr_attend_row;

/* attend_tensor: blocks of (tile, key/value head); _query_back: dQ, likewise; _key_back: dK and dV, of (part of (keys), key/value head). */
#define FR_KERNELS_ATTENTION_TENSOR(K, K1, K2, K3)                                     \
    K(attend_tensor_64)                                                                \
    K(attend_tensor_96)                                                                \
    K(attend_tensor_128)                                                               \
    K(attend_tensor_256)                                                               \
    K(attend_tensor_query_back_64)                                                     \
    K(attend_tensor_query_back_96)                                                     \
    K(attend_tensor_query_back_128)                                                    \
    K(attend_tensor_query_back_256)                                                    \
    K(attend_tensor_key_back_64)                                                       \
    K(attend_tensor_key_back_96)                                                       \
    K(attend_tensor_key_back_128)                                                      \
    K(attend_tensor_key_back_256)

#endif
