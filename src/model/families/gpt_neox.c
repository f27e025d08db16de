#include "model/families/families.h"
#include "model/families/settings.h"

static const fr_setting SETTINGS[] = {
    {"num_hidden_layers", NULL, "block_count", FR_SETTING_COUNT, FR_FIELD(n_layers), 0},
    {"hidden_size", NULL, "embedding_length", FR_SETTING_COUNT, FR_FIELD(d_model), 0},
    {"intermediate_size", NULL, "feed_forward_length", FR_SETTING_COUNT, FR_FIELD(d_ff),
     0},
    {"num_attention_heads", NULL, "attention.head_count", FR_SETTING_COUNT,
     FR_FIELD(n_heads), 0},
    {"vocab_size", NULL, NULL, FR_SETTING_COUNT, FR_FIELD(vocab_size), 0},
    {"max_position_embeddings", NULL, "context_length", FR_SETTING_COUNT,
     FR_FIELD(context_length), 0},
    {"layer_norm_eps", NULL, "attention.layer_norm_epsilon", FR_SETTING_REAL,
     FR_FIELD(norm_eps), FR_SETTING_GGUF_NEEDS},
    {"tie_word_embeddings", NULL, NULL, FR_SETTING_FLAG, FR_FIELD(tied_head), 0},
    {"use_parallel_residual", NULL, "use_parallel_residual", FR_SETTING_FLAG,
     FR_FIELD(parallel), FR_SETTING_GGUF_NEEDS},
    FR_SETTING_ATTENTION_BIAS,
    FR_SETTING_HIDDEN_ACT,
    FR_SETTINGS_END,
};

#define LAYER(norm1, qkv, o, norm2, up, down)                                          \
    [FR_W_ATTN_NORM] = norm1 ".weight", [FR_W_ATTN_NORM_BIAS] = norm1 ".bias",         \
    [FR_W_Q] = qkv ".weight", [FR_W_Q_BIAS] = qkv ".bias", [FR_W_K] = qkv ".weight",   \
    [FR_W_K_BIAS] = qkv ".bias", [FR_W_V] = qkv ".weight",                             \
    [FR_W_V_BIAS] = qkv ".bias", [FR_W_O] = o ".weight", [FR_W_O_BIAS] = o ".bias",    \
    [FR_W_MLP_NORM] = norm2 ".weight", [FR_W_MLP_NORM_BIAS] = norm2 ".bias",           \
    [FR_W_UP] = up ".weight", [FR_W_UP_BIAS] = up ".bias",                             \
    [FR_W_DOWN] = down ".weight", [FR_W_DOWN_BIAS] = down ".bias"

static const fr_scheme FOLDER = {
    .prefixes = {"gpt_neox.", ""},
    .usual_prefix = "gpt_neox.",
    .layer_prefix = "layers.",
    .mask_prefix = "attention.",
    .qkv = FR_QKV_BY_HEAD,
    .names = {[FR_W_TOKENS] = "embed_in.weight",
              [FR_W_FINAL_NORM] = "final_layer_norm.weight",
              [FR_W_FINAL_NORM_BIAS] = "final_layer_norm.bias",
              [FR_W_HEAD] = "embed_out.weight",
              LAYER("input_layernorm", "attention.query_key_value", "attention.dense",
                    "post_attention_layernorm", "mlp.dense_h_to_4h",
                    "mlp.dense_4h_to_h")},
};

/* The converter has already sorted Q, K and V. */
static const fr_scheme GGUF = {
    FR_PREFIXES_GGUF,
    .qkv = FR_QKV_STACKED,
    .names = {[FR_W_TOKENS] = "token_embd.weight",
              [FR_W_FINAL_NORM] = "output_norm.weight",
              [FR_W_FINAL_NORM_BIAS] = "output_norm.bias",
              [FR_W_HEAD] = "output.weight",
              LAYER("attn_norm", "attn_qkv", "attn_output", "ffn_norm", "ffn_up",
                    "ffn_down")},
};

const fr_family FR_FAMILY_GPT_NEOX = {
    .title = "GPT-NeoX and Pythia",
    .hf_types = {"gpt_neox"},
    .gguf_types = {"gptneox"},
    .arch = {.family = "gpt_neox",
             .norm = FR_NORM_LAYER,
             .norm_eps = 1e-5,
             .attn_norm = true,
             .mlp_norm = true,
             .parallel = true,
             .activation = FR_ACTIVATION_GELU_ERF,
             .qkv_bias = true,
             .o_bias = true,
             .mlp_bias = true,
             FR_ARCH_PLAIN},
    .activations = 1 << FR_ACTIVATION_GELU_ERF | 1 << FR_ACTIVATION_GELU_TANH,
    .width_divides = true,
    .rope = {.theta = 10000.0,
             .theta_key = "rotary_emb_base",
             .partial_key = "rotary_pct",
             .partial = 0.25},
    .settings = {SETTINGS},
    .folder = &FOLDER,
    .gguf = &GGUF,
};
