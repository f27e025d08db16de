/*
 * The public operators: each checks its arguments, calls the device's own function and takes the time.
 *
 * What is checked here is what would otherwise read or write beside a buffer whatever the device, and is known without
 * looking into memory: counts, widths, strides and pairs. A caller that breaks a contract has a fault, so nothing is
 * repaired: the operator does nothing, and the device remembers the first of them (fr_device_check).
 */
#include "base/clock.h"
#include "device/backend.h"

/* Without a profile the clock is not read: some operators take less time than that. */
static int64_t begin(const fr_device *device)
{
    return device->is_profiled ? fr_clock_ns() : 0;
}

static void end(fr_device *device, fr_operator which, int64_t began, int64_t flops)
{
    if (device->is_profiled) {
        device->times[which].calls++;
        device->times[which].ns += fr_clock_ns() - began;
        device->times[which].flops += flops;
    }
}

/* Whether the operator may run: its arguments can be taken, and nothing has gone wrong before. */
static bool takes(fr_device *device, fr_operator which, bool good)
{
    if (!good && !device->has_failed) {
        device->has_failed = true;
        device->failed = which;
    }
    return !device->has_failed;
}

static bool are_heads(const fr_heads *heads)
{
    return heads->n_tokens >= 0 && heads->n_heads >= 0 && heads->head_dim > 0 &&
           heads->n_heads * heads->head_dim <= heads->stride;
}

static bool can_attend(const fr_attention_params *p)
{
    return p->n_tokens >= 0 && p->n_segments >= 0 && p->prefix_length >= 0 &&
           p->head_dim > 0 && p->n_kv_heads > 0 && p->n_heads % p->n_kv_heads == 0 &&
           p->n_heads * p->head_dim <= p->q_stride &&
           p->n_kv_heads * p->head_dim <= p->kv_stride && p->window >= 0;
}

fr_status fr_linear(fr_device *device, int64_t m, const float *x, const fr_matrix *w,
                    bool accumulate, float *y)
{
    if (!takes(device, FR_OP_LINEAR, m >= 0 && w->n_out >= 0 && w->n_in >= 0)) {
        return fr_device_check(device);
    }
    int64_t began = begin(device);
    fr_status status = device->ops->linear(device, m, x, w, accumulate, y);
    end(device, FR_OP_LINEAR, began, 2 * m * w->n_out * w->n_in);
    return status;
}

fr_status fr_linear_few(fr_device *device, int64_t m, const float *x,
                        const fr_matrix *w, bool accumulate, float *y)
{
    if (!takes(device, FR_OP_LINEAR, m >= 0 && w->n_out >= 0 && w->n_in >= 0)) {
        return fr_device_check(device);
    }
    int64_t began = begin(device);
    fr_status status = device->ops->linear_few(device, m, x, w, accumulate, y);
    end(device, FR_OP_LINEAR, began, 2 * m * w->n_out * w->n_in);
    return status;
}

fr_status fr_linear_back(fr_device *device, int64_t m, const float *dy,
                         const fr_matrix *w, bool accumulate, float *dx)
{
    if (!takes(device, FR_OP_LINEAR_BACK, m >= 0 && w->n_out >= 0 && w->n_in >= 0)) {
        return fr_device_check(device);
    }
    int64_t began = begin(device);
    fr_status status = device->ops->linear_back(device, m, dy, w, accumulate, dx);
    end(device, FR_OP_LINEAR_BACK, began, 2 * m * w->n_out * w->n_in);
    return status;
}

fr_status fr_gather_rows(fr_device *device, int64_t n_tokens, const int32_t *ids,
                         const fr_matrix *table, float *y_TD)
{
    if (!takes(device, FR_OP_STORAGE, n_tokens >= 0 && table->n_in >= 0)) {
        return fr_device_check(device);
    }
    int64_t began = begin(device);
    fr_status status = device->ops->gather_rows(device, n_tokens, ids, table, y_TD);
    end(device, FR_OP_STORAGE, began, 0);
    return status;
}

void fr_rmsnorm(fr_device *device, int64_t n_tokens, int64_t width, const float *x_TD,
                const float *w_D, float eps, float *y_TD, float *rstd_T)
{
    if (takes(device, FR_OP_NORM, n_tokens >= 0 && width > 0)) {
        int64_t began = begin(device);
        device->ops->rmsnorm(device, n_tokens, width, x_TD, w_D, eps, y_TD, rstd_T);
        end(device, FR_OP_NORM, began, 0);
    }
}

void fr_rmsnorm_back(fr_device *device, int64_t n_tokens, int64_t width,
                     const float *x_TD, const float *w_D, const float *rstd_T,
                     const float *dy_TD, float *dx_TD)
{
    if (takes(device, FR_OP_NORM_BACK, n_tokens >= 0 && width > 0)) {
        int64_t began = begin(device);
        device->ops->rmsnorm_back(device, n_tokens, width, x_TD, w_D, rstd_T, dy_TD,
                                  dx_TD);
        end(device, FR_OP_NORM_BACK, began, 0);
    }
}

void fr_layernorm(fr_device *device, int64_t n_tokens, int64_t width, const float *x_TD,
                  const float *w_D, const float *b_D, float eps, float *y_TD,
                  float *stats_T2)
{
    if (takes(device, FR_OP_NORM, n_tokens >= 0 && width > 0)) {
        int64_t began = begin(device);
        device->ops->layernorm(device, n_tokens, width, x_TD, w_D, b_D, eps, y_TD,
                               stats_T2);
        end(device, FR_OP_NORM, began, 0);
    }
}

void fr_layernorm_back(fr_device *device, int64_t n_tokens, int64_t width,
                       const float *x_TD, const float *w_D, const float *stats_T2,
                       const float *dy_TD, float *dx_TD)
{
    if (takes(device, FR_OP_NORM_BACK, n_tokens >= 0 && width > 0)) {
        int64_t began = begin(device);
        device->ops->layernorm_back(device, n_tokens, width, x_TD, w_D, stats_T2, dy_TD,
                                    dx_TD);
        end(device, FR_OP_NORM_BACK, began, 0);
    }
}

void fr_add_bias(fr_device *device, int64_t n_tokens, int64_t width, int64_t stride,
                 const float *b, float *x)
{
    if (takes(device, FR_OP_STORAGE, n_tokens >= 0 && width >= 0 && width <= stride)) {
        int64_t began = begin(device);
        device->ops->add_bias(device, n_tokens, width, stride, b, x);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_rope(fr_device *device, const fr_heads *heads, int64_t rotary,
             const int32_t *positions_T, const float *table, bool inverse, float *x)
{
    if (takes(device, FR_OP_ROPE,
              are_heads(heads) && rotary >= 0 && rotary % 2 == 0 &&
                  rotary <= heads->head_dim)) {
        int64_t began = begin(device);
        device->ops->rope(device, heads, rotary, positions_T, table, inverse, x);
        end(device, FR_OP_ROPE, began, 0);
    }
}

void fr_rmsnorm_heads(fr_device *device, const fr_heads *heads, const float *x,
                      const float *w_K, float eps, float *y, float *rstd_TN)
{
    if (takes(device, FR_OP_NORM, are_heads(heads))) {
        int64_t began = begin(device);
        device->ops->rmsnorm_heads(device, heads, x, w_K, eps, y, rstd_TN);
        end(device, FR_OP_NORM, began, 0);
    }
}

void fr_rmsnorm_heads_back(fr_device *device, const fr_heads *heads, const float *x,
                           const float *w_K, const float *rstd_TN, const float *dy,
                           float *dx)
{
    if (takes(device, FR_OP_NORM_BACK, are_heads(heads))) {
        int64_t began = begin(device);
        device->ops->rmsnorm_heads_back(device, heads, x, w_K, rstd_TN, dy, dx);
        end(device, FR_OP_NORM_BACK, began, 0);
    }
}

void fr_save(fr_device *device, int64_t n, fr_dtype dtype, float *x, void *saved)
{
    if (takes(device, FR_OP_STORAGE, n >= 0)) {
        int64_t began = begin(device);
        device->ops->save(device, n, dtype, x, saved);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_restore(fr_device *device, int64_t n, fr_dtype dtype, const void *saved,
                float *x)
{
    if (takes(device, FR_OP_STORAGE, n >= 0)) {
        int64_t began = begin(device);
        device->ops->restore(device, n, dtype, saved, x);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_add(fr_device *device, int64_t n, const float *x, float *y)
{
    if (takes(device, FR_OP_STORAGE, n >= 0)) {
        int64_t began = begin(device);
        device->ops->add(device, n, x, y);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_add_scaled(fr_device *device, int64_t n, float factor, const float *x, float *y)
{
    if (takes(device, FR_OP_STORAGE, n >= 0)) {
        int64_t began = begin(device);
        device->ops->add_scaled(device, n, factor, x, y);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_scale(fr_device *device, int64_t n, float factor, float *x)
{
    if (takes(device, FR_OP_STORAGE, n >= 0)) {
        int64_t began = begin(device);
        device->ops->scale(device, n, factor, x);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_gated(fr_device *device, fr_activation activation, int64_t n_tokens,
              int64_t width, const float *gate_up_T2F, float *y_TF)
{
    if (takes(device, FR_OP_ACTIVATION, n_tokens >= 0 && width >= 0)) {
        int64_t began = begin(device);
        device->ops->gated(device, activation, n_tokens, width, gate_up_T2F, y_TF);
        end(device, FR_OP_ACTIVATION, began, 0);
    }
}

void fr_gated_back(fr_device *device, fr_activation activation, int64_t n_tokens,
                   int64_t width, const float *gate_up_T2F, const float *dy_TF,
                   float *dgate_up_T2F)
{
    if (takes(device, FR_OP_ACTIVATION_BACK, n_tokens >= 0 && width >= 0)) {
        int64_t began = begin(device);
        device->ops->gated_back(device, activation, n_tokens, width, gate_up_T2F, dy_TF,
                                dgate_up_T2F);
        end(device, FR_OP_ACTIVATION_BACK, began, 0);
    }
}

void fr_save_gated(fr_device *device, fr_activation activation, int64_t n_tokens,
                   int64_t width, fr_dtype dtype, float *gate_up_T2F, void *saved,
                   float *y_TF)
{
    if (takes(device, FR_OP_ACTIVATION, n_tokens >= 0 && width >= 0)) {
        int64_t began = begin(device);
        device->ops->save_gated(device, activation, n_tokens, width, dtype, gate_up_T2F,
                                saved, y_TF);
        end(device, FR_OP_ACTIVATION, began, 0);
    }
}

void fr_restore_gated_back(fr_device *device, fr_activation activation,
                           int64_t n_tokens, int64_t width, fr_dtype dtype,
                           const void *saved, const float *dy_TF, float *dgate_up_T2F)
{
    if (takes(device, FR_OP_ACTIVATION_BACK, n_tokens >= 0 && width >= 0)) {
        int64_t began = begin(device);
        device->ops->restore_gated_back(device, activation, n_tokens, width, dtype,
                                        saved, dy_TF, dgate_up_T2F);
        end(device, FR_OP_ACTIVATION_BACK, began, 0);
    }
}

void fr_activate(fr_device *device, fr_activation activation, int64_t n, const float *x,
                 float *y)
{
    if (takes(device, FR_OP_ACTIVATION, n >= 0)) {
        int64_t began = begin(device);
        device->ops->activate(device, activation, n, x, y);
        end(device, FR_OP_ACTIVATION, began, 0);
    }
}

void fr_activate_back(fr_device *device, fr_activation activation, int64_t n,
                      const float *x, const float *dy, float *dx)
{
    if (takes(device, FR_OP_ACTIVATION_BACK, n >= 0)) {
        int64_t began = begin(device);
        device->ops->activate_back(device, activation, n, x, dy, dx);
        end(device, FR_OP_ACTIVATION_BACK, began, 0);
    }
}

fr_status fr_attention(fr_device *device, const fr_attention_params *params,
                       const float *q, const float *k, const float *v, float *o_THK,
                       float *lse_TH)
{
    if (!takes(device, FR_OP_ATTENTION, can_attend(params))) {
        return fr_device_check(device);
    }
    int64_t began = begin(device);
    fr_status status = device->ops->attention(device, params, q, k, v, o_THK, lse_TH);
    end(device, FR_OP_ATTENTION, began, 0);
    return status;
}

fr_status fr_attention_back(fr_device *device, const fr_attention_params *params,
                            const float *q, const float *k, const float *v,
                            const float *o_THK, const float *lse_TH,
                            const float *do_THK,
                            const fr_attention_gradients *gradients)
{
    if (!takes(device, FR_OP_ATTENTION_BACK, can_attend(params))) {
        return fr_device_check(device);
    }
    int64_t began = begin(device);
    fr_status status = device->ops->attention_back(device, params, q, k, v, o_THK,
                                                   lse_TH, do_THK, gradients);
    end(device, FR_OP_ATTENTION_BACK, began, 0);
    return status;
}

void fr_shape_logits(fr_device *device, int64_t n, const fr_logit_shape *shape,
                     float *logits)
{
    if (takes(device, FR_OP_LOSS,
              n >= 0 && shape->scale > 0.0F && shape->cap >= 0.0F)) {
        int64_t began = begin(device);
        device->ops->shape_logits(device, n, shape, logits);
        end(device, FR_OP_LOSS, began, 0);
    }
}

void fr_cross_entropy(fr_device *device, int64_t n_rows, int64_t vocab,
                      const fr_logit_shape *shape, float *logits_RV,
                      const int32_t *targets_R, bool want_gradient, double *nll_R)
{
    if (takes(device, FR_OP_LOSS, n_rows >= 0 && vocab > 0)) {
        int64_t began = begin(device);
        device->ops->cross_entropy(device, n_rows, vocab, shape, logits_RV, targets_R,
                                   want_gradient, nll_R);
        end(device, FR_OP_LOSS, began, 0);
    }
}

void fr_copy_rows(fr_device *device, int64_t n_rows, int64_t width,
                  const int32_t *rows_N, const float *x, float *y_ND)
{
    if (takes(device, FR_OP_STORAGE, n_rows >= 0 && width >= 0)) {
        int64_t began = begin(device);
        device->ops->copy_rows(device, n_rows, width, rows_N, x, y_ND);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_scatter_rows(fr_device *device, int64_t n_tokens, int64_t width, int64_t n_rows,
                     const int32_t *rows_S, const float *x_SD, float *y_TD)
{
    if (takes(device, FR_OP_STORAGE,
              n_tokens >= 0 && width >= 0 && n_rows >= 0 && n_rows <= n_tokens)) {
        int64_t began = begin(device);
        device->ops->scatter_rows(device, n_tokens, width, n_rows, rows_S, x_SD, y_TD);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_add_table_rows(fr_device *device, int64_t n_tokens, int64_t width,
                       const int32_t *rows_T, const float *table, float *x_TD)
{
    if (takes(device, FR_OP_STORAGE, n_tokens >= 0 && width >= 0)) {
        int64_t began = begin(device);
        device->ops->add_table_rows(device, n_tokens, width, rows_T, table, x_TD);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_add_rows(fr_device *device, int64_t n_rows, int64_t width,
                 const int32_t *rows_N, const float *x_ND, float *y)
{
    if (takes(device, FR_OP_STORAGE, n_rows >= 0 && width >= 0)) {
        int64_t began = begin(device);
        device->ops->add_rows(device, n_rows, width, rows_N, x_ND, y);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_fill_cache(fr_device *device, const fr_attention_params *params, const float *k,
                   const float *v, float *cache_k, float *cache_v)
{
    if (takes(device, FR_OP_STORAGE, can_attend(params))) {
        int64_t began = begin(device);
        device->ops->fill_cache(device, params, k, v, cache_k, cache_v);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

fr_status fr_sample_rows(fr_device *device, int64_t n_rows, int64_t vocab,
                         const float *logits_NV, const fr_sample_rule *rule,
                         const double *uniform_N, int32_t *ids_N)
{
    if (!takes(device, FR_OP_LOSS, n_rows >= 0 && vocab > 0 && rule->top_k >= 0)) {
        return fr_device_check(device);
    }
    int64_t began = begin(device);
    fr_status status = device->ops->sample_rows(device, n_rows, vocab, logits_NV, rule,
                                                uniform_N, ids_N);
    end(device, FR_OP_LOSS, began, 0);
    return status;
}

void fr_exact_add(fr_device *device, int64_t n_units, int64_t n, int exponent,
                  const float *g_Un, int64_t *sum_n, int64_t *n_refused)
{
    if (takes(device, FR_OP_EXACT, n_units >= 0 && n >= 0)) {
        int64_t began = begin(device);
        device->ops->exact_add(device, n_units, n, exponent, g_Un, sum_n, n_refused);
        end(device, FR_OP_EXACT, began, 0);
    }
}

void fr_exact_add_numbers(fr_device *device, int64_t n, int exponent, const double *x_n,
                          int64_t *sum, int64_t *n_refused)
{
    if (takes(device, FR_OP_EXACT, n >= 0)) {
        int64_t began = begin(device);
        device->ops->exact_add_numbers(device, n, exponent, x_n, sum, n_refused);
        end(device, FR_OP_EXACT, began, 0);
    }
}

/* Pointers may be NULL where there are no bytes. */
void fr_device_copy(fr_device *device, void *to, const void *from, int64_t bytes)
{
    if (takes(device, FR_OP_STORAGE, bytes >= 0) && bytes > 0) {
        int64_t began = begin(device);
        device->ops->copy(device, to, from, bytes);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_device_zero(fr_device *device, void *to, int64_t bytes)
{
    if (takes(device, FR_OP_STORAGE, bytes >= 0) && bytes > 0) {
        int64_t began = begin(device);
        device->ops->zero(device, to, bytes);
        end(device, FR_OP_STORAGE, began, 0);
    }
}
