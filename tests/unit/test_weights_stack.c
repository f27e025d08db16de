/* Matrices that stay in the file have the values of those that are converted once, whatever run of rows is read. */
#include "model/quant.h"
#include "model/weights.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"

#include <stdlib.h>
#include <string.h>

/* One layer of a Llama whose widths take any block: 4 heads and 2 key/value heads of 64. */
enum { WIDTH = 256, KV = 128, FF = 512, VOCAB = 24 };

static const uint32_t TYPES[] = {FR_QUANT_F32,  FR_QUANT_F16,  FR_QUANT_BF16,
                                 FR_QUANT_Q4_0, FR_QUANT_Q4_1, FR_QUANT_Q5_0,
                                 FR_QUANT_Q5_1, FR_QUANT_Q8_0, FR_QUANT_Q4_K,
                                 FR_QUANT_Q5_K, FR_QUANT_Q6_K};

static const fr_stack QKV = {{FR_W_Q, FR_W_K, FR_W_V}, 3};
static const fr_stack GATE_UP = {{FR_W_GATE, FR_W_UP}, 2};
static const fr_stack DOWN = {{FR_W_DOWN}, 1};
static const fr_stack TOKENS = {{FR_W_TOKENS}, 1};

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

/* The whole, single rows at the seams between tensors, and runs over them. */
static void check_stack(const fr_holding *in_file, const fr_stack *stack, int64_t layer)
{
    static const int64_t RUNS[][2] = {{0, 1},     {255, 1}, {256, 1}, {383, 2},
                                      {250, 200}, {7, 16},  {511, 1}};
    fr_holding in_memory = {in_file->weights, in_file->dtype, false};
    void *owned[2];
    fr_matrix wanted;
    fr_matrix w;
    FR_ASSERT_OK(
        fr_weights_stack(fr_test_ctx(), &in_memory, stack, layer, &wanted, &owned[0]));
    FR_ASSERT_OK(fr_weights_stack(fr_test_ctx(), in_file, stack, layer, &w, &owned[1]));
    CU_ASSERT_EQUAL_FATAL(w.n_out, wanted.n_out);
    CU_ASSERT_EQUAL_FATAL(w.n_in, wanted.n_in);
    size_t row = (size_t)w.n_in * fr_dtype_bytes(w.dtype);
    char *got = fr_test_memory(malloc((size_t)w.n_out * row));
    fr_matrix_read(&w, 0, w.n_out, got);
    fr_assert_same_bytes("all rows", got, wanted.data, (size_t)w.n_out * row);
    for (int i = 0; i < FR_N_CASES(RUNS); i++) {
        if (RUNS[i][0] + RUNS[i][1] <= w.n_out) {
            fr_matrix_read(&w, RUNS[i][0], RUNS[i][1], got);
            fr_assert_same_bytes("a run of rows", got,
                                 (const char *)wanted.data + (size_t)RUNS[i][0] * row,
                                 (size_t)RUNS[i][1] * row);
        }
    }
    free(got);
    free(owned[0]);
    free(owned[1]);
}

static void every_type_is_read_from_the_file_as_it_is_converted(void)
{
    for (int t = 0; t < FR_N_CASES(TYPES); t++) {
        fr_weights *weights = open_file_of(TYPES[t]);
        for (int d = 0; d < 2; d++) {
            fr_holding in_file = {weights, d == 0 ? FR_F32 : FR_BF16, true};
            check_stack(&in_file, &QKV, 0);
            check_stack(&in_file, &GATE_UP, 0);
            check_stack(&in_file, &DOWN, 0);
            check_stack(&in_file, &TOKENS, -1);
        }
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
        check_stack(&in_file, &QKV, 1);
        check_stack(&in_file, &GATE_UP, 0);
        check_stack(&in_file, &DOWN, 1);
        check_stack(&in_file, &TOKENS, -1);
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

/* GPT-2's matrices lie transposed in folders: they are converted whatever is wanted. */
static void transposed_tensors_are_converted(void)
{
    fr_weights *weights = NULL;
    fr_matrix w;
    void *owned = NULL;
    FR_ASSERT_OK(
        fr_weights_open(fr_test_ctx(), fr_test_data("golden/tiny_gpt2"), &weights));
    fr_holding in_file = {weights, FR_BF16, true};
    check_stack(&in_file, &QKV, 1);
    FR_ASSERT_OK(fr_weights_stack(fr_test_ctx(), &in_file, &DOWN, 1, &w, &owned));
    CU_ASSERT_PTR_NULL(w.read);
    CU_ASSERT_EQUAL(fr_weights_held_bytes(&in_file, FR_W_DOWN, 1),
                    w.n_out * w.n_in * 2);
    free(owned);
    fr_weights_close(&weights);
}

/* Rows that are in the file what the device takes are not copied at all. */
static void ready_rows_are_used_where_they_lie(void)
{
    fr_weights *weights = open_file_of(FR_QUANT_BF16);
    fr_matrix w;
    void *owned = NULL;
    fr_holding in_file = {weights, FR_BF16, true};
    FR_ASSERT_OK(fr_weights_stack(fr_test_ctx(), &in_file, &DOWN, 0, &w, &owned));
    CU_ASSERT_PTR_NULL(w.read);
    CU_ASSERT_PTR_NULL(owned);
    fr_weights_close(&weights);
}

static const fr_case CASES[] = {
    FR_CASE(every_type_is_read_from_the_file_as_it_is_converted),
    FR_CASE(folders_are_read_as_they_are_converted),
    FR_CASE(bytes_are_those_of_the_file),
    FR_CASE(transposed_tensors_are_converted),
    FR_CASE(ready_rows_are_used_where_they_lie),
};

int main(int argc, char **argv)
{
    return fr_suite_main("weights_stack", CASES, FR_N_CASES(CASES), argc, argv);
}
