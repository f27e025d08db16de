#include "base/mem.h"
#include "model/stage_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* cos and sin of position * theta^(-2i/K), computed in f64: [positions, K/2, 2]. */
static fr_status make_rope_table(fr_ctx *ctx, const fr_arch *arch, int64_t n_positions,
                                 float **out)
{
    int64_t half = arch->head_dim / 2;
    FR_TRY(fr_alloc(ctx, n_positions * half * 2, sizeof(float), out));
    for (int64_t i = 0; i < half; i++) {
        double frequency =
            pow(arch->rope_theta, -2.0 * (double)i / (double)arch->head_dim);
        for (int64_t position = 0; position < n_positions; position++) {
            double angle = (double)position * frequency;
            float *entry = *out + (position * half + i) * 2;
            entry[0] = (float)cos(angle);
            entry[1] = (float)sin(angle);
        }
    }
    return FR_OK;
}

static fr_status load_layers(fr_stage *s, const fr_weights *weights)
{
    FR_TRY(fr_alloc(s->ctx, s->n_layers, sizeof *s->layers, &s->layers));
    for (int64_t i = 0; i < s->n_layers; i++) {
        FR_TRY(fr_layer_load(s->ctx, weights, s->first_layer + i, s->dtype,
                             &s->layers[i]));
    }
    return FR_OK;
}

static fr_status load_positions(fr_stage *s, const fr_weights *weights)
{
    int64_t rows = 0;
    int64_t columns = 0;
    fr_weights_shape(weights, FR_W_POSITIONS, -1, &rows, &columns);
    FR_TRY(fr_alloc(s->ctx, rows * columns, sizeof(float), &s->positions));
    return fr_weights_read(s->ctx, weights, FR_W_POSITIONS, -1, FR_F32, s->positions);
}

static fr_status load_ends(fr_stage *s, const fr_weights *weights)
{
    if (fr_stage_is_first(s)) {
        FR_TRY(fr_alloc(s->ctx, s->arch.vocab_size * s->arch.d_model,
                        fr_dtype_bytes(s->dtype), &s->tokens));
        FR_TRY(fr_weights_read(s->ctx, weights, FR_W_TOKENS, -1, s->dtype, s->tokens));
        if (s->arch.family == FR_GPT2) {
            FR_TRY(load_positions(s, weights));
        }
    }
    if (fr_stage_is_last(s)) {
        const void *shared = s->arch.tied_head ? s->tokens : NULL;
        FR_TRY(fr_head_load(s->ctx, weights, s->dtype, shared, &s->head));
    }
    return FR_OK;
}

static fr_status load_stage(fr_stage *s, const fr_weights *weights)
{
    if (s->arch.family == FR_GPT2 && s->max_position > s->arch.context_length) {
        return FR_FAIL(s->ctx, FR_ERR_CONFIG,
                       "prefix and rows take %lld positions, %s has %lld; shorten the "
                       "prefix or set max_tokens",
                       (long long)s->max_position, fr_weights_path(weights),
                       (long long)s->arch.context_length);
    }
    FR_TRY(load_layers(s, weights));
    if (s->arch.family == FR_LLAMA) {
        FR_TRY(make_rope_table(s->ctx, &s->arch, s->max_position, &s->rope_table));
    }
    return load_ends(s, weights);
}

fr_status fr_stage_create(fr_ctx *ctx, const fr_stage_params *params, fr_stage **out)
{
    fr_stage *s = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *s, &s));
    s->ctx = ctx;
    s->device = params->device;
    s->arch = *fr_weights_arch(params->weights);
    s->dtype = params->dtype;
    s->first_layer = params->first_layer;
    s->n_layers = params->n_layers;
    s->max_position = params->max_position;
    fr_status status = load_stage(s, params->weights);
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
    for (int64_t i = 0; s->layers != NULL && i < s->n_layers; i++) {
        fr_layer_fini(&s->layers[i]);
    }
    fr_head_fini(&s->head);
    free(s->layers);
    free(s->rope_table);
    free(s->tokens);
    free(s->positions);
    free(s->arena);
    free(s->workspace.dprefix_k_UP);
    free(s->workspace.dprefix_v_UP);
    free(s);
    *stage = NULL;
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

fr_layer_context fr_stage_context(fr_stage *s)
{
    return (fr_layer_context){.device = s->device,
                              .arch = &s->arch,
                              .dtype = s->dtype,
                              .rope_table = s->rope_table,
                              .workspace = &s->workspace};
}

fr_status fr_cache_init(fr_ctx *ctx, const fr_stage *stage, int64_t room, fr_cache *out)
{
    int64_t width = fr_arch_kv_width(&stage->arch);
    *out = (fr_cache){.n_layers = stage->n_layers, .room = room};
    fr_status status =
        fr_alloc(ctx, stage->n_layers, sizeof *out->layers, &out->layers);
    for (int64_t i = 0; status == FR_OK && i < stage->n_layers; i++) {
        status = fr_alloc(ctx, room * width, sizeof(float), &out->layers[i].k);
        if (status == FR_OK) {
            status = fr_alloc(ctx, room * width, sizeof(float), &out->layers[i].v);
        }
    }
    if (status != FR_OK) {
        fr_cache_fini(out);
    }
    return status;
}

void fr_cache_fini(fr_cache *cache)
{
    for (int64_t i = 0; cache->layers != NULL && i < cache->n_layers; i++) {
        free(cache->layers[i].k);
        free(cache->layers[i].v);
    }
    free(cache->layers);
    *cache = (fr_cache){0};
}

/* x = token embedding (+ learned position). */
static void embed(fr_stage *s, const fr_batch *batch, float *x_TD)
{
    int64_t width = s->arch.d_model;
    fr_gather_rows(s->device, batch->n_tokens, width, batch->ids_T, s->dtype, s->tokens,
                   x_TD);
    for (int64_t t = 0; s->positions != NULL && t < batch->n_tokens; t++) {
        fr_add(s->device, width, s->positions + batch->positions_T[t] * width,
               x_TD + t * width);
    }
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
    return (fr_layer_prefix){prefix->k + *offset, prefix->v + *offset, prefix->length};
}

fr_status fr_stage_forward(fr_stage *stage, const fr_batch *batch,
                           const fr_stage_prefix *prefix, fr_cache *cache,
                           fr_slot *slot)
{
    int64_t offset = 0;
    FR_TRY(fr_slot_prepare(stage, slot, batch, prefix));
    fr_layer_context context = fr_stage_context(stage);
    if (fr_stage_is_first(stage)) {
        embed(stage, batch, slot->x[0]);
    }
    slot->n_tokens = batch->n_tokens;
    for (int64_t i = 0; i < stage->n_layers; i++) {
        fr_layer_prefix own = layer_prefix(stage, prefix, i, &offset);
        fr_layer_cache *layer_cache = cache != NULL ? &cache->layers[i] : NULL;
        slot->saved[i].x1_TD = slot->x[i];
        FR_TRY(fr_layer_forward(&context, &stage->layers[i], batch, &own, layer_cache,
                                &slot->saved[i], slot->x[i + 1]));
        if (layer_cache != NULL) {
            layer_cache->past += batch->n_tokens;
        }
    }
    return FR_OK;
}

fr_status fr_stage_backward(fr_stage *stage, const fr_batch *batch,
                            const fr_stage_prefix *prefix, fr_slot *slot,
                            fr_exact_sum *sum)
{
    fr_layer_context context = fr_stage_context(stage);
    int64_t n = fr_arch_prefix_elements(&stage->arch, prefix->length);
    int64_t offset = 0;
    const fr_workspace *w = &stage->workspace;
    bool has_prefix =
        fr_layers_within(prefix->layers, stage->first_layer, stage->n_layers).count > 0;
    FR_TRY(
        fr_stage_reserve(stage, batch->n_tokens, has_prefix ? batch->n_units * n : 0));
    for (int64_t i = stage->n_layers - 1; i >= fr_stage_lowest(stage, prefix); i--) {
        fr_layer_prefix own = layer_prefix(stage, prefix, i, &offset);
        bool lowest = stage->first_layer + i == prefix->layers.first;
        FR_TRY(fr_layer_backward(&context, &stage->layers[i], batch, &own,
                                 &slot->saved[i], lowest, slot->gradient_TD));
        if (own.length == 0) {
            continue;
        }
        sum->n_bad += fr_exact_add(stage->device, batch->n_units, n, sum->exponent,
                                   w->dprefix_k_UP, sum->k + offset);
        sum->n_bad += fr_exact_add(stage->device, batch->n_units, n, sum->exponent,
                                   w->dprefix_v_UP, sum->v + offset);
    }
    return FR_OK;
}

fr_status fr_stage_loss(fr_stage *stage, const fr_batch *batch, fr_slot *slot,
                        bool want_gradient, double *nll_R)
{
    fr_layer_context context = fr_stage_context(stage);
    float *gradient = NULL;
    if (want_gradient) {
        gradient = slot->gradient_TD;
        memset(gradient, 0,
               (size_t)(batch->n_tokens * stage->arch.d_model) * sizeof(float));
    }
    return fr_head_loss(&context, &stage->head, batch, fr_slot_output(slot), nll_R,
                        gradient);
}

fr_status fr_stage_logits(fr_stage *stage, fr_slot *slot, int64_t row, float *logits_V)
{
    fr_layer_context context = fr_stage_context(stage);
    return fr_head_logits(&context, &stage->head,
                          fr_slot_output(slot) + row * stage->arch.d_model, logits_V);
}
