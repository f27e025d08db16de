/* `forerun tokenize`: the ids of texts, without the model's weights.
 *
 * There are three inputs. Without an option it is all of standard input as one text; with --jsonl one JSON string per
 * line; with --rows or --chat a file of rows, read by the same row reader as in training, so that its output is what
 * training would see. Each result is printed as soon as it is known: input that comes through a pipe may be long. A failure
 * therefore leaves the earlier lines on standard output, and the exit code says that they are not all.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/json_size.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cli/commands.h"
#include "cli/inference_options.h"
#include "model/files/where.h"
#include "model/text/tokens.h"
#include "train/data/row.h"
#include "train/data/row_lines.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fr_option OPTIONS[] = {
    {"model", "MODEL",
     "GGUF file, Hugging Face folder, or OWNER/NAME in the hub's cache (required)"},
    {"jsonl", NULL,
     "read one JSON string per line, write one JSON array of ids per line"},
    {"no-special", NULL, "treat special tokens in the text as plain text"},
    {"rows", "FILE.jsonl",
     "read rows as training does; write one row with source_ids and target_ids per "
     "line"},
    {"chat", "FILE.jsonl", "the same for rows that are dialogues in a chat template"},
    {"mask", NULL,
     "write one line for each example instead: ids, a mask with 1 for those in the "
     "loss, and the texts that are learned"},
    {"prompts", NULL, "read rows as `generate` does; write source_ids only"},
    {"template", "T",
     "template of rows of text, e.g. \"{source}\\nSynopsis:{target}\""},
    FR_CHAT_OPTIONS,
    {"last", NULL, "of a dialogue only the last answer is learned (loss: last)"},
    {"special", NULL, "recognise special tokens in the texts of rows"},
    {"no-eos", NULL, "add no end-of-sequence id to targets"},
    FR_ROW_OPTIONS,
    {NULL, NULL, NULL},
};

const fr_command FR_TOKENIZE_COMMAND = {
    "tokenize", "",  0, "print the token ids of the text on standard input, or of rows",
    OPTIONS,    NULL};

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

/* Some ids of an example, and which of them are in the loss. */
static void add_masked(json_t *ids, json_t *mask, const fr_ids *from, int64_t first,
                       int64_t end, const fr_ids *counted)
{
    for (int64_t i = first; i < end; i++) {
        bool learned = counted == NULL || (i < counted->count && counted->data[i] != 0);
        (void)json_array_append_new(ids, json_integer(from->data[i]));
        (void)json_array_append_new(mask, json_integer(learned ? 1 : 0));
    }
}

/* The texts of the runs of ids in the loss; special tokens are shown. */
static fr_status add_learned(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                             const json_t *ids, const json_t *mask, json_t *learned)
{
    size_t n = json_array_size(ids);
    fr_ids run = {0};
    fr_status status = FR_OK;
    for (size_t i = 0; i <= n && status == FR_OK; i++) {
        char *text = NULL;
        size_t bytes = 0;
        if (i < n && json_integer_value(json_array_get(mask, i)) != 0) {
            status = fr_ids_add(ctx, &run,
                                (int32_t)json_integer_value(json_array_get(ids, i)));
            continue;
        }
        if (run.count == 0) {
            continue;
        }
        status = fr_tokenizer_decode(ctx, tokenizer, run.data, run.count, false, &text,
                                     &bytes);
        if (status == FR_OK) {
            status = fr_utf8_repair(ctx, &text, &bytes, NULL);
        }
        if (status == FR_OK) {
            status = fr_check_memory(
                ctx, json_array_append_new(learned, json_stringn(text, bytes)) == 0,
                bytes);
        }
        free(text);
        run.count = 0;
    }
    fr_ids_fini(&run);
    return status;
}

/* What jansson could not add for lack of memory shows in the sizes of the lists. */
static fr_status print_example(const fr_row_reader *reader, const fr_row *row,
                               int64_t first, int64_t end)
{
    fr_ctx *ctx = reader->ctx;
    json_t *line = json_pack("{s:[], s:[], s:[]}", "ids", "mask", "learned");
    json_t *ids = json_object_get(line, "ids");
    json_t *mask = json_object_get(line, "mask");
    add_masked(ids, mask, &row->source.ids, 0, row->source.ids.count,
               &row->source_counted);
    add_masked(ids, mask, &row->targets.ids, first, end, NULL);
    size_t n = (size_t)(row->source.ids.count + end - first);
    fr_status status = fr_check_memory(
        ctx, json_array_size(ids) == n && json_array_size(mask) == n, n);
    if (status == FR_OK) {
        status = add_learned(ctx, reader->params->tokenizer, ids, mask,
                             json_object_get(line, "learned"));
    }
    if (status == FR_OK) {
        status = fr_check_memory(ctx, json_dumpf(line, stdout, 0) == 0, n);
        (void)fputc('\n', stdout);
    }
    json_decref(line);
    return status;
}

static fr_status print_masks(const fr_row_reader *reader, const fr_row *row)
{
    int64_t first = 0;
    fr_status status = FR_OK;
    for (int64_t t = 0; t < row->n_targets && status == FR_OK; t++) {
        status = print_example(reader, row, first, row->target_ends.data[t]);
        first = row->target_ends.data[t];
    }
    return status;
}

/* Reading goes on after a bad row. Without --on-error skip the end is a failure that names the bad rows together. */
static fr_status print_rows(fr_row_reader *reader, fr_bad_rows *bad,
                            fr_row_source *source, bool masks)
{
    fr_row row = {0};
    fr_row_text text = {0};
    fr_status status = fr_row_source_next(source, &text);
    while (status == FR_OK && text.text != NULL) {
        do {
            fr_status read = fr_row_read_text(reader, &text, &row);
            status = fr_bad_rows_add(reader->ctx, bad, read);
            if (read == FR_OK && masks) {
                status = print_masks(reader, &row);
            } else if (read == FR_OK) {
                print_row(&row);
            }
        } while (fr_row_next_part(reader, &row) && status == FR_OK);
        if (status == FR_OK) {
            status = fr_row_source_next(source, &text);
        }
    }
    fr_row_fini(&row);
    fr_row_report_forms(reader->ctx, reader->params->path,
                        reader->forms | fr_row_source_kind(source));
    return status == FR_OK ? fr_bad_rows_end(reader->ctx, bad, reader->params->path)
                           : status;
}

/* Which file, in which form, and for which use. */
static fr_status read_form(const fr_cli *cli, fr_data_params *params, fr_row_use *use)
{
    const fr_options *o = cli->options;
    const char *chat = fr_options_text(o, "chat");
    const char *rows = fr_options_text(o, "rows");
    *use = fr_options_has(o, "prompts") ? FR_ROW_PROMPT : FR_ROW_LEARN;
    params->path = chat != NULL ? chat : rows;
    params->chat = chat != NULL;
    if (chat != NULL && rows != NULL) {
        return FR_FAIL(cli->ctx, FR_ERR_ARG,
                       "--chat and --rows name a file each; give one of them");
    }
    if (fr_options_has(o, "mask") && *use == FR_ROW_PROMPT) {
        return FR_FAIL(
            cli->ctx, FR_ERR_ARG,
            "--mask shows what is learned, and of --prompts nothing is; give "
            "one of them");
    }
    return fr_row_options(cli->ctx, o, &params->ignore, &params->fields,
                          &params->skip_bad_rows);
}

static fr_status tokenize_rows(const fr_cli *cli, const fr_data_params *params,
                               fr_row_use use)
{
    fr_row_reader reader;
    fr_row_source *source = NULL;
    fr_map map;
    FR_TRY(fr_row_reader_init(cli->ctx, params, use, &reader));
    FR_TRY(fr_map_open(cli->ctx, params->path, &map));
    fr_bad_rows bad = {.skip = params->skip_bad_rows};
    fr_status status = fr_row_source_open(cli->ctx, params->path,
                                          (const char *)map.data, map.bytes, &source);
    if (status == FR_OK) {
        status =
            print_rows(&reader, &bad, source, fr_options_has(cli->options, "mask"));
    }
    fr_bad_rows_fini(&bad);
    fr_row_source_close(&source);
    fr_map_close(&map);
    return status;
}

static fr_status tokenize_file(const fr_cli *cli, const fr_tokenizer *tokenizer)
{
    const fr_options *o = cli->options;
    const fr_chat_source source = fr_chat_options(o);
    char *template_text = NULL;
    fr_chat *chat = NULL;
    fr_row_use use = FR_ROW_LEARN;
    fr_data_params params = {
        .tokenizer = tokenizer,
        .vocab_size = INT32_MAX, /* unlimited: the tokenizer's own files give the ids */
        .eos = !fr_options_has(o, "no-eos"),
        .eos_id = fr_tokenizer_eos(tokenizer),
        .loss_last = fr_options_has(o, "last"),
        .special = fr_options_has(o, "special")};
    FR_TRY(read_form(cli, &params, &use));
    FR_TRY(fr_template_option(cli->ctx, o, &template_text));
    params.template_text = template_text;
    fr_status status = fr_chat_source_open(cli->ctx, tokenizer, &source, &chat);
    if (status == FR_OK) {
        params.chat_template = chat;
        status = tokenize_rows(cli, &params, use);
    }
    fr_chat_close(&chat);
    free(template_text);
    return status;
}

static fr_status open_tokenizer(fr_ctx *ctx, const char *model, fr_tokenizer **out)
{
    char *path = NULL;
    FR_TRY(fr_model_find(ctx, model, FR_MODEL_HEAD, &path));
    fr_status status = fr_tokenizer_open(ctx, path, out);
    free(path);
    return status;
}

/* An option that would change nothing is a mistake. */
static fr_status check_use(const fr_cli *cli)
{
    static const char *const OF_CHATS[] = {"chat-template", "chat-arguments",
                                           "chat-clock", "last"};
    const fr_options *o = cli->options;
    for (size_t i = 0; i < sizeof OF_CHATS / sizeof OF_CHATS[0]; i++) {
        if (fr_options_has(o, OF_CHATS[i]) && !fr_options_has(o, "chat")) {
            return FR_FAIL(cli->ctx, FR_ERR_ARG,
                           "--%s is for dialogues alone; give their rows as --chat "
                           "FILE",
                           OF_CHATS[i]);
        }
    }
    if (fr_options_has(o, "mask") && !fr_options_has(o, "chat") &&
        !fr_options_has(o, "rows")) {
        return FR_FAIL(cli->ctx, FR_ERR_ARG,
                       "--mask is for rows alone; give them as --chat FILE or --rows "
                       "FILE");
    }
    if (fr_options_has(o, "template") && fr_options_has(o, "chat")) {
        return FR_FAIL(cli->ctx, FR_ERR_ARG,
                       "--template is for rows of text, and --chat says that they are "
                       "dialogues; give one of them (--chat-template for a chat's)");
    }
    return FR_OK;
}

fr_status fr_cmd_tokenize(const fr_cli *cli)
{
    const char *model = NULL;
    fr_tokenizer *tokenizer = NULL;
    FR_TRY(check_use(cli));
    FR_TRY(fr_options_need(cli->ctx, cli->options, "model", &model));
    FR_TRY(open_tokenizer(cli->ctx, model, &tokenizer));
    bool of_rows =
        fr_options_has(cli->options, "rows") || fr_options_has(cli->options, "chat");
    fr_status status = of_rows ? tokenize_file(cli, tokenizer)
                       : fr_options_has(cli->options, "jsonl")
                           ? tokenize_lines(cli, tokenizer)
                           : tokenize_all(cli, tokenizer);
    fr_tokenizer_close(&tokenizer);
    return status;
}
