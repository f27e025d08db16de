/*
 * kernels_product_tensor.cu - products with frozen matrices in bf16, on tensor cores.
 *
 * The left operand enters in bf16; an f32 one is rounded to it. A number of the result begins with +0, or with the sum so far, and
 * goes on by 16 products of the depth at a time, in the order of the depth:
 *
 *     sum = mma(left[0 .. 15], w[0 .. 15], sum), mma(left[16 .. 31], w[16 .. 31], sum), ...
 *
 * How a tensor core rounds one of these is its own; but its number depends on its row, its column and the sum so far alone. So bits
 * depend on a number's row, column and depth, not on tiles, on the other rows or on where the depth is cut, as long as it is cut at
 * a multiple of 16 (product.c). The last group of a depth that is no such multiple is filled with zeros, which may turn a sum of -0
 * into +0; a group of nothing but zeros is left out.
 *
 * A block has a tile of the result, a warp a part of it: some rows of four tiles of 16 x 8. While warps multiply one step of the depth, the
 * next ones are on their way to shared memory; one barrier a step is enough: the stage that is filled behind it was read before
 * it. What cannot be copied by 16 bytes at a time (rows at other addresses, an end of a row, numbers to be rounded) goes through
 * registers to the same place.
 */
#include "device/cuda/kernels_product_tensor.h"

#include "device/cuda/product_operand.cuh"
#include "device/cuda/tensor_tiles.cuh"

enum {
    TILE_DEPTH = FR_TENSOR_TILE_DEPTH,
    STAGES = FR_TENSOR_STAGES,
    GROUP = FR_TENSOR_GROUP,
    CHUNK = FR_CHUNK,
    DEPTH_CHUNKS = TILE_DEPTH / CHUNK,
    PAIRS = 2, /* of tiles of 8 columns, of a warp */
    WARPS_DOWN = 2
};

/* A block's tile: how many tiles of 16 rows a warp has, and how many warps lie beside each other. */
template <int TILES, int ACROSS> struct shape {
    enum {
        ROW_TILES = TILES,
        WARPS_ACROSS = ACROSS,
        WARP_ROWS = 16 * TILES,
        WARP_COLUMNS = 16 * PAIRS,
        ROWS = WARPS_DOWN * WARP_ROWS,
        COLUMNS = WARPS_ACROSS * WARP_COLUMNS,
        COLUMN_CHUNKS = COLUMNS / CHUNK,
        THREADS = WARPS_DOWN * WARPS_ACROSS * FR_WARP,
        STAGE = (ROWS + COLUMNS) * TILE_DEPTH /* numbers */
    };
};
typedef shape<4, 4> large;
typedef shape<2, 2> small;
static_assert(static_cast<int>(large::ROWS) == FR_TENSOR_ROWS &&
                  static_cast<int>(large::THREADS) == FR_TENSOR_THREADS &&
                  static_cast<int>(small::ROWS) == FR_TENSOR_FEW_ROWS &&
                  static_cast<int>(small::THREADS) == FR_TENSOR_FEW_THREADS,
              "the host starts kernels with tiles and threads of these sizes");

/* ---- reading ----------------------------------------------------------------------------------- */

template <typename T>
FR_DEVICE void read_now(const fr_operand<T> &from, int64_t row, int64_t column,
                        fr_bf16 *to)
{
    fr_chunk numbers;
    FR_UNROLL
    for (int half = 0; half < 2; half++) {
        fr_four<T> four = fr_read_four(from, row, column + 4 * half);
        FR_UNROLL
        for (int i = 0; i < 4; i++) {
            numbers.at[4 * half + i] = fr_narrow(four.at[i]);
        }
    }
    *reinterpret_cast<fr_chunk *>(to) = numbers;
}

/* A chunk of a row to shared memory, zeros beside the operand. */
FR_DEVICE void read_chunk(const fr_operand<float> &from, bool in_chunks, int64_t row,
                          int64_t column, fr_bf16 *to)
{
    (void)in_chunks;
    read_now(from, row, column, to);
}
FR_DEVICE void read_chunk(const fr_operand<fr_bf16> &from, bool in_chunks, int64_t row,
                          int64_t column, fr_bf16 *to)
{
    bool begins = row < from.rows && column < from.width;
    if (in_chunks && (!begins || column + CHUNK <= from.width)) {
        fr_copy_ahead_16(to, begins ? from.at + row * from.stride + column : from.at,
                         begins);
    } else {
        read_now(from, row, column, to);
    }
}

/* A tile whose first number is that of (row, column); neighbouring threads have neighbouring chunks. */
template <int ROWS, int CHUNKS, int THREADS, typename T>
FR_DEVICE void read_tile(const fr_operand<T> &from, int64_t row, int64_t column,
                         fr_bf16 *tile)
{
    bool in_chunks = reinterpret_cast<uintptr_t>(from.at) % sizeof(fr_chunk) == 0 &&
                     from.stride % CHUNK == 0;
    FR_UNROLL
    for (int i = 0; i < ROWS * CHUNKS / THREADS; i++) {
        int own = fr_thread() + i * THREADS;
        int r = own / CHUNKS;
        int c = own % CHUNKS;
        read_chunk(from, in_chunks, row + r, column + c * CHUNK,
                   tile + fr_chunk_place<CHUNKS>(r, c));
    }
}

/* ---- multiplying ------------------------------------------------------------------------------- */

/* A thread's numbers of the result, as tensor cores have them. */
template <typename S> struct sums {
    float at[S::ROW_TILES][2 * PAIRS][4];
};

/* A warp's part of the tile, and how much of it lies in the result. */
struct part {
    int row;
    int column;
    int row_tiles;
    int pairs;
};

FR_DEVICE int tiles_within(int64_t n, int most)
{
    int64_t tiles = (n + GROUP - 1) / GROUP;
    return n <= 0 ? 0 : tiles < most ? static_cast<int>(tiles) : most;
}

template <typename S>
FR_DEVICE part part_of(const fr_product_arguments &a, int64_t row, int64_t column)
{
    int warp = fr_thread() / FR_WARP;
    part out = {warp / S::WARPS_ACROSS * S::WARP_ROWS,
                warp % S::WARPS_ACROSS * S::WARP_COLUMNS, 0, 0};
    out.row_tiles = tiles_within(a.m - row - out.row, S::ROW_TILES);
    out.pairs =
        out.row_tiles > 0 ? tiles_within(a.columns - column - out.column, PAIRS) : 0;
    return out;
}

/* 16 columns of weights: two registers for the first 8 of them, two for the others. */
template <typename S, bool BACK>
FR_DEVICE void load_weights(const fr_bf16 *tile, int column, int group, uint32_t out[4])
{
    if (BACK) {
        fr_load_right_across<S::COLUMN_CHUNKS>(tile + GROUP * group * S::COLUMNS,
                                               column / CHUNK, out);
    } else {
        fr_load_right<DEPTH_CHUNKS>(tile + column * TILE_DEPTH, group, out);
    }
}

/* One group of the depth. WHOLE: all of the part lies in the result. */
template <typename S, bool BACK, bool WHOLE>
FR_DEVICE void multiply(const fr_bf16 *left, const fr_bf16 *weights, int group,
                        const part &own, sums<S> *sum)
{
    uint32_t w[2 * PAIRS][2] = {};
    FR_UNROLL
    for (int p = 0; p < PAIRS; p++) {
        if (WHOLE || p < own.pairs) {
            load_weights<S, BACK>(weights, own.column + 16 * p, group, w[2 * p]);
        }
    }
    FR_UNROLL
    for (int i = 0; i < S::ROW_TILES; i++) {
        if (WHOLE || i < own.row_tiles) {
            uint32_t x[4];
            fr_load_left<DEPTH_CHUNKS>(left + (own.row + 16 * i) * TILE_DEPTH, group,
                                       x);
            if (WHOLE || own.pairs == PAIRS) {
                fr_mma_bf16_row<2 * PAIRS>(sum->at[i], x, w);
            } else {
                fr_mma_bf16_row<2>(sum->at[i], x, w);
            }
        }
    }
}

/* A step of which `depth` is left. */
template <typename S, bool BACK>
FR_DEVICE void multiply_step(const fr_bf16 *left, const fr_bf16 *weights, int64_t depth,
                             const part &own, sums<S> *sum)
{
    bool is_whole =
        depth >= TILE_DEPTH && own.row_tiles == S::ROW_TILES && own.pairs == PAIRS;
    if (is_whole) {
        FR_UNROLL
        for (int g = 0; g < TILE_DEPTH / GROUP; g++) {
            multiply<S, BACK, true>(left, weights, g, own, sum);
        }
    } else if (own.pairs > 0) {
        int n_groups = tiles_within(depth, TILE_DEPTH / GROUP);
        FR_ROLLED
        for (int g = 0; g < n_groups; g++) {
            multiply<S, BACK, false>(left, weights, g, own, sum);
        }
    }
}

/* ---- the result -------------------------------------------------------------------------------- */

template <typename S>
FR_DEVICE void begin(const fr_product_arguments &a, int64_t row, int64_t column,
                     sums<S> *sum)
{
    int lane = fr_thread() % FR_WARP;
    FR_UNROLL
    for (int i = 0; i < S::ROW_TILES * 2 * PAIRS * 4; i++) {
        int c = i % 4;
        int64_t r = row + i / (2 * PAIRS * 4) * 16 + lane / 4 + c / 2 * 8;
        int64_t k = column + i / 4 % (2 * PAIRS) * 8 + lane % 4 * 2 + c % 2;
        bool goes_on = a.begun != nullptr && r < a.m && k < a.columns;
        sum->at[i / (2 * PAIRS * 4)][i / 4 % (2 * PAIRS)][c] =
            goes_on ? a.begun[r * a.columns + k] : 0.0F;
    }
}

template <typename S, typename Y>
FR_DEVICE void write_sums(Y *out, const Y *add, const fr_product_arguments &a,
                          int64_t stride, int64_t row, int64_t column, const part &own,
                          const sums<S> &sum)
{
    int lane = fr_thread() % FR_WARP;
    uintptr_t both =
        reinterpret_cast<uintptr_t>(out) | reinterpret_cast<uintptr_t>(add);
    bool in_fours = both % sizeof(fr_four<Y>) == 0 && stride % 4 == 0;
    int64_t first = column + fr_column_of_four();
    FR_UNROLL
    for (int i = 0; i < S::ROW_TILES * PAIRS * 2; i++) {
        int tile = i / (PAIRS * 2);
        int pair = i / 2 % PAIRS;
        int half = i % 2;
        if (tile < own.row_tiles && pair < own.pairs) {
            fr_four<float> four = fr_four_of(&sum.at[tile][2 * pair][2 * half],
                                             &sum.at[tile][2 * pair + 1][2 * half]);
            int64_t r = row + 16 * tile + 8 * half + lane / 4;
            int64_t c = first + 16 * pair;
            if (r < a.m) {
                fr_write_four(out + r * stride + c,
                              add != nullptr ? add + r * stride + c : nullptr,
                              a.columns - c, in_fours, four.at);
            }
        }
    }
}

/* ---- the kernels ------------------------------------------------------------------------------- */

template <typename S, bool BACK, typename X>
FR_DEVICE void read_step(const fr_operand<X> &left, const fr_operand<fr_bf16> &weights,
                         int64_t row, int64_t column, int64_t step, fr_bf16 *stages)
{
    fr_bf16 *x = stages + step % STAGES * S::STAGE;
    fr_bf16 *w = x + S::ROWS * TILE_DEPTH;
    int64_t depth = step * TILE_DEPTH;
    read_tile<S::ROWS, DEPTH_CHUNKS, S::THREADS>(left, row, depth, x);
    if (BACK) {
        read_tile<TILE_DEPTH, S::COLUMN_CHUNKS, S::THREADS>(weights, depth, column, w);
    } else {
        read_tile<S::COLUMNS, DEPTH_CHUNKS, S::THREADS>(weights, column, depth, w);
    }
}

template <typename S, typename X, typename Y, bool BACK>
FR_DEVICE void product(const fr_product_arguments &a)
{
    int64_t down = (a.m + S::ROWS - 1) / S::ROWS;
    int64_t row = fr_block() % down * S::ROWS;
    int64_t column = fr_block() / down * S::COLUMNS;
    int64_t n_steps = (a.depth + TILE_DEPTH - 1) / TILE_DEPTH;
    part own = part_of<S>(a, row, column);
    fr_operand<X> left = fr_operand_of<X>(a.left, a.m, a.depth, a.left_stride);
    fr_operand<fr_bf16> weights = fr_weights_of<fr_bf16, BACK>(a);
    fr_bf16 *stages = fr_shared<fr_bf16>();
    sums<S> sum;
    FR_ROLLED
    for (int64_t step = 0; step < STAGES - 1; step++) {
        if (step < n_steps) {
            read_step<S, BACK>(left, weights, row, column, step, stages);
        }
        fr_copies_close();
    }
    begin(a, row + own.row, column + own.column, &sum);
    FR_ROLLED
    for (int64_t step = 0; step < n_steps; step++) {
        fr_copies_await<STAGES - 2>();
        fr_sync();
        if (step + STAGES - 1 < n_steps) {
            read_step<S, BACK>(left, weights, row, column, step + STAGES - 1, stages);
        }
        fr_copies_close();
        const fr_bf16 *x = stages + step % STAGES * S::STAGE;
        multiply_step<S, BACK>(x, x + S::ROWS * TILE_DEPTH, a.depth - step * TILE_DEPTH,
                               own, &sum);
    }
    if (a.unfinished != nullptr) {
        const float *nothing = nullptr;
        write_sums(a.unfinished, nothing, a, a.columns, row + own.row,
                   column + own.column, own, sum);
    } else {
        write_sums(static_cast<Y *>(a.out), static_cast<const Y *>(a.add), a,
                   a.out_stride, row + own.row, column + own.column, own, sum);
    }
}

template <typename X, typename Y>
FR_DEVICE void tensor_forward_body(const fr_product_arguments &a)
{
    product<large, X, Y, false>(a);
}
template <typename X, typename Y>
FR_DEVICE void tensor_forward_few_body(const fr_product_arguments &a)
{
    product<small, X, Y, false>(a);
}
template <typename X, typename Y>
FR_DEVICE void tensor_back_body(const fr_product_arguments &a)
{
    product<large, X, Y, true>(a);
}
template <typename X, typename Y>
FR_DEVICE void tensor_back_few_body(const fr_product_arguments &a)
{
    product<small, X, Y, true>(a);
}

/* One block a processor is enough where the sums of two leave too few registers. */
#define TENSOR_KERNEL(name, digits, threads, X, Y)                                     \
    FR_KERNEL_SHARING(name##_##digits, fr_product_arguments, threads, 1)               \
    {                                                                                  \
        name##_body<X, Y>(a);                                                          \
    }
#define TENSOR_KERNELS(name, threads)                                                  \
    TENSOR_KERNEL(name, 00, threads, float, float)                                     \
    TENSOR_KERNEL(name, 01, threads, float, fr_bf16)                                   \
    TENSOR_KERNEL(name, 10, threads, fr_bf16, float)                                   \
    TENSOR_KERNEL(name, 11, threads, fr_bf16, fr_bf16)
TENSOR_KERNELS(tensor_forward, FR_TENSOR_THREADS)
TENSOR_KERNELS(tensor_forward_few, FR_TENSOR_FEW_THREADS)
TENSOR_KERNELS(tensor_back, FR_TENSOR_THREADS)
TENSOR_KERNELS(tensor_back_few, FR_TENSOR_FEW_THREADS)
