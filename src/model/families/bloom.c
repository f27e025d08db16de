#include "model/families/families.h"
#include "model/families/settings.h"

/* It has no greatest position; seq_length is what it was trained with. */
static const fr_setting SETTINGS[] = {
    {"n_layer", "num_hidden_layers", NULL, FR_SETTING_COUNT, FR_FIELD(n_layers), 0},
    {"hidden_size", "n_embed", NULL, FR_SETTING_COUNT, FR_FIELD(d_model), 0},
    {"n_head", "num_attention_heads", NULL, FR_SETTING_COUNT, FR_FIELD(n_heads), 0},
    {"vocab_size", NULL, NULL, FR_SETTING_COUNT, FR_FIELD(vocab_size), 0},
    {"seq_length", NULL, NULL, FR_SETTING_COUNT, FR_FIELD(context_length), 0},
    {"layer_norm_epsilon", NULL, NULL, FR_SETTING_REAL, FR_FIELD(norm_eps), 0},
    {"tie_word_embeddings", NULL, NULL, FR_SETTING_FLAG, FR_FIELD(tied_head), 0},
    FR_SETTINGS_END,
};

#define LINEAR(role, bias, name) [role] = name ".weight", [bias] = name ".bias"

static const fr_scheme FOLDER = {
    .prefixes = {"transformer.", ""},
    .usual_prefix = "",
    .layer_prefix = "h.",
    .qkv = FR_QKV_BY_HEAD,
    .names = {[FR_W_TOKENS] = "word_embeddings.weight",
              LINEAR(FR_W_EMBEDDING_NORM, FR_W_EMBEDDING_NORM_BIAS,
                     "word_embeddings_layernorm"),
              LINEAR(FR_W_FINAL_NORM, FR_W_FINAL_NORM_BIAS, "ln_f"),
              [FR_W_HEAD] = "lm_head.weight",
              LINEAR(FR_W_ATTN_NORM, FR_W_ATTN_NORM_BIAS, "input_layernorm"),
              LINEAR(FR_W_Q, FR_W_Q_BIAS, "self_attention.query_key_value"),
              LINEAR(FR_W_K, FR_W_K_BIAS, "self_attention.query_key_value"),
              LINEAR(FR_W_V, FR_W_V_BIAS, "self_attention.query_key_value"),
              LINEAR(FR_W_O, FR_W_O_BIAS, "self_attention.dense"),
              LINEAR(FR_W_MLP_NORM, FR_W_MLP_NORM_BIAS, "post_attention_layernorm"),
              LINEAR(FR_W_UP, FR_W_UP_BIAS, "mlp.dense_h_to_4h"),
              LINEAR(FR_W_DOWN, FR_W_DOWN_BIAS, "mlp.dense_4h_to_h")},
};

const fr_family FR_FAMILY_BLOOM = {
    .title = "BLOOM",
    .hf_types = {"bloom"},
    .arch = {.family = "bloom",
             .context_length = 2048,
             .norm = FR_NORM_LAYER,
             .norm_eps = 1e-5,
             .attn_norm = true,
             .mlp_norm = true,
             .embedding_norm = true,
             .activation = FR_ACTIVATION_GELU_TANH,
             .positions = FR_POSITIONS_ALIBI,
             .tied_head = true,
             .qkv_bias = true,
             .o_bias = true,
             .mlp_bias = true,
             FR_ARCH_PLAIN},
    .ff_times = 4,
    .activations = 1 << FR_ACTIVATION_GELU_TANH,
    .width_divides = true,
    .settings = {SETTINGS},
    .folder = &FOLDER,
};
