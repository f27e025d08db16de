/*
 * kernels_norms.h - kernels of norms over rows and over heads: what they take, and their names (kernels.h).
 *
 * Pointers to numbers of a view are void. The sums of a row run in a tree of their own (row_shape.h), so results differ from
 * the CPU's by roundings of sums, at most 2e-6 of the row's largest in tests. For given sums they have the CPU's bits: the
 * operations on each number are the CPU's, in its order.
 */
#ifndef FR_DEVICE_CUDA_KERNELS_NORMS_H
#define FR_DEVICE_CUDA_KERNELS_NORMS_H

#include "device/cuda/row_shape.h"

#define FR_KERNELS_NORMS(K, K1, K2, K3)                                                \
    K2(rmsnorm)        /* x, y */                                                      \
    K2(rmsnorm_back)   /* x, dy */                                                     \
    K1(rmsnorm_turn)   /* x, dy and dx */                                              \
    K2(layernorm)      /* x, y */                                                      \
    K2(layernorm_back) /* x, dy */

typedef struct fr_norm_arguments {
    fr_row_shape shape;
    const void *x;
    const float *w;
    const float *b; /* layernorm's */
    void *y;
    float *stats; /* of each row: rstd, or layernorm's mean and rstd; NULL: not kept */
    float eps;
} fr_norm_arguments;

typedef struct fr_norm_back_arguments {
    fr_row_shape shape;
    const void *x;
    const float *w;
    const float *stats;
    const void *dy;
    void *dx; /* added to, in f32; rmsnorm_turn: written */
    void *
        again; /* gets what dx does, in the type of dy, which it may be; NULL: not wanted */
} fr_norm_back_arguments;

#endif
