/*
 * cpu.h - the CPU as a device: its state, its operators, and the scratch memory that they share.
 *
 * Operators run on the device's threads and return when the result is complete; its memory is the host's, and marks have
 * always passed. Operators look up their kernels by `isa` at each call.
 */
#ifndef FR_DEVICE_CPU_CPU_H
#define FR_DEVICE_CPU_CPU_H

#include "device/backend.h"
#include "device/cpu/isa.h"

extern const fr_backend fr_cpu_backend;

/** A CPU device with a set of one's own choice: for tests and benchmarks. `isa` <= fr_isa_detect().
 * @return FR_OK; FR_ERR_UNSUPPORTED (isa); FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_cpu_create(fr_ctx *ctx, int n_threads, fr_isa isa,
                                      fr_device **out);

/** One growing buffer per purpose; an operator uses only its own. */
typedef enum fr_scratch_use {
    FR_SCRATCH_GEMM_LEFT,  /* packed activations */
    FR_SCRATCH_GEMM_RIGHT, /* packed weights, one part a thread */
    FR_SCRATCH_ROWS,       /* rows of a matrix that is read on demand */
    FR_SCRATCH_SAMPLE,     /* candidates for a token */
    FR_SCRATCH_ATTENTION,
    FR_SCRATCH_ATTENTION_BACK,
    FR_SCRATCH_USES
} fr_scratch_use;

typedef struct fr_scratch {
    float *data;
    int64_t count; /* floats */
} fr_scratch;

typedef struct fr_cpu {
    fr_device base; /* first */
    fr_isa isa;
    fr_isa asked; /* FR_ISA_COUNT: nothing */
    fr_scratch scratch[FR_SCRATCH_USES];
} fr_cpu;

static inline const fr_cpu *fr_cpu_of(const fr_device *device)
{
    return (const fr_cpu *)device;
}

/** Memory of this device as the host's, which it is: the public structures name it by the device's types. */
static inline float *fr_cpu_floats(const fr_f32 *x)
{
    return (float *)(uintptr_t)x;
}

/** Numbers of a view in f32, the only type in which this device works. */
static inline float *fr_view_floats(fr_view x)
{
    return (float *)(void *)x.at;
}

/**
 * A buffer of at least `count` floats, 64-byte aligned, kept until the device ends: only a larger count
 * than before allocates. Contents are undefined. Valid until the next call for the same use.
 * To be called outside parallel regions; for per-thread parts ask for n_threads times the part.
 *
 * @return FR_OK; FR_ERR_NO_MEMORY (*out = NULL)
 */
FR_MUST_CHECK fr_status fr_cpu_scratch(fr_device *device, fr_scratch_use use,
                                       int64_t count, float **out);

/** Before a product that adds to y: n numbers of `add` go to y, unless they are there. Whether there are any. */
bool fr_cpu_begin_sum(fr_device *device, int64_t n, fr_view add, fr_view y);

/* ---- the operators of the table (backend.h) --------------------------------------------------- */

FR_MUST_CHECK fr_op_linear fr_cpu_linear;
FR_MUST_CHECK fr_op_linear_few fr_cpu_linear_few;
FR_MUST_CHECK fr_op_linear_back fr_cpu_linear_back;
FR_MUST_CHECK fr_op_gather_rows fr_cpu_gather_rows;
fr_op_rmsnorm fr_cpu_rmsnorm;
fr_op_rmsnorm_back fr_cpu_rmsnorm_back;
fr_op_layernorm fr_cpu_layernorm;
fr_op_layernorm_back fr_cpu_layernorm_back;
fr_op_add_bias fr_cpu_add_bias;
fr_op_rope fr_cpu_rope;
fr_op_rmsnorm_heads fr_cpu_rmsnorm_heads;
fr_op_rmsnorm_heads_back fr_cpu_rmsnorm_heads_back;
fr_op_save fr_cpu_save;
fr_op_restore fr_cpu_restore;
fr_op_add fr_cpu_add;
fr_op_add_scaled fr_cpu_add_scaled;
fr_op_scale fr_cpu_scale;
fr_op_gated fr_cpu_gated;
fr_op_gated_back fr_cpu_gated_back;
fr_op_save_gated fr_cpu_save_gated;
fr_op_restore_gated_back fr_cpu_restore_gated_back;
fr_op_activate fr_cpu_activate;
fr_op_activate_back fr_cpu_activate_back;
FR_MUST_CHECK fr_op_attention fr_cpu_attention;
FR_MUST_CHECK fr_op_attention_back fr_cpu_attention_back;
fr_op_shape_logits fr_cpu_shape_logits;
fr_op_cross_entropy fr_cpu_cross_entropy;
fr_op_exact_add fr_cpu_exact_add;
fr_op_exact_add_numbers fr_cpu_exact_add_numbers;
fr_op_copy_rows fr_cpu_copy_rows;
fr_op_scatter_rows fr_cpu_scatter_rows;
fr_op_add_table_rows fr_cpu_add_table_rows;
fr_op_add_rows fr_cpu_add_rows;
fr_op_fill_cache fr_cpu_fill_cache;
fr_op_qkv_finish fr_cpu_qkv_finish;
FR_MUST_CHECK fr_op_sample_rows fr_cpu_sample_rows;

#endif
