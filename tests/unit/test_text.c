#include "support/rows.h"
#include "support/tiny_tokenizer.h"
#include "train/data/text.h"

#include <stdlib.h>
#include <string.h>

/* The tokens' texts with | between, those that are the row's own with a * behind. */
static void check_own(const fr_tokenizer *tokenizer, const fr_ids *ids,
                      const fr_ids *own, const char *wanted)
{
    uint8_t flags[64] = {0};
    CU_ASSERT_EQUAL_FATAL(ids->count, own->count);
    CU_ASSERT_TRUE_FATAL(ids->count <= 64);
    for (int64_t i = 0; i < own->count; i++) {
        flags[i] = (uint8_t)own->data[i];
    }
    fr_assert_tokens(wanted, tokenizer, (fr_sequence){ids->data, flags, ids->count},
                     wanted);
}

/* Source and target of one row, `special` as in a task. */
static void check_row(const char *template_text, fr_text source, fr_text target,
                      bool special, const char *wanted)
{
    fr_letters plain = {0};
    fr_tokenizer *tokenizer = fr_test_letters(&plain);
    fr_template parts;
    fr_ids ids = {0};
    fr_ids own = {0};
    fr_ids without = {0};
    FR_ASSERT_OK(fr_template_parse(fr_test_ctx(), "template", template_text, &parts));
    FR_ASSERT_OK(fr_text_encode_source(fr_test_ctx(), tokenizer, &parts, source,
                                       special, &ids, &own));
    FR_ASSERT_OK(fr_text_encode_target(fr_test_ctx(), tokenizer, &parts, target,
                                       special, &ids, &own));
    check_own(tokenizer, &ids, &own, wanted);
    FR_ASSERT_OK(fr_text_encode_source(fr_test_ctx(), tokenizer, &parts, source,
                                       special, &without, NULL));
    FR_ASSERT_OK(fr_text_encode_target(fr_test_ctx(), tokenizer, &parts, target,
                                       special, &without, NULL));
    fr_assert_same_bytes("ids without flags", without.data, ids.data,
                         (size_t)ids.count * sizeof *ids.data);
    fr_ids_fini(&ids);
    fr_ids_fini(&own);
    fr_ids_fini(&without);
    fr_tokenizer_close(&tokenizer);
}

#define TEXT(literal) ((fr_text){(literal), sizeof(literal) - 1})

static void own_text_is_told_from_the_template(void)
{
    check_row("x{source}!{target}y", TEXT("bcd"), TEXT("t e"), false,
              "x|b*|c*|d*|!|t*| *|e*|y");
    check_row("{source}{target}", TEXT("bc"), TEXT("d"), false, "b*|c*|d*");
    check_row("q{target}", TEXT("ignored"), TEXT("d"), false, "q|d*");
    check_row("x{source}!{target}", TEXT(""), TEXT("d"), false, "x|!|d*");
}

static void a_token_of_both_is_the_templates(void)
{
    check_row("a{source}t{target}he", TEXT("bthe"), TEXT("t"), false,
              "ab|the*|t|the"); /* a and b, t and he are one token each */
    check_row("a{source}{target}", TEXT("bab"), TEXT("the"), false, "ab|ab*|the*");
}

static void special_tokens_stand_between_texts(void)
{
    check_row("<|im_start|>a{source}<|im_end|>b{target}</s>", TEXT("bc"), TEXT("d"),
              false, "<|im_start|>|ab|c*|<|im_end|>|b|d*|</s>");
    check_row("<s>{source}</s>{target}", TEXT("<s>"), TEXT("d"), false,
              "<s>|<*|s*|>*|</s>|d*");
    check_row("<s>{source}</s>{target}", TEXT("b<s>"), TEXT("</s>d"), true,
              "<s>|b*|<s>*|</s>|</s>*|d*");
}

static void a_failure_leaves_both_lists(void)
{
    fr_letters plain = {0};
    fr_tokenizer *tokenizer = fr_test_letters(&plain);
    fr_template parts;
    fr_ids ids = {0};
    fr_ids own = {0};
    FR_ASSERT_OK(
        fr_template_parse(fr_test_ctx(), "template", "a<s>{source}{target}", &parts));
    FR_ASSERT_OK(fr_ids_add(fr_test_ctx(), &ids, 5));
    FR_ASSERT_OK(fr_ids_add(fr_test_ctx(), &own, 1));
    FR_ASSERT_FAILS(fr_text_encode_source(fr_test_ctx(), tokenizer, &parts,
                                          TEXT("\x01"), false, &ids, &own),
                    FR_ERR_DATA, "0x01");
    CU_ASSERT_EQUAL(ids.count, 1);
    CU_ASSERT_EQUAL(own.count, 1);
    fr_ids_fini(&ids);
    fr_ids_fini(&own);
    fr_tokenizer_close(&tokenizer);
}

/* A normalized text has other bytes than the data; a space in front that decoding leaves out moves none of them. */
static void a_normalized_text_keeps_its_flags(void)
{
    static const struct {
        const char *normalizer;
        const char *source;
        const char *wanted;
    } FORMS[] = {
        {"{\"type\": \"Lowercase\"}", "HellO", "x|hello*|y"},
        {"{\"type\": \"Lowercase\"}", "Q", "x|q*|y"},
        {"{\"type\": \"Replace\", \"pattern\": {\"String\": \"q\"}, \"content\": "
         "\"he\"}",
         "aqa", "x|a*|he*|a*|y"},
    };
    for (int i = 0; i < FR_N_CASES(FORMS); i++) {
        json_t *root = fr_tiny_json();
        (void)json_object_set_new(root, "normalizer",
                                  json_loads(FORMS[i].normalizer, 0, NULL));
        fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, NULL);
        fr_template parts;
        fr_ids ids = {0};
        fr_ids own = {0};
        fr_text source = {FORMS[i].source, strlen(FORMS[i].source)};
        FR_ASSERT_OK(
            fr_template_parse(fr_test_ctx(), "template", "x{source}y{target}", &parts));
        FR_ASSERT_OK(fr_text_encode_source(fr_test_ctx(), tokenizer, &parts, source,
                                           false, &ids, &own));
        check_own(tokenizer, &ids, &own, FORMS[i].wanted);
        fr_ids_fini(&ids);
        fr_ids_fini(&own);
        fr_tokenizer_close(&tokenizer);
        json_decref(root);
    }
}

static void the_last_place_of_a_text_is_found(void)
{
    static const struct {
        const char *in;
        const char *what;
        size_t begin; /* SIZE_MAX: not there */
    } CASES[] = {
        {"user: user.", "user", 6}, {"aaaa", "aa", 2},    {"abc", "abc", 0},
        {"abc", "abcd", SIZE_MAX},  {"", "a", SIZE_MAX},  {"abc", "", SIZE_MAX},
        {"abab", "ba", 1},          {"b", "a", SIZE_MAX}, {"xa", "xa", 0}};
    enum { LONG = 40000 };
    static char letters[LONG];
    fr_text_span span = {0, 0};
    for (int i = 0; i < FR_N_CASES(CASES); i++) {
        bool found = fr_text_find_last(fr_text_of(CASES[i].in),
                                       fr_text_of(CASES[i].what), &span);
        CU_ASSERT_EQUAL(found, CASES[i].begin != SIZE_MAX);
        CU_ASSERT_TRUE(!found || (span.begin == CASES[i].begin &&
                                  span.end == span.begin + strlen(CASES[i].what)));
    }
    /* the square of the length would be 800 million comparisons */
    memset(letters, 'a', LONG);
    char what[LONG / 2];
    memset(what, 'a', sizeof what);
    what[0] = 'b';
    CU_ASSERT_FALSE(fr_text_find_last((fr_text){letters, LONG},
                                      (fr_text){what, sizeof what}, &span));
    CU_ASSERT_TRUE(fr_text_is(fr_text_trim(fr_text_of(" \t\na b\r\v\f")), "a b"));
    CU_ASSERT_EQUAL(fr_text_trim(fr_text_of(" \n ")).bytes, 0);
}

static const fr_case CASES[] = {
    FR_CASE(the_last_place_of_a_text_is_found),

    FR_CASE(a_normalized_text_keeps_its_flags),
    FR_CASE(own_text_is_told_from_the_template),
    FR_CASE(a_token_of_both_is_the_templates),
    FR_CASE(special_tokens_stand_between_texts),
    FR_CASE(a_failure_leaves_both_lists),
};

int main(int argc, char **argv)
{
    return fr_suite_main("text", CASES, FR_N_CASES(CASES), argc, argv);
}
