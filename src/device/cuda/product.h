/*
 * product.h - products in a chosen way: for the operators, whose way is fixed, and for tests.
 */
#ifndef FR_DEVICE_CUDA_PRODUCT_H
#define FR_DEVICE_CUDA_PRODUCT_H

#include "device/matrix.h"

/** Memory for widened rows of a matrix, and what of a matrix cuBLASLt multiplies at a time (lt.h): each matrix of a layer of 8 billion
 * weights is one piece in bf16. Results of own kernels do not depend on it. */
enum { FR_CUDA_SLICE_BYTES = 512 << 20 };

typedef struct fr_cuda_product_way {
    int64_t
        slice_bytes; /* a slice has at least one row; on tensor cores as many as they add at once */
    bool
        is_plain; /* by kernels_product.cu whatever the weights are: what tensor cores are compared with */
} fr_cuda_product_way;

/** fr_linear and fr_linear_back. */
FR_MUST_CHECK fr_status fr_cuda_linear_by(fr_device *device, int64_t m, fr_view x,
                                          const fr_matrix *w, fr_view add, fr_view y,
                                          const fr_cuda_product_way *way);
FR_MUST_CHECK fr_status fr_cuda_linear_back_by(fr_device *device, int64_t m, fr_view dy,
                                               const fr_matrix *w, bool accumulate,
                                               fr_view dx,
                                               const fr_cuda_product_way *way);

#endif
