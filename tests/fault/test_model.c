#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "device/cpu/cpu.h"
#include "device/host.h"
#include "model/files/where.h"
#include "model/network/stage.h"
#include "model/text/dialogue.h"
#include "model/text/text_stream.h"
#include "model/text/tokens.h"
#include "support/fault.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fr_status read_weights(fr_ctx *ctx, void *path)
{
    uint8_t digest[FR_DIGEST_BYTES];
    char line[256];
    float *values = NULL;
    int64_t rows = 0;
    int64_t columns = 0;
    fr_weights *weights = NULL;
    fr_status status = fr_weights_open(ctx, path, &weights);
    if (status == FR_OK) {
        fr_weights_shape(weights, FR_W_Q, 0, &rows, &columns);
        values = calloc((size_t)(rows * columns), sizeof *values);
        status = fr_check_memory(ctx, values != NULL, (size_t)(rows * columns));
    }
    if (status == FR_OK) {
        status = fr_weights_read(ctx, weights, FR_W_Q, 0, FR_F32, values);
    }
    if (status == FR_OK) {
        status = fr_weights_digest(ctx, weights, 0, digest);
    }
    if (status == FR_OK) {
        status = fr_weights_describe(ctx, weights, 0, line, sizeof line);
    }
    free(values);
    fr_weights_close(&weights);
    return status;
}

static fr_status use_tokenizer(fr_ctx *ctx, void *path)
{
    static const char TEXT[] = "ab abab<end>b";
    fr_ids ids = {NULL, 0, 0};
    char *text = NULL;
    size_t bytes = 0;
    fr_tokenizer *tokenizer = NULL;
    fr_status status = fr_tokenizer_open(ctx, path, &tokenizer);
    if (status == FR_OK) {
        status = fr_tokenizer_encode(ctx, tokenizer, TEXT, sizeof TEXT - 1, true, &ids);
    }
    if (status == FR_OK) {
        status = fr_tokenizer_decode(ctx, tokenizer, ids.data, ids.count, true, &text,
                                     &bytes);
    }
    free(text);
    fr_ids_fini(&ids);
    fr_tokenizer_close(&tokenizer);
    return status;
}

/* Ids of this tokenizer, the last one a special token, with a stop that does not come and one that does. */
static fr_status stream_text(fr_ctx *ctx, void *path)
{
    static const char *const STOPS[] = {"b<", "aba", "ab b"};
    static const int32_t IDS[] = {3, 2, 0, 5, 2, 1, 0, 1, 0};
    fr_text piece;
    bool stopped = false;
    fr_text_stream *stream = NULL;
    fr_tokenizer *tokenizer = NULL;
    FR_TRY(fr_tokenizer_open(ctx, path, &tokenizer));
    fr_status status = fr_text_stream_open(ctx, tokenizer, STOPS, 3, &stream);
    for (size_t i = 0; i < sizeof IDS / sizeof *IDS && status == FR_OK; i++) {
        status = fr_text_stream_add(stream, IDS[i], &piece, &stopped);
    }
    if (status == FR_OK) {
        status = fr_text_stream_end(stream, &piece);
    }
    fr_text_stream_close(&stream);
    fr_tokenizer_close(&tokenizer);
    return status;
}

/* With a content whose place a second rendering tells. */
static fr_status use_dialogue(fr_ctx *ctx, void *path)
{
    fr_dialogue_ids ids = {.n_parts = 0};
    fr_tokenizer *tokenizer = NULL;
    FR_TRY(fr_tokenizer_open(ctx, path, &tokenizer));
    const fr_dialogue dialogue = {
        .messages = json_pack("[{s:s, s:s}, {s:s, s:s}, {s:s, s:s}]", "role", "user",
                              "content", "ab<end>", "role", "assistant", "content",
                              "ba", "role", "assistant", "content", "a")};
    fr_status status = fr_dialogue_encode(ctx, tokenizer, &dialogue, &ids);
    fr_dialogue_ids_fini(&ids);
    json_decref(dialogue.messages);
    fr_tokenizer_close(&tokenizer);
    return status;
}

static fr_status use_tokens(fr_ctx *ctx, void *path)
{
    enum { VOCABULARY = 14 };
    fr_tokens tokens;
    uint8_t *never = NULL;
    FR_TRY(fr_tokens_open(ctx, path, &tokens));
    fr_status status =
        fr_tokens_textless(ctx, tokens.tokenizer, &tokens.ends, VOCABULARY, &never);
    free(never);
    fr_tokens_close(&tokens);
    return status;
}

/* A device and a stage whose weights stay in the file, and a forward pass over two rows. */
static fr_status run_stage_in_file(fr_ctx *ctx, void *argument)
{
    static const int32_t IDS[] = {5, 17, 99};
    static const uint8_t COUNTED[] = {1, 1};
    fr_stage_prefix none = {0};
    fr_sequence source = {IDS, NULL, 1};
    fr_sequence target = {IDS + 1, COUNTED, 2};
    fr_batch batch = {0};
    fr_activations *activations = NULL;
    fr_stage *stage = NULL;
    double nll[2];
    fr_stage_params params = {.weights = argument,
                              .dtype = FR_BF16,
                              .n_layers = fr_weights_arch(argument)->n_layers,
                              .max_position = 4,
                              .in_file = true};
    fr_status status = fr_cpu_create(ctx, 1, fr_isa_detect(), &params.device);
    if (status == FR_OK) {
        status = fr_stage_create(ctx, &params, &stage);
    }
    if (status == FR_OK) {
        status = fr_activations_create(stage, true, &activations);
    }
    if (status == FR_OK) {
        status = fr_batch_add(ctx, &batch, 0, &source, &target, 1);
    }
    if (status == FR_OK) {
        status = fr_activations_prepare(stage, activations, &batch, &none);
    }
    if (status == FR_OK) {
        status = fr_stage_forward(stage, &batch, &none, NULL, activations);
    }
    if (status == FR_OK) {
        status = fr_stage_loss(stage, &batch, activations, true, fr_host_f64(nll));
    }
    fr_batch_fini(&batch);
    fr_activations_destroy(&activations);
    fr_stage_destroy(&stage);
    fr_device_destroy(&params.device);
    return status;
}

static void stage_in_the_file_survives_each_failed_allocation(void)
{
    fr_weights *weights = NULL;
    FR_ASSERT_OK(
        fr_weights_open(fr_test_ctx(), fr_test_data("golden/tiny_llama"), &weights));
    CU_ASSERT_TRUE(fr_fault_sweep("stage in the file", run_stage_in_file, weights) >=
                   30);
    fr_weights_close(&weights);
}

/* A path that an action may take as its argument; the suite's ring of paths is too short-lived. */
static char *keep_path(const char *path)
{
    size_t bytes = strlen(path) + 1;
    char *copy = fr_test_memory(malloc(bytes));
    memcpy(copy, path, bytes);
    return copy;
}

static void sweep_weights(const char *what, const char *path)
{
    char *kept = keep_path(path);
    CU_ASSERT_TRUE(fr_fault_sweep(what, read_weights, kept) >= 5);
    free(kept);
}

static void model_folders_survive_each_failed_allocation(void)
{
    sweep_weights("llama folder", fr_test_data("golden/tiny_llama"));
    sweep_weights("gpt2 folder", fr_test_data("golden/tiny_gpt2"));
}

static void gguf_model_survives_each_failed_allocation(void)
{
    const char *path = fr_test_path(fr_test_folder(), "model.gguf");
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_add_folder(writer, fr_test_data("golden/tiny_llama"));
    fr_gguf_writer_write(writer, path);
    fr_gguf_writer_destroy(&writer);
    sweep_weights("llama gguf", path);
}

static void gguf_in_parts_survives_each_failed_allocation(void)
{
    const char *folder = fr_test_folder();
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_add_folder(writer, fr_test_data("golden/tiny_llama"));
    fr_gguf_writer_write_parts(writer, folder, "m", 3);
    fr_gguf_writer_destroy(&writer);
    sweep_weights("llama gguf, its last part",
                  fr_test_path(folder, "m-00003-of-00003.gguf"));
}

static fr_status find_model(fr_ctx *ctx, void *name)
{
    char *path = NULL;
    fr_status status = fr_model_find(ctx, name, FR_MODEL_WHOLE, &path);
    free(path);
    return status;
}

static fr_status check_output(fr_ctx *ctx, void *output)
{
    return fr_model_apart(ctx, "--output", output, "--model", "org/name");
}

static void names_of_models_survive_each_failed_allocation(void)
{
    static const char COMMIT[] = "0123456789abcdef0123456789abcdef01234567";
    const char *cache = fr_test_folder();
    const char *model = fr_test_path(cache, "models--org--name");
    const char *refs = fr_test_path(model, "refs");
    const char *snapshot = fr_test_path(fr_test_path(model, "snapshots"), COMMIT);
    FR_ASSERT_OK(fr_make_folder(fr_test_ctx(), refs));
    FR_ASSERT_OK(fr_make_folder(fr_test_ctx(), snapshot));
    fr_test_write_text(fr_test_path(refs, "main"), COMMIT);
    char *file = keep_path(fr_test_path(snapshot, "m-00001-of-00002.gguf"));
    fr_test_write_text(file, "x");
    fr_test_write_text(fr_test_path(snapshot, "m-00002-of-00002.gguf"), "x");
    char *name = keep_path("org/name");
    (void)setenv("HF_HUB_CACHE", cache, 1);
    CU_ASSERT_TRUE(fr_fault_sweep("a name of the hub", find_model, name) >= 10);
    char *other = keep_path(fr_test_path(cache, "other"));
    fr_test_write_text(other, "x");
    CU_ASSERT_TRUE(fr_fault_sweep("an output", check_output, other) >= 10);
    free(other);
    free(file);
    free(name);
}

static void gguf_tokenizer_survives_each_failed_allocation(void)
{
    /* U+0120 stands for a space in byte-level vocabularies */
    static const char *const TOKENS[] = {"a", "b", "\xc4\xa0", "ab", "abab", "<end>"};
    static const char *const MERGES[] = {"a b", "ab ab"};
    static const int32_t TYPES[] = {1, 1, 1, 1, 1, 3};
    char *path = keep_path(fr_test_path(fr_test_folder(), "tokenizer.gguf"));
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_set_text(writer, "general.architecture", "llama");
    fr_gguf_writer_set_text(writer, "tokenizer.ggml.model", "gpt2");
    fr_gguf_writer_set_text(writer, "tokenizer.ggml.pre", "smollm");
    fr_gguf_writer_set_texts(writer, "tokenizer.ggml.tokens", TOKENS, 6);
    fr_gguf_writer_set_texts(writer, "tokenizer.ggml.merges", MERGES, 2);
    fr_gguf_writer_set_ints(writer, "tokenizer.ggml.token_type", TYPES, 6);
    fr_gguf_writer_set_u32(writer, "tokenizer.ggml.eos_token_id", 5);
    fr_gguf_writer_write(writer, path);
    CU_ASSERT_TRUE(fr_fault_sweep("gguf tokenizer", use_tokenizer, path) >= 10);
    fr_gguf_writer_set_text(writer, "tokenizer.ggml.pre", "other");
    fr_gguf_writer_set_text(writer, "tokenizer.chat_template",
                            "<|im_start|><|im_end|>");
    fr_gguf_writer_write(writer, path);
    fr_gguf_writer_destroy(&writer);
    CU_ASSERT_TRUE(fr_fault_sweep("gguf, other rule", use_tokens, path) >= 3);
    free(path);
}

static void folder_tokenizer_survives_each_failed_allocation(void)
{
    const char *folder = fr_test_folder();
    char *path = keep_path(folder);
    fr_test_write_text(
        fr_test_path(folder, "tokenizer.json"),
        "{\"added_tokens\": [{\"id\": 5, \"content\": \"<end>\", \"special\": true}],"
        " \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false,"
        " \"use_regex\": true}, \"decoder\": {\"type\": \"ByteLevel\"},"
        " \"model\": {\"type\": \"BPE\", \"merges\": [\"a b\", \"ab ab\"],"
        " \"vocab\": {\"a\": 0, \"b\": 1, \"\\u0120\": 2, \"ab\": 3, \"abab\": 4,"
        " \"<\": 7, \"e\": 8, \"n\": 9, \"d\": 10, \">\": 11}}}");
    fr_test_write_text(fr_test_path(folder, "tokenizer_config.json"),
                       "{\"eos_token\": \"<end>\", \"chat_template\": \"{% for m in "
                       "messages %}{{ 'a' if m.role == 'user' else 'b' }}{{ m.content "
                       "}}<end>{% endfor %}{% if add_generation_prompt %}b{% endif "
                       "%}\"}");
    fr_test_write_text(fr_test_path(folder, "added_tokens.json"),
                       "{\"<t>\": 6, \"<end>\": 5}");
    CU_ASSERT_TRUE(fr_fault_sweep("folder tokenizer", use_tokenizer, path) >= 10);
    CU_ASSERT_TRUE(fr_fault_sweep("folder tokens", use_tokens, path) >= 10);
    CU_ASSERT_TRUE(fr_fault_sweep("text stream", stream_text, path) >= 20);
    CU_ASSERT_TRUE(fr_fault_sweep("dialogue", use_dialogue, path) >= 30);
    CU_ASSERT_EQUAL_FATAL(remove(fr_test_path(folder, "tokenizer.json")), 0);
    fr_test_write_text(fr_test_path(folder, "vocab.json"), "{\"<end>\": 5}");
    CU_ASSERT_TRUE(fr_fault_sweep("no tokenizer", use_tokens, path) >= 5);
    free(path);
}

static const fr_case CASES[] = {
    FR_CASE(model_folders_survive_each_failed_allocation),
    FR_CASE(gguf_model_survives_each_failed_allocation),
    FR_CASE(gguf_in_parts_survives_each_failed_allocation),
    FR_CASE(names_of_models_survive_each_failed_allocation),
    FR_CASE(stage_in_the_file_survives_each_failed_allocation),
    FR_CASE(gguf_tokenizer_survives_each_failed_allocation),
    FR_CASE(folder_tokenizer_survives_each_failed_allocation),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fault_model", CASES, FR_N_CASES(CASES), argc, argv);
}
