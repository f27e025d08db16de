/*
 * quant_kernels.h - the conversions of quant.h, one table per instruction set; private to quant*.c and its test.
 *
 * All tables give the same bits (the payload of a NaN made from two others aside).
 */
#ifndef FR_DEVICE_CPU_QUANT_KERNELS_H
#define FR_DEVICE_CPU_QUANT_KERNELS_H

#include "device/quant.h"

enum {
    FR_QUANT_LAST = FR_QUANT_Q2_0
}; /* highest number of a type that can be widened */

typedef struct fr_quant_kernels {
    /** By the type's number; NULL: unsupported. Blocks lie one after the other, at any address. */
    void (*widen[FR_QUANT_LAST + 1])(const uint8_t *blocks, int64_t n, float *out);
    /** Widened and rounded at once; NULL: as two steps. */
    void (*to_bf16[FR_QUANT_LAST + 1])(const uint8_t *blocks, int64_t n, uint16_t *out);
    /** Products with blocks as they lie, summed as device/few.h says; NULL: there is none. */
    void (*few[FR_QUANT_LAST + 1])(const fr_quant_few *few);
    void (*round_bf16)(const float *x, int64_t n, uint16_t *out);
} fr_quant_kernels;

extern const fr_quant_kernels fr_quant_generic;
extern const fr_quant_kernels fr_quant_avx2;
extern const fr_quant_kernels fr_quant_avx512;

#endif
