#include "device/quant.h"
#include "model/files/safetensors.h"
#include "model/weights/weights.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 128 };

/* Old and new name, and how the tensor changes. */
typedef struct rename_rule {
    const char *from;
    const char *to;
    enum { KEEP, PAIR_Q, PAIR_K, TRANSPOSE } change;
} rename_rule;

static const rename_rule LLAMA[] = {
    {"input_layernorm.weight", "attn_norm.weight", KEEP},
    {"self_attn.q_proj.weight", "attn_q.weight", PAIR_Q},
    {"self_attn.q_proj.bias", "attn_q.bias", PAIR_Q},
    {"self_attn.k_proj.weight", "attn_k.weight", PAIR_K},
    {"self_attn.k_proj.bias", "attn_k.bias", PAIR_K},
    {"self_attn.v_proj.weight", "attn_v.weight", KEEP},
    {"self_attn.v_proj.bias", "attn_v.bias", KEEP},
    {"self_attn.o_proj.weight", "attn_output.weight", KEEP},
    {"self_attn.o_proj.bias", "attn_output.bias", KEEP},
    {"post_attention_layernorm.weight", "ffn_norm.weight", KEEP},
    {"mlp.gate_proj.weight", "ffn_gate.weight", KEEP},
    {"mlp.up_proj.weight", "ffn_up.weight", KEEP},
    {"mlp.down_proj.weight", "ffn_down.weight", KEEP},
    {"model.embed_tokens.weight", "token_embd.weight", KEEP},
    {"model.norm.weight", "output_norm.weight", KEEP},
    {"lm_head.weight", "output.weight", KEEP},
};

static const rename_rule GPT2[] = {
    {"ln_1.weight", "attn_norm.weight", KEEP},
    {"ln_1.bias", "attn_norm.bias", KEEP},
    {"attn.c_attn.weight", "attn_qkv.weight", TRANSPOSE},
    {"attn.c_attn.bias", "attn_qkv.bias", KEEP},
    {"attn.c_proj.weight", "attn_output.weight", TRANSPOSE},
    {"attn.c_proj.bias", "attn_output.bias", KEEP},
    {"ln_2.weight", "ffn_norm.weight", KEEP},
    {"ln_2.bias", "ffn_norm.bias", KEEP},
    {"mlp.c_fc.weight", "ffn_up.weight", TRANSPOSE},
    {"mlp.c_fc.bias", "ffn_up.bias", KEEP},
    {"mlp.c_proj.weight", "ffn_down.weight", TRANSPOSE},
    {"mlp.c_proj.bias", "ffn_down.bias", KEEP},
    {"wte.weight", "token_embd.weight", KEEP},
    {"wpe.weight", "position_embd.weight", KEEP},
    {"ln_f.weight", "output_norm.weight", KEEP},
    {"ln_f.bias", "output_norm.bias", KEEP},
};

static void set_count(fr_gguf_writer *writer, const char *family, const char *name,
                      int64_t value)
{
    char key[NAME_BYTES];
    (void)snprintf(key, sizeof key, "%s.%s", family, name);
    fr_gguf_writer_set_u32(writer, key, (uint32_t)value);
}

static void add_settings(fr_gguf_writer *writer, const fr_arch *arch)
{
    const char *family = arch->family;
    fr_gguf_writer_set_text(writer, "general.architecture", family);
    set_count(writer, family, "block_count", arch->n_layers);
    set_count(writer, family, "embedding_length", arch->d_model);
    set_count(writer, family, "feed_forward_length", arch->d_ff);
    set_count(writer, family, "context_length", arch->context_length);
    set_count(writer, family, "attention.head_count", arch->n_heads);
    if (arch->positions == FR_POSITIONS_LEARNED) {
        fr_gguf_writer_set_f32(writer, "gpt2.attention.layer_norm_epsilon",
                               (float)arch->norm_eps);
        return;
    }
    set_count(writer, family, "attention.head_count_kv", arch->n_kv_heads);
    set_count(writer, family, "attention.key_length", arch->head_dim);
    set_count(writer, family, "attention.value_length", arch->head_dim);
    set_count(writer, family, "rope.dimension_count", arch->head_dim);
    fr_gguf_writer_set_f32(writer, "llama.rope.freq_base", (float)arch->rotation.theta);
    fr_gguf_writer_set_f32(writer, "llama.attention.layer_norm_rms_epsilon",
                           (float)arch->norm_eps);
}

/* [heads, 2, K/2, width] -> [heads, K/2, 2, width] */
static void pair_rows(const float *in, int64_t n_heads, int64_t half, int64_t width,
                      float *out)
{
    for (int64_t head = 0; head < n_heads; head++) {
        for (int64_t i = 0; i < half; i++) {
            for (int64_t side = 0; side < 2; side++) {
                const float *from = in + ((head * 2 + side) * half + i) * width;
                float *to = out + ((head * half + i) * 2 + side) * width;
                memcpy(to, from, (size_t)width * sizeof *to);
            }
        }
    }
}

static void transpose(const float *in, int64_t rows, int64_t columns, float *out)
{
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c++) {
            out[c * rows + r] = in[r * columns + c];
        }
    }
}

static void add_tensor(fr_gguf_writer *writer, const fr_arch *arch,
                       const fr_safetensor *tensor, const rename_rule *rule,
                       const char *name)
{
    bool vector = tensor->n_dims == 1;
    int64_t rows = tensor->shape[0];
    int64_t columns = vector ? 1 : tensor->shape[1];
    float *in = fr_test_memory(malloc(tensor->bytes));
    float *out = fr_test_memory(malloc(tensor->bytes));
    memcpy(in, tensor->data, tensor->bytes);
    memcpy(out, tensor->data, tensor->bytes);
    int64_t out_rows = vector ? 0 : rows;
    int64_t out_columns = vector ? rows : columns;
    if (rule->change == PAIR_Q || rule->change == PAIR_K) {
        int64_t heads = rule->change == PAIR_Q ? arch->n_heads : arch->n_kv_heads;
        pair_rows(in, heads, arch->head_dim / 2, columns, out);
    } else if (rule->change == TRANSPOSE) {
        transpose(in, rows, columns, out);
        out_rows = columns;
        out_columns = rows;
    }
    fr_gguf_writer_set_tensor(writer, name, FR_QUANT_F32, out_rows, out_columns, out);
    free(in);
    free(out);
}

/* "model.layers.3.mlp.up_proj.weight" matches the rule for "mlp.up_proj.weight" with layer 3. */
static bool apply_rule(const char *name, const rename_rule *rule, const char *prefix,
                       char out[NAME_BYTES])
{
    size_t length = strlen(prefix);
    if (strncmp(name, prefix, length) != 0) {
        (void)snprintf(out, NAME_BYTES, "%s", rule->to);
        return strcmp(name, rule->from) == 0;
    }
    char *rest = NULL;
    long layer = strtol(name + length, &rest, 10);
    (void)snprintf(out, NAME_BYTES, "blk.%ld.%s", layer, rule->to);
    return strcmp(rest + 1, rule->from) == 0;
}

static void add_tensors(fr_gguf_writer *writer, const fr_arch *arch,
                        const fr_safetensors *file)
{
    bool llama = arch->positions == FR_POSITIONS_ROPE;
    const rename_rule *rules = llama ? LLAMA : GPT2;
    const char *prefix = llama ? "model.layers." : "h.";
    size_t n_rules = llama ? sizeof LLAMA / sizeof *LLAMA : sizeof GPT2 / sizeof *GPT2;
    char name[NAME_BYTES];
    for (int64_t i = 0; i < fr_safetensors_n_tensors(file); i++) {
        const fr_safetensor *tensor = fr_safetensors_tensor_at(file, i);
        const char *full = tensor->name.data;
        const char *plain = strncmp(full, "transformer.", 12) == 0 ? full + 12 : full;
        size_t rule = 0;
        while (rule < n_rules && !apply_rule(plain, &rules[rule], prefix, name)) {
            rule++;
        }
        if (rule == n_rules) {
            fr_test_give_up("gguf_writer: no rule for tensor", full);
        }
        add_tensor(writer, arch, tensor, &rules[rule], name);
    }
}

void fr_gguf_writer_add_folder(fr_gguf_writer *writer, const char *folder)
{
    fr_weights *weights = NULL;
    fr_safetensors *file = NULL;
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/model.safetensors", folder);
    if (fr_weights_open(fr_test_ctx(), folder, &weights) != FR_OK ||
        fr_safetensors_open(fr_test_ctx(), path, &file) != FR_OK) {
        fr_test_give_up("gguf_writer: cannot open", folder);
    }
    const fr_arch *arch = fr_weights_arch(weights);
    add_settings(writer, arch);
    add_tensors(writer, arch, file);
    fr_safetensors_close(&file);
    fr_weights_close(&weights);
}
