/*
 * quant_kernels.h - the conversions of quant.h, and products of few rows with weights in their stored form; one table per
 * instruction set.
 *
 * All tables give the same bits (the payload of a NaN made from two others aside).
 */
#ifndef FR_DEVICE_CPU_QUANT_KERNELS_H
#define FR_DEVICE_CPU_QUANT_KERNELS_H

#include "device/cpu/isa.h"
#include "device/quant.h"

enum {
    FR_QUANT_LAST = FR_QUANT_Q2_0
}; /* highest number of a type that can be widened */

enum { FR_QUANT_FEW_ROWS = 4 };

/** A product of few rows of x with rows of blocks, which need not be neighbours. */
typedef struct fr_quant_few {
    const uint8_t *rows[FR_QUANT_FEW_ROWS]; /* of W, the first n_rows */
    int64_t n_rows;
    int64_t depth; /* a multiple of the type's block */
    bool round;    /* the values of W to bf16 */
    int64_t m;
    const float *x; /* [m, depth] */
    float *y;       /* [m, n_rows], rows y_stride apart */
    int64_t y_stride;
    bool add;
} fr_quant_few;

/** y (+)= x W^T, without a widened copy of W. Bits: those of few.h over the values that fr_quant_widen (or, with `round`,
 * fr_quant_to_bf16) gives. */
typedef void fr_quant_few_kernel(const fr_quant_few *few);

struct fr_quant_kernels {
    /** By the type's number; NULL: unsupported. Blocks lie one after the other, at any address. */
    void (*widen[FR_QUANT_LAST + 1])(const uint8_t *blocks, int64_t n, float *out);
    /** Widened and rounded at once; NULL: as two steps. */
    void (*to_bf16[FR_QUANT_LAST + 1])(const uint8_t *blocks, int64_t n, uint16_t *out);
    /** By the type's number; NULL: rows have to be widened first. */
    fr_quant_few_kernel *few[FR_QUANT_LAST + 1];
    void (*round_bf16)(const float *x, int64_t n, uint16_t *out);
};

extern const fr_quant_kernels fr_quant_generic;
extern const fr_quant_kernels fr_quant_avx2;
extern const fr_quant_kernels fr_quant_avx512;

/** The table of the highest instruction set up to `isa`. */
const fr_quant_kernels *fr_quant_kernels_select(fr_isa isa);

#endif
