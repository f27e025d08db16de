/*
 * Find and check the tensor of every role.
 *
 * This file owns the table of bindings. A binding says which tensor a role reads, which part of it, and in which order
 * the rows lie. The format's part has already listed the tensors (sources), chosen the scheme of names, and said which
 * roles the model needs. The order of events is:
 *
 *   1. fr_weights_index sorts the sources by name and refuses a name that occurs twice.
 *   2. fr_weights_bind binds the roles outside layers: embeddings, final norm, head.
 *   3. tie_head decides whether head and embedding are one weight, from the files' numbers where they hold both.
 *   4. fr_weights_bind binds the roles of each layer. Layer 0 comes first, because it decides for the optional ones:
 *      a bias is in all layers or in none.
 *
 * What always holds afterwards: a binding is either empty, and the model lacks that weight, or its tensor has a type
 * that can be converted and exactly the shape that the architecture asks for. Reading therefore checks nothing, and a
 * wrong file is refused at the start of a run and not in the middle of it.
 *
 * The wanted shape is computed from the architecture (role_shape), then changed to what the scheme stores
 * (wanted_tensor): fused, transposed, or with RoPE pairs adjacent. All differences between formats are in these two
 * steps, so nothing after this file depends on the format.
 */
#include "base/mem.h"
#include "model/files/names.h"
#include "model/weights/weights_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A name is a prefix, a layer's number and a constant of a scheme: all known ones stay below 80 bytes.
 * N_OUTSIDE is the number of roles outside layers. */
enum { NAME_BYTES = 160, N_OUTSIDE = FR_W_ATTN_NORM };

fr_weight_binding *fr_weights_binding(const fr_weights *weights, fr_weight role,
                                      int64_t layer)
{
    int64_t index = (int64_t)role;
    if (role >= FR_W_ATTN_NORM) {
        index += layer * (FR_W_COUNT - N_OUTSIDE);
    }
    return &weights->bindings[index];
}

fr_source *fr_weights_find_source(const fr_weights *weights, const char *name)
{
    const fr_source *found = fr_names_find(weights->index, weights->n_sources, name);
    return found != NULL ? &weights->sources[found - weights->sources] : NULL;
}

fr_shape_text fr_source_shape(const fr_source *source)
{
    fr_shape_text shape = {"["};
    size_t at = 1;
    for (int d = 0; d < source->n_dims && at < sizeof shape.text; d++) {
        int written = snprintf(shape.text + at, sizeof shape.text - at, "%s%lld",
                               d > 0 ? ", " : "", (long long)source->shape[d]);
        at += written > 0 ? (size_t)written : 0;
    }
    at = at < sizeof shape.text - 1 ? at : sizeof shape.text - 2;
    memcpy(shape.text + at, "]", 2);
    return shape;
}

/* Shards can repeat a name even though each file has it once. */
fr_status fr_weights_index(fr_ctx *ctx, fr_weights *weights)
{
    FR_TRY(fr_names_sort(ctx, weights->sources, weights->n_sources,
                         sizeof *weights->sources, &weights->index));
    const fr_text *twice = fr_names_duplicate(weights->index, weights->n_sources);
    if (twice != NULL) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: tensor %s occurs twice", weights->path,
                       fr_show(*twice).text);
    }
    return FR_OK;
}

/* Rows and columns of a role in Hugging Face's conventions; vectors are [n, 1]. */
static void role_shape(const fr_arch *arch, fr_weight role, fr_weight_binding *binding)
{
    int64_t q = arch->n_heads * arch->head_dim;
    int64_t kv = arch->n_kv_heads * arch->head_dim;
    int64_t d = arch->d_model;
    bool whole = arch->qk_norm == FR_QK_NORM_WHOLE;
    const int64_t shapes[FR_W_COUNT][2] = {
        [FR_W_TOKENS] = {arch->vocab_size, d},
        [FR_W_POSITIONS] = {arch->context_length, d},
        [FR_W_EMBEDDING_NORM] = {d, 1},
        [FR_W_EMBEDDING_NORM_BIAS] = {d, 1},
        [FR_W_FINAL_NORM] = {d, 1},
        [FR_W_FINAL_NORM_BIAS] = {d, 1},
        [FR_W_HEAD] = {arch->vocab_size, d},
        [FR_W_ATTN_NORM] = {d, 1},
        [FR_W_ATTN_NORM_BIAS] = {d, 1},
        [FR_W_Q] = {q, d},
        [FR_W_Q_BIAS] = {q, 1},
        [FR_W_K] = {kv, d},
        [FR_W_K_BIAS] = {kv, 1},
        [FR_W_V] = {kv, d},
        [FR_W_V_BIAS] = {kv, 1},
        [FR_W_Q_NORM] = {whole ? q : arch->head_dim, 1},
        [FR_W_K_NORM] = {whole ? kv : arch->head_dim, 1},
        [FR_W_O] = {d, q},
        [FR_W_O_BIAS] = {d, 1},
        [FR_W_ATTN_POST_NORM] = {d, 1},
        [FR_W_MLP_NORM] = {d, 1},
        [FR_W_MLP_NORM_BIAS] = {d, 1},
        [FR_W_GATE] = {arch->d_ff, d},
        [FR_W_GATE_BIAS] = {arch->d_ff, 1},
        [FR_W_UP] = {arch->d_ff, d},
        [FR_W_UP_BIAS] = {arch->d_ff, 1},
        [FR_W_DOWN] = {d, arch->d_ff},
        [FR_W_DOWN_BIAS] = {d, 1},
        [FR_W_MLP_POST_NORM] = {d, 1},
    };
    binding->n_out = shapes[role][0];
    binding->n_in = shapes[role][1];
}

/* Every role but the matrices, which are the embeddings, the head and seven in a layer. */
static bool is_vector(fr_weight role)
{
    return (role >= FR_W_EMBEDDING_NORM && role <= FR_W_FINAL_NORM_BIAS) ||
           (role >= FR_W_ATTN_NORM && role != FR_W_Q && role != FR_W_K &&
            role != FR_W_V && role != FR_W_O && role != FR_W_GATE && role != FR_W_UP &&
            role != FR_W_DOWN);
}

static bool is_q(fr_weight role)
{
    return role == FR_W_Q || role == FR_W_Q_BIAS;
}

static bool is_k(fr_weight role)
{
    return role == FR_W_K || role == FR_W_K_BIAS;
}

static bool is_v(fr_weight role)
{
    return role == FR_W_V || role == FR_W_V_BIAS;
}

static bool is_norm(fr_weight role)
{
    return role == FR_W_FINAL_NORM || role == FR_W_ATTN_NORM || role == FR_W_Q_NORM ||
           role == FR_W_K_NORM || role == FR_W_ATTN_POST_NORM ||
           role == FR_W_MLP_NORM || role == FR_W_MLP_POST_NORM;
}

/* Where a binding's rows lie in a tensor that holds those of other roles as well. @return the rows of that tensor */
static int64_t place_in_tensor(const fr_weights *weights, fr_weight role,
                               fr_weight_binding *binding)
{
    const fr_arch *arch = &weights->arch;
    const fr_scheme *scheme = weights->scheme;
    int64_t q = arch->n_heads * arch->head_dim;
    int64_t kv = arch->n_kv_heads * arch->head_dim;
    bool is_qkv = is_q(role) || is_k(role) || is_v(role);
    if (scheme->qkv == FR_QKV_STACKED && is_qkv) {
        binding->first = is_q(role) ? 0 : is_k(role) ? q : q + kv;
        return q + 2 * kv;
    }
    if (scheme->qkv == FR_QKV_BY_HEAD && is_qkv) {
        binding->layout = FR_LAYOUT_HEADS;
        binding->first = (is_q(role) ? 0 : is_k(role) ? 1 : 2) * arch->head_dim;
        return 3 * q;
    }
    if (scheme->fused_gate_up && (role == FR_W_GATE || role == FR_W_UP)) {
        binding->first = role == FR_W_GATE ? 0 : arch->d_ff;
        return 2 * arch->d_ff;
    }
    if (role == FR_W_POSITIONS) {
        binding->first = scheme->positions_skip;
        return binding->n_out + scheme->positions_skip;
    }
    return binding->n_out;
}

/* The shape that the tensor of a binding must have, before the binding's part is taken from it. */
static fr_source wanted_tensor(const fr_weights *weights, fr_weight role,
                               fr_weight_binding *binding)
{
    const fr_scheme *scheme = weights->scheme;
    fr_source wanted = {.n_dims = is_vector(role) ? 1 : 2};
    role_shape(&weights->arch, role, binding);
    binding->is_vector = is_vector(role);
    binding->plus = scheme->norms_less_one && is_norm(role) ? 1.0F : 0.0F;
    int64_t rows = place_in_tensor(weights, role, binding);
    if (scheme->rope_pairs && (is_q(role) || is_k(role))) {
        binding->layout = FR_LAYOUT_PAIRS;
    }
    wanted.shape[0] = rows;
    wanted.shape[1] = binding->n_in;
    if (scheme->transposed && role >= FR_W_ATTN_NORM && !is_vector(role)) {
        binding->layout = FR_LAYOUT_COLUMNS;
        wanted.shape[0] = binding->n_in;
        wanted.shape[1] = rows;
    }
    return wanted;
}

/* Equal apart from ones in front, which some writers add and others drop. */
static bool same_shape(const fr_source *a, const fr_source *b)
{
    int max = a->n_dims > b->n_dims ? a->n_dims : b->n_dims;
    for (int back = 1; back <= max; back++) {
        int64_t x = back <= a->n_dims ? a->shape[a->n_dims - back] : 1;
        int64_t y = back <= b->n_dims ? b->shape[b->n_dims - back] : 1;
        if (x != y) {
            return false;
        }
    }
    return true;
}

/* The bytes of a source are already known to be in its file and to match its shape and type, so a
 * source of the wanted shape can be read without further checks. */
static fr_status check_source(fr_ctx *ctx, const fr_weights *weights,
                              const fr_source *source, const fr_source *wanted)
{
    if (source->type == NULL || !source->type->widens) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "%s: tensor %s has type %s, supported: %s; give the model with "
                       "weights of such types",
                       weights->path, fr_show(source->name).text, source->type_name,
                       fr_quant_supported(weights->gguf != NULL).text);
    }
    /* A scalar has the shape of a vector of one to same_shape, but reading needs a last dimension. */
    if (source->n_dims < 1 || !same_shape(source, wanted)) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: tensor %s has shape %s, the model's settings ask for %s",
                       weights->path, fr_show(source->name).text,
                       fr_source_shape(source).text, fr_source_shape(wanted).text);
    }
    return FR_OK;
}

static void role_name(const fr_weights *weights, fr_weight role, int64_t layer,
                      char name[NAME_BYTES])
{
    const fr_scheme *scheme = weights->scheme;
    if (role == FR_W_HEAD) {
        (void)snprintf(name, NAME_BYTES, "%s", weights->head);
    } else if (role < FR_W_ATTN_NORM) {
        (void)snprintf(name, NAME_BYTES, "%s%s", weights->prefix, scheme->names[role]);
    } else {
        (void)snprintf(name, NAME_BYTES, "%s%s%lld.%s", weights->prefix,
                       scheme->layer_prefix, (long long)layer, scheme->names[role]);
    }
}

/* Where head and embedding are one, the files may hold it under either name. */
static fr_source *find_source(const fr_weights *weights, fr_weight role,
                              const char *name)
{
    fr_source *source = fr_weights_find_source(weights, name);
    if (source == NULL && role == FR_W_TOKENS && weights->arch.tied_head) {
        source = fr_weights_find_source(weights, weights->head);
    }
    return source;
}

/* A role that the files lack keeps an empty binding, and fr_weights_has is then false. */
static fr_status bind_role(fr_ctx *ctx, const fr_weights *weights, fr_weight role,
                           int64_t layer)
{
    char name[NAME_BYTES];
    fr_need need = weights->needs[role];
    if (need == FR_NEED_NONE) {
        return FR_OK;
    }
    role_name(weights, role, layer, name);
    fr_source *source = find_source(weights, role, name);
    bool expected =
        need == FR_NEED_ALL || (layer > 0 && fr_weights_has(weights, role, 0));
    if (source == NULL && expected) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: tensor %s is missing%s", weights->path,
                       name,
                       role == FR_W_HEAD
                           ? ", and tie_word_embeddings of config.json is not true; if "
                             "the model's head is its embedding, say so there"
                           : "");
    }
    if (source == NULL) {
        return FR_OK;
    }
    if (need == FR_NEED_SAME_AS_LAYER_0 && layer > 0 && !expected) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: tensor %s is present, but layer 0 has no such tensor",
                       weights->path, name);
    }
    fr_weight_binding *binding = fr_weights_binding(weights, role, layer);
    fr_source wanted = wanted_tensor(weights, role, binding);
    FR_TRY(check_source(ctx, weights, source, &wanted));
    source->used = true;
    binding->source = source;
    return FR_OK;
}

/* Whether the head of the files holds the numbers of the embedding. Nearly always the two are the same bytes or differ
 * in the first row, so this is fast. */
static fr_status compare_head(fr_ctx *ctx, const fr_weights *weights, bool *same)
{
    const fr_weight_binding *tokens = fr_weights_binding(weights, FR_W_TOKENS, 0);
    const fr_weight_binding *head = fr_weights_binding(weights, FR_W_HEAD, 0);
    float *rows = NULL;
    *same = true;
    if (head->source == tokens->source) {
        return FR_OK;
    }
    if (head->source->type == tokens->source->type) {
        *same = memcmp(head->source->data, tokens->source->data,
                       tokens->source->bytes) == 0;
        fr_weights_release(weights);
        return FR_OK;
    }
    FR_TRY(fr_alloc(ctx, 2 * tokens->n_in, sizeof *rows, &rows));
    for (int64_t r = 0; *same && r < tokens->n_out; r++) {
        float *other = rows + tokens->n_in;
        fr_weights_read_rows(weights, FR_W_TOKENS, 0, FR_F32, r, 1, rows);
        fr_weights_read_rows(weights, FR_W_HEAD, 0, FR_F32, r, 1, other);
        *same = memcmp(rows, other, (size_t)tokens->n_in * sizeof *rows) == 0;
    }
    free(rows);
    fr_weights_release(weights);
    return FR_OK;
}

/* A file that says "tied" and holds a head of its own has been trained with that head: the flag is wrong, not the
 * numbers. A head with the embedding's numbers shares its binding, so that it takes memory once. */
static fr_status tie_head(fr_ctx *ctx, fr_weights *weights)
{
    fr_weight_binding *head = fr_weights_binding(weights, FR_W_HEAD, 0);
    if (weights->arch.tied_head && head->source != NULL) {
        FR_TRY(compare_head(ctx, weights, &weights->arch.tied_head));
    }
    if (weights->arch.tied_head) {
        *head = *fr_weights_binding(weights, FR_W_TOKENS, 0);
    }
    return FR_OK;
}

/* Biases, of which a GGUF file may have any: its description says only what layer 0 has, so they are bound by name. */
static bool is_linear_bias(fr_weight role)
{
    return role == FR_W_Q_BIAS || role == FR_W_K_BIAS || role == FR_W_V_BIAS ||
           role == FR_W_O_BIAS || role == FR_W_GATE_BIAS || role == FR_W_UP_BIAS ||
           role == FR_W_DOWN_BIAS;
}

static bool arch_has(const fr_arch *arch, fr_weight role)
{
    const bool layer_norm = arch->norm == FR_NORM_LAYER;
    switch (role) {
    case FR_W_POSITIONS:
        return arch->positions == FR_POSITIONS_LEARNED;
    case FR_W_EMBEDDING_NORM:
    case FR_W_EMBEDDING_NORM_BIAS:
        return arch->embedding_norm;
    case FR_W_FINAL_NORM_BIAS:
        return layer_norm;
    case FR_W_ATTN_NORM:
    case FR_W_ATTN_NORM_BIAS:
        return arch->attn_norm && (layer_norm || role == FR_W_ATTN_NORM);
    case FR_W_MLP_NORM:
    case FR_W_MLP_NORM_BIAS:
        return arch->mlp_norm && (layer_norm || role == FR_W_MLP_NORM);
    case FR_W_ATTN_POST_NORM:
        return arch->attn_post_norm;
    case FR_W_MLP_POST_NORM:
        return arch->mlp_post_norm;
    case FR_W_Q_NORM:
    case FR_W_K_NORM:
        return arch->qk_norm != FR_QK_NORM_NONE;
    case FR_W_Q_BIAS:
    case FR_W_K_BIAS:
    case FR_W_V_BIAS:
        return arch->qkv_bias;
    case FR_W_O_BIAS:
        return arch->o_bias;
    case FR_W_GATE:
        return arch->gated;
    case FR_W_GATE_BIAS:
        return arch->gated && arch->mlp_bias;
    case FR_W_UP_BIAS:
    case FR_W_DOWN_BIAS:
        return arch->mlp_bias;
    default:
        return true;
    }
}

void fr_weights_set_needs(fr_weights *weights)
{
    const fr_arch *arch = &weights->arch;
    bool by_name = weights->gguf != NULL && weights->family->biases_show;
    for (int i = 0; i < FR_W_COUNT; i++) {
        fr_weight role = (fr_weight)i;
        bool is_named = weights->scheme->names[i] != NULL;
        weights->needs[i] = !is_named                         ? FR_NEED_NONE
                            : by_name && is_linear_bias(role) ? FR_NEED_SAME_AS_LAYER_0
                            : arch_has(arch, role)            ? FR_NEED_ALL
                                                              : FR_NEED_NONE;
    }
    if (arch->tied_head && fr_weights_find_source(weights, weights->head) == NULL) {
        weights->needs[FR_W_HEAD] = FR_NEED_NONE;
    }
}

fr_status fr_weights_bind(fr_ctx *ctx, fr_weights *weights)
{
    int64_t per_layer = FR_W_COUNT - N_OUTSIDE;
    int64_t n_bindings = N_OUTSIDE + weights->arch.n_layers * per_layer;
    FR_TRY(fr_alloc(ctx, n_bindings, sizeof *weights->bindings, &weights->bindings));
    for (int role = 0; role < N_OUTSIDE; role++) {
        FR_TRY(bind_role(ctx, weights, (fr_weight)role, 0));
    }
    FR_TRY(tie_head(ctx, weights));
    for (int64_t layer = 0; layer < weights->arch.n_layers; layer++) {
        for (int role = N_OUTSIDE; role < FR_W_COUNT; role++) {
            FR_TRY(bind_role(ctx, weights, (fr_weight)role, layer));
        }
    }
    return FR_OK;
}
