#include "base/mem.h"
#include "model/files/gguf_settings.h"
#include "model/files/names.h"
#include "model/weights/weights_impl.h"

#include <stdio.h>

/* An architecture's name is one of two short ones here, and keys stay below 50 bytes. */
enum { KEY_BYTES = 96 };

/* The converter stores Q and K of llama with each head's rows in adjacent RoPE pairs. */
static const fr_scheme LLAMA = {
    .layer_prefix = "blk.",
    .rope_pairs = true,
    .names =
        {
            [FR_W_TOKENS] = "token_embd.weight",
            [FR_W_FINAL_NORM] = "output_norm.weight",
            [FR_W_HEAD] = "output.weight",
            [FR_W_ATTN_NORM] = "attn_norm.weight",
            [FR_W_Q] = "attn_q.weight",
            [FR_W_Q_BIAS] = "attn_q.bias",
            [FR_W_K] = "attn_k.weight",
            [FR_W_K_BIAS] = "attn_k.bias",
            [FR_W_V] = "attn_v.weight",
            [FR_W_V_BIAS] = "attn_v.bias",
            [FR_W_O] = "attn_output.weight",
            [FR_W_O_BIAS] = "attn_output.bias",
            [FR_W_MLP_NORM] = "ffn_norm.weight",
            [FR_W_GATE] = "ffn_gate.weight",
            [FR_W_GATE_BIAS] = "ffn_gate.bias",
            [FR_W_UP] = "ffn_up.weight",
            [FR_W_UP_BIAS] = "ffn_up.bias",
            [FR_W_DOWN] = "ffn_down.weight",
            [FR_W_DOWN_BIAS] = "ffn_down.bias",
        },
};

/* The converter has already transposed Conv1D's matrices to [n_out, n_in]. */
static const fr_scheme GPT2 = {
    .layer_prefix = "blk.",
    .fused_qkv = true,
    .names =
        {
            [FR_W_TOKENS] = "token_embd.weight",
            [FR_W_POSITIONS] = "position_embd.weight",
            [FR_W_FINAL_NORM] = "output_norm.weight",
            [FR_W_FINAL_NORM_BIAS] = "output_norm.bias",
            [FR_W_HEAD] = "output.weight",
            [FR_W_ATTN_NORM] = "attn_norm.weight",
            [FR_W_ATTN_NORM_BIAS] = "attn_norm.bias",
            [FR_W_Q] = "attn_qkv.weight",
            [FR_W_Q_BIAS] = "attn_qkv.bias",
            [FR_W_K] = "attn_qkv.weight",
            [FR_W_K_BIAS] = "attn_qkv.bias",
            [FR_W_V] = "attn_qkv.weight",
            [FR_W_V_BIAS] = "attn_qkv.bias",
            [FR_W_O] = "attn_output.weight",
            [FR_W_O_BIAS] = "attn_output.bias",
            [FR_W_MLP_NORM] = "ffn_norm.weight",
            [FR_W_MLP_NORM_BIAS] = "ffn_norm.bias",
            [FR_W_UP] = "ffn_up.weight",
            [FR_W_UP_BIAS] = "ffn_up.bias",
            [FR_W_DOWN] = "ffn_down.weight",
            [FR_W_DOWN_BIAS] = "ffn_down.bias",
        },
};

/* "llama.block_count" from "block_count". */
typedef struct key_text {
    char text[KEY_BYTES];
} key_text;

static key_text family_key(const fr_weights *weights, const char *name)
{
    key_text key = {{0}};
    (void)snprintf(key.text, sizeof key.text, "%s.%s", weights->arch.family, name);
    return key;
}

static fr_status read_count(fr_ctx *ctx, const fr_weights *weights, const char *name,
                            int64_t *out)
{
    key_text key = family_key(weights, name);
    if (fr_gguf_get_int(weights->gguf, key.text, out)) {
        return FR_OK;
    }
    return FR_FAIL(
        ctx, FR_ERR_FORMAT, "%s: %s is %s, must be an integer", weights->path, key.text,
        fr_gguf_find(weights->gguf, key.text) != NULL ? "of another type" : "missing");
}

/* Like read_count for keys that may be absent; *out then keeps its value. */
static fr_status read_optional_count(fr_ctx *ctx, const fr_weights *weights,
                                     const char *name, int64_t *out)
{
    if (fr_gguf_find(weights->gguf, family_key(weights, name).text) == NULL) {
        return FR_OK;
    }
    return read_count(ctx, weights, name, out);
}

static fr_status read_real(fr_ctx *ctx, const fr_weights *weights, const char *name,
                           bool required, double *out)
{
    key_text key = family_key(weights, name);
    bool there = fr_gguf_find(weights->gguf, key.text) != NULL;
    if (fr_gguf_get_real(weights->gguf, key.text, out) || (!there && !required)) {
        return FR_OK;
    }
    return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: %s is %s, must be a number", weights->path,
                   key.text, there ? "of another type" : "missing");
}

static fr_status read_family(fr_ctx *ctx, fr_weights *weights)
{
    fr_text name = {NULL, 0};
    if (!fr_gguf_get_text(weights->gguf, "general.architecture", &name)) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: general.architecture is missing or is not a string",
                       weights->path);
    }
    if (fr_text_is(name, "llama")) {
        weights->arch = fr_arch_plain();
        weights->arch.family = "llama";
        weights->arch.attn_norm = weights->arch.mlp_norm = weights->arch.gated = true;
        weights->scheme = &LLAMA;
    } else if (fr_text_is(name, "gpt2")) {
        weights->arch = fr_arch_plain();
        weights->arch.family = "gpt2";
        weights->arch.norm = FR_NORM_LAYER;
        weights->arch.attn_norm = weights->arch.mlp_norm = true;
        weights->arch.activation = FR_ACTIVATION_GELU_TANH;
        weights->arch.positions = FR_POSITIONS_LEARNED;
        weights->scheme = &GPT2;
    } else {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "%s: general.architecture is %s, supported: llama, gpt2",
                       weights->path, fr_show(name).text);
    }
    return FR_OK;
}

/* Check a setting that must be absent or `wanted`, since the layers have only this value. */
static fr_status check_count(fr_ctx *ctx, const fr_weights *weights, const char *name,
                             int64_t wanted)
{
    int64_t found = wanted;
    FR_TRY(read_optional_count(ctx, weights, name, &found));
    if (found != wanted) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED, "%s: %s is %lld, supported: %lld",
                       weights->path, family_key(weights, name).text, (long long)found,
                       (long long)wanted);
    }
    return FR_OK;
}

/* Llama's heads may have a width of their own; GPT-2's divide the model width. */
static fr_status read_head_width(fr_ctx *ctx, fr_weights *weights)
{
    fr_arch *arch = &weights->arch;
    bool given = fr_gguf_find(weights->gguf,
                              family_key(weights, "attention.key_length").text) != NULL;
    if (arch->n_heads < 1 || (!given && arch->d_model % arch->n_heads != 0)) {
        return FR_FAIL(
            ctx, FR_ERR_FORMAT, "%s: %lld heads do not divide the model width %lld",
            weights->path, (long long)arch->n_heads, (long long)arch->d_model);
    }
    arch->head_dim = arch->d_model / arch->n_heads;
    if (arch->positions == FR_POSITIONS_LEARNED) {
        return check_count(ctx, weights, "attention.key_length", arch->head_dim);
    }
    return read_optional_count(ctx, weights, "attention.key_length", &arch->head_dim);
}

/* The embedding's rows give the vocabulary size, since the vocab_size key is often absent. */
static fr_status read_vocabulary(fr_ctx *ctx, fr_weights *weights)
{
    const fr_gguf_tensor *tokens =
        fr_gguf_find_tensor(weights->gguf, weights->scheme->names[FR_W_TOKENS]);
    if (tokens == NULL) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: tensor %s is missing", weights->path,
                       weights->scheme->names[FR_W_TOKENS]);
    }
    weights->arch.vocab_size = tokens->ne[1];
    return FR_OK;
}

static fr_status read_arch(fr_ctx *ctx, fr_weights *weights)
{
    fr_arch *arch = &weights->arch;
    bool llama = arch->positions == FR_POSITIONS_ROPE;
    FR_TRY(read_count(ctx, weights, "block_count", &arch->n_layers));
    FR_TRY(read_count(ctx, weights, "embedding_length", &arch->d_model));
    FR_TRY(read_count(ctx, weights, "feed_forward_length", &arch->d_ff));
    FR_TRY(read_count(ctx, weights, "context_length", &arch->context_length));
    FR_TRY(read_count(ctx, weights, "attention.head_count", &arch->n_heads));
    arch->n_kv_heads = arch->n_heads;
    FR_TRY(read_optional_count(ctx, weights, "attention.head_count_kv",
                               &arch->n_kv_heads));
    FR_TRY(read_head_width(ctx, weights));
    FR_TRY(read_real(ctx, weights,
                     llama ? "attention.layer_norm_rms_epsilon"
                           : "attention.layer_norm_epsilon",
                     true, &arch->norm_eps));
    if (llama) {
        double theta = 10000.0;
        FR_TRY(read_real(ctx, weights, "rope.freq_base", false, &theta));
        arch->rotation = fr_rotation_plain(theta, arch->head_dim);
        FR_TRY(check_count(ctx, weights, "rope.dimension_count", arch->head_dim));
        FR_TRY(check_count(ctx, weights, "attention.value_length", arch->head_dim));
    } else {
        FR_TRY(check_count(ctx, weights, "attention.head_count_kv", arch->n_heads));
    }
    FR_TRY(
        fr_gguf_check_settings(ctx, weights->gguf, arch->family, arch->context_length));
    FR_TRY(read_vocabulary(ctx, weights));
    arch->tied_head = fr_gguf_find_tensor(weights->gguf, "output.weight") == NULL;
    arch->qkv_bias =
        !llama || fr_gguf_find_tensor(weights->gguf, "blk.0.attn_q.bias") != NULL;
    arch->o_bias =
        !llama || fr_gguf_find_tensor(weights->gguf, "blk.0.attn_output.bias") != NULL;
    arch->mlp_bias =
        !llama || fr_gguf_find_tensor(weights->gguf, "blk.0.ffn_up.bias") != NULL;
    return fr_arch_check(ctx, weights->path, arch);
}

/* Only the tensors themselves show whether a llama file has biases. */
static void set_needs(fr_weights *weights)
{
    bool llama = weights->arch.positions == FR_POSITIONS_ROPE;
    for (int role = 0; role < FR_W_COUNT; role++) {
        bool is_bias = role == FR_W_Q_BIAS || role == FR_W_K_BIAS ||
                       role == FR_W_V_BIAS || role == FR_W_O_BIAS ||
                       role == FR_W_GATE_BIAS || role == FR_W_UP_BIAS ||
                       role == FR_W_DOWN_BIAS;
        weights->needs[role] = llama && is_bias ? FR_NEED_SAME_AS_LAYER_0 : FR_NEED_ALL;
    }
    if (weights->arch.tied_head) {
        weights->needs[FR_W_HEAD] = FR_NEED_NONE;
    }
}

static fr_status list_sources(fr_ctx *ctx, fr_weights *weights)
{
    int64_t n = fr_gguf_n_tensors(weights->gguf);
    FR_TRY(fr_alloc(ctx, n, sizeof *weights->sources, &weights->sources));
    weights->n_sources = n;
    for (int64_t i = 0; i < n; i++) {
        const fr_gguf_tensor *tensor = fr_gguf_tensor_at(weights->gguf, i);
        fr_source *source = &weights->sources[i];
        source->name = tensor->name;
        source->type = fr_quant_find(tensor->type);
        source->type_name = source->type->name;
        source->n_dims = tensor->n_dims;
        for (int d = 0; d < tensor->n_dims; d++) {
            source->shape[d] = tensor->ne[tensor->n_dims - 1 - d];
        }
        source->data = tensor->data;
        source->bytes = tensor->bytes;
    }
    return fr_weights_index(ctx, weights);
}

fr_status fr_weights_open_gguf(fr_ctx *ctx, fr_weights *weights)
{
    FR_TRY(fr_gguf_open(ctx, weights->path, &weights->gguf));
    FR_TRY(fr_gguf_check_kind(ctx, weights->gguf));
    FR_TRY(read_family(ctx, weights));
    return read_arch(ctx, weights);
}

fr_status fr_weights_load_gguf(fr_ctx *ctx, fr_weights *weights)
{
    FR_TRY(fr_weights_open_gguf(ctx, weights));
    FR_TRY(list_sources(ctx, weights));
    weights->prefix = "";
    set_needs(weights);
    FR_TRY(fr_weights_bind(ctx, weights));
    return fr_weights_check_used(ctx, weights);
}
