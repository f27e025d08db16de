/*
 * gemm_onednn.h - products of bf16 weights by oneDNN, on processors with bf16 instructions. There its results
 * keep the device's promise: a row's bits depend neither on the other rows of the call nor on the threads
 * (measured; on AVX2 it does not hold, and there is no bf16). Subnormal operands count as zero. All else is gemm.h's own.
 */
#ifndef FR_DEVICE_CPU_GEMM_ONEDNN_H
#define FR_DEVICE_CPU_GEMM_ONEDNN_H

#include "device/cpu/gemm.h"

typedef struct fr_onednn fr_onednn;

/**
 * Open the library, limited to AVX-512 with bf16: matrix tiles (AMX) add in another order. *out is NULL where the
 * program is built without it.
 *
 * @return FR_OK; FR_ERR_NO_MEMORY; FR_ERR_INTERNAL (library)
 */
FR_MUST_CHECK fr_status fr_onednn_create(fr_ctx *ctx, fr_onednn **out);
void fr_onednn_destroy(fr_onednn **onednn);

/** Whether the library finds bf16 instructions on this processor; to be asked once a handle exists. */
bool fr_onednn_has_bf16(void);

/** Like fr_gemm_multiply, by device->onednn; bf16 weights, m, columns and depth >= 1, whole sums and rows without
 * gaps. A primitive is made for a shape's first call and kept. */
FR_MUST_CHECK fr_status fr_onednn_multiply(fr_device *device,
                                           const fr_product *product);

#endif
