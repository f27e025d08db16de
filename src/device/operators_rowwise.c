/* The public operators of rowwise.h, qkv.h and activation.h (operators_impl.h). */
#include "device/operators_impl.h"

static bool are_heads(const fr_heads *heads)
{
    return heads->n_tokens >= 0 && heads->n_heads >= 0 && heads->head_dim > 0 &&
           heads->n_heads * heads->head_dim <= heads->stride;
}

void fr_rmsnorm(fr_device *device, int64_t n_tokens, int64_t width, fr_view x_TD,
                const fr_f32 *w_D, float eps, fr_view y_TD, fr_f32 *rstd_T)
{
    if (takes(device, FR_OP_NORM,
              n_tokens >= 0 && width > 0 && WORKS(device, x_TD, y_TD))) {
        int64_t began = begin(device);
        device->ops->rmsnorm(device, n_tokens, width, x_TD, (const float *)w_D, eps,
                             y_TD, (float *)rstd_T);
        end(device, FR_OP_NORM, began, 0);
    }
}

void fr_rmsnorm_back(fr_device *device, int64_t n_tokens, int64_t width, fr_view x_TD,
                     const fr_f32 *w_D, const fr_f32 *rstd_T, fr_view dy_TD,
                     fr_f32 *dx_TD, fr_view again_TD)
{
    if (takes(device, FR_OP_NORM_BACK,
              n_tokens >= 0 && width > 0 && WORKS(device, x_TD) &&
                  ALIKE(device, dy_TD, again_TD))) {
        int64_t began = begin(device);
        device->ops->rmsnorm_back(device, n_tokens, width, x_TD, (const float *)w_D,
                                  (const float *)rstd_T, dy_TD, (float *)dx_TD,
                                  again_TD);
        end(device, FR_OP_NORM_BACK, began, 0);
    }
}

void fr_layernorm(fr_device *device, int64_t n_tokens, int64_t width, fr_view x_TD,
                  const fr_f32 *w_D, const fr_f32 *b_D, float eps, fr_view y_TD,
                  fr_f32 *stats_T2)
{
    if (takes(device, FR_OP_NORM,
              n_tokens >= 0 && width > 0 && WORKS(device, x_TD, y_TD))) {
        int64_t began = begin(device);
        device->ops->layernorm(device, n_tokens, width, x_TD, (const float *)w_D,
                               (const float *)b_D, eps, y_TD, (float *)stats_T2);
        end(device, FR_OP_NORM, began, 0);
    }
}

void fr_layernorm_back(fr_device *device, int64_t n_tokens, int64_t width, fr_view x_TD,
                       const fr_f32 *w_D, const fr_f32 *stats_T2, fr_view dy_TD,
                       fr_f32 *dx_TD, fr_view again_TD)
{
    if (takes(device, FR_OP_NORM_BACK,
              n_tokens >= 0 && width > 0 && WORKS(device, x_TD) &&
                  ALIKE(device, dy_TD, again_TD))) {
        int64_t began = begin(device);
        device->ops->layernorm_back(device, n_tokens, width, x_TD, (const float *)w_D,
                                    (const float *)stats_T2, dy_TD, (float *)dx_TD,
                                    again_TD);
        end(device, FR_OP_NORM_BACK, began, 0);
    }
}

void fr_add_bias(fr_device *device, int64_t n_tokens, int64_t width, int64_t stride,
                 const fr_f32 *b, fr_view x)
{
    if (takes(device, FR_OP_STORAGE,
              n_tokens >= 0 && width >= 0 && width <= stride && WORKS(device, x))) {
        int64_t began = begin(device);
        device->ops->add_bias(device, n_tokens, width, stride, (const float *)b, x);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_rope(fr_device *device, const fr_heads *heads, int64_t rotary,
             const int32_t *positions_T, const fr_f32 *table, bool inverse, fr_view x)
{
    if (takes(device, FR_OP_ROPE,
              are_heads(heads) && rotary >= 0 && rotary % 2 == 0 &&
                  rotary <= heads->head_dim && WORKS(device, x))) {
        int64_t began = begin(device);
        device->ops->rope(device, heads, rotary, positions_T, (const float *)table,
                          inverse, x);
        end(device, FR_OP_ROPE, began, 0);
    }
}

static bool is_qkv(const fr_qkv *q)
{
    return q->n_tokens >= 0 && q->n_heads >= 0 && q->n_kv_heads >= 0 &&
           q->head_dim > 0 && q->rotary >= 0 && q->rotary % 2 == 0 &&
           q->rotary <= q->head_dim && q->n_segments >= 0;
}

void fr_qkv_finish(fr_device *device, const fr_qkv *qkv, fr_view x_TW, fr_view saved_TW)
{
    if (takes(device, FR_OP_ROPE,
              is_qkv(qkv) && ALIKE(device, x_TW, qkv->cache_k, qkv->cache_v) &&
                  can_keep(device, saved_TW))) {
        int64_t began = begin(device);
        device->ops->qkv_finish(device, qkv, x_TW, saved_TW);
        end(device, FR_OP_ROPE, began, 0);
    }
}

void fr_rmsnorm_heads(fr_device *device, const fr_heads *heads, fr_view x,
                      const fr_f32 *w_K, float eps, fr_view y, fr_f32 *rstd_TN)
{
    if (takes(device, FR_OP_NORM, are_heads(heads) && ALIKE(device, x, y))) {
        int64_t began = begin(device);
        device->ops->rmsnorm_heads(device, heads, x, (const float *)w_K, eps, y,
                                   (float *)rstd_TN);
        end(device, FR_OP_NORM, began, 0);
    }
}

void fr_rmsnorm_heads_back(fr_device *device, const fr_heads *heads, fr_view x,
                           const fr_f32 *w_K, const fr_f32 *rstd_TN, fr_view dy,
                           fr_view dx)
{
    if (takes(device, FR_OP_NORM_BACK, are_heads(heads) && ALIKE(device, x, dy, dx))) {
        int64_t began = begin(device);
        device->ops->rmsnorm_heads_back(device, heads, x, (const float *)w_K,
                                        (const float *)rstd_TN, dy, dx);
        end(device, FR_OP_NORM_BACK, began, 0);
    }
}

void fr_save(fr_device *device, int64_t n, fr_view x, fr_view saved)
{
    if (takes(device, FR_OP_STORAGE,
              n >= 0 && WORKS(device, x) && can_keep(device, saved))) {
        int64_t began = begin(device);
        device->ops->save(device, n, x, saved);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_restore(fr_device *device, int64_t n, fr_view saved, fr_view x)
{
    if (takes(device, FR_OP_STORAGE,
              n >= 0 && WORKS(device, x) && can_keep(device, saved))) {
        int64_t began = begin(device);
        device->ops->restore(device, n, saved, x);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_add(fr_device *device, int64_t n, fr_view x, fr_f32 *y)
{
    if (takes(device, FR_OP_STORAGE, n >= 0 && WORKS(device, x))) {
        int64_t began = begin(device);
        device->ops->add(device, n, x, (float *)y);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_add_scaled(fr_device *device, int64_t n, float factor, fr_view x, fr_f32 *y)
{
    if (takes(device, FR_OP_STORAGE, n >= 0 && WORKS(device, x))) {
        int64_t began = begin(device);
        device->ops->add_scaled(device, n, factor, x, (float *)y);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_scale(fr_device *device, int64_t n, float factor, fr_f32 *x)
{
    if (takes(device, FR_OP_STORAGE, n >= 0)) {
        int64_t began = begin(device);
        device->ops->scale(device, n, factor, (float *)x);
        end(device, FR_OP_STORAGE, began, 0);
    }
}

void fr_gated(fr_device *device, fr_activation activation, int64_t n_tokens,
              int64_t width, fr_view gate_up_T2F, fr_view y_TF)
{
    if (takes(device, FR_OP_ACTIVATION,
              n_tokens >= 0 && width >= 0 && ALIKE(device, gate_up_T2F, y_TF))) {
        int64_t began = begin(device);
        device->ops->gated(device, activation, n_tokens, width, gate_up_T2F, y_TF);
        end(device, FR_OP_ACTIVATION, began, 0);
    }
}

void fr_gated_back(fr_device *device, fr_activation activation, int64_t n_tokens,
                   int64_t width, fr_view gate_up_T2F, fr_view dy_TF,
                   fr_view dgate_up_T2F)
{
    if (takes(device, FR_OP_ACTIVATION_BACK,
              n_tokens >= 0 && width >= 0 &&
                  ALIKE(device, gate_up_T2F, dy_TF, dgate_up_T2F))) {
        int64_t began = begin(device);
        device->ops->gated_back(device, activation, n_tokens, width, gate_up_T2F, dy_TF,
                                dgate_up_T2F);
        end(device, FR_OP_ACTIVATION_BACK, began, 0);
    }
}

void fr_save_gated(fr_device *device, fr_activation activation, int64_t n_tokens,
                   int64_t width, fr_view gate_up_T2F, fr_view saved, fr_view y_TF)
{
    if (takes(device, FR_OP_ACTIVATION,
              n_tokens >= 0 && width >= 0 && ALIKE(device, gate_up_T2F, y_TF) &&
                  can_keep(device, saved))) {
        int64_t began = begin(device);
        device->ops->save_gated(device, activation, n_tokens, width, gate_up_T2F, saved,
                                y_TF);
        end(device, FR_OP_ACTIVATION, began, 0);
    }
}

void fr_restore_gated_back(fr_device *device, fr_activation activation,
                           int64_t n_tokens, int64_t width, fr_view saved,
                           fr_view dy_TF, fr_view dgate_up_T2F)
{
    if (takes(device, FR_OP_ACTIVATION_BACK,
              n_tokens >= 0 && width >= 0 && ALIKE(device, dy_TF, dgate_up_T2F) &&
                  can_keep(device, saved))) {
        int64_t began = begin(device);
        device->ops->restore_gated_back(device, activation, n_tokens, width, saved,
                                        dy_TF, dgate_up_T2F);
        end(device, FR_OP_ACTIVATION_BACK, began, 0);
    }
}

void fr_activate(fr_device *device, fr_activation activation, int64_t n, fr_view x,
                 fr_view y)
{
    if (takes(device, FR_OP_ACTIVATION, n >= 0 && ALIKE(device, x, y))) {
        int64_t began = begin(device);
        device->ops->activate(device, activation, n, x, y);
        end(device, FR_OP_ACTIVATION, began, 0);
    }
}

void fr_activate_back(fr_device *device, fr_activation activation, int64_t n, fr_view x,
                      fr_view dy, fr_view dx)
{
    if (takes(device, FR_OP_ACTIVATION_BACK, n >= 0 && ALIKE(device, x, dy, dx))) {
        int64_t began = begin(device);
        device->ops->activate_back(device, activation, n, x, dy, dx);
        end(device, FR_OP_ACTIVATION_BACK, began, 0);
    }
}
