/*
 * simd_one.cuh - the vector of the CPU's formulas (cpu/kernels_math.h, cpu/kernels_activation_at.h) as one number of one
 * thread: a lane's result depends on that lane alone, so a thread has the bits of the CPU.
 */
#ifndef FR_DEVICE_CUDA_SIMD_ONE_CUH
#define FR_DEVICE_CUDA_SIMD_ONE_CUH

#include "device_side.cuh"

typedef struct v8 {
    float lane;
} v8;

FR_DEVICE v8 v8_set(float x)
{
    v8 out = {x};
    return out;
}
FR_DEVICE void v8_store(float *p, v8 x)
{
    *p = x.lane;
}
FR_DEVICE v8 v8_add(v8 a, v8 b)
{
    return v8_set(a.lane + b.lane);
}
FR_DEVICE v8 v8_sub(v8 a, v8 b)
{
    return v8_set(a.lane - b.lane);
}
FR_DEVICE v8 v8_mul(v8 a, v8 b)
{
    return v8_set(a.lane * b.lane);
}
FR_DEVICE v8 v8_div(v8 a, v8 b)
{
    return v8_set(a.lane / b.lane);
}
/** a * b + c, rounded once */
FR_DEVICE v8 v8_fma(v8 a, v8 b, v8 c)
{
    return v8_set(fr_fma(a.lane, b.lane, c.lane));
}
/** c - a * b, rounded once */
FR_DEVICE v8 v8_fnma(v8 a, v8 b, v8 c)
{
    return v8_set(fr_fma(-a.lane, b.lane, c.lane));
}
/** The larger; b where either is NaN. */
FR_DEVICE v8 v8_max(v8 a, v8 b)
{
    return a.lane > b.lane ? a : b;
}
/** The smaller; b where either is NaN. */
FR_DEVICE v8 v8_min(v8 a, v8 b)
{
    return a.lane < b.lane ? a : b;
}
/** 0 where key < limit, else x. */
FR_DEVICE v8 v8_zero_below(v8 x, v8 key, v8 limit)
{
    return key.lane < limit.lane ? v8_set(0.0F) : x;
}
/** yes where key < limit, else no. */
FR_DEVICE v8 v8_if_below(v8 key, v8 limit, v8 yes, v8 no)
{
    return key.lane < limit.lane ? yes : no;
}
/** The size of x with the sign of `sign`. */
FR_DEVICE v8 v8_with_sign(v8 x, v8 sign)
{
    return v8_set(fr_of_bits((fr_bits(x.lane) & 0x7fffffffU) |
                             (fr_bits(sign.lane) & 0x80000000U)));
}
/** 2^n for a number that holds 1.5 * 2^23 + n, -126 <= n <= 127. */
FR_DEVICE v8 v8_power(v8 shifted)
{
    return v8_set(fr_of_bits((fr_bits(shifted.lane) << 23) + 0x3f800000U));
}

#include "device/cpu/kernels_math.h"

#endif
