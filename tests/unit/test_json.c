#include "base/json.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static fr_json piece(const char *text)
{
    return (fr_json){text, strlen(text)};
}

/* Whether an array holding this text is walked to its end; how many elements it has. */
static bool walks(const char *text, int *n)
{
    fr_json_walk walk;
    fr_json element;
    *n = 0;
    if (!fr_json_enter(piece(text), '[', &walk)) {
        return false;
    }
    while (fr_json_element(&walk, &element)) {
        (*n)++;
    }
    return walk.ended;
}

static void good_arrays_are_walked(void)
{
    static const struct {
        const char *text;
        int n;
    } GOOD[] = {
        {"[]", 0},
        {"[ ]", 0},
        {"[1]", 1},
        {"[ 1 , -2,0.5,1e9,-0.0E+7 ]", 5},
        {"[true,false,null,\"\"]", 4},
        {"[\"a\\\"b\\\\\\u00ff\\n]\"]", 1},
        {"[[],{},[[1,2],[]],{\"a\":{\"b\":[{}]},\"c\":1}]", 4},
        {"[[[[[[[[[1]]]]]]]]]", 1},
        {"[{ \"a\" : 1 , \"b\" : [ ] } , 2 ]", 2},
    };
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        int n = -1;
        CU_ASSERT_TRUE(walks(GOOD[i].text, &n));
        CU_ASSERT_EQUAL(n, GOOD[i].n);
    }
}

/* Each also cut at every place: never read past its end (the sanitizers look), never taken for whole. */
static void bad_arrays_are_refused(void)
{
    static const char *const BAD[] = {
        "",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "[1]]",
        "[01]",
        "[-]",
        "[.5]",
        "[1.]",
        "[1e]",
        "[tru]",
        "[nulL]",
        "[\"a]",
        "[\"\\x\"]",
        "[\"\\u12g4\"]",
        "[\"\\",
        "[\"\\u00",
        "[\"\t\"]",
        "[\"\xc3\"]",
        "[{\"a\"}]",
        "[{\"a\":}]",
        "[{a:1}]",
        "[{\"a\":1,}]",
        "[[1,]]",
        "[[}]]",
        "[{]}",
        "[{\"a\":1]",
        "[[[[[[[[[[1]]]]]]]]]]",
        "[\n1]",
        "[[,]]",
        "[[1,,2]]",
        "[{,}]",
        "[[1]2]",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        for (size_t cut = 0; cut <= strlen(BAD[i]); cut++) {
            int n = 0;
            char *text = calloc(cut + 1, 1);
            CU_ASSERT_PTR_NOT_NULL_FATAL(text);
            memcpy(text, BAD[i], cut);
            bool whole = cut < strlen(BAD[i]) && strcmp(text, "[]") == 0;
            whole = whole || strcmp(text, "[1]") == 0;
            if (walks(text, &n) != whole) {
                CU_FAIL("a bad array is taken for a good one");
                (void)printf("%s\n", text);
            }
            free(text);
        }
    }
}

static void members_have_keys_and_values(void)
{
    fr_json_walk walk;
    fr_json key;
    fr_json value;
    CU_ASSERT_FALSE(fr_json_enter(piece("[1]"), '{', &walk));
    CU_ASSERT_TRUE_FATAL(
        fr_json_enter(piece("{\"a\":[1,{\"b\":2}],\"\":\"x\"}"), '{', &walk));
    CU_ASSERT_TRUE(fr_json_member(&walk, &key, &value));
    CU_ASSERT_TRUE(fr_json_is(key, "a") && fr_json_is(value, "[1,{\"b\":2}]"));
    CU_ASSERT_TRUE(fr_json_member(&walk, &key, &value));
    CU_ASSERT_TRUE(fr_json_is(key, "") && fr_json_is(value, "\"x\""));
    CU_ASSERT_FALSE(fr_json_member(&walk, &key, &value));
    CU_ASSERT_TRUE(walk.ended);
    CU_ASSERT_TRUE_FATAL(fr_json_enter(piece("{\"\\u0061\":1}"), '{', &walk));
    CU_ASSERT_FALSE(fr_json_member(&walk, &key, &value) || walk.ended);
}

static void whole_numbers_must_fit(void)
{
    static const char *const BAD[] = {"",
                                      "-",
                                      "1.0",
                                      "1e2",
                                      "01",
                                      "--1",
                                      "\"1\"",
                                      "18446744073709551616",
                                      "99999999999999999999999"};
    int64_t integer = 7;
    uint64_t natural = 7;
    CU_ASSERT_TRUE(fr_json_i64(piece("9223372036854775807"), &integer));
    CU_ASSERT_EQUAL(integer, INT64_MAX);
    CU_ASSERT_TRUE(fr_json_i64(piece("-9223372036854775808"), &integer));
    CU_ASSERT_EQUAL(integer, INT64_MIN);
    CU_ASSERT_TRUE(fr_json_i64(piece("-0"), &integer));
    CU_ASSERT_EQUAL(integer, 0);
    CU_ASSERT_FALSE(fr_json_i64(piece("9223372036854775808"), &integer));
    CU_ASSERT_FALSE(fr_json_i64(piece("-9223372036854775809"), &integer));
    CU_ASSERT_TRUE(fr_json_u64(piece("18446744073709551615"), &natural));
    CU_ASSERT_EQUAL(natural, UINT64_MAX);
    CU_ASSERT_FALSE(fr_json_u64(piece("-1"), &natural));
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        CU_ASSERT_FALSE(fr_json_i64(piece(BAD[i]), &integer));
        CU_ASSERT_FALSE(fr_json_u64(piece(BAD[i]), &natural));
    }
}

static void texts_of_any_bytes_round_trip(void)
{
    char text[256];
    char quoted[6 * sizeof text + 2];
    char read[sizeof quoted];
    for (int i = 0; i < 255; i++) {
        text[i] = (char)(unsigned char)(i + 1);
    }
    text[255] = '\0';
    size_t n = (size_t)(fr_json_quote(text, quoted) - quoted);
    CU_ASSERT_EQUAL(n, fr_json_quoted_bytes(text));
    for (size_t i = 0; i < n; i++) {
        CU_ASSERT_TRUE(quoted[i] >= ' ' && quoted[i] <= '~');
    }
    CU_ASSERT_TRUE(fr_json_text((fr_json){quoted, n}, read));
    fr_assert_same_bytes("text", read, text, sizeof text);
    CU_ASSERT_TRUE(fr_json_text(piece("\"\\/\\u00E9\""), read));
    CU_ASSERT_STRING_EQUAL(read, "/\xe9");
    CU_ASSERT_FALSE(fr_json_text(piece("\"\\u0000\""), read));
    CU_ASSERT_FALSE(fr_json_text(piece("\"\\u0100\""), read));
    CU_ASSERT_FALSE(fr_json_text(piece("12"), read));
    CU_ASSERT_FALSE(fr_json_text(piece("\""), read));
}

static const fr_case CASES[] = {
    FR_CASE(good_arrays_are_walked),        FR_CASE(bad_arrays_are_refused),
    FR_CASE(members_have_keys_and_values),  FR_CASE(whole_numbers_must_fit),
    FR_CASE(texts_of_any_bytes_round_trip),
};

int main(int argc, char **argv)
{
    return fr_suite_main("json", CASES, FR_N_CASES(CASES), argc, argv);
}
