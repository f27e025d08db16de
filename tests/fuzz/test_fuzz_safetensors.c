#include "base/file.h"
#include "model/families/hf_config.h"
#include "model/files/safetensors.h"
#include "model/weights/weights.h"
#include "support/model_files.h"
#include "support/mutate.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_PARSED = 20000, N_OPENED = 2000, N_CONFIGS = 2000 };

static const char HEADER[] =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
    "\"b\":{\"dtype\":\"BF16\",\"shape\":[5],\"data_offsets\":[24,34]},"
    "\"c\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[34,42]}}";

static fr_status parse(fr_ctx *ctx, const uint8_t *bytes, size_t n_bytes)
{
    fr_safetensors *file = NULL;
    fr_status status = fr_safetensors_parse(ctx, "x", bytes, n_bytes, &file);
    uint64_t sum = 1;
    for (int64_t i = 0; status == FR_OK && i < fr_safetensors_n_tensors(file); i++) {
        const fr_safetensor *tensor = fr_safetensors_tensor_at(file, i);
        sum += fr_test_sum(tensor->data, tensor->bytes);
        sum += fr_test_sum(tensor->name.data, tensor->name.bytes);
    }
    fr_safetensors_close(&file);
    return sum == 0 ? FR_ERR_INTERNAL : status;
}

static bool is_clear_refusal(const fr_ctx *ctx, fr_status status)
{
    return (status == FR_ERR_FORMAT || status == FR_ERR_UNSUPPORTED) &&
           strlen(fr_ctx_error(ctx)) > 0;
}

static void mutated_files_are_parsed_or_refused(void)
{
    uint8_t data[42] = {1, 2, 3};
    int n_accepted = 0;
    int n_unclear = 0;
    size_t n_bytes = 0;
    uint8_t *bytes = fr_test_safetensors(HEADER, data, sizeof data, &n_bytes);
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
}

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

/* Damage one file of a folder, round after round; count what is accepted. */
static int open_mutated(const char *folder, const char *name, uint64_t rounds)
{
    char *bytes = NULL;
    size_t n_bytes = 0;
    int n_accepted = 0;
    int n_unclear = 0;
    const char *path = fr_test_path(folder, name);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &bytes, &n_bytes));
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    for (uint64_t round = 0; round < rounds; round++) {
        fr_ctx *ctx = fr_test_ctx();
        fr_weights *weights = NULL;
        size_t n_mutated = 0;
        uint8_t *mutated =
            fr_test_mutate((const uint8_t *)bytes, n_bytes, round, &n_mutated);
        fr_test_write(path, mutated, n_mutated);
        free(mutated);
        fr_status status = fr_weights_open(ctx, folder, &weights);
        n_unclear += status == FR_OK || is_clear_refusal(ctx, status) ? 0 : 1;
        if (status == FR_OK) {
            read_all(weights);
            n_accepted++;
        }
        fr_weights_close(&weights);
    }
    CU_ASSERT_EQUAL(n_unclear, 0);
    free(bytes);
    return n_accepted;
}

static void mutated_folders_are_opened_or_refused(void)
{
    const char *llama = fr_test_micro_folder(FR_LLAMA, "BF16");
    const char *gpt2 = fr_test_micro_folder(FR_GPT2, "F16");
    int accepted = open_mutated(llama, "model.safetensors", N_OPENED);
    accepted += open_mutated(gpt2, "model.safetensors", N_OPENED);
    CU_ASSERT(accepted > 0 && accepted < 2 * N_OPENED);
}

static void mutated_configs_are_read_or_refused(void)
{
    const char *llama = fr_test_micro_folder(FR_LLAMA, "F32");
    const char *gpt2 = fr_test_micro_folder(FR_GPT2, "F32");
    int accepted = open_mutated(llama, "config.json", N_CONFIGS);
    accepted += open_mutated(gpt2, "config.json", N_CONFIGS);
    CU_ASSERT(accepted > 0 && accepted < 2 * N_CONFIGS);
}

/* ---- settings of every family ------------------------------------------------------------------ */

static const char *const MODELS[] = {
    "qwen2_window", "qwen3",   "gemma2", "gemma3", "gemma3_mm",
    "smollm3",      "granite", "olmo2",  "phi3",   "phi3_longrope",
    "gpt_neox",     "opt",     "bloom",  "llama3"};

static void mutated_configs_of_other_families_are_read_or_refused(void)
{
    enum { ROUNDS = 300 };
    for (int i = 0; i < FR_N_CASES(MODELS); i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "families/%s", MODELS[i]);
        int accepted =
            open_mutated(fr_test_model_folder(name, "{}"), "config.json", ROUNDS);
        CU_ASSERT(accepted > 0 && accepted < ROUNDS);
    }
}

/* Whether a value is read as a description in its ranges, or refused by a clear message. */
static bool is_clear(const char *path, const json_t *root)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_hf_config config;
    CU_ASSERT_EQUAL_FATAL(json_dump_file(root, path, 0), 0);
    fr_status status = fr_hf_config_read(ctx, path, &config);
    if (status != FR_OK) {
        return is_clear_refusal(ctx, status);
    }
    return fr_arch_check(ctx, path, &config.arch) == FR_OK;
}

/* Put each value of each kind into each key of `object`, which is a part of `root`, and into those of its objects. */
static int count_unclear(const char *path, json_t *root, json_t *object, int depth)
{
    static const char *const VALUES[] = {
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1",
        "2",
        "1e308",
        "-1e308",
        "1e-308",
        "0.3",
        "9223372036854775807",
        "-9223372036854775808",
        "\"x\"",
        "[]",
        "{}",
        "[1e308]",
        "[null,1]",
        "{\"rope_type\":\"yarn\",\"factor\":1e-300}",
        "{\"rope_type\":\"llama3\",\"factor\":1e11,\"low_freq_factor\":1e-9}",
        "{\"full_attention\":{\"full_attention\":{}},\"sliding_attention\":[]}"};
    int unclear = 0;
    json_t *keys = json_copy(object);
    const char *key = NULL;
    json_t *old = NULL;
    json_object_foreach(keys, key, old)
    {
        for (int v = 0; v < FR_N_CASES(VALUES); v++) {
            json_t *value =
                fr_test_memory(json_loads(VALUES[v], JSON_DECODE_ANY, NULL));
            (void)json_object_set_new(object, key, value);
            if (!is_clear(path, root)) {
                (void)printf("%s as %s: %s\n", key, VALUES[v],
                             fr_ctx_error(fr_test_ctx()));
                unclear++;
            }
        }
        (void)json_object_set(object, key, old);
        if (json_is_object(old) && depth > 0) {
            unclear += count_unclear(path, root, old, depth - 1);
        }
    }
    json_decref(keys);
    return unclear;
}

static void hostile_values_of_every_setting_are_read_or_refused(void)
{
    /* every key of every form of config.json that there is */
    static const char *const FORMS[] = {"qwen2_window", "gemma3", "smollm3",
                                        "granite",      "llama3", "phi3_longrope",
                                        "gpt_neox",     "opt"};
    for (int i = 0; i < FR_N_CASES(FORMS); i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "families/%s", FORMS[i]);
        const char *folder = fr_test_model_folder(name, "{}");
        const char *path = fr_test_path(folder, "config.json");
        json_t *root = fr_test_memory(json_load_file(path, 0, NULL));
        CU_ASSERT_EQUAL(count_unclear(path, root, root, 3), 0);
        json_decref(root);
    }
}

static const fr_case CASES[] = {
    FR_CASE(mutated_files_are_parsed_or_refused),
    FR_CASE(mutated_folders_are_opened_or_refused),
    FR_CASE(mutated_configs_are_read_or_refused),
    FR_CASE(mutated_configs_of_other_families_are_read_or_refused),
    FR_CASE(hostile_values_of_every_setting_are_read_or_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fuzz_safetensors", CASES, FR_N_CASES(CASES), argc, argv);
}
