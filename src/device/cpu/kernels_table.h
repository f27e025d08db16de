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

#include "device/cpu/kernels_lanes.h"
#include "device/cpu/kernels_math.h"

#include "device/cpu/kernels_activation.h"
#include "device/cpu/kernels_attention.h"
#include "device/cpu/kernels_loss.h"
#include "device/cpu/kernels_rowwise.h"

#define FR_KERNEL_TABLE(product)                                                       \
    {                                                                                  \
        .rmsnorm = rmsnorm, .rmsnorm_back = rmsnorm_back, .layernorm = layernorm,      \
        .layernorm_back = layernorm_back, .rmsnorm_turn = rmsnorm_turn, .add = add,    \
        .add_scaled = add_scaled, .rope = rope,                                        \
        .activation = {[FR_ACTIVATION_SILU] = FR_ACTIVATION_ENTRY(silu),               \
                       [FR_ACTIVATION_GELU_TANH] = FR_ACTIVATION_ENTRY(gelu_tanh),     \
                       [FR_ACTIVATION_GELU_ERF] = FR_ACTIVATION_ENTRY(gelu_erf),       \
                       [FR_ACTIVATION_RELU] = FR_ACTIVATION_ENTRY(relu)},              \
        .save_bf16 = save_bf16, .round_bf16 = round_bf16, .widen_bf16 = widen_bf16,    \
        .max_logit = max_logit, .sum_exp = sum_exp, .scale = scale,                    \
        .shape_logits = shape_logits, .capped_probability = capped_probability,        \
        .exact_add = exact_add, .tile_product = product, .transpose = transpose,       \
        .copy_scaled = copy_scaled, .dot = dot, .softmax_row = softmax_row,            \
        .shape_scores = shape_scores, .score_row_back = score_row_back,                \
        .shaped_score_row_back = shaped_score_row_back,                                \
    }

#endif
