/* Which ids end a text, and models whose tokenizer cannot be used. */
#include "model/text/tokens.h"
#include "support/model_files.h"
#include "support/tiny_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Files of a folder beside tokenizer.json (NULL: absent), and what must come of them. */
typedef struct folder_case {
    const char *tokenizer_config;
    const char *special_tokens_map;
    const char *generation_config;
    const char *config;
    const char *eos_and_stop;
} folder_case;

static void write_if(const char *folder, const char *name, const char *text)
{
    if (text != NULL) {
        fr_test_write_text(fr_test_path(folder, name), text);
    }
}

static const char *write_folder(const json_t *root, const folder_case *files)
{
    const char *folder = fr_tiny_folder(root, files->tokenizer_config);
    write_if(folder, "special_tokens_map.json", files->special_tokens_map);
    write_if(folder, "generation_config.json", files->generation_config);
    write_if(folder, "config.json", files->config);
    return folder;
}

/* "EOS: STOP STOP ..." */
static void check_ends(const fr_ends *ends, const char *wanted)
{
    enum { TEXT_BYTES = 16 * FR_MAX_ENDS };
    char got[TEXT_BYTES];
    int at = snprintf(got, sizeof got, "%d:", (int)ends->eos);
    for (int32_t i = 0; i < ends->n_stop; i++) {
        at += snprintf(got + at, sizeof got - (size_t)at, " %d", (int)ends->stop[i]);
    }
    CU_ASSERT_STRING_EQUAL(got, wanted);
    if (strcmp(got, wanted) != 0) {
        (void)printf("    got %s, wanted %s\n", got, wanted);
    }
}

static void check_path(const char *path, bool has_tokenizer, const char *wanted)
{
    fr_tokens tokens;
    FR_ASSERT_OK(fr_tokens_open(fr_test_ctx(), path, &tokens));
    CU_ASSERT_EQUAL(tokens.tokenizer != NULL, has_tokenizer);
    CU_ASSERT_EQUAL(tokens.no_tokenizer == NULL, has_tokenizer);
    check_ends(&tokens.ends, wanted);
    if (tokens.tokenizer != NULL) {
        CU_ASSERT_EQUAL(fr_tokenizer_eos(tokens.tokenizer), tokens.ends.eos);
    }
    fr_tokens_close(&tokens);
}

/* END is 264, IM_START 265, IM_END 266. */
#define END_NAMED "\"eos_token\": \"<|endoftext|>\""
#define IM_END_NAMED "\"eos_token\": {\"content\": \"<|im_end|>\"}"
#define DECODER                                                                        \
    "\"added_tokens_decoder\": {\"264\": {\"content\": \"<|endoftext|>\", "            \
    "\"special\": true}}"
static const folder_case FOLDERS[] = {
    {NULL, NULL, NULL, NULL, "-1:"},
    {"{" END_NAMED "}", NULL, NULL, NULL, "264: 264"},
    {NULL, "{" END_NAMED "}", NULL, "{\"eos_token_id\": 113}", "264: 264 113"},
    /* as the reference has it: the map wins where there is no added_tokens_decoder */
    {"{" IM_END_NAMED "}", "{" END_NAMED "}", NULL, NULL, "264: 264 266"},
    {"{" IM_END_NAMED ", " DECODER "}", "{" END_NAMED "}", NULL, NULL, "266: 266 264"},
    {"{" DECODER "}", "{" END_NAMED "}", NULL, NULL, "264: 264"},
    {"{\"eos_token\": null}", "{" END_NAMED "}", NULL, NULL, "264: 264"},
    {"{" END_NAMED "}", NULL, "{\"eos_token_id\": [264, 71]}", "{\"eos_token_id\": 9}",
     "264: 264 71 9"},
    {NULL, NULL, "{\"eos_token_id\": [7, 8, 7]}", "{\"eos_token_id\": [9, 8]}",
     "7: 7 8 9"},
    {NULL, NULL, "{\"eos_token_id\": -1}", "{\"eos_token_id\": 9}", "9: 9"},
    {NULL, NULL, NULL, "{\"eos_token_id\": 4294967295}", "-1:"},
    {NULL, NULL, NULL, "{\"eos_token_id\": 50256}", "50256: 50256"},
    {"{\"chat_template\": \"<|im_start|>user<|im_end|>\", " END_NAMED "}", NULL, NULL,
     NULL, "264: 264 266"},
};

static void a_folder_names_ends_in_many_files(void)
{
    json_t *root = fr_tiny_json();
    for (int i = 0; i < FR_N_CASES(FOLDERS); i++) {
        check_path(write_folder(root, &FOLDERS[i]), true, FOLDERS[i].eos_and_stop);
    }
    json_decref(root);
}

/* The same ids where the tokenizer is one that is not supported: its tables still say which id a text has. */
static void an_unknown_tokenizer_changes_no_end(void)
{
    json_t *root = fr_tiny_json();
    (void)json_object_set_new(root, "post_processor",
                              json_pack("{s:s}", "type", "TemplateProcessing"));
    for (int i = 0; i < FR_N_CASES(FOLDERS); i++) {
        check_path(write_folder(root, &FOLDERS[i]), false, FOLDERS[i].eos_and_stop);
    }
    json_decref(root);
    root = json_pack("{s:{s:s, s:[[s, f], [s, f]]}}", "model", "type", "Unigram",
                     "vocab", "a", 0.0, "</s>", -1.5);
    const folder_case unigram = {"{\"eos_token\": \"</s>\"}", NULL, NULL, NULL, "1: 1"};
    check_path(write_folder(root, &unigram), false, unigram.eos_and_stop);
    json_decref(root);
}

static void a_folder_without_tokenizer_names_ends(void)
{
    static const folder_case CASES[] = {
        {NULL, NULL, NULL, "{\"eos_token_id\": 2}", "2: 2"},
        {"{" END_NAMED ", " DECODER "}", NULL, NULL, "{\"eos_token_id\": 2}",
         "264: 264 2"},
        /* a text that no file knows */
        {"{\"eos_token\": \"</s>\"}", NULL, "{\"eos_token_id\": [3, 4]}", NULL,
         "3: 3 4"},
    };
    json_t *root = fr_tiny_json();
    for (int i = 0; i < FR_N_CASES(CASES); i++) {
        const char *folder = write_folder(root, &CASES[i]);
        CU_ASSERT_EQUAL_FATAL(remove(fr_test_path(folder, "tokenizer.json")), 0);
        check_path(folder, false, CASES[i].eos_and_stop);
        fr_test_write_text(fr_test_path(folder, "vocab.json"), "{\"</s>\": 5}");
        check_path(folder, false, i < 2 ? CASES[i].eos_and_stop : "5: 5 3 4");
        fr_test_write_text(fr_test_path(folder, "vocab.json"), "{");
        check_path(folder, false, CASES[i].eos_and_stop);
    }
    json_decref(root);
}

static const char *write_gguf(fr_gguf_writer *writer)
{
    const char *path = fr_test_path(fr_test_folder(), "tokens.gguf");
    fr_gguf_writer_write(writer, path);
    return path;
}

static void a_gguf_file_names_ends_under_several_keys(void)
{
    static const int32_t NONE = -1;
    static const char *const MODELS[] = {"gpt2", "bert", NULL};
    for (int i = 0; i < FR_N_CASES(MODELS); i++) {
        fr_gguf_writer *writer = fr_tiny_gguf();
        if (MODELS[i] == NULL) {
            fr_gguf_writer_remove(writer, "tokenizer.ggml.model");
        } else {
            fr_gguf_writer_set_text(writer, "tokenizer.ggml.model", MODELS[i]);
        }
        check_path(write_gguf(writer), i == 0, "-1:");
        fr_gguf_writer_set_u32(writer, "tokenizer.ggml.eos_token_id", 264);
        fr_gguf_writer_set_u32(writer, "tokenizer.ggml.eot_token_id", 9);
        fr_gguf_writer_set_u32(writer, "tokenizer.ggml.eom_token_id", 8);
        check_path(write_gguf(writer), i == 0, "264: 264 9 8");
        fr_gguf_writer_set_text(writer, "tokenizer.chat_template",
                                "<|im_start|>user<|im_end|>");
        check_path(write_gguf(writer), i == 0, "264: 264 9 8 266");
        fr_gguf_writer_set_u32(writer, "tokenizer.ggml.bos_token_id", UINT32_MAX);
        fr_gguf_writer_set_raw(writer, "tokenizer.ggml.eos_token_id", FR_GGUF_I32,
                               &NONE, sizeof NONE);
        check_path(write_gguf(writer), i == 0, "-1: 9 8 266");
        if (i > 0) {
            fr_gguf_writer_remove(writer, "tokenizer.ggml.tokens");
            check_path(write_gguf(writer), false, "-1: 9 8");
        }
        fr_gguf_writer_destroy(&writer);
    }
}

static void a_list_without_bound_is_refused(void)
{
    enum { TEXT_BYTES = 1024 };
    char text[TEXT_BYTES];
    json_t *root = fr_tiny_json();
    const char *folder = fr_tiny_folder(root, NULL);
    fr_tokens tokens;
    for (int n = FR_MAX_ENDS; n <= FR_MAX_ENDS + 1; n++) {
        int at = snprintf(text, sizeof text, "{\"eos_token_id\": [0");
        for (int i = 1; i < n; i++) {
            at += snprintf(text + at, sizeof text - (size_t)at, ", %d", i);
        }
        (void)snprintf(text + at, sizeof text - (size_t)at, "]}");
        fr_test_write_text(fr_test_path(folder, "config.json"), text);
        fr_status status = fr_tokens_open(fr_test_ctx(), folder, &tokens);
        fr_assert_status(status, n > FR_MAX_ENDS ? FR_ERR_UNSUPPORTED : FR_OK,
                         n > FR_MAX_ENDS ? "more than 64 end-of-sequence ids" : NULL,
                         __FILE__, __LINE__);
        fr_tokens_close(&tokens);
    }
    json_decref(root);
}

static void the_reason_waits_and_damage_does_not(void)
{
    json_t *root = fr_tiny_json();
    fr_tokens tokens;
    (void)json_object_set_new(root, "normalizer", json_pack("{s:s}", "type", "Other"));
    const char *folder = fr_tiny_folder(root, NULL);
    FR_ASSERT_OK(fr_tokens_open(fr_test_ctx(), folder, &tokens));
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokens.no_tokenizer);
    CU_ASSERT_PTR_NOT_NULL(strstr(tokens.no_tokenizer, "normalizer 'Other'"));
    CU_ASSERT_PTR_NOT_NULL(strstr(tokens.no_tokenizer, "source_ids"));
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(fr_test_ctx()), "");
    fr_tokens_close(&tokens);
    fr_test_write_text(fr_test_path(folder, "tokenizer.json"), "{\"model\": 7}");
    FR_ASSERT_FAILS(fr_tokens_open(fr_test_ctx(), folder, &tokens), FR_ERR_FORMAT,
                    "the object 'model' is missing");
    CU_ASSERT_PTR_NULL(tokens.tokenizer);
    fr_test_write_text(fr_test_path(folder, "tokenizer.json"), "{");
    FR_ASSERT_FAILS(fr_tokens_open(fr_test_ctx(), folder, &tokens), FR_ERR_FORMAT,
                    "tokenizer.json:1");
    FR_ASSERT_FAILS(fr_tokens_open(fr_test_ctx(), "/nowhere/absent.gguf", &tokens),
                    FR_ERR_DATA, "absent.gguf");
    json_decref(root);
}

static void ends_beyond_the_vocabulary_are_left_out(void)
{
    fr_ends ends = {.eos = 300, .n_stop = 4, .stop = {300, 2, 5000, 3}};
    fr_ends_within(fr_test_ctx(), "model", 300, &ends);
    check_ends(&ends, "300: 2 3");
    fr_ends_within(fr_test_ctx(), "model", 300, &ends);
    check_ends(&ends, "300: 2 3");
    CU_ASSERT_EQUAL(fr_named_id(0), 0);
    CU_ASSERT_EQUAL(fr_named_id(-7), -1);
    CU_ASSERT_EQUAL(fr_named_id(UINT32_MAX), -1);
    CU_ASSERT_EQUAL(fr_named_id(4000000000), INT32_MAX);
}

/* Rows that fill up the embedding are not chosen, unless one of them ends a text. */
static void ids_without_text_are_found(void)
{
    enum { VOCABULARY = FR_TINY_VOCABULARY + 3 };
    fr_ends ends = {.eos = -1, .n_stop = 1, .stop = {FR_TINY_VOCABULARY + 1}};
    json_t *root = fr_tiny_json();
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, NULL);
    uint8_t *never = NULL;
    FR_ASSERT_OK(
        fr_tokens_textless(fr_test_ctx(), tokenizer, &ends, VOCABULARY, &never));
    CU_ASSERT_PTR_NOT_NULL_FATAL(never);
    for (int i = 0; i < VOCABULARY; i++) {
        CU_ASSERT_EQUAL(never[i],
                        i == FR_TINY_VOCABULARY || i == FR_TINY_VOCABULARY + 2);
    }
    free(never);
    FR_ASSERT_OK(fr_tokens_textless(fr_test_ctx(), tokenizer, &ends, FR_TINY_VOCABULARY,
                                    &never));
    CU_ASSERT_PTR_NULL(never);
    FR_ASSERT_OK(fr_tokens_textless(fr_test_ctx(), NULL, &ends, VOCABULARY, &never));
    CU_ASSERT_PTR_NULL(never);
    fr_tokenizer_close(&tokenizer);
    json_decref(root);
}

static const fr_case CASES[] = {
    FR_CASE(a_folder_names_ends_in_many_files),
    FR_CASE(an_unknown_tokenizer_changes_no_end),
    FR_CASE(a_folder_without_tokenizer_names_ends),
    FR_CASE(a_gguf_file_names_ends_under_several_keys),
    FR_CASE(a_list_without_bound_is_refused),
    FR_CASE(the_reason_waits_and_damage_does_not),
    FR_CASE(ends_beyond_the_vocabulary_are_left_out),
    FR_CASE(ids_without_text_are_found),
};

int main(int argc, char **argv)
{
    return fr_suite_main("tokens", CASES, FR_N_CASES(CASES), argc, argv);
}
