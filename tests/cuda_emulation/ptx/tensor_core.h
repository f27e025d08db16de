/*
 * tensor_core.h - products of a warp's tensor core, what feeds it, powers of 2, and copies that run on beside a thread.
 *
 * Where which lane has which number is said by PTX. In which order a tensor core adds, and to how many bits, is not: these kernels
 * have the bits of the same ones in the emulation, and others on a GPU, where their tests need a tolerance.
 */
#ifndef FR_CUDA_EMULATION_PTX_TENSOR_CORE_H
#define FR_CUDA_EMULATION_PTX_TENSOR_CORE_H

#include "ptx/machine.h"
#include "tensor.h"

#include "base/elementary_formula.h"

#include <vector>

namespace ptx
{

/* To the nearest, ties to even; NaN is 0x7fff. */
inline u16 bf16_of(f32 x)
{
    u32 bits = same_bits<u32>(x);
    return static_cast<u16>(x != x ? 0x7fffU
                                   : (bits + 0x7fffU + (bits >> 16 & 1)) >> 16);
}

inline f32 flushed(f32 x)
{
    return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0F, x) : x;
}

/* 2^x, subnormal x and results 0 */
inline f32 power_of_two(f32 x)
{
    static const f64 LN2 = FR_LN2_HIGH + FR_LN2_LOW;
    return x == x ? flushed(f32(fr_exp_of_pair(f64{flushed(x)} * LN2, 0.0)))
                  : result(x);
}

/* What all lanes bring: of each, register i. */
template <int N> struct brought {
    u32 of[FR_EMULATED_WARP][N];
    brought(const u32 (&own)[N], int line)
    {
        for (int i = 0; i < N; i += 2) {
            u64 two = both(own[i], i + 1 < N ? own[i + 1] : 0);
            const u64 *all = fr_emulated_exchange(FR_EMULATED_VALUE, line, two);
            for (int lane = 0; lane < FR_EMULATED_WARP; lane++) {
                of[lane][i] = static_cast<u32>(all[lane]);
                if (i + 1 < N) {
                    of[lane][i + 1] = static_cast<u32>(all[lane] >> 32);
                }
            }
        }
    }
};

/* D = A B + C for A [16, 16] and B [16, 8] in bf16, C and D [16, 8] in f32, by the tensor core of the emulation: its tensor.h says in
 * which order it adds. Lane 4 g + t holds of A in register i the pair at row g + 8 (i % 2), column 2 t + 8 (i / 2); of B the pair at
 * rows 2 t + 8 i, column g; of C and D number i is at row g + 8 (i / 2), column 2 t + i % 2. */
struct product {
    f32 d[1][4];
    product(const u32 (&a)[4], const u32 (&b)[2], const u32 (&c)[4], int line)
    {
        const u32 tiles[1][2] = {{b[0], b[1]}};
        memcpy(d, c, sizeof d);
        fr_emulated_multiply(d, a, tiles, 1, line);
    }
};

/* N matrices of 8 rows with 8 numbers of 16 bits: lane 8 i + r brings the address of row r of matrix i. Lane 4 g + t gets of each
 * the pair at row g, columns 2 t and 2 t + 1; transposed: at rows 2 t and 2 t + 1, column g. */
template <int N, bool TRANSPOSED> struct matrices {
    u32 of[N];
    matrices(u64 address, int line)
    {
        u32 own[4] = {};
        if (laneid() < 8 * N) {
            memcpy(own, at_shared(address, 16, line), sizeof own);
        }
        const brought<4> rows(own, line);
        u32 g = laneid() / 4;
        u32 t = laneid() % 4;
        for (u32 i = 0; i < N; i++) {
            u32 pair = rows.of[8 * i + g][t];
            if (TRANSPOSED) {
                u32 low = rows.of[8 * i + 2 * t][g / 2] >> (g % 2 * 16) & 0xffff;
                u32 high = rows.of[8 * i + 2 * t + 1][g / 2] >> (g % 2 * 16) & 0xffff;
                pair = low | high << 16;
            }
            of[i] = pair;
        }
    }
};

/* Copies that a thread has begun. Each happens as late as it may: when its group is waited for. */
struct copies {
    struct copy {
        char *to;
        const char *from;
        size_t size;
        size_t filled; /* bytes of `from`; zeros behind them */
    };
    std::vector<std::vector<copy>> groups = {{}}; /* the last one is open */
    void begin(char *to, const char *from, size_t size, size_t filled)
    {
        groups.back().push_back({to, from, size, filled < size ? filled : size});
    }
    void close(void)
    {
        groups.emplace_back();
    }
    void wait(size_t but_last)
    {
        while (groups.size() > but_last + 1) {
            finish(groups.front());
            groups.erase(groups.begin());
        }
    }
    void wait_all(void)
    {
        wait(0);
        finish(groups.back());
        groups.back().clear();
    }

  private:
    static void finish(const std::vector<copy> &group)
    {
        for (const copy &c : group) {
            memcpy(c.to, c.from, c.filled);
            memset(c.to + c.filled, 0, c.size - c.filled);
        }
    }
};

} // namespace ptx

#endif
