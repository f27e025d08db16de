#include "model/text/pattern.h"

#include "support/model_files.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 256 };

static fr_pattern *create(const char *text, bool is_regex)
{
    fr_pattern *pattern = NULL;
    FR_ASSERT_OK(fr_pattern_create(fr_test_ctx(), "t.json", fr_text_of(text), is_regex,
                                   &pattern));
    CU_ASSERT_PTR_NOT_NULL_FATAL(pattern);
    return pattern;
}

/* Matches as "start-end " each. */
static fr_status matches(const fr_pattern *pattern, fr_text text, uint64_t budget,
                         char shown[SHOWN], int64_t *count)
{
    fr_matcher matcher;
    fr_search search = {0};
    bool found = true;
    fr_status status = fr_matcher_init(fr_test_ctx(), pattern, &budget, &matcher);
    shown[0] = '\0';
    *count = 0;
    while (status == FR_OK && found) {
        status = fr_matcher_next(fr_test_ctx(), &matcher, text, &search, &found);
        if (status == FR_OK && found) {
            size_t used = strlen(shown);
            (void)snprintf(shown + used, SHOWN - used, "%zu-%zu ", search.start,
                           search.end);
            ++*count;
        }
    }
    fr_matcher_fini(&matcher);
    return status;
}

static void check(const char *regex, const char *text, const char *wanted)
{
    char shown[SHOWN];
    int64_t n = 0;
    fr_pattern *pattern = create(regex, true);
    FR_ASSERT_OK(matches(pattern, fr_text_of(text), fr_pattern_budget(0), shown, &n));
    CU_ASSERT_STRING_EQUAL(shown, wanted);
    if (strcmp(shown, wanted) != 0) {
        (void)printf("    '%s' in '%s': got %s, wanted %s\n", regex, text, shown,
                     wanted);
    }
    fr_pattern_destroy(&pattern);
}

/* What Oniguruma gives, which is not always what PCRE2 would. */
static void expressions_mean_what_oniguruma_means(void)
{
    check("a*", "baac", "0-0 1-3 4-4 ");
    check("$", "a\nb\n", "1-1 3-3 4-4 ");
    check("^.", "a\nb", "0-1 2-3 ");
    check("(?m:a.)", "a\n", "0-2 ");
    check("\\p{N}{1,2}+", "12345", "0-5 ");
    check("a{,2}", "aaa", "0-2 2-3 ");
    check("x{a", "x{a", "0-3 ");
    check("\\h+", "fgF9", "0-1 2-4 ");
    check("\\v", "\n\x0b", "1-2 ");
    check("\\s", "\xE1\xA0\x8E", "");
    check("[\\S]", "\xE1\xA0\x8E", "0-3 ");
    check("\\w", "\xCC\x81", "0-2 ");
    check("a\\b", "a\xCC\x81", "");
    check("[a[bc]]+", "xcab", "1-4 ");
    check("[\\p{L}&&[^b]]", "ab", "0-1 ");
    check("(?<n>a)(b)", "ab", "0-2 ");
    check("\\p{Han}", "\xE3\x80\x81", "");
    check("(?i:'S)", "'\xC5\xBF", "0-3 ");
    check("\\u0041\\x42\\x{43}", "ABC", "0-3 ");
    check("\\\xC3\xA9", "\xC3\xA9", "0-2 ");
}

static void what_has_no_counterpart_is_refused(void)
{
    static const struct {
        const char *regex;
        const char *part;
    } CASES[] = {{"", "0 bytes"},
                 {"(a)\\1", "an escape ('\\1'"},
                 {"\\k<n>", "an escape"},
                 {"\\Ga", "an escape"},
                 {"\\Ka", "an escape"},
                 {"\\Xa", "an escape"},
                 {"a\\", "a backslash at its end"},
                 {"(?(1)a)", "a kind of group"},
                 {"(*FAIL)", "a kind of group"},
                 {"(?~a)", "a kind of group"},
                 {"(?x: a)", "a kind of group"},
                 {"b(?i)a", "a kind of group"},
                 {"[a", "a class without an end"},
                 {"[]", "an empty class"},
                 {"[a[^b]]", "a class in a class"},
                 {"[a-[b]]", "a class in a class"},
                 {"[[:alpha:]]", "a class in a class"},
                 {"[a&&b]", "a class in a class"},
                 {"[\\W]", "an escape"},
                 {"a{2}?", "a lazy count"},
                 {"\\p{NoSuch}", "'\\p{NoSuch}' is not supported"},
                 {"\\pL", "a property without braces"},
                 {"\\x80", "a number"},
                 {"\\u12", "a number"},
                 {"a)", "a closing bracket too many"},
                 {"(a", "is not supported"},
                 {"a**", "is not supported"},
                 {"((((a{1000}){1000}){1000}){1000})", "is not supported"},
                 {"\xFF", "of UTF-8"}};
    for (int i = 0; i < FR_N_CASES(CASES); i++) {
        fr_pattern *pattern = NULL;
        FR_ASSERT_FAILS(fr_pattern_create(fr_test_ctx(), "t.json",
                                          fr_text_of(CASES[i].regex), true, &pattern),
                        FR_ERR_UNSUPPORTED, CASES[i].part);
        CU_ASSERT_PTR_NULL(pattern);
    }
    char *text = fr_test_memory(malloc(FR_MAX_PATTERN_BYTES + 1));
    memset(text, 'a', FR_MAX_PATTERN_BYTES + 1);
    fr_pattern *pattern = NULL;
    FR_ASSERT_FAILS(fr_pattern_create(fr_test_ctx(), "t.json",
                                      (fr_text){text, FR_MAX_PATTERN_BYTES + 1}, true,
                                      &pattern),
                    FR_ERR_UNSUPPORTED, "8193 bytes");
    free(text);
}

/* Exponential, quadratic, and quadratic without backtracking: each ends with the budget. */
static void hostile_expressions_end(void)
{
    static const char *const HOSTILE[] = {
        "(a+)+$x",   "(a|aa)+$x", "a++\\d",  "a+\\d",     "(?:(?=a++)a)*",  "(?>a+)\\d",
        "(a*)*b\\d", "a*a*a*\\d", "\\w+\\s", "(?=a*\\d)", "(?<=\\d)a|a+\\d"};
    enum { BYTES = 1 << 20 };
    char *text = fr_test_memory(malloc(BYTES));
    memset(text, 'a', BYTES);
    for (int i = 0; i < FR_N_CASES(HOSTILE); i++) {
        char shown[SHOWN];
        int64_t n = 0;
        fr_pattern *pattern = create(HOSTILE[i], true);
        fr_status status =
            matches(pattern, (fr_text){text, BYTES}, fr_pattern_budget(0), shown, &n);
        if (status != FR_OK) {
            fr_assert_status(status, FR_ERR_DATA, "t.json: matching", __FILE__,
                             __LINE__);
        }
        fr_pattern_destroy(&pattern);
    }
    free(text);
}

/* The expressions of well-known models take far less than the budget, on runs of any character. */
static void known_expressions_stay_far_below_the_budget(void)
{
    static const char REGEX[] =
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
        "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    enum { BYTES = 1 << 20, PER_BYTE = 20 };
    char *text = fr_test_memory(malloc(BYTES));
    fr_pattern *pattern = create(REGEX, true);
    for (const char *byte = "a 1!\n'"; *byte != '\0'; byte++) {
        char shown[SHOWN];
        int64_t n = 0;
        memset(text, *byte, BYTES);
        text[BYTES - 1] = 'x';
        FR_ASSERT_OK(matches(pattern, (fr_text){text, BYTES},
                             (uint64_t)PER_BYTE * BYTES, shown, &n));
        CU_ASSERT_TRUE(n > 0);
    }
    fr_pattern_destroy(&pattern);
    free(text);
}

static void plain_texts_are_found_as_they_are(void)
{
    char shown[SHOWN];
    int64_t n = 0;
    fr_pattern *pattern = create("a.", false);
    FR_ASSERT_OK(matches(pattern, fr_text_of("ab a.a."), 0, shown, &n));
    CU_ASSERT_STRING_EQUAL(shown, "3-5 5-7 ");
    fr_pattern_destroy(&pattern);
}

static const fr_case CASES[] = {
    FR_CASE(expressions_mean_what_oniguruma_means),
    FR_CASE(what_has_no_counterpart_is_refused),
    FR_CASE(hostile_expressions_end),
    FR_CASE(known_expressions_stay_far_below_the_budget),
    FR_CASE(plain_texts_are_found_as_they_are),
};

int main(int argc, char **argv)
{
    return fr_suite_main("pattern", CASES, FR_N_CASES(CASES), argc, argv);
}
