/*
 * Products of few rows with a matrix in its stored form. Reading W is what takes the time: each of its bytes is read once for a tile
 * of rows of x, and its numbers go from registers into the sums.
 *
 * A block makes COLUMNS columns of y for ROWS rows of x. Its FR_FEW_SPLIT warps share the depth: step s, of FR_FEW_STEP numbers,
 * is warp s mod FR_FEW_SPLIT's, and lane l has the numbers 8 l .. 8 l + 7 of it.
 *
 * Order of a sum, whatever else the block makes: a lane adds its products in ascending order, each by one fused multiply-add; then
 * lanes that lie 16, 8, 4, 2, 1 apart are added; then the warps, (0 + 1) + (2 + 3); then that to what is to be added.
 */
#include "device/cuda/kernels_widen.h"

#include "device/cuda/format_rows.cuh"

FR_DEVICE fr_eight rounded(const fr_eight &x)
{
    fr_eight out;
    for (int j = 0; j < 8; j++) {
        out.at[j] = fr_bf16_widen(fr_bf16_round(x.at[j]));
    }
    return out;
}

/* Eight numbers of x; of fewer, n, the others are 0. */
FR_DEVICE fr_eight read_x(const fr_few_args &a, const uint8_t *x, int n)
{
    if (a.x_is_bf16 != 0) {
        return fr_read_shorts<FR_QUANT_BF16>(x, n);
    }
    fr_eight out = fr_read_floats(x, n);
    return a.is_rounded != 0 ? rounded(out) : out;
}

/* The sum over a warp, in all of its lanes. */
FR_DEVICE float warp_sum(float x)
{
    for (int mask = FR_WARP / 2; mask > 0; mask /= 2) {
        x += fr_from_xor(x, mask);
    }
    return x;
}

template <int COLUMNS, int ROWS> struct tile {
    float sum[ROWS][COLUMNS];
};
template <int COLUMNS> struct columns {
    const uint8_t *row[COLUMNS]; /* of W */
};
template <int COLUMNS> struct weights {
    fr_eight of[COLUMNS];
};

/* A run of the tile's rows of W: all of their bytes are asked for before one is needed. */
template <int FORMAT, int COLUMNS>
FR_DEVICE void read_weights(const columns<COLUMNS> &from, uint32_t run, int n,
                            bool is_rounded, weights<COLUMNS> &w)
{
    FR_UNROLL
    for (int c = 0; c < COLUMNS; c++) {
        w.of[c] = fr_read_run<FORMAT>(from.row[c], run, n);
    }
    FR_UNROLL
    for (int c = 0; c < COLUMNS && FORMAT != FR_QUANT_BF16; c++) {
        w.of[c] = is_rounded ? rounded(w.of[c]) : w.of[c];
    }
}

template <int COLUMNS>
FR_DEVICE void read_any_weights(const fr_few_args &a, const columns<COLUMNS> &from,
                                uint32_t run, int n, weights<COLUMNS> &w)
{
    switch (a.part.format) {
#define FR_FEW_CASE(format)                                                            \
    case format:                                                                       \
        read_weights<format>(from, run, n, a.is_rounded != 0, w);                      \
        break;
        FR_FORMATS(FR_FEW_CASE)
    default:
        break;
    }
}

/* Of `count` rows of x, the first of which is at `x`. */
template <int COLUMNS, int ROWS>
FR_DEVICE void add_products(const fr_few_args &a, const uint8_t *x, int count, int n,
                            const weights<COLUMNS> &w, tile<COLUMNS, ROWS> &t)
{
    FR_UNROLL
    for (int i = 0; i < ROWS; i++) {
        if (i < count) {
            fr_eight left = read_x(a, x, n);
            x += a.x_row_bytes;
            FR_UNROLL
            for (int c = 0; c < COLUMNS; c++) {
                FR_UNROLL
                for (int j = 0; j < 8; j++) {
                    t.sum[i][c] = fr_fma(left.at[j], w.of[c].at[j], t.sum[i][c]);
                }
            }
        }
    }
}

/* This lane's part of the sums. Columns behind the last are the last again. */
template <int COLUMNS, int ROWS>
FR_DEVICE void lane_sums(const fr_few_args &a, int64_t column, int64_t row,
                         tile<COLUMNS, ROWS> &t)
{
    columns<COLUMNS> from;
    weights<COLUMNS> w;
    FR_UNROLL
    for (int c = 0; c < COLUMNS; c++) {
        int64_t r = column + c < a.part.n_rows ? column + c : a.part.n_rows - 1;
        from.row[c] = fr_stored_row(a.part, r);
        FR_UNROLL
        for (int i = 0; i < ROWS; i++) {
            t.sum[i][c] = 0.0F;
        }
    }
    const uint8_t *x = static_cast<const uint8_t *>(a.x) + row * a.x_row_bytes;
    int count = a.m - row < ROWS ? (int)(a.m - row) : ROWS;
    uint32_t n_runs = (uint32_t)((a.n_in + FR_WIDEN_RUN - 1) / FR_WIDEN_RUN);
    for (uint32_t run = (uint32_t)fr_thread(); run < n_runs; run += FR_FEW_THREADS) {
        int n = fr_run_length(a.n_in, run);
        read_any_weights(a, from, run, n, w);
        add_products(a, x + (uint64_t)run * (a.x_is_bf16 != 0 ? 16 : 32), count, n, w,
                     t);
    }
}

FR_DEVICE void store(const fr_few_args &a, int64_t row, int64_t column, float sum)
{
    int64_t i = row * a.y_stride + column;
    if (a.y_is_bf16 != 0) {
        const fr_bf16 *add = static_cast<const fr_bf16 *>(a.add);
        fr_write(static_cast<fr_bf16 *>(a.y) + i,
                 add != nullptr ? fr_read(add + i) + sum : sum);
    } else {
        const float *add = static_cast<const float *>(a.add);
        static_cast<float *>(a.y)[i] = add != nullptr ? add[i] + sum : sum;
    }
}

/* Shared memory: [FR_FEW_SPLIT, ROWS, COLUMNS], the sums of each warp. */
template <int COLUMNS, int ROWS> FR_DEVICE void make_tile(const fr_few_args &a)
{
    const int size = ROWS * COLUMNS;
    float *sums = fr_shared<float>();
    uint32_t block = (uint32_t)fr_block();
    uint32_t tiles = (uint32_t)a.row_tiles;
    int64_t column = (int64_t)(block / tiles) * COLUMNS;
    int64_t row = (int64_t)(block % tiles) * ROWS;
    int warp = fr_thread() / FR_WARP;
    tile<COLUMNS, ROWS> t;
    lane_sums(a, column, row, t);
    FR_UNROLL
    for (int i = 0; i < ROWS; i++) {
        if (row + i < a.m) {
            FR_UNROLL
            for (int c = 0; c < COLUMNS; c++) {
                float sum = warp_sum(t.sum[i][c]);
                if (fr_thread() % FR_WARP == 0) {
                    sums[warp * size + i * COLUMNS + c] = sum;
                }
            }
        }
    }
    fr_sync();
    int own = fr_thread();
    int64_t own_row = row + own / COLUMNS;
    int64_t own_column = column + own % COLUMNS;
    if (own < size && own_row < a.m && own_column < a.part.n_rows) {
        float sum = (sums[own] + sums[size + own]) +
                    (sums[2 * size + own] + sums[3 * size + own]);
        store(a, own_row, own_column, sum);
    }
}

FR_KERNEL(fr_few_4, fr_few_args, FR_FEW_THREADS)
{
    make_tile<FR_FEW_COLUMNS_4, FR_FEW_ROWS_4>(a);
}

FR_KERNEL(fr_few_8, fr_few_args, FR_FEW_THREADS)
{
    make_tile<FR_FEW_COLUMNS_8, FR_FEW_ROWS_8>(a);
}
