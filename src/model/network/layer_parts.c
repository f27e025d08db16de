/*
 * What both halves of a layer use: rows past attention, values kept in the run's precision, and the way of a half's
 * output to the residual stream.
 */
#include "device/matrix.h"
#include "device/memory.h"
#include "device/rows.h"
#include "device/rowwise.h"
#include "model/network/layer_impl.h"

/* ---- kept values -------------------------------------------------------------------------- */

float *fr_layer_work_buffer(const fr_layer_call *call, void *saved, float *scratch)
{
    return call->c->dtype == FR_F32 && saved != NULL ? saved : scratch;
}

void fr_layer_keep(const fr_layer_call *call, int64_t n, float *work, void *saved)
{
    if (call->c->dtype != FR_F32) {
        fr_save(call->c->device, n, call->c->dtype, work, saved);
    }
}

float *fr_layer_bring_back(const fr_layer_call *call, int64_t n, void *saved,
                           float *scratch)
{
    if (call->c->dtype != FR_F32 && saved != NULL) {
        fr_restore(call->c->device, n, call->c->dtype, saved, scratch);
    }
    return fr_layer_work_buffer(call, saved, scratch);
}

/* ---- rows --------------------------------------------------------------------------------- */

void fr_layer_copy(const fr_layer_call *call, int64_t n, const float *x, float *y)
{
    fr_device_copy(call->c->device, y, x, n * (int64_t)sizeof *y);
}

int64_t fr_layer_rows_past(const fr_layer_call *call)
{
    return call->saved->only_read ? call->batch->n_read : call->batch->n_tokens;
}

void fr_layer_gather(const fr_layer_call *call, int64_t width, const float *x, float *y)
{
    const fr_batch *batch = call->batch;
    if (call->saved->only_read) {
        fr_copy_rows(call->c->device, batch->n_read, width, batch->read_rows_S, x, y);
    } else {
        fr_layer_copy(call, batch->n_tokens * width, x, y);
    }
}

void fr_layer_scatter(const fr_layer_call *call, int64_t width, const float *x_S,
                      float *y_T)
{
    const fr_batch *batch = call->batch;
    fr_scatter_rows(call->c->device, batch->n_tokens, width, batch->n_read,
                    batch->read_rows_S, x_S, y_T);
}

void fr_layer_add_bias(const fr_layer_call *call, int64_t n, int64_t width,
                       const float *bias, float *x)
{
    if (bias != NULL) {
        fr_add_bias(call->c->device, n, width, width, bias, x);
    }
}

/* ---- a half's output ---------------------------------------------------------------------- */

fr_half fr_layer_attention_half(const fr_layer_call *call)
{
    return (fr_half){.w = &call->layer->o,
                     .bias = call->layer->o_bias,
                     .post = &call->layer->attn_post_norm,
                     .out = call->saved->attn_out_TD,
                     .scratch = call->c->workspace->attn_out_TD,
                     .statistics = call->saved->attn_post};
}

fr_half fr_layer_mlp_half(const fr_layer_call *call)
{
    return (fr_half){.w = &call->layer->down,
                     .bias = call->layer->down_bias,
                     .post = &call->layer->mlp_post_norm,
                     .out = call->saved->mlp_out_TD,
                     .scratch = call->c->workspace->mlp_out_TD,
                     .statistics = call->saved->mlp_post};
}

/* A plain output is summed by the product itself, on top of the residual stream. */
fr_status fr_layer_add_half(const fr_layer_call *call, const fr_half *half, int64_t n,
                            const float *x, float *target)
{
    const fr_layer_context *c = call->c;
    int64_t width = c->arch->d_model;
    if (!fr_arch_has_half_outputs(c->arch)) {
        FR_TRY(c->linear(c->device, n, x, half->w, true, target));
        fr_layer_add_bias(call, n, width, half->bias, target);
        return FR_OK;
    }
    float *out = fr_layer_work_buffer(call, half->out, half->scratch);
    FR_TRY(c->linear(c->device, n, x, half->w, false, out));
    fr_layer_add_bias(call, n, width, half->bias, out);
    if (half->post->w != NULL) {
        float *h = c->workspace->h_TD;
        fr_layer_keep(call, n * width, out, half->out);
        fr_norm_forward(c->device, c->arch, half->post, n, out, h, half->statistics);
        out = h;
    }
    if (target != NULL) {
        fr_add_scaled(c->device, n * width, (float)c->arch->residual_scale, out,
                      target);
    }
    return FR_OK;
}

const float *fr_layer_half_gradient(const fr_layer_call *call, const fr_half *half,
                                    int64_t n, const float *dy)
{
    const fr_layer_context *c = call->c;
    int64_t width = c->arch->d_model;
    float *d_out = c->workspace->h_TD;
    if (!fr_arch_has_half_outputs(c->arch)) {
        return dy;
    }
    if (half->post->w != NULL) {
        const float *out =
            fr_layer_bring_back(call, n * width, half->out, half->scratch);
        /* the norms' backward passes add to dx */
        fr_device_zero(c->device, d_out, n * width * (int64_t)sizeof *d_out);
        fr_norm_backward(c->device, c->arch, half->post, n, out, half->statistics, dy,
                         d_out);
    } else {
        fr_layer_copy(call, n * width, dy, d_out);
    }
    if (c->arch->residual_scale != 1.0) {
        fr_scale(c->device, n * width, (float)c->arch->residual_scale, d_out);
    }
    return d_out;
}
