/*
 * device_side.cuh - the words of kernels (src/device/cuda/hardware/device_side.cuh) on the CPU: a thread is a fiber (block.h).
 *
 * Between two points where threads wait for each other their order is drawn, so a kernel that needs another barrier gives
 * other bits or ends here with a message. Products and sums are those of the hardware: IEEE 754, fused where it is written.
 */
#ifndef FR_DEVICE_CUDA_DEVICE_SIDE_CUH
#define FR_DEVICE_CUDA_DEVICE_SIDE_CUH

#include "block.h"
#include "tensor.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define FR_DEVICE static inline
#define FR_FORMULA static inline
#define FR_FORMULA_WHOLE static inline __attribute__((always_inline))
#define FR_CONSTANT static const

#define FR_KERNEL(name, arguments, threads)                                            \
    static void name##_of(const arguments &a);                                         \
    extern "C" {                                                                       \
    extern const fr_emulated_kernel fr_emulated_##name;                                \
    static void name##_entry(const void *a)                                            \
    {                                                                                  \
        name##_of(*static_cast<const arguments *>(a));                                 \
    }                                                                                  \
    const fr_emulated_kernel fr_emulated_##name = {#name, name##_entry,                \
                                                   sizeof(arguments), threads};        \
    }                                                                                  \
    static void name##_of(const arguments &a)

enum { FR_WARP = FR_EMULATED_WARP };

FR_DEVICE int fr_thread(void)
{
    return fr_emulated.thread;
}
FR_DEVICE int fr_threads(void)
{
    return fr_emulated.threads;
}
FR_DEVICE int64_t fr_block(void)
{
    return fr_emulated.block;
}
FR_DEVICE int64_t fr_blocks(void)
{
    return fr_emulated.blocks;
}
FR_DEVICE int64_t fr_block_y(void)
{
    return fr_emulated.block_y;
}

template <typename T> FR_DEVICE T *fr_shared(void)
{
    return static_cast<T *>(fr_emulated.shared);
}

/* `line` is where the kernel says it: all who wait for each other must be there. */
FR_DEVICE void fr_sync(int line = __builtin_LINE())
{
    fr_emulated_sync(line);
}
FR_DEVICE void fr_sync_warp(int line = __builtin_LINE())
{
    (void)fr_emulated_exchange(FR_EMULATED_SYNC, line, 0);
}

template <typename T>
FR_DEVICE T fr_from_lane(T x, int lane, int line = __builtin_LINE())
{
    uint64_t bits = 0;
    T out;
    static_assert(sizeof(T) <= sizeof bits, "at most 8 bytes move between lanes");
    memcpy(&bits, &x, sizeof x);
    bits = fr_emulated_exchange(FR_EMULATED_VALUE, line, bits)[lane & (FR_WARP - 1)];
    memcpy(&out, &bits, sizeof out);
    return out;
}
template <typename T>
FR_DEVICE T fr_from_xor(T x, int mask, int line = __builtin_LINE())
{
    return fr_from_lane(x, (fr_emulated.thread ^ mask) & (FR_WARP - 1), line);
}
FR_DEVICE uint32_t fr_ballot(bool yes, int line = __builtin_LINE())
{
    const uint64_t *all = fr_emulated_exchange(FR_EMULATED_BALLOT, line, yes ? 1 : 0);
    uint32_t out = 0;
    for (int lane = 0; lane < FR_WARP; lane++) {
        out |= static_cast<uint32_t>(all[lane]) << lane;
    }
    return out;
}

/* races.cpp need not see them: they race with none of their kind. */
#define FR_DEVICE_ATOMIC static __attribute__((no_sanitize_thread, unused))
FR_DEVICE_ATOMIC void fr_add_i64(int64_t *sum, int64_t x)
{
    *sum = static_cast<int64_t>(static_cast<uint64_t>(*sum) + static_cast<uint64_t>(x));
}
FR_DEVICE_ATOMIC int32_t fr_add_i32(int32_t *sum, int32_t x)
{
    int32_t before = *sum;
    *sum = before + x;
    return before;
}

#ifdef FR_EMULATED_FUSED /* no access of the kernel's own */
static __attribute__((no_sanitize_thread, noinline, unused)) void fr_count_fused(void)
{
    fr_emulated_fused++;
}
#else
FR_DEVICE void fr_count_fused(void)
{
}
#endif
FR_DEVICE float fr_fma(float x, float y, float z)
{
    fr_count_fused();
    return __builtin_fmaf(x, y, z);
}
FR_DEVICE double fr_fma(double x, double y, double z)
{
    fr_count_fused();
    return __builtin_fma(x, y, z);
}
FR_DEVICE float fr_sqrt(float x)
{
    return __builtin_sqrtf(x);
}
FR_DEVICE int64_t fr_round_i64(double x)
{
    return __builtin_llrint(x);
}
FR_DEVICE float fr_exp2_near(float x)
{
    return fr_emulated_exp2_near(x);
}
FR_DEVICE uint32_t fr_pack_bf16(float lower, float upper)
{
    return fr_emulated_pack_bf16(lower, upper);
}
FR_DEVICE uint32_t fr_bits(float x)
{
    uint32_t out;
    memcpy(&out, &x, sizeof out);
    return out;
}
FR_DEVICE float fr_of_bits(uint32_t x)
{
    float out;
    memcpy(&out, &x, sizeof out);
    return out;
}
FR_DEVICE int fr_count_bits(uint32_t x)
{
    return __builtin_popcount(x);
}

/* 16 bytes of any type, as one access. */
struct alignas(16) fr_emulated_16 {
    uint32_t at[4];
} __attribute__((may_alias));

FR_DEVICE void fr_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2],
                           int line = __builtin_LINE())
{
    fr_emulated_multiply(reinterpret_cast<float(*)[4]>(d), a,
                         reinterpret_cast<const uint32_t(*)[2]>(b), 1, line);
}
template <int N>
FR_DEVICE void fr_mma_bf16_row(float d[N][4], const uint32_t a[4],
                               const uint32_t b[N][2], int line = __builtin_LINE())
{
    fr_emulated_multiply(d, a, b, N, line);
}

/* Each lane reads the row that it names: races.cpp sees the access here. */
FR_DEVICE void fr_load_matrices_4(uint32_t out[4], const void *row_in_shared,
                                  int line = __builtin_LINE())
{
    fr_emulated_check_shared(row_in_shared);
    fr_emulated_16 row = *static_cast<const fr_emulated_16 *>(row_in_shared);
    fr_emulated_matrices(out, row.at, false, line);
}
FR_DEVICE void fr_load_matrices_4_transposed(uint32_t out[4], const void *row_in_shared,
                                             int line = __builtin_LINE())
{
    fr_emulated_check_shared(row_in_shared);
    fr_emulated_16 row = *static_cast<const fr_emulated_16 *>(row_in_shared);
    fr_emulated_matrices(out, row.at, true, line);
}

/* The hardware may write from here on: races.cpp sees a write of what is there, and another one when the bytes appear. */
FR_DEVICE void fr_copy_ahead_16(void *to_shared, const void *from, bool wanted)
{
    fr_emulated_copy_begin(to_shared, from, wanted);
    auto *to = static_cast<fr_emulated_16 *>(to_shared);
    fr_emulated_16 held = *to;
    asm volatile("" : "+m"(held));
    *to = held;
}
FR_DEVICE void fr_copies_close(void)
{
    fr_emulated_copies_close();
}
template <int N> FR_DEVICE void fr_copies_await(void)
{
    const fr_emulated_copy *copy = nullptr;
    while ((copy = fr_emulated_copy_due(N)) != nullptr) {
        fr_emulated_16 bytes = {};
        if (copy->from != nullptr) {
            bytes = *static_cast<const fr_emulated_16 *>(copy->from);
        }
        *static_cast<fr_emulated_16 *>(copy->to) = bytes;
    }
}

/** Before a loop whose length is a constant: its body is repeated, so that arrays that it indexes stay in registers. */
#define FR_UNROLL _Pragma("GCC unroll 16")

/** Before a loop whose body is not to be repeated: its registers would be, too. */
#define FR_ROLLED _Pragma("GCC unroll 1")

/** FR_KERNEL of which at least so many blocks fit on a processor: it may have as many registers as that leaves. */
#define FR_KERNEL_SHARING(name, arguments, threads, blocks)                            \
    FR_KERNEL(name, arguments, threads)

#endif
