/*
 * One layer: the order of events. The halves are in layer_attention.c and layer_feed_forward.c, what both use in
 * layer_parts.c. With N a norm that the model may lack (arch.h):
 *
 *     x2 = x1 + r N(attention(N(x1)) Wo)        y = x2 + r N(activation(N(x2) Wup) Wdown)
 *     parallel halves:  x2 = x1, and y gets both
 *
 * Backward gives d loss / d x1 and the prefix's gradients; weights are frozen, so they have none. What `saved` does not
 * keep is computed again by the same operators on the same inputs, hence with the same bits. In the model's last layer only
 * the rows that the batch reads go past attention (gather and scatter).
 */
#include "device/matrix.h"
#include "model/network/layer_impl.h"

/* The views of a layer that keeps only its input, completed by the workspace's. */
static fr_saved complete(const fr_layer_context *c, const fr_saved *saved)
{
    const fr_workspace *w = c->workspace;
    fr_saved all = *saved;
    if (all.x2_TD == NULL) {
        all.x2_TD = w->x2_TD;
        all.norm1 = w->norm1;
        all.norm2 = w->norm2;
        all.lse_TH = w->lse_TH;
        all.attn_post = w->attn_post;
        all.mlp_post = w->mlp_post;
    }
    return all;
}

/* target = base + the attention half; o are its rows before the projection. */
static fr_status add_attention(const fr_layer_call *call, fr_view o, const fr_f32 *base,
                               fr_f32 *target)
{
    const fr_layer_context *c = call->c;
    fr_half half = fr_layer_attention_half(call);
    if (call->saved->only_read) {
        fr_view o_SQ = c->workspace->up_TU; /* large enough: checked at set-up */
        fr_layer_gather(call, fr_arch_q_width(c->arch), o, o_SQ);
        o = o_SQ;
    }
    return fr_layer_add_half(call, &half, fr_layer_rows_past(call), o, base, target);
}

/* x2 = x1 + the attention half. Where all rows go past attention, the sum takes them from x1 itself. */
static fr_status make_x2(const fr_layer_call *call, fr_view o)
{
    const fr_saved *saved = call->saved;
    const fr_f32 *base = saved->x1_TD;
    if (saved->only_read) {
        fr_layer_gather(call, call->c->arch->d_model, fr_view_f32(saved->x1_TD),
                        fr_view_f32(saved->x2_TD));
        base = saved->x2_TD;
    }
    return add_attention(call, o, base, saved->x2_TD);
}

fr_status fr_layer_forward(const fr_layer_context *context, const fr_layer *layer,
                           const fr_batch *batch, const fr_layer_prefix *prefix,
                           fr_layer_cache *cache, const fr_saved *saved, fr_f32 *y_TD)
{
    fr_saved all = complete(context, saved);
    fr_layer_call call = {context, layer, batch, prefix, cache, &all};
    fr_view o;
    FR_TRY(fr_layer_attend(&call, &o));
    if (context->arch->parallel) {
        fr_layer_gather(&call, context->arch->d_model, fr_view_f32(all.x1_TD),
                        fr_view_f32(all.x2_TD));
        FR_TRY(add_attention(&call, o, all.x2_TD, y_TD));
    } else {
        FR_TRY(make_x2(&call, o));
    }
    return fr_layer_feed_forward(&call, y_TD);
}

/* What was not kept, into the workspace: the forward pass less what only the output needs. */
static fr_status recompute(const fr_layer_call *call, const fr_saved *kept)
{
    const fr_saved *all = call->saved;
    const fr_arch *arch = call->c->arch;
    fr_view o;
    if (kept->x2_TD == NULL) {
        FR_TRY(fr_layer_attend(call, &o));
        if (!arch->parallel) {
            FR_TRY(make_x2(call, o));
        } else {
            fr_layer_gather(call, arch->d_model, fr_view_f32(all->x1_TD),
                            fr_view_f32(all->x2_TD));
        }
        if (arch->parallel && arch->attn_post_norm) {
            FR_TRY(add_attention(call, o, NULL, NULL));
        }
    }
    return kept->up_TU == NULL ? fr_layer_feed_forward(call, NULL) : FR_OK;
}

/* Whether that does anything. */
static bool recomputes(const fr_saved *kept)
{
    return kept->x2_TD == NULL || kept->up_TU == NULL;
}

/* dx += d(norm)/dx1^T dh, dh = dqkv Wqkv. */
static fr_status project_back(const fr_layer_call *call, fr_stream_gradient *dx)
{
    const fr_layer_context *c = call->c;
    int64_t n = call->batch->n_tokens;
    fr_view dqkv = c->workspace->dqkv_TW;
    if (!c->arch->attn_norm) {
        dx->operand_TD = fr_view_none();
        return fr_linear_back(c->device, n, dqkv, &call->layer->qkv, true,
                              fr_view_f32(dx->at_TD));
    }
    fr_view dh = c->workspace->h_TD;
    FR_TRY(fr_linear_back(c->device, n, dqkv, &call->layer->qkv, false, dh));
    fr_layer_norm_back(call, &call->layer->attn_norm, n, call->saved->x1_TD,
                       call->saved->norm1, true, dx);
    return FR_OK;
}

/* dx carries the residual path, so each half adds its own gradient to it. Parallel halves both start from dy, which the
 * first of them must not have changed. */
fr_status fr_layer_backward(const fr_layer_context *context, const fr_layer *layer,
                            const fr_batch *batch, const fr_layer_prefix *prefix,
                            const fr_saved *saved, bool prefix_only,
                            fr_stream_gradient *dx)
{
    fr_saved all = complete(context, saved);
    fr_layer_call call = {context, layer, batch, prefix, NULL, &all};
    int64_t width = context->arch->d_model;
    fr_stream_gradient copy = {context->workspace->dy_TD, fr_view_none()};
    if (recomputes(saved)) {
        dx->operand_TD = fr_view_none(); /* h_TD is needed */
        FR_TRY(recompute(&call, saved));
    }
    fr_layer_round_gradient(&call, dx);
    if (context->arch->parallel) {
        fr_layer_copy(&call, fr_layer_rows_past(&call) * width, dx->at_TD, copy.at_TD);
    }
    FR_TRY(fr_layer_feed_forward_back(&call, dx));
    FR_TRY(
        fr_layer_attend_back(&call, prefix_only, context->arch->parallel ? &copy : dx));
    if (prefix_only) {
        return FR_OK;
    }
    if (saved->only_read) {
        fr_f32 *dx_SD = context->workspace->h_f32_TD;
        fr_layer_copy(&call, batch->n_read * width, dx->at_TD, dx_SD);
        fr_layer_scatter(&call, width, fr_view_f32(dx_SD), fr_view_f32(dx->at_TD));
    }
    return project_back(&call, dx);
}
