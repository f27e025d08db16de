/*
 * kernels_loss.h - kernels of logits, losses and exact sums: what they take, and their names (kernels.h).
 */
#ifndef FR_DEVICE_CUDA_KERNELS_LOSS_H
#define FR_DEVICE_CUDA_KERNELS_LOSS_H

#include <stdint.h>

/* How products become logits: y = scale x, then cap tanh(y inverse_cap) with a cap. Without a shape: scale 1, cap 0. */
typedef struct fr_shape_numbers {
    float scale;
    float cap;
    float inverse_cap; /* 1 / cap, as f32 */
} fr_shape_numbers;

typedef struct fr_shape_logits_arguments {
    float *logits;
    int64_t n;
    fr_shape_numbers shape;
} fr_shape_logits_arguments;

typedef struct fr_cross_entropy_arguments {
    float *logits_RV;
    const int32_t *targets_R;
    double *nll_R;
    int64_t n_rows;
    int64_t vocab;
    fr_shape_numbers shape;
    int32_t has_shape;
    int32_t want_gradient;
} fr_cross_entropy_arguments;

/* Shared memory of a block of cross_entropy: what each warp found. */
enum { FR_LOSS_WARPS = 32 };
typedef struct fr_loss_shared {
    double sum[FR_LOSS_WARPS];
    float max[FR_LOSS_WARPS];
    int32_t finite[FR_LOSS_WARPS];
} fr_loss_shared;

typedef struct fr_exact_arguments {
    const float *g_Un; /* exact_add */
    const double *x_n; /* exact_add_numbers */
    int64_t *sum;
    int64_t *n_refused;
    int64_t n_units;
    int64_t n;
    double scale; /* 2^exponent */
} fr_exact_arguments;

#define FR_KERNELS_LOSS(K, K1, K2, K3)                                                 \
    K(shape_logits) K(cross_entropy) K(exact_add) K(exact_add_numbers)

#endif
