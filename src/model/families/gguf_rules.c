#include "model/families/gguf_rules.h"

#include "model/families/families.h"

/* Two values that leave the arithmetic as it is (often the same); flags are 0 and 1. */
typedef struct rule {
    const char *name;
    double neutral;
    double also;
    const char *what; /* what another value means; NULL: the number says enough */
} rule;

/* A family that reads a setting is exempt. tests/data/model_settings.tsv lists all keys. */
static const rule RULES[] = {
    {"attention.causal", 1, 1, NULL},
    {"attention.scale", 0, 0, NULL},
    {"attention.sliding_window", 0, 0, NULL},
    {"attention.output_scale", 1, 0, NULL},
    {"attention.temperature_scale", 0, 0, NULL},
    {"attention.temperature_length", 0, 0, NULL},
    {"attention.max_alibi_bias", 0, 0, NULL},
    {"attention.clamp_kqv", 0, 0, NULL},
    {"attention.q_lora_rank", 0, 0, NULL},
    {"attention.kv_lora_rank", 0, 0, NULL},
    {"attention.key_length_mla", 0, 0, NULL},
    {"attention.value_length_mla", 0, 0, NULL},
    {"attention.shared_kv_layers", 0, 0, NULL},
    {"attention.indexer.head_count", 0, 0, NULL},
    {"attn_logit_softcapping", 0, 0, NULL},
    {"final_logit_softcapping", 0, 0, NULL},
    {"logit_scale", 1, 0, NULL},
    {"embedding_scale", 1, 0, NULL},
    {"residual_scale", 1, 0, NULL},
    {"rope.scaling.alpha", 1, 0, NULL},
    {"rope.scaling.yarn_ext_factor", 0, -1, NULL},
    {"rope.scaling.yarn_log_multiplier", 0, 0, NULL},
    {"rope.dimension_sections", 0, 0, NULL},
    {"use_parallel_residual", 0, 0, NULL},
    {"swin_norm", 0, 0, NULL},
    {"expert_count", 0, 0, FR_IS_EXPERTS},
    {"expert_shared_count", 0, 0, FR_IS_EXPERTS},
    {"nextn_predict_layers", 0, 0, NULL},
    {"full_attention_interval", 0, 0, NULL},
    {"rescale_every_n_layers", 0, 0, NULL},
    {"activation_sparsity_scale", 0, 0, NULL},
    {"altup.num_inputs", 0, 0, NULL},
    {"embedding_length_per_layer_input", 0, 0, NULL},
    {"embedding_length_out", 0, 0, NULL},
    {"n_deepstack_layers", 0, 0, NULL},
    {"swiglu_clamp_exp", 0, 0, NULL},
    {"ssm.state_size", 0, 0, NULL},
};

/* Check a number or flag; a value of another type (a list, a text) is refused. */
static fr_status check_rule(fr_ctx *ctx, const fr_gguf *gguf, const char *key,
                            const rule *r)
{
    double found = r->neutral;
    bool flag = false;
    const fr_gguf_value *value = fr_gguf_find(gguf, key);
    if (value == NULL) {
        return FR_OK;
    }
    bool is_flag = fr_gguf_get_bool(gguf, key, &flag);
    if (is_flag) {
        found = flag ? 1.0 : 0.0;
    } else if (!fr_gguf_get_real(gguf, key, &found)) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "%s: %s is a list or text, supported: %g", fr_gguf_path(gguf),
                       key, r->neutral);
    }
    if (found == r->neutral || found == r->also) {
        return FR_OK;
    }
    if (is_flag) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED, "%s: %s is %s, supported: %s",
                       fr_gguf_path(gguf), key, flag ? "true" : "false",
                       flag ? "false" : "true");
    }
    return FR_FAIL(ctx, FR_ERR_UNSUPPORTED, "%s: %s is %g, supported: %g%s%s",
                   fr_gguf_path(gguf), key, found, r->neutral,
                   r->what != NULL ? "; " : "", r->what != NULL ? r->what : "");
}

fr_status fr_gguf_check_rules(fr_ctx *ctx, const fr_gguf *gguf,
                              const char *architecture, const fr_family *family)
{
    for (size_t i = 0; i < sizeof RULES / sizeof RULES[0]; i++) {
        if (!fr_family_knows_gguf_key(family, RULES[i].name)) {
            fr_gguf_key key = fr_gguf_key_of(architecture, RULES[i].name);
            FR_TRY(check_rule(ctx, gguf, key.text, &RULES[i]));
        }
    }
    return FR_OK;
}
