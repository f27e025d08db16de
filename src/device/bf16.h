/*
 * bf16.h - the number format bf16: the upper half of an f32. These functions are the scalar reference.
 *
 * Kernels use them in loops that compilers turn into vectors, or round by the same steps in instructions of their own
 * (cpu/quant_avx512.h). tests/unit/test_quant.c compares each of them with these functions, bit by bit except for which NaN.
 */
#ifndef FR_DEVICE_BF16_H
#define FR_DEVICE_BF16_H

#include "base/formula.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/**
 * x to bf16: nearest, ties to even; overflow becomes infinity, a NaN stays a (quiet) NaN.
 *
 * Adding 0x7fff plus the lowest bit that stays carries into the upper half exactly when rounding goes up. A NaN could carry
 * into infinity or zero, so it is cut off instead and made quiet.
 */
FR_FORMULA uint16_t fr_bf16_round(float x)
{
    uint32_t bits = 0;
    memcpy(&bits, &x, sizeof bits);
    bool is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
    uint32_t rounded = bits + 0x7fffU + ((bits >> 16) & 1U);
    return (uint16_t)((is_nan ? bits | 0x00400000U : rounded) >> 16);
}

FR_FORMULA float fr_bf16_widen(uint16_t bf16)
{
    uint32_t bits = (uint32_t)bf16 << 16;
    float x = 0.0F;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
