/* Tokenizer metadata of a GGUF file that is wrong in one place: refused, with that place in the message. */
#include "support/model_files.h"
#include "support/tiny_tokenizer.h"

#include <stdlib.h>

/* A way to break the metadata of a GGUF file. */
typedef struct gguf_change {
    void (*apply)(fr_gguf_writer *writer);
    fr_status wanted;
    const char *part;
} gguf_change;

#define KEY(name) "tokenizer.ggml." name

static void other_model(fr_gguf_writer *w)
{
    fr_gguf_writer_set_text(w, KEY("model"), "bert");
}

static void number_as_model(fr_gguf_writer *w)
{
    fr_gguf_writer_set_u32(w, KEY("model"), 1);
}

static void other_rule(fr_gguf_writer *w)
{
    fr_gguf_writer_set_text(w, KEY("pre"), "no-rule");
}

static void no_tokens(fr_gguf_writer *w)
{
    fr_gguf_writer_remove(w, KEY("tokens"));
}

static void empty_tokens(fr_gguf_writer *w)
{
    fr_gguf_writer_set_texts(w, KEY("tokens"), (const char *const[]){""}, 0);
    fr_gguf_writer_set_ints(w, KEY("token_type"), (const int32_t[]){0}, 0);
}

static void numbers_as_tokens(fr_gguf_writer *w)
{
    fr_gguf_writer_set_ints(w, KEY("tokens"), (const int32_t[]){1, 2}, 2);
}

static void text_as_types(fr_gguf_writer *w)
{
    fr_gguf_writer_set_text(w, KEY("token_type"), "normal");
}

static void too_few_types(fr_gguf_writer *w)
{
    fr_gguf_writer_set_ints(w, KEY("token_type"), (const int32_t[]){1, 1}, 2);
}

static void unknown_type(fr_gguf_writer *w)
{
    int32_t types[FR_TINY_VOCABULARY];
    for (int i = 0; i < FR_TINY_VOCABULARY; i++) {
        types[i] = i == 9 ? 6 : 1;
    }
    fr_gguf_writer_set_ints(w, KEY("token_type"), types, FR_TINY_VOCABULARY);
}

static void two_tokens(fr_gguf_writer *w, const char *first, const char *second)
{
    const char *const tokens[] = {first, second};
    fr_gguf_writer_set_texts(w, KEY("tokens"), tokens, 2);
    fr_gguf_writer_remove(w, KEY("token_type"));
}

static void same_tokens(fr_gguf_writer *w)
{
    two_tokens(w, "ab", "ab");
}

/* Tokens that no text can have are harmless. */
static void unreachable_token(fr_gguf_writer *w, const char *token)
{
    two_tokens(w, "ab", token);
    fr_gguf_writer_set_texts(w, KEY("merges"), &token, 0);
}

static void empty_token(fr_gguf_writer *w)
{
    unreachable_token(w, "");
}

static void token_with_space(fr_gguf_writer *w)
{
    unreachable_token(w, "a b");
}

static void token_cut_short(fr_gguf_writer *w)
{
    unreachable_token(w, "a\xC4");
}

static void no_merges(fr_gguf_writer *w)
{
    fr_gguf_writer_remove(w, KEY("merges"));
}

static void one_merge(fr_gguf_writer *w, const char *merge)
{
    fr_gguf_writer_set_texts(w, KEY("merges"), &merge, 1);
}

static void merge_without_space(fr_gguf_writer *w)
{
    one_merge(w, "he");
}

static void merge_with_two_spaces(fr_gguf_writer *w)
{
    one_merge(w, "h  e");
}

static void empty_merge(fr_gguf_writer *w)
{
    one_merge(w, "");
}

static void merge_of_nothing(fr_gguf_writer *w)
{
    one_merge(w, " ");
}

static void merge_of_unknown(fr_gguf_writer *w)
{
    one_merge(w, "h q");
}

/* `n` times the same text under a key. */
static void set_many(fr_gguf_writer *w, const char *key, int64_t n)
{
    fr_text *texts = fr_test_memory(calloc((size_t)n, sizeof *texts));
    for (int64_t i = 0; i < n; i++) {
        texts[i] = (fr_text){"h e", 3};
    }
    fr_gguf_writer_set_views(w, key, texts, n);
    free(texts);
}

static void too_many_tokens(fr_gguf_writer *w)
{
    set_many(w, KEY("tokens"), (1 << 20) + 1);
    fr_gguf_writer_remove(w, KEY("token_type"));
}

static void too_many_merges(fr_gguf_writer *w)
{
    set_many(w, KEY("merges"), (1 << 21) + 1);
}

static void eos_out_of_range(fr_gguf_writer *w)
{
    fr_gguf_writer_set_u32(w, KEY("eos_token_id"), FR_TINY_VOCABULARY);
}

static void bos_out_of_range(fr_gguf_writer *w)
{
    fr_gguf_writer_set_u32(w, KEY("bos_token_id"), UINT32_MAX);
}

static void bos_out_of_range_asked(fr_gguf_writer *w)
{
    fr_gguf_writer_set_u32(w, KEY("bos_token_id"), FR_TINY_VOCABULARY);
    fr_gguf_writer_set_bool(w, KEY("add_bos_token"), true);
}

static void none_as_bos_asked(fr_gguf_writer *w)
{
    fr_gguf_writer_set_u32(w, KEY("bos_token_id"), UINT32_MAX);
    fr_gguf_writer_set_bool(w, KEY("add_bos_token"), true);
}

static void text_as_bos_asked(fr_gguf_writer *w)
{
    fr_gguf_writer_set_text(w, KEY("bos_token_id"), "2");
    fr_gguf_writer_set_bool(w, KEY("add_bos_token"), true);
}

static void text_as_eos(fr_gguf_writer *w)
{
    fr_gguf_writer_set_text(w, KEY("eos_token_id"), "2");
}

static void bos_asked_but_not_named(fr_gguf_writer *w)
{
    fr_gguf_writer_set_bool(w, KEY("add_bos_token"), true);
}

static void number_as_flag(fr_gguf_writer *w)
{
    fr_gguf_writer_set_u32(w, KEY("add_bos_token"), 1);
}

static void number_as_template(fr_gguf_writer *w)
{
    fr_gguf_writer_set_u32(w, "tokenizer.chat_template", 1);
}

static const gguf_change GGUF_CHANGES[] = {
    {other_model, FR_ERR_UNSUPPORTED, "'bert'; supported: gpt2"},
    {number_as_model, FR_ERR_FORMAT, "tokenizer.ggml.model must be a string"},
    {other_rule, FR_ERR_UNSUPPORTED, "'no-rule' (tokenizer.ggml.pre)"},
    {no_tokens, FR_ERR_FORMAT, "tokenizer.ggml.tokens"},
    {empty_tokens, FR_ERR_FORMAT, "the vocabulary has 0 tokens"},
    {numbers_as_tokens, FR_ERR_FORMAT, "tokenizer.ggml.tokens"},
    {text_as_types, FR_ERR_FORMAT, "tokenizer.ggml.token_type"},
    {too_few_types, FR_ERR_FORMAT, "has 2 items, but there are 267 tokens"},
    {unknown_type, FR_ERR_FORMAT, "tokenizer.ggml.token_type[9] is 6"},
    {same_tokens, FR_ERR_FORMAT, "tokens 0 and 1 have the same text"},
    {empty_token, FR_OK, NULL},
    {token_with_space, FR_OK, NULL},
    {token_cut_short, FR_OK, NULL},
    {no_merges, FR_ERR_FORMAT, "tokenizer.ggml.merges"},
    {merge_without_space, FR_ERR_FORMAT, "tokenizer.ggml.merges[0] is 'he'"},
    {merge_with_two_spaces, FR_ERR_FORMAT, "tokenizer.ggml.merges[0] is 'h  e'"},
    {empty_merge, FR_ERR_FORMAT, "tokenizer.ggml.merges[0]"},
    {merge_of_nothing, FR_ERR_FORMAT, "merge 0 names ''"},
    {merge_of_unknown, FR_ERR_FORMAT, "merge 0 names 'hq'"},
    {too_many_tokens, FR_ERR_FORMAT, "has 1048577 tokens; 1 to 1048576 are allowed"},
    {too_many_merges, FR_ERR_FORMAT, "2097153 merges; at most 2097152 are allowed"},
    {eos_out_of_range, FR_OK, NULL},
    {bos_out_of_range, FR_OK, NULL},
    {bos_out_of_range_asked, FR_ERR_FORMAT, "begin-of-sequence id is 267"},
    {none_as_bos_asked, FR_ERR_FORMAT, "no begin-of-sequence token"},
    {text_as_bos_asked, FR_ERR_FORMAT, "bos_token_id must be a token id"},
    {text_as_eos, FR_ERR_FORMAT, "tokenizer.ggml.eos_token_id must be a token id"},
    {bos_asked_but_not_named, FR_ERR_FORMAT, "no begin-of-sequence token"},
    {number_as_flag, FR_ERR_FORMAT,
     "tokenizer.ggml.add_bos_token must be true or false"},
    {number_as_template, FR_ERR_FORMAT, "tokenizer.chat_template must be a string"},
};

static void each_wrong_part_of_gguf_metadata_is_named(void)
{
    const char *path = fr_test_path(fr_test_folder(), "broken.gguf");
    for (int i = 0; i < FR_N_CASES(GGUF_CHANGES); i++) {
        fr_tokenizer *tokenizer = NULL;
        fr_gguf_writer *writer = fr_tiny_gguf();
        GGUF_CHANGES[i].apply(writer);
        fr_gguf_writer_write(writer, path);
        fr_gguf_writer_destroy(&writer);
        fr_status status = fr_tokenizer_open(fr_test_ctx(), path, &tokenizer);
        fr_assert_status(status, GGUF_CHANGES[i].wanted, GGUF_CHANGES[i].part, __FILE__,
                         __LINE__);
        CU_ASSERT_EQUAL(tokenizer != NULL, GGUF_CHANGES[i].wanted == FR_OK);
        fr_tokenizer_close(&tokenizer);
    }
}

static const fr_case CASES[] = {FR_CASE(each_wrong_part_of_gguf_metadata_is_named)};

int main(int argc, char **argv)
{
    return fr_suite_main("broken_tokenizer_gguf", CASES, FR_N_CASES(CASES), argc, argv);
}
