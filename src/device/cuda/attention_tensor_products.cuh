/*
 * attention_tensor_products.cuh - products of tiles in attention on tensor cores (attention_tensor.cuh): own rows with rows that
 * pass by, weights with what passes by, and the sums' way to memory.
 */
#ifndef FR_DEVICE_CUDA_ATTENTION_TENSOR_PRODUCTS_CUH
#define FR_DEVICE_CUDA_ATTENTION_TENSOR_PRODUCTS_CUH

#include "device/cuda/attention_tile.cuh"
#include "device/cuda/tensor_tiles.cuh"

enum {
    ATTEND_WARPS = FR_ATTEND_THREADS / FR_WARP,
    ATTEND_GROUP = 16 /* products that a tensor core adds at once */
};

/* This thread's warp, and the first of its rows among 16 (the other is 8 further on); of 8 columns, its first of two. */
FR_DEVICE int attend_warp(void)
{
    return fr_thread() / FR_WARP;
}
FR_DEVICE int attend_tensor_row(void)
{
    return fr_thread() % FR_WARP / 4;
}
FR_DEVICE int attend_tensor_column(void)
{
    return fr_thread() % 4 * 2;
}

/** sums[i][j] += 16 own rows i times 8 rows j of what passes by, over all numbers of a head. Chunks are exchanged alike every
 * so many groups, which are the body of a loop: addresses of more would take too many registers. */
template <int CHUNKS, int TILES, int N>
FR_DEVICE void attend_tensor_multiply(const fr_bf16 *own, const fr_bf16 *passing,
                                      float (&sums)[TILES][N][4])
{
    enum { ALIKE = CHUNKS % 8 == 0 ? 4 : 2 };
    FR_ROLLED
    for (int first = 0; first < CHUNKS / 2; first += ALIKE) {
        const fr_bf16 *own_part = own + first * ATTEND_GROUP;
        const fr_bf16 *passing_part = passing + first * ATTEND_GROUP;
        FR_UNROLL
        for (int group = 0; group < ALIKE; group++) {
            uint32_t right[N][2];
            FR_UNROLL
            for (int j = 0; j < N; j += 2) {
                fr_load_right<CHUNKS>(passing_part + j * 8 * CHUNKS * FR_CHUNK, group,
                                      right[j]);
            }
            FR_UNROLL
            for (int i = 0; i < TILES; i++) {
                uint32_t left[4];
                fr_load_left<CHUNKS>(own_part + i * 16 * CHUNKS * FR_CHUNK, group,
                                     left);
                fr_mma_bf16_row<N>(sums[i], left, right);
            }
        }
    }
}

/** Weights of 16 rows that pass by, group `group` of them, as the left side of a product. */
template <int N>
FR_DEVICE void attend_pack(const float (&weights)[N][4], int group, uint32_t out[4])
{
    FR_UNROLL
    for (int i = 0; i < 4; i++) {
        const float *pair = weights[2 * group + i / 2] + i % 2 * 2;
        out[i] = fr_pack_bf16(pair[0], pair[1]);
    }
}

/** sums[i][j] += weights of 16 own rows i times what passes by, 8 numbers j of a head from chunk `first` on. */
template <int CHUNKS, int TILES, int N, int COLUMNS>
FR_DEVICE void attend_tensor_add(const float (&weights)[TILES][N][4],
                                 const fr_bf16 *passing, int first,
                                 float (&sums)[TILES][COLUMNS][4])
{
    enum { AT_ONCE = 4 };
    FR_UNROLL
    for (int group = 0; group < N / 2; group++) {
        uint32_t left[TILES][4];
        FR_UNROLL
        for (int i = 0; i < TILES; i++) {
            attend_pack<N>(weights[i], group, left[i]);
        }
        FR_UNROLL
        for (int j = 0; j < COLUMNS; j += AT_ONCE) {
            uint32_t right[AT_ONCE][2];
            FR_UNROLL
            for (int k = 0; k < AT_ONCE; k += 2) {
                fr_load_right_across<CHUNKS>(passing + group * 16 * CHUNKS * FR_CHUNK,
                                             first + j + k, right[k]);
            }
            FR_UNROLL
            for (int i = 0; i < TILES; i++) {
                fr_mma_bf16_row<AT_ONCE>(&sums[i][j], left[i], right);
            }
        }
    }
}

/** Sums of one row of 16, `half` of them further on, times `factor`, to a row of memory from `column` on. */
template <int COLUMNS, typename T>
FR_DEVICE void attend_tensor_write(const fr_attend &a, const float (&sums)[COLUMNS][4],
                                   int half, float factor, int column, bool wanted,
                                   T *row)
{
    FR_UNROLL
    for (int j = 0; j < COLUMNS; j += 2) {
        fr_four<float> four = fr_four_of(&sums[j][2 * half], &sums[j + 1][2 * half]);
        if (wanted) {
            attend_write(a, four.at, factor, column + 8 * j + fr_column_of_four(), row);
        }
    }
}

#endif
