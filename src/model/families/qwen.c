#include "model/families/families.h"
#include "model/families/layers.h"
#include "model/families/settings.h"

static const fr_setting QWEN2_SETTINGS[] = {
    FR_SETTING_HIDDEN_ACT,
    {"sliding_window", NULL, NULL, FR_SETTING_COUNT, FR_FIELD(window),
     FR_SETTING_NULL_CLEARS},
    FR_SETTINGS_END,
};

/* It always has the biases of q, k and v, whatever its file says. */
const fr_family FR_FAMILY_QWEN2 = {
    .title = "Qwen 2 and 2.5",
    .hf_types = {"qwen2"},
    .gguf_types = {"qwen2"},
    .arch = {.family = "llama",
             .norm_eps = 1e-6,
             .n_kv_heads = 32,
             .window = 4096,
             .attn_norm = true,
             .mlp_norm = true,
             .gated = true,
             .qkv_bias = true,
             FR_ARCH_PLAIN},
    .activations = 1 << FR_ACTIVATION_SILU,
    .biases_show = true,
    .rope = {.theta = 10000.0, .theta_key = "rope_theta"},
    .settings = {FR_SETTINGS_SIZES, QWEN2_SETTINGS},
    .finish_hf = fr_hf_windows_late,
    .also_read = {"layer_types", "use_sliding_window", "max_window_layers"},
    .folder = &FR_SCHEME_LLAMA,
    .gguf = &FR_SCHEME_GGUF_HALVES,
};

static const fr_setting QWEN3_SETTINGS[] = {
    FR_SETTING_ATTENTION_BIAS,
    FR_SETTING_HIDDEN_ACT,
    {"sliding_window", NULL, NULL, FR_SETTING_COUNT, FR_FIELD(window),
     FR_SETTING_NULL_CLEARS},
    FR_SETTINGS_END,
};

static const fr_scheme QWEN3_FOLDER = {
    FR_PREFIXES_LLAMA,
    .names = {FR_NAMES_LLAMA, FR_NAMES_LLAMA_NORMS, FR_NAMES_QK_NORM},
};

static const fr_scheme QWEN3_GGUF = {
    FR_PREFIXES_GGUF,
    .names = {FR_NAMES_GGUF, FR_NAMES_GGUF_NORMS, FR_NAMES_GGUF_QK_NORM},
};

const fr_family FR_FAMILY_QWEN3 = {
    .title = "Qwen 3",
    .hf_types = {"qwen3"},
    .gguf_types = {"qwen3"},
    .arch = {.family = "qwen3",
             .norm_eps = 1e-6,
             .n_kv_heads = 32,
             .head_dim = 128,
             .window = 4096,
             .attn_norm = true,
             .mlp_norm = true,
             .qk_norm = FR_QK_NORM_HEAD,
             .gated = true,
             FR_ARCH_PLAIN},
    .activations = 1 << FR_ACTIVATION_SILU,
    .biases_show = true,
    .rope = {.theta = 10000.0, .theta_key = "rope_theta"},
    .settings = {FR_SETTINGS_SIZES, QWEN3_SETTINGS},
    .finish_hf = fr_hf_windows_late,
    .also_read = {"layer_types", "use_sliding_window", "max_window_layers"},
    .folder = &QWEN3_FOLDER,
    .gguf = &QWEN3_GGUF,
};
