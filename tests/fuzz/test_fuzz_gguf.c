#include "base/file.h"
#include "device/quant.h"
#include "model/files/gguf.h"
#include "model/files/gguf_impl.h"
#include "model/weights/weights.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"
#include "support/mutate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_PARSED = 20000, N_OPENED = 2000 };

/* Use everything that an accepted file hands out. */
static uint64_t touch_values(const fr_gguf *gguf)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < gguf->n_pairs; i++) {
        fr_text key = gguf->pairs[i].key;
        const fr_gguf_value *value = &gguf->pairs[i].value;
        sum += fr_test_sum(key.data, key.bytes);
        if (value->type != FR_GGUF_STRING && value->item_type != FR_GGUF_STRING) {
            size_t bytes = fr_gguf_item_bytes(value->item_type) * value->count;
            sum += fr_test_sum(value->data, bytes);
        }
    }
    return sum;
}

static uint64_t touch_known_keys(const fr_gguf *gguf)
{
    uint64_t sum = 0;
    fr_text text = {NULL, 0};
    fr_text *texts = NULL;
    int64_t *ints = NULL;
    int64_t n = 0;
    fr_ctx *ctx = fr_test_ctx();
    if (fr_gguf_get_text(gguf, "general.architecture", &text)) {
        sum += fr_test_sum(text.data, text.bytes);
    }
    if (fr_gguf_get_texts(ctx, gguf, "words", &texts, &n) == FR_OK) {
        for (int64_t i = 0; i < n; i++) {
            sum += fr_test_sum(texts[i].data, texts[i].bytes);
        }
    }
    free(texts);
    fr_ctx_clear_error(ctx);
    if (fr_gguf_get_ints(ctx, gguf, "numbers", &ints, &n) == FR_OK) {
        sum += fr_test_sum(ints, (size_t)n * sizeof *ints);
    }
    free(ints);
    return sum;
}

static uint64_t touch_tensors(const fr_gguf *gguf)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < fr_gguf_n_tensors(gguf); i++) {
        const fr_gguf_tensor *tensor = fr_gguf_tensor_at(gguf, i);
        sum += fr_test_sum(tensor->name.data, tensor->name.bytes);
        sum += fr_test_sum(tensor->data, tensor->bytes);
    }
    return sum;
}

static fr_status parse(fr_ctx *ctx, const uint8_t *bytes, size_t n_bytes)
{
    fr_gguf *gguf = NULL;
    fr_status status = fr_gguf_parse(ctx, "x", bytes, n_bytes, &gguf);
    if (status == FR_OK) {
        uint64_t sum =
            1 + touch_values(gguf) + touch_known_keys(gguf) + touch_tensors(gguf);
        status = sum == 0 ? FR_ERR_INTERNAL : FR_OK;
    }
    fr_gguf_close(&gguf);
    return status;
}

static bool is_clear_refusal(const fr_ctx *ctx, fr_status status)
{
    return (status == FR_ERR_FORMAT || status == FR_ERR_UNSUPPORTED) &&
           strlen(fr_ctx_error(ctx)) > 0;
}

/* Accepted and refused files must both occur, or the mutations prove nothing. */
static void mutated_files_are_parsed_or_refused(void)
{
    static const char *const WORDS[] = {"a", "", "long one"};
    static const int32_t NUMBERS[] = {1, -2, 3};
    int n_accepted = 0;
    int n_unclear = 0;
    size_t n_bytes = 0;
    float data[64] = {1.0F};
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_set_text(writer, "general.architecture", "llama");
    fr_gguf_writer_set_u32(writer, "general.alignment", 32);
    fr_gguf_writer_set_texts(writer, "words", WORDS, 3);
    fr_gguf_writer_set_ints(writer, "numbers", NUMBERS, 3);
    fr_gguf_writer_set_tensor(writer, "a", FR_QUANT_F32, 4, 8, data);
    fr_gguf_writer_set_tensor(writer, "b", FR_QUANT_Q8_0, 2, 32, data);
    uint8_t *bytes = fr_gguf_writer_bytes(writer, &n_bytes);
    FR_ASSERT_OK(parse(fr_test_ctx(), bytes, n_bytes));
    for (uint64_t round = 0; round < N_PARSED; round++) {
        fr_ctx *ctx = fr_test_ctx();
        size_t n_mutated = 0;
        uint8_t *mutated = fr_test_mutate(bytes, n_bytes, round, &n_mutated);
        fr_status status = parse(ctx, mutated, n_mutated);
        n_accepted += status == FR_OK ? 1 : 0;
        n_unclear += status == FR_OK || is_clear_refusal(ctx, status) ? 0 : 1;
        free(mutated);
    }
    CU_ASSERT_EQUAL(n_unclear, 0);
    CU_ASSERT(n_accepted > N_PARSED / 100 && n_accepted < N_PARSED - N_PARSED / 10);
    free(bytes);
    fr_gguf_writer_destroy(&writer);
}

/* Read all weights of an accepted file into memory of exactly their size. */
static void read_all(const fr_weights *weights)
{
    const fr_arch *arch = fr_weights_arch(weights);
    for (int64_t layer = 0; layer < arch->n_layers; layer++) {
        for (int role = 0; role < FR_W_COUNT; role++) {
            int64_t n_out = 0;
            int64_t n_in = 0;
            if (!fr_weights_has(weights, (fr_weight)role, layer)) {
                continue;
            }
            fr_weights_shape(weights, (fr_weight)role, layer, &n_out, &n_in);
            fr_dtype dtype = role % 2 == 0 ? FR_F32 : FR_BF16;
            size_t bytes = (size_t)(n_out * n_in) * fr_dtype_bytes(dtype);
            void *out = fr_test_memory(malloc(bytes));
            FR_ASSERT_OK(fr_weights_read(fr_test_ctx(), weights, (fr_weight)role, layer,
                                         dtype, out));
            free(out);
        }
    }
}

/* Damage a file, round after round. */
static void open_mutated_bytes(const uint8_t *bytes, size_t n_bytes, uint64_t rounds)
{
    const char *path = fr_test_path(fr_test_folder(), "model.gguf");
    uint64_t n_accepted = 0;
    int n_unclear = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        fr_ctx *ctx = fr_test_ctx();
        fr_weights *weights = NULL;
        size_t n_mutated = 0;
        uint8_t *mutated = fr_test_mutate(bytes, n_bytes, round, &n_mutated);
        fr_test_write(path, mutated, n_mutated);
        free(mutated);
        fr_status status = fr_weights_open(ctx, path, &weights);
        n_unclear += status == FR_OK || is_clear_refusal(ctx, status) ? 0 : 1;
        if (status == FR_OK) {
            read_all(weights);
            n_accepted++;
        }
        fr_weights_close(&weights);
    }
    CU_ASSERT_EQUAL(n_unclear, 0);
    CU_ASSERT(n_accepted > rounds / 100 && n_accepted < rounds - rounds / 10);
}

static void open_mutated(fr_test_kind family)
{
    fr_gguf_writer *writer = fr_gguf_writer_create();
    size_t n_bytes = 0;
    fr_gguf_writer_add_folder(writer, fr_test_micro_folder(family, "F32"));
    uint8_t *bytes = fr_gguf_writer_bytes(writer, &n_bytes);
    open_mutated_bytes(bytes, n_bytes, N_OPENED);
    free(bytes);
    fr_gguf_writer_destroy(&writer);
}

/* Fused tensors, windows, and factors of RoPE. */
static void mutated_files_of_other_families_are_opened_or_refused(void)
{
    static const char *const MODELS[] = {"llama3", "gemma3", "phi3_longrope",
                                         "granite"};
    for (int i = 0; i < FR_N_CASES(MODELS); i++) {
        char name[96];
        char *bytes = NULL;
        size_t n_bytes = 0;
        (void)snprintf(name, sizeof name, "golden/families/%s/model.gguf", MODELS[i]);
        FR_ASSERT_OK(fr_file_read(fr_test_ctx(), fr_test_data(name), &bytes, &n_bytes));
        open_mutated_bytes((const uint8_t *)bytes, n_bytes, N_OPENED / 4);
        free(bytes);
    }
}

static void mutated_models_are_opened_or_refused(void)
{
    open_mutated(FR_LLAMA);
    open_mutated(FR_GPT2);
}

static const fr_case CASES[] = {
    FR_CASE(mutated_files_are_parsed_or_refused),
    FR_CASE(mutated_models_are_opened_or_refused),
    FR_CASE(mutated_files_of_other_families_are_opened_or_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fuzz_gguf", CASES, FR_N_CASES(CASES), argc, argv);
}
