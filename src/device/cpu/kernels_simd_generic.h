/*
 * kernels_simd_generic.h - the 8-lane f32 vector of the kernel bodies, on any processor.
 *
 * Included by kernels_generic.c alone. Two 4-lane compiler vectors: the baseline of x86-64 and of
 * AArch64 holds them in registers. A fused operation takes a call for each lane where the baseline has no instruction for it.
 */
#ifndef FR_DEVICE_CPU_KERNELS_SIMD_GENERIC_H
#define FR_DEVICE_CPU_KERNELS_SIMD_GENERIC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef float v4 __attribute__((vector_size(16)));
typedef uint32_t v4_bits __attribute__((vector_size(16)));
typedef int32_t v4_mask __attribute__((vector_size(16)));

typedef struct v8 {
    v4 lo;
    v4 hi;
} v8;

enum {
    V8_BLOCK_ROWS = 2
}; /* 8 sums of 4 lanes, 4 vectors of B, 1 of A: 13 of 16 registers */

static inline v8 v8_set(float x)
{
    v4 all = {x, x, x, x};
    return (v8){all, all};
}

static inline v8 v8_load(const float *p)
{
    v8 x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline void v8_store(float *p, v8 x)
{
    memcpy(p, &x, sizeof x);
}

/** The first n lanes from memory (all if n >= 8), 0 in the others. */
static inline v8 v8_load_first(const float *p, int64_t n)
{
    v8 x = {{0}, {0}};
    if (n >= 8) {
        return v8_load(p);
    }
    memcpy(&x, p, (size_t)n * sizeof *p);
    return x;
}

/** Write the first n lanes (all if n >= 8). */
static inline void v8_store_first(float *p, v8 x, int64_t n)
{
    if (n >= 8) {
        v8_store(p, x);
    } else {
        memcpy(p, &x, (size_t)n * sizeof *p);
    }
}

/** Replace all lanes but the first n by `other`. */
static inline v8 v8_keep_first(v8 x, int64_t n, float other)
{
    float lane[8];
    v8_store(lane, x);
    for (int64_t i = n; i < 8; i++) {
        lane[i] = other;
    }
    return v8_load(lane);
}

static inline v8 v8_add(v8 a, v8 b)
{
    return (v8){a.lo + b.lo, a.hi + b.hi};
}

static inline v8 v8_sub(v8 a, v8 b)
{
    return (v8){a.lo - b.lo, a.hi - b.hi};
}

static inline v8 v8_mul(v8 a, v8 b)
{
    return (v8){a.lo * b.lo, a.hi * b.hi};
}

static inline v8 v8_div(v8 a, v8 b)
{
    return (v8){a.lo / b.lo, a.hi / b.hi};
}

/** a * b + c, rounded once */
static inline v8 v8_fma(v8 a, v8 b, v8 c)
{
    for (int i = 0; i < 4; i++) {
        c.lo[i] = fmaf(a.lo[i], b.lo[i], c.lo[i]);
        c.hi[i] = fmaf(a.hi[i], b.hi[i], c.hi[i]);
    }
    return c;
}

/** c - a * b, rounded once */
static inline v8 v8_fnma(v8 a, v8 b, v8 c)
{
    return v8_fma((v8){-a.lo, -a.hi}, b, c);
}

static inline v4 v4_choose(v4_mask mask, v4 yes, v4 no)
{
    return (v4)((mask & (v4_mask)yes) | (~mask & (v4_mask)no));
}

/** The larger of two lanes; b where either is NaN. */
static inline v8 v8_max(v8 a, v8 b)
{
    return (v8){v4_choose(a.lo > b.lo, a.lo, b.lo), v4_choose(a.hi > b.hi, a.hi, b.hi)};
}

/** The smaller of two lanes; b where either is NaN. */
static inline v8 v8_min(v8 a, v8 b)
{
    return (v8){v4_choose(a.lo < b.lo, a.lo, b.lo), v4_choose(a.hi < b.hi, a.hi, b.hi)};
}

/** 0 where key < limit, else x (so a NaN key keeps x). */
static inline v8 v8_zero_below(v8 x, v8 key, v8 limit)
{
    v4 zero = {0, 0, 0, 0};
    return (v8){v4_choose(key.lo < limit.lo, zero, x.lo),
                v4_choose(key.hi < limit.hi, zero, x.hi)};
}

/** yes where key < limit, else no (so a NaN key takes no). */
static inline v8 v8_if_below(v8 key, v8 limit, v8 yes, v8 no)
{
    return (v8){v4_choose(key.lo < limit.lo, yes.lo, no.lo),
                v4_choose(key.hi < limit.hi, yes.hi, no.hi)};
}

/** The size of x with the sign of `sign`. */
static inline v8 v8_with_sign(v8 x, v8 sign)
{
    const v4_mask size = {0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff};
    return (v8){v4_choose(size, x.lo, sign.lo), v4_choose(size, x.hi, sign.hi)};
}

/** 2^n for lanes that hold 1.5 * 2^23 + n, -126 <= n <= 127: n moves to the exponent's place. */
static inline v8 v8_power(v8 shifted)
{
    v4_bits one = {0x3f800000U, 0x3f800000U, 0x3f800000U, 0x3f800000U};
    return (v8){(v4)(((v4_bits)shifted.lo << 23) + one),
                (v4)(((v4_bits)shifted.hi << 23) + one)};
}

/** Elements 0, 2, 4, ... of 16 in a row. */
static inline v8 v8_even(v8 lo, v8 hi)
{
    return (v8){{lo.lo[0], lo.lo[2], lo.hi[0], lo.hi[2]},
                {hi.lo[0], hi.lo[2], hi.hi[0], hi.hi[2]}};
}

/** Elements 1, 3, 5, ... of 16 in a row. */
static inline v8 v8_odd(v8 lo, v8 hi)
{
    return (v8){{lo.lo[1], lo.lo[3], lo.hi[1], lo.hi[3]},
                {hi.lo[1], hi.lo[3], hi.hi[1], hi.hi[3]}};
}

/** Transpose an 8 x 8 block. */
static inline void v8_transpose(v8 row[8])
{
    float in[8][8];
    float out[8][8];
    memcpy(in, row, sizeof in);
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 8; j++) {
            out[j][i] = in[i][j];
        }
    }
    memcpy(row, out, sizeof out);
}

#endif
