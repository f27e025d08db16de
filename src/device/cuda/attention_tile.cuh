/*
 * attention_tile.cuh - what the kernels of attention have in common: tiles in shared memory and their products.
 *
 * A block has a tile of rows of its own, which stay, while rows of the other side pass by, FR_ATTEND_STEP at a time and a chunk
 * of their numbers at a time. Of the products of both a thread has those of N rows and two of the other side: rows
 * `attend_first_row` on, and columns `lane` and `lane + 16`. Of sums over what passed by it has the same rows and four
 * numbers of each chunk. So a row belongs to 16 threads of one warp, and what they say about it reaches them by fr_sync_warp.
 *
 * Every sum has one order, from the first number (or key, or query) to the last, whatever a tile's rows are.
 */
#ifndef FR_DEVICE_CUDA_ATTENTION_TILE_CUH
#define FR_DEVICE_CUDA_ATTENTION_TILE_CUH

#include "device/cuda/kernels_attention.h"
#include "device/cuda/numbers.cuh"

typedef fr_four<float> attend_four;

FR_DEVICE int attend_least(int a, int b)
{
    return a < b ? a : b;
}
/* The block's key/value head. */
FR_DEVICE int attend_kv_head(void)
{
    return static_cast<int>(fr_block_y());
}
FR_DEVICE int attend_lane(void)
{
    return fr_thread() % 16;
}
FR_DEVICE int attend_first_row(int rows_of_thread)
{
    return fr_thread() / 16 * rows_of_thread;
}
/* Whether the warp has rows below n: for all lanes the same. */
FR_DEVICE bool attend_has_rows(int rows_of_thread, int n)
{
    return fr_thread() / FR_WARP * 2 * rows_of_thread < n;
}

/** n rows in memory: (token, head) pairs from a head of the group on; keys are a group of one. */
template <typename T> struct attend_rows {
    const T *at; /* head 0 of the first token */
    int64_t stride;
    int group;
    int head;
    int n;
};

/** The token and the head of a row, counted from those of the tile's first token. */
struct attend_pair {
    int token;
    int head;
};
FR_DEVICE attend_pair attend_pair_of(int group, int head, int row)
{
    attend_pair out = {(head + row) / group, (head + row) % group};
    return out;
}

FR_DEVICE attend_four attend_load(const float *at)
{
    return *reinterpret_cast<const attend_four *>(at);
}

/** Numbers of a chunk. */
FR_DEVICE int attend_depth(const fr_attend &a, int chunk)
{
    return attend_least(FR_ATTEND_CHUNK, a.head_dim - chunk * FR_ATTEND_CHUNK);
}

template <typename T>
FR_DEVICE attend_four attend_read(const T *from, int n, bool wide, float factor)
{
    attend_four out = {{0.0F, 0.0F, 0.0F, 0.0F}};
    if (wide) {
        fr_four<T> x = *reinterpret_cast<const fr_four<T> *>(from);
        FR_UNROLL
        for (int i = 0; i < 4; i++) {
            out.at[i] = fr_read(&x.at[i]) * factor;
        }
        return out;
    }
    FR_UNROLL
    for (int i = 0; i < 4; i++) {
        if (i < n) {
            out.at[i] = fr_read(from + i) * factor;
        }
    }
    return out;
}

/** One chunk of n_rows rows to shared memory, times `factor`; 0 beyond the rows and the head's numbers. */
template <typename T>
FR_DEVICE void attend_fill(const fr_attend &a, const attend_rows<T> &rows, int chunk,
                           int n_rows, float factor, float *to, int ld)
{
    int depth = attend_depth(a, chunk);
    for (int i = fr_thread(); i < n_rows * (FR_ATTEND_CHUNK / 4);
         i += FR_ATTEND_THREADS) {
        int row = i / (FR_ATTEND_CHUNK / 4);
        int column = i % (FR_ATTEND_CHUNK / 4) * 4;
        if (column < depth) {
            attend_four x = {{0.0F, 0.0F, 0.0F, 0.0F}};
            if (row < rows.n) {
                attend_pair pair = attend_pair_of(rows.group, rows.head, row);
                const T *from = rows.at + pair.token * rows.stride +
                                pair.head * a.head_dim + chunk * FR_ATTEND_CHUNK +
                                column;
                x = attend_read(from, depth - column, a.wide != 0, factor);
            }
            *reinterpret_cast<attend_four *>(to + row * ld + column) = x;
        }
    }
}

/** All chunks of a tile's own rows. */
template <int CHUNKS, typename T>
FR_DEVICE void attend_keep(const fr_attend &a, const attend_rows<T> &rows, int n_rows,
                           float factor, float *to)
{
    for (int c = 0; c < CHUNKS && c * FR_ATTEND_CHUNK < a.head_dim; c++) {
        attend_fill(a, rows, c, n_rows, factor, to + c * FR_ATTEND_CHUNK,
                    FR_ATTEND_ROW_LD(CHUNKS));
    }
}

/** A chunk of what passes by takes the place of another, once all threads are done with that. */
template <typename T>
FR_DEVICE void attend_pass(const fr_attend &a, const attend_rows<T> &rows, int chunk,
                           float *to)
{
    fr_sync();
    attend_fill(a, rows, chunk, FR_ATTEND_STEP, 1.0F, to, FR_ATTEND_CHUNK_LD);
    fr_sync();
}

/** sums += the thread's rows times its two columns, over a chunk. */
template <int N>
FR_DEVICE void attend_multiply(int depth, const float *own, int ld,
                               const float *passing, float (&sums)[N][2])
{
    const float *row = own + attend_first_row(N) * ld;
    const float *column = passing + attend_lane() * FR_ATTEND_CHUNK_LD;
    for (int d = 0; d < depth; d += 4) {
        attend_four y0 = attend_load(column + d);
        attend_four y1 = attend_load(column + 16 * FR_ATTEND_CHUNK_LD + d);
        FR_UNROLL
        for (int i = 0; i < N; i++) {
            attend_four x = attend_load(row + i * ld + d);
            FR_UNROLL
            for (int e = 0; e < 4; e++) {
                sums[i][0] = fr_fma(x.at[e], y0.at[e], sums[i][0]);
                sums[i][1] = fr_fma(x.at[e], y1.at[e], sums[i][1]);
            }
        }
    }
}

/** sums += weights of the thread's rows times the n rows that pass by, its four numbers of a chunk. */
template <int N>
FR_DEVICE void attend_add(int n, const float *weights, const float *passing,
                          float (&sums)[N][4])
{
    const float *row = weights + attend_first_row(N) * FR_ATTEND_STEP_LD;
    const float *column = passing + 4 * attend_lane();
    for (int j = 0; j < n; j += 4) {
        attend_four y[4];
        FR_UNROLL
        for (int e = 0; e < 4; e++) {
            y[e] = attend_load(column + (j + e) * FR_ATTEND_CHUNK_LD);
        }
        FR_UNROLL
        for (int i = 0; i < N; i++) {
            attend_four x = attend_load(row + i * FR_ATTEND_STEP_LD + j);
            FR_UNROLL
            for (int e = 0; e < 4; e++) {
                FR_UNROLL
                for (int c = 0; c < 4; c++) {
                    sums[i][c] = fr_fma(x.at[e], y[e].at[c], sums[i][c]);
                }
            }
        }
    }
}

/** The same for sums of all chunks, of which `chunk` passes by. */
template <int N, int CHUNKS>
FR_DEVICE void attend_add_chunk(int chunk, int n, const float *weights,
                                const float *passing, float (&sums)[CHUNKS][N][4])
{
    FR_UNROLL
    for (int c = 0; c < CHUNKS; c++) {
        if (c == chunk) {
            attend_add<N>(n, weights, passing, sums[c]);
        }
    }
}

/** Four numbers from `column` on of a row of head_dim numbers, times `factor`. */
template <typename T>
FR_DEVICE void attend_write(const fr_attend &a, const float (&x)[4], float factor,
                            int column, T *row)
{
    fr_four<T> out;
    FR_UNROLL
    for (int i = 0; i < 4; i++) {
        fr_write(&out.at[i], x[i] * factor);
    }
    if (a.wide != 0 && column < a.head_dim) {
        *reinterpret_cast<fr_four<T> *>(row + column) = out;
        return;
    }
    FR_UNROLL
    for (int i = 0; i < 4; i++) {
        if (column + i < a.head_dim) {
            row[column + i] = out.at[i];
        }
    }
}

/** The kernels of a body, for both types, of which so many blocks fit on a processor: 4 leave 128 registers a thread, 3 leave
 * 168. */
#define ATTEND_KERNEL(name, arguments, blocks)                                         \
    FR_KERNEL_SHARING(name##_0, arguments, FR_ATTEND_THREADS, blocks)                  \
    {                                                                                  \
        name##_body<float>(a);                                                         \
    }                                                                                  \
    FR_KERNEL_SHARING(name##_1, arguments, FR_ATTEND_THREADS, blocks)                  \
    {                                                                                  \
        name##_body<fr_bf16>(a);                                                       \
    }

#endif
