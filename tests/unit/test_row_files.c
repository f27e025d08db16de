/* Data files that are no JSON lines, and rows of other people's forms: named with the way out. */
#include "train/data/row_files.h"

#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct file_case {
    const char *bytes;
    size_t n;
    const char *says; /* NULL: it is left to the reader of rows */
} file_case;

#define FILE_OF(literal, says)                                                         \
    {                                                                                  \
        (literal), sizeof(literal) - 1, (says)                                         \
    }

static void check_files(const file_case *cases, int n_cases)
{
    for (int i = 0; i < n_cases; i++) {
        fr_rows_kind kind;
        fr_status status = fr_rows_check_file(fr_test_ctx(), "d/rows", cases[i].bytes,
                                              cases[i].n, &kind);
        if (cases[i].says == NULL) {
            FR_ASSERT_OK(status);
            continue;
        }
        char wanted[256];
        (void)snprintf(wanted, sizeof wanted, "d/rows: is %s", cases[i].says);
        FR_ASSERT_FAILS(status, FR_ERR_DATA, wanted);
    }
}

static void what_is_packed_or_binary_is_named(void)
{
    static const file_case CASES[] = {
        FILE_OF("\x1f\x8b\x08xxxxxxxx", "packed by gzip; unpack it with gunzip"),
        FILE_OF("PK\x03\x04zip", "a zip archive (files of PyTorch are such archives "
                                 "too); give what is in it as JSON"),
        FILE_OF(
            "\x80\x04\x95pickle",
            "a pickle of Python, which is never opened; give what is in it as JSON"),
        FILE_OF("PAR1xxxx", "a Parquet file; write its rows as JSON lines with "
                            "launch/parquet-to-jsonl.py"),
        FILE_OF("version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        FILE_OF("<!DOCTYPE html><html>", "a web page, not the file itself"),
        FILE_OF("\x89HDF\r\n\x1a\n", "an HDF5 file; give rows as JSON"),
        FILE_OF("GGUF\x03", "a GGUF model; give rows as JSON"),
        FILE_OF("\x40\x00\x00\x00\x00\x00\x00\x00{\"a\":",
                "a safetensors file; give rows as JSON"),
        FILE_OF("\xff\xfe{\0", "text in UTF-16; write it as UTF-8"),
        FILE_OF("{\0\"\0a\0", "text in UTF-16; write it as UTF-8"),
        FILE_OF("\0{\0\"\0a", "text in UTF-16; write it as UTF-8"),
    };
    check_files(CASES, FR_N_CASES(CASES));
}

static void json_that_is_no_lines_is_named(void)
{
    static const file_case CASES[] = {
        FILE_OF("[{\"role\": \"user\"}]\n[{\"role\": \"user\"}]\n",
                "one JSON list a line; a row is an object"),
        FILE_OF("[\"a\", \"b\"]", "a JSON list, but not of objects"),
        FILE_OF("[[1, 2]]", "a JSON list, but not of objects"),
        FILE_OF("{\n  \"source\": \"a\",\n  \"target\": \"b\"\n}\n",
                "one JSON object over several lines; write one object a line, e.g. "
                "with jq -c . FILE"),
        FILE_OF("{\"source\": \"a\",\n\"target\": \"b\"}\n{\"source\":",
                "JSON objects over several lines each"),
        FILE_OF("{\"source\": \"a\"\n,\"target\": \"b\"}",
                "one JSON object over several lines"),
        FILE_OF("{\n \"version\": 1, \"data\": [\n {\"source\": \"a\"}]}",
                "one JSON object that holds a list in \"data\"; write one object a "
                "line, e.g. with jq -c '.[\"data\"][]' FILE"),
        FILE_OF("{\n \"da'ta\": [{}]}", "one JSON object over several lines; write"),
        FILE_OF("{\"source\": \"a\"},\n{\"source\": \"b\"}\n",
                "JSON objects with commas between them"),
        FILE_OF("{\"source\": \"a\"} {\"source\": \"b\"}\n",
                "several JSON objects on one line"),
        FILE_OF("{\"source\": \"a\"}\r{\"source\": \"b\"}\r",
                "text whose lines end with carriage returns alone"),
        FILE_OF("{'source': 'a'}\n", "in Python's notation"),
    };
    check_files(CASES, FR_N_CASES(CASES));
}

static void lists_and_tables_are_known(void)
{
    static const struct {
        const char *path;
        const char *text;
        int64_t form;
        char delimiter;
    } CASES[] = {
        {"rows", "[{\"source\": \"a\"}]", FR_FORM_LIST, '\0'},
        {"rows.csv", "\xef\xbb\xbf\n [\n {\n \"source\": \"a]\"}]", FR_FORM_LIST, '\0'},
        {"rows", "[{\"a\": 1},\n{\"a\":", FR_FORM_LIST, '\0'},
        {"rows", " [ ] ", FR_FORM_LIST, '\0'},
        {"rows", "source,target\na,b\n", FR_FORM_CSV, ','},
        {"rows", "source,target\r\n\"a, b\",\"c \"\"d\"\" e\"\r\n", FR_FORM_CSV, ','},
        {"rows", "source\ttarget\na, b\tc\n", FR_FORM_TSV, '\t'},
        {"rows", "source;target\na;b\n", FR_FORM_CSV, ';'},
        {"rows.csv", "target\na,b\n", FR_FORM_CSV, ','},
        {"rows.csv", "source;target\na;b,c\n", FR_FORM_CSV, ';'},
        {"rows.CSV", "source,target\na,b,c\n", FR_FORM_CSV, ','},
        {"rows.tsv", "target\na, b\n", FR_FORM_TSV, '\t'},
        {"rows.csv", "{\"a\": 1}\n", 0, '\0'},
        {"rows", "a,b\nc\n", 0, '\0'},
        {"rows", "a,b\n", 0, '\0'},
        {"rows", "just a text\nof lines\n", 0, '\0'},
    };
    for (int i = 0; i < FR_N_CASES(CASES); i++) {
        fr_rows_kind kind;
        FR_ASSERT_OK(fr_rows_check_file(fr_test_ctx(), CASES[i].path, CASES[i].text,
                                        strlen(CASES[i].text), &kind));
        CU_ASSERT_EQUAL(kind.form, CASES[i].form);
        CU_ASSERT_EQUAL(kind.delimiter, CASES[i].delimiter);
    }
}

/* A first row on one line is never refused here, and a broken one is told by its line. */
static void rows_and_broken_rows_are_left_to_their_reader(void)
{
    static const file_case CASES[] = {
        FILE_OF("{\"source\": \"a\", \"target\": \"b\"}\n", NULL),
        FILE_OF("\xef\xbb\xbf{}\r\n{", NULL),
        FILE_OF("\n\n {\"a\": [{\"b\": \"}\\\"]\"}]} \t\n{\n", NULL),
        FILE_OF("{}", NULL),
        FILE_OF("{\"source\": \"a\"", NULL),
        FILE_OF("{\"source\": \"a\"\n{\"source\": \"b\"}\n", NULL),
        FILE_OF("{\"source\": \"a\n\", \"b\": 1,\n}", NULL),
        FILE_OF("{\"source\": \"a\\", NULL),
        FILE_OF("{\"", NULL),
        FILE_OF("{", NULL),
        FILE_OF("[", NULL),
        FILE_OF("[1]\n", NULL),
        FILE_OF("", NULL),
        FILE_OF(" \n", NULL),
        FILE_OF("\xef\xbb\xbf", NULL),
        FILE_OF("{}}}]]", NULL),
    };
    check_files(CASES, FR_N_CASES(CASES));
}

/* No more than a beginning is looked at: a first row may be longer than that. */
static void a_long_first_row_is_a_row(void)
{
    enum { BYTES = 3 * FR_ROWS_LOOK_BYTES };
    fr_rows_kind kind;
    char *bytes = fr_test_memory(calloc(BYTES, 1));
    memset(bytes, 'x', BYTES);
    memcpy(bytes, "{\"source\": \"", 12);
    memcpy(bytes + BYTES - 3, "\"}\n", 3);
    FR_ASSERT_OK(fr_rows_check_file(fr_test_ctx(), "rows", bytes, BYTES, &kind));
    memset(bytes, '{', BYTES);
    FR_ASSERT_OK(fr_rows_check_file(fr_test_ctx(), "rows", bytes, BYTES, &kind));
    memset(bytes, ' ', BYTES);
    FR_ASSERT_OK(fr_rows_check_file(fr_test_ctx(), "rows", bytes, BYTES, &kind));
    /* the text that is looked at ends within a string, behind a backslash */
    memcpy(bytes, "{\"source\": \"", 12);
    memset(bytes + 12, '\\', BYTES - 12);
    FR_ASSERT_OK(fr_rows_check_file(fr_test_ctx(), "rows", bytes, BYTES, &kind));
    memcpy(bytes, "[{\"source\": \"", 13);
    FR_ASSERT_OK(fr_rows_check_file(fr_test_ctx(), "rows", bytes, BYTES, &kind));
    CU_ASSERT_EQUAL(kind.form, FR_FORM_LIST);
    free(bytes);
}

static void check_form(const char *const *keys, size_t n, const char *part)
{
    const char *hint = fr_rows_form_hint(keys, n);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hint);
    if (strstr(hint, part) == NULL) {
        (void)fprintf(stderr, "'%s' lacks '%s'\n", hint, part);
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(hint, part));
}

static void other_forms_are_named(void)
{
    static const char *const DOLLY[] = {"id", "context", "response", "instruction"};
    static const char *const DPO[] = {"rejected", "chosen", "prompt"};
    static const char *const QUESTION[] = {"question", "answer"};
    static const char *const TEXT[] = {"meta", "text"};
    static const char *const LABEL[] = {"label", "text"};
    static const char *const SET[] = {"version", "data"};
    static const char *const OTHER[] = {"source", "titel"};
    check_form(
        DOLLY, 4,
        "the row is in Dolly's form; convert the file: jq -c '{source: (.instruction");
    check_form(DPO, 3, "DPO");
    check_form(QUESTION, 2,
               "data.fields: {source: question, target: answer} (--fields "
               "source=question,target=answer)");
    check_form(TEXT, 2, "its template is \"{target}\"");
    check_form(LABEL, 2, "a text with its label");
    check_form(SET, 2, "jq -c '.data[]'");
    CU_ASSERT_PTR_NULL(fr_rows_form_hint(OTHER, 2));
    CU_ASSERT_PTR_NULL(fr_rows_form_hint(NULL, 0));
}

/* docs/data.md tells the same commands. */
static void every_form_is_documented(void)
{
    enum { MAX = 65536 };
    char *document = fr_test_memory(calloc(MAX, 1));
    FILE *file = fopen(fr_test_data("../docs/data.md"), "rb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_TRUE(fread(document, 1, MAX - 1, file) > 0);
    (void)fclose(file);
    const char *name = NULL;
    const char *program = NULL;
    size_t n = 0;
    for (; fr_rows_form(n, &name, &program); n++) {
        char wanted[512];
        (void)snprintf(wanted, sizeof wanted, "\n    %s\n", program);
        if (strstr(document, wanted) == NULL) {
            (void)fprintf(stderr, "docs/data.md lacks %s: %s\n", name, program);
        }
        CU_ASSERT_PTR_NOT_NULL(strstr(document, wanted));
    }
    CU_ASSERT_TRUE(n > 20);
    free(document);
}

static const fr_case CASES[] = {
    FR_CASE(what_is_packed_or_binary_is_named),
    FR_CASE(json_that_is_no_lines_is_named),
    FR_CASE(lists_and_tables_are_known),
    FR_CASE(rows_and_broken_rows_are_left_to_their_reader),
    FR_CASE(a_long_first_row_is_a_row),
    FR_CASE(other_forms_are_named),
    FR_CASE(every_form_is_documented),
};

int main(int argc, char **argv)
{
    return fr_suite_main("row_files", CASES, FR_N_CASES(CASES), argc, argv);
}
