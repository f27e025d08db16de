/*
 * tensor.h - products of a warp's tensor core, what feeds it, and copies that run on beside a thread.
 *
 * Where which lane has which number is said by PTX. In which order a tensor core adds, and to how many bits, is not: here
 * products are exact, their sum is taken in f64 by rising k, and is rounded once. A kernel that uses it has these bits
 * nowhere else, so that its tests need a tolerance.
 */
#ifndef FR_CUDA_EMULATION_PTX_TENSOR_H
#define FR_CUDA_EMULATION_PTX_TENSOR_H

#include "ptx/machine.h"

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

/* Number 0 or 1 of a register with two. */
inline f64 of_pair(u32 pair, int which)
{
    return f64{same_bits<f32>(which == 0 ? pair << 16 : pair & 0xffff0000U)};
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

/* D = A B + C for A [16, K] and B [K, 8] in bf16, C and D [16, 8] in f32. Lane 4 g + t holds of A in register i the pair at row
 * g + 8 (i % 2), column 2 t + 8 (i / 2); of B the pair at rows 2 t + 8 i, column g; of C and D number i is at row g + 8 (i / 2),
 * column 2 t + i % 2. */
template <int K> struct product {
    f32 d[4];
    product(const u32 (&a)[K / 4], const u32 (&b)[K / 8], const u32 (&c)[4], int line)
    {
        const brought<K / 4> of_a(a, line);
        const brought<K / 8> of_b(b, line);
        int lane = static_cast<int>(laneid());
        for (int i = 0; i < 4; i++) {
            int row = lane / 4 + i / 2 * 8;
            int column = lane % 4 * 2 + i % 2;
            f64 sum = 0;
            for (int k = 0; k < K; k++) {
                int in_row = k % 8 / 2;
                f64 x =
                    of_pair(of_a.of[row % 8 * 4 + in_row][row / 8 + k / 8 * 2], k % 2);
                f64 y = of_pair(of_b.of[column * 4 + in_row][k / 8], k % 2);
                sum += x * y;
            }
            d[i] = result(static_cast<f32>(sum + f64{same_bits<f32>(c[i])}));
        }
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
