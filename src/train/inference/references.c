/* What a row expects is read from its object while that exists: after it is parsed and before it is encoded. Encoding may remove
 * further rows; a row is known again by where its text lies, since rows of a list may share a line. */
#include "train/inference/references.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* What reading one row needs. */
typedef struct reading {
    fr_ctx *ctx;
    const fr_inference *inference;
    fr_place place;
    json_t *texts; /* found so far */
    size_t bytes;
} reading;

#define FAIL_ROW(r, what)                                                              \
    FR_FAIL((r)->ctx, FR_ERR_DATA, "%s:%lld: %s", (r)->place.name,                     \
            (long long)(r)->place.line, what)

static fr_status add_text(reading *r, const char *text, size_t bytes)
{
    r->bytes += bytes;
    if (bytes > FR_REFERENCES_BYTES || r->bytes > FR_REFERENCES_BYTES) {
        return FAIL_ROW(r, "the row's targets have more than 1 MiB, which is the most "
                           "that --generate scores; remove the row");
    }
    json_t *string = json_stringn(text, bytes);
    bool good = string != NULL && json_array_append_new(r->texts, string) == 0;
    return fr_check_memory(r->ctx, good, bytes);
}

static fr_status add_string(reading *r, const json_t *string)
{
    if (!json_is_string(string)) {
        return FAIL_ROW(r, "\"target\" must be a string or a list of strings");
    }
    if (json_string_length(string) == 0) {
        return FAIL_ROW(r, "\"target\" is empty; remove the row");
    }
    return add_text(r, json_string_value(string), json_string_length(string));
}

/* ---- ids ---------------------------------------------------------------------------------------- */

static fr_status read_ids(const reading *r, const json_t *array, fr_ids *ids)
{
    int64_t vocab_size = fr_weights_arch(r->inference->session.weights)->vocab_size;
    if (!json_is_array(array) || json_array_size(array) == 0) {
        return FAIL_ROW(r, "\"target_ids\" must be a list of whole numbers");
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        json_int_t id = json_integer_value(item);
        if (!json_is_integer(item)) {
            return FAIL_ROW(r, "token ids must be whole numbers");
        }
        FR_TRY(fr_vocabulary_check_id(r->ctx, r->place, id, vocab_size));
        FR_TRY(fr_ids_add(r->ctx, ids, (int32_t)id));
    }
    return FR_OK;
}

static fr_status add_ids(reading *r, const json_t *array)
{
    fr_ids ids = {0};
    char *text = NULL;
    size_t bytes = 0;
    fr_status status = read_ids(r, array, &ids);
    if (status == FR_OK) {
        status = fr_tokenizer_decode(r->ctx, r->inference->session.tokenizer, ids.data,
                                     ids.count, true, &text, &bytes);
    }
    if (status == FR_OK) {
        status = fr_utf8_repair(r->ctx, &text, &bytes, NULL);
    }
    if (status == FR_OK) {
        status = add_text(r, text, bytes);
    }
    free(text);
    fr_ids_fini(&ids);
    return status;
}

/* ---- dialogues ---------------------------------------------------------------------------------- */

/* Content in parts: the texts among them, one after another. */
static fr_status add_parts(reading *r, const json_t *parts)
{
    char *whole = NULL;
    size_t bytes = 0;
    size_t i = 0;
    json_t *part = NULL;
    json_array_foreach(parts, i, part)
    {
        bytes += json_string_length(json_object_get(part, "text"));
    }
    FR_TRY(fr_alloc(r->ctx, (int64_t)bytes, 1, &whole));
    bytes = 0;
    json_array_foreach(parts, i, part)
    {
        const json_t *text = json_object_get(part, "text");
        if (json_string_length(text) > 0) {
            memcpy(whole + bytes, json_string_value(text), json_string_length(text));
            bytes += json_string_length(text);
        }
    }
    fr_status status = add_text(r, whole, bytes);
    free(whole);
    return status;
}

static fr_status add_answer(reading *r, const json_t *messages)
{
    size_t n = json_array_size(messages);
    const json_t *last = n > 0 ? json_array_get(messages, n - 1) : NULL;
    const json_t *content = json_object_get(last, "content");
    const char *role = json_string_value(json_object_get(last, "role"));
    if (role == NULL || strcmp(role, "assistant") != 0) {
        return FAIL_ROW(r, "the last of \"messages\" is not an assistant's, with which "
                           "--generate could compare an answer; remove the row");
    }
    if (json_is_array(content)) {
        return add_parts(r, content);
    }
    if (!json_is_string(content) || json_string_length(content) == 0) {
        return FAIL_ROW(r,
                        "the last of \"messages\" has no text, with which --generate "
                        "could compare an answer; remove the row");
    }
    return add_text(r, json_string_value(content), json_string_length(content));
}

/* ---- rows --------------------------------------------------------------------------------------- */

static bool is_list_of_lists(const json_t *list)
{
    return json_is_array(json_array_get(list, 0));
}

static fr_status read_row(reading *r, const json_t *object)
{
    const json_t *messages = json_object_get(object, "messages");
    const json_t *target = json_object_get(object, "target");
    bool ids = json_object_get(object, "source_ids") != NULL;
    if (messages != NULL) {
        return add_answer(r, messages);
    }
    const json_t *found = ids ? json_object_get(object, "target_ids") : target;
    bool many = ids ? is_list_of_lists(found) : json_is_array(found);
    if (found == NULL) {
        return FAIL_ROW(r,
                        ids ? "\"target_ids\" is missing: there is nothing with which "
                              "--generate could compare an answer"
                            : "\"target\" is missing: there is nothing with which "
                              "--generate could compare an answer");
    }
    if (many && json_array_size(found) == 0) {
        return FAIL_ROW(r, "the row has no target");
    }
    for (size_t i = 0; i < (many ? json_array_size(found) : 1); i++) {
        const json_t *one = many ? json_array_get(found, i) : found;
        FR_TRY(ids ? add_ids(r, one) : add_string(r, one));
    }
    return FR_OK;
}

static void drop_row(fr_prompt *row)
{
    json_decref(row->object);
    *row = (fr_prompt){0};
}

/* A row whose references cannot be used is no longer in the list. */
static fr_status read_all(fr_prompts *prompts, const fr_inference *inference,
                          fr_reference_list *out)
{
    int64_t n_kept = 0;
    int64_t n = prompts->n;
    for (int64_t i = 0; i < n; i++) {
        fr_prompt row = prompts->rows[i];
        reading r = {.ctx = prompts->ctx,
                     .inference = inference,
                     .place = fr_prompts_place(prompts, i),
                     .texts = json_array()};
        fr_status status = fr_check_memory(r.ctx, r.texts != NULL, 1);
        if (status == FR_OK) {
            status = read_row(&r, row.object);
        }
        prompts->rows[i] = (fr_prompt){0};
        if (status == FR_OK) {
            prompts->rows[n_kept++] = row;
            out->rows[out->n++] = (fr_references){row.text, r.texts};
        } else {
            drop_row(&row);
            json_decref(r.texts);
        }
        status = fr_bad_rows_add(prompts->ctx, &prompts->bad, status);
        if (status != FR_OK) { /* the rows behind stay where they are: zeros between */
            return status;
        }
    }
    prompts->n = n_kept;
    return FR_OK;
}

fr_status fr_references_read(fr_prompts *prompts, const fr_inference *inference,
                             int64_t max_rows, fr_reference_list *out)
{
    *out = (fr_reference_list){0};
    if (inference->session.tokenizer == NULL) {
        return FR_FAIL(prompts->ctx, FR_ERR_UNSUPPORTED,
                       "%s has no tokenizer that can be used, and --generate compares "
                       "texts",
                       inference->params->model);
    }
    while (max_rows > 0 && prompts->n > max_rows) {
        drop_row(&prompts->rows[--prompts->n]);
    }
    FR_TRY(fr_alloc(prompts->ctx, prompts->n, sizeof *out->rows, &out->rows));
    return read_all(prompts, inference, out);
}

/* Both lists have the order of the file. */
void fr_references_follow(fr_reference_list *list, const fr_prompts *prompts)
{
    int64_t n_kept = 0;
    for (int64_t i = 0; i < list->n; i++) {
        fr_references one = list->rows[i];
        list->rows[i] = (fr_references){0};
        if (n_kept < prompts->n && prompts->rows[n_kept].text == one.row) {
            list->rows[n_kept++] = one;
        } else {
            json_decref(one.texts);
        }
    }
    list->n = n_kept;
}

void fr_references_fini(fr_reference_list *list)
{
    for (int64_t i = 0; i < list->n; i++) {
        json_decref(list->rows[i].texts);
    }
    free(list->rows);
    *list = (fr_reference_list){0};
}
