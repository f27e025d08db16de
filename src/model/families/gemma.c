#include "model/families/families.h"
#include "model/families/layers.h"
#include "model/families/settings.h"

#include <math.h>

/*
 * Gemma 2 and 3: the norms' weights are stored without their 1 in folders, the embedding is multiplied by the square root of
 * the width, and layers take turns between a window and all positions.
 */

static const fr_setting SHARED_SETTINGS[] = {
    FR_SETTING_ATTENTION_BIAS,
    {.hf = "hidden_activation",
     .kind = FR_SETTING_ACTIVATION,
     .field = FR_FIELD(activation)},
    {"final_logit_softcapping", NULL, "final_logit_softcapping", FR_SETTING_REAL,
     FR_FIELD(logit_cap), FR_SETTING_OPTIONAL | FR_SETTING_NULL_CLEARS},
    FR_SETTINGS_END,
};

static const fr_setting GEMMA2_SETTINGS[] = {
    {"attn_logit_softcapping", NULL, "attn_logit_softcapping", FR_SETTING_REAL,
     FR_FIELD(attention_cap), FR_SETTING_OPTIONAL | FR_SETTING_NULL_CLEARS},
    {"sliding_window", NULL, "attention.sliding_window", FR_SETTING_COUNT,
     FR_FIELD(window), FR_SETTING_NULL_CLEARS},
    FR_SETTINGS_END,
};

static const fr_setting GEMMA3_SETTINGS[] = {
    {"sliding_window", NULL, "attention.sliding_window", FR_SETTING_COUNT,
     FR_FIELD(window), FR_SETTING_NULL_CLEARS | FR_SETTING_GGUF_CLEARS},
    FR_SETTINGS_END,
};

/* 1 / sqrt(of), or the plain scale where that is the same. */
static void set_attention_scale(fr_arch *arch, double of)
{
    arch->attention_scale = of == (double)arch->head_dim ? 0.0 : 1.0 / sqrt(of);
    arch->embedding_scale = sqrt((double)arch->d_model);
}

static fr_status read_attention_scale(const fr_hf_fields *f, fr_arch *arch)
{
    double scalar = 256.0;
    FR_TRY(fr_hf_real(f, "query_pre_attn_scalar", &scalar));
    set_attention_scale(arch, scalar);
    return FR_OK;
}

static fr_status finish_gemma2(const fr_hf_fields *f, fr_arch *arch)
{
    FR_TRY(read_attention_scale(f, arch));
    return fr_hf_windows_but_every(f, arch, NULL, 2);
}

static fr_status finish_gemma3(const fr_hf_fields *f, fr_arch *arch)
{
    FR_TRY(read_attention_scale(f, arch));
    FR_TRY(fr_hf_windows_but_every(f, arch, "sliding_window_pattern", 6));
    fr_layers_rotate_locally(arch);
    return FR_OK;
}

/* GGUF has no key for the scale: the largest model of each kind, known by its number of layers, has another one. */
static void set_gguf_scale(fr_arch *arch, int64_t layers_of_largest)
{
    bool largest = arch->n_layers == layers_of_largest;
    set_attention_scale(arch, largest ? (double)(arch->d_model / arch->n_heads)
                                      : (double)arch->head_dim);
}

static fr_status finish_gemma2_gguf(fr_ctx *ctx, const fr_gguf *gguf, fr_arch *arch)
{
    set_gguf_scale(arch, 46);
    return fr_gguf_windows_but_every(ctx, gguf, "gemma2", 2, arch);
}

static fr_status finish_gemma3_gguf(fr_ctx *ctx, const fr_gguf *gguf, fr_arch *arch)
{
    set_gguf_scale(arch, 62);
    FR_TRY(fr_gguf_windows_but_every(ctx, gguf, "gemma3", 6, arch));
    fr_layers_rotate_locally(arch);
    return FR_OK;
}

#define GEMMA_NORMS                                                                    \
    [FR_W_ATTN_NORM] = "input_layernorm.weight",                                       \
    [FR_W_ATTN_POST_NORM] = "post_attention_layernorm.weight",                         \
    [FR_W_MLP_NORM] = "pre_feedforward_layernorm.weight",                              \
    [FR_W_MLP_POST_NORM] = "post_feedforward_layernorm.weight"

static const fr_scheme GEMMA2_FOLDER = {
    FR_PREFIXES_LLAMA,
    .norms_less_one = true,
    .names = {FR_NAMES_LLAMA, GEMMA_NORMS},
};

static const fr_scheme GEMMA2_GGUF = {
    FR_PREFIXES_GGUF,
    .names = {FR_NAMES_GGUF, FR_NAMES_GGUF_NORMS, FR_NAMES_GGUF_POST_NORMS},
};

static const fr_scheme GEMMA3_FOLDER = {
    FR_PREFIXES_LLAMA,
    .norms_less_one = true,
    .names = {FR_NAMES_LLAMA, GEMMA_NORMS, FR_NAMES_QK_NORM},
};

static const fr_scheme GEMMA3_GGUF = {
    FR_PREFIXES_GGUF,
    .names = {FR_NAMES_GGUF, FR_NAMES_GGUF_NORMS, FR_NAMES_GGUF_POST_NORMS,
              FR_NAMES_GGUF_QK_NORM},
};

const fr_family FR_FAMILY_GEMMA2 = {
    .title = "Gemma 2",
    .hf_types = {"gemma2"},
    .gguf_types = {"gemma2"},
    .arch = {.family = "gemma2",
             .norm_eps = 1e-6,
             .n_kv_heads = 4,
             .head_dim = 256,
             .window = 4096,
             .attention_cap = 50.0,
             .logit_cap = 30.0,
             .attn_norm = true,
             .attn_post_norm = true,
             .mlp_norm = true,
             .mlp_post_norm = true,
             .gated = true,
             .activation = FR_ACTIVATION_GELU_TANH,
             .tied_head = true,
             FR_ARCH_PLAIN},
    .activations = 1 << FR_ACTIVATION_GELU_TANH,
    .biases_show = true,
    .window_cache = true,
    .rope = {.theta = 10000.0, .theta_key = "rope_theta"},
    .settings = {FR_SETTINGS_SIZES, SHARED_SETTINGS, GEMMA2_SETTINGS},
    .finish_hf = finish_gemma2,
    .finish_gguf = finish_gemma2_gguf,
    .also_read = {"layer_types", "query_pre_attn_scalar"},
    .folder = &GEMMA2_FOLDER,
    .gguf = &GEMMA2_GGUF,
};

/* Published files leave out whatever is the default. */
const fr_family FR_FAMILY_GEMMA3 = {
    .title = "Gemma 3, the text part",
    .hf_types = {"gemma3_text"},
    .text_type = "gemma3",
    .gguf_types = {"gemma3"},
    .arch = {.family = "gemma3",
             .n_layers = 26,
             .d_model = 2304,
             .d_ff = 9216,
             .n_heads = 8,
             .n_kv_heads = 4,
             .head_dim = 256,
             .vocab_size = 262208,
             .context_length = 131072,
             .norm_eps = 1e-6,
             .window = 4096,
             .attn_norm = true,
             .attn_post_norm = true,
             .mlp_norm = true,
             .mlp_post_norm = true,
             .qk_norm = FR_QK_NORM_HEAD,
             .gated = true,
             .activation = FR_ACTIVATION_GELU_TANH,
             .tied_head = true,
             FR_ARCH_PLAIN},
    .activations = 1 << FR_ACTIVATION_GELU_TANH,
    .biases_show = true,
    .window_cache = true,
    .rope = {.theta = 1e6, .local_theta = 10000.0, .theta_key = "rope_theta"},
    .settings = {FR_SETTINGS_SIZES, SHARED_SETTINGS, GEMMA3_SETTINGS},
    .finish_hf = finish_gemma3,
    .finish_gguf = finish_gemma3_gguf,
    .also_read = {"layer_types", "query_pre_attn_scalar", "sliding_window_pattern"},
    .folder = &GEMMA3_FOLDER,
    .gguf = &GEMMA3_GGUF,
};
