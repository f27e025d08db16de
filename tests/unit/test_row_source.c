/* The rows of JSON lists and tables, one after another; what is broken is named by its line. */
#include "train/data/row_source.h"

#include "support/model_files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 512 };

/* All rows as "LINE TEXT|", bad ones as "LINE !MESSAGE|", and at the end "*MESSAGE" where the reading ends with an error. */
static void read_all(const char *path, const char *text, size_t n, char out[SHOWN])
{
    fr_ctx *ctx = fr_test_ctx();
    fr_row_source *source = NULL;
    fr_row_text row = {0};
    out[0] = '\0';
    fr_status status = fr_row_source_open(ctx, path, text, n, &source);
    while (status == FR_OK) {
        size_t used = strlen(out);
        status = fr_row_source_next(source, &row);
        if (status != FR_OK || row.text == NULL) {
            break;
        }
        bool bad = row.status != FR_OK;
        (void)snprintf(out + used, SHOWN - used, "%d %s%.*s|", (int)row.line,
                       bad ? "!" : "", bad ? SHOWN : (int)row.bytes,
                       bad ? fr_ctx_error(ctx) : row.text);
        if (bad) {
            CU_ASSERT_EQUAL(row.status, FR_ERR_DATA);
            fr_ctx_clear_error(ctx);
        }
    }
    if (status != FR_OK) {
        size_t used = strlen(out);
        (void)snprintf(out + used, SHOWN - used, "*%s", fr_ctx_error(ctx));
        fr_ctx_clear_error(ctx);
    }
    fr_row_source_close(&source);
}

typedef struct source_case {
    const char *text;
    size_t n;
    const char *rows; /* the beginning of what read_all shows */
} source_case;

#define CASE_OF(literal, rows)                                                         \
    {                                                                                  \
        (literal), sizeof(literal) - 1, (rows)                                         \
    }

static void check(const char *path, const source_case *cases, int n)
{
    char got[SHOWN];
    for (int i = 0; i < n; i++) {
        char *copy = fr_test_memory(malloc(cases[i].n));
        memcpy(copy, cases[i].text, cases[i].n);
        read_all(path, copy, cases[i].n, got);
        bool whole = strchr(cases[i].rows, '*') == NULL;
        bool same = whole ? strcmp(got, cases[i].rows) == 0
                          : strncmp(got, cases[i].rows, strlen(cases[i].rows)) == 0;
        if (!same) {
            (void)fprintf(stderr, "case %d: '%s' is not '%s'\n", i, got, cases[i].rows);
        }
        CU_ASSERT_TRUE(same);
        free(copy);
    }
}

static void lists_give_their_elements(void)
{
    static const source_case CASES[] = {
        CASE_OF("[{\"a\":1},{\"b\":\"]},[\\\"\"}]",
                "1 {\"a\":1}|1 {\"b\":\"]},[\\\"\"}|"),
        CASE_OF("\xef\xbb\xbf\r\n[\r\n{\"a\":[1,{}]}\r\n,\r\n{}\r\n]\r\n",
                "3 {\"a\":[1,{}]}\r\n|5 {}\r\n|"),
        CASE_OF("[]", ""),
        CASE_OF("[{}, 7, \"x\", [1, 2]]", "1 {}|1 7|1 \"x\"|1 [1, 2]|"),
        CASE_OF("[{}, ]\n", "1 {}|1 !rows:1: a comma without a row; remove it|"),
        CASE_OF("[{},\n,{}]", "1 {}|2 !rows:2: a comma without a row; remove it|2 {}|"),
    };
    check("rows", CASES, FR_N_CASES(CASES));
}

static void broken_lists_are_named(void)
{
    static const source_case CASES[] = {
        CASE_OF("[{\"a\":1},\n{\"b\":",
                "1 {\"a\":1}|*rows:2: the file ends within its list"),
        CASE_OF("[{\"a\":1}", "*rows:1: the file ends within its list"),
        CASE_OF("[{\"a\":1},", "1 {\"a\":1}|*rows:1: the file ends within its list"),
        CASE_OF("[{\"a\":\"x\n\"}]", "*rows:1: a text does not end on its line"),
        CASE_OF("[{\"a\":\"x\\", "*rows:1: the file ends within its list"),
        CASE_OF("[{}]\n{}",
                "1 {}|*rows:2: something stands behind the end of the list"),
        CASE_OF("[{}]]", "1 {}|*rows:1: something stands behind"),
        CASE_OF("[{}]\0", "1 {}|*rows:1: something stands behind"),
    };
    check("rows", CASES, FR_N_CASES(CASES));
}

static void tables_give_objects(void)
{
    static const source_case CASES[] = {
        CASE_OF(
            "source,target\na,b\n \"c\n",
            "2 {\"source\":\"a\",\"target\":\"b\"}|*rows.csv:3: a quote stands within"),
        CASE_OF("source,target\na, b \n\n\nc,\n",
                "2 {\"source\":\"a\",\"target\":\" b \"}|5 "
                "{\"source\":\"c\",\"target\":\"\"}|"),
        CASE_OF(
            "\xef\xbb\xbfsource,target\r\n\"a\r\n\"\"b\"\"\",\"x,y\"\r\nc,d",
            "2 {\"source\":\"a\\u000d\\u000a\\u0022b\\u0022\",\"target\":\"x,y\"}|4 "
            "{\"source\":\"c\",\"target\":\"d\"}|"),
        CASE_OF("a;b\n1;\"2;3\"\n", "2 {\"a\":\"1\",\"b\":\"2;3\"}|"),
        CASE_OF("a,b\r1,2\r3,4\r",
                "2 {\"a\":\"1\",\"b\":\"2\"}|3 {\"a\":\"3\",\"b\":\"4\"}|"),
        CASE_OF(",source\n0,x\n1,y\n", "2 {\"source\":\"x\"}|3 {\"source\":\"y\"}|"),
        CASE_OF("target\nx\n\\\n", "2 {\"target\":\"x\"}|3 {\"target\":\"\\u005c\"}|"),
        CASE_OF("a,b\n", ""),
        CASE_OF("\"a,1\",\"b\"\"\"\n1,2\n", "2 {\"a,1\":\"1\",\"b\\u0022\":\"2\"}|"),
    };
    check("rows.csv", CASES, FR_N_CASES(CASES));
}

static void broken_tables_are_named(void)
{
    static const source_case CASES[] = {
        CASE_OF(
            "a,b\n1\n2,3,4\n5,6\n",
            "2 !rows.csv:2: the row has 1 fields, and the header names 2 columns; put "
            "fields with separators in quotes|3 !rows.csv:3: the row has 3 fields, and "
            "the header names 2 columns; put fields with separators in quotes|4 "
            "{\"a\":\"5\",\"b\":\"6\"}|"),
        CASE_OF("a,b\n1,2\n\"3,4\n5,6\n",
                "2 {\"a\":\"1\",\"b\":\"2\"}|*rows.csv:3: a quote in "
                "this row is not closed"),
        CASE_OF("a,b\n\"3\n4\" x,1\n",
                "*rows.csv:3: a quote stands within a field, or "
                "something behind its end, in the row that begins "
                "on line 2"),
        CASE_OF("a,b\n1,\0\n2,3\n",
                "2 !rows.csv:2: a field holds a NUL character; remove it|3 "
                "{\"a\":\"2\",\"b\":\"3\"}|"),
        CASE_OF("a,b\n1,\xff\n",
                "2 !rows.csv:2: a field is not UTF-8 text; save the file as UTF-8|"),
        CASE_OF("a,b,a\n1,2,3\n", "*rows.csv:1: two columns have the name \"a\""),
        CASE_OF("a,,b\n1,2,3\n", "*rows.csv:1: column 2 has no name"),
        CASE_OF("a,b\0\n1,2\n", "*rows.csv:1: a field holds a NUL"),
        CASE_OF("\"a,b\n", "*rows.csv:1: a quote in this row is not closed"),
        CASE_OF("\xff,b\n1,2\n", "*rows.csv:1: a field is not UTF-8"),
    };
    check("rows.csv", CASES, FR_N_CASES(CASES));
}

/* What the reader makes of any field is JSON that says the same. */
static void fields_keep_every_character(void)
{
    char text[64 + 3 * 128] = "a\n\"";
    char all[128];
    size_t n = 0;
    for (int c = 1; c < 128; c++) {
        all[n++] = (char)c;
    }
    size_t at = strlen(text);
    for (size_t i = 0; i < n; i++) {
        text[at++] = all[i];
        if (all[i] == '"') {
            text[at++] = '"';
        }
    }
    text[at++] = '"';
    fr_row_source *source = NULL;
    fr_row_text row = {0};
    FR_ASSERT_OK(fr_row_source_open(fr_test_ctx(), "x.csv", text, at, &source));
    FR_ASSERT_OK(fr_row_source_next(source, &row));
    FR_ASSERT_OK(row.status);
    json_t *object = json_loadb(row.text, row.bytes, 0, NULL);
    const json_t *value = json_object_get(object, "a");
    CU_ASSERT_EQUAL_FATAL(json_string_length(value), n);
    CU_ASSERT_EQUAL(memcmp(json_string_value(value), all, n), 0);
    json_decref(object);
    fr_row_source_close(&source);
}

/* A quote that is never closed does not fill the memory. */
static void a_row_is_bounded(void)
{
    enum { BYTES = FR_ROW_MAX_BYTES + (1 << 20) };
    char got[SHOWN];
    char *text = fr_test_memory(malloc(BYTES));
    memset(text, 'x', BYTES);
    memcpy(text, "a,b\n1,2\n\"", 9);
    read_all("rows.csv", text, BYTES, got);
    CU_ASSERT_PTR_NOT_NULL(strstr(got, "|*rows.csv:3: the row has more than 8 MiB"));
    memset(text, '\n', BYTES);
    memcpy(text, "[{},{", 5);
    read_all("rows", text, BYTES, got);
    CU_ASSERT_PTR_NOT_NULL(strstr(got, "the row that ends here is too large"));
    free(text);
}

static const fr_case CASES[] = {
    FR_CASE(lists_give_their_elements),   FR_CASE(broken_lists_are_named),
    FR_CASE(tables_give_objects),         FR_CASE(broken_tables_are_named),
    FR_CASE(fields_keep_every_character), FR_CASE(a_row_is_bounded),
};

int main(int argc, char **argv)
{
    return fr_suite_main("row_source", CASES, FR_N_CASES(CASES), argc, argv);
}
