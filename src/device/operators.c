/* The public operators of matrix.h, attention.h, loss.h, rows.h and sample.h, and what moves within memory (operators_impl.h). */
#include "device/operators_impl.h"

static bool can_attend(const fr_attention_params *p)
{
    return p->n_tokens >= 0 && p->n_segments >= 0 && p->prefix_length >= 0 &&
           p->head_dim > 0 && p->n_kv_heads > 0 && p->n_heads % p->n_kv_heads == 0 &&
           p->n_heads * p->head_dim <= p->q_stride &&
           p->n_kv_heads * p->head_dim <= p->kv_stride && p->window >= 0;
}

fr_status fr_linear(fr_device *device, int64_t m, fr_view x, const fr_matrix *w,
                    fr_view add, fr_view y)
{
    if (!takes(device, FR_OP_LINEAR,
               m >= 0 && w->n_out >= 0 && w->n_in >= 0 && WORKS(device, x) &&
                   ALIKE(device, y, add))) {
        return fr_device_check(device);
    }
    int64_t began = begin(device);
    fr_status status = device->ops->linear(device, m, x, w, add, y);
    end(device, FR_OP_LINEAR, began, 2 * m * w->n_out * w->n_in);
    return status;
}

fr_status fr_linear_few(fr_device *device, int64_t m, fr_view x, const fr_matrix *w,
                        fr_view add, fr_view y)
{
    if (!takes(device, FR_OP_LINEAR,
               m >= 0 && w->n_out >= 0 && w->n_in >= 0 && WORKS(device, x) &&
                   ALIKE(device, y, add))) {
        return fr_device_check(device);
    }
    int64_t began = begin(device);
    fr_status status = device->ops->linear_few(device, m, x, w, add, y);
    end(device, FR_OP_LINEAR, began, 2 * m * w->n_out * w->n_in);
    return status;
}

fr_status fr_linear_back(fr_device *device, int64_t m, fr_view dy, const fr_matrix *w,
                         bool accumulate, fr_view dx)
{
    if (!takes(device, FR_OP_LINEAR_BACK,
               m >= 0 && w->n_out >= 0 && w->n_in >= 0 && WORKS(device, dy, dx))) {
        return fr_device_check(device);
    }
    int64_t began = begin(device);
    fr_status status = device->ops->linear_back(device, m, dy, w, accumulate, dx);
    end(device, FR_OP_LINEAR_BACK, began, 2 * m * w->n_out * w->n_in);
    return status;
}

fr_status fr_gather_rows(fr_device *device, int64_t n_tokens, const int32_t *ids,
                         const fr_matrix *table, fr_f32 *y_TD)
{
    if (!takes(device, FR_OP_STORAGE, n_tokens >= 0 && table->n_in >= 0)) {
        return fr_device_check(device);
    }
    int64_t began = begin(device);
    fr_status status =
        device->ops->gather_rows(device, n_tokens, ids, table, (float *)y_TD);
    end(device, FR_OP_STORAGE, began, 0);
    return status;
}

fr_status fr_attention(fr_device *device, const fr_attention_params *params, fr_view q,
                       fr_view k, fr_view v, fr_view o_THK, fr_f32 *lse_TH)
{
    if (!takes(device, FR_OP_ATTENTION,
               can_attend(params) && ALIKE(device, q, k, v, o_THK))) {
        return fr_device_check(device);
    }
    int64_t began = begin(device);
    fr_status status =
        device->ops->attention(device, params, q, k, v, o_THK, (float *)lse_TH);
    end(device, FR_OP_ATTENTION, began, 0);
    return status;
}

fr_status fr_attention_back(fr_device *device, const fr_attention_params *params,
                            fr_view q, fr_view k, fr_view v, fr_view o_THK,
                            const fr_f32 *lse_TH, fr_view do_THK,
                            const fr_attention_gradients *gradients)
{
    if (!takes(device, FR_OP_ATTENTION_BACK,
               can_attend(params) &&
                   ALIKE(device, q, k, v, o_THK, do_THK, gradients->dq, gradients->dk,
                         gradients->dv))) {
        return fr_device_check(device);
    }
    int64_t began = begin(device);
    fr_status status = device->ops->attention_back(
        device, params, q, k, v, o_THK, (const float *)lse_TH, do_THK, gradients);
    end(device, FR_OP_ATTENTION_BACK, began, 0);
    return status;
}

void fr_shape_logits(fr_device *device, int64_t n, const fr_logit_shape *shape,
                     fr_f32 *logits)
{
    if (takes(device, FR_OP_LOSS,
              n >= 0 && shape->scale > 0.0F && shape->cap >= 0.0F)) {
        int64_t began = begin(device);
        device->ops->shape_logits(device, n, shape, (float *)logits);
        end(device, FR_OP_LOSS, began, 0);
    }
}

void fr_cross_entropy(fr_device *device, int64_t n_rows, int64_t vocab,
                      const fr_logit_shape *shape, fr_f32 *logits_RV,
                      const int32_t *targets_R, bool want_gradient, fr_f64 *nll_R)
{
    if (takes(device, FR_OP_LOSS, n_rows >= 0 && vocab > 0)) {
        int64_t began = begin(device);
        device->ops->cross_entropy(device, n_rows, vocab, shape, (float *)logits_RV,
                                   targets_R, want_gradient, (double *)nll_R);
        end(device, FR_OP_LOSS, began, 0);
    }
}

void fr_copy_rows(fr_device *device, int64_t n_rows, int64_t width,
                  const int32_t *rows_N, fr_view x, fr_view y_ND)
{
    if (takes(device, FR_OP_STORAGE,
              n_rows >= 0 && width >= 0 && ALIKE(device, x, y_ND))) {
        int64_t began = begin(device);
        device->ops->copy_rows(device, n_rows, width, rows_N, x, y_ND);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_scatter_rows(fr_device *device, int64_t n_tokens, int64_t width, int64_t n_rows,
                     const int32_t *rows_S, fr_view x_SD, fr_view y_TD)
{
    if (takes(device, FR_OP_STORAGE,
              n_tokens >= 0 && width >= 0 && n_rows >= 0 && n_rows <= n_tokens &&
                  ALIKE(device, x_SD, y_TD))) {
        int64_t began = begin(device);
        device->ops->scatter_rows(device, n_tokens, width, n_rows, rows_S, x_SD, y_TD);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_add_table_rows(fr_device *device, int64_t n_tokens, int64_t width,
                       const int32_t *rows_T, const fr_f32 *table, fr_f32 *x_TD)
{
    if (takes(device, FR_OP_STORAGE, n_tokens >= 0 && width >= 0)) {
        int64_t began = begin(device);
        device->ops->add_table_rows(device, n_tokens, width, rows_T,
                                    (const float *)table, (float *)x_TD);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_add_rows(fr_device *device, int64_t n_rows, int64_t width,
                 const int32_t *rows_N, const fr_f32 *x_ND, fr_f32 *y)
{
    if (takes(device, FR_OP_STORAGE, n_rows >= 0 && width >= 0)) {
        int64_t began = begin(device);
        device->ops->add_rows(device, n_rows, width, rows_N, (const float *)x_ND,
                              (float *)y);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_fill_cache(fr_device *device, const fr_attention_params *params, fr_view k,
                   fr_view v, fr_view cache_k, fr_view cache_v)
{
    if (takes(device, FR_OP_STORAGE,
              can_attend(params) && ALIKE(device, k, v, cache_k, cache_v))) {
        int64_t began = begin(device);
        device->ops->fill_cache(device, params, k, v, cache_k, cache_v);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

fr_status fr_sample_rows(fr_device *device, int64_t n_rows, int64_t vocab,
                         const fr_f32 *logits_NV, const fr_sample_rule *rule,
                         const double *uniform_N, fr_i32 *ids_N)
{
    if (!takes(device, FR_OP_LOSS,
               n_rows >= 0 && vocab > 0 && rule->top_k >= 0 && rule->min_p <= 1.0)) {
        return fr_device_check(device);
    }
    int64_t began = begin(device);
    fr_status status =
        device->ops->sample_rows(device, n_rows, vocab, (const float *)logits_NV, rule,
                                 uniform_N, (int32_t *)ids_N);
    end(device, FR_OP_LOSS, began, 0);
    return status;
}

void fr_exact_add(fr_device *device, int64_t n_units, int64_t n, int exponent,
                  const fr_f32 *g_Un, fr_i64 *sum_n, fr_i64 *n_refused)
{
    if (takes(device, FR_OP_EXACT, n_units >= 0 && n >= 0)) {
        int64_t began = begin(device);
        device->ops->exact_add(device, n_units, n, exponent, (const float *)g_Un,
                               (int64_t *)sum_n, (int64_t *)n_refused);
        end(device, FR_OP_EXACT, began, 0);
    }
}

void fr_exact_add_numbers(fr_device *device, int64_t n, int exponent, const fr_f64 *x_n,
                          fr_i64 *sum, fr_i64 *n_refused)
{
    if (takes(device, FR_OP_EXACT, n >= 0)) {
        int64_t began = begin(device);
        device->ops->exact_add_numbers(device, n, exponent, (const double *)x_n,
                                       (int64_t *)sum, (int64_t *)n_refused);
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
