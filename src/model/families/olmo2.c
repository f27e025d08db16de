#include "model/families/families.h"
#include "model/families/layers.h"
#include "model/families/settings.h"

static const fr_setting SETTINGS[] = {
    FR_SETTING_ATTENTION_BIAS,
    FR_SETTING_HIDDEN_ACT,
    FR_SETTINGS_END,
};

static const fr_scheme FOLDER = {
    FR_PREFIXES_LLAMA,
    .names =
        {FR_NAMES_LLAMA,
         FR_NAMES_QK_NORM, [FR_W_ATTN_POST_NORM] = "post_attention_layernorm.weight",
         [FR_W_MLP_POST_NORM] = "post_feedforward_layernorm.weight"},
};

static const fr_scheme GGUF = {
    FR_PREFIXES_GGUF,
    .names = {FR_NAMES_GGUF, FR_NAMES_GGUF_POST_NORMS, FR_NAMES_GGUF_QK_NORM},
};

const fr_family FR_FAMILY_OLMO2 = {
    .title = "OLMo 2",
    .hf_types = {"olmo2"},
    .gguf_types = {"olmo2"},
    .limits = "OLMo 3, whose GGUF has the same name and windows",
    .arch = {.family = "olmo2",
             .norm_eps = 1e-5,
             .attn_post_norm = true,
             .mlp_post_norm = true,
             .qk_norm = FR_QK_NORM_WHOLE,
             .gated = true,
             FR_ARCH_PLAIN},
    .activations = 1 << FR_ACTIVATION_SILU,
    .biases_show = true,
    .rope = {.theta = 10000.0, .theta_key = "rope_theta"},
    .settings = {FR_SETTINGS_SIZES, SETTINGS},
    .finish_hf = fr_hf_no_windows,
    .also_read = {"layer_types"},
    .folder = &FOLDER,
    .gguf = &GGUF,
};
