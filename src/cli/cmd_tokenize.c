/* `forerun tokenize`: the ids of texts, without the model's weights.
 *
 * There are three inputs. Without an option it is all of standard input as one text; with --jsonl one JSON string per
 * line; with --rows a file of rows, read by the same row reader as in training, so that its output is what training
 * would see. Each result is printed as soon as it is known: input that comes through a pipe may be long. A failure
 * therefore leaves the earlier lines on standard output, and the exit code says that they are not all.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/json_size.h"
#include "cli/commands.h"
#include "cli/inference_options.h"
#include "model/text/tokens.h"
#include "train/data/row.h"
#include "train/data/row_files.h"
#include "train/data/row_lines.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fr_option OPTIONS[] = {
    {"model", "PATH", "GGUF file or Hugging Face folder (required)"},
    {"jsonl", NULL,
     "read one JSON string per line, write one JSON array of ids per line"},
    {"no-special", NULL, "treat special tokens in the text as plain text"},
    {"rows", "FILE.jsonl",
     "read rows as training does; write one row with source_ids and target_ids per "
     "line"},
    {"prompts", NULL, "read rows as `generate` does; write source_ids only"},
    {"template", "T",
     "template of rows of text, e.g. \"{source}\\nSynopsis:{target}\""},
    {"chat", NULL, "rows are dialogues; write them in the base's chat template"},
    {"special", NULL, "recognise special tokens in the texts of rows"},
    {"no-eos", NULL, "add no end-of-sequence id to targets"},
    FR_ROW_OPTIONS,
    {NULL, NULL, NULL},
};

const fr_command FR_TOKENIZE_COMMAND = {
    "tokenize", "", 0, "print the token ids of the text on standard input, or of rows",
    OPTIONS};

/* Ids first to end - 1 with `between` after each but the last. */
static void print_some(const fr_ids *ids, int64_t first, int64_t end,
                       const char *between)
{
    for (int64_t i = first; i < end; i++) {
        (void)printf("%s%d", i == first ? "" : between, ids->data[i]);
    }
}

static void print_list(const fr_ids *ids, int64_t first, int64_t end)
{
    (void)fputc('[', stdout);
    print_some(ids, first, end, ", ");
    (void)fputc(']', stdout);
}

static fr_status print_ids(const fr_cli *cli, const fr_tokenizer *tokenizer,
                           const char *text, size_t bytes, bool as_json)
{
    fr_ids ids = {0};
    bool special = !fr_options_has(cli->options, "no-special");
    fr_status status =
        fr_tokenizer_encode(cli->ctx, tokenizer, text, bytes, special, &ids);
    if (status == FR_OK && as_json) {
        print_list(&ids, 0, ids.count);
    } else if (status == FR_OK) {
        print_some(&ids, 0, ids.count, " ");
    }
    if (status == FR_OK) {
        (void)fputc('\n', stdout);
    }
    fr_ids_fini(&ids);
    return status;
}

/* The size is checked before the parser sees the line, so that a hostile one cannot take all memory. */
static fr_status tokenize_line(const fr_cli *cli, const fr_tokenizer *tokenizer,
                               const char *line, size_t bytes, int64_t number)
{
    json_error_t error;
    json_t *text = NULL;
    fr_status status = FR_OK;
    if (!fr_json_fits(line, bytes)) {
        return FR_FAIL(cli->ctx, FR_ERR_DATA, "standard input:%lld: " FR_JSON_TOO_LARGE,
                       (long long)number);
    }
    text = json_loadb(line, bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!json_is_string(text)) {
        status =
            FR_FAIL(cli->ctx, FR_ERR_DATA, "standard input:%lld: %s", (long long)number,
                    text != NULL ? "not a JSON string" : error.text);
    } else {
        status = print_ids(cli, tokenizer, json_string_value(text),
                           json_string_length(text), true);
    }
    json_decref(text);
    return status;
}

/* At the end of input: a failed read must not count as the end. */
static fr_status check_input(const fr_cli *cli)
{
    return feof(stdin) != 0
               ? FR_OK
               : FR_FAIL(cli->ctx, FR_ERR_IO, "cannot read standard input: %s",
                         strerror(errno));
}

/* Empty lines count, so that numbers in messages are those of an editor, but give no output. */
static fr_status tokenize_lines(const fr_cli *cli, const fr_tokenizer *tokenizer)
{
    char *line = NULL;
    size_t capacity = 0;
    fr_status status = FR_OK;
    for (int64_t number = 1; status == FR_OK; number++) {
        ssize_t bytes = getline(&line, &capacity, stdin);
        if (bytes < 0) {
            status = check_input(cli);
            break;
        }
        if (bytes > 0 && line[0] != '\n') {
            status = tokenize_line(cli, tokenizer, line, (size_t)bytes, number);
        }
    }
    free(line);
    return status;
}

/* All of standard input, any bytes. The buffer is doubled, so that the copying stays linear in the input's length. */
static fr_status read_all(const fr_cli *cli, char **text, size_t *bytes)
{
    enum { SMALLEST = 65536 };
    size_t capacity = 0;
    for (*bytes = 0;;) {
        if (*bytes == capacity) {
            capacity = capacity > 0 ? 2 * capacity : SMALLEST;
            char *grown = realloc(*text, capacity);
            FR_TRY(fr_check_memory(cli->ctx, grown != NULL, capacity));
            *text = grown;
        }
        size_t n = fread(*text + *bytes, 1, capacity - *bytes, stdin);
        *bytes += n;
        if (n == 0) {
            return check_input(cli);
        }
    }
}

static fr_status tokenize_all(const fr_cli *cli, const fr_tokenizer *tokenizer)
{
    char *text = NULL;
    size_t bytes = 0;
    fr_status status = read_all(cli, &text, &bytes);
    if (status == FR_OK && bytes > 0) {
        status = print_ids(cli, tokenizer, text, bytes, false);
    }
    free(text);
    return status;
}

/* ---- rows ------------------------------------------------------------------------------------- */

/* The form of a row depends on its number of targets: none, one list of ids, or a list of such lists. */
static void print_row(const fr_row *row)
{
    int64_t first = 0;
    (void)fputs("{\"source_ids\": ", stdout);
    print_list(&row->source.ids, 0, row->source.ids.count);
    if (row->n_targets > 0) {
        (void)printf(", \"target_ids\": %s", row->n_targets > 1 ? "[" : "");
    }
    for (int64_t t = 0; t < row->n_targets; t++) {
        (void)fputs(t > 0 ? ", " : "", stdout);
        print_list(&row->targets.ids, first, row->target_ends.data[t]);
        first = row->target_ends.data[t];
    }
    (void)puts(row->n_targets > 1 ? "]}" : "}");
}

/* Reading goes on after a bad row. Without --on-error skip the end is a failure that names the bad rows together. */
static fr_status print_rows(fr_row_reader *reader, fr_bad_rows *bad, const char *text,
                            size_t text_bytes)
{
    fr_row row = {0};
    fr_row_lines lines = fr_row_lines_of(text, text_bytes);
    const char *line = NULL;
    size_t bytes = 0;
    fr_status status = FR_OK;
    while (status == FR_OK && fr_row_lines_next(&lines, &line, &bytes)) {
        reader->line = lines.line;
        do {
            fr_status read = fr_row_read(reader, line, bytes, &row);
            status = fr_bad_rows_add(reader->ctx, bad, read);
            if (read == FR_OK) {
                print_row(&row);
            }
        } while (fr_row_next_part(reader, &row) && status == FR_OK);
    }
    fr_row_fini(&row);
    return status == FR_OK ? fr_bad_rows_end(reader->ctx, bad, reader->params->path)
                           : status;
}

static fr_status tokenize_rows(const fr_cli *cli, const fr_tokenizer *tokenizer,
                               const char *template_text)
{
    const fr_options *o = cli->options;
    fr_data_params params = {
        .path = fr_options_text(o, "rows"),
        .tokenizer = tokenizer,
        .vocab_size = INT32_MAX, /* unlimited: the tokenizer's own files give the ids */
        .template_text = template_text,
        .chat = fr_options_has(o, "chat"),
        .eos = !fr_options_has(o, "no-eos"),
        .eos_id = fr_tokenizer_eos(tokenizer),
        .special = fr_options_has(o, "special")};
    fr_row_use use = fr_options_has(o, "prompts") ? FR_ROW_PROMPT : FR_ROW_LEARN;
    fr_row_reader reader;
    char *text = NULL;
    size_t bytes = 0;
    FR_TRY(fr_row_options(cli->ctx, o, &params.ignore, &params.skip_bad_rows));
    FR_TRY(fr_row_reader_init(cli->ctx, &params, use, &reader));
    FR_TRY(fr_file_read(cli->ctx, params.path, &text, &bytes));
    fr_bad_rows bad = {.skip = params.skip_bad_rows};
    fr_status status = fr_rows_check_file(cli->ctx, params.path, text, bytes);
    if (status == FR_OK) {
        status = print_rows(&reader, &bad, text, bytes);
    }
    fr_bad_rows_fini(&bad);
    free(text);
    return status;
}

static fr_status tokenize_file(const fr_cli *cli, const fr_tokenizer *tokenizer)
{
    char *template_text = NULL;
    FR_TRY(fr_template_option(cli->ctx, cli->options, &template_text));
    fr_status status = tokenize_rows(cli, tokenizer, template_text);
    free(template_text);
    return status;
}

fr_status fr_cmd_tokenize(const fr_cli *cli)
{
    const char *model = NULL;
    fr_tokenizer *tokenizer = NULL;
    FR_TRY(fr_options_need(cli->ctx, cli->options, "model", &model));
    FR_TRY(fr_tokenizer_open(cli->ctx, model, &tokenizer));
    fr_status status =
        fr_options_has(cli->options, "rows")    ? tokenize_file(cli, tokenizer)
        : fr_options_has(cli->options, "jsonl") ? tokenize_lines(cli, tokenizer)
                                                : tokenize_all(cli, tokenizer);
    fr_tokenizer_close(&tokenizer);
    return status;
}
