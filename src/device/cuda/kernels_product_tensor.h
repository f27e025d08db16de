/*
 * kernels_product_tensor.h - kernels of products on tensor cores: what they take, and their names (kernels.h).
 *
 * They take fr_product_arguments with weights in bf16; the digits are those of the left operand and the result. Those for few
 * rows have smaller tiles, and give the same bits.
 */
#ifndef FR_DEVICE_CUDA_KERNELS_PRODUCT_TENSOR_H
#define FR_DEVICE_CUDA_KERNELS_PRODUCT_TENSOR_H

enum {
    /* products that a tensor core adds at once: a depth may be cut at its multiples alone */
    FR_TENSOR_GROUP = 16,
    /* the depth of a step, and how many of them are in shared memory or on their way to it */
    FR_TENSOR_TILE_DEPTH = 32,
    FR_TENSOR_STAGES = 4,
    /* tiles of the result, as many columns as rows */
    FR_TENSOR_ROWS = 128,
    FR_TENSOR_THREADS = 256,
    FR_TENSOR_FEW_ROWS = 64,
    FR_TENSOR_FEW_THREADS = 128
};

/** Bytes of shared memory for tiles of so many rows. */
#define FR_TENSOR_SHARED(rows) (FR_TENSOR_STAGES * 2 * (rows)*FR_TENSOR_TILE_DEPTH * 2)

#define FR_KERNELS_PRODUCT_TENSOR(K, K1, K2, K3)                                       \
    K2(tensor_forward)                                                                 \
    K2(tensor_forward_few)                                                             \
    K2(tensor_back)                                                                    \
    K2(tensor_back_few)

#endif
