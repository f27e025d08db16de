#include "model/families/families.h"
#include "model/families/settings.h"

/* The library reads all sizes under two names. */
static const fr_setting SETTINGS[] = {
    {"n_layer", "num_hidden_layers", "block_count", FR_SETTING_COUNT,
     FR_FIELD(n_layers), 0},
    {"n_embd", "hidden_size", "embedding_length", FR_SETTING_COUNT, FR_FIELD(d_model),
     0},
    {"n_inner", NULL, "feed_forward_length", FR_SETTING_COUNT, FR_FIELD(d_ff),
     FR_SETTING_OPTIONAL | FR_SETTING_GGUF_NEEDS},
    {"n_head", "num_attention_heads", "attention.head_count", FR_SETTING_COUNT,
     FR_FIELD(n_heads), 0},
    {"n_positions", "max_position_embeddings", "context_length", FR_SETTING_COUNT,
     FR_FIELD(context_length), 0},
    {"vocab_size", NULL, NULL, FR_SETTING_COUNT, FR_FIELD(vocab_size), 0},
    {"layer_norm_epsilon", NULL, "attention.layer_norm_epsilon", FR_SETTING_REAL,
     FR_FIELD(norm_eps), FR_SETTING_GGUF_NEEDS},
    {"tie_word_embeddings", NULL, NULL, FR_SETTING_FLAG, FR_FIELD(tied_head), 0},
    {.hf = "activation_function",
     .kind = FR_SETTING_ACTIVATION,
     .field = FR_FIELD(activation)},
    FR_SETTINGS_END,
};

#define NAMES(tokens, positions, norm, head)                                           \
    [FR_W_TOKENS] = tokens, [FR_W_POSITIONS] = positions,                              \
    [FR_W_FINAL_NORM] = norm ".weight", [FR_W_FINAL_NORM_BIAS] = norm ".bias",         \
    [FR_W_HEAD] = head

#define LAYER(norm1, qkv, o, norm2, up, down)                                          \
    [FR_W_ATTN_NORM] = norm1 ".weight", [FR_W_ATTN_NORM_BIAS] = norm1 ".bias",         \
    [FR_W_Q] = qkv ".weight", [FR_W_Q_BIAS] = qkv ".bias", [FR_W_K] = qkv ".weight",   \
    [FR_W_K_BIAS] = qkv ".bias", [FR_W_V] = qkv ".weight",                             \
    [FR_W_V_BIAS] = qkv ".bias", [FR_W_O] = o ".weight", [FR_W_O_BIAS] = o ".bias",    \
    [FR_W_MLP_NORM] = norm2 ".weight", [FR_W_MLP_NORM_BIAS] = norm2 ".bias",           \
    [FR_W_UP] = up ".weight", [FR_W_UP_BIAS] = up ".bias",                             \
    [FR_W_DOWN] = down ".weight", [FR_W_DOWN_BIAS] = down ".bias"

/* Conv1D keeps its matrices as [n_in, n_out]. */
static const fr_scheme FOLDER = {
    .prefixes = {"transformer.", ""},
    .usual_prefix = "",
    .layer_prefix = "h.",
    .mask_prefix = "attn.",
    .qkv = FR_QKV_STACKED,
    .transposed = true,
    .names = {NAMES("wte.weight", "wpe.weight", "ln_f", "lm_head.weight"),
              LAYER("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc",
                    "mlp.c_proj")},
};

/* The converter has already transposed Conv1D's matrices to [n_out, n_in]. */
static const fr_scheme GGUF = {
    FR_PREFIXES_GGUF,
    .qkv = FR_QKV_STACKED,
    .names = {NAMES("token_embd.weight", "position_embd.weight", "output_norm",
                    "output.weight"),
              LAYER("attn_norm", "attn_qkv", "attn_output", "ffn_norm", "ffn_up",
                    "ffn_down")},
};

const fr_family FR_FAMILY_GPT2 = {
    .title = "GPT-2",
    .hf_types = {"gpt2"},
    .gguf_types = {"gpt2"},
    .arch = {.family = "gpt2",
             .norm = FR_NORM_LAYER,
             .norm_eps = 1e-5,
             .attn_norm = true,
             .mlp_norm = true,
             .activation = FR_ACTIVATION_GELU_TANH,
             .positions = FR_POSITIONS_LEARNED,
             .tied_head = true,
             .qkv_bias = true,
             .o_bias = true,
             .mlp_bias = true,
             FR_ARCH_PLAIN},
    .ff_times = 4,
    .activations = 1 << FR_ACTIVATION_GELU_TANH,
    .width_divides = true,
    .settings = {SETTINGS},
    .unread = {"partial_rotary_factor", "use_sliding_window"},
    .folder = &FOLDER,
    .gguf = &GGUF,
};
