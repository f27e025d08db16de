#include "base/json_object.h"

#include "base/json_size.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static void equal_objects_have_one_text(void)
{
    static const char *const TEXTS[] = {
        "{\"b\": [1, 2.5, null], \"a\": {\"y\": \"\\u00e9\", \"x\": true}}",
        " {\"a\":{\"x\":true,\"y\":\"\xC3\xA9\"},\n\"b\":[1,25e-1,null]} "};
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        json_t *object = NULL;
        char *text = NULL;
        FR_ASSERT_OK(fr_json_object_read(fr_test_ctx(), "x", TEXTS[i], &object));
        FR_ASSERT_OK(fr_json_object_write(fr_test_ctx(), object, &text));
        CU_ASSERT_STRING_EQUAL(
            text, "{\"a\":{\"x\":true,\"y\":\"\xC3\xA9\"},\"b\":[1,2.5,null]}");
        free(text);
        json_decref(object);
    }
}

static void anything_else_is_refused(void)
{
    static const char *const TEXTS[] = {
        "", "[1]", "1", "\"a\"", "{", "{\"a\":1,\"a\":2}", "{\"a\":1} x", "{a: 1}"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        json_t *object = NULL;
        FR_ASSERT_FAILS(
            fr_json_object_read(fr_test_ctx(), "the place", TEXTS[i], &object),
            FR_ERR_CONFIG, "the place must be an object");
        CU_ASSERT_PTR_NULL(object);
    }
}

/* A few MiB of text whose values would take much more. */
static void a_large_one_is_refused_before_it_is_parsed(void)
{
    enum { BYTES = 8 << 20 };
    json_t *object = NULL;
    char *text = malloc(BYTES + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    for (size_t i = 0; i < BYTES; i++) {
        text[i] = "[],"[i % 3];
    }
    memcpy(text, "{\"a\":[", 6);
    text[BYTES] = '\0';
    FR_ASSERT_FAILS(fr_json_object_read(fr_test_ctx(), "x", text, &object),
                    FR_ERR_CONFIG, FR_JSON_TOO_LARGE);
    free(text);
}

static const fr_case CASES[] = {
    FR_CASE(equal_objects_have_one_text),
    FR_CASE(anything_else_is_refused),
    FR_CASE(a_large_one_is_refused_before_it_is_parsed),
};

int main(int argc, char **argv)
{
    return fr_suite_main("json_object", CASES, FR_N_CASES(CASES), argc, argv);
}
