/*
 * tensor_tiles.cuh - tiles of bf16 numbers in shared memory, as kernels on tensor cores read them (fr_mma_bf16).
 *
 * A row of a tile is CHUNKS chunks of 8 numbers. Chunks of a row are exchanged by the row's number, so that those that are read
 * together, the same chunk of 8 rows that follow each other, lie in different banks.
 */
#ifndef FR_DEVICE_CUDA_TENSOR_TILES_CUH
#define FR_DEVICE_CUDA_TENSOR_TILES_CUH

#include "device/cuda/numbers.cuh"

enum { FR_CHUNK = 8 }; /* numbers of 16 bytes */

struct alignas(16) fr_chunk {
    fr_bf16 at[FR_CHUNK];
};

/** Where chunk `at` of a row lies, in numbers. CHUNKS: 4, or such that rows of 16 bytes times it take turns on the 32 banks. */
template <int CHUNKS> FR_DEVICE int fr_chunk_place(int row, int at)
{
    static_assert(CHUNKS % 4 == 0, "chunks are exchanged among four or eight");
    int turned = CHUNKS % 8 == 0 ? at ^ (row % 8) : at ^ (row / 2 % 4);
    return (row * CHUNKS + turned) * FR_CHUNK;
}

FR_DEVICE fr_bf16 fr_narrow(fr_bf16 x)
{
    return x;
}
FR_DEVICE fr_bf16 fr_narrow(float x)
{
    fr_bf16 out;
    fr_write(&out, x);
    return out;
}

/* For all three: `rows` is where the tile's row begins that comes first, whose number is a multiple of 16. */

/** The left side of a product: 16 rows, numbers 16 group on. */
template <int CHUNKS>
FR_DEVICE void fr_load_left(const fr_bf16 *rows, int group, uint32_t out[4])
{
    int lane = fr_thread() % FR_WARP;
    fr_load_matrices_4(out,
                       rows + fr_chunk_place<CHUNKS>(lane % 16, 2 * group + lane / 16));
}

/** The right side, 16 columns that are rows of the tile, numbers 16 group on: two registers for the first 8 columns, two for the others. */
template <int CHUNKS>
FR_DEVICE void fr_load_right(const fr_bf16 *rows, int group, uint32_t out[4])
{
    int lane = fr_thread() % FR_WARP;
    fr_load_matrices_4(out, rows + fr_chunk_place<CHUNKS>(lane % 8 + lane / 16 * 8,
                                                          2 * group + lane / 8 % 2));
}

/** The right side, 16 columns from 8 chunk on, whose depth runs along 16 rows of the tile; registers likewise. */
template <int CHUNKS>
FR_DEVICE void fr_load_right_across(const fr_bf16 *rows, int chunk, uint32_t out[4])
{
    int lane = fr_thread() % FR_WARP;
    fr_load_matrices_4_transposed(
        out, rows + fr_chunk_place<CHUNKS>(lane % 16, chunk + lane / 16));
}

/** Of two tiles of results side by side, two lanes side by side have two numbers each: one takes four of the first tile, its
 * neighbour four of the second, from column fr_column_of_four() of the pair on. */
FR_DEVICE fr_four<float> fr_four_of(const float first[2], const float second[2])
{
    bool has_first = fr_thread() % 2 == 0;
    uint64_t given = static_cast<uint64_t>(fr_bits(has_first ? second[1] : first[1]))
                         << 32 |
                     fr_bits(has_first ? second[0] : first[0]);
    uint64_t taken = fr_from_xor(given, 1);
    float lower = fr_of_bits(static_cast<uint32_t>(taken));
    float upper = fr_of_bits(static_cast<uint32_t>(taken >> 32));
    fr_four<float> out = {{has_first ? first[0] : lower, has_first ? first[1] : upper,
                           has_first ? lower : second[0],
                           has_first ? upper : second[1]}};
    return out;
}
FR_DEVICE int fr_column_of_four(void)
{
    int lane = fr_thread() % FR_WARP;
    return lane % 2 * 8 + lane % 4 / 2 * 4;
}

#endif
