#include "device/quant.h"
#include "model/weights/weights.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const float ZEROS[64 * 64];

/* The tiny model of a family, ready to be changed. */
static fr_gguf_writer *writer_of(const char *model)
{
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_add_folder(writer, fr_test_path(fr_test_data("golden"), model));
    return writer;
}

static const char *write_file(fr_gguf_writer **writer)
{
    const char *path = fr_test_path(fr_test_folder(), "model.gguf");
    fr_gguf_writer_write(*writer, path);
    fr_gguf_writer_destroy(writer);
    return path;
}

static void refuses(fr_gguf_writer *writer, fr_status status, const char *part)
{
    fr_weights *weights = NULL;
    const char *path = write_file(&writer);
    FR_ASSERT_FAILS(fr_weights_open(fr_test_ctx(), path, &weights), status, part);
    CU_ASSERT_PTR_NULL(weights);
}

static fr_weights *accepts(fr_gguf_writer *writer)
{
    fr_weights *weights = NULL;
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), write_file(&writer), &weights));
    CU_ASSERT_PTR_NOT_NULL_FATAL(weights);
    return weights;
}

static void other_architectures_are_refused(void)
{
    fr_gguf_writer *writer = writer_of("tiny_llama");
    fr_gguf_writer_set_text(writer, "general.architecture", "bloom");
    refuses(writer, FR_ERR_UNSUPPORTED,
            "general.architecture is bloom; supported: llama, qwen2, qwen3, gemma2");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_text(writer, "general.architecture", "qwen3moe");
    refuses(writer, FR_ERR_UNSUPPORTED,
            "general.architecture is qwen3moe: it is a mixture of experts");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_remove(writer, "general.architecture");
    refuses(writer, FR_ERR_FORMAT, "general.architecture is missing");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_u32(writer, "general.architecture", 1);
    refuses(writer, FR_ERR_FORMAT,
            "general.architecture is missing or is not a string");
}

static void missing_settings_are_named(void)
{
    static const char *const KEYS[] = {
        "llama.block_count",          "llama.embedding_length",
        "llama.feed_forward_length",  "llama.context_length",
        "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon"};
    for (int i = 0; i < FR_N_CASES(KEYS); i++) {
        fr_gguf_writer *writer = writer_of("tiny_llama");
        fr_gguf_writer_remove(writer, KEYS[i]);
        refuses(writer, FR_ERR_FORMAT, KEYS[i]);
        writer = writer_of("tiny_llama");
        fr_gguf_writer_set_text(writer, KEYS[i], "many");
        refuses(writer, FR_ERR_FORMAT, "is of another type, must be");
    }
}

static void rope_scaling_is_read(void)
{
    static const float TWOS[8] = {2, 2, 2, 2, 2, 2, 2, 2};
    fr_gguf_writer *writer = writer_of("tiny_llama");
    fr_gguf_writer_set_f32(writer, "llama.rope.scale_linear", 2.0F);
    fr_gguf_writer_set_tensor(writer, "rope_freqs.weight", FR_QUANT_F32, 0, 8, TWOS);
    fr_weights *weights = accepts(writer);
    CU_ASSERT_EQUAL(fr_weights_arch(weights)->rotation.divisors[7], 4.0);
    fr_weights_close(&weights);
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_text(writer, "llama.rope.scaling.type", "none");
    fr_gguf_writer_set_f32(writer, "llama.rope.scaling.factor", 4.0F);
    weights = accepts(writer);
    CU_ASSERT_EQUAL(fr_weights_arch(weights)->rotation.divisors[0], 1.0);
    fr_weights_close(&weights);
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_u32(writer, "llama.rope.scaling.original_context_length", 32);
    fr_gguf_writer_set_tensor(writer, "rope_factors_short.weight", FR_QUANT_F32, 0, 8,
                              TWOS);
    fr_gguf_writer_set_tensor(writer, "rope_factors_long.weight", FR_QUANT_F32, 0, 8,
                              TWOS);
    weights = accepts(writer);
    CU_ASSERT_EQUAL(fr_weights_arch(weights)->rotation.long_from, 32);
    fr_weights_close(&weights);
}

static void wrong_rope_scaling_is_refused(void)
{
    fr_gguf_writer *writer = writer_of("tiny_llama");
    fr_gguf_writer_set_text(writer, "llama.rope.scaling.type", "dynamic");
    refuses(writer, FR_ERR_UNSUPPORTED,
            "llama.rope.scaling.type is dynamic, supported: none, linear, yarn");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_u32(writer, "llama.rope.scaling.type", 1);
    refuses(writer, FR_ERR_FORMAT, "llama.rope.scaling.type must be a string");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_f32(writer, "llama.rope.scaling.factor", -4.0F);
    refuses(writer, FR_ERR_FORMAT, "llama.rope.scaling.factor is -4");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_f32(writer, "llama.rope.scaling.attn_factor", 1.5F);
    refuses(writer, FR_ERR_UNSUPPORTED,
            "llama.rope.scaling.attn_factor is 1.5, supported: 1");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_tensor(writer, "rope_freqs.weight", FR_QUANT_F32, 0, 8, ZEROS);
    refuses(writer, FR_ERR_FORMAT, "a RoPE divisor is 0");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_tensor(writer, "rope_freqs.weight", FR_QUANT_F32, 0, 7, ZEROS);
    refuses(writer, FR_ERR_FORMAT,
            "tensor rope_freqs.weight must hold 8 numbers of type F32");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_tensor(writer, "rope_factors_short.weight", FR_QUANT_F32, 0, 8,
                              ZEROS);
    refuses(writer, FR_ERR_FORMAT, "tensor rope_factors_long.weight is missing");
    writer = writer_of("tiny_gpt2");
    fr_gguf_writer_set_tensor(writer, "rope_freqs.weight", FR_QUANT_F32, 0, 8, ZEROS);
    refuses(writer, FR_ERR_UNSUPPORTED, "tensor rope_freqs.weight is not part of");
}

static void settings_that_change_the_arithmetic_are_refused(void)
{
    fr_gguf_writer *writer = writer_of("tiny_llama");
    fr_gguf_writer_set_u32(writer, "llama.expert_count", 8);
    refuses(writer, FR_ERR_UNSUPPORTED, "llama.expert_count is 8, supported: 0");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_u32(writer, "llama.rope.dimension_count", 8);
    refuses(writer, FR_ERR_UNSUPPORTED,
            "llama.rope.dimension_count is 8, supported: 16");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_u32(writer, "llama.attention.value_length", 8);
    refuses(writer, FR_ERR_UNSUPPORTED, "llama.attention.value_length is 8");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_bool(writer, "llama.attention.causal", false);
    refuses(writer, FR_ERR_UNSUPPORTED, "llama.attention.causal is false");
    writer = writer_of("tiny_gpt2");
    fr_gguf_writer_set_u32(writer, "gpt2.attention.head_count_kv", 2);
    refuses(writer, FR_ERR_UNSUPPORTED,
            "gpt2.attention.head_count_kv is 2, supported: 4");
    writer = writer_of("tiny_gpt2");
    fr_gguf_writer_set_u32(writer, "gpt2.attention.key_length", 8);
    refuses(writer, FR_ERR_UNSUPPORTED, "gpt2.attention.key_length is 8");
}

/* By a row that is one element short, in every type that has blocks. */
static void rows_must_be_whole_blocks(void)
{
    for (uint32_t number = 0; number < 64; number++) {
        const fr_quant_type *type = fr_quant_find(number);
        if (type != NULL && type->block > 1) {
            char message[64];
            int64_t short_row = type->block - 1;
            fr_gguf_writer *writer = writer_of("tiny_llama");
            fr_gguf_writer_set_tensor(writer, "token_embd.weight", number, 64,
                                      short_row, ZEROS);
            (void)snprintf(message, sizeof message,
                           "rows of %lld elements, not a multiple of the %d of a %s",
                           (long long)short_row, type->block, type->name);
            refuses(writer, FR_ERR_FORMAT, message);
        }
    }
}

static void unsupported_types_are_named_with_the_supported(void)
{
    uint8_t blocks[64 * 74] = {0};
    fr_gguf_writer *writer = writer_of("tiny_llama");
    fr_gguf_writer_set_u32(writer, "llama.embedding_length", 256);
    fr_gguf_writer_set_tensor(writer, "token_embd.weight", 17, 64, 256, blocks);
    refuses(
        writer, FR_ERR_UNSUPPORTED,
        "tensor token_embd.weight has type IQ2_XS, supported: F32, F16, BF16, Q4_0, "
        "Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, TQ1_0, "
        "TQ2_0, MXFP4, Q1_0, Q2_0; give the model with weights of such types");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_tensor(writer, "blk.1.attn_q.weight", 28, 64, 32, ZEROS);
    refuses(writer, FR_ERR_UNSUPPORTED, "tensor blk.1.attn_q.weight has type F64");
}

static void missing_and_foreign_tensors_are_named(void)
{
    static const char *const NEEDED[] = {"token_embd.weight", "output_norm.weight",
                                         "blk.1.ffn_gate.weight",
                                         "blk.0.attn_k.weight"};
    for (int i = 0; i < FR_N_CASES(NEEDED); i++) {
        fr_gguf_writer *writer = writer_of("tiny_llama");
        fr_gguf_writer_remove(writer, NEEDED[i]);
        refuses(writer, FR_ERR_FORMAT, NEEDED[i]);
    }
    fr_gguf_writer *writer = writer_of("tiny_llama");
    fr_gguf_writer_set_tensor(writer, "blk.0.attn_q_norm.weight", FR_QUANT_F32, 0, 16,
                              ZEROS);
    refuses(writer, FR_ERR_UNSUPPORTED,
            "tensor blk.0.attn_q_norm.weight is not part of the supported llama");
    writer = writer_of("tiny_gpt2");
    fr_gguf_writer_remove(writer, "blk.1.attn_qkv.bias");
    refuses(writer, FR_ERR_FORMAT, "tensor blk.1.attn_qkv.bias is missing");
}

static void wrong_shapes_are_refused(void)
{
    fr_gguf_writer *writer = writer_of("tiny_llama");
    fr_gguf_writer_set_tensor(writer, "blk.0.attn_k.weight", FR_QUANT_F32, 64, 32,
                              ZEROS);
    refuses(
        writer, FR_ERR_FORMAT,
        "tensor blk.0.attn_k.weight has shape [64, 32], the model's settings ask for "
        "[32, 64]");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_tensor(writer, "output_norm.weight", FR_QUANT_F32, 2, 64, ZEROS);
    refuses(writer, FR_ERR_FORMAT, "output_norm.weight has shape [2, 64]");
    writer = writer_of("tiny_gpt2");
    fr_gguf_writer_set_u32(writer, "gpt2.context_length", 64);
    refuses(writer, FR_ERR_FORMAT, "position_embd.weight has shape [128, 64]");
}

static void vector_with_a_leading_one_is_read(void)
{
    float ramp[64];
    float got[64];
    for (int i = 0; i < 64; i++) {
        ramp[i] = (float)i;
    }
    fr_gguf_writer *writer = writer_of("tiny_llama");
    fr_gguf_writer_set_tensor(writer, "output_norm.weight", FR_QUANT_F32, 1, 64, ramp);
    fr_weights *weights = accepts(writer);
    FR_ASSERT_OK(
        fr_weights_read(fr_test_ctx(), weights, FR_W_FINAL_NORM, 0, FR_F32, got));
    fr_assert_same_bytes("norm", got, ramp, sizeof ramp);
    fr_weights_close(&weights);
}

static void biases_are_optional_but_alike_in_all_layers(void)
{
    fr_gguf_writer *writer = writer_of("tiny_llama");
    fr_gguf_writer_set_tensor(writer, "blk.0.attn_q.bias", FR_QUANT_F32, 0, 64, ZEROS);
    refuses(writer, FR_ERR_FORMAT, "tensor blk.1.attn_q.bias is missing");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_tensor(writer, "blk.1.attn_q.bias", FR_QUANT_F32, 0, 64, ZEROS);
    refuses(writer, FR_ERR_FORMAT, "tensor blk.1.attn_q.bias is present, but layer 0");
    writer = writer_of("tiny_llama");
    fr_gguf_writer_set_tensor(writer, "blk.0.attn_q.bias", FR_QUANT_F32, 0, 64, ZEROS);
    fr_gguf_writer_set_tensor(writer, "blk.1.attn_q.bias", FR_QUANT_F32, 0, 64, ZEROS);
    fr_weights *weights = accepts(writer);
    CU_ASSERT(fr_weights_arch(weights)->qkv_bias);
    CU_ASSERT(fr_weights_has(weights, FR_W_Q_BIAS, 1));
    CU_ASSERT(!fr_weights_has(weights, FR_W_K_BIAS, 1));
    CU_ASSERT(!fr_weights_has(weights, FR_W_O_BIAS, 0));
    fr_weights_close(&weights);
}

static void absent_keys_take_their_defaults(void)
{
    fr_gguf_writer *writer = writer_of("tiny_llama");
    fr_gguf_writer_remove(writer, "llama.attention.key_length");
    fr_gguf_writer_remove(writer, "llama.attention.value_length");
    fr_gguf_writer_remove(writer, "llama.rope.freq_base");
    fr_gguf_writer_remove(writer, "llama.rope.dimension_count");
    fr_weights *weights = accepts(writer);
    CU_ASSERT_EQUAL(fr_weights_arch(weights)->head_dim, 16);
    CU_ASSERT_EQUAL(fr_weights_arch(weights)->rotation.theta, 10000.0);
    fr_weights_close(&weights);
}

static void absent_output_means_a_tied_head(void)
{
    enum { N = 128 * 64 };
    fr_gguf_writer *writer = writer_of("tiny_llama");
    fr_gguf_writer_remove(writer, "output.weight");
    fr_weights *weights = accepts(writer);
    float *head = fr_test_memory(malloc(N * sizeof *head));
    float *tokens = fr_test_memory(malloc(N * sizeof *tokens));
    CU_ASSERT(fr_weights_arch(weights)->tied_head);
    FR_ASSERT_OK(fr_weights_read(fr_test_ctx(), weights, FR_W_HEAD, 0, FR_F32, head));
    FR_ASSERT_OK(
        fr_weights_read(fr_test_ctx(), weights, FR_W_TOKENS, 0, FR_F32, tokens));
    fr_assert_same_bytes("head", head, tokens, N * sizeof *head);
    free(head);
    free(tokens);
    fr_weights_close(&weights);
}

static const fr_case CASES[] = {
    FR_CASE(other_architectures_are_refused),
    FR_CASE(missing_settings_are_named),
    FR_CASE(rope_scaling_is_read),
    FR_CASE(wrong_rope_scaling_is_refused),
    FR_CASE(settings_that_change_the_arithmetic_are_refused),
    FR_CASE(rows_must_be_whole_blocks),
    FR_CASE(unsupported_types_are_named_with_the_supported),
    FR_CASE(missing_and_foreign_tensors_are_named),
    FR_CASE(wrong_shapes_are_refused),
    FR_CASE(vector_with_a_leading_one_is_read),
    FR_CASE(biases_are_optional_but_alike_in_all_layers),
    FR_CASE(absent_keys_take_their_defaults),
    FR_CASE(absent_output_means_a_tied_head),
};

int main(int argc, char **argv)
{
    return fr_suite_main("weights_gguf", CASES, FR_N_CASES(CASES), argc, argv);
}
