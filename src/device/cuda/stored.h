/*
 * stored.h - a part of a matrix as kernels take it.
 */
#ifndef FR_DEVICE_CUDA_STORED_H
#define FR_DEVICE_CUDA_STORED_H

#include "device/cuda/kernels_widen.h"
#include "device/matrix.h"

static inline fr_stored_part fr_stored_part_of(const fr_matrix_part *part, int64_t n_in)
{
    return (fr_stored_part){
        .rows = part->rows,
        .row_bytes = (int64_t)fr_quant_bytes(fr_quant_find(part->format), n_in),
        .n_rows = part->n_rows,
        .head = part->head,
        .step = part->step,
        .pairs = part->pairs ? 1 : 0,
        .format = (int32_t)part->format};
}

#endif
