/*
 * A row in another form becomes one of ours in place: its members are taken out and ours are put in, so that everything
 * behind fr_row_settle knows our forms alone.
 *
 *   fields                        the members that the user names; all others are left out
 *   instruction, input, output    Alpaca: the source is the instruction, and the input on a line of its own
 *   conversations                 ShareGPT: messages, human and gpt become user and assistant
 *   prompt, completion            two texts: source and target; two lists of messages: one dialogue
 *
 * The members alone show the form. A row that fits two forms is an error, because it does not say which of them is meant.
 * Of a prompt the answer may be missing.
 */
#include "train/data/row_shape.h"

#include "base/mem.h"
#include "train/data/row_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- fields -------------------------------------------------------------------------------------- */

static const char *const OWN[] = {"source",     "target",   "source_ids",
                                  "target_ids", "messages", "tools"};
enum { N_OWN = sizeof OWN / sizeof OWN[0] };

static bool names_own(const fr_row_fields *fields, const char *own)
{
    bool found = false;
    for (int i = 0; i < fields->n; i++) {
        found = found || strcmp(fields->of[i].own, own) == 0;
    }
    return found;
}

static fr_status add_field(fr_ctx *ctx, fr_row_fields *out, fr_text key, fr_text name)
{
    enum { SHOWN = 40 };
    const char *own = NULL;
    for (int i = 0; i < N_OWN; i++) {
        bool same =
            strlen(OWN[i]) == key.bytes && memcmp(OWN[i], key.data, key.bytes) == 0;
        own = same ? OWN[i] : own;
    }
    if (own == NULL || names_own(out, own)) {
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "fields has the key \"%.*s\"%s; its keys are source, target, "
                       "source_ids, target_ids, messages and tools, each at most once",
                       (int)(key.bytes < SHOWN ? key.bytes : SHOWN), key.data,
                       own != NULL ? " twice" : "");
    }
    if (name.bytes == 0 || name.bytes >= FR_FIELD_BYTES ||
        memchr(name.data, '\0', name.bytes) != NULL) {
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "fields.%s must be the name of a member of the rows, of 1 to %d "
                       "bytes",
                       own, FR_FIELD_BYTES - 1);
    }
    out->of[out->n].own = own;
    memcpy(out->of[out->n].name, name.data, name.bytes);
    out->of[out->n].name[name.bytes] = '\0';
    out->n++;
    return FR_OK;
}

static fr_status read_object(fr_ctx *ctx, json_t *object, fr_row_fields *out)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(object, key, value)
    {
        fr_text name = {"", 0};
        if (json_is_string(value)) {
            name = (fr_text){json_string_value(value), json_string_length(value)};
        }
        FR_TRY(add_field(ctx, out, (fr_text){key, strlen(key)}, name));
    }
    return FR_OK;
}

static fr_text trimmed(const char *from, size_t bytes)
{
    while (bytes > 0 && *from == ' ') {
        from++;
        bytes--;
    }
    while (bytes > 0 && from[bytes - 1] == ' ') {
        bytes--;
    }
    return (fr_text){from, bytes};
}

static fr_status read_list(fr_ctx *ctx, const char *text, fr_row_fields *out)
{
    for (const char *at = text; *at != '\0';) {
        size_t bytes = strcspn(at, ",");
        const char *equals = memchr(at, '=', bytes);
        if (equals == NULL) {
            return FR_FAIL(ctx, FR_ERR_CONFIG,
                           "fields must be OWN=NAME with commas between, e.g. "
                           "source=prompt,target=completion");
        }
        size_t key = (size_t)(equals - at);
        FR_TRY(add_field(ctx, out, trimmed(at, key),
                         trimmed(equals + 1, bytes - key - 1)));
        at += bytes + (at[bytes] == ',');
    }
    return FR_OK;
}

fr_status fr_row_fields_read(fr_ctx *ctx, const char *text, fr_row_fields *out)
{
    *out = (fr_row_fields){0};
    if (text == NULL) {
        return FR_OK;
    }
    if (text[0] == '{') {
        json_t *object = json_loads(text, 0, NULL);
        fr_status status = fr_check_memory(ctx, object != NULL, strlen(text));
        if (status == FR_OK) {
            status = read_object(ctx, object, out);
        }
        json_decref(object);
        FR_TRY(status);
    } else {
        FR_TRY(read_list(ctx, text, out));
    }
    bool text_row = names_own(out, "source") || names_own(out, "target");
    bool ids = names_own(out, "source_ids") || names_own(out, "target_ids");
    bool messages = names_own(out, "messages");
    return text_row + ids + messages == 1
               ? FR_OK
               : FR_FAIL(ctx, FR_ERR_CONFIG,
                         "fields must name the members of one form: source and target, "
                         "or source_ids and target_ids, or messages");
}

/* ---- small steps on a row -------------------------------------------------------------------------- */

static bool has(const json_t *row, const char *key)
{
    return json_object_get(row, key) != NULL;
}

/* Gives the member `key` the value; takes the value over. */
static fr_status put(const fr_row_reader *r, json_t *row, const char *key,
                     json_t *value)
{
    return fr_check_memory(r->ctx,
                           value != NULL && json_object_set_new(row, key, value) == 0,
                           sizeof *value);
}

/* Renames a member; nothing happens if the row has none of this name. */
static fr_status rename_member(const fr_row_reader *r, json_t *row, const char *from,
                               const char *to)
{
    json_t *value = json_object_get(row, from);
    if (value == NULL) {
        return FR_OK;
    }
    FR_TRY(put(r, row, to, json_incref(value)));
    (void)json_object_del(row, from);
    return FR_OK;
}

/* ---- the forms -------------------------------------------------------------------------------------- */

/* The text "INSTRUCTION" or "INSTRUCTION\nINPUT". */
static json_t *joined(const json_t *instruction, const json_t *input)
{
    size_t a = json_string_length(instruction);
    size_t b = json_string_length(input);
    char *text = malloc(a + b + 1);
    if (text == NULL) {
        return NULL;
    }
    memcpy(text, json_string_value(instruction), a);
    text[a] = '\n';
    if (b > 0) {
        memcpy(text + a + 1, json_string_value(input), b);
    }
    json_t *out = json_stringn(text, b > 0 ? a + b + 1 : a);
    free(text);
    return out;
}

static fr_status settle_alpaca(const fr_row_reader *r, json_t *row)
{
    const json_t *instruction = json_object_get(row, "instruction");
    const json_t *input = json_object_get(row, "input");
    if (!json_is_string(instruction)) {
        return FAIL_ROW(r, "\"instruction\" must be a string", "");
    }
    if (input != NULL && !json_is_string(input) && !json_is_null(input)) {
        return FAIL_ROW(r, "\"input\" must be a string", "");
    }
    FR_TRY(put(r, row, "source", joined(instruction, input)));
    (void)json_object_del(row, "instruction");
    (void)json_object_del(row, "input");
    return rename_member(r, row, "output", "target");
}

/* One turn of ShareGPT; a turn of role and content stays as it is. */
static fr_status settle_turn(const fr_row_reader *r, json_t *turn)
{
    const char *from = json_string_value(json_object_get(turn, "from"));
    if (!json_is_object(turn) || has(turn, "role") || from == NULL) {
        return FR_OK;
    }
    const char *role = strcmp(from, "human") == 0 ? "user"
                       : strcmp(from, "gpt") == 0 ? "assistant"
                                                  : from;
    FR_TRY(put(r, turn, "role", json_string(role)));
    (void)json_object_del(turn, "from");
    return rename_member(r, turn, "value", "content");
}

static fr_status settle_turns(const fr_row_reader *r, json_t *row)
{
    size_t i = 0;
    json_t *turn = NULL;
    json_array_foreach(json_object_get(row, "messages"), i, turn)
    {
        FR_TRY(settle_turn(r, turn));
    }
    return FR_OK;
}

/* Of a dialogue in two parts the completion alone is learned: answers in the prompt get the weight 0, unless they have
 * one. */
static fr_status mute_answers(const fr_row_reader *r, json_t *turns)
{
    size_t i = 0;
    json_t *turn = NULL;
    json_array_foreach(turns, i, turn)
    {
        const char *role = json_string_value(json_object_get(turn, "role"));
        if (role != NULL && strcmp(role, "assistant") == 0 && !has(turn, "weight")) {
            FR_TRY(put(r, turn, "weight", json_integer(0)));
        }
    }
    return FR_OK;
}

static fr_status settle_completion(const fr_row_reader *r, json_t *row)
{
    json_t *prompt = json_object_get(row, "prompt");
    json_t *completion = json_object_get(row, "completion");
    if (!json_is_array(prompt)) {
        FR_TRY(rename_member(r, row, "prompt", "source"));
        return rename_member(r, row, "completion", "target");
    }
    FR_TRY(mute_answers(r, prompt));
    if (r->use == FR_ROW_LEARN && !json_is_array(completion)) {
        return FAIL_ROW(r,
                        "\"prompt\" is a list of messages, so \"completion\" must be "
                        "one too",
                        "");
    }
    if (r->use == FR_ROW_LEARN) {
        FR_TRY(fr_check_memory(r->ctx, json_array_extend(prompt, completion) == 0,
                               sizeof *prompt));
    }
    (void)json_object_del(row, "completion");
    return rename_member(r, row, "prompt", "messages");
}

/* The row becomes one of the named members alone, and of "prefix" in a prompt. */
static fr_status fill_fields(const fr_row_reader *r, const json_t *row, json_t *into)
{
    enum { WHAT_BYTES = FR_FIELD_BYTES + 80 };
    for (int i = 0; i < r->fields.n; i++) {
        const char *own = r->fields.of[i].own;
        json_t *value = json_object_get(row, r->fields.of[i].name);
        bool is_answer = strncmp(own, "target", strlen("target")) == 0;
        if (value != NULL) {
            FR_TRY(put(r, into, own, json_incref(value)));
        } else if (r->use == FR_ROW_LEARN || !is_answer) {
            char what[WHAT_BYTES];
            (void)snprintf(what, sizeof what,
                           "\"%s\" is missing, which fields names as the %s",
                           r->fields.of[i].name, own);
            return FAIL_ROW(r, what, "");
        }
    }
    json_t *prefix = r->use == FR_ROW_PROMPT ? json_object_get(row, "prefix") : NULL;
    return prefix != NULL ? put(r, into, "prefix", json_incref(prefix)) : FR_OK;
}

static fr_status settle_fields(const fr_row_reader *r, json_t *row)
{
    json_t *fresh = json_object();
    FR_TRY(fr_check_memory(r->ctx, fresh != NULL, sizeof *fresh));
    fr_status status = fill_fields(r, row, fresh);
    if (status == FR_OK) {
        (void)json_object_clear(row);
        status =
            fr_check_memory(r->ctx, json_object_update(row, fresh) == 0, sizeof *fresh);
    }
    json_decref(fresh);
    return status == FR_OK ? settle_turns(r, row) : status;
}

/* ---- which form ---------------------------------------------------------------------------------------- */

/* Of a prompt the answer may be missing; members of other forms that begin alike show that it is not this form. */
static int64_t other_forms(const fr_row_reader *r, const json_t *row)
{
    bool prompt = r->use == FR_ROW_PROMPT;
    bool alpaca = has(row, "instruction") &&
                  (has(row, "output") ||
                   (prompt && !has(row, "response") && !has(row, "context")));
    bool pair = has(row, "prompt") &&
                (has(row, "completion") ||
                 (prompt && !has(row, "response") && !has(row, "chosen")));
    return (alpaca ? FR_FORM_ALPACA : 0) |
           (has(row, "conversations") ? FR_FORM_SHAREGPT : 0) |
           (pair ? FR_FORM_COMPLETION : 0);
}

/* Both uses of "target_ids" are a form too; row.c tells our own forms from each other. */
static int64_t own_form(const json_t *row)
{
    return has(row, "messages")                               ? FR_FORM_MESSAGES
           : has(row, "source_ids") || has(row, "target_ids") ? FR_FORM_IDS
           : has(row, "source") || has(row, "target")         ? FR_FORM_TEXT
                                                              : 0;
}

static const char *name_of_form(int64_t form)
{
    switch (form) {
    case FR_FORM_TEXT:
        return "source and target";
    case FR_FORM_IDS:
        return "source_ids and target_ids";
    case FR_FORM_MESSAGES:
        return "messages";
    case FR_FORM_ALPACA:
        return "instruction, input and output (Alpaca)";
    case FR_FORM_SHAREGPT:
        return "conversations (ShareGPT)";
    case FR_FORM_COMPLETION:
        return "prompt and completion";
    case FR_FORM_FIELDS:
        return "the members that `fields` names";
    case FR_FORM_LIST:
        return "a JSON list";
    case FR_FORM_CSV:
        return "a table (CSV)";
    case FR_FORM_TSV:
        return "a table (TSV)";
    default:
        return "an unknown form";
    }
}

static fr_status fail_two(const fr_row_reader *r, int64_t forms)
{
    enum { WHAT_BYTES = 256 };
    char what[WHAT_BYTES];
    int64_t first = forms & -forms;
    int64_t rest = forms - first;
    (void)snprintf(what, sizeof what,
                   "the row fits two forms: %s, and %s; say which with fields, or list "
                   "what is not meant in data.ignore (--ignore)",
                   name_of_form(first), name_of_form(rest & -rest));
    return FAIL_ROW(r, what, "");
}

fr_status fr_row_settle(fr_row_reader *r, json_t *row)
{
    if (r->fields.n > 0) {
        r->forms |= FR_FORM_FIELDS;
        return settle_fields(r, row);
    }
    int64_t other = other_forms(r, row);
    int64_t forms = other | own_form(row);
    if (other != 0 && (forms & (forms - 1)) != 0) {
        return fail_two(r, forms);
    }
    r->forms |= forms;
    if (other == FR_FORM_ALPACA) {
        return settle_alpaca(r, row);
    }
    if (other == FR_FORM_COMPLETION) {
        return settle_completion(r, row);
    }
    if (other == FR_FORM_SHAREGPT) {
        FR_TRY(rename_member(r, row, "conversations", "messages"));
        return settle_turns(r, row);
    }
    return FR_OK;
}

void fr_row_report_forms(const fr_ctx *ctx, const char *path, int64_t forms)
{
    enum { FORMS_BYTES = 512 };
    char text[FORMS_BYTES] = "";
    size_t used = 0;
    int64_t of_file = forms & (FR_FORM_LIST | FR_FORM_CSV | FR_FORM_TSV);
    int64_t left = forms & (FR_FORM_LIST - 1);
    while (left != 0 && used < sizeof text) {
        int64_t form = left & -left;
        int n = snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? "; " : "",
                         name_of_form(form));
        used += n > 0 ? (size_t)n : 0;
        left -= form;
    }
    if (used > 0) {
        fr_log(ctx, FR_LOG_INFO, "%s: %s%srows of %s", path,
               of_file != 0 ? name_of_form(of_file) : "", of_file != 0 ? " with " : "",
               text);
    }
}
