/*
 * wide.h - how the host shares out numbers that threads take in groups (side.cuh).
 */
#ifndef FR_DEVICE_CUDA_WIDE_H
#define FR_DEVICE_CUDA_WIDE_H

#include "base/integer.h"
#include "device/cuda/runtime.h"

enum { FR_CUDA_WIDE_THREADS = 256 };

/** A view whose type is its digit, and plain numbers as one. */
static inline fr_view fr_cuda_floats(const float *x)
{
    return fr_view_f32((const fr_f32 *)x);
}

/** Whether memory begins where an access of 16 bytes may. */
static inline bool fr_cuda_aligned(const void *at)
{
    return (uintptr_t)at % 16 == 0;
}

/** fr_side_of<...>::N for views of these two types. */
static inline int64_t fr_cuda_side(fr_view x, fr_view y)
{
    return x.dtype == FR_BF16 || y.dtype == FR_BF16 ? 8 : 4;
}

/** n numbers that all threads of a kernel share. @param groups  the whole groups that they may take at once */
static inline fr_cuda_start fr_cuda_share(unsigned kernel, int64_t n, int64_t groups)
{
    enum { MOST_BLOCKS = 2048 }; /* more than a GPU runs at once */
    int64_t items = groups > 0 ? groups : n;
    int64_t blocks = fr_ceil_div(items, FR_CUDA_WIDE_THREADS);
    return (fr_cuda_start){.kernel = kernel,
                           .blocks = fr_min(blocks, MOST_BLOCKS),
                           .threads = FR_CUDA_WIDE_THREADS};
}

/** Rows of `items` items each: a block has a row, or a part of it. */
static inline fr_cuda_start fr_cuda_share_rows(unsigned kernel, int64_t n_rows,
                                               int64_t items)
{
    enum { MOST_BLOCKS = 1 << 14, MOST_PARTS = 64 };
    int64_t threads = fr_min(fr_round_up(fr_max(items, 1), 32), FR_CUDA_WIDE_THREADS);
    return (fr_cuda_start){.kernel = kernel,
                           .blocks = items > 0 ? fr_min(n_rows, MOST_BLOCKS) : 0,
                           .blocks_y = fr_min(fr_ceil_div(items, threads), MOST_PARTS),
                           .threads = (int)threads};
}

/** The items between those of a thread in a row. */
static inline int64_t fr_cuda_row_step(const fr_cuda_start *start)
{
    return start->blocks_y * start->threads;
}

#endif
