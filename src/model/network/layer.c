/*
 * One layer. Shape letters: see layer.h. A pass reads from top to bottom like the block's formula:
 *
 *     x2 = x1 + attention(rope(norm(x1) Wqkv)) Wo        y = x2 + activation(norm(x2) Wup) Wdown
 *
 * Backward gives d loss / d x1 and the prefix's gradients; weights are frozen, so they have none. What `saved` does not
 * keep is computed again by the same operators on the same inputs, hence with the same bits. In the model's last layer only
 * the rows that the batch reads go past attention (gather and scatter).
 */
#include "model/network/layer.h"

#include "device/activation.h"

#include <math.h>
#include <string.h>

/* y = norm(x) by the family's norm; statistics kept for the backward pass. */
static void norm_forward(const fr_layer_context *c, int64_t n_tokens, const float *x,
                         const float *w, const float *b, float *y, float *statistics)
{
    float eps = (float)c->arch->norm_eps;
    if (c->arch->norm == FR_NORM_RMS) {
        fr_rmsnorm(c->device, n_tokens, c->arch->d_model, x, w, eps, y, statistics);
    } else {
        fr_layernorm(c->device, n_tokens, c->arch->d_model, x, w, b, eps, y,
                     statistics);
    }
}

static void norm_backward(const fr_layer_context *c, int64_t n_tokens, const float *x,
                          const float *w, const float *statistics, const float *dy,
                          float *dx)
{
    if (c->arch->norm == FR_NORM_RMS) {
        fr_rmsnorm_back(c->device, n_tokens, c->arch->d_model, x, w, statistics, dy,
                        dx);
    } else {
        fr_layernorm_back(c->device, n_tokens, c->arch->d_model, x, w, statistics, dy,
                          dx);
    }
}

static void add_bias(const fr_layer_context *c, int64_t n_tokens, int64_t width,
                     const float *bias, float *x)
{
    if (bias != NULL) {
        fr_add_bias(c->device, n_tokens, width, width, bias, x);
    }
}

/* In f32 an operator writes straight into the saved buffer; in bf16, or if it is not kept, into scratch. */
static float *work_buffer(const fr_layer_context *c, void *saved, float *scratch)
{
    return c->dtype == FR_F32 && saved != NULL ? saved : scratch;
}

/* Rounds to bf16 even when the value is not kept for backward, so that recomputation gives the same bits. */
static void keep(const fr_layer_context *c, int64_t n, float *work, void *saved)
{
    if (c->dtype != FR_F32) {
        fr_save(c->device, n, c->dtype, work, saved);
    }
}

/* The saved value as floats: the saved buffer itself in f32, else converted into scratch (unchanged if not kept). */
static float *bring_back(const fr_layer_context *c, int64_t n, void *saved,
                         float *scratch)
{
    if (c->dtype != FR_F32 && saved != NULL) {
        fr_restore(c->device, n, c->dtype, saved, scratch);
    }
    return work_buffer(c, saved, scratch);
}

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
    }
    return all;
}

/* By all threads. */
static void copy(const fr_layer_context *c, int64_t n, const float *x, float *y)
{
    fr_restore(c->device, n, FR_F32, x, y);
}

/* ---- rows that go past attention ---------------------------------------------------------- */

/* A forward pass without a cache ends in the loss, so rows that predict nothing need no feed-forward half. */
static int64_t rows_past(const fr_batch *batch, const fr_saved *saved)
{
    return saved->only_read ? batch->n_read : batch->n_tokens;
}

/* y = the rows of x that go past attention. */
static fr_status gather(const fr_layer_context *c, const fr_batch *batch,
                        const fr_saved *saved, int64_t width, const float *x, float *y)
{
    if (saved->only_read) {
        fr_matrix rows = fr_matrix_of(x, FR_F32, batch->n_tokens, width);
        return fr_gather_rows(c->device, batch->n_read, batch->read_rows_S, &rows, y);
    }
    copy(c, batch->n_tokens * width, x, y);
    return FR_OK;
}

/* The way back of the rows that are read; the others are zero. */
static void scatter(const fr_batch *batch, int64_t width, const float *x_S, float *y_T)
{
    memset(y_T, 0, (size_t)(batch->n_tokens * width) * sizeof *y_T);
    for (int64_t s = 0; s < batch->n_read; s++) {
        memcpy(y_T + batch->read_rows_S[s] * width, x_S + s * width,
               (size_t)width * sizeof *y_T);
    }
}

/* ---- forward -------------------------------------------------------------------------------- */

/* In place, before attention; `inverse` turns gradients back. GPT-2 has learned positions and no table. */
static void rotate(const fr_layer_context *c, const fr_batch *batch, bool inverse,
                   float *qkv)
{
    if (c->rope_table != NULL) {
        /* q and k lie side by side in a row, heads of one width: one call turns both */
        fr_heads heads = {.n_tokens = batch->n_tokens,
                          .n_heads = c->arch->n_heads + c->arch->n_kv_heads,
                          .head_dim = c->arch->head_dim,
                          .stride = fr_arch_qkv_width(c->arch)};
        fr_rope(c->device, &heads, c->arch->head_dim, batch->positions_T, c->rope_table,
                inverse, qkv);
    }
}

/* Strides are those of the fused projection: q, k and v of a token lie in one row of W floats, none is copied out. */
static fr_attention_params attention_params(const fr_layer_context *c,
                                            const fr_batch *batch,
                                            const fr_layer_prefix *prefix)
{
    const fr_arch *arch = c->arch;
    return (fr_attention_params){.n_heads = arch->n_heads,
                                 .n_kv_heads = arch->n_kv_heads,
                                 .head_dim = arch->head_dim,
                                 .q_stride = fr_arch_qkv_width(arch),
                                 .kv_stride = fr_arch_qkv_width(arch),
                                 .n_tokens = batch->n_tokens,
                                 .prefix_length = prefix->length,
                                 .prefix_k_PGK = prefix->k_PGK,
                                 .prefix_v_PGK = prefix->v_PGK,
                                 .n_segments = batch->n_segments,
                                 .segments = batch->segments,
                                 .scale = 1.0 / sqrt((double)arch->head_dim)};
}

/* Keys and values of a segment's tokens, to the rows that the segment calls its own. Keys are rotated already, so later
 * passes use them as they are. */
static void fill_cache(const fr_layer_context *c, const fr_segment *segment,
                       const float *qkv, fr_layer_cache *cache)
{
    int64_t q = fr_arch_q_width(c->arch);
    int64_t kv = fr_arch_kv_width(c->arch);
    for (int64_t t = 0; t < segment->q_count; t++) {
        const float *row = qkv + (segment->q_first + t) * (q + 2 * kv);
        int64_t place = (segment->own_first + t) * kv;
        memcpy(cache->k + place, row + q, (size_t)kv * sizeof(float));
        memcpy(cache->v + place, row + q + kv, (size_t)kv * sizeof(float));
    }
}

/* o = attention(rope(norm(x1) Wqkv)); fills norm1, qkv, o, lse of `saved`; returns o in *o_out. */
static fr_status attend(const fr_layer_context *c, const fr_layer *layer,
                        const fr_batch *batch, const fr_layer_prefix *prefix,
                        fr_layer_cache *cache, const fr_saved *saved, float **o_out)
{
    int64_t n = batch->n_tokens;
    int64_t q_width = fr_arch_q_width(c->arch);
    int64_t kv_width = fr_arch_kv_width(c->arch);
    int64_t width = fr_arch_qkv_width(c->arch);
    float *h = c->workspace->h_TD;
    float *qkv = work_buffer(c, saved->qkv_TW, c->workspace->qkv_TW);
    float *o = work_buffer(c, saved->o_TQ, c->workspace->o_TQ);
    norm_forward(c, n, saved->x1_TD, layer->attn_norm, layer->attn_norm_bias, h,
                 saved->norm1);
    FR_TRY(c->linear(c->device, n, h, &layer->qkv, false, qkv));
    add_bias(c, n, width, layer->qkv_bias, qkv);
    rotate(c, batch, false, qkv);
    keep(c, n * width, qkv, saved->qkv_TW);
    fr_attention_params params = attention_params(c, batch, prefix);
    const float *k = qkv + q_width;
    const float *v = qkv + q_width + kv_width;
    /* keys of earlier passes are needed too, so attention reads all of them from the cache */
    if (cache != NULL) {
        for (int64_t i = 0; i < batch->n_segments; i++) {
            fill_cache(c, &batch->segments[i], qkv, cache);
        }
        params.prefixes_U = cache->prefixes_U;
        params.kv_stride = kv_width;
        k = cache->k;
        v = cache->v;
    }
    FR_TRY(fr_attention(c->device, &params, qkv, k, v, o, saved->lse_TH));
    keep(c, n * q_width, o, saved->o_TQ);
    *o_out = o;
    return FR_OK;
}

/* x2 = x1 + o Wo of the rows that go past attention. */
static fr_status add_attention(const fr_layer_context *c, const fr_layer *layer,
                               const fr_batch *batch, const fr_saved *saved,
                               const float *o)
{
    int64_t n = rows_past(batch, saved);
    int64_t width = c->arch->d_model;
    FR_TRY(gather(c, batch, saved, width, saved->x1_TD, saved->x2_TD));
    if (saved->only_read) {
        float *o_SQ = c->workspace->up_TU; /* large enough: checked at set-up */
        FR_TRY(gather(c, batch, saved, fr_arch_q_width(c->arch), o, o_SQ));
        o = o_SQ;
    }
    FR_TRY(c->linear(c->device, n, o, &layer->o, true, saved->x2_TD));
    add_bias(c, n, width, layer->o_bias, saved->x2_TD);
    return FR_OK;
}

/* up = W_up norm(x2), which `activate` saves; fills norm2 of `saved`; returns up in *up_out. */
static fr_status project_up(const fr_layer_context *c, const fr_layer *layer,
                            int64_t n_tokens, const fr_saved *saved, float **up_out)
{
    int64_t up_width = fr_arch_up_width(c->arch);
    float *h = c->workspace->h_TD;
    float *up = work_buffer(c, saved->up_TU, c->workspace->up_TU);
    norm_forward(c, n_tokens, saved->x2_TD, layer->mlp_norm, layer->mlp_norm_bias, h,
                 saved->norm2);
    FR_TRY(c->linear(c->device, n_tokens, h, &layer->up, false, up));
    add_bias(c, n_tokens, up_width, layer->up_bias, up);
    *up_out = up;
    return FR_OK;
}

/* act = activation(up); up is saved on the way. */
static void activate(const fr_layer_context *c, int64_t n_tokens, float *up,
                     void *saved, float *act)
{
    int64_t width = c->arch->d_ff;
    if (!c->arch->gated) {
        keep(c, n_tokens * width, up, saved);
        fr_activate(c->device, FR_ACTIVATION_GELU_TANH, n_tokens * width, up, act);
    } else if (c->dtype == FR_F32) {
        fr_gated(c->device, FR_ACTIVATION_SILU, n_tokens, width, up, act);
    } else {
        fr_save_gated(c->device, FR_ACTIVATION_SILU, n_tokens, width, c->dtype, up,
                      saved, act);
    }
}

/* y = x2 + W_down activation(up). */
static fr_status project_down(const fr_layer_context *c, const fr_layer *layer,
                              int64_t n_tokens, const fr_saved *saved, float *up,
                              float *y_TD)
{
    float *act = c->workspace->act_TF;
    activate(c, n_tokens, up, saved->up_TU, act);
    copy(c, n_tokens * c->arch->d_model, saved->x2_TD, y_TD);
    FR_TRY(c->linear(c->device, n_tokens, act, &layer->down, true, y_TD));
    add_bias(c, n_tokens, c->arch->d_model, layer->down_bias, y_TD);
    return FR_OK;
}

/* `all` always has somewhere to write; `saved` says what outlives the pass. */
fr_status fr_layer_forward(const fr_layer_context *context, const fr_layer *layer,
                           const fr_batch *batch, const fr_layer_prefix *prefix,
                           fr_layer_cache *cache, const fr_saved *saved, float *y_TD)
{
    fr_saved all = complete(context, saved);
    int64_t n = rows_past(batch, saved);
    float *o = NULL;
    float *up = NULL;
    FR_TRY(attend(context, layer, batch, prefix, cache, &all, &o));
    FR_TRY(add_attention(context, layer, batch, &all, o));
    FR_TRY(project_up(context, layer, n, &all, &up));
    return project_down(context, layer, n, &all, up, y_TD);
}

/* ---- backward ------------------------------------------------------------------------------- */

/* What was not kept, into the workspace: the forward pass less its down projection. */
static fr_status recompute(const fr_layer_context *c, const fr_layer *layer,
                           const fr_batch *batch, const fr_layer_prefix *prefix,
                           const fr_saved *saved, const fr_saved *all)
{
    float *o = NULL;
    float *up = NULL;
    if (saved->x2_TD == NULL) {
        FR_TRY(attend(c, layer, batch, prefix, NULL, all, &o));
        FR_TRY(add_attention(c, layer, batch, all, o));
    }
    if (saved->up_TU == NULL) {
        int64_t n = rows_past(batch, saved);
        FR_TRY(project_up(c, layer, n, all, &up));
        keep(c, n * fr_arch_up_width(c->arch), up, NULL);
    }
    return FR_OK;
}

/* dup from dact and the saved up, or the one that was computed again into dup's place. */
static void activate_back(const fr_layer_context *c, int64_t n_tokens, void *saved,
                          const float *dact, float *dup)
{
    int64_t width = c->arch->d_ff;
    if (!c->arch->gated) {
        float *up = bring_back(c, n_tokens * width, saved, dup);
        fr_activate_back(c->device, FR_ACTIVATION_GELU_TANH, n_tokens * width, up, dact,
                         dup);
    } else if (c->dtype == FR_F32 || saved == NULL) {
        fr_gated_back(c->device, FR_ACTIVATION_SILU, n_tokens, width,
                      work_buffer(c, saved, dup), dact, dup);
    } else {
        fr_restore_gated_back(c->device, FR_ACTIVATION_SILU, n_tokens, width, c->dtype,
                              saved, dact, dup);
    }
}

/* dx += d(feed-forward half)/dx2^T dx. */
static fr_status feed_forward_back(const fr_layer_context *c, const fr_layer *layer,
                                   int64_t n_tokens, const fr_saved *saved,
                                   float *dx_TD)
{
    /* act and dact share a buffer: activations are not needed here, only up is */
    float *dh = c->workspace->h_TD;
    float *dact = c->workspace->act_TF;
    float *dup = c->workspace->up_TU;
    FR_TRY(fr_linear_back(c->device, n_tokens, dx_TD, &layer->down, false, dact));
    activate_back(c, n_tokens, saved->up_TU, dact, dup);
    FR_TRY(fr_linear_back(c->device, n_tokens, dup, &layer->up, false, dh));
    norm_backward(c, n_tokens, saved->x2_TD, layer->mlp_norm, saved->norm2, dh, dx_TD);
    return FR_OK;
}

/* do = dx Wo for all rows, in the feed-forward scratch: it is free by now and at least as large as [T, Q]. */
static fr_status attention_gradient(const fr_layer_context *c, const fr_layer *layer,
                                    const fr_batch *batch, const fr_saved *saved,
                                    const float *dx_TD)
{
    float *d_o = c->workspace->up_TU;
    if (!saved->only_read) {
        return fr_linear_back(c->device, batch->n_tokens, dx_TD, &layer->o, false, d_o);
    }
    float *d_o_SQ = c->workspace->dqkv_TW; /* filled later */
    FR_TRY(fr_linear_back(c->device, batch->n_read, dx_TD, &layer->o, false, d_o_SQ));
    scatter(batch, fr_arch_q_width(c->arch), d_o_SQ, d_o);
    return FR_OK;
}

/* Fills dqkv and dprefix of the workspace from do = dx Wo. */
static fr_status attend_back(const fr_layer_context *c, const fr_layer *layer,
                             const fr_batch *batch, const fr_layer_prefix *prefix,
                             const fr_saved *saved, bool prefix_only,
                             const float *dx_TD)
{
    int64_t n = batch->n_tokens;
    int64_t q_width = fr_arch_q_width(c->arch);
    int64_t kv_width = fr_arch_kv_width(c->arch);
    fr_workspace *w = c->workspace;
    float *qkv =
        bring_back(c, n * fr_arch_qkv_width(c->arch), saved->qkv_TW, w->qkv_TW);
    float *o = bring_back(c, n * q_width, saved->o_TQ, w->o_TQ);
    FR_TRY(attention_gradient(c, layer, batch, saved, dx_TD));
    fr_attention_params params = attention_params(c, batch, prefix);
    fr_attention_gradients gradients = {.dprefix_k_UPGK = w->dprefix_k_UP,
                                        .dprefix_v_UPGK = w->dprefix_v_UP,
                                        .n_units = batch->n_units};
    /* below the lowest prefix no gradient is used: dq, dk and dv stay NULL and are not computed */
    if (!prefix_only) {
        gradients.dq = w->dqkv_TW;
        gradients.dk = w->dqkv_TW + q_width;
        gradients.dv = w->dqkv_TW + q_width + kv_width;
    }
    return fr_attention_back(c->device, &params, qkv, qkv + q_width,
                             qkv + q_width + kv_width, o, saved->lse_TH, w->up_TU,
                             &gradients);
}

/* dx carries the residual path, so each half adds its own gradient to it. */
fr_status fr_layer_backward(const fr_layer_context *context, const fr_layer *layer,
                            const fr_batch *batch, const fr_layer_prefix *prefix,
                            const fr_saved *saved, bool prefix_only, float *dx_TD)
{
    int64_t n = batch->n_tokens;
    int64_t width = context->arch->d_model;
    float *dqkv = context->workspace->dqkv_TW;
    float *dh = context->workspace->h_TD;
    fr_saved all = complete(context, saved);
    FR_TRY(recompute(context, layer, batch, prefix, saved, &all));
    FR_TRY(feed_forward_back(context, layer, rows_past(batch, saved), &all, dx_TD));
    FR_TRY(attend_back(context, layer, batch, prefix, &all, prefix_only, dx_TD));
    if (prefix_only) {
        return FR_OK;
    }
    if (saved->only_read) {
        memcpy(dh, dx_TD, (size_t)(batch->n_read * width) * sizeof *dh);
        scatter(batch, width, dh, dx_TD);
    }
    /* dq and dk belong to rotated q and k; the projection made them before the rotation */
    rotate(context, batch, true, dqkv);
    FR_TRY(fr_linear_back(context->device, n, dqkv, &layer->qkv, false, dh));
    norm_backward(context, n, all.x1_TD, layer->attn_norm, all.norm1, dh, dx_TD);
    return FR_OK;
}
