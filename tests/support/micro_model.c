#include "base/rng.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    D = 8,
    HEADS = 2,
    HEAD = 6,
    KV = 1,
    FF = 10,
    VOCAB = 7,
    CONTEXT = 5,
    LAYERS = 2
};
enum { MAX_TENSORS = 64, NAME_BYTES = 64 };

/* Name and shape; columns 0: a vector. In a layer: after "prefix N.". */
typedef struct shape_rule {
    const char *name;
    bool in_layer;
    int64_t rows;
    int64_t columns;
} shape_rule;

static const shape_rule LLAMA[] = {
    {"model.embed_tokens.weight", false, VOCAB, D},
    {"model.norm.weight", false, D, 0},
    {"lm_head.weight", false, VOCAB, D},
    {"input_layernorm.weight", true, D, 0},
    {"self_attn.q_proj.weight", true, HEADS *HEAD, D},
    {"self_attn.q_proj.bias", true, HEADS *HEAD, 0},
    {"self_attn.k_proj.weight", true, KV *HEAD, D},
    {"self_attn.k_proj.bias", true, KV *HEAD, 0},
    {"self_attn.v_proj.weight", true, KV *HEAD, D},
    {"self_attn.v_proj.bias", true, KV *HEAD, 0},
    {"self_attn.o_proj.weight", true, D, HEADS *HEAD},
    {"self_attn.o_proj.bias", true, D, 0},
    {"post_attention_layernorm.weight", true, D, 0},
    {"mlp.gate_proj.weight", true, FF, D},
    {"mlp.up_proj.weight", true, FF, D},
    {"mlp.down_proj.weight", true, D, FF},
};

static const shape_rule GPT2[] = {
    {"wte.weight", false, VOCAB, D},
    {"wpe.weight", false, CONTEXT, D},
    {"ln_f.weight", false, D, 0},
    {"ln_f.bias", false, D, 0},
    {"ln_1.weight", true, D, 0},
    {"ln_1.bias", true, D, 0},
    {"attn.c_attn.weight", true, D, 3 * D},
    {"attn.c_attn.bias", true, 3 * D, 0},
    {"attn.c_proj.weight", true, D, D},
    {"attn.c_proj.bias", true, D, 0},
    {"ln_2.weight", true, D, 0},
    {"ln_2.bias", true, D, 0},
    {"mlp.c_fc.weight", true, D, FF},
    {"mlp.c_fc.bias", true, FF, 0},
    {"mlp.c_proj.weight", true, FF, D},
    {"mlp.c_proj.bias", true, D, 0},
};

/* The tensors of one model with the memory that they point to. */
typedef struct micro {
    const char *dtype;
    int n;
    char names[MAX_TENSORS][NAME_BYTES];
    fr_safetensor tensors[MAX_TENSORS];
    uint8_t *data[MAX_TENSORS];
} micro;

/* Random numbers in [-1, 1) as f32, as its upper half, or as a half from its own random bits. */
static void fill(const char *dtype, int stream, int64_t n, uint8_t *out)
{
    size_t item = strcmp(dtype, "F32") == 0 ? 4 : 2;
    for (int64_t i = 0; i < n; i++) {
        uint64_t counter = (uint64_t)i;
        double uniform = fr_rng_uniform(7, FR_RNG_TEST, (uint64_t)stream, counter);
        float value = (float)(2.0 * uniform - 1.0);
        uint16_t half =
            (uint16_t)(fr_rng_u64(7, FR_RNG_TEST, (uint64_t)stream, counter) & 0xbbffU);
        uint8_t *at = out + (size_t)i * item;
        if (strcmp(dtype, "F16") == 0) {
            memcpy(at, &half, sizeof half);
        } else if (item == 2) {
            memcpy(at, (const uint8_t *)&value + 2, 2);
        } else {
            memcpy(at, &value, sizeof value);
        }
    }
}

static void add(micro *m, const shape_rule *rule, const char *prefix, int layer)
{
    fr_safetensor *tensor = &m->tensors[m->n];
    char *name = m->names[m->n];
    if (rule->in_layer) {
        (void)snprintf(name, NAME_BYTES, "%s%d.%s", prefix, layer, rule->name);
    } else {
        (void)snprintf(name, NAME_BYTES, "%s", rule->name);
    }
    tensor->name = (fr_text){name, strlen(name)};
    tensor->dtype = m->dtype;
    tensor->item_bytes = strcmp(m->dtype, "F32") == 0 ? 4 : 2;
    tensor->n_dims = rule->columns > 0 ? 2 : 1;
    tensor->shape[0] = rule->rows;
    tensor->shape[1] = rule->columns;
    tensor->n = rule->rows * (rule->columns > 0 ? rule->columns : 1);
    tensor->bytes = (size_t)tensor->n * tensor->item_bytes;
    m->data[m->n] = fr_test_memory(malloc(tensor->bytes));
    fill(m->dtype, m->n, tensor->n, m->data[m->n]);
    tensor->data = m->data[m->n];
    m->n++;
}

static void write_config(const char *folder, fr_test_kind family)
{
    char text[512];
    if (family == FR_LLAMA) {
        (void)snprintf(text, sizeof text,
                       "{\"model_type\":\"llama\",\"hidden_size\":%d,"
                       "\"intermediate_size\":%d,\"num_hidden_layers\":%d,"
                       "\"num_attention_heads\":%d,\"num_key_value_heads\":%d,"
                       "\"head_dim\":%d,\"vocab_size\":%d,"
                       "\"max_position_embeddings\":%d,\"attention_bias\":true}",
                       D, FF, LAYERS, HEADS, KV, HEAD, VOCAB, CONTEXT);
    } else {
        (void)snprintf(text, sizeof text,
                       "{\"model_type\":\"gpt2\",\"n_embd\":%d,\"n_inner\":%d,"
                       "\"n_layer\":%d,\"n_head\":%d,\"n_positions\":%d,"
                       "\"vocab_size\":%d}",
                       D, FF, LAYERS, HEADS, CONTEXT, VOCAB);
    }
    fr_test_write_text(fr_test_path(folder, "config.json"), text);
}

const char *fr_test_micro_folder(fr_test_kind family, const char *dtype)
{
    const char *folder = fr_test_folder();
    bool llama = family == FR_LLAMA;
    const shape_rule *rules = llama ? LLAMA : GPT2;
    int n_rules = llama ? FR_N_CASES(LLAMA) : FR_N_CASES(GPT2);
    const fr_safetensor *list[MAX_TENSORS];
    micro *m = fr_test_memory(calloc(1, sizeof *m));
    m->dtype = dtype;
    for (int layer = 0; layer < LAYERS; layer++) {
        for (int i = 0; i < n_rules; i++) {
            if (rules[i].in_layer || layer == 0) {
                list[m->n] = &m->tensors[m->n];
                add(m, &rules[i], llama ? "model.layers." : "h.", layer);
            }
        }
    }
    fr_test_write_tensors(fr_test_path(folder, "model.safetensors"), list, m->n);
    write_config(folder, family);
    for (int i = 0; i < m->n; i++) {
        free(m->data[i]);
    }
    free(m);
    return folder;
}
