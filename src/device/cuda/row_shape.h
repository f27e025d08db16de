/*
 * row_shape.h - rows with a sum each, as kernels take them: where they lie, and how many threads have one.
 *
 * The tree of a row's sum follows from its width alone: `lanes` threads, of which each adds every lanes-th four numbers, then
 * halves within each warp, then halves over the warps (rows.cuh). A head is a row like any other, so it has the same bits.
 */
#ifndef FR_DEVICE_CUDA_ROW_SHAPE_H
#define FR_DEVICE_CUDA_ROW_SHAPE_H

#include <stdint.h>

/** n_rows = tokens * n_heads rows: row r is head r % n_heads of token r / n_heads. */
typedef struct fr_row_shape {
    int64_t n_rows;
    int64_t n_heads; /* side by side */
    int64_t width;   /* numbers of a row */
    int64_t stride;  /* numbers between tokens */
    int64_t lanes;   /* threads that have a row: a warp, or all of the block */
    int64_t n_kept; /* floats of a row's part of the shared memory; 0: it reads again */
} fr_row_shape;

enum {
    FR_ROW_PARTIALS = 32,  /* floats of shared memory before the rows' parts */
    FR_ROW_OF_WARP = 1024, /* the widest row that a warp has; a block has wider ones */
    FR_ROW_WARP = 32,
    FR_ROW_BLOCK = 256,
    FR_ROW_WARPS = 4 /* of a block whose warps have a row each */
};

static inline int64_t fr_row_lanes(int64_t width)
{
    return width <= FR_ROW_OF_WARP ? FR_ROW_WARP : FR_ROW_BLOCK;
}

#endif
