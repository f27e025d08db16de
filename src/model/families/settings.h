/*
 * settings.h - settings that many families share, each list in the form of fr_family.settings.
 */
#ifndef FR_MODEL_FAMILIES_SETTINGS_H
#define FR_MODEL_FAMILIES_SETTINGS_H

#include "model/families/family.h"

/** Sizes of decoders after Llama's names, the tied head and the epsilon of RMS norms. */
extern const fr_setting FR_SETTINGS_SIZES[];

/** attention_bias for q, k, v and o alike. */
#define FR_SETTING_ATTENTION_BIAS                                                      \
    {.hf = "attention_bias", .kind = FR_SETTING_FLAG, .field = FR_FIELD(qkv_bias)},    \
    {                                                                                  \
        .hf = "attention_bias", .kind = FR_SETTING_FLAG, .field = FR_FIELD(o_bias)     \
    }

#define FR_SETTING_MLP_BIAS                                                            \
    {                                                                                  \
        .hf = "mlp_bias", .kind = FR_SETTING_FLAG, .field = FR_FIELD(mlp_bias)         \
    }

#define FR_SETTING_HIDDEN_ACT                                                          \
    {                                                                                  \
        .hf = "hidden_act", .kind = FR_SETTING_ACTIVATION,                             \
        .field = FR_FIELD(activation)                                                  \
    }

#define FR_SETTINGS_END                                                                \
    {                                                                                  \
        .hf = NULL                                                                     \
    }

/** Names of tensors after Llama's; the two norms of a layer differ between families. */
#define FR_NAMES_LLAMA                                                                 \
    [FR_W_TOKENS] = "embed_tokens.weight", [FR_W_FINAL_NORM] = "norm.weight",          \
    [FR_W_HEAD] = "lm_head.weight", [FR_W_Q] = "self_attn.q_proj.weight",              \
    [FR_W_Q_BIAS] = "self_attn.q_proj.bias", [FR_W_K] = "self_attn.k_proj.weight",     \
    [FR_W_K_BIAS] = "self_attn.k_proj.bias", [FR_W_V] = "self_attn.v_proj.weight",     \
    [FR_W_V_BIAS] = "self_attn.v_proj.bias", [FR_W_O] = "self_attn.o_proj.weight",     \
    [FR_W_O_BIAS] = "self_attn.o_proj.bias", [FR_W_GATE] = "mlp.gate_proj.weight",     \
    [FR_W_GATE_BIAS] = "mlp.gate_proj.bias", [FR_W_UP] = "mlp.up_proj.weight",         \
    [FR_W_UP_BIAS] = "mlp.up_proj.bias", [FR_W_DOWN] = "mlp.down_proj.weight",         \
    [FR_W_DOWN_BIAS] = "mlp.down_proj.bias"

#define FR_NAMES_LLAMA_NORMS                                                           \
    [FR_W_ATTN_NORM] = "input_layernorm.weight", [FR_W_MLP_NORM] =                     \
                                                     "post_attention_layernorm.weight"

#define FR_NAMES_QK_NORM                                                               \
    [FR_W_Q_NORM] = "self_attn.q_norm.weight", [FR_W_K_NORM] = "self_attn.k_norm."     \
                                                               "weight"

#define FR_PREFIXES_LLAMA                                                              \
    .prefixes = {"model.", "language_model.model.", "model.language_model.", ""},      \
    .usual_prefix = "model.", .layer_prefix = "layers."

/** Names of tensors in GGUF. */
#define FR_NAMES_GGUF                                                                  \
    [FR_W_TOKENS] = "token_embd.weight", [FR_W_FINAL_NORM] = "output_norm.weight",     \
    [FR_W_HEAD] = "output.weight", [FR_W_Q] = "attn_q.weight",                         \
    [FR_W_Q_BIAS] = "attn_q.bias", [FR_W_K] = "attn_k.weight",                         \
    [FR_W_K_BIAS] = "attn_k.bias", [FR_W_V] = "attn_v.weight",                         \
    [FR_W_V_BIAS] = "attn_v.bias", [FR_W_O] = "attn_output.weight",                    \
    [FR_W_O_BIAS] = "attn_output.bias", [FR_W_GATE] = "ffn_gate.weight",               \
    [FR_W_GATE_BIAS] = "ffn_gate.bias", [FR_W_UP] = "ffn_up.weight",                   \
    [FR_W_UP_BIAS] = "ffn_up.bias", [FR_W_DOWN] = "ffn_down.weight",                   \
    [FR_W_DOWN_BIAS] = "ffn_down.bias"

#define FR_NAMES_GGUF_NORMS                                                            \
    [FR_W_ATTN_NORM] = "attn_norm.weight", [FR_W_MLP_NORM] = "ffn_norm.weight"

#define FR_NAMES_GGUF_POST_NORMS                                                       \
    [FR_W_ATTN_POST_NORM] = "post_attention_norm.weight", [FR_W_MLP_POST_NORM] =       \
                                                              "post_ffw_norm.weight"

#define FR_NAMES_GGUF_QK_NORM                                                          \
    [FR_W_Q_NORM] = "attn_q_norm.weight", [FR_W_K_NORM] = "attn_k_norm.weight"

#define FR_PREFIXES_GGUF .prefixes = {""}, .usual_prefix = "", .layer_prefix = "blk."

/** Llama's names in a folder; those of GGUF with its rows of Q and K in adjacent RoPE pairs, and in halves. */
extern const fr_scheme FR_SCHEME_LLAMA;
extern const fr_scheme FR_SCHEME_GGUF_PAIRS;
extern const fr_scheme FR_SCHEME_GGUF_HALVES;

#endif
