/* The rows of lists and tables. The first byte chooses the name; every row lies where it should and lines do not fall. */
#include "fuzz/libfuzzer/fuzz.h"
#include "train/data/row_source.h"

#include <jansson.h>
#include <stdlib.h>

static void check_row(const fr_row_text *row, bool is_table)
{
    enum { SMALL = 4096 };
    if (is_table && row->bytes < SMALL) {
        json_t *object = json_loadb(row->text, row->bytes, 0, NULL);
        fuzz_check(json_is_object(object), "a row of a table is a JSON object");
        json_decref(object);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"rows", "rows.csv", "rows.tsv"};
    if (size == 0) {
        return 0;
    }
    fr_ctx *ctx = fuzz_ctx();
    char *text = fuzz_block((fuzz_part){data + 1, size - 1});
    fr_row_source *source = NULL;
    fr_row_text row = {0};
    int64_t line = 0;
    bool open = fuzz_answer(
        ctx, fr_row_source_open(ctx, NAMES[data[0] % 3], text, size - 1, &source));
    while (open) {
        fr_status status = fr_row_source_next(source, &row);
        bool is_bad = status == FR_OK && row.status != FR_OK;
        bool good = fuzz_answer(ctx, is_bad ? row.status : status);
        open = row.text != NULL;
        if (!open) {
            break;
        }
        fuzz_check(row.line >= line && row.line >= 1, "lines do not fall");
        line = row.line;
        if (good) {
            check_row(&row, fr_row_source_is_brief(source));
        }
    }
    fr_row_source_close(&source);
    free(text);
    return 0;
}
