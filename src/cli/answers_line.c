/* One answered row as a line of JSON, and how to find out which lines of an interrupted output are whole answers.
 *
 * A line is the row's own text up to its closing brace, then "generated" and "generated_ids". The row's text is
 * copied and not written anew, so that numbers and unknown members stay as they are. The ids come last: they can then
 * be found from the end of a line without parsing it.
 *
 * A line counts as the answer to its row only if writing its ids again gives the same bytes (is_answer). This one
 * test finds a damaged line, a line of another row and a text that another tokenizer made. The first line that fails
 * must be the last one, which an interruption may have cut; with other lines behind it the file was changed, and the
 * user must decide.
 */
#define _GNU_SOURCE /* memrchr, open_memstream */
#include "base/mem.h"
#include "base/utf8.h"
#include "cli/answers.h"
#include "model/text/text_stream.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char IDS[] = "\"generated_ids\":[";
enum { IDS_BYTES = sizeof IDS - 1 };

/* What all pieces of a stream are together. */
static fr_status write_pieces(fr_text_stream *stream, const fr_ids *ids, FILE *out)
{
    fr_text piece;
    bool stopped = false;
    for (int64_t i = 0; i < ids->count; i++) {
        FR_TRY(fr_text_stream_add(stream, ids->data[i], &piece, &stopped));
        (void)fwrite(piece.data, 1, piece.bytes, out);
    }
    FR_TRY(fr_text_stream_end(stream, &piece));
    (void)fwrite(piece.data, 1, piece.bytes, out);
    return FR_OK;
}

static fr_status text_until_stop(fr_ctx *ctx, const fr_answer_form *form,
                                 const fr_ids *ids, char **text, size_t *bytes)
{
    fr_text_stream *stream = NULL;
    FR_TRY(
        fr_text_stream_open(ctx, form->tokenizer, form->stops, form->n_stops, &stream));
    FILE *out = open_memstream(text, bytes);
    fr_status status = fr_check_memory(ctx, out != NULL, 1);
    if (status == FR_OK) {
        status = write_pieces(stream, ids, out);
        bool good = ferror(out) == 0;
        good = fclose(out) == 0 && good;
        status = fr_first_failure(status, fr_check_memory(ctx, good, *bytes));
    }
    fr_text_stream_close(&stream);
    return status;
}

/* Ids may end in the middle of a character, so the text is repaired to valid UTF-8. Without a tokenizer it is NULL. */
fr_status fr_answer_text(fr_ctx *ctx, const fr_answer_form *form, const fr_ids *ids,
                         char **text, size_t *bytes)
{
    fr_status status = FR_OK;
    *text = NULL;
    *bytes = 0;
    if (form->tokenizer == NULL) {
        return FR_OK;
    }
    if (form->n_stops > 0) {
        status = text_until_stop(ctx, form, ids, text, bytes);
    } else {
        FR_TRY(fr_tokenizer_decode(ctx, form->tokenizer, ids->data, ids->count, true,
                                   text, bytes));
        status = fr_utf8_repair(ctx, text, bytes, NULL);
    }
    if (status != FR_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}

/* A JSON string of valid UTF-8; false without memory. */
static bool write_string(FILE *out, const char *text, size_t bytes)
{
    json_t *string = json_stringn(text, bytes);
    bool good = string != NULL && json_dumpf(string, out, JSON_ENCODE_ANY) == 0;
    json_decref(string);
    return good;
}

/* Whether an object, given without its closing brace, has members. */
static bool has_members(const char *row, size_t bytes)
{
    while (bytes > 0 && strchr(" \t\r\n", row[bytes - 1]) != NULL) {
        bytes--;
    }
    return bytes > 0 && row[bytes - 1] != '{';
}

/* What fputs and fputc report is looked at once, with ferror. */
static bool write_line(FILE *out, const char *row, size_t row_bytes, const char *text,
                       size_t text_bytes, const fr_ids *ids)
{
    size_t open_bytes = row_bytes > 0 ? row_bytes - 1 : 0; /* without its brace */
    bool good = fwrite(row, 1, open_bytes, out) == open_bytes;
    if (has_members(row, open_bytes)) {
        (void)fputc(',', out);
    }
    if (text != NULL) {
        (void)fputs("\"generated\":", out);
        good = write_string(out, text, text_bytes) && good;
        (void)fputc(',', out);
    }
    (void)fputs(IDS, out);
    for (int64_t i = 0; i < ids->count; i++) {
        (void)fprintf(out, "%s%d", i > 0 ? "," : "", (int)ids->data[i]);
    }
    (void)fputs("]}", out);
    return good && ferror(out) == 0;
}

fr_status fr_answer_line(fr_ctx *ctx, const fr_answer_form *form, const char *row,
                         size_t row_bytes, const fr_ids *ids, char **line,
                         size_t *bytes)
{
    char *text = NULL;
    size_t text_bytes = 0;
    *line = NULL;
    *bytes = 0;
    FR_TRY(fr_answer_text(ctx, form, ids, &text, &text_bytes));
    FILE *out = open_memstream(line, bytes);
    bool good = out != NULL && write_line(out, row, row_bytes, text, text_bytes, ids);
    good = out != NULL && fclose(out) == 0 && good;
    free(text);
    if (!good) {
        free(*line);
        *line = NULL;
    }
    return fr_check_memory(ctx, good, row_bytes + text_bytes);
}

/* One whole number without sign at *at, which moves behind it. */
static bool read_id(const char **at, const char *end, int64_t *id)
{
    enum { TEN = 10 };
    const char *from = *at;
    *id = 0;
    while (*at < end && **at >= '0' && **at <= '9' && *id <= INT32_MAX) {
        *id = *id * TEN + (**at - '0');
        (*at)++;
    }
    return *at > from && *id <= INT32_MAX;
}

/* A line of another form is not an error here: *are_there stays false, and the caller decides what that means. */
fr_status fr_answer_ids(fr_ctx *ctx, const char *line, size_t bytes, fr_ids *ids,
                        bool *are_there)
{
    *are_there = false;
    const char *bracket = bytes > 0 ? memrchr(line, '[', bytes) : NULL;
    if (bytes < 2 || memcmp(line + bytes - 2, "]}", 2) != 0 || bracket == NULL ||
        bracket + 1 - line < IDS_BYTES ||
        memcmp(bracket + 1 - IDS_BYTES, IDS, IDS_BYTES) != 0) {
        return FR_OK;
    }
    const char *end = line + bytes - 2;
    const char *at = bracket + 1;
    while (at < end) {
        int64_t id = 0;
        if (!read_id(&at, end, &id)) {
            return FR_OK;
        }
        FR_TRY(fr_ids_add(ctx, ids, (int32_t)id));
        if (at < end && *at++ != ',') {
            return FR_OK;
        }
    }
    *are_there = true;
    return FR_OK;
}

/* Generation never chooses ids without a text. */
static bool may_be_chosen(const fr_tokenizer *tokenizer, const fr_ids *ids)
{
    bool yes = true;
    for (int64_t i = 0; tokenizer != NULL && i < ids->count; i++) {
        yes = yes && fr_tokenizer_has_text(tokenizer, ids->data[i]);
    }
    return yes;
}

/* Whether a line is `wanted` with a list of logarithms, one for each id, between the row's members, whose bytes are known, and
 * the text. Their values cannot be told from other ones. */
static bool has_logprobs_within(const char *line, size_t bytes, const char *wanted,
                                size_t wanted_bytes, size_t members, int64_t n_ids)
{
    size_t rest = wanted_bytes - members; /* behind what is put in */
    if (bytes < wanted_bytes || memcmp(line, wanted, members) != 0 ||
        memcmp(line + bytes - rest, wanted + members, rest) != 0) {
        return false;
    }
    json_t *object =
        json_loadb(line, bytes, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    const json_t *list = json_object_get(object, "logprobs");
    bool good = json_is_array(list) && json_array_size(list) == (size_t)n_ids;
    json_decref(object);
    return good;
}

/* Whether a line is the answer to its row: the bytes that would be written for the ids in it. */
static fr_status is_answer(fr_ctx *ctx, const fr_answers_params *params,
                           const fr_tokenizer *tokenizer, int64_t index, fr_text line,
                           bool *yes)
{
    const fr_answer_form form = {tokenizer, params->stops, params->n_stops};
    fr_ids ids = {0};
    char *row = NULL;
    char *wanted = NULL;
    size_t row_bytes = 0;
    size_t wanted_bytes = 0;
    *yes = false;
    fr_status status = fr_answer_ids(ctx, line.data, line.bytes, &ids, yes);
    *yes = *yes && may_be_chosen(tokenizer, &ids);
    if (status == FR_OK && *yes) {
        status = params->row(params->user, index, &row, &row_bytes);
    }
    if (status == FR_OK && *yes) { /* cheap, before the ids are decoded */
        *yes = row_bytes > 0 && row_bytes <= line.bytes &&
               memcmp(line.data, row, row_bytes - 1) == 0;
    }
    if (status == FR_OK && *yes) {
        status =
            fr_answer_line(ctx, &form, row, row_bytes, &ids, &wanted, &wanted_bytes);
    }
    if (status == FR_OK && *yes && params->has_logprobs) {
        *yes = has_logprobs_within(line.data, line.bytes, wanted, wanted_bytes,
                                   row_bytes - 1, ids.count);
    } else if (status == FR_OK && *yes) {
        *yes = wanted_bytes == line.bytes && memcmp(wanted, line.data, line.bytes) == 0;
    }
    free(row);
    free(wanted);
    fr_ids_fini(&ids);
    return status;
}

/* A piece without a newline at the end does not count as a line, so kept_bytes leaves it out. */
fr_status fr_answers_scan(fr_ctx *ctx, const fr_answers_params *params,
                          const fr_tokenizer *tokenizer, int64_t n_rows,
                          const char *data, size_t bytes, fr_answers_found *out)
{
    size_t at = 0;
    const char *end = NULL;
    *out = (fr_answers_found){0};
    while (at < bytes && (end = memchr(data + at, '\n', bytes - at)) != NULL) {
        size_t length = (size_t)(end - (data + at));
        bool good = false;
        if (out->n_kept < out->n_lines) {
            return FR_FAIL(ctx, FR_ERR_ARG,
                           "%s.part:%lld: this line is not the answer to its row, and "
                           "other lines follow; cut the file before this line to keep "
                           "the lines above, or start again with --overwrite",
                           params->path, (long long)out->n_lines);
        }
        if (out->n_lines < n_rows && !params->is_text) {
            FR_TRY(is_answer(ctx, params, tokenizer, out->n_lines,
                             (fr_text){data + at, length}, &good));
        }
        out->n_lines++;
        at += length + 1;
        if (good) {
            out->n_kept = out->n_lines;
            out->kept_bytes = at;
        }
    }
    return FR_OK;
}
