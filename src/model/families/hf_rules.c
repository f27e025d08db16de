#include "model/families/hf_rules.h"

#include "device/quant.h"
#include "model/families/families.h"
#include "model/files/names.h"

#include <stdlib.h>
#include <string.h>

/* The value of a setting that leaves the arithmetic as it is. Null does so too, for every rule. */
typedef enum neutral {
    NOTHING, /* false, 0 or empty */
    ONE,     /* 1 or 1.0: a factor */
    TRUE,
} neutral;

typedef struct rule {
    const char *name;
    neutral neutral;
} rule;

/*
 * Settings that the transformers library reads for all models come first, then those of single families: where another
 * family's file has one, it was written for another arithmetic than its model_type says. A family that reads a setting,
 * or whose models have no use for it, is exempt (fr_family_knows_key). tests/data/model_settings.tsv lists all keys.
 */
static const rule RULES[] = {
    {"is_causal", TRUE},
    {"is_encoder_decoder", NOTHING},
    {"add_cross_attention", NOTHING},
    {"cross_attention_hidden_size", NOTHING},
    {"per_layer_config", NOTHING},
    {"pruned_heads", NOTHING},
    {"use_sliding_window", NOTHING},
    {"partial_rotary_factor", ONE},
    {"scale_attn_weights", TRUE},
    {"scale_attn_by_inverse_layer_idx", NOTHING},
    {"rotary_pct", ONE},
    {"alibi", NOTHING},
    {"no_rope_layers", NOTHING},
    {"rope_local_base_freq", NOTHING},
    {"use_bidirectional_attention", NOTHING},
    {"do_layer_norm_before", TRUE},
    {"_remove_final_layer_norm", NOTHING},
    {"layer_norm_elementwise_affine", TRUE},
    {"apply_residual_connection_post_layernorm", NOTHING},
    {"qk_norm", NOTHING},
    {"use_qk_norm", NOTHING},
    {"qk_layernorm", NOTHING},
    {"clip_qkv", NOTHING},
    {"attention_chunk_size", NOTHING},
    {"attn_logit_softcapping", NOTHING},
    {"final_logit_softcapping", NOTHING},
    {"logits_soft_cap", NOTHING},
    {"query_pre_attn_scalar", NOTHING},
    {"attention_multiplier", NOTHING},
    {"embedding_multiplier", ONE},
    {"residual_multiplier", ONE},
    {"logits_scaling", ONE},
    {"logit_scale", ONE},
    {"scale_embedding", NOTHING},
    {"parallel_attn", NOTHING},
    {"use_parallel_residual", NOTHING},
    {"num_experts", NOTHING},
    {"num_local_experts", NOTHING},
    {"n_routed_experts", NOTHING},
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

fr_status fr_hf_check_rules(const fr_hf_fields *fields, const fr_family *family)
{
    for (size_t i = 0; i < sizeof RULES / sizeof RULES[0]; i++) {
        const rule *r = &RULES[i];
        const json_t *value = fr_hf_get(fields, r->name);
        if (value == NULL || is_neutral(value, r->neutral) ||
            fr_family_knows_key(family, r->name)) {
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
