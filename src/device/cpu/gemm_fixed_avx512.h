/*
 * gemm_fixed_avx512.h - how products in fixed point (gemm.h) are packed on AVX-512: runs of scales, then pairs of depths of
 * a tile's rows or of a panel's columns. Only for sources compiled for it.
 */
#ifndef FR_DEVICE_CPU_GEMM_FIXED_AVX512_H
#define FR_DEVICE_CPU_GEMM_FIXED_AVX512_H

#include "device/cpu/gemm_tile_avx512.h"

enum { TILE_SCALES = WIDTH };

/** As in fr_gemm_kernel: runs of [TILE_SCALES] and [pairs, ROWS]; runs of [COLUMNS] and [pairs, COLUMNS]. */
void fr_avx512_pack_fixed_left(const fr_gemm_rows *rows, float *out);
void fr_avx512_pack_fixed_right(const fr_gemm_panel *panel, float *out);

#endif
