/* The tokenizers and the model that fuzzers of rows and texts work with. */
#include "device/quant.h"
#include "fuzz/libfuzzer/fuzz.h"
#include "fuzz/libfuzzer/use.h"
#include "support/rows.h"
#include "support/tiny_tokenizer.h"

#include <stdlib.h>

enum { D = 8, FF = 16, CONTEXT = 64, MAX_ELEMENTS = FR_TINY_VOCABULARY * D };

static fr_tokenizer *tokenizers[2];

static fr_gguf_writer *tokenizer_file(bool smollm)
{
    fr_gguf_writer *writer = fr_tiny_gguf();
    fr_gguf_writer_set_text(writer, "tokenizer.ggml.pre", smollm ? "smollm" : "gpt-2");
    fr_gguf_writer_set_u32(writer, "tokenizer.ggml.bos_token_id", FR_TINY_END);
    fr_gguf_writer_set_u32(writer, "tokenizer.ggml.eos_token_id", FR_TINY_IM_END);
    fr_gguf_writer_set_bool(writer, "tokenizer.ggml.add_bos_token", !smollm);
    fr_gguf_writer_set_text(writer, "tokenizer.chat_template", FR_TEST_CHATML);
    return writer;
}

static void close_tokenizers(void)
{
    fr_tokenizer_close(&tokenizers[0]);
    fr_tokenizer_close(&tokenizers[1]);
}

const fr_tokenizer *fuzz_tokenizer(bool smollm)
{
    fr_tokenizer **tokenizer = &tokenizers[smollm ? 1 : 0];
    if (*tokenizer == NULL) {
        fr_ctx *ctx = fuzz_ctx();
        const char *path = fuzz_path("tokenizer.gguf");
        fr_gguf_writer *writer = tokenizer_file(smollm);
        fr_gguf_writer_write(writer, path);
        fr_gguf_writer_destroy(&writer);
        if (tokenizers[0] == NULL && tokenizers[1] == NULL) {
            (void)atexit(close_tokenizers);
        }
        fuzz_check(fuzz_answer(ctx, fr_tokenizer_open(ctx, path, tokenizer)),
                   "the fuzzers' own tokenizer opens");
    }
    return *tokenizer;
}

static void set_matrix(fr_gguf_writer *writer, const char *name, int64_t rows,
                       int64_t columns)
{
    static float values[MAX_ELEMENTS];
    for (int i = 0; i < MAX_ELEMENTS; i++) {
        values[i] = 0.25F * (float)(i * 7 % 11) - 1.0F;
    }
    fr_gguf_writer_set_tensor(writer, name, FR_QUANT_F32, rows, columns, values);
}

static void set_sizes(fr_gguf_writer *writer)
{
    fr_gguf_writer_set_text(writer, "general.architecture", "llama");
    fr_gguf_writer_set_u32(writer, "llama.block_count", 1);
    fr_gguf_writer_set_u32(writer, "llama.embedding_length", D);
    fr_gguf_writer_set_u32(writer, "llama.feed_forward_length", FF);
    fr_gguf_writer_set_u32(writer, "llama.attention.head_count", 2);
    fr_gguf_writer_set_u32(writer, "llama.attention.head_count_kv", 1);
    fr_gguf_writer_set_u32(writer, "llama.context_length", CONTEXT);
    fr_gguf_writer_set_f32(writer, "llama.attention.layer_norm_rms_epsilon", 1e-5F);
}

const char *fuzz_model(void)
{
    static bool is_written = false;
    const char *path = fuzz_path("model.gguf");
    if (is_written) {
        return path;
    }
    fr_gguf_writer *writer = tokenizer_file(false);
    set_sizes(writer);
    set_matrix(writer, "token_embd.weight", FR_TINY_VOCABULARY, D);
    set_matrix(writer, "output.weight", FR_TINY_VOCABULARY, D);
    set_matrix(writer, "output_norm.weight", 0, D);
    set_matrix(writer, "blk.0.attn_norm.weight", 0, D);
    set_matrix(writer, "blk.0.attn_q.weight", D, D);
    set_matrix(writer, "blk.0.attn_k.weight", D / 2, D);
    set_matrix(writer, "blk.0.attn_v.weight", D / 2, D);
    set_matrix(writer, "blk.0.attn_output.weight", D, D);
    set_matrix(writer, "blk.0.ffn_norm.weight", 0, D);
    set_matrix(writer, "blk.0.ffn_gate.weight", FF, D);
    set_matrix(writer, "blk.0.ffn_up.weight", FF, D);
    set_matrix(writer, "blk.0.ffn_down.weight", D, FF);
    fr_gguf_writer_write(writer, path);
    fr_gguf_writer_destroy(&writer);
    is_written = true;
    return path;
}
