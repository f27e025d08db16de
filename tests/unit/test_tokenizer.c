#include "base/rng.h"
#include "support/suite.h"
#include "support/tiny_tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum { OPEN = FR_TINY_IM_START, CLOSE = FR_TINY_IM_END, END = FR_TINY_END };

static fr_tokenizer *open_tiny(void)
{
    json_t *root = fr_tiny_json();
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, NULL);
    json_decref(root);
    return tokenizer;
}

static void check_text(const fr_tokenizer *tokenizer, const char *text,
                       bool parse_special, const int32_t *wanted, int64_t n)
{
    fr_assert_encodes(tokenizer, text, strlen(text), parse_special, wanted, n);
}

static void text_is_merged_within_pieces(void)
{
    static const int32_t HELLO[] = {FR_TINY_HELLO, FR_TINY_SPACE_W, 'o', 'r', 'l', 'd'};
    static const int32_t LINES[] = {'a', FR_TINY_LINES, '\n', 'b'};
    fr_tokenizer *tokenizer = open_tiny();
    check_text(tokenizer, "hello world", false, HELLO, 6);
    check_text(tokenizer, "a\n\n\nb", false, LINES, 4);
    check_text(tokenizer, "", false, NULL, 0);
    check_text(tokenizer, "", true, NULL, 0);
    CU_ASSERT_EQUAL(fr_test_n_tokens(tokenizer), FR_TINY_VOCABULARY);
    fr_tokenizer_close(&tokenizer);
    CU_ASSERT_PTR_NULL(tokenizer);
    fr_tokenizer_close(&tokenizer);
}

static void the_rule_decides_how_numbers_are_split(void)
{
    static const int32_t GPT2[] = {' ', ' ', FR_TINY_TWELVE};
    static const int32_t SMOLLM[] = {FR_TINY_SPACES, '1', '2'};
    json_t *root = fr_tiny_json();
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, NULL);
    check_text(tokenizer, "  12", false, GPT2, 3);
    fr_tokenizer_close(&tokenizer);
    (void)json_object_set_new(root, "pre_tokenizer", fr_tiny_smollm_rule());
    tokenizer = fr_tiny_tokenizer(root, NULL);
    check_text(tokenizer, "  12", false, SMOLLM, 3);
    fr_tokenizer_close(&tokenizer);
    json_decref(root);
}

static void special_tokens_are_found_only_on_request(void)
{
    static const int32_t PLAIN[] = {'<', '|', 'i', 'm', '_', 'e', 'n', 'd', '|', '>'};
    static const int32_t FOUND[] = {CLOSE};
    static const int32_t MIXED[] = {OPEN, FR_TINY_HE, CLOSE, CLOSE, '\n', '<', '|'};
    fr_tokenizer *tokenizer = open_tiny();
    check_text(tokenizer, "<|im_end|>", false, PLAIN, 10);
    check_text(tokenizer, "<|im_end|>", true, FOUND, 1);
    check_text(tokenizer, "<|im_start|>he<|im_end|><|im_end|>\n<|", true, MIXED, 7);
    fr_tokenizer_close(&tokenizer);
}

/* A special token ends the text before it: its spaces stay whole. */
static void text_is_split_at_special_tokens_before_all_else(void)
{
    static const int32_t WANTED[] = {'a', FR_TINY_SPACES, END, FR_TINY_SPACES};
    fr_tokenizer *tokenizer = open_tiny();
    check_text(tokenizer, "a  <|endoftext|>  ", true, WANTED, 4);
    fr_tokenizer_close(&tokenizer);
}

static void of_special_tokens_the_leftmost_and_longest_wins(void)
{
    enum { LONG = FR_TINY_VOCABULARY, CROSSING };
    static const int32_t WANTED[] = {LONG, CROSSING, 'x', OPEN};
    json_t *root = fr_tiny_json();
    json_t *added = json_object_get(root, "added_tokens");
    (void)json_array_append_new(
        added, json_pack("{s:i, s:s}", "id", LONG, "content", "<|im_start|>b"));
    (void)json_array_append_new(
        added, json_pack("{s:i, s:s}", "id", CROSSING, "content", "q<|im_end"));
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, NULL);
    check_text(tokenizer, "<|im_start|>bq<|im_endx<|im_start|>", true, WANTED, 4);
    fr_tokenizer_close(&tokenizer);
    json_decref(root);
}

static void only_special_tokens_have_special_ids(void)
{
    static const char *const OTHERS[] = {"", "he", "<", "<|im_end|", "<|im_end|>>"};
    fr_tokenizer *tokenizer = open_tiny();
    CU_ASSERT_EQUAL(fr_test_special_id(tokenizer, "<|endoftext|>"), END);
    CU_ASSERT_EQUAL(fr_test_special_id(tokenizer, "<|im_start|>"), OPEN);
    for (int i = 0; i < FR_N_CASES(OTHERS); i++) {
        CU_ASSERT_EQUAL(fr_test_special_id(tokenizer, OTHERS[i]), -1);
    }
    CU_ASSERT_TRUE(fr_tokenizer_is_special(tokenizer, END));
    CU_ASSERT_FALSE(fr_tokenizer_is_special(tokenizer, FR_TINY_HE));
    CU_ASSERT_FALSE(fr_tokenizer_is_special(tokenizer, -1));
    CU_ASSERT_FALSE(fr_tokenizer_is_special(tokenizer, FR_TINY_VOCABULARY));
    fr_tokenizer_close(&tokenizer);
}

static void check_decoded(const fr_tokenizer *tokenizer, bool skip_special,
                          const char *wanted)
{
    static const int32_t IDS[] = {OPEN, FR_TINY_HELLO, FR_TINY_SPACE_W, '\n', CLOSE};
    char *text = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(fr_tokenizer_decode(fr_test_ctx(), tokenizer, IDS, 5, skip_special,
                                     &text, &bytes));
    CU_ASSERT_EQUAL(bytes, strlen(wanted));
    CU_ASSERT_STRING_EQUAL(text, wanted);
    free(text);
}

static void decoding_leaves_special_tokens_out_on_request(void)
{
    fr_tokenizer *tokenizer = open_tiny();
    check_decoded(tokenizer, false, "<|im_start|>hello w\n<|im_end|>");
    check_decoded(tokenizer, true, "hello w\n");
    fr_tokenizer_close(&tokenizer);
}

static void decoding_nothing_gives_an_empty_text(void)
{
    fr_tokenizer *tokenizer = open_tiny();
    char *text = NULL;
    size_t bytes = 1;
    FR_ASSERT_OK(
        fr_tokenizer_decode(fr_test_ctx(), tokenizer, NULL, 0, false, &text, &bytes));
    CU_ASSERT_EQUAL(bytes, 0);
    CU_ASSERT_STRING_EQUAL(text, "");
    free(text);
    fr_tokenizer_close(&tokenizer);
}

/* Rows of ids may hold such: the model has a row for them. */
static void ids_beyond_the_vocabulary_have_no_text(void)
{
    static const int32_t IDS[] = {'a', FR_TINY_VOCABULARY, INT32_MAX, 'b'};
    fr_tokenizer *tokenizer = open_tiny();
    char *text = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(
        fr_tokenizer_decode(fr_test_ctx(), tokenizer, IDS, 4, false, &text, &bytes));
    CU_ASSERT_EQUAL(bytes, 2);
    CU_ASSERT_STRING_EQUAL(text, "ab");
    free(text);
    fr_tokenizer_close(&tokenizer);
}

static void negative_ids_are_refused(void)
{
    static const int32_t BAD[] = {-1, INT32_MIN};
    fr_tokenizer *tokenizer = open_tiny();
    for (int i = 0; i < FR_N_CASES(BAD); i++) {
        int32_t ids[] = {'a', BAD[i]};
        char *text = NULL;
        size_t bytes = 0;
        FR_ASSERT_FAILS(
            fr_tokenizer_decode(fr_test_ctx(), tokenizer, ids, 2, true, &text, &bytes),
            FR_ERR_ARG, "number 1 of 2");
        CU_ASSERT_PTR_NULL(text);
    }
    fr_tokenizer_close(&tokenizer);
}

static void any_bytes_come_back(void)
{
    enum { TRIALS = 50, BYTES = 500 };
    fr_tokenizer *tokenizer = open_tiny();
    char text[BYTES];
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        for (size_t i = 0; i < BYTES; i++) {
            text[i] = (char)fr_rng_u64(trial, FR_RNG_TEST, 0, i);
        }
        fr_assert_round_trip(tokenizer, text, BYTES);
    }
    fr_tokenizer_close(&tokenizer);
}

static void encoding_appends(void)
{
    static const int32_t WANTED[] = {'a', 'b', END};
    fr_tokenizer *tokenizer = open_tiny();
    fr_ctx *ctx = fr_test_ctx();
    fr_ids ids = {0};
    FR_ASSERT_OK(fr_tokenizer_encode(ctx, tokenizer, "a", 1, false, &ids));
    FR_ASSERT_OK(fr_tokenizer_encode(ctx, tokenizer, "b", 1, true, &ids));
    FR_ASSERT_OK(fr_ids_add(ctx, &ids, END));
    CU_ASSERT_EQUAL(ids.count, 3);
    fr_assert_same_bytes("ids", ids.data, WANTED, sizeof WANTED);
    fr_ids_fini(&ids);
    CU_ASSERT_EQUAL(ids.count, 0);
    fr_tokenizer_close(&tokenizer);
}

/* Quadratic work on any of them would run into the time limit. */
static void a_megabyte_of_anything_is_encoded(void)
{
    static const char *const UNITS[] = {"l",    " ",     "\n", "hello ",
                                        "\xFF", "<|im_", "12"};
    enum { BYTES = 1 << 20 };
    fr_tokenizer *tokenizer = open_tiny();
    char *text = malloc(BYTES);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    for (int i = 0; i < FR_N_CASES(UNITS); i++) {
        size_t width = strlen(UNITS[i]);
        fr_ids ids = {0};
        for (size_t at = 0; at < BYTES; at++) {
            text[at] = UNITS[i][at % width];
        }
        FR_ASSERT_OK(
            fr_tokenizer_encode(fr_test_ctx(), tokenizer, text, BYTES, true, &ids));
        CU_ASSERT_TRUE(ids.count >= BYTES / 5 && ids.count <= BYTES);
        fr_assert_round_trip(tokenizer, text, BYTES);
        fr_ids_fini(&ids);
    }
    free(text);
    fr_tokenizer_close(&tokenizer);
}

static const fr_case CASES[] = {
    FR_CASE(text_is_merged_within_pieces),
    FR_CASE(the_rule_decides_how_numbers_are_split),
    FR_CASE(special_tokens_are_found_only_on_request),
    FR_CASE(text_is_split_at_special_tokens_before_all_else),
    FR_CASE(of_special_tokens_the_leftmost_and_longest_wins),
    FR_CASE(only_special_tokens_have_special_ids),
    FR_CASE(decoding_leaves_special_tokens_out_on_request),
    FR_CASE(decoding_nothing_gives_an_empty_text),
    FR_CASE(ids_beyond_the_vocabulary_have_no_text),
    FR_CASE(negative_ids_are_refused),
    FR_CASE(any_bytes_come_back),
    FR_CASE(encoding_appends),
    FR_CASE(a_megabyte_of_anything_is_encoded)};

int main(int argc, char **argv)
{
    return fr_suite_main("tokenizer", CASES, FR_N_CASES(CASES), argc, argv);
}
