/* What rows hold beside what is used: taken, and written back as it stands. */
#include "train/data/row_json.h"

#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static const char *const USED[] = {"source", "ids", NULL};
static const fr_place PLACE = {"rows.jsonl", 7};

static json_t *read_row(const char *text)
{
    json_t *row = NULL;
    FR_ASSERT_OK(
        fr_row_json_read(fr_test_ctx(), PLACE, text, strlen(text), USED, &row));
    return row;
}

static void refuses(const char *text, const char *part)
{
    json_t *row = NULL;
    FR_ASSERT_FAILS(
        fr_row_json_read(fr_test_ctx(), PLACE, text, strlen(text), USED, &row),
        FR_ERR_DATA, part);
    CU_ASSERT_PTR_NULL(row);
}

/* `text` without its members called "a" becomes `wanted`. */
static void writes(const char *text, const char *wanted)
{
    static const char *const LEFT_OUT[] = {"a", NULL};
    char *line = NULL;
    size_t bytes = 0;
    json_decref(read_row(text));
    FR_ASSERT_OK(
        fr_row_json_write(fr_test_ctx(), text, strlen(text), LEFT_OUT, &line, &bytes));
    CU_ASSERT_STRING_EQUAL(line, wanted);
    CU_ASSERT_EQUAL(bytes, strlen(wanted));
    free(line);
}

static void members_that_are_not_used_may_hold_anything(void)
{
    static const char *const ROWS[] = {
        "{\"id\":17293822569102704640,\"source\":\"x\"}",
        "{\"id\":-17293822569102704640,\"source\":\"x\"}",
        "{\"score\":NaN,\"source\":\"x\"}",
        "{\"score\":-Infinity,\"source\":\"x\",\"more\":[{\"deep\":Infinity}]}",
        "{\"tag\":1,\"tag\":2,\"source\":\"x\"}",
        "{\"tag\":{\"a\":1,\"a\":2},\"source\":\"x\"}",
        "{\"big\":1e999,\"source\":\"x\"}",
        "{\"half\":\"\\ud83d\",\"source\":\"x\"}",
        "{\"half\":\"a\\\\ud83d \\ude00\\ud83d\\ude00\",\"source\":\"x\"}",
        "{ \"t\" : \"NaN \\\" 99999999999999999999\" , \"n\":NaN, \"source\" : \"x\" }",
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        json_t *row = read_row(ROWS[i]);
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(row, "source")), "x");
        json_decref(row);
    }
}

static void texts_keep_words_that_look_like_numbers(void)
{
    json_t *row =
        read_row("{\"source\":\"NaN 99999999999999999999 Infinity\",\"n\":NaN}");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(row, "source")),
                           "NaN 99999999999999999999 Infinity");
    json_decref(row);
}

static void what_is_used_must_be_clear(void)
{
    refuses("{\"source\":\"x\",\"source\":\"y\"}", "\"source\" is a duplicate");
    refuses("{\"source\":\"x\\ud83d\"}", "half of a surrogate pair");
    refuses("{\"source\":\"\\ude00\\ud83d\"}", "half of a surrogate pair");
    refuses("{\"n\":NaN,\"source\":\"x\",\"s\\u006furce\":\"y\"}", "duplicate");
    refuses("{\"n\":NaN,\"source\":{\"a\":1,\"a\":2}}", "rows.jsonl:7: broken JSON");
    json_t *row = read_row("{\"ids\":[NaN, 99999999999999999999]}");
    const json_t *ids = json_object_get(row, "ids");
    CU_ASSERT_FALSE(json_is_integer(json_array_get(ids, 0)));
    CU_ASSERT_EQUAL(json_integer_value(json_array_get(ids, 1)), INT64_MAX);
    json_decref(row);
}

static void broken_text_stays_broken(void)
{
    refuses("{\"n\":NaN", "rows.jsonl:7: broken JSON");
    refuses("{\"n\":NaNa}", "broken JSON");
    refuses("{\"n\":nan}", "broken JSON");
    refuses("{\"n\":99999999999999999999x}", "broken JSON");
    refuses("{\"n\":--1}", "broken JSON");
    refuses("{\"n\":\"\xFF\"}", "broken JSON");
    refuses("[NaN]", "must be a JSON object");
    refuses("", "broken JSON");
    refuses("{\"\\", "broken JSON");
}

static void a_row_is_written_as_it_stands(void)
{
    writes("{}", "{}");
    writes("{\"id\": 17293822569102704640, \"source\": \"x\\u00e9\"}\n",
           "{\"id\":17293822569102704640,\"source\":\"x\\u00e9\"}");
    writes("{\"tag\":1,\"tag\":2}\r\n", "{\"tag\":1,\"tag\":2}");
    writes(" {\"x\": [1, {\"y\" : \"}\"}] , \"f\":1.50 }",
           "{\"x\":[1, {\"y\" : \"}\"}],\"f\":1.50}");
}

static void what_is_left_out_is_known_by_its_name(void)
{
    writes("{\"a\":\"old\",\"b\":2}", "{\"b\":2}");
    writes("{\"b\":2,\"\\u0061\":\"old\"}", "{\"b\":2}");
    writes("{\"a\":1,\"a\":2}", "{}");
}

static void what_is_written_is_json(void)
{
    writes("{\"s\":NaN,\"t\":[NaN,-Infinity,Infinity],\"u\":\"NaN\"}",
           "{\"s\":null,\"t\":[null,null,null],\"u\":\"NaN\"}");
}

static const fr_case CASES[] = {
    FR_CASE(members_that_are_not_used_may_hold_anything),
    FR_CASE(texts_keep_words_that_look_like_numbers),
    FR_CASE(what_is_used_must_be_clear),
    FR_CASE(broken_text_stays_broken),
    FR_CASE(a_row_is_written_as_it_stands),
    FR_CASE(what_is_left_out_is_known_by_its_name),
    FR_CASE(what_is_written_is_json),
};

int main(int argc, char **argv)
{
    return fr_suite_main("row_json", CASES, FR_N_CASES(CASES), argc, argv);
}
