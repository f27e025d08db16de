/* The beginning of a data file; a file whose first row is an object on one line is never refused. */
#include "fuzz/libfuzzer/fuzz.h"
#include "train/data/row_files.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static bool begins_with_a_row(const char *text, size_t bytes)
{
    size_t at = bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < bytes && memchr(" \t\r\n", text[at], 4) != NULL) {
        at++;
    }
    const char *end = memchr(text + at, '\n', bytes - at);
    size_t length = end != NULL ? (size_t)(end - text) - at : bytes - at;
    json_t *row = json_loadb(text + at, length, JSON_ALLOW_NUL, NULL);
    bool is_row = json_is_object(row);
    json_decref(row);
    return is_row;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum {
        SMALL = 4096
    }; /* jansson goes as deep as it is told; what is looked at ends by itself */
    fr_ctx *ctx = fuzz_ctx();
    fr_rows_kind kind;
    char *text = fuzz_block((fuzz_part){data, size});
    bool accepted =
        fuzz_answer(ctx, fr_rows_check_file(ctx, "rows", text, size, &kind));
    fuzz_check(accepted || size > SMALL || !begins_with_a_row(text, size),
               "a file that begins with a row is left to the reader of rows");
    free(text);
    return 0;
}
