/* Added tokens: which files name them, how texts are cut at them, what comes back. The wanted ids are those of the
 * reference implementation for the same files. */
#include "support/model_files.h"
#include "support/tiny_tokenizer.h"
#include "train/data/text.h"

#include <stdlib.h>
#include <string.h>

enum { THINK = FR_TINY_VOCABULARY, NEXT };

/* One more item of added_tokens. */
static void add(json_t *root, int id, const char *content, bool special,
                bool normalized)
{
    json_t *item =
        json_pack("{s:i, s:s, s:b, s:b}", "id", id, "content", content, "special",
                  special ? 1 : 0, "normalized", normalized ? 1 : 0);
    (void)json_array_append_new(json_object_get(root, "added_tokens"),
                                fr_test_memory(item));
}

static fr_tokenizer *with_think(bool special)
{
    json_t *root = fr_tiny_json();
    add(root, THINK, "<think>", special, false);
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, NULL);
    json_decref(root);
    return tokenizer;
}

#define ENCODES(tokenizer, text, special, ...)                                         \
    fr_assert_encodes((tokenizer), (text), strlen(text), (special),                    \
                      (const int32_t[]){__VA_ARGS__},                                  \
                      (int64_t)(sizeof((const int32_t[]){__VA_ARGS__}) / 4))

static void decodes(const fr_tokenizer *tokenizer, const int32_t *ids, int64_t n,
                    const char *wanted)
{
    char *text = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(
        fr_tokenizer_decode(fr_test_ctx(), tokenizer, ids, n, true, &text, &bytes));
    CU_ASSERT_STRING_EQUAL(text, wanted);
    free(text);
}

static void added_tokens_that_are_not_special_are_text(void)
{
    static const int32_t IDS[] = {'a', THINK, FR_TINY_IM_END, 'b'};
    fr_tokenizer *tokenizer = with_think(false);
    ENCODES(tokenizer, "a<think>b", false, 'a', THINK, 'b');
    ENCODES(tokenizer, "a<think>b", true, 'a', THINK, 'b');
    ENCODES(tokenizer, "<|im_end|><think>", true, FR_TINY_IM_END, THINK);
    ENCODES(tokenizer, "|><think>", false, '|', '>', THINK);
    CU_ASSERT_FALSE(fr_tokenizer_is_special(tokenizer, THINK));
    CU_ASSERT_TRUE(fr_tokenizer_is_added(tokenizer, THINK));
    CU_ASSERT_FALSE(fr_tokenizer_is_added(tokenizer, FR_TINY_IM_END));
    CU_ASSERT_EQUAL(fr_test_special_id(tokenizer, "<think>"), -1);
    CU_ASSERT_EQUAL(fr_tokenizer_marker(tokenizer, "<think>"), THINK);
    decodes(tokenizer, IDS, 4, "a<think>b");
    fr_tokenizer_close(&tokenizer);
    tokenizer = with_think(true);
    ENCODES(tokenizer, "<think>", false, '<', 't', 'h', 'i', 'n', 'k', '>');
    decodes(tokenizer, IDS, 4, "ab");
    fr_tokenizer_close(&tokenizer);
}

/* Leftmost, then longest; those that the reference would look for in normalised text come second. */
static void overlapping_tokens_are_found_as_in_the_reference(void)
{
    for (int late = 0; late < 2; late++) {
        json_t *root = fr_tiny_json();
        add(root, THINK, "ab", false, late != 0);
        add(root, NEXT, "bc", false, false);
        fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, NULL);
        if (late != 0) {
            ENCODES(tokenizer, "xabcx", false, 'x', 'a', NEXT, 'x');
        } else {
            ENCODES(tokenizer, "xabcx", false, 'x', THINK, 'c', 'x');
        }
        fr_tokenizer_close(&tokenizer);
        add(root, NEXT + 1, "abc", false, false);
        tokenizer = fr_tiny_tokenizer(root, NULL);
        ENCODES(tokenizer, "xabcabx", false, 'x', NEXT + 1, THINK, 'x');
        fr_tokenizer_close(&tokenizer);
        json_decref(root);
    }
}

/* tokenizer_config.json, added_tokens.json and special_tokens_map.json beside a tokenizer.json without the token. */
typedef struct beside {
    const char *tokenizer_config;
    const char *added_tokens;
    const char *special_tokens_map;
    bool found;   /* in data */
    bool special; /* found in templates, left out of texts */
} beside;

static void files_beside_tokenizer_json_add_tokens(void)
{
    static const char DECODER[] =
        "{\"added_tokens_decoder\": {\"267\": {\"content\": \"<think>\", \"special\": "
        "false}, \"264\": {\"content\": \"<|endoftext|>\", \"special\": true}}}";
    static const char SPECIAL[] =
        "{\"added_tokens_decoder\": {\"267\": {\"content\": \"<think>\", \"special\": "
        "true}}}";
    static const char TEXTS[] = "{\"<think>\": 267}";
    static const beside CASES[] = {
        {DECODER, NULL, NULL, true, false},
        {SPECIAL, NULL, NULL, false, true},
        {"{}", TEXTS, NULL, true, false},
        {NULL, TEXTS, "{\"eos_token\": \"<think>\"}", false, true},
        {NULL, TEXTS, "{\"additional_special_tokens\": [{\"content\": \"<think>\"}]}",
         false, true},
        /* added_tokens.json is of before added_tokens_decoder */
        {"{\"added_tokens_decoder\": {}}", TEXTS, NULL, false, false},
    };
    json_t *root = fr_tiny_json();
    for (int i = 0; i < FR_N_CASES(CASES); i++) {
        fr_tokenizer *tokenizer = NULL;
        const char *folder = fr_tiny_folder(root, CASES[i].tokenizer_config);
        if (CASES[i].added_tokens != NULL) {
            fr_test_write_text(fr_test_path(folder, "added_tokens.json"),
                               CASES[i].added_tokens);
        }
        if (CASES[i].special_tokens_map != NULL) {
            fr_test_write_text(fr_test_path(folder, "special_tokens_map.json"),
                               CASES[i].special_tokens_map);
        }
        FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), folder, &tokenizer));
        CU_ASSERT_PTR_NOT_NULL_FATAL(tokenizer);
        if (CASES[i].found) {
            ENCODES(tokenizer, "<think>x", false, THINK, 'x');
        } else {
            ENCODES(tokenizer, "<thi", false, '<', 't', 'h', 'i');
        }
        CU_ASSERT_EQUAL(fr_tokenizer_is_added(tokenizer, THINK), CASES[i].found);
        CU_ASSERT_EQUAL(fr_tokenizer_is_special(tokenizer, THINK), CASES[i].special);
        fr_tokenizer_close(&tokenizer);
    }
    json_decref(root);
}

/* A word of the vocabulary that is added is found inside words, one that has a part is special. */
static void words_of_the_vocabulary_may_be_added(void)
{
    json_t *root = fr_tiny_json();
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(
        root, "{\"added_tokens_decoder\": {\"256\": {\"content\": \"he\"}}}");
    ENCODES(tokenizer, "hello", false, FR_TINY_HE, FR_TINY_LL, 'o');
    fr_tokenizer_close(&tokenizer);
    tokenizer = fr_tiny_tokenizer(root, "{\"eos_token\": \"q\"}");
    CU_ASSERT_TRUE(fr_tokenizer_is_special(tokenizer, 'q'));
    CU_ASSERT_EQUAL(fr_tokenizer_eos(tokenizer), 'q');
    fr_tokenizer_close(&tokenizer);
    json_decref(root);
}

/* One that is special in any file is special; who gives a text another id, or an id another text, is refused. */
static void files_must_agree(void)
{
    json_t *root = fr_tiny_json();
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(
        root, "{\"added_tokens_decoder\": {\"266\": {\"content\": \"<|im_end|>\"}}}");
    CU_ASSERT_TRUE(fr_tokenizer_is_special(tokenizer, FR_TINY_IM_END));
    fr_tokenizer_close(&tokenizer);
    const char *folder = fr_tiny_folder(root, NULL);
    const char *path = fr_test_path(folder, "added_tokens.json");
    fr_test_write_text(path, "{\"<think>\": 266}");
    FR_ASSERT_FAILS(fr_tokenizer_open(fr_test_ctx(), folder, &tokenizer), FR_ERR_FORMAT,
                    "to '<think>', the latter in added_tokens.json");
    fr_test_write_text(path, "{\"<|im_end|>\": 267}");
    FR_ASSERT_FAILS(fr_tokenizer_open(fr_test_ctx(), folder, &tokenizer), FR_ERR_FORMAT,
                    "has the id 266, but added_tokens.json gives it 267");
    fr_test_write_text(path, "{\"<think>\": \"267\"}");
    FR_ASSERT_FAILS(fr_tokenizer_open(fr_test_ctx(), folder, &tokenizer), FR_ERR_FORMAT,
                    "the id of the token '<think>' must be a whole number");
    json_decref(root);
}

/* A GGUF file's user-defined tokens are the added ones, with the same digest; unused ones have no text. */
static void a_gguf_file_has_them_as_user_defined(void)
{
    enum { CONTROL = 3, USER_DEFINED, UNUSED };
    static const int32_t IDS[] = {'a', THINK, 'b'};
    fr_tokenizer *made[3] = {NULL};
    uint8_t digests[4][FR_DIGEST_BYTES];
    for (int i = 0; i < 3; i++) {
        const char *path = fr_test_path(fr_test_folder(), "added.gguf");
        fr_gguf_writer *writer = fr_tiny_gguf_with("<think>", CONTROL + i);
        fr_gguf_writer_write(writer, path);
        fr_gguf_writer_destroy(&writer);
        FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), path, &made[i]));
        CU_ASSERT_PTR_NOT_NULL_FATAL(made[i]);
        fr_tokenizer_digest(made[i], digests[i]);
    }
    fr_tokenizer *folder = with_think(false);
    fr_tokenizer_digest(folder, digests[3]);
    CU_ASSERT_EQUAL(memcmp(digests[1], digests[3], FR_DIGEST_BYTES), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(digests[0], digests[1], FR_DIGEST_BYTES), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(digests[1], digests[2], FR_DIGEST_BYTES), 0);
    ENCODES(made[1], "a<think>b", false, 'a', THINK, 'b');
    decodes(made[0], IDS, 3, "ab");
    decodes(made[1], IDS, 3, "a<think>b");
    decodes(made[2], IDS, 3, "ab");
    CU_ASSERT_FALSE(fr_tokenizer_has_text(made[2], THINK));
    for (int i = 0; i < 3; i++) {
        fr_tokenizer_close(&made[i]);
    }
    fr_tokenizer_close(&folder);
}

static void check_source(const fr_tokenizer *tokenizer, const char *template_text,
                         const char *source, const int32_t *wanted, int64_t n)
{
    fr_ids ids = {0};
    fr_template parts;
    FR_ASSERT_OK(fr_template_parse(fr_test_ctx(), "template", template_text, &parts));
    fr_text text = {source, strlen(source)};
    FR_ASSERT_OK(fr_text_encode_source(fr_test_ctx(), tokenizer, &parts, text, false,
                                       &ids, NULL));
    CU_ASSERT_EQUAL(ids.count, n);
    if (ids.count == n) {
        fr_assert_same_bytes(template_text, ids.data, wanted,
                             (size_t)n * sizeof *wanted);
    }
    fr_ids_fini(&ids);
}

/* In templates and in data, beside special tokens and around them. */
static void rows_hold_them_in_templates_and_data(void)
{
    static const int32_t MIXED[] = {FR_TINY_IM_START, THINK, 'x', THINK, 'y',
                                    FR_TINY_IM_END};
    json_t *root = fr_tiny_json();
    add(root, THINK, "<think>", false, false);
    add(root, NEXT, "<|im_end|>x", false, false);
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, NULL);
    check_source(tokenizer, "<think>{source}{target}", "a<think>b",
                 (const int32_t[]){THINK, 'a', THINK, 'b'}, 4);
    check_source(tokenizer, "<thi{source}{target}", "nk>", (const int32_t[]){THINK}, 1);
    check_source(tokenizer, "<|im_start|><think>{source}<|im_end|>{target}",
                 "x<think>y", MIXED, 6);
    /* data has no special tokens; an added one may begin like a special one */
    check_source(tokenizer, "{source}<|im_end|>x<|im_end|>{target}", "|",
                 (const int32_t[]){'|', NEXT, FR_TINY_IM_END}, 3);
    check_source(tokenizer, "{source}{target}", "<|im_end|>x", (const int32_t[]){NEXT},
                 1);
    fr_tokenizer_close(&tokenizer);
    json_decref(root);
}

static const fr_case CASES[] = {
    FR_CASE(added_tokens_that_are_not_special_are_text),
    FR_CASE(overlapping_tokens_are_found_as_in_the_reference),
    FR_CASE(files_beside_tokenizer_json_add_tokens),
    FR_CASE(words_of_the_vocabulary_may_be_added),
    FR_CASE(files_must_agree),
    FR_CASE(a_gguf_file_has_them_as_user_defined),
    FR_CASE(rows_hold_them_in_templates_and_data),
};

int main(int argc, char **argv)
{
    return fr_suite_main("added_tokens", CASES, FR_N_CASES(CASES), argc, argv);
}
