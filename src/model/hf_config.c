#include "model/hf_config.h"

#include "base/file.h"
#include "model/hf_json.h"
#include "model/names.h"

#include <jansson.h>
#include <string.h>

typedef fr_hf_fields fields;

/*
 * Defaults are those of the library's configuration classes. A key that would change the arithmetic is
 * accepted only with the value that leaves it as it is here; keys about training, dropout, caches and
 * token ids have no effect and are not looked at.
 */

static fr_status refuse_count(const fields *f, const char *name, int64_t found,
                              const char *supported)
{
    return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED, "%s: %s is %lld, supported: %s", f->path,
                   name, (long long)found, supported);
}

static fr_status check_flag(const fields *f, const char *name, bool wanted)
{
    bool found = wanted;
    FR_TRY(fr_hf_flag(f, name, &found));
    if (found != wanted) {
        return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED, "%s: %s is %s, supported: %s",
                       f->path, name, found ? "true" : "false",
                       wanted ? "true" : "false");
    }
    return FR_OK;
}

static fr_status check_text(const fields *f, const char *name, const char *wanted)
{
    const char *found = wanted;
    FR_TRY(fr_hf_text(f, name, &found));
    if (strcmp(found, wanted) != 0) {
        return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED, "%s: %s is %s, supported: %s",
                       f->path, name, fr_show(fr_text_of(found)).text, wanted);
    }
    return FR_OK;
}

static fr_status check_whole_rotation(const fields *f)
{
    double factor = 1.0;
    FR_TRY(fr_hf_real(f, "partial_rotary_factor", &factor));
    if (factor != 1.0) {
        return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED,
                       "%s: partial_rotary_factor is %g, supported: 1", f->path,
                       factor);
    }
    return FR_OK;
}

/* rope_parameters (new files) or rope_scaling (older ones): absent, null, or of type "default". */
static fr_status read_rope_object(const fields *f, const char *name, double *theta)
{
    const json_t *object = fr_hf_get(f, name);
    if (object == NULL) {
        return FR_OK;
    }
    if (!json_is_object(object)) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: %s must be an object or null",
                       f->path, name);
    }
    fields inner = {f->ctx, f->path, object};
    const char *type = NULL;
    FR_TRY(fr_hf_text(&inner, "type", &type));
    FR_TRY(fr_hf_text(&inner, "rope_type", &type));
    size_t n_known = fr_hf_get(&inner, "rope_theta") != NULL ? 1 : 0;
    if (type == NULL && json_object_size(object) > n_known) {
        return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED,
                       "%s: %s has no rope_type; supported: default", f->path, name);
    }
    if (type != NULL && strcmp(type, "default") != 0) {
        return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED, "%s: %s type %s, supported: default",
                       f->path, name, fr_show(fr_text_of(type)).text);
    }
    FR_TRY(check_whole_rotation(&inner));
    return fr_hf_real(&inner, "rope_theta", theta);
}

static fr_status read_rope(const fields *f, double *theta)
{
    *theta = 10000.0;
    FR_TRY(fr_hf_real(f, "rope_theta", theta));
    FR_TRY(check_whole_rotation(f));
    FR_TRY(read_rope_object(f, "rope_scaling", theta));
    return read_rope_object(f, "rope_parameters", theta);
}

/* A window that the context never reaches leaves full attention. An absent key means 4096 to mistral. */
static fr_status check_window(const fields *f, bool mistral, int64_t context)
{
    int64_t window = 4096;
    bool present = json_object_get(f->object, "sliding_window") != NULL;
    if (!mistral) {
        return check_flag(f, "use_sliding_window", false);
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
                           type != NULL ? fr_show(fr_text_of(type)).text : "no text");
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

/* mistral never has biases and qwen2 always has those of q, k and v, whatever their files say. */
static fr_status read_llama(const fields *f, const char *type, fr_hf_config *out)
{
    fr_arch *arch = &out->arch;
    bool mistral = strcmp(type, "mistral") == 0;
    bool qwen2 = strcmp(type, "qwen2") == 0;
    arch->family = FR_LLAMA;
    arch->norm_eps = 1e-6;
    FR_TRY(fr_hf_count(f, "num_hidden_layers", true, &arch->n_layers));
    FR_TRY(fr_hf_count(f, "hidden_size", true, &arch->d_model));
    FR_TRY(fr_hf_count(f, "intermediate_size", true, &arch->d_ff));
    FR_TRY(fr_hf_count(f, "num_attention_heads", true, &arch->n_heads));
    arch->n_kv_heads = arch->n_heads;
    FR_TRY(fr_hf_count(f, "num_key_value_heads", false, &arch->n_kv_heads));
    if (fr_hf_get(f, "head_dim") == NULL) {
        FR_TRY(default_head_width(f, arch));
    }
    FR_TRY(fr_hf_count(f, "head_dim", false, &arch->head_dim));
    FR_TRY(fr_hf_count(f, "vocab_size", true, &arch->vocab_size));
    FR_TRY(fr_hf_count(f, "max_position_embeddings", true, &arch->context_length));
    FR_TRY(fr_hf_real(f, "rms_norm_eps", &arch->norm_eps));
    FR_TRY(fr_hf_flag(f, "tie_word_embeddings", &arch->tied_head));
    FR_TRY(read_rope(f, &arch->rope_theta));
    FR_TRY(check_text(f, "hidden_act", "silu"));
    FR_TRY(check_window(f, mistral, arch->context_length));
    FR_TRY(check_layer_types(f));
    if (!mistral && !qwen2) {
        FR_TRY(fr_hf_flag(f, "attention_bias", &arch->attention_bias));
        FR_TRY(fr_hf_flag(f, "mlp_bias", &arch->mlp_bias));
    }
    out->o_bias = arch->attention_bias;
    arch->attention_bias = arch->attention_bias || qwen2;
    return FR_OK;
}

/* Heads divide the width; n_inner null means four times the width; the head is tied by default. */
static fr_status read_gpt2(const fields *f, fr_hf_config *out)
{
    fr_arch *arch = &out->arch;
    arch->family = FR_GPT2;
    arch->norm_eps = 1e-5;
    arch->tied_head = true;
    arch->attention_bias = true;
    arch->mlp_bias = true;
    out->o_bias = true;
    FR_TRY(fr_hf_count(f, "n_layer", true, &arch->n_layers));
    FR_TRY(fr_hf_count(f, "n_embd", true, &arch->d_model));
    FR_TRY(fr_hf_count(f, "n_head", true, &arch->n_heads));
    FR_TRY(fr_hf_count(f, "n_positions", true, &arch->context_length));
    FR_TRY(fr_hf_count(f, "vocab_size", true, &arch->vocab_size));
    arch->n_kv_heads = arch->n_heads;
    FR_TRY(default_head_width(f, arch));
    if (fr_hf_get(f, "n_inner") == NULL && arch->d_model <= INT64_MAX / 4) {
        arch->d_ff = 4 * arch->d_model;
    }
    FR_TRY(fr_hf_count(f, "n_inner", false, &arch->d_ff));
    FR_TRY(fr_hf_real(f, "layer_norm_epsilon", &arch->norm_eps));
    FR_TRY(fr_hf_flag(f, "tie_word_embeddings", &arch->tied_head));
    FR_TRY(check_text(f, "activation_function", "gelu_new"));
    FR_TRY(check_flag(f, "scale_attn_weights", true));
    FR_TRY(check_flag(f, "scale_attn_by_inverse_layer_idx", false));
    return check_flag(f, "add_cross_attention", false);
}

static fr_status read_fields(const fields *f, fr_hf_config *out)
{
    const char *type = NULL;
    if (!json_is_object(f->object)) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: must be a JSON object", f->path);
    }
    FR_TRY(fr_hf_text(f, "model_type", &type));
    if (type == NULL) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: model_type is missing", f->path);
    }
    if (fr_hf_get(f, "quantization_config") != NULL) {
        return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED,
                       "%s: quantization_config is set, supported: folders with plain "
                       "F32, F16 or BF16 weights, or a GGUF file",
                       f->path);
    }
    if (strcmp(type, "gpt2") == 0) {
        FR_TRY(read_gpt2(f, out));
    } else if (strcmp(type, "llama") == 0 || strcmp(type, "mistral") == 0 ||
               strcmp(type, "qwen2") == 0) {
        FR_TRY(read_llama(f, type, out));
    } else {
        return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED,
                       "%s: model_type is %s, supported: llama, mistral, qwen2, gpt2",
                       f->path, fr_show(fr_text_of(type)).text);
    }
    return fr_arch_check(f->ctx, f->path, &out->arch);
}

fr_status fr_hf_config_read(fr_ctx *ctx, const char *path, fr_hf_config *out)
{
    json_t *root = NULL;
    *out = (fr_hf_config){.o_bias = false};
    FR_TRY(fr_hf_load(ctx, path, &root));
    fields f = {ctx, path, root};
    fr_status status = read_fields(&f, out);
    json_decref(root);
    return status;
}
