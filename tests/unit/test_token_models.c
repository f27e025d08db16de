/* Models whose tokens have scores, in small vocabularies that have what trained ones rarely have. */
#include "model/text/dialogue.h"
#include "support/model_files.h"
#include "support/tiny_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name
#define MARK "\xE2\x96\x81"

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

typedef struct token {
    const char *text;
    float score;
    int32_t type;
} token;

enum { MAX_TOKENS = 32 };

/* A GGUF file's tokenizer without a space in front of texts. */
static fr_gguf_writer *write_tokens(const char *model, const token *tokens, int n)
{
    const char *texts[MAX_TOKENS];
    float scores[MAX_TOKENS];
    int32_t types[MAX_TOKENS];
    fr_gguf_writer *writer = fr_gguf_writer_create();
    for (int i = 0; i < n; i++) {
        texts[i] = tokens[i].text;
        scores[i] = tokens[i].score;
        types[i] = tokens[i].type;
    }
    fr_gguf_writer_set_text(writer, KEY("model"), model);
    fr_gguf_writer_set_texts(writer, KEY("tokens"), texts, n);
    fr_gguf_writer_set_reals(writer, KEY("scores"), scores, n);
    fr_gguf_writer_set_ints(writer, KEY("token_type"), types, n);
    fr_gguf_writer_set_bool(writer, KEY("add_space_prefix"), false);
    fr_gguf_writer_set_bool(writer, KEY("add_bos_token"), false);
    return writer;
}

/* Opens and destroys. */
static fr_status open_tokens(fr_gguf_writer *writer, fr_tokenizer **out)
{
    const char *path = fr_test_path(fr_test_folder(), "scores.gguf");
    fr_gguf_writer_write(writer, path);
    fr_gguf_writer_destroy(&writer);
    return fr_tokenizer_open(fr_test_ctx(), path, out);
}

static fr_tokenizer *must_open(fr_gguf_writer *writer)
{
    fr_tokenizer *tokenizer = NULL;
    FR_ASSERT_OK(open_tokens(writer, &tokenizer));
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokenizer);
    return tokenizer;
}

/* Ids as digits with spaces between. */
static void check(const fr_tokenizer *tokenizer, const char *text, const char *wanted)
{
    char got[256] = "";
    fr_ids ids = {0};
    FR_ASSERT_OK(
        fr_tokenizer_encode(fr_test_ctx(), tokenizer, text, strlen(text), false, &ids));
    for (int64_t i = 0; i < ids.count; i++) {
        size_t at = strlen(got);
        (void)snprintf(got + at, sizeof got - at, "%s%d", i > 0 ? " " : "",
                       (int)ids.data[i]);
    }
    CU_ASSERT_STRING_EQUAL(got, wanted);
    if (strcmp(got, wanted) != 0) {
        (void)printf("    '%s': got %s, wanted %s\n", text, got, wanted);
    }
    fr_ids_fini(&ids);
}

/* "bc" has the higher score; of the two that are equal the left one comes first; "cd" can only be made of characters that are
 * no tokens themselves. */
static void the_highest_score_merges_first(void)
{
    static const token TOKENS[] = {{"<unk>", 0, UNKNOWN}, {"a", -5, NORMAL},
                                   {"b", -5, NORMAL},     {"c", -5, NORMAL},
                                   {"ab", -2, NORMAL},    {"bc", -1, NORMAL},
                                   {"aa", -3, NORMAL},    {"xy", -4, NORMAL}};
    fr_tokenizer *tokenizer = must_open(write_tokens("llama", TOKENS, 8));
    check(tokenizer, "abc", "1 5");
    check(tokenizer, "aaa", "6 1");
    check(tokenizer, "axyb", "1 7 2");
    check(tokenizer, "axxyyb", "1 0 7 0 2"); /* x and y alone are unknown */
    check(tokenizer, "aqqb", "1 0 2");       /* neighbours that are unknown fuse */
    check(tokenizer, "axqb", "1 0 2");
    fr_tokenizer_close(&tokenizer);
}

static void an_unused_token_comes_apart_again(void)
{
    static const token TOKENS[] = {{"<unk>", 0, UNKNOWN}, {"a", -5, NORMAL},
                                   {"b", -5, NORMAL},     {"ab", -1, UNUSED},
                                   {"abb", -2, NORMAL},   {"abb", 0, UNUSED}};
    fr_tokenizer *tokenizer = must_open(write_tokens("llama", TOKENS, 6));
    check(tokenizer, "ab", "1 2");
    check(tokenizer, "abb", "4");
    check(tokenizer, "aab", "1 1 2");
    fr_tokenizer_close(&tokenizer);
    static const token TWO_WAYS[] = {{"<unk>", 0, UNKNOWN},
                                     {"a", -5, NORMAL},
                                     {"aa", -1, NORMAL},
                                     {"aaa", -2, UNUSED}};
    FR_ASSERT_FAILS(open_tokens(write_tokens("llama", TWO_WAYS, 4), &tokenizer),
                    FR_ERR_UNSUPPORTED, "the unused token 3 can be merged");
}

static void bytes_stand_for_characters_without_a_token(void)
{
    static const token TOKENS[] = {{"a", -5, NORMAL},        {"<0xC3>", 0, BYTE},
                                   {"<0xA9>", 0, BYTE},      {"<0xA8>", 0, BYTE},
                                   {MARK, -5, NORMAL},       {"<s>", 0, CONTROL},
                                   {"<t>", 0, USER_DEFINED}, {"", 0, NORMAL},
                                   {"a", 0, UNUSED},         {"never met", -1, NORMAL}};
    static const char *const MODELS[] = {"llama", "t5"};
    for (int i = 0; i < FR_N_CASES(MODELS); i++) {
        fr_tokenizer *tokenizer = must_open(write_tokens(MODELS[i], TOKENS, 10));
        fr_ids ids = {0};
        check(tokenizer, "a\xC3\xA9 \xA8", "0 1 2 4 3");
        check(tokenizer, "a<t>a", "0 6 0");
        fr_assert_round_trip(tokenizer, "a\xC3\xA9 \xA8<t>", 8);
        FR_ASSERT_FAILS(
            fr_tokenizer_encode(fr_test_ctx(), tokenizer, "a<s>", 4, false, &ids),
            FR_ERR_DATA, "0x3C");
        FR_ASSERT_FAILS(
            fr_tokenizer_encode(fr_test_ctx(), tokenizer, "a\xC3\xAA", 3, false, &ids),
            FR_ERR_DATA, i == 0 ? "U+00EA" : "0xC3");
        CU_ASSERT_EQUAL(ids.count, 0);
        FR_ASSERT_OK(
            fr_tokenizer_encode(fr_test_ctx(), tokenizer, "a<s>", 4, true, &ids));
        CU_ASSERT_EQUAL(ids.count, 2);
        fr_ids_fini(&ids);
        fr_tokenizer_close(&tokenizer);
    }
}

/* -1.5 - 1.5 is more than -4; the unknown character costs 10 more than the lowest score. */
static void the_highest_sum_is_taken(void)
{
    static const token TOKENS[] = {
        {"<unk>", 0, UNKNOWN}, {"a", -2, NORMAL},    {"ab", -1.5F, NORMAL},
        {"bc", -1, NORMAL},    {"c", -1.5F, NORMAL}, {"abc", -4, NORMAL},
        {"b", -9, NORMAL},     {"<s>", 0, CONTROL},  {"abcd", -0.1F, UNUSED}};
    fr_tokenizer *tokenizer = must_open(write_tokens("t5", TOKENS, 9));
    check(tokenizer, "abc", "1 3"); /* as much as "ab", "c", but found first */
    check(tokenizer, "abcd", "1 3 0");
    check(tokenizer, "qabqqc", "0 2 0 4");
    fr_tokenizer_close(&tokenizer);
}

static void spaces_are_what_the_file_says(void)
{
    static const token TOKENS[] = {{"<unk>", 0, UNKNOWN},
                                   {"a", -5, NORMAL},
                                   {MARK, -5, NORMAL},
                                   {MARK "a", -1, NORMAL}};
    fr_gguf_writer *writer = write_tokens("llama", TOKENS, 4);
    fr_tokenizer *tokenizer = NULL;
    fr_gguf_writer_set_bool(writer, KEY("add_space_prefix"), true);
    const char *path = fr_test_path(fr_test_folder(), "spaces.gguf");
    fr_gguf_writer_write(writer, path);
    FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), path, &tokenizer));
    check(tokenizer, "a a", "3 3");
    check(tokenizer, " a ", "2 3 2");
    fr_assert_round_trip(tokenizer, " a ", 3);
    fr_tokenizer_close(&tokenizer);
    fr_gguf_writer_set_bool(writer, KEY("remove_extra_whitespaces"), true);
    fr_gguf_writer_write(writer, path);
    FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), path, &tokenizer));
    check(tokenizer, "  a   a ", "3 3");
    check(tokenizer, "  ", "");
    fr_tokenizer_close(&tokenizer);
    fr_gguf_writer_set_bool(writer, KEY("treat_whitespace_as_suffix"), true);
    FR_ASSERT_FAILS(open_tokens(writer, &tokenizer), FR_ERR_UNSUPPORTED,
                    "treat_whitespace_as_suffix");
}

static void damaged_tables_are_named(void)
{
    static const token TOKENS[] = {{"a", -5, NORMAL}, {"<0x0G>", 0, BYTE}};
    static const token SAME[] = {{"a", -5, NORMAL}, {"a", 0, NORMAL}};
    static const token ENDLESS[] = {{"a", -5, NORMAL},
                                    {"b", (float)(1e30 * 1e30), NORMAL}};
    static const char *const MODELS[] = {"llama", "t5"};
    fr_tokenizer *tokenizer = NULL;
    char long_text[514] = "";
    memset(long_text, 'a', 513);
    const token longest[] = {{long_text, 0, NORMAL}};
    for (int i = 0; i < FR_N_CASES(MODELS); i++) {
        FR_ASSERT_FAILS(open_tokens(write_tokens(MODELS[i], TOKENS, 2), &tokenizer),
                        FR_ERR_FORMAT, "token 1 stands for a byte");
        FR_ASSERT_FAILS(open_tokens(write_tokens(MODELS[i], SAME, 2), &tokenizer),
                        FR_ERR_FORMAT, "tokens 0 and 1 have the same text");
        FR_ASSERT_FAILS(open_tokens(write_tokens(MODELS[i], ENDLESS, 2), &tokenizer),
                        FR_ERR_FORMAT, "the score of token 1 is not a finite number");
        FR_ASSERT_FAILS(open_tokens(write_tokens(MODELS[i], longest, 1), &tokenizer),
                        FR_ERR_UNSUPPORTED, "token 0 has 513 bytes");
        fr_gguf_writer *writer = write_tokens(MODELS[i], SAME, 1);
        fr_gguf_writer_set_reals(writer, KEY("scores"), (const float[]){0, 0}, 2);
        FR_ASSERT_FAILS(open_tokens(writer, &tokenizer), FR_ERR_FORMAT,
                        "tokenizer.ggml.scores has 2 items");
    }
}

/* One model as the two kinds of files have it: scores or merges, a space in a mark or a step, marks of special tokens. */
static void a_prefix_fits_both_kinds_of_files(void)
{
    static const token TOKENS[] = {{"<unk>", 0, UNKNOWN},    {"<s>", 0, CONTROL},
                                   {"<0x0A>", 0, BYTE},      {MARK, -5, NORMAL},
                                   {"a", -5, NORMAL},        {MARK "a", -1, NORMAL},
                                   {"<x>", 0, USER_DEFINED}, {"[PAD7]", 0, UNUSED}};
    static const char FOLDER[] =
        "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},"
        "{\"id\":1,\"content\":\"<s>\",\"special\":true},"
        "{\"id\":6,\"content\":\"<x>\",\"special\":true}],"
        "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
        "\"content\":\"" MARK "\"},\"pre_tokenizer\":null,"
        "\"decoder\":{\"type\":\"Sequence\",\"decoders\":["
        "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" MARK
        "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]},"
        "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"byte_fallback\":true,"
        "\"vocab\":{\"<unk>\":0,\"<s>\":1,\"<0x0A>\":2,\"" MARK "\":3,\"a\":4,\"" MARK
        "a\":5,\"<x>\":6},"
        "\"merges\":[\"" MARK " a\"]}}";
    uint8_t digests[3][FR_DIGEST_BYTES];
    uint8_t whole[2][FR_DIGEST_BYTES];
    fr_tokenizer *made[3] = {must_open(write_tokens("llama", TOKENS, 8)), NULL,
                             must_open(write_tokens("llama", TOKENS, 5))};
    const char *folder = fr_test_folder();
    fr_test_write_text(fr_test_path(folder, "tokenizer.json"), FOLDER);
    FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), folder, &made[1]));
    for (int i = 0; i < 3; i++) {
        fr_tokenizer_vocabulary_digest(made[i], digests[i]);
    }
    for (int i = 0; i < 2; i++) {
        check(made[i], " a", "5");
        fr_tokenizer_digest(made[i], whole[i]);
    }
    CU_ASSERT(memcmp(digests[0], digests[1], FR_DIGEST_BYTES) == 0);
    CU_ASSERT(memcmp(digests[0], digests[2], FR_DIGEST_BYTES) != 0);
    CU_ASSERT(memcmp(whole[0], whole[1], FR_DIGEST_BYTES) != 0);
    for (int i = 0; i < 3; i++) {
        fr_tokenizer_close(&made[i]);
    }
}

/* A tokenizer that puts a space in front of each text must not put one between an answer and its role line. */
static void an_answer_gets_no_space_in_front(void)
{
    enum { N = 10, N_WANTED = 17 };
    static const char *const TOKENS[N] = {
        "<unk>", "<|im_start|>", "<|im_end|>", "\xE2\x96\x81", "a", "s", "i", "t",
        "n",     "<0x0A>"};
    static const int32_t TYPES[N] = {2, 3, 3, 1, 1, 1, 1, 1, 1, 6};
    static const float SCORES[N] = {0};
    static const int32_t WANTED[N_WANTED] = {1, 3, 4, 5, 5, 6, 5, 7, 4,
                                             8, 7, 9, 7, 6, 2, 3, 9};
    fr_gguf_writer *writer = fr_gguf_writer_create();
    const char *path = fr_test_path(fr_test_folder(), "spaces.gguf");
    fr_tokenizer *tokenizer = NULL;
    fr_dialogue_ids got = {0};
    const fr_dialogue dialogue = {
        .messages = json_pack("[{s:s, s:s}]", "role", "assistant", "content", "ti")};
    fr_gguf_writer_set_text(writer, "tokenizer.ggml.model", "llama");
    fr_gguf_writer_set_texts(writer, "tokenizer.ggml.tokens", TOKENS, N);
    fr_gguf_writer_set_reals(writer, "tokenizer.ggml.scores", SCORES, N);
    fr_gguf_writer_set_ints(writer, "tokenizer.ggml.token_type", TYPES, N);
    fr_gguf_writer_set_text(
        writer, "tokenizer.chat_template",
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
        "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}");
    fr_gguf_writer_write(writer, path);
    fr_gguf_writer_destroy(&writer);
    FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), path, &tokenizer));
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokenizer);
    FR_ASSERT_OK(fr_dialogue_encode(fr_test_ctx(), tokenizer, &dialogue, &got));
    CU_ASSERT_EQUAL_FATAL(got.ids.count, N_WANTED);
    fr_assert_same_bytes("ids", got.ids.data, WANTED, sizeof WANTED);
    fr_dialogue_ids_fini(&got);
    json_decref(dialogue.messages);
    fr_tokenizer_close(&tokenizer);
}

static const fr_case CASES[] = {FR_CASE(the_highest_score_merges_first),
                                FR_CASE(an_unused_token_comes_apart_again),
                                FR_CASE(bytes_stand_for_characters_without_a_token),
                                FR_CASE(the_highest_sum_is_taken),
                                FR_CASE(spaces_are_what_the_file_says),
                                FR_CASE(damaged_tables_are_named),
                                FR_CASE(a_prefix_fits_both_kinds_of_files),
                                FR_CASE(an_answer_gets_no_space_in_front)};

int main(int argc, char **argv)
{
    return fr_suite_main("token_models", CASES, FR_N_CASES(CASES), argc, argv);
}
