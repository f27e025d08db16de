/* Rows to answer: read and parsed first (fr_prompts_read), encoded once the base's files are open
 * (fr_prompts_encode).
 *
 * The file is read whole and stays in memory, since each answer is added to its row's unchanged JSON. A parsed object
 * lives only until its row is encoded.
 *
 * Rows that cannot be used are collected by fr_bad_rows over both phases: with `stop` all of them are named before
 * the failure, with `skip` they are removed and the others move up, so that prompts->rows stays without gaps. A row
 * counts as faulty also if the prefix that it names cannot be used.
 */
#include "train/inference/prompts.h"

#include "base/file.h"
#include "base/mem.h"
#include "train/data/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char PROMPT_NAME[] = "--prompt";
enum { WHY_BYTES = 1024 };

static const char *name_of(const fr_prompts *p)
{
    return p->params.path != NULL ? p->params.path : PROMPT_NAME;
}

fr_place fr_prompts_place(const fr_prompts *prompts, int64_t i)
{
    return (fr_place){name_of(prompts), prompts->rows[i].line};
}

static void fini_row(fr_prompt *row)
{
    json_decref(row->object);
    free(row->copy);
    fr_ids_fini(&row->ids);
    *row = (fr_prompt){0};
}

void fr_prompts_fini(fr_prompts *prompts)
{
    for (int64_t i = 0; i < prompts->n; i++) {
        fini_row(&prompts->rows[i]);
    }
    free(prompts->rows);
    free(prompts->file);
    fr_bad_rows_fini(&prompts->bad);
    *prompts = (fr_prompts){0};
}

/* ---- parsing ------------------------------------------------------------------------------------ */

/* Room for one more row. */
static fr_status grow_rows(fr_prompts *p)
{
    enum { FIRST = 64 };
    if (p->n < p->capacity) {
        return FR_OK;
    }
    int64_t wanted = p->capacity == 0 ? FIRST : 2 * p->capacity;
    fr_prompt *rows = NULL;
    FR_TRY(fr_alloc(p->ctx, wanted, sizeof *rows, &rows));
    if (p->n > 0) {
        memcpy(rows, p->rows, (size_t)p->n * sizeof *rows);
    }
    free(p->rows);
    p->rows = rows;
    p->capacity = wanted;
    return FR_OK;
}

/* Appends a row; takes `object` over. The rows of a table are made as they are read, so they are copied. */
static fr_status add_row(fr_prompts *p, const fr_row_text *text, bool is_brief,
                         json_t *object)
{
    char *copy = NULL;
    fr_status status = grow_rows(p);
    if (status == FR_OK && is_brief) {
        status = fr_alloc(p->ctx, (int64_t)text->bytes, 1, &copy);
    }
    if (status != FR_OK) {
        json_decref(object);
        return status;
    }
    if (is_brief) {
        memcpy(copy, text->text, text->bytes);
    }
    p->rows[p->n++] = (fr_prompt){.line = text->line,
                                  .text = is_brief ? copy : text->text,
                                  .copy = copy,
                                  .bytes = text->bytes,
                                  .object = object};
    return FR_OK;
}

static fr_status parse_rows(fr_prompts *p, fr_row_source *source)
{
    const fr_data_params params = {
        .path = p->params.path, .ignore = p->params.ignore, .fields = p->params.fields};
    const bool is_brief = fr_row_source_is_brief(source);
    fr_row_reader reader;
    fr_row_text text = {0};
    FR_TRY(fr_row_reader_init(p->ctx, &params, FR_ROW_PROMPT, &reader));
    FR_TRY(fr_row_source_next(source, &text));
    while (text.text != NULL) {
        json_t *object = NULL;
        reader.line = text.line;
        fr_status read = text.status != FR_OK
                             ? text.status
                             : fr_row_parse(&reader, text.text, text.bytes, &object);
        FR_TRY(fr_bad_rows_add(p->ctx, &p->bad, read));
        if (read == FR_OK) {
            FR_TRY(add_row(p, &text, is_brief, object));
        }
        FR_TRY(fr_row_source_next(source, &text));
    }
    fr_row_report_forms(p->ctx, p->params.path,
                        reader.forms | fr_row_source_kind(source));
    return p->n + p->bad.n > 0
               ? FR_OK
               : FR_FAIL(p->ctx, FR_ERR_DATA, "%s is empty", p->params.path);
}

/* A prompt becomes a row, so that what follows knows only rows. json_pack fails on text that is not UTF-8. */
static fr_status read_prompt(fr_prompts *p)
{
    FR_TRY(fr_alloc(p->ctx, 1, sizeof *p->rows, &p->rows));
    p->rows[0].object = json_pack("{s:s}", "source", p->params.prompt);
    p->n = 1;
    return p->rows[0].object != NULL
               ? FR_OK
               : FR_FAIL(p->ctx, FR_ERR_ARG, "--prompt must be UTF-8 text");
}

fr_status fr_prompts_read(fr_ctx *ctx, const fr_prompts_params *params, fr_prompts *out)
{
    *out = (fr_prompts){.ctx = ctx, .params = *params};
    out->bad.skip = params->skip_bad_rows;
    if (params->path == NULL) {
        return read_prompt(out);
    }
    out->file = params->content;
    out->file_bytes = params->content_bytes;
    if (params->content == NULL) {
        FR_TRY(fr_file_read(ctx, params->path, &out->file, &out->file_bytes));
    }
    fr_row_source *source = NULL;
    FR_TRY(fr_row_source_open(ctx, params->path, out->file, out->file_bytes, &source));
    fr_status status = parse_rows(out, source);
    fr_row_source_close(&source);
    return status;
}

/* ---- encoding ----------------------------------------------------------------------------------- */

/* A row without "prefix" gets the first of the list, --prefix or the base alone. A zero within a name would cut it. */
static fr_status find_prefix(const fr_prompts *p, fr_prompt *row,
                             fr_inference *inference)
{
    const json_t *name = json_object_get(row->object, "prefix");
    row->prefix = inference->prefix;
    if (name == NULL) {
        return FR_OK;
    }
    if (!json_is_string(name) ||
        strlen(json_string_value(name)) != json_string_length(name) ||
        json_string_length(name) == 0) {
        return FR_FAIL(p->ctx, FR_ERR_DATA,
                       "%s:%lld: \"prefix\" must be a string, FILE[:TASK]", name_of(p),
                       (long long)row->line);
    }
    fr_status status =
        fr_inference_add(inference, json_string_value(name), &row->prefix);
    if (status == FR_ERR_DATA || status == FR_ERR_CHECKPOINT) {
        fr_row_add_place(p->ctx, name_of(p), row->line);
    }
    return status;
}

/* A prefix that cannot be used fails with its own status, unless rows that cannot be used are skipped. */
static fr_status as_bad_row(const fr_prompts *p, fr_status status)
{
    char why[WHY_BYTES];
    if (status != FR_ERR_CHECKPOINT || !p->bad.skip) {
        return status;
    }
    (void)snprintf(why, sizeof why, "%s", fr_ctx_error(p->ctx));
    fr_ctx_clear_error(p->ctx);
    return FR_FAIL(p->ctx, FR_ERR_DATA, "%s", why);
}

/* At least one position must be left for what is generated. */
static fr_status check_length(fr_ctx *ctx, const fr_inference_prefix *prefix, int64_t n,
                              int64_t context)
{
    if (n < 1) {
        return FR_FAIL(ctx, FR_ERR_DATA,
                       "the prompt is empty; give at least one token");
    }
    if (prefix->length + n >= context) {
        return FR_FAIL(ctx, FR_ERR_DATA,
                       "a prefix of %lld and a prompt of %lld tokens leave no space "
                       "in the context of %lld; shorten the prompt",
                       (long long)prefix->length, (long long)n, (long long)context);
    }
    return FR_OK;
}

fr_status fr_prompt_encode(fr_ctx *ctx, const fr_inference *inference,
                           const fr_inference_prefix *prefix, fr_place place,
                           const char *ignore, const json_t *object, fr_row *out)
{
    fr_row_reader reader;
    fr_data_params params = fr_inference_data(inference, prefix, place.name);
    params.ignore = ignore;
    FR_TRY(fr_row_reader_init(ctx, &params, FR_ROW_PROMPT, &reader));
    reader.line = place.line;
    FR_TRY(fr_row_encode(&reader, object, out));
    fr_status status =
        check_length(ctx, prefix, out->source.ids.count,
                     fr_weights_arch(inference->session.weights)->context_length);
    if (status != FR_OK) {
        fr_row_add_place(ctx, place.name, place.line);
    }
    return status;
}

/* Puts the system turn in front; a source becomes the user's turn behind it, if sources are dialogues. Rows of ids have no turns. */
static fr_status add_system(const fr_prompts *p, fr_prompt *row)
{
    json_t *messages = json_object_get(row->object, "messages");
    json_t *source = json_object_get(row->object, "source");
    if (messages == NULL && (source == NULL || !row->prefix->chat)) {
        fr_status status =
            FR_FAIL(p->ctx, FR_ERR_DATA,
                    "a system turn needs a dialogue: \"messages\", or a \"source\" of "
                    "text with --chat or a prefix for dialogues");
        fr_row_add_place(p->ctx, name_of(p), row->line);
        return status;
    }
    if (messages == NULL && json_is_string(source)) {
        messages = json_pack("[{s:s, s:O}]", "role", "user", "content", source);
        FR_TRY(fr_check_memory(p->ctx, messages != NULL, 1));
        bool is_set = json_object_set_new(row->object, "messages", messages) == 0 &&
                      json_object_del(row->object, "source") == 0;
        FR_TRY(fr_check_memory(p->ctx, is_set, 1));
    }
    const char *first =
        json_string_value(json_object_get(json_array_get(messages, 0), "role"));
    if (!json_is_array(messages) || (first != NULL && strcmp(first, "system") == 0)) {
        return FR_OK; /* what has another form is refused by the reader of rows */
    }
    json_t *turn =
        json_pack("{s:s, s:s}", "role", "system", "content", p->params.system);
    return fr_check_memory(
        p->ctx, turn != NULL && json_array_insert_new(messages, 0, turn) == 0, 1);
}

/* Rows that are dialogues of a prefix that was trained on single texts; the options may say so. */
static bool is_foreign_dialogue(const fr_prompt *row)
{
    const fr_inference_prefix *prefix = row->prefix;
    bool is_dialogue = json_object_get(row->object, "messages") != NULL ||
                       (prefix->chat && json_object_get(row->object, "source") != NULL);
    return is_dialogue && prefix->task != NULL && !prefix->task->chat;
}

/* One row's ids, moved out of *scratch. */
static fr_status encode_row(const fr_prompts *p, fr_prompt *row,
                            fr_inference *inference, fr_row *scratch,
                            int64_t *n_foreign)
{
    FR_TRY(find_prefix(p, row, inference));
    *n_foreign += is_foreign_dialogue(row);
    if (p->params.system != NULL) {
        FR_TRY(add_system(p, row));
    }
    FR_TRY(fr_prompt_encode(p->ctx, inference, row->prefix,
                            (fr_place){name_of(p), row->line}, p->params.ignore,
                            row->object, scratch));
    row->ids = scratch->source.ids;
    scratch->source.ids = (fr_ids){0};
    json_decref(row->object);
    row->object = NULL;
    return FR_OK;
}

/* With a template that has no {source}, `--prompt ""` leaves nothing unused. */
static bool is_no_prompt(const fr_prompts *prompts)
{
    return prompts->params.prompt != NULL && prompts->params.prompt[0] == '\0';
}

/* has_unused_source tells of rows whose text the template leaves out; they are counted and reported once. */
fr_status fr_prompts_encode(fr_prompts *prompts, fr_inference *inference)
{
    fr_row scratch = {0};
    int64_t n_kept = 0;
    int64_t n_unused = 0;
    int64_t n_foreign = 0;
    fr_status status = FR_OK;
    for (int64_t i = 0; i < prompts->n && status == FR_OK; i++) {
        fr_prompt *row = &prompts->rows[i];
        fr_status encoded = as_bad_row(
            prompts, encode_row(prompts, row, inference, &scratch, &n_foreign));
        status = fr_bad_rows_add(prompts->ctx, &prompts->bad, encoded);
        if (encoded != FR_OK) {
            fini_row(row);
            continue;
        }
        n_unused += scratch.has_unused_source && !is_no_prompt(prompts);
        fr_prompt kept = *row;
        *row = (fr_prompt){0};
        prompts->rows[n_kept++] = kept;
    }
    fr_row_fini(&scratch);
    FR_TRY(status);
    prompts->n = n_kept;
    FR_TRY(fr_bad_rows_end(prompts->ctx, &prompts->bad, name_of(prompts)));
    if (n_foreign > 0) {
        fr_log(prompts->ctx, FR_LOG_WARN,
               "%s: %lld rows are dialogues, but their prefix was trained on single "
               "texts: expect little of the answers",
               name_of(prompts), (long long)n_foreign);
    }
    fr_row_report(prompts->ctx, name_of(prompts), prompts->bad.n, n_unused);
    return n_kept > 0 ? FR_OK
                      : FR_FAIL(prompts->ctx, FR_ERR_DATA,
                                "%s: no row can be used (see above)", name_of(prompts));
}
