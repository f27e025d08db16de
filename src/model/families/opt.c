#include "model/families/families.h"
#include "model/families/settings.h"

static const fr_setting SETTINGS[] = {
    {"num_hidden_layers", NULL, NULL, FR_SETTING_COUNT, FR_FIELD(n_layers), 0},
    {"hidden_size", NULL, NULL, FR_SETTING_COUNT, FR_FIELD(d_model), 0},
    {"ffn_dim", NULL, NULL, FR_SETTING_COUNT, FR_FIELD(d_ff), 0},
    {"num_attention_heads", NULL, NULL, FR_SETTING_COUNT, FR_FIELD(n_heads), 0},
    {"vocab_size", NULL, NULL, FR_SETTING_COUNT, FR_FIELD(vocab_size), 0},
    {"max_position_embeddings", NULL, NULL, FR_SETTING_COUNT, FR_FIELD(context_length),
     0},
    {"tie_word_embeddings", NULL, NULL, FR_SETTING_FLAG, FR_FIELD(tied_head), 0},
    {"enable_bias", NULL, NULL, FR_SETTING_FLAG, FR_FIELD(qkv_bias), 0},
    {"enable_bias", NULL, NULL, FR_SETTING_FLAG, FR_FIELD(o_bias), 0},
    {"enable_bias", NULL, NULL, FR_SETTING_FLAG, FR_FIELD(mlp_bias), 0},
    {.hf = "activation_function",
     .kind = FR_SETTING_ACTIVATION,
     .field = FR_FIELD(activation)},
    FR_SETTINGS_END,
};

/* OPT-350M projects its embedding and has its norms behind the sums; no other model of the family does. */
static fr_status finish(const fr_hf_fields *f, fr_arch *arch)
{
    int64_t width = arch->d_model;
    FR_TRY(fr_hf_count(f, "word_embed_proj_dim", false, &width));
    if (width != arch->d_model) {
        return FR_FAIL(f->ctx, FR_ERR_UNSUPPORTED,
                       "%s: word_embed_proj_dim is %lld, supported: hidden_size (%lld)",
                       f->path, (long long)width, (long long)arch->d_model);
    }
    return FR_OK;
}

#define LINEAR(role, bias, name) [role] = name ".weight", [bias] = name ".bias"

static const fr_scheme FOLDER = {
    .prefixes = {"model.decoder.", "decoder.", ""},
    .usual_prefix = "model.decoder.",
    .layer_prefix = "layers.",
    .positions_skip = 2,
    .names = {[FR_W_TOKENS] = "embed_tokens.weight",
              [FR_W_POSITIONS] = "embed_positions.weight",
              [FR_W_HEAD] = "lm_head.weight",
              LINEAR(FR_W_FINAL_NORM, FR_W_FINAL_NORM_BIAS, "final_layer_norm"),
              LINEAR(FR_W_ATTN_NORM, FR_W_ATTN_NORM_BIAS, "self_attn_layer_norm"),
              LINEAR(FR_W_Q, FR_W_Q_BIAS, "self_attn.q_proj"),
              LINEAR(FR_W_K, FR_W_K_BIAS, "self_attn.k_proj"),
              LINEAR(FR_W_V, FR_W_V_BIAS, "self_attn.v_proj"),
              LINEAR(FR_W_O, FR_W_O_BIAS, "self_attn.out_proj"),
              LINEAR(FR_W_MLP_NORM, FR_W_MLP_NORM_BIAS, "final_layer_norm"),
              LINEAR(FR_W_UP, FR_W_UP_BIAS, "fc1"),
              LINEAR(FR_W_DOWN, FR_W_DOWN_BIAS, "fc2")},
};

const fr_family FR_FAMILY_OPT = {
    .title = "OPT",
    .hf_types = {"opt"},
    .limits = "OPT-350M (do_layer_norm_before false, word_embed_proj_dim other than "
              "hidden_size)",
    .arch = {.family = "opt",
             .norm = FR_NORM_LAYER,
             .norm_eps = 1e-5,
             .attn_norm = true,
             .mlp_norm = true,
             .activation = FR_ACTIVATION_RELU,
             .positions = FR_POSITIONS_LEARNED,
             .tied_head = true,
             .qkv_bias = true,
             .o_bias = true,
             .mlp_bias = true,
             FR_ARCH_PLAIN},
    .activations = 1 << FR_ACTIVATION_RELU | 1 << FR_ACTIVATION_GELU_ERF,
    .width_divides = true,
    .settings = {SETTINGS},
    .finish_hf = finish,
    .also_read = {"word_embed_proj_dim"},
    .folder = &FOLDER,
};
