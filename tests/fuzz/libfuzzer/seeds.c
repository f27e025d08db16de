#define _POSIX_C_SOURCE 200809L
/* First inputs that need a writer; `fuzz_seeds NAME` writes those of one fuzzer into the folder FUZZ_SEEDS. */
#include "fuzz/libfuzzer/seeds.h"

#include "base/file.h"
#include "device/quant.h"
#include "fuzz/libfuzzer/fuzz.h"
#include "support/checkpoints.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"
#include "support/rows.h"
#include "support/sealed.h"
#include "support/tiny_tokenizer.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

void seed_write(const char *name, const void *data, size_t bytes)
{
    const char *folder = getenv("FUZZ_SEEDS");
    if (folder == NULL) {
        fr_test_give_up("set", "FUZZ_SEEDS");
    }
    fr_test_write(fr_test_path(folder, name), data, bytes);
}

void seed_copy(const char *name, const char *path)
{
    char *bytes = NULL;
    size_t n_bytes = 0;
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &bytes, &n_bytes));
    seed_write(name, bytes, n_bytes);
    free(bytes);
}

static void seed_writer(const char *name, fr_gguf_writer *writer)
{
    size_t n_bytes = 0;
    uint8_t *bytes = fr_gguf_writer_bytes(writer, &n_bytes);
    seed_write(name, bytes, n_bytes);
    free(bytes);
    fr_gguf_writer_destroy(&writer);
}

/* ---- GGUF ----------------------------------------------------------------------------------- */

static void gguf_model(const char *name, fr_test_kind family)
{
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_add_folder(writer, fr_test_micro_folder(family, "F32"));
    seed_writer(name, writer);
}

static void gguf_values(void)
{
    static const char *const WORDS[] = {"a", "", "long one"};
    static const int32_t NUMBERS[] = {1, -2, 3};
    static const float REALS[] = {1.0F, -2.5F};
    fr_gguf_writer *writer = fr_gguf_writer_create();
    float data[64] = {1.0F};
    fr_gguf_writer_set_text(writer, "general.architecture", "llama");
    fr_gguf_writer_set_u32(writer, "general.alignment", 32);
    fr_gguf_writer_set_f32(writer, "f", 1e-5F);
    fr_gguf_writer_set_bool(writer, "b", true);
    fr_gguf_writer_set_texts(writer, "words", WORDS, 3);
    fr_gguf_writer_set_ints(writer, "numbers", NUMBERS, 3);
    fr_gguf_writer_set_reals(writer, "reals", REALS, 2);
    fr_gguf_writer_set_tensor(writer, "a", FR_QUANT_F32, 4, 8, data);
    fr_gguf_writer_set_tensor(writer, "b", FR_QUANT_Q8_0, 2, 32, data);
    seed_writer("values", writer);
}

static void gguf(void)
{
    gguf_model("llama", FR_LLAMA);
    gguf_model("gpt2", FR_GPT2);
    seed_copy("llama3", fr_test_data("golden/families/llama3/model.gguf"));
    seed_copy("phi3", fr_test_data("golden/families/phi3_longrope/model.gguf"));
    seed_copy("gemma3", fr_test_data("golden/families/gemma3/model.gguf"));
    gguf_values();
    seed_writer("tokenizer", fr_tiny_gguf());
    seed_writer("scores", fr_tiny_scored_gguf("llama"));
    seed_writer("unigram", fr_tiny_scored_gguf("t5"));
}

/* ---- inputs of several parts ---------------------------------------------------------------- */

/* Files joined by the separator. */
static void seed_join(const char *name, const char *const *paths, int n)
{
    char *whole = NULL;
    size_t used = 0;
    for (int i = 0; i < n; i++) {
        char *bytes = NULL;
        size_t n_bytes = 0;
        size_t gap = i > 0 ? strlen(FUZZ_SEPARATOR) : 0;
        FR_ASSERT_OK(fr_file_read(fr_test_ctx(), paths[i], &bytes, &n_bytes));
        whole = fr_test_memory(realloc(whole, used + gap + n_bytes + 1));
        memcpy(whole + used, FUZZ_SEPARATOR, gap);
        memcpy(whole + used + gap, bytes, n_bytes);
        used += gap + n_bytes;
        free(bytes);
    }
    seed_write(name, whole, used);
    free(whole);
}

static void one_file(const char *name, fr_test_kind family, const char *dtype)
{
    const char *folder = fr_test_micro_folder(family, dtype);
    const char *const paths[] = {fr_test_path(folder, "config.json"),
                                 fr_test_path(folder, "model.safetensors")};
    seed_join(name, paths, 2);
}

static void safetensors(void)
{
    one_file("llama", FR_LLAMA, "BF16");
    one_file("gpt2", FR_GPT2, "F16");
}

/* The tensors of a micro model in two files and their index. */
static void split_model(const char *name, fr_test_kind family)
{
    enum { N_FILES = 2, MAX = 64 };
    static const char *const FILES[N_FILES] = {"a", "b"};
    const char *folder = fr_test_micro_folder(family, "F16");
    fr_safetensors *file = NULL;
    const fr_safetensor *tensors[N_FILES][MAX];
    int64_t n[N_FILES] = {0, 0};
    json_t *map = fr_test_memory(json_object());
    FR_ASSERT_OK(fr_safetensors_open(fr_test_ctx(),
                                     fr_test_path(folder, "model.safetensors"), &file));
    for (int64_t i = 0; i < fr_safetensors_n_tensors(file); i++) {
        const fr_safetensor *tensor = fr_safetensors_tensor_at(file, i);
        tensors[i % N_FILES][n[i % N_FILES]++] = tensor;
        (void)json_object_set_new(map, tensor->name.data,
                                  json_string(FILES[i % N_FILES]));
    }
    for (int f = 0; f < N_FILES; f++) {
        fr_test_write_tensors(fr_test_path(folder, FILES[f]), tensors[f], n[f]);
    }
    fr_safetensors_close(&file);
    json_t *root = fr_test_memory(
        json_pack("{s:{s:i}, s:o}", "metadata", "total_size", 1, "weight_map", map));
    const char *index = fr_test_path(folder, "model.safetensors.index.json");
    CU_ASSERT_EQUAL_FATAL(json_dump_file(root, index, JSON_COMPACT), 0);
    json_decref(root);
    const char *const paths[] = {index, fr_test_path(folder, "config.json"),
                                 fr_test_path(folder, "a"), fr_test_path(folder, "b")};
    seed_join(name, paths, 4);
}

static void shards(void)
{
    split_model("llama", FR_LLAMA);
    split_model("gpt2", FR_GPT2);
}

static void gguf_parts(void)
{
    const char *folder = fr_test_micro_folder(FR_LLAMA, "F32");
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_add_folder(writer, folder);
    fr_gguf_writer_write_parts(writer, folder, "m", 2);
    fr_gguf_writer_destroy(&writer);
    const char *const paths[] = {fr_test_path(folder, "m-00001-of-00002.gguf"),
                                 fr_test_path(folder, "m-00002-of-00002.gguf")};
    seed_join("llama", paths, 2);
}

/* `added`: added_tokens.json */
static void seed_tokenizer(const char *name, json_t *root, const char *added)
{
    const char *folder = fr_tiny_folder(
        root, "{\"bos_token\":\"<|endoftext|>\",\"add_bos_token\":true,"
              "\"eos_token\":{\"content\":\"<|im_end|>\"},"
              "\"chat_template\":\"{{'<|im_start|>system\\nx<|im_end|>'}}"
              "\"}");
    const char *generation = fr_test_path(folder, "generation_config.json");
    const char *config = fr_test_path(folder, "config.json");
    fr_test_write_text(generation, "{\"eos_token_id\":[10,11]}");
    fr_test_write_text(config, "{\"bos_token_id\":9,\"eos_token_id\":10}");
    const char *jinja = fr_test_path(folder, "chat_template.jinja");
    fr_test_write_text(jinja, FR_TEST_CHATML);
    const char *const paths[] = {fr_test_path(folder, "tokenizer.json"),
                                 fr_test_path(folder, "tokenizer_config.json"),
                                 generation,
                                 config,
                                 jinja,
                                 fr_test_path(folder, "special_tokens_map.json"),
                                 fr_test_path(folder, "added_tokens.json")};
    fr_test_write_text(paths[5], "{\"eos_token\":\"<|im_end|>\"}");
    fr_test_write_text(paths[6], added);
    seed_join(name, paths, 7);
    json_decref(root);
}

/* A tokenizer in the form that has most parts; each takes seconds of the replay. */
static void seed_forms(void)
{
    json_t *all = json_load_file(fr_test_data("golden/tokenizers.json"), 0, NULL);
    json_t *forms = json_object_get(all, "forms");
    for (size_t i = 0; i < json_array_size(forms); i++) {
        json_t *item = json_array_get(forms, i);
        const char *name = json_string_value(json_object_get(item, "name"));
        if (strcmp(name, "t5") == 0) {
            seed_tokenizer(name, json_incref(json_object_get(item, "tokenizer")), "{}");
        }
    }
    json_decref(all);
}

/* SentencePiece's own files. */
static void sentencepiece(void)
{
    static const char *const NAMES[] = {"bpe", "bpe_unknown", "unigram_bytes",
                                        "unigram_rules"};
    const char *folder = fr_test_folder();
    const char *config = fr_test_path(folder, "tokenizer_config.json");
    const char *added = fr_test_path(folder, "added_tokens.json");
    fr_test_write_text(config, "{\"tokenizer_class\":\"LlamaTokenizer\"}");
    fr_test_write_text(added, "{\"<t>\":700}");
    for (int i = 0; i < FR_N_CASES(NAMES); i++) {
        char path[80];
        (void)snprintf(path, sizeof path, "golden/sentencepiece/%s/tokenizer.model",
                       NAMES[i]);
        const char *const paths[] = {fr_test_data(path), config, added};
        seed_join(NAMES[i], paths, 3);
    }
}

/* A whole tokenizer, and one of few tokens, of which every byte matters. */
static void tokenizer(void)
{
    static const char FEW[] =
        "{\"added_tokens\":[{\"id\":9,\"content\":\"<|endoftext|>\",\"special\":true},"
        "{\"id\":10,\"content\":\"<|im_start|>\",\"special\":true},{\"id\":11,"
        "\"content\":\"<|im_end|>\",\"special\":true,\"lstrip\":false}],"
        "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\","
        "\"add_prefix_space\":false,\"use_regex\":true},\"post_processor\":null,"
        "\"model\":{\"type\":\"BPE\",\"vocab\":{\"h\":0,\"e\":1,\"l\":2,\"o\":3,"
        "\"\\u0120\":4,\"he\":5,\"ll\":6,\"hell\":7,\"hello\":8},\"merges\":[\"h e\","
        "[\"l\",\"l\"],\"he ll\",\"hell o\"]}}";
    seed_tokenizer("few", fr_test_memory(json_loads(FEW, 0, NULL)), "{\"<t>\":12}");
    json_t *root = fr_tiny_json();
    seed_tokenizer("whole", json_incref(root), "{\"<t>\":267}");
    (void)json_object_set_new(root, "pre_tokenizer", fr_tiny_smollm_rule());
    seed_tokenizer("smollm", root, "{}");
    seed_forms();
}

/* ---- raw bytes ------------------------------------------------------------------------------ */

static void quant(void)
{
    enum { N_TYPES = 20, BYTES = 1 + 2 * 210 };
    uint8_t block[BYTES];
    char name[] = "type-a";
    for (int type = 0; type < N_TYPES; type++) {
        for (int i = 0; i < BYTES; i++) {
            block[i] = (uint8_t)(i * 37 % 251);
        }
        block[0] = (uint8_t)type;
        name[sizeof name - 2] = (char)('a' + type);
        seed_write(name, block, sizeof block);
    }
}

static void cache(void)
{
    static const char ROWS[] = "{\"source_ids\":[5,6,7],\"target_ids\":[[8],[9,10]]}\n"
                               "{\"source_ids\":[5,6,7],\"target_ids\":[11]}\n"
                               "{\"source_ids\":[],\"target_ids\":[1,2]}\n";
    fr_data_params params = fr_test_id_params(fr_test_rows(ROWS));
    fr_dataset *dataset = NULL;
    params.cache_folder = fr_test_folder();
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &dataset));
    fr_dataset_close(&dataset);
    DIR *folder = opendir(params.cache_folder);
    CU_ASSERT_PTR_NOT_NULL_FATAL(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL;
         entry = readdir(folder)) {
        if (strstr(entry->d_name, ".cache") != NULL) {
            seed_copy("whole", fr_test_path(params.cache_folder, entry->d_name));
        }
    }
    (void)closedir(folder);
}

/* Each file as it is, and its raw form, of which a damaged copy is sealed anew. */
static void seal(const char *name, const char *raw_name, int64_t n_tasks, bool moments,
                 bool mlp)
{
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(n_tasks, moments, 4);
    uint8_t *image = NULL;
    size_t bytes = 0;
    size_t n_raw = 0;
    if (mlp) {
        fr_fixture_add_mlp(&checkpoint->tasks[0]);
    }
    FR_ASSERT_OK(fr_checkpoint_image(fr_test_ctx(), name, checkpoint, &image, &bytes));
    uint8_t *raw = fr_test_memory(fr_test_unseal(image, bytes, &n_raw));
    seed_write(name, image, bytes);
    seed_write(raw_name, raw, n_raw);
    free(raw);
    free(image);
    fr_checkpoint_destroy(&checkpoint);
}

static void sealed(void)
{
    seal("prefix", "prefix.raw", 1, false, false);
    seal("checkpoint", "checkpoint.raw", 3, true, false);
    seal("mlp", "mlp.raw", 1, true, true);
}

static const fr_case CASES[] = {
    FR_CASE(gguf),      FR_CASE(safetensors),   FR_CASE(shards),
    FR_CASE(tokenizer), FR_CASE(quant),         FR_CASE(cache),
    FR_CASE(sealed),    FR_CASE(sentencepiece), FR_CASE(gguf_parts),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fuzz_seeds", CASES, FR_N_CASES(CASES), argc, argv);
}
