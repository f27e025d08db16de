/*
 * lt_product.h - the linear maps by cuBLASLt, where it is used and has an algorithm for them.
 */
#ifndef FR_DEVICE_CUDA_LT_PRODUCT_H
#define FR_DEVICE_CUDA_LT_PRODUCT_H

#include "device/matrix.h"

/** fr_linear and fr_linear_back. Whether cuBLASLt computes them depends on the matrix's shape and type, on the views' types, and on
 * that they lie at multiples of FR_LT_ALIGNMENT, as all do whose rows have such a width.
 * @param[out] done  false: nothing was done, and it is for the own kernels
 * @return FR_OK; FR_ERR_NO_MEMORY; FR_ERR_DEVICE while a shape is probed; later failures are the device's */
FR_MUST_CHECK fr_status fr_lt_linear(fr_device *device, int64_t m, fr_view x,
                                     const fr_matrix *w, fr_view add, fr_view y,
                                     bool *done);
FR_MUST_CHECK fr_status fr_lt_linear_back(fr_device *device, int64_t m, fr_view dy,
                                          const fr_matrix *w, bool accumulate,
                                          fr_view dx, bool *done);

#endif
