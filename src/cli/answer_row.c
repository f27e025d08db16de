#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "cli/answer_row.h"

#include "base/json.h"
#include "train/data/row_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Members that are written anew are left out, but for those that this command does not write. */
static fr_status write_object(fr_ctx *ctx, const fr_answer_row *row, char **text,
                              size_t *bytes)
{
    enum { MOST = 5 };
    const char *left_out[MOST] = {"generated", "generated_ids"};
    int n = 2;
    if (row->number != FR_NO_NUMBER) {
        left_out[n++] = "generation";
    }
    if (row->has_logprobs) {
        left_out[n++] = "logprobs";
    }
    left_out[n] = NULL;
    if (row->text != NULL) {
        return fr_row_json_write(ctx, row->text, row->bytes, left_out, text, bytes);
    }
    json_t *object = json_pack("{s:s}", "prompt", row->prompt);
    *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    *bytes = *text != NULL ? strlen(*text) : 0;
    return fr_check_memory(ctx, *text != NULL, strlen(row->prompt));
}

static void write_one(FILE *out, int32_t id, double value)
{
    char number[FR_JSON_NUMBER_BYTES];
    (void)fprintf(out, "{\"id\":%d,\"logprob\":%s", (int)id,
                  fr_json_number(value, number));
}

static void write_logprobs(FILE *out, const fr_generate_row *answer)
{
    (void)fputs("\"logprobs\":[", out);
    for (int64_t i = 0; i < answer->out.count; i++) {
        const fr_logprobs *l = &answer->logprobs[i];
        (void)fputs(i > 0 ? "," : "", out);
        write_one(out, answer->out.data[i], l->chosen);
        if (l->n > 0) {
            (void)fputs(",\"top\":[", out);
            for (int32_t k = 0; k < l->n; k++) {
                (void)fputs(k > 0 ? "," : "", out);
                write_one(out, l->ids[k], l->values[k]);
                (void)fputc('}', out);
            }
            (void)fputc(']', out);
        }
        (void)fputc('}', out);
    }
    (void)fputc(']', out);
}

/* An object with members gets a comma behind them; no member's text ends with '{'. */
static void write_members(FILE *out, const fr_answer_row *row, const char *object,
                          size_t bytes)
{
    size_t open_bytes = bytes - 1;
    while (open_bytes > 0 && strchr(" \t\r\n", object[open_bytes - 1]) != NULL) {
        open_bytes--;
    }
    bool is_empty = open_bytes > 0 && object[open_bytes - 1] == '{';
    (void)fwrite(object, 1, open_bytes, out);
    if (row->number != FR_NO_NUMBER) {
        (void)fprintf(out, "%s\"generation\":%lld", is_empty ? "" : ",",
                      (long long)row->number);
        is_empty = false;
    }
    if (row->has_logprobs && row->answer->out.count > 0) {
        (void)fputs(is_empty ? "" : ",", out);
        write_logprobs(out, row->answer);
    } else if (row->has_logprobs && row->answer->state != FR_ROW_GOES_ON) {
        (void)fprintf(out, "%s\"logprobs\":[]", is_empty ? "" : ",");
    }
    (void)fputc('}', out);
}

fr_status fr_answer_row_write(fr_ctx *ctx, const fr_answer_row *row, char **text,
                              size_t *bytes)
{
    char *object = NULL;
    size_t object_bytes = 0;
    FR_TRY(write_object(ctx, row, text, bytes));
    if (row->number == FR_NO_NUMBER && !row->has_logprobs) {
        return FR_OK;
    }
    object = *text;
    object_bytes = *bytes;
    *text = NULL;
    FILE *out = open_memstream(text, bytes);
    bool good = out != NULL;
    if (good) {
        write_members(out, row, object, object_bytes);
        good = ferror(out) == 0;
        good = fclose(out) == 0 && good;
    }
    free(object);
    if (!good) {
        free(*text);
        *text = NULL;
    }
    return fr_check_memory(ctx, good, object_bytes);
}
