/* What is printed as JSON is JSON, whatever the numbers and texts are. */
#include "base/json_out.h"

#include "base/json.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void numbers_that_json_lacks_are_null(void)
{
    static const struct {
        double value;
        const char *text;
    } CASES_OF[] = {{0.0, "0"},
                    {-0.25, "-0.25"},
                    {1e300, "1e+300"},
                    {1.0 / 3.0, "0.333333333"},
                    {(double)INFINITY, "null"},
                    {-(double)INFINITY, "null"},
                    {(double)NAN, "null"}};
    for (size_t i = 0; i < sizeof CASES_OF / sizeof CASES_OF[0]; i++) {
        char text[FR_JSON_NUMBER_BYTES];
        CU_ASSERT_STRING_EQUAL(fr_json_number(CASES_OF[i].value, text),
                               CASES_OF[i].text);
        json_t *value = fr_json_real(CASES_OF[i].value);
        CU_ASSERT_PTR_NOT_NULL_FATAL(value);
        CU_ASSERT_EQUAL(json_is_null(value), !isfinite(CASES_OF[i].value));
        json_decref(value);
    }
}

static void texts_that_json_lacks_are_shown(void)
{
    static const char *const TEXTS[][2] = {
        {"plain \"quoted\" \xC3\xA4", "plain \"quoted\" \xC3\xA4"},
        {"cut \xE2\x82", "cut \\xe2\\x82"},
        {"\xFF", "\\xff"},
        {"a\xC0\x80z", "a\\xc0\\x80z"},
        {"\xED\xA0\x80", "\\xed\\xa0\\x80"}, /* a surrogate */
        {"", ""}};
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        json_t *value = fr_json_string(TEXTS[i][0]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(value);
        CU_ASSERT_STRING_EQUAL(json_string_value(value), TEXTS[i][1]);
        char *printed = json_dumps(value, JSON_ENCODE_ANY);
        CU_ASSERT_PTR_NOT_NULL(printed);
        free(printed);
        json_decref(value);
    }
}

static const fr_case CASES[] = {
    FR_CASE(numbers_that_json_lacks_are_null),
    FR_CASE(texts_that_json_lacks_are_shown),
};

int main(int argc, char **argv)
{
    return fr_suite_main("json_out", CASES, FR_N_CASES(CASES), argc, argv);
}
