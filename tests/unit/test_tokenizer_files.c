/* What the two file formats say beside tokens and merges. */
#include "base/file.h"
#include "support/model_files.h"
#include "support/tiny_tokenizer.h"

#include <stdlib.h>
#include <string.h>

static void check_digests(const fr_tokenizer *a, const fr_tokenizer *b, bool same)
{
    uint8_t first[FR_DIGEST_BYTES];
    uint8_t second[FR_DIGEST_BYTES];
    fr_tokenizer_digest(a, first);
    fr_tokenizer_digest(b, second);
    CU_ASSERT_EQUAL(memcmp(first, second, FR_DIGEST_BYTES) == 0, same);
}

/* Write and open a GGUF file; consumes the writer. */
static fr_status open_gguf(fr_gguf_writer *writer, fr_tokenizer **out)
{
    const char *path = fr_test_path(fr_test_folder(), "tokenizer.gguf");
    fr_gguf_writer_write(writer, path);
    fr_gguf_writer_destroy(&writer);
    return fr_tokenizer_open(fr_test_ctx(), path, out);
}

static fr_tokenizer *open_with_config(const char *config)
{
    json_t *root = fr_tiny_json();
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, config);
    json_decref(root);
    return tokenizer;
}

static void a_gguf_file_and_a_folder_are_the_same_tokenizer(void)
{
    static const char TEXT[] = "hello  12\n\n<|im_end|> w\xC3\xA9\xFF";
    fr_tokenizer *folder = open_with_config(NULL);
    fr_tokenizer *gguf = NULL;
    fr_ids ids = {0};
    FR_ASSERT_OK(open_gguf(fr_tiny_gguf(), &gguf));
    CU_ASSERT_PTR_NOT_NULL_FATAL(gguf);
    FR_ASSERT_OK(
        fr_tokenizer_encode(fr_test_ctx(), folder, TEXT, sizeof TEXT - 1, true, &ids));
    fr_assert_encodes(gguf, TEXT, sizeof TEXT - 1, true, ids.data, ids.count);
    check_digests(folder, gguf, true);
    fr_ids_fini(&ids);
    fr_tokenizer_close(&folder);
    fr_tokenizer_close(&gguf);
}

static void merges_may_be_texts_or_pairs(void)
{
    json_t *root = fr_tiny_json();
    json_t *merges = json_object_get(json_object_get(root, "model"), "merges");
    fr_tokenizer *texts = fr_tiny_tokenizer(root, NULL);
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const char *text = json_string_value(json_array_get(merges, i));
        const char *space = strchr(text, ' ');
        json_t *left = json_stringn(text, (size_t)(space - text));
        (void)json_array_set_new(merges, i, json_pack("[o, s]", left, space + 1));
    }
    fr_tokenizer *pairs = fr_tiny_tokenizer(root, NULL);
    check_digests(texts, pairs, true);
    fr_assert_encodes(pairs, "hello", 5, false, (int32_t[]){FR_TINY_HELLO}, 1);
    fr_tokenizer_close(&texts);
    fr_tokenizer_close(&pairs);
    json_decref(root);
}

/* Each change decides ids, so each changes the digest. */
static void the_digest_covers_what_decides_ids(void)
{
    fr_tokenizer *plain = open_with_config(NULL);
    for (int change = 0; change < 4; change++) {
        json_t *root = fr_tiny_json();
        json_t *added = json_object_get(root, "added_tokens");
        json_t *model = json_object_get(root, "model");
        json_t *merges = json_object_get(model, "merges");
        if (change == 0) {
            (void)json_object_set_new(root, "pre_tokenizer", fr_tiny_smollm_rule());
        } else if (change == 1) {
            (void)json_array_remove(merges, json_array_size(merges) - 1);
        } else if (change == 2) {
            (void)json_array_append(merges, json_array_get(merges, 0));
            (void)json_array_remove(merges, 0);
        } else {
            /* the last special token becomes a plain one */
            (void)json_array_remove(added, 2);
            (void)json_object_set_new(json_object_get(model, "vocab"), "<|im_end|>",
                                      json_integer(FR_TINY_IM_END));
        }
        fr_tokenizer *changed = fr_tiny_tokenizer(root, NULL);
        check_digests(plain, changed, false);
        fr_tokenizer_close(&changed);
        json_decref(root);
    }
    fr_tokenizer *ends = open_with_config("{\"eos_token\": \"<|im_end|>\"}");
    check_digests(plain, ends, true);
    fr_tokenizer_close(&ends);
    fr_tokenizer_close(&plain);
}

/* A converter may fill up the vocabulary with unused ids: same texts, same ids, same digest. */
static void unused_ids_are_never_found_and_not_digested(void)
{
    fr_tokenizer *folder = open_with_config(NULL);
    fr_tokenizer *gguf = NULL;
    enum { N = FR_TINY_VOCABULARY + 1, UNUSED = 5 };
    fr_gguf *file = NULL;
    fr_text *texts = NULL;
    int64_t *types = NULL;
    int64_t n = 0;
    fr_text padded[N];
    int32_t kinds[N];
    const char *path = fr_test_path(fr_test_folder(), "short.gguf");
    fr_gguf_writer *writer = fr_tiny_gguf();
    fr_gguf_writer_write(writer, path);
    FR_ASSERT_OK(fr_gguf_open(fr_test_ctx(), path, &file));
    FR_ASSERT_OK(
        fr_gguf_get_texts(fr_test_ctx(), file, "tokenizer.ggml.tokens", &texts, &n));
    FR_ASSERT_OK(
        fr_gguf_get_ints(fr_test_ctx(), file, "tokenizer.ggml.token_type", &types, &n));
    CU_ASSERT_EQUAL_FATAL(n, N - 1);
    for (int i = 0; i < N - 1; i++) {
        padded[i] = texts[i];
        kinds[i] = (int32_t)types[i];
    }
    padded[N - 1] = (fr_text){"[PAD 0]", 7};
    kinds[N - 1] = UNUSED;
    fr_gguf_writer_set_views(writer, "tokenizer.ggml.tokens", padded, N);
    fr_gguf_writer_set_ints(writer, "tokenizer.ggml.token_type", kinds, N);
    FR_ASSERT_OK(open_gguf(writer, &gguf));
    CU_ASSERT_PTR_NOT_NULL_FATAL(gguf);
    CU_ASSERT_EQUAL(fr_test_n_tokens(gguf), N);
    check_digests(folder, gguf, true);
    fr_assert_encodes(gguf, "[PAD", 4, true, (int32_t[]){'[', 'P', 'A', 'D'}, 4);
    CU_ASSERT_EQUAL(fr_test_special_id(gguf, "[PAD 0]"), -1);
    fr_gguf_close(&file);
    free(texts);
    free(types);
    fr_tokenizer_close(&folder);
    fr_tokenizer_close(&gguf);
}

static void gguf_metadata_names_the_ends(void)
{
    fr_tokenizer *tokenizer = NULL;
    fr_gguf_writer *writer = fr_tiny_gguf();
    fr_gguf_writer_set_u32(writer, "tokenizer.ggml.bos_token_id", FR_TINY_IM_START);
    fr_gguf_writer_set_u32(writer, "tokenizer.ggml.eos_token_id", FR_TINY_IM_END);
    fr_gguf_writer_set_bool(writer, "tokenizer.ggml.add_bos_token", true);
    fr_gguf_writer_set_text(writer, "tokenizer.chat_template", "{{ 1 }}");
    FR_ASSERT_OK(open_gguf(writer, &tokenizer));
    CU_ASSERT_EQUAL(fr_tokenizer_eos(tokenizer), FR_TINY_IM_END);
    CU_ASSERT_EQUAL(fr_tokenizer_leading_bos(tokenizer), FR_TINY_IM_START);
    CU_ASSERT_STRING_EQUAL(fr_tokenizer_chat_template(tokenizer), "{{ 1 }}");
    fr_tokenizer_close(&tokenizer);
    FR_ASSERT_OK(open_gguf(fr_tiny_gguf(), &tokenizer));
    CU_ASSERT_EQUAL(fr_tokenizer_eos(tokenizer), -1);
    CU_ASSERT_EQUAL(fr_tokenizer_leading_bos(tokenizer), -1);
    CU_ASSERT_PTR_NULL(fr_tokenizer_chat_template(tokenizer));
    fr_tokenizer_close(&tokenizer);
}

static void without_a_named_rule_only_gpt2_files_open(void)
{
    static const char *const RULES[] = {NULL, "default"};
    for (int i = 0; i < FR_N_CASES(RULES); i++) {
        fr_tokenizer *tokenizer = NULL;
        for (int llama = 0; llama < 2; llama++) {
            fr_gguf_writer *writer = fr_tiny_gguf();
            if (RULES[i] == NULL) {
                fr_gguf_writer_remove(writer, "tokenizer.ggml.pre");
            } else {
                fr_gguf_writer_set_text(writer, "tokenizer.ggml.pre", RULES[i]);
            }
            if (llama != 0) {
                fr_gguf_writer_set_text(writer, "general.architecture", "llama");
                FR_ASSERT_FAILS(open_gguf(writer, &tokenizer), FR_ERR_UNSUPPORTED,
                                "supported: gpt-2, ");
                CU_ASSERT_PTR_NULL(tokenizer);
            } else {
                FR_ASSERT_OK(open_gguf(writer, &tokenizer));
                fr_tokenizer_close(&tokenizer);
            }
        }
    }
}

typedef struct ends_case {
    const char *tokenizer_config;
    const char *generation_config;
    const char *config;
    int32_t eos;
    int32_t leading_bos;
} ends_case;

static void check_ends(const ends_case *wanted)
{
    json_t *root = fr_tiny_json();
    fr_tokenizer *tokenizer = NULL;
    const char *folder = fr_tiny_folder(root, wanted->tokenizer_config);
    if (wanted->generation_config != NULL) {
        fr_test_write_text(fr_test_path(folder, "generation_config.json"),
                           wanted->generation_config);
    }
    if (wanted->config != NULL) {
        fr_test_write_text(fr_test_path(folder, "config.json"), wanted->config);
    }
    FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), folder, &tokenizer));
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokenizer);
    CU_ASSERT_EQUAL(fr_tokenizer_eos(tokenizer), wanted->eos);
    CU_ASSERT_EQUAL(fr_tokenizer_leading_bos(tokenizer), wanted->leading_bos);
    fr_tokenizer_close(&tokenizer);
    json_decref(root);
}

static void a_folder_names_the_ends_in_three_places(void)
{
    static const ends_case ENDS[] = {
        {NULL, NULL, NULL, -1, -1},
        {"{\"eos_token\": \"<|im_end|>\"}", "{\"eos_token_id\": 1}", NULL,
         FR_TINY_IM_END, -1},
        {"{\"eos_token\": {\"content\": \"<|endoftext|>\"}}", NULL, NULL, FR_TINY_END,
         -1},
        {"{\"eos_token\": null}", "{\"eos_token_id\": [7, 8]}", "{\"eos_token_id\": 9}",
         7, -1},
        {"{}", "{\"eos_token_id\": null}", "{\"eos_token_id\": 9}", 9, -1},
        {NULL, "{\"eos_token_id\": []}", "{}", -1, -1},
        {"{\"bos_token\": \"<|im_start|>\", \"add_bos_token\": false}", NULL, NULL, -1,
         -1},
        {"{\"bos_token\": \"<|im_start|>\", \"add_bos_token\": true}", NULL, NULL, -1,
         FR_TINY_IM_START},
        {"{\"add_bos_token\": true}", NULL, "{\"bos_token_id\": 5}", -1, 5},
    };
    for (int i = 0; i < FR_N_CASES(ENDS); i++) {
        check_ends(&ENDS[i]);
    }
}

static void a_folder_brings_its_chat_template(void)
{
    static const char NAMED[] =
        "{\"chat_template\": [{\"name\": \"tools\", \"template\": \"t\"},"
        " {\"name\": \"default\", \"template\": \"d\"}]}";
    json_t *root = fr_tiny_json();
    fr_tokenizer *tokenizer = open_with_config("{\"chat_template\": \"a\\nb\"}");
    CU_ASSERT_STRING_EQUAL(fr_tokenizer_chat_template(tokenizer), "a\nb");
    fr_tokenizer_close(&tokenizer);
    tokenizer = open_with_config(NAMED);
    CU_ASSERT_STRING_EQUAL(fr_tokenizer_chat_template(tokenizer), "d");
    fr_tokenizer_close(&tokenizer);
    const char *folder = fr_tiny_folder(root, NAMED);
    fr_test_write_text(fr_test_path(folder, "chat_template.jinja"), "from the file");
    FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), folder, &tokenizer));
    CU_ASSERT_STRING_EQUAL(fr_tokenizer_chat_template(tokenizer), "from the file");
    fr_tokenizer_close(&tokenizer);
    json_decref(root);
}

/* transformers writes "no limit" so. Other numbers, and digits in texts, stay as they are. */
static void a_length_beyond_64_bits_is_harmless(void)
{
    fr_tokenizer *tokenizer = open_with_config(
        "{\"model_max_length\": 1000000000000000019884624838656, \"x\": "
        "[-99999999999999999999, 1234567890123456789012345.5, 12e3],"
        "\"add_bos_token\": true, \"bos_token\": \"<|im_start|>\", "
        "\"chat_template\": \"\\\"12345678901234567890123456789012\"}");
    CU_ASSERT_EQUAL(fr_tokenizer_leading_bos(tokenizer), FR_TINY_IM_START);
    CU_ASSERT_STRING_EQUAL(fr_tokenizer_chat_template(tokenizer),
                           "\"12345678901234567890123456789012");
    fr_tokenizer_close(&tokenizer);
}

static void a_model_without_tokenizer_says_what_to_do(void)
{
    fr_tokenizer *tokenizer = NULL;
    fr_gguf_writer *writer = fr_tiny_gguf();
    fr_gguf_writer_remove(writer, "tokenizer.ggml.model");
    FR_ASSERT_FAILS(open_gguf(writer, &tokenizer), FR_ERR_DATA, "source_ids");
    FR_ASSERT_FAILS(fr_tokenizer_open(fr_test_ctx(), fr_test_folder(), &tokenizer),
                    FR_ERR_DATA, "source_ids");
    FR_ASSERT_FAILS(fr_tokenizer_open(fr_test_ctx(),
                                      fr_test_path(fr_test_folder(), "absent.gguf"),
                                      &tokenizer),
                    FR_ERR_DATA, "absent.gguf");
    CU_ASSERT_PTR_NULL(tokenizer);
}

static const fr_case CASES[] = {
    FR_CASE(a_gguf_file_and_a_folder_are_the_same_tokenizer),
    FR_CASE(merges_may_be_texts_or_pairs),
    FR_CASE(the_digest_covers_what_decides_ids),
    FR_CASE(unused_ids_are_never_found_and_not_digested),
    FR_CASE(gguf_metadata_names_the_ends),
    FR_CASE(without_a_named_rule_only_gpt2_files_open),
    FR_CASE(a_folder_names_the_ends_in_three_places),
    FR_CASE(a_folder_brings_its_chat_template),
    FR_CASE(a_length_beyond_64_bits_is_harmless),
    FR_CASE(a_model_without_tokenizer_says_what_to_do)};

int main(int argc, char **argv)
{
    return fr_suite_main("tokenizer_files", CASES, FR_N_CASES(CASES), argc, argv);
}
