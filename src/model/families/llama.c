#include "model/families/families.h"
#include "model/families/layers.h"
#include "model/families/settings.h"

static const fr_setting LLAMA_SETTINGS[] = {
    FR_SETTING_ATTENTION_BIAS,
    FR_SETTING_MLP_BIAS,
    FR_SETTING_HIDDEN_ACT,
    {NULL, NULL, "attention.sliding_window", FR_SETTING_COUNT, FR_FIELD(window),
     FR_SETTING_OPTIONAL},
    FR_SETTINGS_END,
};

/* The converter writes Mistral's files as llama, with a window where config.json has one. */
static fr_status finish_gguf(fr_ctx *ctx, const fr_gguf *gguf, fr_arch *arch)
{
    (void)ctx;
    (void)gguf;
    fr_layers_set_window(arch, 1, 1);
    return FR_OK;
}

const fr_family FR_FAMILY_LLAMA = {
    .title = "Llama 1 to 3, SmolLM2 and others of this form",
    .hf_types = {"llama"},
    .gguf_types = {"llama"},
    .arch = {.family = "llama",
             .norm_eps = 1e-6,
             .attn_norm = true,
             .mlp_norm = true,
             .gated = true,
             FR_ARCH_PLAIN},
    .activations = 1 << FR_ACTIVATION_SILU,
    .biases_show = true,
    .rope = {.theta = 10000.0, .theta_key = "rope_theta"},
    .settings = {FR_SETTINGS_SIZES, LLAMA_SETTINGS},
    .finish_hf = fr_hf_no_windows,
    .finish_gguf = finish_gguf,
    .also_read = {"layer_types"},
    .folder = &FR_SCHEME_LLAMA,
    .gguf = &FR_SCHEME_GGUF_PAIRS,
};

static const fr_setting MISTRAL_SETTINGS[] = {
    FR_SETTING_HIDDEN_ACT,
    {"sliding_window", NULL, NULL, FR_SETTING_COUNT, FR_FIELD(window),
     FR_SETTING_NULL_CLEARS},
    FR_SETTINGS_END,
};

/* It never has biases, whatever its file says. */
const fr_family FR_FAMILY_MISTRAL = {
    .title = "Mistral 7B, Nemo, Small",
    .hf_types = {"mistral"},
    .arch = {.family = "llama",
             .norm_eps = 1e-6,
             .n_kv_heads = 8,
             .window = 4096,
             .attn_norm = true,
             .mlp_norm = true,
             .gated = true,
             FR_ARCH_PLAIN},
    .activations = 1 << FR_ACTIVATION_SILU,
    .rope = {.theta = 10000.0, .theta_key = "rope_theta"},
    .settings = {FR_SETTINGS_SIZES, MISTRAL_SETTINGS},
    .finish_hf = fr_hf_windows_everywhere,
    .also_read = {"layer_types"},
    .unread = {"use_sliding_window"},
    .folder = &FR_SCHEME_LLAMA,
};
