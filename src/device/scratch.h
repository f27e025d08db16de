/*
 * scratch.h - memory that a device's operators take for themselves, beside what their callers give them: for forecasts.
 *
 * A device in the host's memory is not asked: what it takes is little, and stage_bytes.h knows it.
 */
#ifndef FR_DEVICE_SCRATCH_H
#define FR_DEVICE_SCRATCH_H

#include "device/device.h"

#include <stdint.h>

/** A matrix that products use, forward or backward. */
typedef struct fr_scratch_matrix {
    int64_t m; /* rows of a product, at most */
    int64_t n_out;
    int64_t n_in;
    bool in_parts;  /* it may be of several parts (fr_matrix) */
    bool on_demand; /* it may be one that is not in place */
} fr_scratch_matrix;

/** The largest calls of a stage's operators. */
typedef struct fr_scratch_shape {
    fr_dtype dtype;   /* of matrices */
    int64_t n_tokens; /* rows of a pass */
    int64_t n_units;
    int64_t length; /* of a prefix */
    int64_t n_heads;
    int64_t n_kv_heads;
    int64_t head_dim;
    int64_t n_targets; /* rows that losses are taken of; 0: no head */
    int64_t n_sampled; /* rows that tokens are drawn for; 0: none */
    int64_t vocab;
    int n_matrices;
    const fr_scratch_matrix *matrices; /* [n_matrices] */
} fr_scratch_shape;

/** Bytes that the kind "cuda" has for products by a library, where it uses one. */
enum { FR_SCRATCH_CUDA_PRODUCTS = 64 << 20 };

/** Bytes, at most. */
typedef int64_t fr_scratch_function(const fr_scratch_shape *shape);

/** Of the kind "cuda", also in a program that is built without it. */
int64_t fr_scratch_cuda(const fr_scratch_shape *shape);

#endif
