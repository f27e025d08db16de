/*
 * widen.h - numbers of a matrix, as its file stores them in the device's memory, as dense rows of f32 or bf16.
 */
#ifndef FR_DEVICE_CUDA_WIDEN_H
#define FR_DEVICE_CUDA_WIDEN_H

#include "device/matrix.h"

/**
 * Rows [first, first + count) of any matrix to out [count, n_in] in type `to`, in the stream's order; the same bits as
 * fr_matrix_read for a matrix of that dtype.
 *
 * @param out  memory of the device at any address that numbers of that type have
 * @return FR_OK
 */
FR_MUST_CHECK fr_status fr_cuda_widen(fr_device *device, const fr_matrix *w,
                                      int64_t first, int64_t count, fr_dtype to,
                                      void *out);

#endif
