#include "model/weights/weights.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/rng.h"
#include "device/cpu/quant_kernels.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 128 };

static fr_weights *open_weights(const char *path)
{
    fr_weights *weights = NULL;
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), path, &weights));
    CU_ASSERT_PTR_NOT_NULL_FATAL(weights);
    return weights;
}

static void *read_weight(const fr_weights *weights, fr_weight role, int64_t layer,
                         fr_dtype dtype, int64_t *n)
{
    int64_t n_out = 0;
    int64_t n_in = 0;
    fr_weights_shape(weights, role, layer, &n_out, &n_in);
    *n = n_out * n_in;
    void *out = fr_test_memory(malloc((size_t)*n * fr_dtype_bytes(dtype)));
    FR_ASSERT_OK(fr_weights_read(fr_test_ctx(), weights, role, layer, dtype, out));
    return out;
}

static fr_safetensors *open_tensors(const char *folder)
{
    fr_safetensors *file = NULL;
    const char *path = fr_test_path(folder, "model.safetensors");
    FR_ASSERT_OK(fr_safetensors_open(fr_test_ctx(), path, &file));
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    return file;
}

static float *copy_tensor(const fr_safetensors *file, const char *name)
{
    const fr_safetensor *tensor = fr_safetensors_find(file, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tensor);
    float *copy = fr_test_memory(malloc(tensor->bytes));
    memcpy(copy, tensor->data, tensor->bytes);
    return copy;
}

/* Every weight of both models, in both dtypes, is the same. */
static void compare_models(const fr_weights *a, const fr_weights *b)
{
    const fr_arch *arch = fr_weights_arch(a);
    int n_compared = 0;
    for (int64_t layer = 0; layer < arch->n_layers; layer++) {
        for (int role = 0; role < FR_W_COUNT; role++) {
            bool has = fr_weights_has(a, (fr_weight)role, layer);
            CU_ASSERT_EQUAL_FATAL(has, fr_weights_has(b, (fr_weight)role, layer));
            for (int dtype = FR_F32; has && dtype <= FR_BF16; dtype++) {
                char what[NAME_BYTES];
                int64_t n = 0;
                int64_t m = 0;
                void *x = read_weight(a, (fr_weight)role, layer, (fr_dtype)dtype, &n);
                void *y = read_weight(b, (fr_weight)role, layer, (fr_dtype)dtype, &m);
                (void)snprintf(what, sizeof what, "role %d layer %d dtype %d", role,
                               (int)layer, dtype);
                CU_ASSERT_EQUAL_FATAL(n, m);
                fr_assert_same_bytes(what, y, x,
                                     (size_t)n * fr_dtype_bytes((fr_dtype)dtype));
                n_compared++;
                free(x);
                free(y);
            }
        }
    }
    CU_ASSERT(n_compared > 20);
}

static void llama_folder_gives_its_settings(void)
{
    const char *path = fr_test_data("golden/tiny_llama");
    fr_weights *weights = open_weights(path);
    const fr_arch *arch = fr_weights_arch(weights);
    CU_ASSERT_STRING_EQUAL(fr_weights_path(weights), path);
    CU_ASSERT(strcmp(arch->family, "llama") == 0 && arch->n_layers == 2 &&
              arch->d_model == 64);
    CU_ASSERT(arch->d_ff == 160 && arch->n_heads == 4 && arch->n_kv_heads == 2);
    CU_ASSERT(arch->head_dim == 16 && arch->vocab_size == 128);
    CU_ASSERT(arch->context_length == 128 && arch->norm_eps == 1e-5);
    CU_ASSERT(arch->rotation.theta == 10000.0 && !arch->qkv_bias);
    CU_ASSERT(!arch->mlp_bias && !arch->tied_head);
    CU_ASSERT(fr_weights_has(weights, FR_W_HEAD, 0));
    CU_ASSERT(fr_weights_has(weights, FR_W_GATE, 1));
    CU_ASSERT(!fr_weights_has(weights, FR_W_POSITIONS, 0));
    CU_ASSERT(!fr_weights_has(weights, FR_W_Q_BIAS, 1));
    CU_ASSERT(!fr_weights_has(weights, FR_W_ATTN_NORM_BIAS, 0));
    fr_weights_close(&weights);
    CU_ASSERT_PTR_NULL(weights);
    fr_weights_close(&weights);
}

static void gpt2_folder_gives_its_settings(void)
{
    fr_weights *weights = open_weights(fr_test_data("golden/tiny_gpt2"));
    const fr_arch *arch = fr_weights_arch(weights);
    int64_t n_out = 0;
    int64_t n_in = 0;
    CU_ASSERT(strcmp(arch->family, "gpt2") == 0 && arch->n_layers == 2 &&
              arch->d_model == 64);
    CU_ASSERT(arch->d_ff == 256 && arch->n_heads == 4 && arch->n_kv_heads == 4);
    CU_ASSERT(arch->head_dim == 16 && arch->context_length == 128);
    CU_ASSERT(arch->qkv_bias && arch->o_bias && arch->mlp_bias && arch->tied_head);
    CU_ASSERT(!fr_weights_has(weights, FR_W_GATE, 0));
    CU_ASSERT(!fr_weights_has(weights, FR_W_GATE_BIAS, 0));
    fr_weights_shape(weights, FR_W_UP, 1, &n_out, &n_in);
    CU_ASSERT(n_out == 256 && n_in == 64);
    fr_weights_shape(weights, FR_W_K_BIAS, 1, &n_out, &n_in);
    CU_ASSERT(n_out == 64 && n_in == 1);
    fr_weights_close(&weights);
}

static void llama_matrices_are_as_in_the_folder(void)
{
    const char *folder = fr_test_data("golden/tiny_llama");
    fr_weights *weights = open_weights(folder);
    fr_safetensors *file = open_tensors(folder);
    int64_t n = 0;
    float *k = read_weight(weights, FR_W_K, 1, FR_F32, &n);
    float *wanted = copy_tensor(file, "model.layers.1.self_attn.k_proj.weight");
    CU_ASSERT_EQUAL(n, 32 * 64);
    fr_assert_same_bytes("k", k, wanted, (size_t)n * sizeof *k);
    free(k);
    free(wanted);
    fr_safetensors_close(&file);
    fr_weights_close(&weights);
}

/* Element [o, i] of Q, K, V is element [i, part * D + o] of c_attn. */
static void check_split(const char *folder, const char *name, int64_t d)
{
    static const fr_weight ROLES[] = {FR_W_Q, FR_W_K, FR_W_V};
    static const fr_weight BIASES[] = {FR_W_Q_BIAS, FR_W_K_BIAS, FR_W_V_BIAS};
    char bias_name[NAME_BYTES];
    fr_weights *weights = open_weights(folder);
    fr_safetensors *file = open_tensors(folder);
    float *fused = copy_tensor(file, name);
    (void)snprintf(bias_name, sizeof bias_name, "%.*sbias",
                   (int)(strlen(name) - strlen("weight")), name);
    float *fused_bias = copy_tensor(file, bias_name);
    int n_wrong = 0;
    for (int64_t part = 0; part < 3; part++) {
        int64_t n = 0;
        float *got = read_weight(weights, ROLES[part], 1, FR_F32, &n);
        CU_ASSERT_EQUAL_FATAL(n, d * d);
        for (int64_t i = 0; i < n; i++) {
            n_wrong += got[i] != fused[(i % d) * 3 * d + part * d + i / d] ? 1 : 0;
        }
        free(got);
        got = read_weight(weights, BIASES[part], 1, FR_F32, &n);
        fr_assert_same_bytes("bias", got, fused_bias + part * d,
                             (size_t)d * sizeof *got);
        free(got);
    }
    CU_ASSERT_EQUAL(n_wrong, 0);
    free(fused);
    free(fused_bias);
    fr_safetensors_close(&file);
    fr_weights_close(&weights);
}

static void gpt2_attention_is_split_and_transposed(void)
{
    check_split(fr_test_data("golden/tiny_gpt2"), "transformer.h.1.attn.c_attn.weight",
                64);
    check_split(fr_test_micro_folder(FR_GPT2, "F32"), "h.1.attn.c_attn.weight", 8);
}

static void check_conversion(const char *folder)
{
    const char *path = fr_test_path(fr_test_folder(), "model.gguf");
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_add_folder(writer, folder);
    fr_gguf_writer_write(writer, path);
    fr_weights *a = open_weights(folder);
    fr_weights *b = open_weights(path);
    const fr_arch *x = fr_weights_arch(a);
    const fr_arch *y = fr_weights_arch(b);
    CU_ASSERT(x->family == y->family && x->d_ff == y->d_ff);
    CU_ASSERT(x->n_heads == y->n_heads && x->n_kv_heads == y->n_kv_heads);
    CU_ASSERT(x->head_dim == y->head_dim && x->vocab_size == y->vocab_size);
    CU_ASSERT(x->context_length == y->context_length);
    CU_ASSERT((float)x->norm_eps == (float)y->norm_eps);
    CU_ASSERT(x->tied_head == y->tied_head && x->qkv_bias == y->qkv_bias &&
              x->o_bias == y->o_bias);
    CU_ASSERT(x->mlp_bias == y->mlp_bias && x->rotation.theta == y->rotation.theta);
    compare_models(a, b);
    fr_weights_close(&a);
    fr_weights_close(&b);
    fr_gguf_writer_destroy(&writer);
}

static void llama_gguf_gives_the_bytes_of_the_folder(void)
{
    check_conversion(fr_test_data("golden/tiny_llama"));
    check_conversion(fr_test_micro_folder(FR_LLAMA, "F32"));
}

static void gpt2_gguf_gives_the_bytes_of_the_folder(void)
{
    check_conversion(fr_test_data("golden/tiny_gpt2"));
    check_conversion(fr_test_micro_folder(FR_GPT2, "F32"));
}

/* Row r of head h in halves order lies at h K + 2 (r mod K/2) + r / (K/2) in the file. */
static void quantised_rows_are_brought_to_halves_order(void)
{
    enum { ROWS = 64, WIDTH = 64, BLOCK_BYTES = 34, ROW_BYTES = 2 * BLOCK_BYTES };
    uint8_t blocks[ROWS * ROW_BYTES];
    float wanted[ROWS * WIDTH];
    for (size_t i = 0; i < sizeof blocks; i++) {
        uint8_t byte = (uint8_t)fr_rng_u64(3, FR_RNG_TEST, 0, i);
        blocks[i] = i % BLOCK_BYTES == 1 ? (uint8_t)(0x20 | (byte & 15)) : byte;
    }
    for (int64_t r = 0; r < ROWS; r++) {
        int64_t in_file = r / 16 * 16 + 2 * (r % 8) + r % 16 / 8;
        fr_quant_widen(&fr_quant_generic, fr_quant_find(FR_QUANT_Q8_0),
                       blocks + in_file * ROW_BYTES, WIDTH, wanted + r * WIDTH);
    }
    const char *path = fr_test_path(fr_test_folder(), "model.gguf");
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_add_folder(writer, fr_test_data("golden/tiny_llama"));
    fr_gguf_writer_set_tensor(writer, "blk.1.attn_q.weight", FR_QUANT_Q8_0, ROWS, WIDTH,
                              blocks);
    fr_gguf_writer_write(writer, path);
    fr_weights *weights = open_weights(path);
    int64_t n = 0;
    float *got = read_weight(weights, FR_W_Q, 1, FR_F32, &n);
    uint16_t *rounded = read_weight(weights, FR_W_Q, 1, FR_BF16, &n);
    uint16_t wanted_rounded[ROWS * WIDTH];
    fr_quant_round_bf16(&fr_quant_generic, wanted, ROWS * WIDTH, wanted_rounded);
    fr_assert_same_bytes("q", got, wanted, sizeof wanted);
    fr_assert_same_bytes("q in bf16", rounded, wanted_rounded, sizeof wanted_rounded);
    free(got);
    free(rounded);
    fr_weights_close(&weights);
    fr_gguf_writer_destroy(&writer);
}

static void half_precision_folders_are_widened(void)
{
    static const char *const DTYPES[] = {"F16", "BF16"};
    static const uint32_t NUMBERS[] = {FR_QUANT_F16, FR_QUANT_BF16};
    for (int i = 0; i < 2; i++) {
        const char *folder = fr_test_micro_folder(FR_LLAMA, DTYPES[i]);
        fr_weights *weights = open_weights(folder);
        fr_safetensors *file = open_tensors(folder);
        const fr_safetensor *raw =
            fr_safetensors_find(file, "model.layers.1.mlp.down_proj.weight");
        int64_t n = 0;
        float *got = read_weight(weights, FR_W_DOWN, 1, FR_F32, &n);
        uint16_t *rounded = read_weight(weights, FR_W_DOWN, 1, FR_BF16, &n);
        float wanted[80];
        uint16_t wanted_rounded[80];
        CU_ASSERT_EQUAL_FATAL(n, 80);
        fr_quant_widen(&fr_quant_generic, fr_quant_find(NUMBERS[i]), raw->data, n,
                       wanted);
        fr_quant_round_bf16(&fr_quant_generic, wanted, n, wanted_rounded);
        fr_assert_same_bytes(DTYPES[i], got, wanted, sizeof wanted);
        fr_assert_same_bytes(DTYPES[i], rounded, wanted_rounded, sizeof wanted_rounded);
        free(got);
        free(rounded);
        fr_safetensors_close(&file);
        fr_weights_close(&weights);
    }
}

/* Two files for the tensors of a folder, and their index. */
static const char *shard(const char *source)
{
    static const char *const FILES[] = {"a.safetensors", "b.safetensors"};
    enum { MAX = 64 };
    const char *folder = fr_test_folder();
    fr_safetensors *file = open_tensors(source);
    int64_t n = fr_safetensors_n_tensors(file);
    char index[8192] = "{\"metadata\":{},\"weight_map\":{";
    CU_ASSERT_FATAL(n <= MAX);
    for (int part = 0; part < 2; part++) {
        const fr_safetensor *chosen[MAX];
        int64_t n_chosen = 0;
        for (int64_t i = part; i < n; i += 2) {
            size_t at = strlen(index);
            chosen[n_chosen] = fr_safetensors_tensor_at(file, i);
            (void)snprintf(index + at, sizeof index - at, "%s\"%s\":\"%s\"",
                           i == 0 ? "" : ",", chosen[n_chosen]->name.data, FILES[part]);
            n_chosen++;
        }
        fr_test_write_tensors(fr_test_path(folder, FILES[part]), chosen, n_chosen);
    }
    size_t end = strlen(index);
    (void)snprintf(index + end, sizeof index - end, "}}");
    fr_test_write_text(fr_test_path(folder, "model.safetensors.index.json"), index);
    fr_safetensors_close(&file);
    return folder;
}

static void sharded_folder_gives_the_same_bytes(void)
{
    const char *source = fr_test_data("golden/tiny_llama");
    const char *folder = shard(source);
    char *config = NULL;
    size_t bytes = 0;
    uint8_t one[FR_DIGEST_BYTES];
    uint8_t two[FR_DIGEST_BYTES];
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), fr_test_path(source, "config.json"),
                              &config, &bytes));
    fr_test_write(fr_test_path(folder, "config.json"), config, bytes);
    free(config);
    fr_weights *a = open_weights(source);
    fr_weights *b = open_weights(folder);
    compare_models(a, b);
    for (int64_t layer = -1; layer < 2; layer++) {
        FR_ASSERT_OK(fr_weights_digest(fr_test_ctx(), a, layer, one));
        FR_ASSERT_OK(fr_weights_digest(fr_test_ctx(), b, layer, two));
        fr_assert_same_bytes("digest", one, two, sizeof one);
    }
    fr_weights_close(&a);
    fr_weights_close(&b);
}

static void digest_covers_each_tensor_once_in_role_order(void)
{
    static const char *const OUTSIDE[] = {"wte.weight", "wpe.weight", "ln_f.weight",
                                          "ln_f.bias"};
    static const char *const LAYER[] = {
        "h.1.ln_1.weight",      "h.1.ln_1.bias",          "h.1.attn.c_attn.weight",
        "h.1.attn.c_attn.bias", "h.1.attn.c_proj.weight", "h.1.attn.c_proj.bias",
        "h.1.ln_2.weight",      "h.1.ln_2.bias",          "h.1.mlp.c_fc.weight",
        "h.1.mlp.c_fc.bias",    "h.1.mlp.c_proj.weight",  "h.1.mlp.c_proj.bias"};
    const char *folder = fr_test_micro_folder(FR_GPT2, "F32");
    fr_weights *weights = open_weights(folder);
    fr_safetensors *file = open_tensors(folder);
    fr_ctx *ctx = fr_test_ctx();
    for (int64_t layer = -1; layer < 2; layer += 2) {
        const char *const *names = layer < 0 ? OUTSIDE : LAYER;
        int n = layer < 0 ? FR_N_CASES(OUTSIDE) : FR_N_CASES(LAYER);
        fr_digest *digest = NULL;
        uint8_t wanted[FR_DIGEST_BYTES];
        uint8_t got[FR_DIGEST_BYTES];
        FR_ASSERT_OK(fr_digest_create(ctx, &digest));
        for (int i = 0; i < n; i++) {
            const fr_safetensor *tensor = fr_safetensors_find(file, names[i]);
            CU_ASSERT_PTR_NOT_NULL_FATAL(tensor);
            FR_ASSERT_OK(fr_digest_add(ctx, digest, tensor->data, tensor->bytes));
        }
        FR_ASSERT_OK(fr_digest_end(ctx, digest, wanted));
        FR_ASSERT_OK(fr_weights_digest(ctx, weights, layer, got));
        fr_assert_same_bytes("digest", got, wanted, sizeof got);
        fr_digest_destroy(&digest);
    }
    fr_safetensors_close(&file);
    fr_weights_close(&weights);
}

static void tensors_are_described(void)
{
    fr_weights *weights = open_weights(fr_test_data("golden/tiny_llama"));
    char line[256];
    char tight[8];
    CU_ASSERT_EQUAL(fr_weights_n_tensors(weights), 21);
    FR_ASSERT_OK(fr_weights_describe(fr_test_ctx(), weights, 2, line, sizeof line));
    CU_ASSERT_PTR_NOT_NULL(strstr(line, "model.layers.0.input_layernorm.weight"));
    CU_ASSERT_PTR_NOT_NULL(strstr(line, " F32 "));
    FR_ASSERT_OK(fr_weights_describe(fr_test_ctx(), weights, 0, line, sizeof line));
    CU_ASSERT_PTR_NOT_NULL(strstr(line, "[128, 64]"));
    FR_ASSERT_OK(fr_weights_describe(fr_test_ctx(), weights, 0, tight, sizeof tight));
    CU_ASSERT_STRING_EQUAL(tight, "lm_head");
    FR_ASSERT_FAILS(fr_weights_describe(fr_test_ctx(), weights, 21, line, sizeof line),
                    FR_ERR_ARG, "must be 0 to 20");
    fr_weights_close(&weights);
}

static void released_tensors_read_as_before(void)
{
    fr_weights *weights = NULL;
    float before[64 * 1024];
    float after[64 * 1024];
    int64_t rows = 0;
    int64_t columns = 0;
    FR_ASSERT_OK(
        fr_weights_open(fr_test_ctx(), fr_test_data("golden/tiny_llama"), &weights));
    fr_weights_shape(weights, FR_W_Q, 0, &rows, &columns);
    size_t bytes = (size_t)(rows * columns) * sizeof(float);
    CU_ASSERT_TRUE_FATAL(bytes <= sizeof before);
    FR_ASSERT_OK(fr_weights_read(fr_test_ctx(), weights, FR_W_Q, 0, FR_F32, before));
    fr_weights_release(weights);
    FR_ASSERT_OK(fr_weights_read(fr_test_ctx(), weights, FR_W_Q, 0, FR_F32, after));
    fr_assert_same_bytes("Q", after, before, bytes);
    fr_weights_close(&weights);
}

static const fr_case CASES[] = {
    FR_CASE(llama_folder_gives_its_settings),
    FR_CASE(gpt2_folder_gives_its_settings),
    FR_CASE(llama_matrices_are_as_in_the_folder),
    FR_CASE(gpt2_attention_is_split_and_transposed),
    FR_CASE(llama_gguf_gives_the_bytes_of_the_folder),
    FR_CASE(gpt2_gguf_gives_the_bytes_of_the_folder),
    FR_CASE(quantised_rows_are_brought_to_halves_order),
    FR_CASE(half_precision_folders_are_widened),
    FR_CASE(sharded_folder_gives_the_same_bytes),
    FR_CASE(digest_covers_each_tensor_once_in_role_order),
    FR_CASE(tensors_are_described),
    FR_CASE(released_tensors_read_as_before),
};

int main(int argc, char **argv)
{
    return fr_suite_main("weights", CASES, FR_N_CASES(CASES), argc, argv);
}
