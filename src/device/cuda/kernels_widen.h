/*
 * kernels_widen.h - kernels of number formats: what they take, and their names (kernels.h).
 *
 * Stored rows are the bytes of a file, at any address. A part of a matrix is described as in matrix.h. A row is read in runs of
 * FR_WIDEN_RUN numbers, less than 2^31 of them.
 */
#ifndef FR_DEVICE_CUDA_KERNELS_WIDEN_H
#define FR_DEVICE_CUDA_KERNELS_WIDEN_H

#include <stdint.h>

typedef struct fr_stored_part {
    const uint8_t *rows; /* stored row 0 */
    int64_t row_bytes;   /* of a stored row */
    int64_t n_rows;
    int64_t head;
    int64_t step;
    int32_t pairs;
    int32_t format;
} fr_stored_part;

enum { FR_STORED_PARTS = 3 };

/**
 * Rows of a matrix to dense rows: row ids[r], or first + r where ids is NULL, is row r of `out`. Block x takes rows, block y a run
 * of each.
 */
typedef struct fr_widen_args {
    fr_stored_part parts[FR_STORED_PARTS]; /* rows behind the last one's are in none */
    const int32_t *ids;
    int64_t first;
    int64_t count;
    int64_t n_in;
    void *out;          /* f32 (digit 0) or bf16 (digit 1) */
    int64_t blocks_y;   /* of the grid */
    int32_t is_rounded; /* to bf16, and then written as f32 */
    int32_t is_wide;    /* 8 numbers of `out` can be written by accesses of 16 bytes */
} fr_widen_args;

/**
 * y = x W^T for rows of one part of W. A block makes a few columns of y for a tile of rows of x: FR_FEW_SPLIT warps share the
 * depth in steps of FR_FEW_STEP. Blocks of the same columns are neighbours, so that only the first fetches their part of W
 * from memory.
 */
typedef struct fr_few_args {
    fr_stored_part part;
    int64_t n_in;
    int64_t m;
    int64_t row_tiles;
    const void *x; /* [m, n_in] */
    int64_t x_row_bytes;
    const void
        *add; /* in the type of y, with its rows: y = add + sums; y, or NULL: sums */
    void *y;  /* [m, y_stride], from the part's first column */
    int64_t y_stride;
    int32_t x_is_bf16;
    int32_t y_is_bf16;
    int32_t is_rounded; /* x and W are rounded to bf16 */
} fr_few_args;

enum {
    FR_WIDEN_RUN = 8, /* numbers that a thread has at a time */
    FR_WIDEN_THREADS = 256,
    FR_WIDEN_LANES = 32, /* of a warp */
    FR_FEW_SPLIT = 4,
    FR_FEW_THREADS = FR_FEW_SPLIT * FR_WIDEN_LANES,
    FR_FEW_STEP = FR_WIDEN_LANES * FR_WIDEN_RUN,
    /* Columns and rows of a block's tile: of the kernel for very few rows, and of that for more. */
    FR_FEW_COLUMNS_4 = 2,
    FR_FEW_ROWS_4 = 4,
    FR_FEW_COLUMNS_8 = 2,
    FR_FEW_ROWS_8 = 8
};

#define FR_KERNELS_WIDEN(K, K1, K2, K3)                                                \
    K1(fr_widen)                                                                       \
    K(fr_few_4)                                                                        \
    K(fr_few_8)

#endif
