/* A small JSON text whose values would fill the memory is refused before it is parsed, by every reader. */
#include "base/json_size.h"

#include "model/arch.h"
#include "model/files/safetensors.h"
#include "model/weights/weights.h"
#include "support/rows.h"
#include "support/tiny_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_LISTS = 1200000 };

/* `before`, then N_LISTS times "[],", then `after`; the caller frees. */
static char *many_lists(const char *before, const char *after)
{
    size_t begin = strlen(before);
    char *text =
        fr_test_memory(malloc(begin + (size_t)3 * N_LISTS + strlen(after) + 1));
    memcpy(text, before, begin);
    for (size_t i = 0; i < N_LISTS; i++) {
        memcpy(text + begin + 3 * i, "[],", 3);
    }
    memcpy(text + begin + (size_t)3 * N_LISTS, after, strlen(after) + 1);
    return text;
}

static bool fits(const char *text)
{
    return fr_json_fits(text, strlen(text));
}

static void broken_texts_are_measured_as_well(void)
{
    static const char *const TEXTS[] = {
        "", "\"", "\"\\", "\"\\\"", "[", "{\"a\":[1,2]}", "\\\"[[["};
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        CU_ASSERT_TRUE(fits(TEXTS[i]));
    }
}

static void values_count_and_what_stands_in_strings_does_not(void)
{
    char *lists = many_lists("[", "[]]");
    char *string = many_lists("[\"", "\"]");
    char *escaped = many_lists("[\"\\\"", "\"]");
    CU_ASSERT_FALSE(fits(lists));
    CU_ASSERT_TRUE(fits(string));
    CU_ASSERT_TRUE(fits(escaped));
    free(lists);
    free(string);
    free(escaped);
}

/* A vocabulary of 400,000 tokens with as many merges is far below the limit. */
static void a_large_vocabulary_fits(void)
{
    enum { N = 400000, ROOM = 40 };
    char *text = fr_test_memory(malloc((size_t)2 * N * ROOM + ROOM));
    char *next = text;
    for (int i = 0; i < N; i++) {
        next += snprintf(next, ROOM, "\"token%d\":%d,", i, i);
    }
    for (int i = 0; i < N; i++) {
        next += snprintf(next, ROOM, "\"left%d right\",", i);
    }
    CU_ASSERT_TRUE(fits(text));
    free(text);
}

static void a_config_and_an_index_are_refused(void)
{
    const char *folder = fr_test_model_folder("tiny_llama", NULL);
    char *text = many_lists("{\"x\":[", "[]]}");
    fr_arch arch;
    fr_weights *weights = NULL;
    CU_ASSERT_EQUAL_FATAL(remove(fr_test_path(folder, "model.safetensors")), 0);
    fr_test_write_text(fr_test_path(folder, "model.safetensors.index.json"), text);
    FR_ASSERT_FAILS(fr_weights_open(fr_test_ctx(), folder, &weights),
                    FR_ERR_UNSUPPORTED,
                    "index.json: its JSON values would take more than");
    fr_test_write_text(fr_test_path(folder, "config.json"), text);
    FR_ASSERT_FAILS(fr_arch_read(fr_test_ctx(), folder, &arch), FR_ERR_UNSUPPORTED,
                    "config.json: its JSON values would take more than");
    free(text);
}

static void a_header_of_safetensors_is_refused(void)
{
    char *text = many_lists("{\"x\":[", "[]]}");
    size_t bytes = 0;
    fr_safetensors *file = NULL;
    uint8_t *block = fr_test_safetensors(text, NULL, 0, &bytes);
    FR_ASSERT_FAILS(fr_safetensors_parse(fr_test_ctx(), "x", block, bytes, &file),
                    FR_ERR_FORMAT, "x: the header: its JSON values would take");
    free(block);
    free(text);
}

static void a_tokenizer_and_its_config_are_refused(void)
{
    json_t *root = fr_tiny_json();
    char *text = many_lists("{\"x\":[", "[]]}");
    fr_tokenizer *tokenizer = NULL;
    const char *folder = fr_tiny_folder(root, text);
    FR_ASSERT_FAILS(fr_tokenizer_open(fr_test_ctx(), folder, &tokenizer),
                    FR_ERR_UNSUPPORTED,
                    "tokenizer_config.json: its JSON values would take");
    fr_test_write_text(fr_test_path(folder, "tokenizer_config.json"), "{}");
    fr_test_write_text(fr_test_path(folder, "tokenizer.json"), text);
    FR_ASSERT_FAILS(fr_tokenizer_open(fr_test_ctx(), folder, &tokenizer),
                    FR_ERR_UNSUPPORTED, "tokenizer.json: its JSON values would take");
    free(text);
    json_decref(root);
}

static void a_row_is_refused_by_its_line(void)
{
    char *text = many_lists(
        "{\"source_ids\":[1],\"target_ids\":[2]}\n{\"source_ids\":[", "[]]}");
    fr_dataset *data = NULL;
    fr_data_params params = fr_test_id_params(fr_test_rows(text));
    FR_ASSERT_FAILS(fr_dataset_open(fr_test_ctx(), &params, &data), FR_ERR_DATA,
                    "rows.jsonl:2: its JSON values would take");
    free(text);
}

static const fr_case CASES[] = {
    FR_CASE(broken_texts_are_measured_as_well),
    FR_CASE(values_count_and_what_stands_in_strings_does_not),
    FR_CASE(a_large_vocabulary_fits),
    FR_CASE(a_config_and_an_index_are_refused),
    FR_CASE(a_header_of_safetensors_is_refused),
    FR_CASE(a_tokenizer_and_its_config_are_refused),
    FR_CASE(a_row_is_refused_by_its_line),
};

int main(int argc, char **argv)
{
    return fr_suite_main("json_size", CASES, FR_N_CASES(CASES), argc, argv);
}
