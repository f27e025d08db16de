/* Rows of other forms have the ids of the row of our own form that they stand for; what fits none or two is an error. */
#include "train/data/row.h"

#include "support/rows.h"

#include <stdio.h>
#include <string.h>

typedef struct pair {
    const char *row;
    const char *same; /* the row of our own form */
    int64_t form;
} pair;

#define TURN(role, content) "{\"role\":\"" role "\",\"content\":\"" content "\"}"
#define SAID(from, value) "{\"from\":\"" from "\",\"value\":\"" value "\"}"

static const pair TEXTS[] = {
    {"{\"instruction\":\"ab\",\"input\":\"c\",\"output\":\"x\"}",
     "{\"source\":\"ab\\nc\",\"target\":\"x\"}", FR_FORM_ALPACA},
    {"{\"instruction\":\"ab\",\"input\":\"\",\"output\":\"x\"}",
     "{\"source\":\"ab\",\"target\":\"x\"}", FR_FORM_ALPACA},
    {"{\"instruction\":\"ab\",\"input\":null,\"output\":\"x\"}",
     "{\"source\":\"ab\",\"target\":\"x\"}", FR_FORM_ALPACA},
    {"{\"output\":[\"x\",\"y\"],\"id\":3,\"instruction\":\"ab\"}",
     "{\"source\":\"ab\",\"target\":[\"x\",\"y\"]}", FR_FORM_ALPACA},
    {"{\"prompt\":\"ab\",\"completion\":\"x\"}", "{\"source\":\"ab\",\"target\":\"x\"}",
     FR_FORM_COMPLETION},
};

static const pair DIALOGUES[] = {
    {"{\"conversations\":[" SAID("system", "s") "," SAID("human",
                                                         "u") "," SAID("gpt", "a") "]}",
     "{\"messages\":[" TURN("system", "s") "," TURN("user", "u") "," TURN("assistant",
                                                                          "a") "]}",
     FR_FORM_SHAREGPT},
    {"{\"conversations\":[" TURN("user", "u") "," TURN("assistant", "a") "]}",
     "{\"messages\":[" TURN("user", "u") "," TURN("assistant", "a") "]}",
     FR_FORM_SHAREGPT},
    {"{\"prompt\":[" TURN("user", "u") "," TURN("assistant", "b") "," TURN(
         "user", "v") "],\"completion\":[" TURN("assistant", "a") "]}",
     "{\"messages\":[" TURN("user", "u") ",{\"role\":\"assistant\",\"content\":"
                                         "\"b\",\"weight\":0}," TURN(
                                             "user", "v") "," TURN("assistant",
                                                                   "a") "]}",
     FR_FORM_COMPLETION},
    {"{\"instruction\":\"u\",\"output\":\"a\"}", "{\"source\":\"u\",\"target\":\"a\"}",
     FR_FORM_ALPACA},
};

static fr_status read_row(const fr_data_params *params, fr_row_use use,
                          const char *text, fr_row *row, int64_t *forms)
{
    fr_row_reader reader;
    fr_status status = fr_row_reader_init(fr_test_ctx(), params, use, &reader);
    reader.line = 7;
    if (status == FR_OK) {
        status = fr_row_read(&reader, text, strlen(text), row);
    }
    *forms = status == FR_OK ? reader.forms : 0;
    return status;
}

static bool same_ids(const fr_ids *a, const fr_ids *b)
{
    return a->count == b->count &&
           (a->count == 0 ||
            memcmp(a->data, b->data, (size_t)a->count * sizeof *a->data) == 0);
}

static void check_pair(const fr_data_params *params, const pair *p, int64_t form)
{
    for (fr_row_use use = FR_ROW_LEARN; use <= FR_ROW_PROMPT; use++) {
        fr_row got = {0};
        fr_row wanted = {0};
        fr_data_params plain = *params;
        int64_t forms = 0;
        plain.fields = NULL;
        FR_ASSERT_OK(read_row(&plain, use, p->same, &wanted, &forms));
        FR_ASSERT_OK(read_row(params, use, p->row, &got, &forms));
        CU_ASSERT_EQUAL(forms, form);
        CU_ASSERT_TRUE(same_ids(&got.source.ids, &wanted.source.ids));
        CU_ASSERT_TRUE(same_ids(&got.source_counted, &wanted.source_counted));
        CU_ASSERT_TRUE(same_ids(&got.targets.ids, &wanted.targets.ids));
        CU_ASSERT_TRUE(same_ids(&got.target_ends, &wanted.target_ends));
        fr_row_fini(&got);
        fr_row_fini(&wanted);
    }
}

static void known_forms_have_the_ids_of_ours(void)
{
    fr_tokenizer *tokenizer =
        fr_test_letters(&(fr_letters){.chat_template = FR_TEST_CHATML});
    fr_data_params params = fr_test_text_params("rows.jsonl", tokenizer);
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        check_pair(&params, &TEXTS[i], TEXTS[i].form);
    }
    params.template_text = NULL;
    params.chat = true;
    for (size_t i = 0; i < sizeof DIALOGUES / sizeof DIALOGUES[0]; i++) {
        check_pair(&params, &DIALOGUES[i], DIALOGUES[i].form);
    }
    fr_tokenizer_close(&tokenizer);
}

/* What is not named does not matter, also members of our own names. */
static void fields_name_the_members(void)
{
    static const struct {
        const char *fields;
        pair pair;
    } CASES[] = {
        {"{\"source\":\"q\",\"target\":\"r\"}",
         {"{\"q\":\"ab\",\"r\":\"x\",\"other\":1,\"source\":\"no\",\"messages\":2}",
          "{\"source\":\"ab\",\"target\":\"x\"}", 0}},
        {"source=target, target=source",
         {"{\"source\":\"x\",\"target\":\"ab\"}",
          "{\"source\":\"ab\",\"target\":\"x\"}", 0}},
        {"source_ids=a,target_ids=b",
         {"{\"a\":[1,2],\"b\":[[3],[4]]}",
          "{\"source_ids\":[1,2],\"target_ids\":[[3],[4]]}", 0}},
    };
    fr_tokenizer *tokenizer =
        fr_test_letters(&(fr_letters){.chat_template = FR_TEST_CHATML});
    fr_data_params params = fr_test_text_params("rows.jsonl", tokenizer);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        params.fields = CASES[i].fields;
        check_pair(&params, &CASES[i].pair, FR_FORM_FIELDS);
    }
    const pair talk = {
        "{\"talk\":[" SAID("human", "u") "," SAID("gpt", "a") "]}",
        "{\"messages\":[" TURN("user", "u") "," TURN("assistant", "a") "]}", 0};
    params.template_text = NULL;
    params.chat = true;
    params.fields = "messages=talk";
    check_pair(&params, &talk, FR_FORM_FIELDS);
    fr_tokenizer_close(&tokenizer);
}

static void bad_fields_are_refused(void)
{
    static const struct {
        const char *fields;
        const char *part;
    } CASES[] = {
        {"{\"sauce\":\"q\"}", "fields has the key \"sauce\""},
        {"{\"source\":1,\"target\":\"a\"}", "fields.source must be the name"},
        {"source=,target=a", "fields.source must be the name"},
        {"source=a,source=b", "\"source\" twice"},
        {"source", "OWN=NAME"},
        {"tools=a", "the members of one form"},
        {"source=a,messages=b", "the members of one form"},
        {"", "the members of one form"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        fr_row_fields fields;
        FR_ASSERT_FAILS(fr_row_fields_read(fr_test_ctx(), CASES[i].fields, &fields),
                        FR_ERR_CONFIG, CASES[i].part);
    }
}

static void bad_rows_of_other_forms_are_named(void)
{
    static const struct {
        const char *fields;
        const char *row;
        const char *part;
    } CASES[] = {
        {NULL,
         "{\"source\":\"a\",\"target\":\"b\",\"prompt\":\"a\",\"completion\":\"b\"}",
         "rows.jsonl:7: the row fits two forms: source and target, and prompt and "
         "completion"},
        {NULL,
         "{\"instruction\":\"a\",\"output\":\"b\",\"prompt\":\"a\",\"completion\":"
         "\"b\"}",
         "two forms: instruction, input and output (Alpaca), and prompt"},
        {NULL, "{\"conversations\":[],\"messages\":[]}", "two forms"},
        {NULL, "{\"instruction\":1,\"output\":\"b\"}",
         "rows.jsonl:7: \"instruction\" must be a string"},
        {NULL, "{\"instruction\":\"a\",\"input\":{},\"output\":\"b\"}",
         "\"input\" must be a string"},
        {NULL, "{\"instruction\":\"a\",\"output\":\"b\",\"text\":\"c\"}",
         "the key \"text\", which is not known"},
        {NULL, "{\"instruction\":\"a\",\"instruction\":\"b\",\"output\":\"c\"}",
         "duplicate object key"},
        {NULL, "{\"prompt\":[],\"completion\":\"b\"}", "must be one too"},
        {NULL, "{\"instruction\":\"a\",\"response\":\"b\"}", "Dolly"},
        {"source=q,target=r", "{\"q\":\"a\",\"s\":\"b\"}",
         "rows.jsonl:7: \"r\" is missing, which fields names as the target"},
        {"source=q,target=r", "{\"q\":1,\"r\":\"b\"}", "\"source\" must be a string"},
        {"messages=q", "{\"q\":[" SAID("human", "u") "]}", "need chat: true"},
    };
    fr_tokenizer *tokenizer = fr_test_letters(&(fr_letters){0});
    fr_data_params params = fr_test_text_params("rows.jsonl", tokenizer);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        fr_row row = {0};
        int64_t forms = 0;
        params.fields = CASES[i].fields;
        FR_ASSERT_FAILS(read_row(&params, FR_ROW_LEARN, CASES[i].row, &row, &forms),
                        FR_ERR_DATA, CASES[i].part);
        fr_row_fini(&row);
    }
    /* listing what is not meant leaves one form */
    fr_row row = {0};
    int64_t forms = 0;
    params.fields = NULL;
    params.ignore = "source, target";
    FR_ASSERT_OK(read_row(&params, FR_ROW_LEARN, CASES[0].row, &row, &forms));
    CU_ASSERT_EQUAL(forms, FR_FORM_COMPLETION);
    fr_row_fini(&row);
    fr_tokenizer_close(&tokenizer);
}

static void a_prompt_of_another_form_needs_no_answer(void)
{
    static const char *const ROWS[] = {"{\"instruction\":\"ab\"}",
                                       "{\"prompt\":\"ab\"}",
                                       "{\"prompt\":\"ab\",\"completion\":7}",
                                       "{\"instruction\":\"ab\",\"output\":7}"};
    fr_tokenizer *tokenizer = fr_test_letters(&(fr_letters){0});
    fr_data_params params = fr_test_text_params("rows.jsonl", tokenizer);
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        fr_row row = {0};
        int64_t forms = 0;
        FR_ASSERT_OK(read_row(&params, FR_ROW_PROMPT, ROWS[i], &row, &forms));
        CU_ASSERT_EQUAL(row.source.ids.count, 1); /* "ab" is one token */
        fr_row_fini(&row);
    }
    fr_tokenizer_close(&tokenizer);
}

static const fr_case CASES[] = {
    FR_CASE(known_forms_have_the_ids_of_ours),
    FR_CASE(fields_name_the_members),
    FR_CASE(bad_fields_are_refused),
    FR_CASE(bad_rows_of_other_forms_are_named),
    FR_CASE(a_prompt_of_another_form_needs_no_answer),
};

int main(int argc, char **argv)
{
    return fr_suite_main("row_shape", CASES, FR_N_CASES(CASES), argc, argv);
}
