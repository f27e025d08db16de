/* The line of an answer, and its text. */
#include "cli/answers.h"
#include "support/model_files.h"
#include "support/suite.h"
#include "support/tiny_tokenizer.h"

#include <stdlib.h>
#include <string.h>

static void check_line(const fr_tokenizer *tokenizer, const char *row,
                       const int32_t *data, int64_t n, const char *wanted)
{
    char *line = NULL;
    size_t bytes = 0;
    fr_ids back = {0};
    bool are_there = false;
    fr_ids ids = fr_test_ids(data, n);
    FR_ASSERT_OK(fr_answer_line(fr_test_ctx(), &(fr_answer_form){tokenizer, NULL, 0},
                                row, strlen(row), &ids, &line, &bytes));
    CU_ASSERT_STRING_EQUAL(line, wanted);
    CU_ASSERT_EQUAL(bytes, strlen(wanted));
    json_t *parsed =
        json_loadb(line, bytes, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    CU_ASSERT_PTR_NOT_NULL(parsed);
    json_decref(parsed);
    FR_ASSERT_OK(fr_answer_ids(fr_test_ctx(), line, bytes, &back, &are_there));
    CU_ASSERT_TRUE(are_there);
    CU_ASSERT_EQUAL_FATAL(back.count, n);
    for (int64_t i = 0; i < n; i++) {
        CU_ASSERT_EQUAL(back.data[i], data[i]);
    }
    fr_ids_fini(&back);
    fr_ids_fini(&ids);
    free(line);
}

static void answers_are_valid_text_and_keep_their_ids(void)
{
    fr_tokenizer *t = fr_tiny_plain_tokenizer();
    check_line(
        t, "{\"id\":1}", FR_IDS(FR_TINY_HELLO, 0xC3, 0xA9),
        "{\"id\":1,\"generated\":\"hello\xC3\xA9\",\"generated_ids\":[259,195,169]}");
    /* cut inside a character, bytes that are none, a surrogate, a NUL, what JSON escapes */
    check_line(t, "{\"id\":1}", FR_IDS(0xF0, 0x9F),
               "{\"id\":1,\"generated\":\"\xEF\xBF\xBD\",\"generated_ids\":[240,159]}");
    check_line(t, "{}", FR_IDS(0xFF, 'a', 0xED, 0xA0, 0x80),
               "{\"generated\":\"\xEF\xBF\xBD"
               "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\",\"generated_ids\":[255,97,237,"
               "160,128]}");
    check_line(t, "{ }", FR_IDS(0, '"', '\n'),
               "{ \"generated\":\"\\u0000\\\"\\n\",\"generated_ids\":[0,34,10]}");
    /* special tokens are no text; a row's numbers stay as they are */
    check_line(
        t, "{\"n\":18446744073709551616}", FR_IDS(FR_TINY_IM_END),
        "{\"n\":18446744073709551616,\"generated\":\"\",\"generated_ids\":[266]}");
    check_line(NULL, "{\"n\":1}", FR_IDS(5, 2147483647),
               "{\"n\":1,\"generated_ids\":[5,2147483647]}");
    fr_tokenizer_close(&t);
}

/* The text ends before the stop, the ids with it. */
static void texts_end_before_stops(void)
{
    static const char *const STOPS[] = {"lo", "\xC3\xA9"};
    fr_tokenizer *t = fr_tiny_plain_tokenizer();
    const fr_answer_form form = {t, STOPS, 2};
    fr_ids ids = fr_test_ids(FR_IDS('a', FR_TINY_HELLO, 'b'));
    char *text = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(fr_answer_text(fr_test_ctx(), &form, &ids, &text, &bytes));
    CU_ASSERT_STRING_EQUAL(text, "ahel");
    CU_ASSERT_EQUAL(bytes, 4);
    free(text);
    fr_ids_fini(&ids);
    ids = fr_test_ids(FR_IDS(0, 0xC3, 'b', 0xC3, 0xA9));
    FR_ASSERT_OK(fr_answer_text(fr_test_ctx(), &form, &ids, &text, &bytes));
    CU_ASSERT_EQUAL_FATAL(bytes, 5);
    CU_ASSERT_EQUAL(memcmp(text,
                           "\0\xEF\xBF\xBD"
                           "b",
                           bytes),
                    0);
    free(text);
    fr_ids_fini(&ids);
    ids = fr_test_ids(NULL, 0);
    FR_ASSERT_OK(fr_answer_text(fr_test_ctx(), &form, &ids, &text, &bytes));
    CU_ASSERT_STRING_EQUAL(text, "");
    free(text);
    fr_tokenizer_close(&t);
}

/* Of logarithms their number is looked at; everything else counts byte by byte. */
static void lines_without_ids_have_none(void)
{
    static const char *const BAD[] = {"",
                                      "]",
                                      "]}",
                                      "[]}",
                                      "{}",
                                      "{\"generated_ids\":[1]",
                                      "{\"generated_ids\":[1,]}x",
                                      "{\"generated_ids\":[-1]}",
                                      "{\"generated_ids\":[1 ]}",
                                      "{\"generated_ids\":[,]}",
                                      "{\"generated_ids\":[2147483648]}",
                                      "{\"generated_ids\":[99999999999999999999]}",
                                      "{\"generated_id\":[1]}",
                                      "generated_ids\":[1]}",
                                      "{\"generated_ids\":[1;2]}"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        fr_ids ids = {0};
        bool are_there = true;
        FR_ASSERT_OK(
            fr_answer_ids(fr_test_ctx(), BAD[i], strlen(BAD[i]), &ids, &are_there));
        CU_ASSERT_FALSE(are_there);
        fr_ids_fini(&ids);
    }
}

static const fr_case CASES[] = {
    FR_CASE(answers_are_valid_text_and_keep_their_ids),
    FR_CASE(lines_without_ids_have_none),
    FR_CASE(texts_end_before_stops),
};

int main(int argc, char **argv)
{
    return fr_suite_main("answers_line", CASES, FR_N_CASES(CASES), argc, argv);
}
