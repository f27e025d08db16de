#include "model/families/families.h"
#include "model/families/layers.h"
#include "model/families/settings.h"

static const fr_setting SETTINGS[] = {
    FR_SETTING_HIDDEN_ACT,
    {"sliding_window", NULL, "attention.sliding_window", FR_SETTING_COUNT,
     FR_FIELD(window), FR_SETTING_OPTIONAL | FR_SETTING_NULL_CLEARS},
    FR_SETTINGS_END,
};

static fr_status finish_gguf(fr_ctx *ctx, const fr_gguf *gguf, fr_arch *arch)
{
    (void)ctx;
    (void)gguf;
    fr_layers_set_window(arch, 1, 1);
    return FR_OK;
}

static const fr_scheme FOLDER = {
    FR_PREFIXES_LLAMA,
    .qkv = FR_QKV_STACKED,
    .fused_gate_up = true,
    .names =
        {FR_NAMES_LLAMA_NORMS, [FR_W_TOKENS] = "embed_tokens.weight",
         [FR_W_FINAL_NORM] = "norm.weight", [FR_W_HEAD] = "lm_head.weight",
         [FR_W_Q] = "self_attn.qkv_proj.weight", [FR_W_K] = "self_attn.qkv_proj.weight",
         [FR_W_V] = "self_attn.qkv_proj.weight", [FR_W_O] = "self_attn.o_proj.weight",
         [FR_W_GATE] = "mlp.gate_up_proj.weight", [FR_W_UP] = "mlp.gate_up_proj.weight",
         [FR_W_DOWN] = "mlp.down_proj.weight"},
};

static const fr_scheme GGUF = {
    FR_PREFIXES_GGUF,
    .qkv = FR_QKV_STACKED,
    .fused_gate_up = true,
    .names = {FR_NAMES_GGUF_NORMS, [FR_W_TOKENS] = "token_embd.weight",
              [FR_W_FINAL_NORM] = "output_norm.weight", [FR_W_HEAD] = "output.weight",
              [FR_W_Q] = "attn_qkv.weight", [FR_W_K] = "attn_qkv.weight",
              [FR_W_V] = "attn_qkv.weight", [FR_W_O] = "attn_output.weight",
              [FR_W_GATE] = "ffn_up.weight", [FR_W_UP] = "ffn_up.weight",
              [FR_W_DOWN] = "ffn_down.weight"},
};

const fr_family FR_FAMILY_PHI3 = {
    .title = "Phi 3, 3.5 and 4, dense",
    .hf_types = {"phi3"},
    .gguf_types = {"phi3"},
    .arch = {.family = "phi3",
             .norm_eps = 1e-5,
             .attn_norm = true,
             .mlp_norm = true,
             .gated = true,
             FR_ARCH_PLAIN},
    .activations = 1 << FR_ACTIVATION_SILU,
    .rope = {.theta = 10000.0,
             .theta_key = "rope_theta",
             .partial_key = "partial_rotary_factor",
             .partial = 1.0,
             .only_long = true,
             .original_outside = true},
    .settings = {FR_SETTINGS_SIZES, SETTINGS},
    .finish_hf = fr_hf_windows_everywhere,
    .finish_gguf = finish_gguf,
    .also_read = {"layer_types"},
    .folder = &FOLDER,
    .gguf = &GGUF,
};
