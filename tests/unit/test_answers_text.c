/* Answers that end before a stop text, and those with logarithms of probability. */
#include "base/mem.h"
#include "cli/answers.h"
#include "support/suite.h"
#include "support/tiny_tokenizer.h"

#include <stdlib.h>
#include <string.h>

static fr_status give_row(void *user, int64_t index, char **text, size_t *bytes)
{
    static const char ROW[] = "{\"n\":18446744073709551616}";
    (void)user;
    (void)index;
    *bytes = sizeof ROW - 1;
    return fr_copy_string(fr_test_ctx(), ROW, text);
}

static fr_ids ids_of(const int32_t *data, int64_t n)
{
    fr_ids ids = {0};
    for (int64_t i = 0; i < n; i++) {
        FR_ASSERT_OK(fr_ids_add(fr_test_ctx(), &ids, data[i]));
    }
    return ids;
}

static fr_tokenizer *open_tokenizer(void)
{
    json_t *root = fr_tiny_json();
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, NULL);
    json_decref(root);
    return tokenizer;
}

#define IDS(...)                                                                       \
    (int32_t[]){__VA_ARGS__}, sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t)

/* The text ends before the stop, the ids with it. */
static void texts_end_before_stops(void)
{
    static const char *const STOPS[] = {"lo", "\xC3\xA9"};
    fr_tokenizer *t = open_tokenizer();
    const fr_answer_form form = {t, STOPS, 2};
    fr_ids ids = ids_of(IDS('a', FR_TINY_HELLO, 'b'));
    char *text = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(fr_answer_text(fr_test_ctx(), &form, &ids, &text, &bytes));
    CU_ASSERT_STRING_EQUAL(text, "ahel");
    CU_ASSERT_EQUAL(bytes, 4);
    free(text);
    fr_ids_fini(&ids);
    ids = ids_of(IDS(0, 0xC3, 'b', 0xC3, 0xA9));
    FR_ASSERT_OK(fr_answer_text(fr_test_ctx(), &form, &ids, &text, &bytes));
    CU_ASSERT_EQUAL_FATAL(bytes, 5);
    CU_ASSERT_EQUAL(memcmp(text,
                           "\0\xEF\xBF\xBD"
                           "b",
                           bytes),
                    0);
    free(text);
    fr_ids_fini(&ids);
    ids = ids_of(NULL, 0);
    FR_ASSERT_OK(fr_answer_text(fr_test_ctx(), &form, &ids, &text, &bytes));
    CU_ASSERT_STRING_EQUAL(text, "");
    free(text);
    fr_tokenizer_close(&t);
}

/* Of logarithms their number is looked at; everything else counts byte by byte. */
static void logprobs_stand_between_row_and_text(void)
{
    static const struct {
        const char *line;
        bool is_kept;
    } LINES[] = {
        {"{\"n\":18446744073709551616,\"logprobs\":[{\"id\":65,\"logprob\":-1.5}],"
         "\"generated\":\"A\",\"generated_ids\":[65]}\n",
         true},
        {"{\"n\":18446744073709551616,\"logprobs\":[1,2],\"generated\":\"AB\","
         "\"generated_ids\":[65,66]}\n",
         true},
        {"{\"n\":18446744073709551616,\"logprobs\":[1],\"generated\":\"AB\","
         "\"generated_ids\":[65,66]}\n",
         false},
        {"{\"n\":18446744073709551616,\"logprobs\":[1,2,\"generated\":\"AB\","
         "\"generated_ids\":[65,66]}\n",
         false},
        {"{\"n\":18446744073709551616,\"generated\":\"A\",\"generated_ids\":[65]}\n",
         false},
        {"{\"n\":18446744073709551616,\"logprobs\":[1],\"generated\":\"B\","
         "\"generated_ids\":[65]}\n",
         false},
        {"{\"n\":1844674407370955161,\"logprobs\":[1],\"generated\":\"A\","
         "\"generated_ids\":[65]}\n",
         false},
    };
    const fr_answers_params params = {
        .path = "out", .row = give_row, .has_logprobs = true};
    fr_tokenizer *t = open_tokenizer();
    for (int i = 0; i < FR_N_CASES(LINES); i++) {
        fr_answers_found found;
        FR_ASSERT_OK(fr_answers_scan(fr_test_ctx(), &params, t, 1, LINES[i].line,
                                     strlen(LINES[i].line), &found));
        CU_ASSERT_EQUAL(found.n_kept, LINES[i].is_kept ? 1 : 0);
    }
    fr_tokenizer_close(&t);
}

static const fr_case CASES[] = {
    FR_CASE(texts_end_before_stops),
    FR_CASE(logprobs_stand_between_row_and_text),
};

int main(int argc, char **argv)
{
    return fr_suite_main("answers_text", CASES, FR_N_CASES(CASES), argc, argv);
}
