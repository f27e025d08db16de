#include "model/families/families.h"
#include "model/families/layers.h"
#include "model/families/settings.h"

/* config.json and GGUF alike hold the number that logits are divided by. */
static const fr_setting SETTINGS[] = {
    FR_SETTING_ATTENTION_BIAS,
    FR_SETTING_MLP_BIAS,
    FR_SETTING_HIDDEN_ACT,
    {"embedding_multiplier", NULL, "embedding_scale", FR_SETTING_REAL,
     FR_FIELD(embedding_scale), 0},
    {"residual_multiplier", NULL, "residual_scale", FR_SETTING_REAL,
     FR_FIELD(residual_scale), 0},
    {"attention_multiplier", NULL, "attention.scale", FR_SETTING_REAL,
     FR_FIELD(attention_scale), FR_SETTING_GGUF_CLEARS},
    {"logits_scaling", NULL, "logit_scale", FR_SETTING_RECIPROCAL,
     FR_FIELD(logit_scale), FR_SETTING_GGUF_NEEDS},
    FR_SETTINGS_END,
};

const fr_family FR_FAMILY_GRANITE = {
    .title = "Granite 3, dense",
    .hf_types = {"granite"},
    .gguf_types = {"granite"},
    .arch = {.family = "granite",
             .norm_eps = 1e-6,
             .attn_norm = true,
             .mlp_norm = true,
             .gated = true,
             .attention_scale = 1.0,
             FR_ARCH_PLAIN},
    .activations = 1 << FR_ACTIVATION_SILU,
    .biases_show = true,
    .rope = {.theta = 10000.0, .theta_key = "rope_theta"},
    .settings = {FR_SETTINGS_SIZES, SETTINGS},
    .finish_hf = fr_hf_no_windows,
    .also_read = {"layer_types"},
    .folder = &FR_SCHEME_LLAMA,
    .gguf = &FR_SCHEME_GGUF_PAIRS,
};
