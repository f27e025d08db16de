/*
 * product.h - products with slices of a chosen size: for the operators, whose size is fixed, and for tests.
 */
#ifndef FR_DEVICE_CUDA_PRODUCT_H
#define FR_DEVICE_CUDA_PRODUCT_H

#include "device/matrix.h"

/** Memory for widened rows of a matrix. Results do not depend on it. */
enum { FR_CUDA_SLICE_BYTES = 128 << 20 };

/** fr_linear and fr_linear_back; a slice has at least one row. */
FR_MUST_CHECK fr_status fr_cuda_linear_by(fr_device *device, int64_t m, fr_view x,
                                          const fr_matrix *w, fr_view add, fr_view y,
                                          int64_t slice_bytes);
FR_MUST_CHECK fr_status fr_cuda_linear_back_by(fr_device *device, int64_t m, fr_view dy,
                                               const fr_matrix *w, bool accumulate,
                                               fr_view dx, int64_t slice_bytes);

#endif
