/*
 * operators.h - the operators of the table (backend.h), each in the file of its part: norms.c, heads.c, activation.c, rows.c,
 * loss.c, sample.c, attention.c, product.c; and what settles products (lt_ready.c).
 */
#ifndef FR_DEVICE_CUDA_OPERATORS_H
#define FR_DEVICE_CUDA_OPERATORS_H

#include "device/backend.h"

/* fr_products_try and fr_products_settle */
FR_MUST_CHECK fr_status fr_cuda_products_try(fr_device *device, int n,
                                             const fr_product_shape *shapes,
                                             int64_t *refused_N);
FR_MUST_CHECK fr_status fr_cuda_products_settle(fr_device *device, int n,
                                                const fr_product_shape *shapes,
                                                const int64_t *refused_N);

fr_op_linear fr_cuda_linear;
fr_op_linear_few fr_cuda_linear_few;
fr_op_linear_back fr_cuda_linear_back;
fr_op_gather_rows fr_cuda_gather_rows;
fr_op_rmsnorm fr_cuda_rmsnorm;
fr_op_rmsnorm_back fr_cuda_rmsnorm_back;
fr_op_layernorm fr_cuda_layernorm;
fr_op_layernorm_back fr_cuda_layernorm_back;
fr_op_add_bias fr_cuda_add_bias;
fr_op_rope fr_cuda_rope;
fr_op_rmsnorm_heads fr_cuda_rmsnorm_heads;
fr_op_rmsnorm_heads_back fr_cuda_rmsnorm_heads_back;
fr_op_save fr_cuda_save;
fr_op_restore fr_cuda_restore;
fr_op_add fr_cuda_add;
fr_op_add_scaled fr_cuda_add_scaled;
fr_op_scale fr_cuda_scale;
fr_op_gated fr_cuda_gated;
fr_op_gated_back fr_cuda_gated_back;
fr_op_save_gated fr_cuda_save_gated;
fr_op_restore_gated_back fr_cuda_restore_gated_back;
fr_op_activate fr_cuda_activate;
fr_op_activate_back fr_cuda_activate_back;
fr_op_attention fr_cuda_attention;
fr_op_attention_back fr_cuda_attention_back;
fr_op_shape_logits fr_cuda_shape_logits;
fr_op_cross_entropy fr_cuda_cross_entropy;
fr_op_exact_add fr_cuda_exact_add;
fr_op_exact_add_numbers fr_cuda_exact_add_numbers;
fr_op_copy_rows fr_cuda_copy_rows;
fr_op_scatter_rows fr_cuda_scatter_rows;
fr_op_add_table_rows fr_cuda_add_table_rows;
fr_op_add_rows fr_cuda_add_rows;
fr_op_fill_cache fr_cuda_fill_cache;
fr_op_qkv_finish fr_cuda_qkv_finish;
fr_op_sample_rows fr_cuda_sample_rows;

#endif
