#include "model/families/families.h"
#include "model/families/layers.h"
#include "model/families/settings.h"

static const fr_setting SETTINGS[] = {
    FR_SETTING_ATTENTION_BIAS,
    FR_SETTING_MLP_BIAS,
    FR_SETTING_HIDDEN_ACT,
    {"sliding_window", NULL, NULL, FR_SETTING_COUNT, FR_FIELD(window),
     FR_SETTING_OPTIONAL | FR_SETTING_NULL_CLEARS},
    FR_SETTINGS_END,
};

/* GGUF has no key for it: each fourth layer. */
static fr_status finish_gguf(fr_ctx *ctx, const fr_gguf *gguf, fr_arch *arch)
{
    (void)ctx;
    (void)gguf;
    fr_layers_stop_rotation(arch, 4);
    return FR_OK;
}

const fr_family FR_FAMILY_SMOLLM3 = {
    .title = "SmolLM3",
    .hf_types = {"smollm3"},
    .gguf_types = {"smollm3"},
    .arch = {.family = "smollm3",
             .norm_eps = 1e-6,
             .n_kv_heads = 4,
             .attn_norm = true,
             .mlp_norm = true,
             .gated = true,
             .tied_head = true,
             FR_ARCH_PLAIN},
    .activations = 1 << FR_ACTIVATION_SILU,
    .biases_show = true,
    .rope = {.theta = 2e6, .theta_key = "rope_theta"},
    .settings = {FR_SETTINGS_SIZES, SETTINGS},
    .finish_hf = fr_hf_windows_unrotated,
    .finish_gguf = finish_gguf,
    .also_read = {"layer_types", "use_sliding_window", "no_rope_layers",
                  "no_rope_layer_interval"},
    .folder = &FR_SCHEME_LLAMA,
    .gguf = &FR_SCHEME_GGUF_PAIRS,
};
