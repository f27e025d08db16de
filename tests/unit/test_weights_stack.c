/* Matrices that stay in the file have the values of those that are converted once, whatever run of rows is read. */
#include "device/cpu/quant_kernels.h"
#include "device/host.h"
#include "device/matrix.h"
#include "model/network/layer.h"
#include "model/network/stage_bytes.h"
#include "model/weights/frozen.h"
#include "support/devices.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One layer of a Llama whose widths take any block: 4 heads and 2 key/value heads of 64. */
enum { WIDTH = 256, KV = 128, FF = 512, VOCAB = 24 };

static const uint32_t TYPES[] = {
    FR_QUANT_F32,   FR_QUANT_F16,   FR_QUANT_BF16,  FR_QUANT_Q4_0,   FR_QUANT_Q4_1,
    FR_QUANT_Q5_0,  FR_QUANT_Q5_1,  FR_QUANT_Q8_0,  FR_QUANT_Q4_K,   FR_QUANT_Q5_K,
    FR_QUANT_Q6_K,  FR_QUANT_Q2_K,  FR_QUANT_Q3_K,  FR_QUANT_IQ4_NL, FR_QUANT_IQ4_XS,
    FR_QUANT_TQ1_0, FR_QUANT_TQ2_0, FR_QUANT_MXFP4, FR_QUANT_Q1_0,   FR_QUANT_Q2_0};

/* Bytes that are finite numbers in every type. */
static void add_matrix(fr_gguf_writer *writer, const char *name, uint32_t type,
                       int64_t rows, int64_t columns)
{
    size_t bytes = fr_quant_bytes(fr_quant_find(type), rows * columns);
    uint8_t *data = fr_test_memory(malloc(bytes));
    for (size_t i = 0; i < bytes; i++) {
        data[i] = (uint8_t)((i * 37 + i / 113) % 120);
    }
    fr_gguf_writer_set_tensor(writer, name, type, rows, columns, data);
    free(data);
}

static fr_weights *open_file_of(uint32_t type)
{
    static const float ones[WIDTH] = {1.0F};
    fr_weights *weights = NULL;
    fr_gguf_writer *w = fr_gguf_writer_create();
    const char *path = fr_test_path(fr_test_folder(), "model.gguf");
    fr_gguf_writer_set_text(w, "general.architecture", "llama");
    fr_gguf_writer_set_u32(w, "llama.block_count", 1);
    fr_gguf_writer_set_u32(w, "llama.embedding_length", WIDTH);
    fr_gguf_writer_set_u32(w, "llama.feed_forward_length", FF);
    fr_gguf_writer_set_u32(w, "llama.context_length", 64);
    fr_gguf_writer_set_u32(w, "llama.attention.head_count", 4);
    fr_gguf_writer_set_u32(w, "llama.attention.head_count_kv", 2);
    fr_gguf_writer_set_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5F);
    add_matrix(w, "token_embd.weight", type, VOCAB, WIDTH);
    add_matrix(w, "blk.0.attn_q.weight", type, WIDTH, WIDTH);
    add_matrix(w, "blk.0.attn_k.weight", type, KV, WIDTH);
    add_matrix(w, "blk.0.attn_v.weight", type, KV, WIDTH);
    add_matrix(w, "blk.0.attn_output.weight", type, WIDTH, WIDTH);
    add_matrix(w, "blk.0.ffn_gate.weight", type, FF, WIDTH);
    add_matrix(w, "blk.0.ffn_up.weight", type, FF, WIDTH);
    add_matrix(w, "blk.0.ffn_down.weight", type, WIDTH, FF);
    fr_gguf_writer_set_tensor(w, "output_norm.weight", FR_QUANT_F32, 0, WIDTH, ones);
    fr_gguf_writer_set_tensor(w, "blk.0.attn_norm.weight", FR_QUANT_F32, 0, WIDTH,
                              ones);
    fr_gguf_writer_set_tensor(w, "blk.0.ffn_norm.weight", FR_QUANT_F32, 0, WIDTH, ones);
    fr_gguf_writer_write(w, path);
    fr_gguf_writer_destroy(&w);
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), path, &weights));
    CU_ASSERT_PTR_NOT_NULL_FATAL(weights);
    return weights;
}

/* The same sizes with Q, K and V in one tensor, and gate and up in one. */
static fr_weights *open_fused_file_of(uint32_t type)
{
    static const float ones[WIDTH] = {1.0F};
    fr_weights *weights = NULL;
    fr_gguf_writer *w = fr_gguf_writer_create();
    const char *path = fr_test_path(fr_test_folder(), "model.gguf");
    fr_gguf_writer_set_text(w, "general.architecture", "phi3");
    fr_gguf_writer_set_u32(w, "phi3.block_count", 1);
    fr_gguf_writer_set_u32(w, "phi3.embedding_length", WIDTH);
    fr_gguf_writer_set_u32(w, "phi3.feed_forward_length", FF);
    fr_gguf_writer_set_u32(w, "phi3.context_length", 64);
    fr_gguf_writer_set_u32(w, "phi3.attention.head_count", 4);
    fr_gguf_writer_set_u32(w, "phi3.attention.head_count_kv", 2);
    fr_gguf_writer_set_f32(w, "phi3.attention.layer_norm_rms_epsilon", 1e-5F);
    add_matrix(w, "token_embd.weight", type, VOCAB, WIDTH);
    add_matrix(w, "blk.0.attn_qkv.weight", type, WIDTH + 2 * KV, WIDTH);
    add_matrix(w, "blk.0.attn_output.weight", type, WIDTH, WIDTH);
    add_matrix(w, "blk.0.ffn_up.weight", type, 2 * FF, WIDTH);
    add_matrix(w, "blk.0.ffn_down.weight", type, WIDTH, FF);
    fr_gguf_writer_set_tensor(w, "output_norm.weight", FR_QUANT_F32, 0, WIDTH, ones);
    fr_gguf_writer_set_tensor(w, "blk.0.attn_norm.weight", FR_QUANT_F32, 0, WIDTH,
                              ones);
    fr_gguf_writer_set_tensor(w, "blk.0.ffn_norm.weight", FR_QUANT_F32, 0, WIDTH, ones);
    fr_gguf_writer_write(w, path);
    fr_gguf_writer_destroy(&w);
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), path, &weights));
    CU_ASSERT_PTR_NOT_NULL_FATAL(weights);
    return weights;
}

/* All layers of the model for a lone rank. */
static fr_frozen *hold(const fr_holding *holding)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_frozen_params params = {.holding = *holding, .n_threads = 2};
    fr_frozen *frozen = NULL;
    params.n_layers = fr_weights_arch(holding->weights)->n_layers;
    FR_ASSERT_OK(fr_group_create_self(ctx, &params.node));
    FR_ASSERT_OK(fr_frozen_create(ctx, &params, &frozen));
    CU_ASSERT_PTR_NOT_NULL_FATAL(frozen);
    fr_group_destroy(&params.node);
    return frozen;
}

/* Products of few rows, which some types multiply as they lie in the file, and which every set of instructions may be
 * asked for. */
static void check_products(fr_device *device, const fr_matrix *left,
                           const fr_matrix *converted)
{
    enum { MAX = 6 };
    float *x = fr_test_numbers(MAX * left->n_in, 5, 1);
    float *wanted = fr_test_zeros(MAX * left->n_out);
    float *got = fr_test_zeros(MAX * left->n_out);
    for (int64_t m = 1; m <= MAX; m += m == 1 ? 3 : 1) {
        for (int add = 0; add < 2; add++) {
            FR_ASSERT_OK(fr_linear_few(device, m, fr_host_view(x), converted,
                                       fr_view_if(add != 0, fr_host_view(wanted)),
                                       fr_host_view(wanted)));
            FR_ASSERT_OK(fr_linear_few(device, m, fr_host_view(x), left,
                                       fr_view_if(add != 0, fr_host_view(got)),
                                       fr_host_view(got)));
            fr_assert_same_bytes("products", got, wanted,
                                 (size_t)(m * left->n_out) * sizeof *got);
        }
    }
    free(x);
    free(wanted);
    free(got);
}

/* The whole, single rows at the seams between tensors, and runs over them. */
static void check_stack(const fr_holding *in_file, const fr_stack *stack, int64_t layer)
{
    static const int64_t RUNS[][2] = {{0, 1},     {255, 1}, {256, 1}, {383, 2},
                                      {250, 200}, {7, 16},  {511, 1}};
    fr_holding in_memory = {in_file->weights, in_file->dtype, false};
    fr_frozen *converted = hold(&in_memory);
    fr_frozen *left = hold(in_file);
    fr_matrix wanted = fr_frozen_matrix(converted, stack, layer);
    fr_matrix w = fr_frozen_matrix(left, stack, layer);
    const char *rows = fr_matrix_in_place(&wanted);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rows);
    CU_ASSERT_EQUAL_FATAL(w.n_out, wanted.n_out);
    CU_ASSERT_EQUAL_FATAL(w.n_in, wanted.n_in);
    size_t row = (size_t)w.n_in * fr_dtype_bytes(w.dtype);
    char *got = fr_test_memory(malloc((size_t)w.n_out * row));
    fr_matrix_read(&fr_quant_generic, &w, 0, w.n_out, got);
    fr_assert_same_bytes("all rows", got, rows, (size_t)w.n_out * row);
    for (int i = 0; i < FR_N_CASES(RUNS); i++) {
        if (RUNS[i][0] + RUNS[i][1] <= w.n_out) {
            fr_matrix_read(&fr_quant_generic, &w, RUNS[i][0], RUNS[i][1], got);
            fr_assert_same_bytes("a run of rows", got, rows + (size_t)RUNS[i][0] * row,
                                 (size_t)RUNS[i][1] * row);
        }
    }
    free(got);
    for (int isa = FR_ISA_GENERIC; isa <= (int)fr_isa_detect(); isa++) {
        fr_device *device = fr_test_device((fr_isa)isa, 1 + isa % 2);
        check_products(device, &w, &wanted);
        fr_device_destroy(&device);
    }
    fr_frozen_destroy(&converted);
    fr_frozen_destroy(&left);
}

static void every_type_is_read_from_the_file_as_it_is_converted(void)
{
    for (int t = 0; t < FR_N_CASES(TYPES); t++) {
        fr_weights *weights = open_file_of(TYPES[t]);
        for (int d = 0; d < 2; d++) {
            fr_holding in_file = {weights, d == 0 ? FR_F32 : FR_BF16, true};
            check_stack(&in_file, &FR_STACK_QKV, 0);
            check_stack(&in_file, &FR_STACK_GATE_UP, 0);
            check_stack(&in_file, &FR_STACK_DOWN, 0);
            check_stack(&in_file, &FR_STACK_TOKENS, -1);
        }
        fr_weights_close(&weights);
    }
}

static void fused_tensors_are_read_from_the_file_as_they_are_converted(void)
{
    for (int t = 0; t < FR_N_CASES(TYPES); t++) {
        fr_weights *weights = open_fused_file_of(TYPES[t]);
        fr_holding in_file = {weights, t % 2 == 0 ? FR_F32 : FR_BF16, true};
        CU_ASSERT(fr_weights_stay(&in_file, &FR_STACK_QKV, 0));
        check_stack(&in_file, &FR_STACK_QKV, 0);
        check_stack(&in_file, &FR_STACK_GATE_UP, 0);
        fr_weights_close(&weights);
    }
}

/* Heads of Q, K and V one after the other, and stacked tensors, in folders. */
static void every_storage_form_is_read_as_it_is_converted(void)
{
    static const char *const MODELS[] = {"gpt_neox", "bloom", "phi3", "gemma2", "opt"};
    for (int i = 0; i < FR_N_CASES(MODELS); i++) {
        char path[64];
        fr_weights *weights = NULL;
        (void)snprintf(path, sizeof path, "golden/families/%s", MODELS[i]);
        FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), fr_test_data(path), &weights));
        bool gated = fr_weights_arch(weights)->gated;
        fr_holding in_file = {weights, i % 2 == 0 ? FR_F32 : FR_BF16, true};
        CU_ASSERT(fr_weights_stay(&in_file, &FR_STACK_QKV, 1));
        check_stack(&in_file, &FR_STACK_QKV, 1);
        check_stack(&in_file, gated ? &FR_STACK_GATE_UP : &FR_STACK_UP, 1);
        fr_weights_close(&weights);
    }
}

/* Half precision in both dtypes, sizes that are no multiples of anything. */
static void folders_are_read_as_they_are_converted(void)
{
    static const char *const HALVES[] = {"F16", "BF16", "F32"};
    for (int i = 0; i < 6; i++) {
        fr_weights *weights = NULL;
        const char *folder = fr_test_micro_folder(FR_LLAMA, HALVES[i / 2]);
        FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), folder, &weights));
        fr_holding in_file = {weights, i % 2 == 0 ? FR_F32 : FR_BF16, true};
        check_stack(&in_file, &FR_STACK_QKV, 1);
        check_stack(&in_file, &FR_STACK_GATE_UP, 0);
        check_stack(&in_file, &FR_STACK_DOWN, 1);
        check_stack(&in_file, &FR_STACK_TOKENS, -1);
        fr_weights_close(&weights);
    }
}

static void bytes_are_those_of_the_file(void)
{
    fr_weights *weights = open_file_of(FR_QUANT_Q4_K);
    fr_holding in_file = {weights, FR_BF16, true};
    fr_holding in_memory = {weights, FR_BF16, false};
    CU_ASSERT_EQUAL(fr_weights_held_bytes(&in_file, FR_W_DOWN, 0),
                    WIDTH * FF / 256 * 144);
    CU_ASSERT_EQUAL(fr_weights_held_bytes(&in_memory, FR_W_DOWN, 0), WIDTH * FF * 2);
    fr_weights_close(&weights);
}

/* Folders of half precision: bytes of the tensors instead of the device's, and scratch to read them. */
static void weights_in_the_file_count_as_they_lie_there(void)
{
    fr_weights *weights = NULL;
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), fr_test_micro_folder(FR_LLAMA, "F16"),
                                 &weights));
    const fr_arch *a = fr_weights_arch(weights);
    fr_stage_shape shape = {.arch = a, .dtype = FR_BF16, .n_layers = a->n_layers};
    int64_t halves = fr_stage_weight_bytes(&shape);
    CU_ASSERT_EQUAL(fr_stage_reading_bytes(&shape), 0);
    shape.dtype = FR_F32;
    CU_ASSERT(fr_stage_weight_bytes(&shape) > halves);
    shape.in_file = weights;
    CU_ASSERT_EQUAL(fr_stage_weight_bytes(&shape), halves);
    CU_ASSERT_EQUAL(fr_stage_reading_bytes(&shape),
                    (fr_arch_qkv_width(a) > fr_arch_up_width(a) ? fr_arch_qkv_width(a)
                                                                : fr_arch_up_width(a)) *
                        a->d_model * 4);
    fr_weights_close(&weights);
}

/* GPT-2's matrices lie transposed in folders: they are converted whatever is wanted. */
static void transposed_tensors_are_converted(void)
{
    fr_weights *weights = NULL;
    FR_ASSERT_OK(
        fr_weights_open(fr_test_ctx(), fr_test_data("golden/tiny_gpt2"), &weights));
    fr_holding in_file = {weights, FR_BF16, true};
    check_stack(&in_file, &FR_STACK_QKV, 1);
    fr_frozen *frozen = hold(&in_file);
    fr_matrix w = fr_frozen_matrix(frozen, &FR_STACK_DOWN, 1);
    CU_ASSERT_PTR_NOT_NULL(fr_matrix_in_place(&w));
    CU_ASSERT_EQUAL(fr_weights_held_bytes(&in_file, FR_W_DOWN, 1),
                    w.n_out * w.n_in * 2);
    fr_frozen_destroy(&frozen);
    fr_weights_close(&weights);
}

/* Rows that are in the file what the device takes are not copied at all. */
static void ready_rows_are_used_where_they_lie(void)
{
    fr_weights *weights = open_file_of(FR_QUANT_BF16);
    fr_holding in_file = {weights, FR_BF16, true};
    fr_frozen *frozen = hold(&in_file);
    fr_matrix w = fr_frozen_matrix(frozen, &FR_STACK_DOWN, 0);
    CU_ASSERT_PTR_NOT_NULL(fr_matrix_in_place(&w));
    fr_frozen_destroy(&frozen);
    fr_weights_close(&weights);
}

static const fr_case CASES[] = {
    FR_CASE(every_type_is_read_from_the_file_as_it_is_converted),
    FR_CASE(fused_tensors_are_read_from_the_file_as_they_are_converted),
    FR_CASE(every_storage_form_is_read_as_it_is_converted),
    FR_CASE(folders_are_read_as_they_are_converted),
    FR_CASE(bytes_are_those_of_the_file),
    FR_CASE(weights_in_the_file_count_as_they_lie_there),
    FR_CASE(transposed_tensors_are_converted),
    FR_CASE(ready_rows_are_used_where_they_lie),
};

int main(int argc, char **argv)
{
    return fr_suite_main("weights_stack", CASES, FR_N_CASES(CASES), argc, argv);
}
