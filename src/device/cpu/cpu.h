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
    fr_isa_choice choice;
    fr_isa isa;
    fr_scratch scratch[FR_SCRATCH_USES];
} fr_cpu;

static inline const fr_cpu *fr_cpu_of(const fr_device *device)
{
    return (const fr_cpu *)device;
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

/* ---- the table's functions, with the contracts of the public ones --------------------------- */

FR_MUST_CHECK fr_status fr_cpu_linear(fr_device *device, int64_t m, const float *x,
                                      const fr_matrix *w, bool accumulate, float *y);
FR_MUST_CHECK fr_status fr_cpu_linear_few(fr_device *device, int64_t m, const float *x,
                                          const fr_matrix *w, bool accumulate,
                                          float *y);
FR_MUST_CHECK fr_status fr_cpu_linear_back(fr_device *device, int64_t m,
                                           const float *dy, const fr_matrix *w,
                                           bool accumulate, float *dx);
FR_MUST_CHECK fr_status fr_cpu_gather_rows(fr_device *device, int64_t n_tokens,
                                           const int32_t *ids, const fr_matrix *table,
                                           float *y_TD);
void fr_cpu_rmsnorm(fr_device *device, int64_t n_tokens, int64_t width,
                    const float *x_TD, const float *w_D, float eps, float *y_TD,
                    float *rstd_T);
void fr_cpu_rmsnorm_back(fr_device *device, int64_t n_tokens, int64_t width,
                         const float *x_TD, const float *w_D, const float *rstd_T,
                         const float *dy_TD, float *dx_TD);
void fr_cpu_layernorm(fr_device *device, int64_t n_tokens, int64_t width,
                      const float *x_TD, const float *w_D, const float *b_D, float eps,
                      float *y_TD, float *stats_T2);
void fr_cpu_layernorm_back(fr_device *device, int64_t n_tokens, int64_t width,
                           const float *x_TD, const float *w_D, const float *stats_T2,
                           const float *dy_TD, float *dx_TD);
void fr_cpu_add_bias(fr_device *device, int64_t n_tokens, int64_t width, int64_t stride,
                     const float *b, float *x);
void fr_cpu_rope(fr_device *device, const fr_heads *heads, int64_t rotary,
                 const int32_t *positions_T, const float *table, bool inverse,
                 float *x);
void fr_cpu_rmsnorm_heads(fr_device *device, const fr_heads *heads, const float *x,
                          const float *w_K, float eps, float *y, float *rstd_TN);
void fr_cpu_rmsnorm_heads_back(fr_device *device, const fr_heads *heads, const float *x,
                               const float *w_K, const float *rstd_TN, const float *dy,
                               float *dx);
void fr_cpu_save(fr_device *device, int64_t n, fr_dtype dtype, float *x, void *saved);
void fr_cpu_restore(fr_device *device, int64_t n, fr_dtype dtype, const void *saved,
                    float *x);
void fr_cpu_add(fr_device *device, int64_t n, const float *x, float *y);
void fr_cpu_add_scaled(fr_device *device, int64_t n, float factor, const float *x,
                       float *y);
void fr_cpu_scale(fr_device *device, int64_t n, float factor, float *x);
void fr_cpu_gated(fr_device *device, fr_activation activation, int64_t n_tokens,
                  int64_t width, const float *gate_up_T2F, float *y_TF);
void fr_cpu_gated_back(fr_device *device, fr_activation activation, int64_t n_tokens,
                       int64_t width, const float *gate_up_T2F, const float *dy_TF,
                       float *dgate_up_T2F);
void fr_cpu_save_gated(fr_device *device, fr_activation activation, int64_t n_tokens,
                       int64_t width, fr_dtype dtype, float *gate_up_T2F, void *saved,
                       float *y_TF);
void fr_cpu_restore_gated_back(fr_device *device, fr_activation activation,
                               int64_t n_tokens, int64_t width, fr_dtype dtype,
                               const void *saved, const float *dy_TF,
                               float *dgate_up_T2F);
void fr_cpu_activate(fr_device *device, fr_activation activation, int64_t n,
                     const float *x, float *y);
void fr_cpu_activate_back(fr_device *device, fr_activation activation, int64_t n,
                          const float *x, const float *dy, float *dx);
FR_MUST_CHECK fr_status fr_cpu_attention(fr_device *device,
                                         const fr_attention_params *params,
                                         const float *q, const float *k, const float *v,
                                         float *o_THK, float *lse_TH);
FR_MUST_CHECK fr_status fr_cpu_attention_back(fr_device *device,
                                              const fr_attention_params *params,
                                              const float *q, const float *k,
                                              const float *v, const float *o_THK,
                                              const float *lse_TH, const float *do_THK,
                                              const fr_attention_gradients *gradients);
void fr_cpu_shape_logits(fr_device *device, int64_t n, const fr_logit_shape *shape,
                         float *logits);
void fr_cpu_cross_entropy(fr_device *device, int64_t n_rows, int64_t vocab,
                          const fr_logit_shape *shape, float *logits_RV,
                          const int32_t *targets_R, bool want_gradient, double *nll_R);
void fr_cpu_exact_add(fr_device *device, int64_t n_units, int64_t n, int exponent,
                      const float *g_Un, int64_t *sum_n, int64_t *n_refused);
void fr_cpu_exact_add_numbers(fr_device *device, int64_t n, int exponent,
                              const double *x_n, int64_t *sum, int64_t *n_refused);

void fr_cpu_copy_rows(fr_device *device, int64_t n_rows, int64_t width,
                      const int32_t *rows_N, const float *x, float *y_ND);
void fr_cpu_scatter_rows(fr_device *device, int64_t n_tokens, int64_t width,
                         int64_t n_rows, const int32_t *rows_S, const float *x_SD,
                         float *y_TD);
void fr_cpu_add_table_rows(fr_device *device, int64_t n_tokens, int64_t width,
                           const int32_t *rows_T, const float *table, float *x_TD);
void fr_cpu_add_rows(fr_device *device, int64_t n_rows, int64_t width,
                     const int32_t *rows_N, const float *x_ND, float *y);
void fr_cpu_fill_cache(fr_device *device, const fr_attention_params *params,
                       const float *k, const float *v, float *cache_k, float *cache_v);
FR_MUST_CHECK fr_status fr_cpu_sample_rows(fr_device *device, int64_t n_rows,
                                           int64_t vocab, const float *logits_NV,
                                           const fr_sample_rule *rule,
                                           const double *uniform_N, int32_t *ids_N);

#endif
