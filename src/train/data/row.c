/*
 * One line becomes ids in three steps: fr_row_json_read parses it, check_keys refuses unknown members, and encode_form
 * encodes the form that its members show:
 *
 *   {"source_ids", "target_ids"}   the ids, checked against the vocabulary
 *   {"source", "target"}           text.c, by the template; with chat: row_chat.c, as a dialogue of two turns
 *   {"messages"}                   row_chat.c
 *
 * Training, evaluation, `tokenize` and the prompts of `generate` all read rows here, so a model is asked with exactly the
 * ids that it was trained with. A message names the file and line, and ends with a remedy.
 */
#include "train/data/row.h"

#include "base/mem.h"
#include "base/options.h"
#include "model/text/vocabulary.h"
#include "train/data/row_files.h"
#include "train/data/row_impl.h"
#include "train/data/row_json.h"
#include "train/data/row_lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Members that are used; "prefix" in prompts only. */
static const char *const USED[] = {"source",   "target", "source_ids", "target_ids",
                                   "messages", "tools",  "prefix",     NULL};

/* Members that are ignored: they say where a row comes from or what an earlier program made of it, and change nothing
 * about what is learned. */
static const char *const CARRIED[] = {
    "generated", "generated_ids", "id",      "_id",      "ids",       "idx",
    "index",     "uid",           "uuid",    "n",        "no",        "number",
    "line",      "row",           "tag",     "tags",     "score",     "scores",
    "note",      "notes",         "comment", "comments", "meta",      "metadata",
    "title",     "name",          "url",     "dataset",  "subset",    "split",
    "lang",      "language",      "date",    "time",     "timestamp", "references"};
static const char *const OF_BASE[] = {"base_generated", "base_ids", "base_scores"};

void fr_row_clear(fr_row *row)
{
    row->source.ids.count = 0;
    row->source.own.count = 0;
    row->source_counted.count = 0;
    row->has_unused_source = false;
    row->opens_otherwise = false;
    row->n_targets = 0;
    row->n_parts = 1;
    row->target_ends.count = 0;
    row->targets.ids.count = 0;
    row->targets.own.count = 0;
}

void fr_row_fini(fr_row *row)
{
    fr_ids_fini(&row->source.ids);
    fr_ids_fini(&row->source.own);
    fr_ids_fini(&row->source_counted);
    fr_ids_fini(&row->target_ends);
    fr_ids_fini(&row->targets.ids);
    fr_ids_fini(&row->targets.own);
}

fr_status fr_row_reader_init(fr_ctx *ctx, const fr_data_params *params, fr_row_use use,
                             fr_row_reader *out)
{
    *out = (fr_row_reader){.ctx = ctx, .params = params, .use = use};
    return params->template_text != NULL && !params->chat
               ? fr_template_parse(ctx, "template", params->template_text,
                                   &out->template_parts)
               : FR_OK;
}

bool fr_row_next_part(fr_row_reader *r, const fr_row *row)
{
    r->part = r->part + 1 < row->n_parts ? r->part + 1 : 0;
    return r->part > 0;
}

/* ---- messages about a bad row ---------------------------------------------------------------- */

fr_status fr_row_fail(const fr_row_reader *r, int source_line, const char *what,
                      const char *detail)
{
    if (r->line == 0) {
        return fr_fail_at(r->ctx, FR_ERR_DATA, __FILE__, source_line, "%s: %s%s",
                          r->params->path, what, detail);
    }
    return fr_fail_at(r->ctx, FR_ERR_DATA, __FILE__, source_line, "%s:%lld: %s%s",
                      r->params->path, (long long)r->line, what, detail);
}

static fr_place place_of(const fr_row_reader *r)
{
    return (fr_place){r->params->path, r->line};
}

/* Whether a list of names separated by commas contains this one. */
static bool lists(const char *names, const char *key)
{
    size_t bytes = strlen(key);
    while (names != NULL && *names != '\0') {
        names += strspn(names, ", ");
        size_t n = strcspn(names, ",");
        size_t trimmed = n;
        while (trimmed > 0 && names[trimmed - 1] == ' ') {
            trimmed--;
        }
        if (trimmed == bytes && bytes > 0 && memcmp(names, key, bytes) == 0) {
            return true;
        }
        names += n;
    }
    return false;
}

static bool is_among(const char *key, const char *const *names, size_t n)
{
    bool found = false;
    for (size_t i = 0; i < n && names[i] != NULL; i++) {
        found = found || strcmp(names[i], key) == 0;
    }
    return found;
}

/* `listed`: the user named the key in data.ignore. `ignored`: listed, or CARRIED or OF_BASE. */
bool fr_row_is_listed(const fr_row_reader *r, const char *key)
{
    return lists(r->params->ignore, key);
}

bool fr_row_is_ignored(const fr_row_reader *r, const char *key)
{
    return lists(r->params->ignore, key) ||
           is_among(key, CARRIED, sizeof CARRIED / sizeof CARRIED[0]) ||
           is_among(key, OF_BASE, sizeof OF_BASE / sizeof OF_BASE[0]);
}

fr_status fr_row_fail_unknown(const fr_row_reader *r, const char *of_what,
                              const char *key, const char *const *known)
{
    enum { WHAT_BYTES = 512, SHOWN = 60 };
    char what[WHAT_BYTES];
    size_t n = 0;
    while (known[n] != NULL) {
        n++;
    }
    const char *nearest = fr_nearest_word(key, known, n, sizeof known[0]);
    (void)snprintf(what, sizeof what,
                   "%s has the key \"%.*s\", which is not known%s%s%s If it does not "
                   "affect what is learned, list it in data.ignore (--ignore)",
                   of_what, SHOWN, key, nearest != NULL ? "; did you mean \"" : ".",
                   nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
    return FAIL_ROW(r, what, "");
}

/* ---- ids and their flags ---------------------------------------------------------------------- */

fr_status fr_row_flag(const fr_row_reader *r, fr_row_ids *to, bool own)
{
    while (to->own.count < to->ids.count) {
        FR_TRY(fr_ids_add(r->ctx, &to->own, own ? 1 : 0));
    }
    return FR_OK;
}

fr_status fr_row_add_bos(const fr_row_reader *r, fr_row *row)
{
    int32_t bos = fr_tokenizer_leading_bos(r->params->tokenizer);
    if (bos >= 0 && !r->params->without_bos) {
        FR_TRY(fr_ids_add(r->ctx, &row->source.ids, bos));
    }
    return fr_row_flag(r, &row->source, false);
}

/* The id to append to a target; -1: none. */
static fr_status find_eos(const fr_row_reader *r, bool own_end, int32_t *out)
{
    const fr_data_params *p = r->params;
    *out = -1;
    if (!p->eos || own_end) {
        return FR_OK;
    }
    *out = p->tokenizer != NULL ? fr_tokenizer_eos(p->tokenizer) : p->eos_id;
    return *out >= 0 ? FR_OK
                     : FAIL_ROW(r,
                                "the model's files name no end-of-sequence token; set "
                                "eos: false",
                                "");
}

fr_status fr_row_end_target(const fr_row_reader *r, fr_row *row, int64_t began,
                            bool own_end)
{
    int32_t eos = -1;
    if (row->targets.ids.count == began) {
        return FAIL_ROW(r, "the target has no tokens; remove the row", "");
    }
    FR_TRY(find_eos(r, own_end, &eos));
    if (eos >= 0) {
        FR_TRY(fr_ids_add(r->ctx, &row->targets.ids, eos));
        FR_TRY(fr_row_flag(r, &row->targets, false));
    }
    row->n_targets++;
    return fr_ids_add(r->ctx, &row->target_ends, (int32_t)row->targets.ids.count);
}

/* ---- rows of text ------------------------------------------------------------------------------- */

fr_status fr_row_need_tokenizer(const fr_row_reader *r, const char *what)
{
    enum { WHY_BYTES = 1024 };
    char why[WHY_BYTES];
    const char *reason = r->params->why_no_tokenizer;
    if (r->params->tokenizer != NULL) {
        return FR_OK;
    }
    (void)snprintf(
        why, sizeof why, "%s, but %s", what,
        reason != NULL
            ? reason
            : "the model carries no tokenizer; give source_ids and target_ids");
    return FAIL_ROW(r, why, "");
}

static fr_text text_of(const json_t *string)
{
    return string != NULL
               ? (fr_text){json_string_value(string), json_string_length(string)}
               : (fr_text){"", 0};
}

static fr_status add_text_target(const fr_row_reader *r, const json_t *text,
                                 fr_row *row)
{
    int64_t began = row->targets.ids.count;
    if (!json_is_string(text)) {
        return FAIL_ROW(r, "\"target\" must be a string or a list of strings", "");
    }
    if (json_string_length(text) == 0) {
        return FAIL_ROW(r, "\"target\" is empty; remove the row", "");
    }
    FR_TRY(fr_text_encode_target(r->ctx, r->params->tokenizer, &r->template_parts,
                                 text_of(text), r->params->special, &row->targets.ids,
                                 &row->targets.own));
    return fr_row_end_target(r, row, began, false);
}

/* A source is optional only where the template has no {source}: such rows train on targets alone. */
static fr_status check_source(const fr_row_reader *r, const json_t *source)
{
    bool asked = r->params->template_text == NULL || r->params->chat ||
                 r->template_parts.has_source;
    if (source == NULL && asked) {
        return FAIL_ROW(r, "\"source\" is missing", "");
    }
    if (source != NULL && !json_is_string(source)) {
        return FAIL_ROW(r, "\"source\" must be a string", "");
    }
    return FR_OK;
}

/* Without a template the source is the whole prompt: special tokens in it count. */
static fr_status add_source(const fr_row_reader *r, const json_t *source, fr_row *row)
{
    const fr_data_params *p = r->params;
    fr_text text = text_of(source);
    FR_TRY(check_source(r, source));
    FR_TRY(fr_row_add_bos(r, row));
    if (p->template_text == NULL) {
        FR_TRY(fr_tokenizer_encode(r->ctx, p->tokenizer, text.data, text.bytes, true,
                                   &row->source.ids));
        return fr_row_flag(r, &row->source, true);
    }
    row->has_unused_source = source != NULL && !r->template_parts.has_source;
    return fr_text_encode_source(r->ctx, p->tokenizer, &r->template_parts, text,
                                 p->special, &row->source.ids, &row->source.own);
}

static fr_status encode_text(const fr_row_reader *r, const json_t *object, fr_row *row)
{
    const json_t *source = json_object_get(object, "source");
    const json_t *target = json_object_get(object, "target");
    FR_TRY(fr_row_need_tokenizer(r, "a row of text"));
    if (r->params->chat) {
        FR_TRY(check_source(r, source));
        return fr_row_encode_turns(r, source, target, row);
    }
    if (r->params->template_text == NULL && r->use == FR_ROW_LEARN) {
        return FAIL_ROW(r,
                        "a row of text needs a template (--template), e.g. "
                        "\"{source}\\nAnswer:{target}\"",
                        "");
    }
    FR_TRY(add_source(r, source, row));
    if (r->use == FR_ROW_PROMPT) {
        return FR_OK;
    }
    if (!json_is_array(target)) {
        return add_text_target(r, target, row);
    }
    for (size_t i = 0; i < json_array_size(target); i++) {
        FR_TRY(add_text_target(r, json_array_get(target, i), row));
    }
    return FR_OK;
}

/* ---- rows of ids -------------------------------------------------------------------------------- */

static fr_status add_ids(const fr_row_reader *r, const json_t *array, const char *key,
                         fr_row_ids *to)
{
    if (array == NULL) {
        return FAIL_ROW(r, key, " is missing; it must be a list of whole numbers");
    }
    if (!json_is_array(array)) {
        return FAIL_ROW(r, key, " must be a list of whole numbers");
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        json_int_t id = json_integer_value(item);
        if (!json_is_integer(item)) {
            return FAIL_ROW(r, "token ids must be whole numbers", "");
        }
        FR_TRY(fr_vocabulary_check_id(r->ctx, place_of(r), id, r->params->vocab_size));
        FR_TRY(fr_ids_add(r->ctx, &to->ids, (int32_t)id));
    }
    return fr_row_flag(r, to, true);
}

static fr_status add_ids_target(const fr_row_reader *r, const json_t *array,
                                fr_row *row)
{
    int64_t began = row->targets.ids.count;
    FR_TRY(add_ids(r, array, "\"target_ids\"", &row->targets));
    return fr_row_end_target(r, row, began, r->params->chat);
}

static fr_status encode_ids(const fr_row_reader *r, const json_t *object, fr_row *row)
{
    const json_t *target = json_object_get(object, "target_ids");
    FR_TRY(add_ids(r, json_object_get(object, "source_ids"), "\"source_ids\"",
                   &row->source));
    if (r->use == FR_ROW_PROMPT) {
        return FR_OK;
    }
    if (json_array_size(target) == 0 || !json_is_array(json_array_get(target, 0))) {
        return add_ids_target(r, target, row);
    }
    for (size_t i = 0; i < json_array_size(target); i++) {
        FR_TRY(add_ids_target(r, json_array_get(target, i), row));
    }
    return FR_OK;
}

/* ---- the form of a row --------------------------------------------------------------------------- */

typedef enum row_form { NO_FORM, TEXT_FORM, IDS_FORM, MESSAGES_FORM } row_form;

static bool has(const json_t *object, const char *key)
{
    return json_object_get(object, key) != NULL;
}

/* A row to learn from shows its form by its target too. A prompt may have targets, which are not used. */
static fr_status find_form(const fr_row_reader *r, const json_t *object, row_form *out)
{
    bool learn = r->use == FR_ROW_LEARN;
    bool messages = has(object, "messages");
    bool ids = has(object, "source_ids") || (learn && has(object, "target_ids"));
    bool text = has(object, "source") ||
                (has(object, "target") && (learn || (!ids && !messages)));
    *out = messages ? MESSAGES_FORM : ids ? IDS_FORM : text ? TEXT_FORM : NO_FORM;
    if (text + ids + messages > 1) {
        return FAIL_ROW(r, "a row must have one form; it has ",
                        !messages ? "both text and ids: list those that are not meant "
                                    "in data.ignore (--ignore)"
                                  : "\"messages\" and another one: list what is not "
                                    "meant in data.ignore (--ignore)");
    }
    return FR_OK;
}

/* FR_ERR_DATA with the conversion if the row has a form in which other projects publish data. */
static fr_status check_foreign_form(const fr_row_reader *r, json_t *object)
{
    enum { MAX_KEYS = 64 };
    const char *keys[MAX_KEYS];
    size_t n = 0;
    for (void *at = json_object_iter(object); at != NULL && n < MAX_KEYS;
         at = json_object_iter_next(object, at)) {
        keys[n++] = json_object_iter_key(at);
    }
    const char *hint = fr_rows_form_hint(keys, n);
    return hint != NULL ? FAIL_ROW(r, hint, "") : FR_OK;
}

static fr_status check_keys(const fr_row_reader *r, json_t *object)
{
    const char *key = NULL;
    json_t *value = NULL;
    void *next = NULL;
    json_object_foreach_safe(object, next, key, value)
    {
        bool used = is_among(key, USED, sizeof USED / sizeof USED[0]);
        if (used && strcmp(key, "prefix") == 0 && r->use == FR_ROW_LEARN) {
            used = false;
        }
        if (lists(r->params->ignore, key)) {
            (void)json_object_del(object, key);
        } else if (!used && strcmp(key, "prefix") == 0) {
            return FAIL_ROW(r,
                            "the row names a \"prefix\", which only generate takes; "
                            "list it in data.ignore (--ignore)",
                            "");
        } else if (!used && !fr_row_is_ignored(r, key)) {
            FR_TRY(check_foreign_form(r, object));
            return fr_row_fail_unknown(r, "the row", key, USED);
        }
    }
    return FR_OK;
}

fr_status fr_row_parse(const fr_row_reader *r, const char *line, size_t bytes,
                       json_t **out)
{
    FR_TRY(fr_row_json_read(r->ctx, place_of(r), line, bytes, USED, out));
    fr_status status = check_keys(r, *out);
    if (status != FR_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}

static fr_status encode_form(const fr_row_reader *r, const json_t *object, fr_row *row)
{
    row_form form = NO_FORM;
    FR_TRY(find_form(r, object, &form));
    if (form == MESSAGES_FORM) {
        if (!r->params->chat && r->use == FR_ROW_LEARN) {
            return FAIL_ROW(r, "rows of \"messages\" need chat: true (--chat)", "");
        }
        return fr_row_encode_messages(r, object, row);
    }
    FR_TRY(fr_row_check_no_tools(r, object));
    if (form == IDS_FORM) {
        return encode_ids(r, object, row);
    }
    if (form == NO_FORM || (!has(object, "target") && r->use == FR_ROW_LEARN)) {
        return FAIL_ROW(
            r,
            r->use == FR_ROW_LEARN
                ? "\"target\" (or \"target_ids\" or \"messages\") is missing"
                : "a row needs \"source\", \"source_ids\" or \"messages\"",
            "");
    }
    return encode_text(r, object, row);
}

/* Every id is checked here once more, also those of the tokenizer: its vocabulary may be larger than the base's. */
static fr_status check_row(const fr_row_reader *r, const fr_row *row)
{
    int64_t max = r->params->vocab_size;
    if (row->n_targets == 0 && r->use == FR_ROW_LEARN) {
        return FAIL_ROW(r, "the row has no target", "");
    }
    FR_TRY(fr_vocabulary_check(r->ctx, place_of(r), row->source.ids.data,
                               row->source.ids.count, max));
    return fr_vocabulary_check(r->ctx, place_of(r), row->targets.ids.data,
                               row->targets.ids.count, max);
}

fr_status fr_row_encode(const fr_row_reader *r, const json_t *object, fr_row *row)
{
    fr_row_clear(row);
    fr_status status = encode_form(r, object, row);
    if (status == FR_OK) {
        status = check_row(r, row);
    }
    if (status != FR_OK) {
        row->n_parts = 1; /* a bad row is told once */
    }
    if (status == FR_ERR_DATA) {
        fr_row_add_place(r->ctx, r->params->path, r->line);
    }
    return status;
}

fr_status fr_row_read(const fr_row_reader *reader, const char *line, size_t bytes,
                      fr_row *row)
{
    json_t *object = NULL;
    fr_row_clear(row);
    FR_TRY(fr_row_parse(reader, line, bytes, &object));
    fr_status status = fr_row_encode(reader, object, row);
    json_decref(object);
    return status;
}
