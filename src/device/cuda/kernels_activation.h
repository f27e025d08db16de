/*
 * kernels_activation.h - kernels of activations: what they take, and their names (kernels.h).
 *
 * Results in f32 have the CPU's bits. Rows and numbers are independent of each other.
 */
#ifndef FR_DEVICE_CUDA_KERNELS_ACTIVATION_H
#define FR_DEVICE_CUDA_KERNELS_ACTIVATION_H

#include <stdint.h>

/* Rows of gate and up, as activation.h has them. Of the types X of all views and S of saved: `saved` is NULL or of 2F a row.
 * A thread's items in a row lie `step` items apart; an item is a group of numbers where `wide`, else a number. */
typedef struct fr_gated_arguments {
    void *gate_up;
    void *saved;
    const void *dy;
    void *out; /* y, or dgate_up */
    int64_t n_tokens;
    int64_t width;
    int64_t step;
    int32_t activation; /* fr_activation */
    int32_t wide;
} fr_gated_arguments;

/* y = activation(x), or dx = activation'(x) dy, of n numbers, of which the first n_groups groups are taken at once. */
typedef struct fr_activate_arguments {
    const void *x;
    const void *dy;
    void *out;
    int64_t n;
    int64_t n_groups;
    int32_t activation;
    int32_t padding;
} fr_activate_arguments;

#define FR_KERNELS_ACTIVATION(K, K1, K2, K3)                                           \
    K1(gated)                                                                          \
    K1(gated_back)                                                                     \
    K2(save_gated)         /* X, S */                                                  \
    K2(restore_gated_back) /* S, X */                                                  \
    K1(activate)                                                                       \
    K1(activate_back)

#endif
