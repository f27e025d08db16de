/*
 * backend.h - what a kind of device offers: a table of functions, and the part of a device that all kinds share. For the
 * sources of src/device alone; callers use the public headers.
 *
 * A backend has a folder and a structure of its own that begins with fr_device; its `create` makes one. The public functions
 * check arguments, dispatch through the table, and take the times (operators*.c, dispatch.c), so a table's functions do neither.
 * They have the contracts of the public ones, with arguments that have been checked.
 */
#ifndef FR_DEVICE_BACKEND_H
#define FR_DEVICE_BACKEND_H

#include "device/activation.h"
#include "device/attention.h"
#include "device/kinds.h"
#include "device/lane.h"
#include "device/loss.h"
#include "device/matrix.h"
#include "device/memory.h"
#include "device/products.h"
#include "device/profile.h"
#include "device/qkv.h"
#include "device/rows.h"
#include "device/rowwise.h"
#include "device/sample.h"

/* The operators, as a backend has them: each is the public function of that name (fr_linear, ...) with plain pointers; views
 * stay views. */
typedef fr_status fr_op_linear(fr_device *device, int64_t m, fr_view x,
                               const fr_matrix *w, fr_view add, fr_view y);
typedef fr_status fr_op_linear_few(fr_device *device, int64_t m, fr_view x,
                                   const fr_matrix *w, fr_view add, fr_view y);
typedef fr_status fr_op_linear_back(fr_device *device, int64_t m, fr_view dy,
                                    const fr_matrix *w, bool accumulate, fr_view dx);
typedef fr_status fr_op_gather_rows(fr_device *device, int64_t n_tokens,
                                    const int32_t *ids, const fr_matrix *table,
                                    float *y_TD);
typedef void fr_op_rmsnorm(fr_device *device, int64_t n_tokens, int64_t width,
                           fr_view x_TD, const float *w_D, float eps, fr_view y_TD,
                           float *rstd_T);
typedef void fr_op_rmsnorm_back(fr_device *device, int64_t n_tokens, int64_t width,
                                fr_view x_TD, const float *w_D, const float *rstd_T,
                                fr_view dy_TD, float *dx_TD, fr_view again_TD);
typedef void fr_op_layernorm(fr_device *device, int64_t n_tokens, int64_t width,
                             fr_view x_TD, const float *w_D, const float *b_D,
                             float eps, fr_view y_TD, float *stats_T2);
typedef void fr_op_layernorm_back(fr_device *device, int64_t n_tokens, int64_t width,
                                  fr_view x_TD, const float *w_D, const float *stats_T2,
                                  fr_view dy_TD, float *dx_TD, fr_view again_TD);
typedef void fr_op_add_bias(fr_device *device, int64_t n_tokens, int64_t width,
                            int64_t stride, const float *b, fr_view x);
typedef void fr_op_rope(fr_device *device, const fr_heads *heads, int64_t rotary,
                        const int32_t *positions_T, const float *table, bool inverse,
                        fr_view x);
typedef void fr_op_rmsnorm_heads(fr_device *device, const fr_heads *heads, fr_view x,
                                 const float *w_K, float eps, fr_view y,
                                 float *rstd_TN);
typedef void fr_op_rmsnorm_heads_back(fr_device *device, const fr_heads *heads,
                                      fr_view x, const float *w_K, const float *rstd_TN,
                                      fr_view dy, fr_view dx);
typedef void fr_op_save(fr_device *device, int64_t n, fr_view x, fr_view saved);
typedef void fr_op_restore(fr_device *device, int64_t n, fr_view saved, fr_view x);
typedef void fr_op_add(fr_device *device, int64_t n, fr_view x, float *y);
typedef void fr_op_add_scaled(fr_device *device, int64_t n, float factor, fr_view x,
                              float *y);
typedef void fr_op_scale(fr_device *device, int64_t n, float factor, float *x);
typedef void fr_op_gated(fr_device *device, fr_activation activation, int64_t n_tokens,
                         int64_t width, fr_view gate_up_T2F, fr_view y_TF);
typedef void fr_op_gated_back(fr_device *device, fr_activation activation,
                              int64_t n_tokens, int64_t width, fr_view gate_up_T2F,
                              fr_view dy_TF, fr_view dgate_up_T2F);
typedef void fr_op_save_gated(fr_device *device, fr_activation activation,
                              int64_t n_tokens, int64_t width, fr_view gate_up_T2F,
                              fr_view saved, fr_view y_TF);
typedef void fr_op_restore_gated_back(fr_device *device, fr_activation activation,
                                      int64_t n_tokens, int64_t width, fr_view saved,
                                      fr_view dy_TF, fr_view dgate_up_T2F);
typedef void fr_op_activate(fr_device *device, fr_activation activation, int64_t n,
                            fr_view x, fr_view y);
typedef void fr_op_activate_back(fr_device *device, fr_activation activation, int64_t n,
                                 fr_view x, fr_view dy, fr_view dx);
typedef fr_status fr_op_attention(fr_device *device, const fr_attention_params *params,
                                  fr_view q, fr_view k, fr_view v, fr_view o_THK,
                                  float *lse_TH);
typedef fr_status fr_op_attention_back(fr_device *device,
                                       const fr_attention_params *params, fr_view q,
                                       fr_view k, fr_view v, fr_view o_THK,
                                       const float *lse_TH, fr_view do_THK,
                                       const fr_attention_gradients *gradients);
typedef void fr_op_shape_logits(fr_device *device, int64_t n,
                                const fr_logit_shape *shape, float *logits);
typedef void fr_op_cross_entropy(fr_device *device, int64_t n_rows, int64_t vocab,
                                 const fr_logit_shape *shape, float *logits_RV,
                                 const int32_t *targets_R, bool want_gradient,
                                 double *nll_R);
typedef void fr_op_exact_add(fr_device *device, int64_t n_units, int64_t n,
                             int exponent, const float *g_Un, int64_t *sum_n,
                             int64_t *n_refused);
typedef void fr_op_exact_add_numbers(fr_device *device, int64_t n, int exponent,
                                     const double *x_n, int64_t *sum,
                                     int64_t *n_refused);
typedef void fr_op_copy_rows(fr_device *device, int64_t n_rows, int64_t width,
                             const int32_t *rows_N, fr_view x, fr_view y_ND);
typedef void fr_op_scatter_rows(fr_device *device, int64_t n_tokens, int64_t width,
                                int64_t n_rows, const int32_t *rows_S, fr_view x_SD,
                                fr_view y_TD);
typedef void fr_op_add_table_rows(fr_device *device, int64_t n_tokens, int64_t width,
                                  const int32_t *rows_T, const float *table,
                                  float *x_TD);
typedef void fr_op_add_rows(fr_device *device, int64_t n_rows, int64_t width,
                            const int32_t *rows_N, const float *x_ND, float *y);
typedef void fr_op_fill_cache(fr_device *device, const fr_attention_params *params,
                              fr_view k, fr_view v, fr_view cache_k, fr_view cache_v);
typedef void fr_op_qkv_finish(fr_device *device, const fr_qkv *qkv, fr_view x_TW,
                              fr_view saved_TW);
typedef fr_status fr_op_sample_rows(fr_device *device, int64_t n_rows, int64_t vocab,
                                    const float *logits_NV, const fr_sample_rule *rule,
                                    const double *uniform_N, int32_t *ids_N);

/** Each entry is the public function of that name; of memory fr_device_alloc, fr_host_alloc, ... */
typedef struct fr_device_ops {
    bool
        in_host_memory; /* then reserve, room and most_used are NULL: a device with memory of
                            its own has them from a pool (pool.h) */
    bool
        put_keeps; /* `put` leaves its source as it is, so that it does for `load`, too */
    void (*destroy)(fr_device *device);
    const char *(*arithmetic)(const fr_device *device);
    fr_device_variant (*variant)(const fr_device *device);
    fr_dtype (*work)(const fr_device *device, fr_dtype precision);
    fr_dtype (*kept)(const fr_device *device, fr_dtype precision);
    fr_status (*check)(
        const fr_device *device); /* what failed in its own work; NULL: nothing can */

    fr_status (*reserve)(fr_device *device, int64_t bytes);
    int64_t (*room)(const fr_device *device);
    int64_t (*most_used)(const fr_device *device);
    fr_status (*alloc)(fr_device *device, int64_t bytes,
                       void **out); /* host_alloc too: zeroed, aligned to 64 bytes */
    void (*free)(fr_device *device, void *memory);
    fr_status (*host_alloc)(fr_device *device, int64_t bytes, void **out);
    void (*host_free)(fr_device *device, void *memory);
    void (*put)(fr_device *device, void *to, void *from, int64_t bytes);
    void (*get)(fr_device *device, void *to, const void *from, int64_t bytes);
    void (*ahead)(fr_device *device, int slot, void *to, const void *from,
                  int64_t bytes); /* and await: NULL where in_host_memory */
    void (*await)(fr_device *device, int slot);
    void (*copy)(fr_device *device, void *to, const void *from, int64_t bytes);
    void (*zero)(fr_device *device, void *to, int64_t bytes);
    fr_mark (*mark)(fr_device *device);
    bool (*passed)(fr_device *device, fr_mark mark);
    fr_status (*lane_open)(fr_device *device,
                           fr_lane **out); /* NULL: it has none; then all are */
    void (*lane_close)(fr_lane *lane);
    void *(*lane_stream)(const fr_lane *lane);
    void (*lane_mark)(fr_lane *lane);
    bool (*lane_passed)(fr_lane *lane);
    const char *(*products)(const fr_device *device); /* NULL: it has no library */
    fr_status (*products_try)(
        fr_device *device, int n, const fr_product_shape *shapes,
        int64_t *refused_N); /* NULL, as the next, where that is */
    fr_status (*products_settle)(fr_device *device, int n,
                                 const fr_product_shape *shapes,
                                 const int64_t *refused_N);

    fr_op_linear *linear;
    fr_op_linear_few *linear_few;
    fr_op_linear_back *linear_back;
    fr_op_gather_rows *gather_rows;
    fr_op_rmsnorm *rmsnorm;
    fr_op_rmsnorm_back *rmsnorm_back;
    fr_op_layernorm *layernorm;
    fr_op_layernorm_back *layernorm_back;
    fr_op_add_bias *add_bias;
    fr_op_rope *rope;
    fr_op_rmsnorm_heads *rmsnorm_heads;
    fr_op_rmsnorm_heads_back *rmsnorm_heads_back;
    fr_op_save *save;
    fr_op_restore *restore;
    fr_op_add *add;
    fr_op_add_scaled *add_scaled;
    fr_op_scale *scale;
    fr_op_gated *gated;
    fr_op_gated_back *gated_back;
    fr_op_save_gated *save_gated;
    fr_op_restore_gated_back *restore_gated_back;
    fr_op_activate *activate;
    fr_op_activate_back *activate_back;
    fr_op_attention *attention;
    fr_op_attention_back *attention_back;
    fr_op_shape_logits *shape_logits;
    fr_op_cross_entropy *cross_entropy;
    fr_op_exact_add *exact_add;
    fr_op_exact_add_numbers *exact_add_numbers;
    fr_op_copy_rows *copy_rows;
    fr_op_scatter_rows *scatter_rows;
    fr_op_add_table_rows *add_table_rows;
    fr_op_add_rows *add_rows;
    fr_op_fill_cache *fill_cache;
    fr_op_qkv_finish *qkv_finish;
    fr_op_sample_rows *sample_rows;
} fr_device_ops;

/** What a device of any kind begins with. */
struct fr_device {
    const fr_device_ops *ops;
    fr_ctx *ctx; /* borrowed */
    int n_threads;
    void (*progress)(void *); /* see fr_device_set_progress */
    void *progress_argument;
    bool is_profiled;
    fr_operator_time times[FR_OPERATORS];
    bool has_failed;
    fr_operator failed; /* the first whose arguments were refused */
};

/** What a lane of any kind begins with. */
struct fr_lane {
    fr_device *device;
};

/** One call of the progress function, if there is one; on the thread that called the operator. */
void fr_device_progress(const fr_device *device);

/** A kind of device. */
typedef struct fr_backend {
    const char *kind;
    /** Whether the environment lets one be made. */
    fr_status (*check)(fr_ctx *ctx);
    /** Whether this machine has what it takes to look for one; NULL: always. Quick. */
    bool (*is_installed)(void);
    /** See fr_device_facts_of; NULL: it works in the host's memory, in f32. */
    fr_status (*facts)(fr_ctx *ctx, int node_rank, fr_device_facts *out);
    fr_status (*create)(fr_ctx *ctx, const fr_device_params *params, fr_device **out);
    /** See fr_device_products_bytes; NULL: it has no library. */
    int64_t (*products_bytes)(fr_ctx *ctx);
} fr_backend;

#endif
