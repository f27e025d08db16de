/*
 * kernels.h - the kernels of the backend by number, and how they are named.
 *
 * Each part has a header with the structures that its kernels take and a list of the kernels:
 *
 *     K(name)         one kernel
 *     K1(name)        name_0, name_1: a digit for each view, 0 for f32 and 1 for bf16
 *     K2(name)        name_00, name_01, name_10, name_11
 *     K3(name)        name_000 ... name_111
 *
 * The host starts the kernel number FR_KERNEL_<first name> + fr_cuda_digits_1, _2 or _3. Structures have the same layout for the
 * host's compiler, nvcc and the emulation: pointers, int64_t, int32_t, float and double alone. Pointers are the device's.
 */
#ifndef FR_DEVICE_CUDA_KERNELS_H
#define FR_DEVICE_CUDA_KERNELS_H

#include "device/cuda/kernels_activation.h"
#include "device/cuda/kernels_attention.h"
#include "device/cuda/kernels_attention_tensor.h"
#include "device/cuda/kernels_heads.h"
#include "device/cuda/kernels_loss.h"
#include "device/cuda/kernels_norms.h"
#include "device/cuda/kernels_product.h"
#include "device/cuda/kernels_product_tensor.h"
#include "device/cuda/kernels_rows.h"
#include "device/cuda/kernels_sample.h"
#include "device/cuda/kernels_widen.h"

#define FR_CUDA_KERNELS(K, K1, K2, K3)                                                 \
    FR_KERNELS_NORMS(K, K1, K2, K3)                                                    \
    FR_KERNELS_HEADS(K, K1, K2, K3)                                                    \
    FR_KERNELS_ACTIVATION(K, K1, K2, K3)                                               \
    FR_KERNELS_ROWS(K, K1, K2, K3)                                                     \
    FR_KERNELS_LOSS(K, K1, K2, K3)                                                     \
    FR_KERNELS_SAMPLE(K, K1, K2, K3)                                                   \
    FR_KERNELS_ATTENTION(K, K1, K2, K3)                                                \
    FR_KERNELS_ATTENTION_TENSOR(K, K1, K2, K3)                                         \
    FR_KERNELS_WIDEN(K, K1, K2, K3)                                                    \
    FR_KERNELS_PRODUCT(K, K1, K2, K3)                                                  \
    FR_KERNELS_PRODUCT_TENSOR(K, K1, K2, K3)

/* For a list that defines FR_K(name): the names with a digit a view. */
#define FR_DIGIT_1(name) FR_K(name##_0) FR_K(name##_1)
#define FR_DIGIT_2(name) FR_K(name##_00) FR_K(name##_01) FR_K(name##_10) FR_K(name##_11)
#define FR_DIGIT_3(name)                                                               \
    FR_K(name##_000)                                                                   \
    FR_K(name##_001)                                                                   \
    FR_K(name##_010)                                                                   \
    FR_K(name##_011) FR_K(name##_100) FR_K(name##_101) FR_K(name##_110) FR_K(name##_111)

typedef enum fr_cuda_kernel {
#define FR_K(name) FR_KERNEL_##name,
    FR_CUDA_KERNELS(FR_K, FR_DIGIT_1, FR_DIGIT_2, FR_DIGIT_3)
#undef FR_K
        FR_CUDA_KERNEL_COUNT
} fr_cuda_kernel;

#endif
