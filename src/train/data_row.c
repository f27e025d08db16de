#include "base/mem.h"
#include "model/chat.h"
#include "model/json_size.h"
#include "model/vocabulary.h"
#include "train/data_impl.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fr_row_clear(fr_row *row)
{
    row->source.count = 0;
    row->source_counted.count = 0;
    row->n_targets = 0;
    row->target_ends.count = 0;
    row->target_ids.count = 0;
}

void fr_row_fini(fr_row *row)
{
    fr_ids_fini(&row->source);
    fr_ids_fini(&row->source_counted);
    fr_ids_fini(&row->target_ends);
    fr_ids_fini(&row->target_ids);
}

/* "FILE:LINE: what" in one place. */
#define FAIL_ROW(reader, ...) fail_row((reader), __LINE__, __VA_ARGS__)
static fr_status fail_row(const fr_row_reader *r, int line, const char *what,
                          const char *detail)
{
    return fr_fail_at(r->ctx, FR_ERR_DATA, __FILE__, line, "%s:%lld: %s%s",
                      r->params->path, (long long)r->line, what, detail);
}

static fr_place place_of(const fr_row_reader *r)
{
    return (fr_place){r->params->path, r->line};
}

static fr_status check_ids(const fr_row_reader *r, const fr_ids *ids)
{
    return fr_vocabulary_check(r->ctx, place_of(r), ids->data, ids->count,
                               r->params->vocab_size);
}

static fr_status end_target(const fr_row_reader *r, fr_row *row, int64_t began)
{
    const fr_data_params *p = r->params;
    if (row->target_ids.count == began) {
        return FAIL_ROW(r, "the target has no tokens; remove the row", "");
    }
    if (p->eos && !p->chat) {
        int32_t eos = p->tokenizer != NULL ? fr_tokenizer_eos(p->tokenizer) : p->eos_id;
        if (eos < 0) {
            return FAIL_ROW(r,
                            "the model's files name no end-of-sequence token; set eos: "
                            "false",
                            "");
        }
        FR_TRY(fr_ids_add(r->ctx, &row->target_ids, eos));
    }
    row->n_targets++;
    return fr_ids_add(r->ctx, &row->target_ends, (int32_t)row->target_ids.count);
}

static fr_status add_text_target(const fr_row_reader *r, const json_t *text,
                                 fr_row *row)
{
    int64_t began = row->target_ids.count;
    if (!json_is_string(text)) {
        return FAIL_ROW(r, "\"target\" must be a string or a list of strings", "");
    }
    if (json_string_length(text) == 0) {
        return FAIL_ROW(r, "\"target\" is empty; remove the row", "");
    }
    FR_TRY(fr_text_encode_target(r->ctx, r->params->tokenizer, &r->template_parts,
                                 json_string_value(text), json_string_length(text),
                                 r->params->special, &row->target_ids));
    return end_target(r, row, began);
}

static const char *why_no_tokenizer(const fr_row_reader *r)
{
    const char *why = r->params->why_no_tokenizer;
    return why != NULL
               ? why
               : "the model carries no tokenizer; give source_ids and target_ids";
}

static fr_status check_text_row(const fr_row_reader *r, const json_t *source)
{
    if (r->params->tokenizer == NULL) {
        return FAIL_ROW(r, "a row of text, but ", why_no_tokenizer(r));
    }
    if (r->params->template_text == NULL) {
        return FAIL_ROW(r, "a row of text needs a template, e.g. \"{source} {target}\"",
                        "");
    }
    if (source == NULL && r->template_parts.has_source) {
        return FAIL_ROW(r, "\"source\" is missing, which the template asks for", "");
    }
    if (source != NULL && !json_is_string(source)) {
        return FAIL_ROW(r, "\"source\" must be a string", "");
    }
    return FR_OK;
}

static fr_status add_bos(const fr_row_reader *r, fr_row *row)
{
    int32_t bos = fr_tokenizer_leading_bos(r->params->tokenizer);
    return bos >= 0 && !r->params->without_bos ? fr_ids_add(r->ctx, &row->source, bos)
                                               : FR_OK;
}

static fr_status read_text_row(const fr_row_reader *r, const json_t *object,
                               fr_row *row)
{
    const json_t *source = json_object_get(object, "source");
    const json_t *target = json_object_get(object, "target");
    FR_TRY(check_text_row(r, source));
    FR_TRY(add_bos(r, row));
    FR_TRY(fr_text_encode_source(r->ctx, r->params->tokenizer, &r->template_parts,
                                 source != NULL ? json_string_value(source) : "",
                                 source != NULL ? json_string_length(source) : 0,
                                 r->params->special, &row->source));
    if (!json_is_array(target)) {
        return add_text_target(r, target, row);
    }
    for (size_t i = 0; i < json_array_size(target); i++) {
        FR_TRY(add_text_target(r, json_array_get(target, i), row));
    }
    return FR_OK;
}

static fr_status read_ids(const fr_row_reader *r, const json_t *array, fr_ids *ids)
{
    if (!json_is_array(array)) {
        return FAIL_ROW(r, "ids must be a list of whole numbers", "");
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        json_int_t id = json_integer_value(item);
        if (!json_is_integer(item)) {
            return FAIL_ROW(r, "an id is no whole number", "");
        }
        FR_TRY(fr_vocabulary_check_id(r->ctx, place_of(r), id, r->params->vocab_size));
        FR_TRY(fr_ids_add(r->ctx, ids, (int32_t)id));
    }
    return FR_OK;
}

static fr_status add_ids_target(const fr_row_reader *r, const json_t *array,
                                fr_row *row)
{
    int64_t began = row->target_ids.count;
    FR_TRY(read_ids(r, array, &row->target_ids));
    return end_target(r, row, began);
}

static fr_status read_ids_row(const fr_row_reader *r, const json_t *object, fr_row *row)
{
    const json_t *target = json_object_get(object, "target_ids");
    FR_TRY(read_ids(r, json_object_get(object, "source_ids"), &row->source));
    if (json_array_size(target) == 0 || !json_is_array(json_array_get(target, 0))) {
        return add_ids_target(r, target, row);
    }
    for (size_t i = 0; i < json_array_size(target); i++) {
        FR_TRY(add_ids_target(r, json_array_get(target, i), row));
    }
    return FR_OK;
}

/* The last counted run becomes the target, what stands before it the source. */
static fr_status split_dialogue(const fr_row_reader *r, const fr_ids *ids,
                                const fr_ids *counted, fr_row *row)
{
    int64_t end = ids->count;
    while (end > 0 && counted->data[end - 1] == 0) {
        end--;
    }
    int64_t first = end;
    while (first > 0 && counted->data[first - 1] != 0) {
        first--;
    }
    for (int64_t i = 0; i < first; i++) {
        FR_TRY(fr_ids_add(r->ctx, &row->source, ids->data[i]));
        FR_TRY(fr_ids_add(r->ctx, &row->source_counted, counted->data[i]));
    }
    for (int64_t i = first; i < end; i++) {
        FR_TRY(fr_ids_add(r->ctx, &row->target_ids, ids->data[i]));
    }
    return end_target(r, row, 0);
}

static fr_status read_messages(const fr_row_reader *r, const json_t *array,
                               fr_message *messages)
{
    bool empty = false;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *one = json_array_get(array, i);
        const json_t *text = json_object_get(one, "content");
        const char *role = json_string_value(json_object_get(one, "role"));
        const char *content = json_string_value(text);
        if (role == NULL || content == NULL) {
            return FAIL_ROW(
                r, "every message needs \"role\" and \"content\", both strings", "");
        }
        if (strlen(content) != json_string_length(text)) {
            return FAIL_ROW(r, "a message holds a NUL character; remove it", "");
        }
        messages[i] = (fr_message){role, content};
        empty = strcmp(role, "assistant") == 0 ? content[0] == '\0' : empty;
    }
    return empty ? FAIL_ROW(r, "the last assistant turn is empty; remove the row", "")
                 : FR_OK;
}

static fr_status read_chat_row(const fr_row_reader *r, const json_t *object,
                               fr_row *row)
{
    const json_t *array = json_object_get(object, "messages");
    const fr_data_params *p = r->params;
    fr_message *messages = NULL;
    fr_ids ids = {0};
    fr_ids counted = {0};
    if (p->tokenizer == NULL) {
        return FAIL_ROW(r, "a dialogue, but ", why_no_tokenizer(r));
    }
    int64_t n = (int64_t)json_array_size(array);
    FR_TRY(fr_alloc(r->ctx, n, sizeof *messages, &messages));
    fr_status status = add_bos(r, row);
    if (status == FR_OK && row->source.count > 0) {
        status = fr_ids_add(r->ctx, &row->source_counted, 0);
    }
    if (status == FR_OK) {
        status = read_messages(r, array, messages);
    }
    if (status == FR_OK) {
        status = fr_chat_encode(r->ctx, p->tokenizer, messages, n, p->loss_last, false,
                                p->special, &ids, &counted);
    }
    if (status == FR_OK) {
        status = split_dialogue(r, &ids, &counted, row);
    }
    fr_ids_fini(&ids);
    fr_ids_fini(&counted);
    free(messages);
    return status;
}

static fr_status read_object(const fr_row_reader *r, const json_t *object, fr_row *row)
{
    if (!json_is_object(object)) {
        return FAIL_ROW(r, "a row must be a JSON object", "");
    }
    if (r->params->chat && json_is_array(json_object_get(object, "messages"))) {
        return read_chat_row(r, object, row);
    }
    if (json_object_get(object, "target_ids") != NULL) {
        return read_ids_row(r, object, row);
    }
    if (r->params->chat || json_object_get(object, "messages") != NULL) {
        return FAIL_ROW(r,
                        r->params->chat ? "\"messages\" is missing or no list"
                                        : "rows of \"messages\" need chat: true",
                        "");
    }
    if (json_object_get(object, "target") == NULL) {
        return FAIL_ROW(r, "\"target\" (or \"target_ids\" or \"messages\") is missing",
                        "");
    }
    return read_text_row(r, object, row);
}

/* The tokenizer knows no lines: put this row's before what it said. */
static void add_place(const fr_row_reader *r)
{
    enum { WHY_BYTES = 1024 };
    char why[WHY_BYTES];
    size_t length = strlen(r->params->path);
    const char *said = fr_ctx_error(r->ctx);
    if (strncmp(said, r->params->path, length) != 0 || said[length] != ':') {
        (void)snprintf(why, sizeof why, "%s", said);
        fr_ctx_clear_error(r->ctx);
        (void)FAIL_ROW(r, "", why);
    }
}

fr_status fr_row_read(const fr_row_reader *reader, const char *line, size_t bytes,
                      fr_row *row)
{
    json_error_t error;
    fr_row_clear(row);
    if (!fr_json_fits(line, bytes)) {
        return FAIL_ROW(reader, FR_JSON_TOO_LARGE, "");
    }
    json_t *object =
        json_loadb(line, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (object == NULL && json_error_code(&error) == json_error_out_of_memory) {
        return fr_check_memory(reader->ctx, false, bytes);
    }
    if (object == NULL) {
        return FAIL_ROW(reader, "broken JSON: ", error.text);
    }
    fr_status status = read_object(reader, object, row);
    if (status == FR_OK && row->n_targets == 0) {
        status = FAIL_ROW(reader, "the row has no target", "");
    }
    if (status == FR_OK) {
        status = check_ids(reader, &row->source);
    }
    if (status == FR_OK) {
        status = check_ids(reader, &row->target_ids);
    }
    if (status == FR_ERR_DATA) {
        add_place(reader);
    }
    json_decref(object);
    return status;
}
