#include "model/files/gguf_settings.h"

#include "model/files/names.h"

#include <stdio.h>
#include <string.h>

/* ---- what kind of file --------------------------------------------------------------------------- */

static fr_status check_whole(fr_ctx *ctx, const fr_gguf *gguf)
{
    int64_t count = 1;
    int64_t number = 0;
    (void)fr_gguf_get_int(gguf, "split.count", &count);
    (void)fr_gguf_get_int(gguf, "split.no", &number);
    if (count <= 1) {
        return FR_OK;
    }
    return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                   "%s: the file is part %lld of %lld of a model; merge the parts with "
                   "'llama-gguf-split --merge FIRST_PART.gguf WHOLE.gguf' and give the "
                   "whole",
                   fr_gguf_path(gguf), (long long)number + 1, (long long)count);
}

fr_status fr_gguf_check_kind(fr_ctx *ctx, const fr_gguf *gguf)
{
    static const struct {
        const char *key;
        const char *value;
        const char *what;
    } KINDS[] = {
        {"general.type", "adapter",
         "an adapter; give the model that it changes, or merge it into that first "
         "(llama-export-lora)"},
        {"general.type", "mmproj",
         "a projector for images or sound; give the language model that belongs to it"},
        {"general.type", "imatrix",
         "an importance matrix, which tools use to quantise; give the model itself"},
        {"general.type", "vocab",
         "a vocabulary without weights; give the model itself"},
        {"general.architecture", "clip",
         "a projector for images or sound; give the language model that belongs to it"},
        {"general.architecture", "imatrix",
         "an importance matrix, which tools use to quantise; give the model itself"},
    };
    fr_text found = {NULL, 0};
    FR_TRY(check_whole(ctx, gguf));
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (fr_gguf_get_text(gguf, KINDS[i].key, &found) &&
            fr_text_is(found, KINDS[i].value)) {
            return FR_FAIL(ctx, FR_ERR_UNSUPPORTED, "%s: %s is %s: it is %s",
                           fr_gguf_path(gguf), KINDS[i].key, KINDS[i].value,
                           KINDS[i].what);
        }
    }
    if (fr_gguf_get_text(gguf, "general.type", &found) && !fr_text_is(found, "model")) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "%s: general.type is %s, supported: model", fr_gguf_path(gguf),
                       fr_show(found).text);
    }
    return FR_OK;
}

/* ---- settings ----------------------------------------------------------------------------------- */

/* An architecture's name is one of two short ones here, and keys stay below 50 bytes. */
enum { KEY_BYTES = 96 };

typedef struct key_text {
    char text[KEY_BYTES];
} key_text;

static key_text key_of(const char *architecture, const char *name)
{
    key_text key = {{0}};
    (void)snprintf(key.text, sizeof key.text, "%s.%s", architecture, name);
    return key;
}

/* Two values that leave the arithmetic as it is (often the same); flags are 0 and 1. */
typedef struct rule {
    const char *name;
    double neutral;
    double also;
} rule;

/* tests/data/model_settings.tsv lists all keys. */
static const rule RULES[] = {
    {"attention.causal", 1, 1},
    {"attention.scale", 0, 0},
    {"attention.output_scale", 1, 0},
    {"attention.temperature_scale", 0, 0},
    {"attention.temperature_length", 0, 0},
    {"attention.max_alibi_bias", 0, 0},
    {"attention.clamp_kqv", 0, 0},
    {"attention.q_lora_rank", 0, 0},
    {"attention.kv_lora_rank", 0, 0},
    {"attention.key_length_mla", 0, 0},
    {"attention.value_length_mla", 0, 0},
    {"attention.shared_kv_layers", 0, 0},
    {"attention.indexer.head_count", 0, 0},
    {"attn_logit_softcapping", 0, 0},
    {"final_logit_softcapping", 0, 0},
    {"logit_scale", 1, 0},
    {"embedding_scale", 1, 0},
    {"residual_scale", 1, 0},
    {"rope.scaling.attn_factor", 1, 1},
    {"rope.scaling.alpha", 1, 0},
    {"rope.scaling.yarn_ext_factor", 0, -1},
    {"rope.scaling.yarn_attn_factor", 1, -1},
    {"rope.scaling.yarn_log_multiplier", 0, 0},
    {"rope.dimension_sections", 0, 0},
    {"use_parallel_residual", 0, 0},
    {"swin_norm", 0, 0},
    {"expert_count", 0, 0},
    {"expert_shared_count", 0, 0},
    {"nextn_predict_layers", 0, 0},
    {"full_attention_interval", 0, 0},
    {"rescale_every_n_layers", 0, 0},
    {"activation_sparsity_scale", 0, 0},
    {"altup.num_inputs", 0, 0},
    {"embedding_length_per_layer_input", 0, 0},
    {"embedding_length_out", 0, 0},
    {"n_deepstack_layers", 0, 0},
    {"swiglu_clamp_exp", 0, 0},
    {"ssm.state_size", 0, 0},
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
    return FR_FAIL(ctx, FR_ERR_UNSUPPORTED, "%s: %s is %g, supported: %g",
                   fr_gguf_path(gguf), key, found, r->neutral);
}

/* A factor is used only where no type is given, as in files from before the type existed; 0 means none. */
static fr_status check_rope_scaling(fr_ctx *ctx, const fr_gguf *gguf,
                                    const char *architecture)
{
    static const char *const FACTORS[] = {"rope.scale_linear", "rope.scaling.factor"};
    key_text key = key_of(architecture, "rope.scaling.type");
    fr_text type = {NULL, 0};
    bool is_text = fr_gguf_get_text(gguf, key.text, &type);
    if (fr_gguf_find(gguf, key.text) != NULL && !is_text) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: %s must be a string",
                       fr_gguf_path(gguf), key.text);
    }
    if (is_text && !fr_text_is(type, "none")) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED, "%s: %s is %s, supported: none",
                       fr_gguf_path(gguf), key.text, fr_show(type).text);
    }
    for (int i = 0; i < 2 && !is_text; i++) {
        rule factor = {FACTORS[i], 1, 0};
        key = key_of(architecture, FACTORS[i]);
        FR_TRY(check_rule(ctx, gguf, key.text, &factor));
    }
    return FR_OK;
}

/* A window that the context never reaches leaves full attention; 0 means none. */
static fr_status check_window(fr_ctx *ctx, const fr_gguf *gguf,
                              const char *architecture, int64_t context)
{
    key_text key = key_of(architecture, "attention.sliding_window");
    int64_t window = 0;
    bool is_count = fr_gguf_get_int(gguf, key.text, &window);
    if (!is_count && fr_gguf_find(gguf, key.text) != NULL) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: %s is of another type, must be an integer",
                       fr_gguf_path(gguf), key.text);
    }
    if (window > 0 && window < context) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "%s: %s is %lld, supported: none shorter than the context of "
                       "%lld",
                       fr_gguf_path(gguf), key.text, (long long)window,
                       (long long)context);
    }
    return FR_OK;
}

fr_status fr_gguf_check_settings(fr_ctx *ctx, const fr_gguf *gguf,
                                 const char *architecture, int64_t context)
{
    FR_TRY(check_rope_scaling(ctx, gguf, architecture));
    FR_TRY(check_window(ctx, gguf, architecture, context));
    for (size_t i = 0; i < sizeof RULES / sizeof RULES[0]; i++) {
        key_text key = key_of(architecture, RULES[i].name);
        FR_TRY(check_rule(ctx, gguf, key.text, &RULES[i]));
    }
    if (fr_gguf_find_tensor(gguf, "rope_freqs.weight") != NULL) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "%s: tensor rope_freqs.weight (RoPE frequency factors) is "
                       "unsupported; supported: models without RoPE scaling",
                       fr_gguf_path(gguf));
    }
    return FR_OK;
}
