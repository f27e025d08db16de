/*
 * The attention half up to its output projection: o = attention(turn(N(x1) Wqkv)), and back.
 *
 * `turn` is the norms of queries and keys, where the model has them, and the rotation. Without norms all between the product
 * and attention is one operator, in place, and the turned values are kept. With them, the values before the norms are kept,
 * since the norms' backward passes need these, and the turned queries and keys are made again in the workspace (turned_TW),
 * whose columns of values stay unused.
 */
#include "device/matrix.h"
#include "device/qkv.h"
#include "device/rows.h"
#include "device/rowwise.h"
#include "model/network/layer_impl.h"

#include <math.h>

/* Where attention reads its queries, keys and values: columns of rows of W numbers. */
typedef struct operands {
    fr_view q;
    fr_view k;
    fr_view v;
} operands;

static fr_heads all_heads(const fr_layer_call *call)
{
    const fr_arch *arch = call->c->arch;
    return (fr_heads){.n_tokens = call->batch->n_tokens,
                      .n_heads = arch->n_heads + arch->n_kv_heads,
                      .head_dim = arch->head_dim,
                      .stride = fr_arch_qkv_width(arch)};
}

/* In place; `inverse` turns gradients back. q and k lie side by side in a row, heads of one width: one call turns both. */
static void rotate(const fr_layer_call *call, bool inverse, fr_view qkv)
{
    const fr_angles *angles = call->layer->angles;
    if (angles != NULL) {
        fr_heads heads = all_heads(call);
        fr_rope(call->c->device, &heads, angles->rotary, call->batch->positions_T,
                angles->table, inverse, qkv);
    }
}

/* Runs of `width` numbers in the columns of queries, or of keys. */
static fr_heads norm_runs(const fr_layer_call *call, int64_t columns, int64_t width)
{
    return (fr_heads){.n_tokens = call->batch->n_tokens,
                      .n_heads = columns / width,
                      .head_dim = width,
                      .stride = fr_arch_qkv_width(call->c->arch)};
}

static operands columns_of(const fr_layer_call *call, fr_view qkv)
{
    int64_t q = fr_arch_q_width(call->c->arch);
    int64_t kv = fr_arch_kv_width(call->c->arch);
    return (operands){qkv, fr_view_at(qkv, q), fr_view_at(qkv, q + kv)};
}

/* Of a model with norms of queries and keys: these, turned, beside the projection's output. */
static operands turn(const fr_layer_call *call, fr_view qkv)
{
    const fr_layer_context *c = call->c;
    const fr_arch *arch = c->arch;
    const fr_workspace *w = c->workspace;
    int64_t q = fr_arch_q_width(arch);
    int64_t kv = fr_arch_kv_width(arch);
    fr_view turned = w->turned_TW;
    float eps = (float)arch->norm_eps;
    fr_heads queries = norm_runs(call, q, fr_arch_q_norm_width(arch));
    fr_heads keys = norm_runs(call, kv, fr_arch_k_norm_width(arch));
    fr_rmsnorm_heads(c->device, &queries, qkv, call->layer->q_norm, eps, turned,
                     w->q_rstd_TH);
    fr_rmsnorm_heads(c->device, &keys, fr_view_at(qkv, q), call->layer->k_norm, eps,
                     fr_view_at(turned, q), w->k_rstd_TG);
    rotate(call, false, turned);
    return (operands){turned, fr_view_at(turned, q), fr_view_at(qkv, q + kv)};
}

/* dq and dk belong to turned queries and keys; the projection made them before. */
static void turn_back(const fr_layer_call *call, fr_view qkv, fr_view dqkv)
{
    const fr_layer_context *c = call->c;
    const fr_arch *arch = c->arch;
    const fr_workspace *w = c->workspace;
    int64_t q = fr_arch_q_width(arch);
    rotate(call, true, dqkv);
    if (arch->qk_norm != FR_QK_NORM_NONE) {
        fr_heads queries = norm_runs(call, q, fr_arch_q_norm_width(arch));
        fr_heads keys =
            norm_runs(call, fr_arch_kv_width(arch), fr_arch_k_norm_width(arch));
        fr_rmsnorm_heads_back(c->device, &queries, qkv, call->layer->q_norm,
                              w->q_rstd_TH, dqkv, dqkv);
        fr_rmsnorm_heads_back(c->device, &keys, fr_view_at(qkv, q), call->layer->k_norm,
                              w->k_rstd_TG, fr_view_at(dqkv, q), fr_view_at(dqkv, q));
    }
}

/* Strides are those of the fused projection: q, k and v of a token lie in one row of W numbers, none is copied out. */
static fr_attention_params attention_params(const fr_layer_call *call)
{
    const fr_arch *arch = call->c->arch;
    const fr_batch *batch = call->batch;
    const fr_layer_prefix *prefix = call->prefix;
    double scale = arch->attention_scale;
    return (fr_attention_params){
        .n_heads = arch->n_heads,
        .n_kv_heads = arch->n_kv_heads,
        .head_dim = arch->head_dim,
        .q_stride = fr_arch_qkv_width(arch),
        .kv_stride = fr_arch_qkv_width(arch),
        .n_tokens = batch->n_tokens,
        .prefix_length = prefix->length,
        .prefix_k_PGK = prefix->k_PGK,
        .prefix_v_PGK = prefix->v_PGK,
        .prefix_slides = prefix->slides,
        .n_segments = batch->n_segments,
        .segments = batch->segments,
        .scale = scale != 0.0 ? scale : 1.0 / sqrt((double)arch->head_dim),
        .cap = (float)arch->attention_cap,
        .window = call->layer->window,
        .slopes_H = call->c->slopes_H};
}

/* All that a model without norms of queries and keys does to its projection's output, in one pass. */
static void finish(const fr_layer_call *call, fr_view qkv)
{
    const fr_arch *arch = call->c->arch;
    const fr_angles *angles = call->layer->angles;
    fr_qkv how = {.n_tokens = call->batch->n_tokens,
                  .n_heads = arch->n_heads,
                  .n_kv_heads = arch->n_kv_heads,
                  .head_dim = arch->head_dim,
                  .bias_W = call->layer->qkv_bias};
    if (angles != NULL) {
        how.rotary = angles->rotary;
        how.positions_T = call->batch->positions_T;
        how.table = angles->table;
    }
    if (call->cache != NULL) {
        how.n_segments = call->batch->n_segments;
        how.segments = call->batch->segments;
        how.cache_k = call->cache->k;
        how.cache_v = call->cache->v;
    }
    fr_qkv_finish(call->c->device, &how, qkv,
                  fr_layer_kept_apart(call, call->saved->qkv_TW));
}

/* The same in steps, with the norms between them. */
static operands finish_with_norms(const fr_layer_call *call, fr_view qkv)
{
    const fr_layer_context *c = call->c;
    int64_t n = call->batch->n_tokens;
    int64_t width = fr_arch_qkv_width(c->arch);
    fr_layer_add_bias(call, n, width, call->layer->qkv_bias, qkv);
    fr_layer_keep(call, n * width, qkv, call->saved->qkv_TW);
    operands x = turn(call, qkv);
    if (call->cache != NULL) {
        fr_attention_params params = attention_params(call);
        fr_fill_cache(c->device, &params, x.k, x.v, call->cache->k, call->cache->v);
    }
    return x;
}

/* The projection's output, kept at the point that the opening of this file names, and its operands; keys and values are in
 * the cache, if there is one. */
static fr_status project(const fr_layer_call *call, operands *out)
{
    const fr_layer_context *c = call->c;
    const fr_saved *saved = call->saved;
    int64_t n = call->batch->n_tokens;
    fr_view h = fr_view_f32(saved->x1_TD);
    fr_view qkv = fr_layer_work_buffer(call, saved->qkv_TW, c->workspace->qkv_TW);
    if (c->arch->attn_norm) {
        fr_norm_forward(c->device, c->arch, &call->layer->attn_norm, n, h,
                        c->workspace->h_TD, saved->norm1);
        h = c->workspace->h_TD;
    }
    FR_TRY(c->linear(c->device, n, h, &call->layer->qkv, fr_view_none(), qkv));
    if (c->arch->qk_norm != FR_QK_NORM_NONE) {
        *out = finish_with_norms(call, qkv);
    } else {
        finish(call, qkv);
        *out = columns_of(call, qkv);
    }
    return FR_OK;
}

fr_status fr_layer_attend(const fr_layer_call *call, fr_view *o_out)
{
    const fr_layer_context *c = call->c;
    const fr_saved *saved = call->saved;
    const fr_batch *batch = call->batch;
    fr_view o = fr_layer_work_buffer(call, saved->o_TQ, c->workspace->o_TQ);
    operands x = {0};
    FR_TRY(project(call, &x));
    fr_attention_params params = attention_params(call);
    /* Keys of earlier passes are needed too, so attention reads all of them from the cache. They are turned already, so
     * later passes use them as they are. */
    if (call->cache != NULL) {
        params.prefixes_U = call->cache->prefixes_U;
        params.kv_stride = fr_arch_kv_width(c->arch);
        x.k = call->cache->k;
        x.v = call->cache->v;
    }
    FR_TRY(fr_attention(c->device, &params, x.q, x.k, x.v, o, saved->lse_TH));
    fr_layer_keep(call, batch->n_tokens * fr_arch_q_width(c->arch), o, saved->o_TQ);
    *o_out = o;
    return FR_OK;
}

/* do = d_out Wo for all rows, in the feed-forward scratch: it is free by now and at least as large as [T, Q]. */
static fr_status output_gradient(const fr_layer_call *call,
                                 const fr_stream_gradient *dy)
{
    const fr_layer_context *c = call->c;
    int64_t n = fr_layer_rows_past(call);
    fr_view d_o = c->workspace->up_TU;
    fr_half half = fr_layer_attention_half(call);
    fr_view d_out = fr_layer_half_gradient(call, &half, n, dy);
    if (!call->saved->only_read) {
        return fr_linear_back(c->device, n, d_out, half.w, false, d_o);
    }
    fr_view d_o_SQ = c->workspace->dqkv_TW; /* filled later */
    FR_TRY(fr_linear_back(c->device, n, d_out, half.w, false, d_o_SQ));
    fr_layer_scatter(call, fr_arch_q_width(c->arch), d_o_SQ, d_o);
    return FR_OK;
}

/* The operands of the forward pass: kept as they are, or turned again. */
static operands bring_operands(const fr_layer_call *call, fr_view *qkv_out)
{
    const fr_arch *arch = call->c->arch;
    fr_view qkv =
        fr_layer_bring_back(call, call->batch->n_tokens * fr_arch_qkv_width(arch),
                            call->saved->qkv_TW, call->c->workspace->qkv_TW);
    *qkv_out = qkv;
    return arch->qk_norm != FR_QK_NORM_NONE ? turn(call, qkv) : columns_of(call, qkv);
}

fr_status fr_layer_attend_back(const fr_layer_call *call, bool prefix_only,
                               const fr_stream_gradient *dy)
{
    const fr_layer_context *c = call->c;
    fr_workspace *w = c->workspace;
    int64_t q = fr_arch_q_width(c->arch);
    fr_view qkv;
    operands x = bring_operands(call, &qkv);
    fr_view o = fr_layer_bring_back(call, call->batch->n_tokens * q, call->saved->o_TQ,
                                    w->o_TQ);
    FR_TRY(output_gradient(call, dy));
    fr_attention_params params = attention_params(call);
    fr_attention_gradients gradients = {.dprefix_k_UPGK = w->dprefix_k_UP,
                                        .dprefix_v_UPGK = w->dprefix_v_UP,
                                        .n_units = call->batch->n_units};
    /* below the lowest prefix no gradient is used: dq, dk and dv stay none and are not computed */
    if (!prefix_only) {
        gradients.dq = w->dqkv_TW;
        gradients.dk = fr_view_at(w->dqkv_TW, q);
        gradients.dv = fr_view_at(w->dqkv_TW, q + fr_arch_kv_width(c->arch));
    }
    FR_TRY(fr_attention_back(c->device, &params, x.q, x.k, x.v, o, call->saved->lse_TH,
                             w->up_TU, &gradients));
    if (!prefix_only) {
        turn_back(call, qkv, w->dqkv_TW);
    }
    return FR_OK;
}
