/*
 * quant_values.h - what bits of the number formats stand for, for the devices that convert them: halves, scales that are powers
 * of two, and the values that the nibbles of IQ4_NL, IQ4_XS and MXFP4 choose.
 */
#ifndef FR_DEVICE_QUANT_VALUES_H
#define FR_DEVICE_QUANT_VALUES_H

#include "base/formula.h"

#include <stdint.h>
#include <string.h>

/* The eight lower and the eight upper ones, which a device may want apart. Dense near 0, where most weights are. */
#define FR_IQ4_LOWER -127, -104, -83, -65, -49, -35, -22, -10
#define FR_IQ4_UPPER 1, 13, 25, 38, 53, 69, 89, 113

/* Floats of a sign, two exponent and one fraction bit, doubled so that they are whole; the scale is halved instead. */
#define FR_MXFP4_LOWER 0, 1, 2, 3, 4, 6, 8, 12
#define FR_MXFP4_UPPER 0, -1, -2, -3, -4, -6, -8, -12

/** 2^(exponent - 128): half of what the byte means. The two lowest are subnormal. The byte 255, which the format's own
 * text calls a NaN, is read as the next power of two, as other readers of GGUF files do. */
FR_FORMULA float fr_half_power(uint8_t exponent)
{
    uint32_t bits = exponent < 2 ? 0x00200000U << exponent : (exponent - 1U) << 23;
    float value = 0.0F;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/**
 * A half has 5 exponent bits with bias 15, a float 8 with bias 127: moving the fraction to its
 * place and raising the exponent by 112 is right for normal numbers. Infinity and NaN go up by
 * another 112. A subnormal half is given the exponent of the smallest normal one, which is then
 * subtracted. The choice is by masks: a branch would keep the compiler from using vectors.
 */
FR_FORMULA float fr_half_value(uint16_t half)
{
    const uint32_t min = 113U << 23;
    uint32_t magnitude = (uint32_t)(half & 0x7fffU) << 13;
    uint32_t normal = magnitude + (112U << 23);
    uint32_t shifted = magnitude + min;
    float subnormal = 0.0F;
    float value = 0.0F;
    memcpy(&subnormal, &shifted, sizeof shifted);
    subnormal -= 0x1p-14F;
    memcpy(&shifted, &subnormal, sizeof shifted);
    normal += (0U - (uint32_t)(magnitude >= 0x0f800000U)) & (112U << 23);
    uint32_t is_normal = 0U - (uint32_t)(magnitude >= 0x00800000U);
    uint32_t bits = (normal & is_normal) | (shifted & ~is_normal);
    bits |= (uint32_t)(half & 0x8000U) << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/** The scale of a run of 16 in a Q3_K block, from the 12 bytes of them: run r has the low nibble in byte r mod 8, low ones
 * first, and the upper two bits in byte 8 + r mod 4. */
FR_FORMULA int fr_q3_k_scale(const uint8_t *scales, int run)
{
    int lower = scales[run % 8] >> run / 8 * 4 & 15;
    int upper = scales[8 + run % 4] >> run / 4 * 2 & 3;
    return (lower | upper << 4) - 32;
}

#endif
