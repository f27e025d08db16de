#define _POSIX_C_SOURCE 200809L
#include "train/exchange/peft.h"

#include "base/file.h"
#include "model/weights/identity.h"
#include "support/checkpoints.h"
#include "support/model_files.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The base of most cases: 2 layers x 2 heads x 4, as that of checkpoints.h. */
enum { SLOTS = 3, LAYERS = 2, HEADS = 2, WIDTH = 4, ROW = 2 * LAYERS * HEADS * WIDTH };

static fr_arch small_arch(void)
{
    fr_arch arch = fr_arch_plain();
    arch.n_layers = LAYERS;
    arch.n_kv_heads = HEADS;
    arch.head_dim = WIDTH;
    arch.context_length = 64;
    arch.norm_eps = 1e-5;
    return arch;
}

/* ---- folders ------------------------------------------------------------------------------------- */

/* The config of a right adapter, with fields replaced by those of `changes`; a change to null removes. */
static void write_config(const char *folder, const char *changes)
{
    json_t *config = json_pack(
        "{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:b, s:s, s:s}", "peft_type",
        "PREFIX_TUNING", "task_type", "CAUSAL_LM", "num_virtual_tokens", (int)SLOTS,
        "num_layers", (int)LAYERS, "num_attention_heads", (int)HEADS, "token_dim",
        HEADS * WIDTH, "num_transformer_submodules", 1, "prefix_projection", 0,
        "base_model_name_or_path", "some/base", "peft_version", "0.21.2");
    json_t *other = json_loads(changes, 0, NULL);
    CU_ASSERT_FATAL(config != NULL && other != NULL);
    (void)json_object_update(config, other);
    char *text = fr_test_memory(json_dumps(config, 0));
    fr_test_write_text(fr_test_path(folder, "adapter_config.json"), text);
    free(text);
    json_decref(other);
    json_decref(config);
}

/* Any tensor: 16 bits or 32 bits each by `dtype`; numbers count up in steps that BF16 holds. */
static void write_tensor(const char *folder, const char *name, const char *dtype,
                         int rows, int columns)
{
    char header[256];
    size_t n_bytes = 0;
    uint8_t data[4096] = {0};
    bool wide = strcmp(dtype, "F32") == 0 || strcmp(dtype, "I32") == 0;
    size_t item = wide ? 4 : 2;
    size_t n = (size_t)rows * (size_t)columns;
    CU_ASSERT_FATAL(n * item <= sizeof data);
    for (size_t i = 0; i < n; i++) {
        float value = (float)(i % 64) / 16.0F - 2.0F;
        uint32_t bits = 0;
        memcpy(&bits, &value, sizeof bits);
        uint16_t half = (uint16_t)(bits >> 16);
        if (strcmp(dtype, "F16") == 0 && value != 0.0F) {
            half = (uint16_t)(((bits >> 16) & 0x8000U) |
                              ((((bits >> 23) & 0xffU) - 112U) << 10) |
                              ((bits >> 13) & 0x3ffU));
        }
        memcpy(data + i * item, wide ? (void *)&value : (void *)&half, item);
    }
    (void)snprintf(
        header, sizeof header,
        "{\"%s\":{\"dtype\":\"%s\",\"shape\":[%d,%d],\"data_offsets\":[0,%zu]}}", name,
        dtype, rows, columns, n * item);
    uint8_t *bytes = fr_test_safetensors(header, data, n * item, &n_bytes);
    fr_test_write(fr_test_path(folder, "adapter_model.safetensors"), bytes, n_bytes);
    free(bytes);
}

static const char *write_adapter(const char *changes)
{
    const char *folder = fr_test_folder();
    write_config(folder, changes);
    write_tensor(folder, "prompt_embeddings", "F32", SLOTS, ROW);
    return folder;
}

static fr_status read_one(const char *folder, const fr_arch *arch, fr_checkpoint **out)
{
    fr_peft_config config;
    FR_ASSERT_OK(fr_checkpoint_create(fr_test_ctx(), 1, out));
    return fr_peft_read(fr_test_ctx(), folder, "the model", arch, &config,
                        &(*out)->tasks[0]);
}

static void refuses(const char *folder, fr_status status, const char *part)
{
    const fr_arch arch = small_arch();
    fr_checkpoint *checkpoint = NULL;
    FR_ASSERT_FAILS(read_one(folder, &arch, &checkpoint), status, part);
    fr_checkpoint_destroy(&checkpoint);
}

/* ---- PEFT's own files ---------------------------------------------------------------------------- */

/* [layers, heads, slots, width] of the golden values against [layers, slots, heads, width]. */
static void compare_golden(const fr_checkpoint_task *task, const fr_safetensors *values,
                           const char *name, const float *got)
{
    int64_t n = task->n_layers * task->length * task->n_kv_heads * task->head_dim;
    size_t piece = (size_t)task->head_dim * sizeof(float);
    float *wanted = fr_test_memory(malloc((size_t)n * sizeof *wanted));
    fr_test_copy_tensor(values, name, "F32", n, wanted);
    for (int64_t l = 0; l < task->n_layers; l++) {
        for (int64_t h = 0; h < task->n_kv_heads; h++) {
            for (int64_t p = 0; p < task->length; p++) {
                int64_t from = ((l * task->n_kv_heads + h) * task->length + p);
                int64_t at = ((l * task->length + p) * task->n_kv_heads + h);
                fr_assert_same_bytes(name, got + at * task->head_dim,
                                     wanted + from * task->head_dim, piece);
            }
        }
    }
    free(wanted);
}

static void same_file(const char *got, const char *wanted)
{
    char *a = NULL;
    char *b = NULL;
    size_t n_a = 0;
    size_t n_b = 0;
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), got, &a, &n_a));
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), wanted, &b, &n_b));
    CU_ASSERT_EQUAL_FATAL(n_a, n_b);
    fr_assert_same_bytes(wanted, a, b, n_a);
    free(a);
    free(b);
}

static void check_golden(const char *model, const char *name)
{
    char path[128];
    char adapter[128];
    fr_arch arch;
    fr_checkpoint *checkpoint = NULL;
    fr_safetensors *values = NULL;
    fr_peft_config before;
    fr_peft_config after;
    (void)snprintf(path, sizeof path, "golden/%s", model);
    (void)snprintf(adapter, sizeof adapter, "golden/adapter_%s_%s_f32", model, name);
    FR_ASSERT_OK(fr_arch_read(fr_test_ctx(), fr_test_data(path), &arch));
    FR_ASSERT_OK(read_one(fr_test_data(adapter), &arch, &checkpoint));
    (void)snprintf(path, sizeof path, "golden/%s_%s_f32.safetensors", model, name);
    FR_ASSERT_OK(fr_safetensors_open(fr_test_ctx(), fr_test_data(path), &values));
    CU_ASSERT_PTR_NOT_NULL_FATAL(values);
    fr_checkpoint_task *task = &checkpoint->tasks[0];
    CU_ASSERT(task->length == 5 && task->first_layer == 0 && !task->slides);
    compare_golden(task, values, "prefix_k", task->state.k);
    compare_golden(task, values, "prefix_v", task->state.v);

    const char *again = fr_test_path(fr_test_folder(), "again");
    FR_ASSERT_OK(fr_peft_write(fr_test_ctx(), again, task, model));
    same_file(fr_test_path(again, "adapter_model.safetensors"),
              fr_test_path(fr_test_data(adapter), "adapter_model.safetensors"));
    FR_ASSERT_OK(fr_peft_config_read(
        fr_test_ctx(), fr_test_path(fr_test_data(adapter), "adapter_config.json"),
        &before));
    FR_ASSERT_OK(fr_peft_config_read(
        fr_test_ctx(), fr_test_path(again, "adapter_config.json"), &after));
    CU_ASSERT_EQUAL(before.projected, strcmp(name, "proj") == 0);
    CU_ASSERT(!after.projected && before.length == after.length &&
              before.n_layers == after.n_layers &&
              before.n_kv_heads == after.n_kv_heads &&
              before.head_dim == after.head_dim &&
              strcmp(before.base.text, after.base.text) == 0);
    fr_safetensors_close(&values);
    fr_checkpoint_destroy(&checkpoint);
}

static void adapters_of_peft_are_read_and_written_bit_for_bit(void)
{
    check_golden("tiny_llama", "right");
    check_golden("tiny_llama", "proj");
    check_golden("tiny_gpt2", "right");
}

/* ---- what an adapter may be ---------------------------------------------------------------------- */

static void every_number_comes_to_its_place(const fr_checkpoint_task *task)
{
    for (int64_t t = 0; t < SLOTS; t++) {
        for (int64_t c = 0; c < ROW; c++) {
            int64_t layer = c / (2 * HEADS * WIDTH);
            int64_t at = (layer * SLOTS + t) * HEADS * WIDTH + c % (HEADS * WIDTH);
            bool is_value = c / (HEADS * WIDTH) % 2 == 1;
            const float *got = is_value ? task->state.v : task->state.k;
            CU_ASSERT_EQUAL(got[at], (float)((t * ROW + c) % 64) / 16.0F - 2.0F);
        }
    }
}

static void all_three_types_hold_the_same_numbers(void)
{
    static const char *const TYPES[] = {"F32", "F16", "BF16"};
    const fr_arch arch = small_arch();
    for (int i = 0; i < FR_N_CASES(TYPES); i++) {
        fr_checkpoint *checkpoint = NULL;
        const char *folder = write_adapter("{}");
        write_tensor(folder, "prompt_embeddings", TYPES[i], SLOTS, ROW);
        FR_ASSERT_OK(read_one(folder, &arch, &checkpoint));
        every_number_comes_to_its_place(&checkpoint->tasks[0]);
        fr_checkpoint_destroy(&checkpoint);
    }
}

static void the_task_says_where_it_came_from(void)
{
    static const struct {
        const char *changes;
        const char *init;
    } FROM[] = {
        {"{}", "import: PREFIX_TUNING of PEFT 0.21.2, for some/base"},
        {"{\"peft_type\": \"CARTRIDGE\", \"num_frozen_tokens\": 1}",
         "import: CARTRIDGE of PEFT 0.21.2, for some/base"},
        {"{\"prefix_projection\": true, \"peft_version\": null, "
         "\"base_model_name_or_path\": null, \"task_type\": null, "
         "\"num_transformer_submodules\": null}",
         "import: PREFIX_TUNING of PEFT, with projection"},
    };
    fr_arch arch = small_arch();
    for (int i = 0; i < FR_N_CASES(FROM); i++) {
        fr_checkpoint *checkpoint = NULL;
        arch.window = i;
        FR_ASSERT_OK(read_one(write_adapter(FROM[i].changes), &arch, &checkpoint));
        CU_ASSERT_STRING_EQUAL(checkpoint->tasks[0].init, FROM[i].init);
        CU_ASSERT_EQUAL(checkpoint->tasks[0].slides, i > 0);
        CU_ASSERT_EQUAL(checkpoint->tasks[0].base_norm_eps, (double)1e-5F);
        fr_checkpoint_destroy(&checkpoint);
    }
}

/* ---- what is refused ----------------------------------------------------------------------------- */

static void bad_configs_are_named(void)
{
    static const struct {
        const char *changes;
        fr_status status;
        const char *part;
    } BAD[] = {
        {"{\"peft_type\": \"LORA\"}", FR_ERR_UNSUPPORTED,
         "peft_type is LORA, must be PREFIX_TUNING or CARTRIDGE"},
        {"{\"peft_type\": null}", FR_ERR_FORMAT, "peft_type is missing"},
        {"{\"peft_type\": 3}", FR_ERR_FORMAT, "peft_type must be a string"},
        {"{\"task_type\": \"SEQ_2_SEQ_LM\"}", FR_ERR_UNSUPPORTED,
         "task_type is SEQ_2_SEQ_LM, must be CAUSAL_LM"},
        {"{\"task_type\": \"SEQ_CLS\"}", FR_ERR_UNSUPPORTED, "must be CAUSAL_LM"},
        {"{\"task_type\": [1]}", FR_ERR_FORMAT, "task_type must be a string"},
        {"{\"num_transformer_submodules\": 2}", FR_ERR_UNSUPPORTED,
         "num_transformer_submodules is 2, must be 1"},
        {"{\"modules_to_save\": [\"lm_head\"]}", FR_ERR_UNSUPPORTED,
         "modules_to_save is set"},
        {"{\"num_virtual_tokens\": 0}", FR_ERR_FORMAT,
         "num_virtual_tokens is 0, must be from 1 to 1048576"},
        {"{\"num_virtual_tokens\": -3}", FR_ERR_FORMAT, "num_virtual_tokens is -3"},
        {"{\"num_virtual_tokens\": null}", FR_ERR_FORMAT,
         "num_virtual_tokens is missing; save the adapter again"},
        {"{\"num_virtual_tokens\": 3.0}", FR_ERR_FORMAT,
         "num_virtual_tokens must be an integer"},
        {"{\"num_virtual_tokens\": 9223372036854775807}", FR_ERR_FORMAT,
         "num_virtual_tokens is 9223372036854775807"},
        {"{\"num_virtual_tokens\": 4}", FR_ERR_FORMAT,
         "has the shape [3, 32], must be [4, 32]"},
        {"{\"num_virtual_tokens\": 64}", FR_ERR_DATA,
         "leaves no room in the context of the model, 64"},
        {"{\"num_layers\": null}", FR_ERR_FORMAT, "num_layers is missing"},
        {"{\"num_layers\": 3}", FR_ERR_DATA,
         "a base of 3 layers x 2 key/value heads x 4, the model has 2 x 2 x 4"},
        {"{\"num_attention_heads\": 4}", FR_ERR_DATA,
         "a base of 2 layers x 4 key/value heads x 2"},
        {"{\"num_attention_heads\": 3}", FR_ERR_FORMAT,
         "token_dim is 8, must be a multiple of num_attention_heads, which is 3"},
        {"{\"num_attention_heads\": null}", FR_ERR_FORMAT,
         "num_attention_heads is missing"},
        {"{\"token_dim\": null}", FR_ERR_FORMAT, "token_dim is missing"},
        {"{\"token_dim\": 16}", FR_ERR_DATA,
         "a base of 2 layers x 2 key/value heads x 8"},
        {"{\"token_dim\": 2097152}", FR_ERR_FORMAT, "token_dim is 2097152"},
        {"{\"prefix_projection\": \"yes\"}", FR_ERR_FORMAT,
         "prefix_projection must be true or false"},
        {"{\"base_model_name_or_path\": {}}", FR_ERR_FORMAT,
         "base_model_name_or_path must be a string"},
    };
    for (int i = 0; i < FR_N_CASES(BAD); i++) {
        const char *folder = write_adapter(BAD[i].changes);
        refuses(folder, BAD[i].status, BAD[i].part);
        refuses(folder, BAD[i].status, folder); /* the file is named */
    }
}

static void a_config_that_is_not_one_is_named(void)
{
    static const struct {
        const char *text;
        const char *part;
    } BAD[] = {
        {"", "not valid JSON"},
        {"{\"peft_type\": ", "not valid JSON"},
        {"{\"peft_type\": \"LORA\", \"peft_type\": \"LORA\"}", "duplicate"},
        {"[1, 2]", "is not a JSON object"},
        {"\"PREFIX_TUNING\"", "not valid JSON"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "LFS"},
    };
    const char *folder = write_adapter("{}");
    for (int i = 0; i < FR_N_CASES(BAD); i++) {
        fr_test_write_text(fr_test_path(folder, "adapter_config.json"), BAD[i].text);
        refuses(folder, FR_ERR_FORMAT, BAD[i].part);
    }
}

static void bad_tensors_are_named(void)
{
    const char *folder = write_adapter("{}");
    write_tensor(folder, "base_model.lora_A", "F32", SLOTS, ROW);
    refuses(folder, FR_ERR_FORMAT,
            "it holds the tensor base_model.lora_A, must hold prompt_embeddings");
    write_tensor(folder, "prompt_embeddings", "I32", SLOTS, ROW);
    refuses(folder, FR_ERR_UNSUPPORTED, "has the dtype I32, must be F32, F16 or BF16");
    write_tensor(folder, "prompt_embeddings", "I16", SLOTS, ROW);
    refuses(folder, FR_ERR_UNSUPPORTED, "has the dtype I16");
    write_tensor(folder, "prompt_embeddings", "F32", ROW, SLOTS);
    refuses(folder, FR_ERR_FORMAT, "has the shape [32, 3], must be [3, 32]");
    write_tensor(folder, "prompt_embeddings", "F32", SLOTS, ROW / 2);
    refuses(folder, FR_ERR_FORMAT, "has the shape [3, 16], must be [3, 32]");
    fr_test_write_text(fr_test_path(folder, "adapter_model.safetensors"), "PK\3\4");
    refuses(folder, FR_ERR_FORMAT, "this is not a safetensors file");
    static const char TWO[] =
        "{\"prompt_embeddings\":{\"dtype\":\"F32\",\"shape\":[0,32],\"data_offsets\":["
        "0,0]},"
        "\"score.weight\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}";
    size_t n = 0;
    uint8_t *bytes = fr_test_safetensors(TWO, "", 0, &n);
    fr_test_write(fr_test_path(folder, "adapter_model.safetensors"), bytes, n);
    free(bytes);
    refuses(
        folder, FR_ERR_FORMAT,
        "it holds the tensor score.weight, must hold prompt_embeddings and nothing");
    bytes = fr_test_safetensors("{}", "", 0, &n);
    fr_test_write(fr_test_path(folder, "adapter_model.safetensors"), bytes, n);
    free(bytes);
    refuses(folder, FR_ERR_FORMAT, "it holds no tensor, must hold prompt_embeddings");
}

static void numbers_that_are_not_finite_are_named(void)
{
    static const char HEADER[] =
        "{\"prompt_embeddings\":{\"dtype\":\"F32\",\"shape\":[3,32],"
        "\"data_offsets\":[0,384]}}";
    const char *folder = write_adapter("{}");
    for (int i = 0; i < 3; i++) {
        const float values[] = {NAN, INFINITY, -INFINITY};
        float data[SLOTS * ROW] = {0};
        size_t n = 0;
        data[2 * ROW + 3 * HEADS * WIDTH + i] = values[i];
        uint8_t *bytes = fr_test_safetensors(HEADER, data, sizeof data, &n);
        fr_test_write(fr_test_path(folder, "adapter_model.safetensors"), bytes, n);
        free(bytes);
        refuses(folder, FR_ERR_NUMERIC, "not finite in slot 2, layer 1, values");
    }
}

static void folders_that_are_none_are_named(void)
{
    const char *folder = write_adapter("{}");
    const char *config = fr_test_path(folder, "adapter_config.json");
    const char *weights = fr_test_path(folder, "adapter_model.safetensors");
    refuses(config, FR_ERR_DATA, "is a file, must be a folder");
    refuses(fr_test_path(folder, "none"), FR_ERR_DATA, "does not exist");
    CU_ASSERT_EQUAL(remove(weights), 0);
    refuses(folder, FR_ERR_DATA, "there is no adapter_model.safetensors");
    fr_test_write_text(fr_test_path(folder, "adapter_model.bin"), "\x80\x02");
    refuses(folder, FR_ERR_UNSUPPORTED,
            "adapter_model.bin, a pickle, which can run code and is never opened; load "
            "it with PEFT where you trust it, and save it with save_pretrained(..., "
            "safe_serialization=True)");
    CU_ASSERT_EQUAL(remove(config), 0);
    refuses(folder, FR_ERR_DATA, "there is no adapter_config.json");
    CU_ASSERT_EQUAL(mkfifo(config, 0600),
                    0); /* nobody writes to it, and nobody waits */
    refuses(folder, FR_ERR_DATA, "there is no adapter_config.json");
}

/* ---- writing ------------------------------------------------------------------------------------- */

static void a_prefix_on_some_layers_is_refused(void)
{
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(1, false, 1);
    checkpoint->tasks[0].base_layers = FR_FIXTURE_LAYERS + 3;
    checkpoint->tasks[0].first_layer = 3;
    const char *folder = fr_test_path(fr_test_folder(), "new");
    FR_ASSERT_FAILS(
        fr_peft_write(fr_test_ctx(), folder, &checkpoint->tasks[0], "b"),
        FR_ERR_UNSUPPORTED,
        "task alpha has a prefix on layers 3 to 4 of 0 to 4, and an adapter");
    CU_ASSERT_FALSE(fr_is_folder(folder));
    fr_checkpoint_destroy(&checkpoint);
}

static void an_adapter_gets_a_folder_of_its_own(void)
{
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(1, true, 1);
    fr_checkpoint_task *task = &checkpoint->tasks[0];
    const char *folder = fr_test_folder(); /* empty */
    task->base_layers = FR_FIXTURE_LAYERS;
    FR_ASSERT_OK(fr_peft_write(fr_test_ctx(), folder, task, "\xff \"x\""));
    CU_ASSERT_EQUAL(fr_fixture_count(folder, ""), 2);
    FR_ASSERT_FAILS(fr_peft_write(fr_test_ctx(), folder, task, "b"), FR_ERR_ARG,
                    "already, and an adapter's folder holds nothing else");
    FR_ASSERT_FAILS(fr_peft_write(fr_test_ctx(),
                                  fr_test_path(folder, "adapter_config.json"), task,
                                  "b"),
                    FR_ERR_ARG, "is there and is not a folder");
    const char *inner = fr_test_path(fr_test_folder(), "a/b/c");
    FR_ASSERT_OK(fr_peft_write(fr_test_ctx(), inner, task, ""));
    fr_arch arch = small_arch();
    fr_checkpoint *read = NULL;
    FR_ASSERT_OK(read_one(inner, &arch, &read));
    CU_ASSERT_PTR_NOT_NULL_FATAL(read->tasks[0].state.k);
    size_t bytes = sizeof(float) * FR_FIXTURE_LAYERS * FR_FIXTURE_FLOATS;
    fr_assert_same_bytes("k", read->tasks[0].state.k, task->state.k, bytes);
    fr_assert_same_bytes("v", read->tasks[0].state.v, task->state.v, bytes);
    fr_checkpoint_destroy(&read);
    fr_checkpoint_destroy(&checkpoint);
}

static void bases_with_windows_are_known_by_their_line(void)
{
    CU_ASSERT_TRUE(fr_identity_has_windows(
        "mistral layers=2 vocabulary=96:- window=8 windows=2 windows_places=32"));
    CU_ASSERT_FALSE(fr_identity_has_windows("llama layers=2 vocabulary=96:-"));
    CU_ASSERT_FALSE(fr_identity_has_windows("phi3 vocabulary=96:- window=8"));
}

static const fr_case CASES[] = {
    FR_CASE(adapters_of_peft_are_read_and_written_bit_for_bit),
    FR_CASE(all_three_types_hold_the_same_numbers),
    FR_CASE(the_task_says_where_it_came_from),
    FR_CASE(bad_configs_are_named),
    FR_CASE(a_config_that_is_not_one_is_named),
    FR_CASE(bad_tensors_are_named),
    FR_CASE(numbers_that_are_not_finite_are_named),
    FR_CASE(folders_that_are_none_are_named),
    FR_CASE(a_prefix_on_some_layers_is_refused),
    FR_CASE(an_adapter_gets_a_folder_of_its_own),
    FR_CASE(bases_with_windows_are_known_by_their_line),
};

int main(int argc, char **argv)
{
    return fr_suite_main("peft", CASES, FR_N_CASES(CASES), argc, argv);
}
