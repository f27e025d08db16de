/*
 * rows.cuh - threads that have a row together, and the sum of what each of them has: a fixed tree, see row_shape.h.
 *
 * Every thread of the block goes through the same rows and sums, or the whole warp where a warp has a row.
 */
#ifndef FR_DEVICE_CUDA_ROWS_CUH
#define FR_DEVICE_CUDA_ROWS_CUH

#include "device/cuda/fours.cuh"
#include "device/cuda/row_shape.h"

/** The rows of a thread, r = first, first + step, ... of each of which it has the fours from `begin` on, `skip` numbers apart. */
typedef struct fr_row_part {
    int64_t first;
    int64_t step;
    int64_t begin;
    int64_t skip;
    bool is_of_block;
    float *
        kept; /* the row's part of the shared memory; a thread uses what belongs to its own fours alone */
} fr_row_part;

FR_DEVICE fr_row_part fr_row_part_of(const fr_row_shape &shape)
{
    const int lanes = static_cast<int>(shape.lanes);
    const int groups = fr_threads() / lanes;
    const int group = fr_thread() / lanes;
    fr_row_part part;
    part.first = fr_block() * groups + group;
    part.step = fr_blocks() * groups;
    part.begin = static_cast<int64_t>(fr_thread() % lanes) * FR_FOUR;
    part.skip = static_cast<int64_t>(lanes) * FR_FOUR;
    part.is_of_block = lanes > FR_WARP;
    part.kept = fr_shared<float>() + FR_ROW_PARTIALS + group * shape.n_kept;
    return part;
}

/** Where row r begins. */
FR_DEVICE int64_t fr_row_at(const fr_row_shape &shape, int64_t r)
{
    if (shape.n_heads == 1) {
        return r * shape.stride;
    }
    return r / shape.n_heads * shape.stride + r % shape.n_heads * shape.width;
}

FR_DEVICE float fr_sum_of_warp(float x)
{
    for (int mask = FR_WARP / 2; mask > 0; mask /= 2) {
        x += fr_from_xor(x, mask);
    }
    return x;
}

/** The sum over the row, the same bits in each of its threads. */
FR_DEVICE float fr_row_sum(const fr_row_part &part, const fr_four<float> &x)
{
    float sum = fr_sum_of_warp((x.at[0] + x.at[2]) + (x.at[1] + x.at[3]));
    if (!part.is_of_block) {
        return sum;
    }
    float *partials = fr_shared<float>();
    const int lane = fr_thread() % FR_WARP;
    if (lane == 0) {
        partials[fr_thread() / FR_WARP] = sum;
    }
    fr_sync();
    sum = fr_sum_of_warp(lane < fr_threads() / FR_WARP ? partials[lane] : 0.0F);
    fr_sync(); /* the next sum writes there */
    return sum;
}

/** Whether this thread writes what there is once a row. */
FR_DEVICE bool fr_row_is_first(const fr_row_part &part)
{
    return part.begin == 0;
}

FR_DEVICE void fr_keep_four(float *kept, int64_t i, const fr_four<float> &x)
{
    *reinterpret_cast<fr_four<float> *>(kept + i) = x;
}
FR_DEVICE fr_four<float> fr_kept_four(const float *kept, int64_t i)
{
    return *reinterpret_cast<const fr_four<float> *>(kept + i);
}

#endif
