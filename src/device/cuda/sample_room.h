/*
 * sample_room.h - memory that the choice of tokens takes: for sample.c and for forecasts.
 */
#ifndef FR_DEVICE_CUDA_SAMPLE_ROOM_H
#define FR_DEVICE_CUDA_SAMPLE_ROOM_H

#include "base/integer.h"
#include "device/cuda/kernels_sample.h"

/** Bytes for `n_rows` rows of which each chooses among `candidates` tokens. Blocks take rows in turn, so their room is
 * bounded, whatever the number of rows. @param[out] blocks  > 0 */
static inline int64_t fr_cuda_sample_room(int64_t n_rows, int64_t candidates,
                                          int64_t *blocks)
{
    enum { MOST_BYTES = 1 << 28, MOST_BLOCKS = 256 };
    int64_t bytes = 2 * candidates * (int64_t)sizeof(fr_candidate);
    *blocks = fr_min(n_rows, fr_clamp(MOST_BYTES / bytes, 1, MOST_BLOCKS));
    return *blocks * bytes;
}

#endif
