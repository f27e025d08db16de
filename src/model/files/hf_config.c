#include "model/files/hf_config.h"

#include "base/file.h"
#include "model/files/foreign.h"
#include "model/files/hf_json.h"
#include "model/files/hf_settings.h"
#include "model/files/names.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef fr_hf_fields fields;

/*
 * Defaults are those of the configuration classes of the transformers library. A key that would change the arithmetic
 * is accepted only with the value that leaves the arithmetic as it is; hf_settings.c checks most of them. Keys about
 * training, dropout, caches and token ids have no effect and are not read.
 */

static fr_status refuse_count(const fields *f, const char *name, int64_t found,
                              const char *supported)
{
    return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED, "%s: %s is %lld, supported: %s", f->path,
                   name, (long long)found, supported);
}

/* `wanted` holds the usual name of a function, then another name of the same one. */
static fr_status check_function(const fields *f, const char *name,
                                const char *const wanted[2])
{
    const char *found = wanted[0];
    FR_TRY(fr_hf_text(f, name, &found));
    if (strcmp(found, wanted[0]) != 0 && strcmp(found, wanted[1]) != 0) {
        return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED, "%s: %s is %s, supported: %s",
                       f->path, name, fr_show(fr_text_of(found)).text, wanted[0]);
    }
    return FR_OK;
}

/* A window that the context never reaches leaves full attention. For mistral an absent key means 4096. */
static fr_status check_window(const fields *f, bool mistral, int64_t context)
{
    int64_t window = 4096;
    bool present = json_object_get(f->object, "sliding_window") != NULL;
    if (!mistral) {
        return FR_OK; /* hf_settings.c refuses use_sliding_window */
    }
    if (present && fr_hf_get(f, "sliding_window") == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_hf_count(f, "sliding_window", false, &window));
    if (window < context) {
        return refuse_count(f, "sliding_window", window,
                            "null, or not below max_position_embeddings");
    }
    return FR_OK;
}

/* Newer files list the kind of attention of each layer. */
static fr_status check_layer_types(const fields *f)
{
    const json_t *types = fr_hf_get(f, "layer_types");
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (type == NULL || strcmp(type, "full_attention") != 0) {
            return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED,
                           "%s: layer_types has %s, supported: full_attention", f->path,
                           type != NULL ? fr_show(fr_text_of(type)).text
                                        : "a value that is not a string");
        }
    }
    return FR_OK;
}

static fr_status default_head_width(const fields *f, fr_arch *arch)
{
    if (arch->n_heads < 1 || arch->d_model % arch->n_heads != 0) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT,
                       "%s: %lld heads do not divide the model width %lld", f->path,
                       (long long)arch->n_heads, (long long)arch->d_model);
    }
    arch->head_dim = arch->d_model / arch->n_heads;
    return FR_OK;
}

/* Null means as many as heads. Where the key is absent, each type has a default of its own in the library. */
static int64_t default_kv_heads(const fields *f, fr_hf_type type, int64_t n_heads)
{
    if (json_object_get(f->object, "num_key_value_heads") != NULL ||
        type == FR_HF_LLAMA) {
        return n_heads;
    }
    return type == FR_HF_MISTRAL ? 8 : 32;
}

/* mistral never has biases and qwen2 always has those of q, k and v, whatever their files say. */
static fr_status read_llama(const fields *f, fr_hf_type type, fr_hf_config *out)
{
    static const char *const SILU[2] = {"silu", "swish"};
    fr_arch *arch = &out->arch;
    bool mistral = type == FR_HF_MISTRAL;
    bool qwen2 = type == FR_HF_QWEN2;
    *arch = fr_arch_plain();
    arch->family = "llama";
    arch->norm_eps = 1e-6;
    arch->attn_norm = arch->mlp_norm = arch->gated = true;
    FR_TRY(fr_hf_count(f, "num_hidden_layers", true, &arch->n_layers));
    FR_TRY(fr_hf_count(f, "hidden_size", true, &arch->d_model));
    FR_TRY(fr_hf_count(f, "intermediate_size", true, &arch->d_ff));
    FR_TRY(fr_hf_count(f, "num_attention_heads", true, &arch->n_heads));
    arch->n_kv_heads = default_kv_heads(f, type, arch->n_heads);
    FR_TRY(fr_hf_count(f, "num_key_value_heads", false, &arch->n_kv_heads));
    if (fr_hf_get(f, "head_dim") == NULL) {
        FR_TRY(default_head_width(f, arch));
    }
    FR_TRY(fr_hf_count(f, "head_dim", false, &arch->head_dim));
    FR_TRY(fr_hf_count(f, "vocab_size", true, &arch->vocab_size));
    FR_TRY(fr_hf_count(f, "max_position_embeddings", true, &arch->context_length));
    FR_TRY(fr_hf_real(f, "rms_norm_eps", &arch->norm_eps));
    FR_TRY(fr_hf_flag(f, "tie_word_embeddings", &arch->tied_head));
    double theta = 0.0;
    FR_TRY(fr_hf_read_rope(f, &theta));
    arch->rotation = fr_rotation_plain(theta, arch->head_dim);
    FR_TRY(check_function(f, "hidden_act", SILU));
    FR_TRY(check_window(f, mistral, arch->context_length));
    FR_TRY(check_layer_types(f));
    if (!mistral && !qwen2) {
        FR_TRY(fr_hf_flag(f, "attention_bias", &arch->qkv_bias));
        FR_TRY(fr_hf_flag(f, "mlp_bias", &arch->mlp_bias));
    }
    arch->o_bias = arch->qkv_bias;
    arch->qkv_bias = arch->qkv_bias || qwen2;
    return FR_OK;
}

/* GPT-2's settings have two names, and the library reads both. */
static fr_status read_either(const fields *f, const char *name, const char *alias,
                             int64_t *out)
{
    int64_t other = 0;
    bool has_alias = fr_hf_get(f, alias) != NULL;
    FR_TRY(fr_hf_count(f, alias, false, &other));
    *out = other;
    FR_TRY(fr_hf_count(f, name, !has_alias, out));
    if (has_alias && other != *out) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT,
                       "%s: %s is %lld and %s %lld, which mean the same; leave one",
                       f->path, name, (long long)*out, alias, (long long)other);
    }
    return FR_OK;
}

/* Heads divide the width; n_inner null means four times the width; the head is tied by default. */
static fr_status read_gpt2(const fields *f, fr_hf_config *out)
{
    static const char *const GELU_NEW[2] = {"gelu_new", "gelu_pytorch_tanh"};
    fr_arch *arch = &out->arch;
    *arch = fr_arch_plain();
    arch->family = "gpt2";
    arch->norm = FR_NORM_LAYER;
    arch->attn_norm = arch->mlp_norm = true;
    arch->activation = FR_ACTIVATION_GELU_TANH;
    arch->positions = FR_POSITIONS_LEARNED;
    arch->tied_head = true;
    arch->qkv_bias = arch->o_bias = arch->mlp_bias = true;
    FR_TRY(read_either(f, "n_layer", "num_hidden_layers", &arch->n_layers));
    FR_TRY(read_either(f, "n_embd", "hidden_size", &arch->d_model));
    FR_TRY(read_either(f, "n_head", "num_attention_heads", &arch->n_heads));
    FR_TRY(read_either(f, "n_positions", "max_position_embeddings",
                       &arch->context_length));
    FR_TRY(fr_hf_count(f, "vocab_size", true, &arch->vocab_size));
    arch->n_kv_heads = arch->n_heads;
    FR_TRY(default_head_width(f, arch));
    if (fr_hf_get(f, "n_inner") == NULL && arch->d_model <= INT64_MAX / 4) {
        arch->d_ff = 4 * arch->d_model;
    }
    FR_TRY(fr_hf_count(f, "n_inner", false, &arch->d_ff));
    FR_TRY(fr_hf_real(f, "layer_norm_epsilon", &arch->norm_eps));
    FR_TRY(fr_hf_flag(f, "tie_word_embeddings", &arch->tied_head));
    return check_function(f, "activation_function", GELU_NEW);
}

static fr_status read_type(const fields *f, fr_hf_type *out)
{
    static const struct {
        const char *name;
        fr_hf_type type;
    } TYPES[] = {{"llama", FR_HF_LLAMA},
                 {"mistral", FR_HF_MISTRAL},
                 {"qwen2", FR_HF_QWEN2},
                 {"gpt2", FR_HF_GPT2}};
    const char *name = NULL;
    FR_TRY(fr_hf_text(f, "model_type", &name));
    if (name == NULL) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: model_type is missing", f->path);
    }
    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++) {
        if (strcmp(name, TYPES[i].name) == 0) {
            *out = TYPES[i].type;
            return FR_OK;
        }
    }
    return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED,
                   "%s: model_type is %s, supported: llama, mistral, qwen2, gpt2",
                   f->path, fr_show(fr_text_of(name)).text);
}

static fr_status read_fields(const fields *f, fr_hf_config *out)
{
    fr_hf_type type = FR_HF_LLAMA;
    if (!json_is_object(f->object)) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: must be a JSON object", f->path);
    }
    FR_TRY(read_type(f, &type));
    FR_TRY(fr_hf_check_quantization(f));
    FR_TRY(fr_hf_check_settings(f, type));
    if (type == FR_HF_GPT2) {
        FR_TRY(read_gpt2(f, out));
    } else {
        FR_TRY(read_llama(f, type, out));
    }
    return fr_arch_check(f->ctx, f->path, &out->arch);
}

fr_status fr_hf_config_read(fr_ctx *ctx, const char *path, fr_hf_config *out)
{
    json_t *root = NULL;
    *out = (fr_hf_config){.arch = {0}};
    FR_TRY(fr_hf_load(ctx, path, &root));
    fields f = {ctx, path, root};
    fr_status status = read_fields(&f, out);
    json_decref(root);
    return status;
}

fr_status fr_hf_folder_config(fr_ctx *ctx, const char *folder, fr_hf_config *config)
{
    char *path = NULL;
    fr_status status = fr_join_path(ctx, folder, "config.json", &path);
    if (status == FR_OK && !fr_file_exists(path)) {
        status = fr_foreign_folder(ctx, folder);
    }
    if (status == FR_OK) {
        status = fr_hf_config_read(ctx, path, config);
    }
    free(path);
    return status;
}
