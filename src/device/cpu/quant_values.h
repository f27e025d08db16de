/*
 * quant_values.h - what the nibbles of IQ4_NL, IQ4_XS and MXFP4 stand for, for quant_*.c alone.
 */
#ifndef FR_DEVICE_CPU_QUANT_VALUES_H
#define FR_DEVICE_CPU_QUANT_VALUES_H

#include <stdint.h>
#include <string.h>

/* Dense near 0, where most weights are. */
static const int8_t IQ4_VALUES[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};

/* Floats of a sign, two exponent and one fraction bit, doubled so that they are whole; the scale is halved instead. */
static const int8_t MXFP4_VALUES[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                        0, -1, -2, -3, -4, -6, -8, -12};

/* 2^(exponent - 128): half of what the byte means. The two lowest are subnormal. The byte 255, which the format's own
 * text calls a NaN, is read as the next power of two, as other readers of GGUF files do. */
static inline float load_half_power(const uint8_t *at)
{
    uint32_t bits = *at < 2 ? 0x00200000U << *at : (*at - 1U) << 23;
    float value = 0.0F;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
