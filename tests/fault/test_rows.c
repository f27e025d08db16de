/* Rows of every kind of file and form, and what data check keeps of them, survive each failed allocation. */
#include "support/fault.h"
#include "train/data/row.h"
#include "train/data/row_set.h"
#include "train/data/row_source.h"

#include <string.h>

typedef struct file {
    const char *path;
    const char *text;
    const char *fields;
} file;

static fr_status parse_row(fr_row_reader *reader, const fr_row_text *text)
{
    json_t *object = NULL;
    FR_TRY(fr_row_parse(reader, text->text, text->bytes, &object));
    json_decref(object);
    return FR_OK;
}

static fr_status read_file(fr_ctx *ctx, void *argument)
{
    const file *f = argument;
    const fr_data_params params = {.path = f->path, .fields = f->fields};
    fr_row_reader reader;
    fr_row_source *source = NULL;
    fr_row_text text = {0};
    FR_TRY(fr_row_reader_init(ctx, &params, FR_ROW_LEARN, &reader));
    FR_TRY(fr_row_source_open(ctx, f->path, f->text, strlen(f->text), &source));
    fr_status status = FR_OK;
    do {
        status = fr_row_source_next(source, &text);
        if (status == FR_OK && text.text != NULL) {
            status = parse_row(&reader, &text);
        }
    } while (status == FR_OK && text.text != NULL);
    fr_row_source_close(&source);
    return status;
}

static void rows_survive_each_failed_allocation(void)
{
    static const file FILES[] = {
        {"a.csv", "source,target\na,\"b\n\"\"c\"\n", NULL},
        {"a.json", "[{\"instruction\":\"a\",\"input\":\"b\",\"output\":\"c\"}]", NULL},
        {"a.jsonl",
         "{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\","
         "\"value\":\"b\"}]}\n",
         NULL},
        {"a.jsonl",
         "{\"prompt\":[{\"role\":\"assistant\",\"content\":\"a\"}],\"completion\":[]}"
         "\n",
         NULL},
        {"a.jsonl", "{\"q\":\"a\",\"r\":\"b\"}\n",
         "{\"source\":\"q\",\"target\":\"r\"}"},
    };
    for (int i = 0; i < FR_N_CASES(FILES); i++) {
        (void)fr_fault_sweep(FILES[i].path, read_file, (void *)(uintptr_t)&FILES[i]);
    }
}

static fr_status fill_set(fr_ctx *ctx, void *argument)
{
    enum { N = 2000 }; /* beyond the first size */
    int32_t id = 0;
    int32_t flag = 1;
    const fr_ids ids = {.data = &id, .count = 1};
    const fr_ids flags = {.data = &flag, .count = 1};
    fr_row_set *set = NULL;
    int64_t first = 0;
    (void)argument;
    FR_TRY(fr_row_set_create(ctx, &set));
    fr_status status = FR_OK;
    for (id = 0; id < N && status == FR_OK; id++) {
        status = fr_row_set_add(set, &ids, &flags, id + 1, &first);
        CU_ASSERT_EQUAL(first, 0);
    }
    if (status == FR_OK) {
        id = 7;
        CU_ASSERT_EQUAL(fr_row_set_find(set, &ids, &flags), 8);
        flag = 0; /* another part is learned: another row */
        CU_ASSERT_EQUAL(fr_row_set_find(set, &ids, &flags), 0);
    }
    fr_row_set_destroy(&set);
    return status;
}

static void a_set_survives_each_failed_allocation(void)
{
    CU_ASSERT_TRUE(fr_fault_sweep("set of rows", fill_set, NULL) > 2);
}

static const fr_case CASES[] = {
    FR_CASE(rows_survive_each_failed_allocation),
    FR_CASE(a_set_survives_each_failed_allocation),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fault_rows", CASES, FR_N_CASES(CASES), argc, argv);
}
