/*
 * kernels_product.cu - products with frozen matrices, in f32 without tensor cores.
 *
 * Every number of the result is one chain of fused multiply-adds in the order of the depth, from +0 or from the sum so far:
 *
 *     sum = fma(left[0], w[0], sum), fma(left[1], w[1], sum), ...
 *
 * so its bits depend on its row, its column and the depth alone, not on tiles, on the other rows or on where the depth is cut.
 * With weights in bf16 the left operand is rounded to bf16 as well; a product of two such numbers is exact in f32.
 *
 * A block has a tile of the result. It goes through the depth in steps; while it multiplies one step from shared memory its
 * threads read the next one into registers, which then go to the other half of the shared memory: one barrier a step is enough.
 * In shared memory both operands lie depth by depth, whatever their order in memory. Nothing beyond the depth is multiplied:
 * even products of zeros would turn a sum of -0 into +0.
 */
#include "device/cuda/kernels_product.h"

#include "device/cuda/product_operand.cuh"

enum {
    TILE_ROWS = FR_PRODUCT_TILE_ROWS,
    TILE_COLUMNS = FR_PRODUCT_TILE_COLUMNS,
    TILE_DEPTH = FR_PRODUCT_TILE_DEPTH,
    ROWS = FR_PRODUCT_ROWS,
    COLUMNS = FR_PRODUCT_COLUMNS,
    THREADS = FR_PRODUCT_THREADS,
    LINE = FR_PRODUCT_LINE,
    /* What a thread reads of an operand's tile at a step: fours of numbers that lie side by side in memory. */
    FOURS = 64 * TILE_DEPTH / 4 / THREADS
};
static_assert(
    TILE_ROWS == 64 && TILE_COLUMNS == 64 && ROWS % 4 == 0 && COLUMNS == 4,
    "tiles of both operands have lines of 64 numbers, which are read in fours");

typedef fr_four<float> four;

/* ---- reading ----------------------------------------------------------------------------------- */

/* What a thread has of an operand's tile, as it lies in memory: nothing waits for it before it is kept. */
template <typename T> struct tile {
    fr_four<T> fours[FOURS];
};

/* Where a thread's four i lies in a tile whose rows are `width` numbers long: neighbouring threads have neighbouring fours. */
struct place {
    int row;
    int column;
};
FR_DEVICE place place_of_four(int i, int width)
{
    int at = fr_thread() + i * THREADS;
    place out = {at / (width / 4), at % (width / 4) * 4};
    return out;
}

/* The tile of `width` numbers a row whose first number is that of (row, column). */
template <typename T>
FR_DEVICE tile<T> read_tile(const fr_operand<T> &from, int64_t row, int64_t column,
                            int width)
{
    tile<T> out;
    FR_UNROLL
    for (int i = 0; i < FOURS; i++) {
        place at = place_of_four(i, width);
        out.fours[i] = fr_read_four(from, row + at.row, column + at.column);
    }
    return out;
}

/* A number as it enters the product: the left one is rounded where the weights are in bf16. */
template <typename X, typename W> struct entry {
    static const bool rounds = false;
};
template <> struct entry<float, fr_bf16> {
    static const bool rounds = true;
};
template <bool ROUNDS, typename T> FR_DEVICE float enter(const T &x)
{
    float wide = fr_read(&x);
    return ROUNDS ? fr_bf16_widen(fr_bf16_round(wide)) : wide;
}

/* To shared memory, a line for each depth: of a tile whose rows run along the depth, or across it. */
template <bool ROUNDS, typename T>
FR_DEVICE void keep_along(const tile<T> &numbers, float *lines)
{
    FR_UNROLL
    for (int i = 0; i < FOURS; i++) {
        place at = place_of_four(i, TILE_DEPTH);
        FR_UNROLL
        for (int j = 0; j < 4; j++) {
            lines[(at.column + j) * LINE + at.row] =
                enter<ROUNDS>(numbers.fours[i].at[j]);
        }
    }
}
template <typename T> FR_DEVICE void keep_across(const tile<T> &numbers, float *lines)
{
    FR_UNROLL
    for (int i = 0; i < FOURS; i++) {
        place at = place_of_four(i, TILE_COLUMNS);
        four wide;
        FR_UNROLL
        for (int j = 0; j < 4; j++) {
            wide.at[j] = fr_read(&numbers.fours[i].at[j]);
        }
        *reinterpret_cast<four *>(lines + at.row * LINE + at.column) = wide;
    }
}

/* ---- multiplying ------------------------------------------------------------------------------- */

/* A thread's numbers of the result: ROWS neighbouring rows of COLUMNS neighbouring columns. */
struct sums {
    float at[ROWS][COLUMNS];
};

FR_DEVICE place place_of_sums(void)
{
    int across = TILE_COLUMNS / COLUMNS;
    place out = {fr_thread() / across * ROWS, fr_thread() % across * COLUMNS};
    return out;
}

FR_DEVICE void multiply_line(const float *left, const float *weights, sums *sum)
{
    four w = *reinterpret_cast<const four *>(weights);
    FR_UNROLL
    for (int half = 0; half < ROWS / 4; half++) {
        four x = *reinterpret_cast<const four *>(left + 4 * half);
        FR_UNROLL
        for (int i = 0; i < 4; i++) {
            FR_UNROLL
            for (int j = 0; j < COLUMNS; j++) {
                float *s = &sum->at[4 * half + i][j];
                *s = fr_fma(x.at[i], w.at[j], *s);
            }
        }
    }
}

/* `depth` lines of both tiles. */
FR_DEVICE void multiply(const float *left, const float *weights, int64_t depth,
                        place own, sums *sum)
{
    if (depth >= TILE_DEPTH) {
        FR_UNROLL
        for (int d = 0; d < TILE_DEPTH; d++) {
            multiply_line(left + d * LINE + own.row, weights + d * LINE + own.column,
                          sum);
        }
    } else {
        for (int d = 0; d < static_cast<int>(depth); d++) {
            multiply_line(left + d * LINE + own.row, weights + d * LINE + own.column,
                          sum);
        }
    }
}

/* ---- the result -------------------------------------------------------------------------------- */

FR_DEVICE void begin(const fr_product_arguments &a, int64_t row, int64_t column,
                     sums *sum)
{
    FR_UNROLL
    for (int i = 0; i < ROWS; i++) {
        FR_UNROLL
        for (int j = 0; j < COLUMNS; j++) {
            bool goes_on =
                a.begun != nullptr && row + i < a.m && column + j < a.columns;
            sum->at[i][j] =
                goes_on ? a.begun[(row + i) * a.columns + column + j] : 0.0F;
        }
    }
}

template <typename Y>
FR_DEVICE void write_sums(Y *out, const Y *add, const fr_product_arguments &a,
                          int64_t stride, int64_t row, int64_t column, const sums &sum)
{
    uintptr_t both =
        reinterpret_cast<uintptr_t>(out) | reinterpret_cast<uintptr_t>(add);
    bool in_fours = both % sizeof(fr_four<Y>) == 0 && stride % 4 == 0;
    FR_UNROLL
    for (int i = 0; i < ROWS; i++) {
        if (row + i < a.m) {
            int64_t at = (row + i) * stride + column;
            fr_write_four(out + at, add != nullptr ? add + at : nullptr,
                          a.columns - column, in_fours, sum.at[i]);
        }
    }
}

template <typename Y>
FR_DEVICE void finish(const fr_product_arguments &a, int64_t row, int64_t column,
                      const sums &sum)
{
    if (a.unfinished != nullptr) {
        const float *nothing = nullptr;
        write_sums(a.unfinished, nothing, a, a.columns, row, column, sum);
    } else {
        write_sums(static_cast<Y *>(a.out), static_cast<const Y *>(a.add), a,
                   a.out_stride, row, column, sum);
    }
}

/* ---- the kernels ------------------------------------------------------------------------------- */

template <bool BACK, typename W>
FR_DEVICE tile<W> read_weights(const fr_operand<W> &from, int64_t column, int64_t depth)
{
    return BACK ? read_tile(from, depth, column, TILE_COLUMNS)
                : read_tile(from, column, depth, TILE_DEPTH);
}
template <bool BACK, typename W>
FR_DEVICE void keep_weights(const tile<W> &numbers, float *lines)
{
    if (BACK) {
        keep_across(numbers, lines);
    } else {
        keep_along<false>(numbers, lines);
    }
}

/* Threads whose sums lie beside the result help to read. */
template <typename X, typename W, typename Y, bool BACK>
FR_DEVICE void product(const fr_product_arguments &a)
{
    int64_t down = (a.m + TILE_ROWS - 1) / TILE_ROWS;
    int64_t row = fr_block() % down * TILE_ROWS;
    int64_t column = fr_block() / down * TILE_COLUMNS;
    place own = place_of_sums();
    bool has_sums = row + own.row < a.m && column + own.column < a.columns;
    fr_operand<X> left = fr_operand_of<X>(a.left, a.m, a.depth, a.left_stride);
    fr_operand<W> weights = fr_weights_of<W, BACK>(a);
    tile<X> next_left = read_tile(left, row, 0, TILE_DEPTH);
    tile<W> next_weights = read_weights<BACK>(weights, column, 0);
    sums sum;
    begin(a, row + own.row, column + own.column, &sum);
    for (int64_t d = 0; d < a.depth; d += TILE_DEPTH) {
        float *x = fr_shared<float>() + d / TILE_DEPTH % 2 * (2 * TILE_DEPTH * LINE);
        float *w = x + TILE_DEPTH * LINE;
        keep_along<entry<X, W>::rounds>(next_left, x);
        keep_weights<BACK>(next_weights, w);
        fr_sync();
        if (d + TILE_DEPTH < a.depth) {
            next_left = read_tile(left, row, d + TILE_DEPTH, TILE_DEPTH);
            next_weights = read_weights<BACK>(weights, column, d + TILE_DEPTH);
        }
        if (has_sums) {
            multiply(x, w, a.depth - d, own, &sum);
        }
    }
    if (has_sums) {
        finish<Y>(a, row + own.row, column + own.column, sum);
    }
}

template <typename X, typename W, typename Y>
FR_DEVICE void product_forward_body(const fr_product_arguments &a)
{
    product<X, W, Y, false>(a);
}
template <typename X, typename W, typename Y>
FR_DEVICE void product_back_body(const fr_product_arguments &a)
{
    product<X, W, Y, true>(a);
}
FR_KERNEL_3(product_forward, fr_product_arguments, FR_PRODUCT_THREADS)
FR_KERNEL_3(product_back, fr_product_arguments, FR_PRODUCT_THREADS)
