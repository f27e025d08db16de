/*
 * What both halves of a layer use: rows past attention, values that are kept, and the way of a half's
 * output to the residual stream.
 */
#include "device/matrix.h"
#include "device/memory.h"
#include "device/rows.h"
#include "device/rowwise.h"
#include "model/network/layer_impl.h"

/* ---- kept values -------------------------------------------------------------------------- */

fr_view fr_layer_work_buffer(const fr_layer_call *call, fr_byte *saved, fr_view scratch)
{
    const fr_layer_context *c = call->c;
    return c->kept == c->work && saved != NULL ? fr_view_of(saved, c->kept) : scratch;
}

void fr_layer_keep(const fr_layer_call *call, int64_t n, fr_view work, fr_byte *saved)
{
    const fr_layer_context *c = call->c;
    if (c->kept != c->work) {
        fr_save(c->device, n, work, fr_view_of(saved, c->kept));
    }
}

fr_view fr_layer_kept_apart(const fr_layer_call *call, fr_byte *saved)
{
    const fr_layer_context *c = call->c;
    return fr_view_if(c->kept != c->work, fr_view_of(saved, c->kept));
}

fr_view fr_layer_bring_back(const fr_layer_call *call, int64_t n, fr_byte *saved,
                            fr_view scratch)
{
    const fr_layer_context *c = call->c;
    if (c->kept != c->work && saved != NULL) {
        fr_restore(c->device, n, fr_view_of(saved, c->kept), scratch);
    }
    return fr_layer_work_buffer(call, saved, scratch);
}

/* ---- rows --------------------------------------------------------------------------------- */

void fr_layer_copy(const fr_layer_call *call, int64_t n, const fr_f32 *x, fr_f32 *y)
{
    fr_device_copy(call->c->device, y, x, n * (int64_t)sizeof *y);
}

int64_t fr_layer_rows_past(const fr_layer_call *call)
{
    return call->saved->only_read ? call->batch->n_read : call->batch->n_tokens;
}

void fr_layer_gather(const fr_layer_call *call, int64_t width, fr_view x, fr_view y)
{
    const fr_batch *batch = call->batch;
    int64_t row = width * (int64_t)fr_dtype_bytes(x.dtype);
    if (call->saved->only_read) {
        fr_copy_rows(call->c->device, batch->n_read, width, batch->read_rows_S, x, y);
    } else {
        fr_device_copy(call->c->device, y.at, x.at, batch->n_tokens * row);
    }
}

void fr_layer_scatter(const fr_layer_call *call, int64_t width, fr_view x_S,
                      fr_view y_T)
{
    const fr_batch *batch = call->batch;
    fr_scatter_rows(call->c->device, batch->n_tokens, width, batch->n_read,
                    batch->read_rows_S, x_S, y_T);
}

void fr_layer_add_bias(const fr_layer_call *call, int64_t n, int64_t width,
                       const fr_f32 *bias, fr_view x)
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
                            fr_view x, const fr_f32 *base, fr_f32 *target)
{
    const fr_layer_context *c = call->c;
    int64_t width = c->arch->d_model;
    if (!fr_arch_has_half_outputs(c->arch)) {
        fr_view sum = fr_view_f32(target);
        FR_TRY(c->linear(c->device, n, x, half->w, fr_view_f32(base), sum));
        fr_layer_add_bias(call, n, width, half->bias, sum);
        return FR_OK;
    }
    fr_view out = fr_layer_work_buffer(call, half->out, half->scratch);
    FR_TRY(c->linear(c->device, n, x, half->w, fr_view_none(), out));
    fr_layer_add_bias(call, n, width, half->bias, out);
    if (half->post->w != NULL) {
        fr_view h = c->workspace->h_TD;
        fr_layer_keep(call, n * width, out, half->out);
        fr_norm_forward(c->device, c->arch, half->post, n, out, h, half->statistics);
        out = h;
    }
    if (target != NULL) {
        if (base != target) {
            fr_layer_copy(call, n * width, base, target);
        }
        fr_add_scaled(c->device, n * width, (float)c->arch->residual_scale, out,
                      target);
    }
    return FR_OK;
}

fr_view fr_layer_half_gradient(const fr_layer_call *call, const fr_half *half,
                               int64_t n, const fr_stream_gradient *dy)
{
    const fr_layer_context *c = call->c;
    int64_t width = c->arch->d_model;
    fr_f32 *d_out = c->workspace->h_f32_TD;
    if (!fr_arch_has_half_outputs(c->arch)) {
        return dy->operand_TD.at != NULL ? dy->operand_TD : fr_view_f32(dy->at_TD);
    }
    if (half->post->w != NULL) {
        fr_view out = fr_layer_bring_back(call, n * width, half->out, half->scratch);
        /* the norms' backward passes add to dx */
        fr_device_zero(c->device, d_out, n * width * (int64_t)sizeof *d_out);
        fr_norm_backward(c->device, c->arch, half->post, n, out, half->statistics,
                         fr_view_f32(dy->at_TD), d_out, fr_view_none());
    } else {
        fr_layer_copy(call, n * width, dy->at_TD, d_out);
    }
    if (c->arch->residual_scale != 1.0) {
        fr_scale(c->device, n * width, (float)c->arch->residual_scale, d_out);
    }
    return fr_view_f32(d_out);
}

/* In f32 products read dx itself. Outputs of halves that have memory of their own need it in f32. */
static bool has_operand(const fr_layer_context *c)
{
    return c->work != FR_F32 && !fr_arch_has_half_outputs(c->arch);
}

void fr_layer_norm_back(const fr_layer_call *call, const fr_norm_weights *norm,
                        int64_t n, const fr_f32 *x, const fr_f32 *statistics,
                        bool is_operand, fr_stream_gradient *dx)
{
    const fr_layer_context *c = call->c;
    fr_view dh = c->workspace->h_TD;
    dx->operand_TD = fr_view_if(is_operand && has_operand(c), dh);
    fr_norm_backward(c->device, c->arch, norm, n, fr_view_f32(x), statistics, dh,
                     dx->at_TD, dx->operand_TD);
}

void fr_layer_round_gradient(const fr_layer_call *call, fr_stream_gradient *dx)
{
    const fr_layer_context *c = call->c;
    if (dx->operand_TD.at == NULL && has_operand(c)) {
        dx->operand_TD = c->workspace->h_TD;
        fr_restore(c->device, fr_layer_rows_past(call) * c->arch->d_model,
                   fr_view_f32(dx->at_TD), dx->operand_TD);
    }
}
