/*
 * A stage: its weights, and one microbatch's way through its layers.
 *
 * Creation is collective over the ranks of a node, which share the matrices (frozen.h); what a rank has for itself
 * (vectors, angles, learned positions) is loaded after that, and all ranks leave with the same status. A forward pass
 * writes x[i + 1] from x[i], layer by layer, and a backward pass turns one gradient buffer from d loss / d output into
 * d loss / d input. Each layer's prefix gradients are added to the exact sum right after its backward pass, since the
 * next layer uses the same scratch.
 */
#include "base/mem.h"
#include "device/loss.h"
#include "device/matrix.h"
#include "device/memory.h"
#include "device/rows.h"
#include "device/rowwise.h"
#include "model/network/stage_impl.h"

#include <stdlib.h>

static fr_status load_layers(fr_stage *s)
{
    FR_TRY(fr_alloc(s->ctx, s->n_layers, sizeof *s->layers, &s->layers));
    for (int64_t i = 0; i < s->n_layers; i++) {
        bool stays = fr_offload_has(&s->offload, i);
        FR_TRY(fr_layer_load(&s->constants, s->frozen, s->first_layer + i, !stays,
                             &s->layers[i]));
        s->layers[i].angles = fr_stage_angles(s, s->first_layer + i);
        if (stays) {
            FR_TRY(fr_offload_add(&s->offload, &s->layers[i]));
        }
    }
    return fr_offload_open(&s->offload);
}

static fr_status load_embedding_norm(fr_stage *s)
{
    fr_norm_weights *norm = &s->embedding_norm;
    FR_TRY(fr_constants_load(&s->constants, FR_W_EMBEDDING_NORM, -1, &norm->w));
    return fr_constants_load(&s->constants, FR_W_EMBEDDING_NORM_BIAS, -1, &norm->b);
}

static fr_status load_ends(fr_stage *s)
{
    if (fr_stage_is_first(s)) {
        s->tokens = fr_frozen_matrix(s->frozen, &FR_STACK_TOKENS, -1);
        FR_TRY(fr_constants_bring(&s->constants, &s->tokens));
        /* all rows of the file's table, also those that no row of this run reaches */
        if (s->arch.positions == FR_POSITIONS_LEARNED) {
            FR_TRY(fr_constants_load(&s->constants, FR_W_POSITIONS, -1, &s->positions));
        }
        if (s->arch.embedding_norm) {
            FR_TRY(load_embedding_norm(s));
        }
    }
    if (fr_stage_is_last(s)) {
        fr_matrix vocabulary = s->tokens;
        if (!s->arch.tied_head || !fr_stage_is_first(s)) {
            vocabulary = fr_frozen_matrix(s->frozen, &FR_STACK_HEAD, -1);
            FR_TRY(fr_constants_bring(&s->constants, &vocabulary));
        }
        FR_TRY(fr_head_load(&s->constants, &vocabulary, &s->head));
    }
    return FR_OK;
}

/* A stage without a node group has no one to agree with. */
static fr_status agree(fr_group *node, fr_status mine)
{
    return node != NULL ? fr_group_agree(node, mine) : mine;
}

/* fr_frozen_create always works over a group; a stage that is alone lends it a group of one. */
static fr_status convert_weights(fr_stage *s, const fr_stage_params *params)
{
    fr_group *alone = NULL;
    fr_frozen_params frozen = {.holding = {params->weights, s->dtype, params->in_file},
                               .node = params->node,
                               .n_threads = fr_device_threads(s->device),
                               .first_layer = s->first_layer,
                               .n_layers = s->n_layers};
    if (params->node == NULL) {
        FR_TRY(fr_group_create_self(s->ctx, &alone));
        frozen.node = alone;
    }
    fr_status status = fr_frozen_create(s->ctx, &frozen, &s->frozen);
    fr_group_destroy(&alone);
    return status;
}

/* Learned positions are rows of a table and end with it; rotary angles exist for any position. */
static fr_status check_positions(const fr_stage *s, const fr_weights *weights)
{
    if (s->arch.positions == FR_POSITIONS_LEARNED &&
        s->max_position > s->arch.context_length) {
        return FR_FAIL(s->ctx, FR_ERR_CONFIG,
                       "prefix and rows take %lld positions, %s has %lld; shorten the "
                       "prefix or set max_tokens",
                       (long long)s->max_position, fr_weights_path(weights),
                       (long long)s->arch.context_length);
    }
    return FR_OK;
}

/* What this rank has for itself. */
static fr_status load_own(fr_stage *s, const fr_weights *weights)
{
    FR_TRY(fr_stage_make_places(s));
    FR_TRY(load_layers(s));
    FR_TRY(load_ends(s));
    if (!fr_device_in_host_memory(s->device)) {
        fr_frozen_destroy(&s->frozen); /* the device has its own now */
    }
    fr_weights_release(weights);
    return FR_OK;
}

fr_status fr_stage_create(fr_ctx *ctx, const fr_stage_params *params, fr_stage **out)
{
    fr_stage *s = NULL;
    *out = NULL;
    fr_status status = fr_alloc(ctx, 1, sizeof *s, &s);
    if (status == FR_OK) {
        s->ctx = ctx;
        s->device = params->device;
        s->constants = (fr_constants){
            .ctx = ctx, .device = params->device, .weights = params->weights};
        s->arch = *fr_weights_arch(params->weights);
        s->dtype = params->dtype;
        s->work = fr_device_work(params->device, params->dtype);
        s->kept = fr_device_kept(params->device, params->dtype);
        s->recompute = params->recompute;
        s->first_layer = params->first_layer;
        s->n_layers = params->n_layers;
        s->max_position = params->max_position;
        s->offload = fr_offload_of(s->ctx, s->device, params->offload, s->n_layers);
        status = check_positions(s, params->weights);
    }
    status = agree(params->node, status);
    if (status == FR_OK) {
        status = convert_weights(s, params);
    }
    if (status == FR_OK) {
        status = agree(params->node, load_own(s, params->weights));
    }
    if (status != FR_OK) {
        fr_stage_destroy(&s);
    }
    *out = s;
    return status;
}

void fr_stage_destroy(fr_stage **stage)
{
    fr_stage *s = *stage;
    if (s == NULL) {
        return;
    }
    fr_offload_fini(&s->offload);
    fr_head_fini(&s->head);
    fr_constants_fini(&s->constants);
    fr_frozen_destroy(&s->frozen);
    free(s->layers);
    fr_device_free(s->device, s->arena);
    fr_device_free(s->device, s->workspace.dprefix_k_UP);
    fr_device_free(s->device, s->workspace.dprefix_v_UP);
    free(s);
    *stage = NULL;
}

fr_device *fr_stage_device(const fr_stage *stage)
{
    return stage->device;
}

const fr_arch *fr_stage_arch(const fr_stage *stage)
{
    return &stage->arch;
}

int64_t fr_stage_first_layer(const fr_stage *stage)
{
    return stage->first_layer;
}

int64_t fr_stage_n_layers(const fr_stage *stage)
{
    return stage->n_layers;
}

int64_t fr_stage_max_position(const fr_stage *stage)
{
    return stage->max_position;
}

bool fr_stage_is_first(const fr_stage *stage)
{
    return stage->first_layer == 0;
}

bool fr_stage_is_last(const fr_stage *stage)
{
    return stage->first_layer + stage->n_layers == stage->arch.n_layers;
}

fr_dtype fr_stage_work(const fr_stage *stage)
{
    return stage->work;
}

fr_layer_context fr_stage_context(fr_stage *s)
{
    return (fr_layer_context){.device = s->device,
                              .arch = &s->arch,
                              .work = s->work,
                              .kept = s->kept,
                              .slopes_H = s->slopes_H,
                              .linear = fr_linear,
                              .workspace = &s->workspace};
}

static fr_status alloc_view(fr_device *device, int64_t n, fr_dtype dtype, fr_view *out)
{
    out->dtype = dtype;
    return fr_device_alloc(device, n, fr_dtype_bytes(dtype), &out->at);
}

static fr_status alloc_cache(fr_ctx *ctx, int64_t elements, int64_t n_units,
                             fr_dtype dtype, fr_cache *cache)
{
    FR_TRY(fr_alloc(ctx, cache->n_layers, sizeof *cache->layers, &cache->layers));
    FR_TRY(fr_alloc(ctx, n_units, sizeof *cache->layer_prefixes_U,
                    &cache->layer_prefixes_U));
    FR_TRY(fr_alloc(ctx, n_units, sizeof *cache->prefixes_U, &cache->prefixes_U));
    for (int64_t i = 0; i < cache->n_layers; i++) {
        fr_layer_cache *layer = &cache->layers[i];
        FR_TRY(alloc_view(cache->device, elements, dtype, &layer->k));
        FR_TRY(alloc_view(cache->device, elements, dtype, &layer->v));
        cache->layers[i].prefixes_U = cache->layer_prefixes_U;
    }
    return FR_OK;
}

int64_t fr_cache_bytes(const fr_stage *stage, int64_t rows)
{
    return 2 * stage->n_layers * rows * fr_arch_kv_width(&stage->arch) *
           (int64_t)fr_dtype_bytes(stage->work);
}

fr_status fr_cache_init(fr_ctx *ctx, const fr_stage *stage, int64_t rows,
                        int64_t n_units, fr_cache *out)
{
    *out = (fr_cache){.n_layers = stage->n_layers, .device = stage->device};
    fr_status status = alloc_cache(ctx, rows * fr_arch_kv_width(&stage->arch), n_units,
                                   stage->work, out);
    if (status != FR_OK) {
        fr_cache_fini(out);
    }
    return status;
}

void fr_cache_fini(fr_cache *cache)
{
    for (int64_t i = 0; cache->layers != NULL && i < cache->n_layers; i++) {
        fr_device_free(cache->device, cache->layers[i].k.at);
        fr_device_free(cache->device, cache->layers[i].v.at);
    }
    free(cache->layers);
    free(cache->layer_prefixes_U);
    free(cache->prefixes_U);
    *cache = (fr_cache){0};
}

/* x = N(scale * token embedding + learned position). */
static fr_status embed(fr_stage *s, const fr_batch *batch, fr_f32 *x_TD)
{
    int64_t n = batch->n_tokens;
    int64_t width = s->arch.d_model;
    FR_TRY(fr_gather_rows(s->device, n, batch->ids_T, &s->tokens, x_TD));
    if (s->arch.embedding_scale != 1.0) {
        fr_scale(s->device, n * width, (float)s->arch.embedding_scale, x_TD);
    }
    if (s->positions != NULL) {
        fr_add_table_rows(s->device, n, width, batch->positions_T, s->positions, x_TD);
    }
    if (s->embedding_norm.w != NULL) {
        fr_f32 *h = s->workspace.h_f32_TD;
        fr_device_copy(s->device, h, x_TD, n * width * (int64_t)sizeof *h);
        /* a layer norm whatever the kind of the others */
        fr_layernorm(s->device, n, width, fr_view_f32(h), s->embedding_norm.w,
                     s->embedding_norm.b, (float)s->arch.norm_eps, fr_view_f32(x_TD),
                     NULL);
    }
    return FR_OK;
}

int64_t fr_stage_lowest(const fr_stage *stage, const fr_stage_prefix *prefix)
{
    int64_t lowest = prefix->layers.first - stage->first_layer;
    lowest = lowest < stage->n_layers ? lowest : stage->n_layers;
    return lowest > 0 ? lowest : 0;
}

/* The prefix of local layer `layer`, and at *offset its place in the prefix's arrays; length 0: it has none. */
static fr_layer_prefix layer_prefix(const fr_stage *s, const fr_stage_prefix *prefix,
                                    int64_t layer, int64_t *offset)
{
    fr_layer_range own = fr_layers_within(prefix->layers, s->first_layer, s->n_layers);
    int64_t at = s->first_layer + layer - own.first;
    *offset = at * fr_arch_prefix_elements(&s->arch, prefix->length);
    if (prefix->length == 0 || at < 0 || at >= own.count) {
        return (fr_layer_prefix){0};
    }
    return (fr_layer_prefix){prefix->k + *offset, prefix->v + *offset, prefix->length,
                             prefix->slides};
}

/* The cache of a layer with each unit's prefix for it. */
static fr_layer_cache *layer_cache(const fr_stage *s, const fr_batch *batch,
                                   fr_cache *cache, int64_t layer)
{
    if (cache == NULL || cache->layers[layer].k.at == NULL) {
        return NULL;
    }
    for (int64_t u = 0; u < batch->n_units; u++) {
        int64_t offset = 0;
        fr_layer_prefix own = layer_prefix(s, cache->prefixes_U[u], layer, &offset);
        cache->layer_prefixes_U[u] =
            (fr_attention_prefix){own.length, own.k_PGK, own.v_PGK, own.slides};
    }
    return &cache->layers[layer];
}

/* A batch that nobody has checked would index tables, and rows without room would lie outside the arenas. Each pass
 * needs a preparation of its own, since a batch may have been filled anew. */
static fr_status check_prepared(const fr_stage *stage, const fr_batch *batch,
                                fr_activations *activations)
{
    bool is_prepared = activations->prepared_for == batch &&
                       activations->prepared_tokens == batch->n_tokens &&
                       stage->workspace_tokens >= batch->n_tokens;
    activations->prepared_for = NULL;
    return is_prepared
               ? FR_OK
               : FR_FAIL(stage->ctx, FR_ERR_INTERNAL,
                         "a forward pass of %lld token rows without activations "
                         "prepared for them; this is a bug in Forerun, report it",
                         (long long)batch->n_tokens);
}

fr_status fr_stage_forward(fr_stage *stage, const fr_batch *batch,
                           const fr_stage_prefix *prefix, fr_cache *cache,
                           fr_activations *activations)
{
    int64_t offset = 0;
    FR_TRY(check_prepared(stage, batch, activations));
    fr_layer_context context = fr_stage_context(stage);
    context.linear = batch->is_decode ? fr_linear_few : fr_linear;
    bool goes_back =
        activations->keep && fr_stage_lowest(stage, prefix) < stage->n_layers;
    fr_offload_forward(&stage->offload, goes_back);
    if (fr_stage_is_first(stage)) {
        FR_TRY(embed(stage, batch, activations->x[0]));
    }
    for (int64_t i = 0; i < stage->n_layers; i++) {
        fr_layer_prefix own = layer_prefix(stage, prefix, i, &offset);
        bool is_top = stage->first_layer + i == stage->arch.n_layers - 1;
        activations->saved[i].x1_TD = activations->x[i];
        activations->saved[i].only_read = is_top && cache == NULL;
        fr_layer layer = fr_offload_begin(&stage->offload, i, &stage->layers[i]);
        FR_TRY(fr_layer_forward(&context, &layer, batch, &own,
                                layer_cache(stage, batch, cache, i),
                                &activations->saved[i], activations->x[i + 1]));
        fr_offload_end(&stage->offload, i);
    }
    return fr_device_check(stage->device);
}

fr_status fr_stage_backward(fr_stage *stage, const fr_batch *batch,
                            const fr_stage_prefix *prefix, fr_activations *activations,
                            fr_exact_sum *sum)
{
    fr_layer_context context = fr_stage_context(stage);
    int64_t n = fr_arch_prefix_elements(&stage->arch, prefix->length);
    int64_t offset = 0;
    const fr_workspace *w = &stage->workspace;
    fr_stream_gradient gradient = {activations->gradient_TD, fr_view_none()};
    bool has_prefix =
        fr_layers_within(prefix->layers, stage->first_layer, stage->n_layers).count > 0;
    FR_TRY(
        fr_stage_reserve(stage, batch->n_tokens, has_prefix ? batch->n_units * n : 0));
    fr_offload_backward(&stage->offload, fr_stage_lowest(stage, prefix));
    for (int64_t i = stage->n_layers - 1; i >= fr_stage_lowest(stage, prefix); i--) {
        fr_layer layer = fr_offload_begin(&stage->offload, i, &stage->layers[i]);
        fr_layer_prefix own = layer_prefix(stage, prefix, i, &offset);
        bool lowest = stage->first_layer + i == prefix->layers.first;
        FR_TRY(fr_layer_backward(&context, &layer, batch, &own, &activations->saved[i],
                                 lowest, &gradient));
        fr_offload_end(&stage->offload, i);
        if (own.length == 0) {
            continue;
        }
        fr_exact_add(stage->device, batch->n_units, n, sum->exponent, w->dprefix_k_UP,
                     sum->k + offset, sum->n_refused);
        fr_exact_add(stage->device, batch->n_units, n, sum->exponent, w->dprefix_v_UP,
                     sum->v + offset, sum->n_refused);
    }
    return fr_device_check(stage->device);
}

fr_status fr_stage_loss(fr_stage *stage, const fr_batch *batch,
                        fr_activations *activations, bool want_gradient, fr_f64 *nll_R)
{
    fr_layer_context context = fr_stage_context(stage);
    fr_f32 *gradient = NULL;
    if (want_gradient) {
        gradient = activations->gradient_TD;
        fr_device_zero(stage->device, gradient,
                       batch->n_read * stage->arch.d_model * (int64_t)sizeof(fr_f32));
    }
    FR_TRY(fr_head_loss(&context, &stage->head, batch,
                        fr_activations_output(activations), nll_R, gradient));
    return fr_device_check(stage->device);
}

fr_status fr_stage_logits(fr_stage *stage, fr_activations *activations, int64_t n,
                          const int32_t *rows_N, fr_f32 *logits_NV)
{
    fr_layer_context context = fr_stage_context(stage);
    FR_TRY(fr_head_logits(&context, &stage->head, n, fr_activations_output(activations),
                          rows_N, logits_NV));
    return fr_device_check(stage->device);
}
