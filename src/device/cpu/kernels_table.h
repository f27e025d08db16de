/*
 * kernels_table.h - all kernel bodies, and the initialiser of the table that names them.
 *
 * Included once by each kernels_<isa>.c, after its kernels_simd header: the same source becomes one set
 * of kernels an instruction set. The product of tiles is the file's own choice.
 */
#ifndef FR_DEVICE_CPU_KERNELS_TABLE_H
#define FR_DEVICE_CPU_KERNELS_TABLE_H

#include "device/cpu/kernels.h"

#include <math.h>
#include <string.h>

#include "device/cpu/kernels_math.h"

#include "device/cpu/kernels_activation.h"
#include "device/cpu/kernels_attention.h"
#include "device/cpu/kernels_rowwise.h"

#define FR_KERNEL_TABLE(product)                                                       \
    {                                                                                  \
        .rmsnorm = rmsnorm, .rmsnorm_back = rmsnorm_back, .layernorm = layernorm,      \
        .layernorm_back = layernorm_back, .add = add, .rope = rope, .swiglu = swiglu,  \
        .swiglu_back = swiglu_back, .gelu = gelu, .gelu_back = gelu_back,              \
        .save_bf16 = save_bf16, .round_bf16 = round_bf16, .widen_bf16 = widen_bf16,    \
        .max_logit = max_logit, .sum_exp = sum_exp, .scale = scale,                    \
        .exact_add = exact_add, .tile_product = product, .transpose = transpose,       \
        .copy_scaled = copy_scaled, .dot = dot, .softmax_row = softmax_row,            \
        .score_row_back = score_row_back,                                              \
    }

#endif
