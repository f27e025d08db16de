/*
 * device_side.cuh - the words of kernels, as nvcc has them. tests/cuda_emulation/device_side.cuh has the same words for the CPU:
 * kernels say nothing else to the hardware, so that one source is compiled for both.
 *
 * A kernel is started on a grid of blocks (x, y) of threads (x), warps of 32. Its one argument is a structure, `a`. It has no
 * shared memory but what fr_shared gives, whose size the host says at the start, and makes no float atomics: sums run in an
 * order that it fixes. Products and sums are not fused by the compiler (-fmad=false): what is fused is written so.
 */
#ifndef FR_DEVICE_CUDA_DEVICE_SIDE_CUH
#define FR_DEVICE_CUDA_DEVICE_SIDE_CUH

#include <stdint.h>

#define FR_DEVICE static __device__ __forceinline__
#define FR_FORMULA static __device__ __forceinline__
#define FR_FORMULA_WHOLE static __device__ __forceinline__
/** A table of constants of a source: FR_CONSTANT float table[] = {...} */
#define FR_CONSTANT static __device__ __constant__ const

/** The head of a kernel, whose body follows. `threads`: the most that a block of it has. */
#define FR_KERNEL(name, arguments, threads)                                            \
    extern "C" __global__ void __launch_bounds__(threads)                              \
        name(const __grid_constant__ arguments a)

enum { FR_WARP = 32 };

/* Where this thread is. */
FR_DEVICE int fr_thread(void)
{
    return (int)threadIdx.x;
}
FR_DEVICE int fr_threads(void)
{
    return (int)blockDim.x;
}
FR_DEVICE int64_t fr_block(void)
{
    return (int64_t)blockIdx.x;
}
FR_DEVICE int64_t fr_blocks(void)
{
    return (int64_t)gridDim.x;
}
FR_DEVICE int64_t fr_block_y(void)
{
    return (int64_t)blockIdx.y;
}

/** The block's shared memory, aligned to 16 bytes; it holds rubbish at first. */
template <typename T> FR_DEVICE T *fr_shared(void)
{
    extern __shared__ __align__(16) unsigned char fr_shared_bytes[];
    return reinterpret_cast<T *>(fr_shared_bytes);
}

/** All threads of the block, none of which may have returned, wait for each other. */
FR_DEVICE void fr_sync(void)
{
    __syncthreads();
}
/** All threads of the warp wait for each other. */
FR_DEVICE void fr_sync_warp(void)
{
    __syncwarp();
}

/* Between the threads of a warp, all of which take part: x of another lane. */
template <typename T> FR_DEVICE T fr_from_lane(T x, int lane)
{
    return __shfl_sync(0xffffffffU, x, lane);
}
template <typename T> FR_DEVICE T fr_from_xor(T x, int mask)
{
    return __shfl_xor_sync(0xffffffffU, x, mask);
}
/** Bit i: whether lane i says yes. */
FR_DEVICE uint32_t fr_ballot(bool yes)
{
    return __ballot_sync(0xffffffffU, yes);
}

/* Sums of integers, which have no order, in memory of the device or of the block. */
FR_DEVICE void fr_add_i64(int64_t *sum, int64_t x)
{
    (void)atomicAdd(reinterpret_cast<unsigned long long *>(sum),
                    static_cast<unsigned long long>(x));
}
/** Returns what was there before. */
FR_DEVICE int32_t fr_add_i32(int32_t *sum, int32_t x)
{
    return atomicAdd(sum, x);
}

/* Rounded once. */
FR_DEVICE float fr_fma(float x, float y, float z)
{
    return __fmaf_rn(x, y, z);
}
FR_DEVICE double fr_fma(double x, double y, double z)
{
    return __fma_rn(x, y, z);
}
FR_DEVICE float fr_sqrt(float x)
{
    return __fsqrt_rn(x);
}
/** To the nearest integer, ties to even. |x| < 2^63 */
FR_DEVICE int64_t fr_round_i64(double x)
{
    return __double2ll_rn(x);
}
/** 2^x, off by 2^-22 of it at most; +0 for -infinity and for results below 2^-126. */
FR_DEVICE float fr_exp2_near(float x)
{
    float out;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
    return out;
}
/** Two numbers rounded to bf16, the first in the lower half. */
FR_DEVICE uint32_t fr_pack_bf16(float lower, float upper)
{
    uint32_t out;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(upper), "f"(lower));
    return out;
}
FR_DEVICE uint32_t fr_bits(float x)
{
    return __float_as_uint(x);
}
FR_DEVICE float fr_of_bits(uint32_t x)
{
    return __uint_as_float(x);
}
FR_DEVICE int fr_count_bits(uint32_t x)
{
    return __popc(x);
}

/*
 * Products on tensor cores. All lanes of a warp take part. Lane l = 4 g + t holds two bf16 numbers in a register, the first in its
 * lower half; of tiles of 16 and 8 rows or columns:
 *
 *     a [row, k], 16 x 16     a[0] (g, 2t), (g, 2t + 1)     a[1] (g + 8, ...)     a[2], a[3] the same with 8 columns more
 *     b [k, column], 16 x 8   b[0] (2t, g), (2t + 1, g)     b[1] (2t + 8, g), (2t + 9, g)
 *     d [row, column], 16 x 8 d[0], d[1] (g, 2t), (g, 2t + 1)     d[2], d[3] (g + 8, 2t), (g + 8, 2t + 1)
 */

/** d += a b. How a sum of 16 products and d is rounded is the hardware's; a number of d depends on its row, its column and itself. */
FR_DEVICE void fr_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/** The same for N tiles that lie beside each other: d[i] += a b[i]. */
template <int N>
FR_DEVICE void fr_mma_bf16_row(float d[N][4], const uint32_t a[4],
                               const uint32_t b[N][2])
{
#pragma unroll
    for (int i = 0; i < N; i++) {
        fr_mma_bf16(d[i], a, b[i]);
    }
}

/** Four tiles of 8 x 8 numbers of 16 bits from shared memory: lane l says where row l % 8 of tile l / 8 is, 16 bytes at a multiple
 * of 16. out[i] of lane 4 g + t has numbers 2t and 2t + 1 of row g of tile i. */
FR_DEVICE void fr_load_matrices_4(uint32_t out[4], const void *row_in_shared)
{
    uint32_t row = static_cast<uint32_t>(__cvta_generic_to_shared(row_in_shared));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(row)
                 : "memory");
}
/** The same with rows and columns of each tile exchanged: out[i] has numbers g of rows 2t and 2t + 1. */
FR_DEVICE void fr_load_matrices_4_transposed(uint32_t out[4], const void *row_in_shared)
{
    uint32_t row = static_cast<uint32_t>(__cvta_generic_to_shared(row_in_shared));
    asm volatile(
        "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
        : "r"(row)
        : "memory");
}

/** Begin to copy 16 bytes to shared memory, zeros if they are not wanted; both addresses are multiples of 16. Neither may be written
 * until a wait of this thread that covers the copy, nor the target read. */
FR_DEVICE void fr_copy_ahead_16(void *to_shared, const void *from, bool wanted)
{
    uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(to_shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(to), "l"(__cvta_generic_to_global(from)), "r"(wanted ? 16 : 0)
                 : "memory");
}
/** The copies that this thread has begun since it last said so are a group, which may be empty. */
FR_DEVICE void fr_copies_close(void)
{
    asm volatile("cp.async.commit_group;" : : : "memory");
}
/** Wait until at most N of this thread's newest groups are under way. No copy is when a thread returns. */
template <int N> FR_DEVICE void fr_copies_await(void)
{
    asm volatile("cp.async.wait_group %0;" : : "n"(N) : "memory");
}

/** Before a loop whose length is a constant: its body is repeated, so that arrays that it indexes stay in registers. */
#define FR_UNROLL _Pragma("unroll")

/** Before a loop whose body is not to be repeated: its registers would be, too. */
#define FR_ROLLED _Pragma("unroll 1")

/** FR_KERNEL of which at least so many blocks fit on a processor: it may have as many registers as that leaves. */
#define FR_KERNEL_SHARING(name, arguments, threads, blocks)                            \
    extern "C" __global__ void __launch_bounds__(threads, blocks)                      \
        name(const __grid_constant__ arguments a)

#endif
