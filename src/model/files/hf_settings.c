#include "model/files/hf_settings.h"

#include "device/quant.h"
#include "model/files/names.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROTARY = FR_HF_LLAMA | FR_HF_MISTRAL | FR_HF_QWEN2,
    ALL = ROTARY | FR_HF_GPT2,
};

/* The value of a setting that leaves the arithmetic as it is. Null does so too, for every rule. */
typedef enum neutral {
    NOTHING, /* false, 0 or empty */
    ONE,     /* 1 or 1.0: a factor */
    TRUE,
} neutral;

typedef struct rule {
    const char *name;
    int types; /* fr_hf_type bits */
    neutral neutral;
} rule;

/*
 * Settings that the transformers library reads for these models come first, then those of related architectures. A file
 * with one of the latter was written for another arithmetic than its model_type says. tests/data/model_settings.tsv
 * lists all keys.
 */
static const rule RULES[] = {
    {"is_causal", ALL, TRUE},
    {"is_encoder_decoder", ALL, NOTHING},
    {"add_cross_attention", ALL, NOTHING},
    {"cross_attention_hidden_size", ALL, NOTHING},
    {"per_layer_config", ALL, NOTHING},
    {"pruned_heads", ALL, NOTHING},
    {"use_sliding_window", FR_HF_LLAMA | FR_HF_QWEN2, NOTHING},
    {"partial_rotary_factor", ROTARY, ONE},
    {"scale_attn_weights", FR_HF_GPT2, TRUE},
    {"scale_attn_by_inverse_layer_idx", FR_HF_GPT2, NOTHING},
    {"rotary_pct", ALL, ONE},
    {"alibi", ALL, NOTHING},
    {"no_rope_layers", ALL, NOTHING},
    {"qk_norm", ALL, NOTHING},
    {"use_qk_norm", ALL, NOTHING},
    {"qk_layernorm", ALL, NOTHING},
    {"clip_qkv", ALL, NOTHING},
    {"attention_chunk_size", ALL, NOTHING},
    {"attn_logit_softcapping", ALL, NOTHING},
    {"final_logit_softcapping", ALL, NOTHING},
    {"logits_soft_cap", ALL, NOTHING},
    {"query_pre_attn_scalar", ALL, NOTHING},
    {"attention_multiplier", ALL, NOTHING},
    {"embedding_multiplier", ALL, ONE},
    {"residual_multiplier", ALL, ONE},
    {"logits_scaling", ALL, ONE},
    {"logit_scale", ALL, ONE},
    {"scale_embedding", ALL, NOTHING},
    {"parallel_attn", ALL, NOTHING},
    {"use_parallel_residual", ALL, NOTHING},
    {"num_experts", ALL, NOTHING},
    {"num_local_experts", ALL, NOTHING},
    {"n_routed_experts", ALL, NOTHING},
};

static bool is_nothing(const json_t *value)
{
    if (json_is_number(value)) {
        return json_number_value(value) == 0.0;
    }
    return json_is_false(value) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

static bool is_neutral(const json_t *value, neutral wanted)
{
    switch (wanted) {
    case ONE:
        return json_is_number(value) && json_number_value(value) == 1.0;
    case TRUE:
        return json_is_true(value);
    default:
        return is_nothing(value);
    }
}

static const char *supported(const json_t *value, neutral wanted)
{
    switch (wanted) {
    case ONE:
        return "1";
    case TRUE:
        return "true";
    default:
        return json_is_boolean(value)  ? "false"
               : json_is_number(value) ? "0 or null"
                                       : "null";
    }
}

fr_status fr_hf_check_settings(const fr_hf_fields *fields, fr_hf_type type)
{
    for (size_t i = 0; i < sizeof RULES / sizeof RULES[0]; i++) {
        const rule *r = &RULES[i];
        const json_t *value = fr_hf_get(fields, r->name);
        if (value == NULL || (r->types & (int)type) == 0 ||
            is_neutral(value, r->neutral)) {
            continue;
        }
        char *text =
            json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
        fr_status status =
            FR_FAIL(fields->ctx, FR_ERR_UNSUPPORTED, "%s: %s is %s, supported: %s",
                    fields->path, r->name,
                    text != NULL ? fr_show(fr_text_of(text)).text : "of another type",
                    supported(value, r->neutral));
        free(text);
        return status;
    }
    return FR_OK;
}

fr_status fr_hf_check_quantization(const fr_hf_fields *fields)
{
    static const char *const NAMES[] = {"quantization_config", "compression_config"};
    for (int i = 0; i < 2; i++) {
        const json_t *value = fr_hf_get(fields, NAMES[i]);
        const char *method = json_string_value(json_object_get(value, "quant_method"));
        if (value != NULL) {
            return FR_FAIL(
                fields->ctx, FR_ERR_UNSUPPORTED,
                "%s: %s is set, so the weights are quantised%s%s; supported: "
                "folders with plain weights (%s); give the "
                "unquantised model's folder, or a GGUF file",
                fields->path, NAMES[i], method != NULL ? " by " : "",
                method != NULL ? fr_show(fr_text_of(method)).text : "",
                fr_quant_supported(false).text);
        }
    }
    return FR_OK;
}

/* ---- RoPE -------------------------------------------------------------------------------------- */

/* rope_parameters (new files) or rope_scaling (older ones): absent, null, empty, or of type "default". */
static fr_status read_rope_object(const fr_hf_fields *f, const char *name,
                                  bool *is_there, double *theta)
{
    const json_t *object = fr_hf_get(f, name);
    *is_there = false;
    if (object == NULL) {
        return FR_OK;
    }
    if (!json_is_object(object)) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT, "%s: %s must be an object or null",
                       f->path, name);
    }
    *is_there = json_object_size(object) > 0;
    fr_hf_fields inner = {f->ctx, f->path, object};
    const char *type = NULL;
    double factor = 1.0;
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
    FR_TRY(fr_hf_real(&inner, "partial_rotary_factor", &factor));
    if (factor != 1.0) {
        return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED,
                       "%s: partial_rotary_factor is %g, supported: 1", f->path,
                       factor);
    }
    return fr_hf_real(&inner, "rope_theta", theta);
}

/* The library reads rope_parameters, or rope_scaling alone where both are there, and rope_theta beside them only where
 * the object that it uses has none. Its versions differ in which object that is, so the two must agree. */
fr_status fr_hf_read_rope(const fr_hf_fields *f, double *theta)
{
    bool has_scaling = false;
    bool has_parameters = false;
    double outer = 10000.0;
    FR_TRY(fr_hf_real(f, "rope_theta", &outer));
    double of_scaling = outer;
    double of_parameters = outer;
    FR_TRY(read_rope_object(f, "rope_scaling", &has_scaling, &of_scaling));
    FR_TRY(read_rope_object(f, "rope_parameters", &has_parameters, &of_parameters));
    if (has_scaling && has_parameters && of_scaling != of_parameters) {
        return FR_FAIL(f->ctx, FR_ERR_FORMAT,
                       "%s: rope_scaling means a rope_theta of %g, rope_parameters one "
                       "of %g; leave the one that the model was trained with",
                       f->path, of_scaling, of_parameters);
    }
    *theta = has_scaling ? of_scaling : of_parameters;
    return FR_OK;
}
