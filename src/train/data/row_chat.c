/*
 * Dialogues, and rows of text as dialogues of two turns.
 *
 * fr_dialogue_encode gives a dialogue's ids, each with two flags: counted (in the loss: the assistant's turns) and own (a
 * turn's content, not what the template writes around it). The last counted run becomes the target, everything before it
 * the source, whose earlier answers stay in the loss. A prompt is encoded up to what opens the assistant's turn.
 */
#include "base/mem.h"
#include "model/text/dialogue.h"
#include "train/data/row_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Moves all ids of a list by `by`, 1 or -1 places; what comes in front is 0. */
static fr_status shift(const fr_row_reader *r, fr_ids *list, int by)
{
    if (by > 0) {
        FR_TRY(fr_ids_add(r->ctx, list, 0));
        memmove(list->data + 1, list->data,
                (size_t)(list->count - 1) * sizeof *list->data);
        list->data[0] = 0;
        return FR_OK;
    }
    list->count--;
    memmove(list->data, list->data + 1, (size_t)list->count * sizeof *list->data);
    return FR_OK;
}

/* Exactly one BOS, whether the template writes it or the tokenizer puts it before texts; none if the tokenizer does so and the
 * prefix's own text already begins with it. */
static fr_status settle_bos(const fr_row_reader *r, fr_dialogue_ids *d)
{
    int32_t bos = fr_tokenizer_leading_bos(r->params->tokenizer);
    bool has = d->ids.count > 0 && d->ids.data[0] == bos;
    if (bos < 0 || has == !r->params->without_bos) {
        return FR_OK;
    }
    int by = has ? -1 : 1;
    FR_TRY(shift(r, &d->ids, by));
    FR_TRY(shift(r, &d->counted, by));
    FR_TRY(shift(r, &d->own, by));
    if (!has) {
        d->ids.data[0] = bos;
    }
    return FR_OK;
}

/* How dialogues are written; not without a tokenizer. */
static const fr_chat *chat_of(const fr_row_reader *r)
{
    return r->params->chat_template != NULL ? r->params->chat_template
                                            : fr_tokenizer_chat(r->params->tokenizer);
}

/* `open_assistant` ends the ids with what opens an answer, as a prompt needs it. `skip` may be NULL. */
static fr_status encode(const fr_row_reader *r, const fr_chat_said *said,
                        const bool *skip, bool open_assistant, fr_dialogue_ids *out)
{
    const fr_dialogue dialogue = {.messages = said->messages,
                                  .tools = said->tools,
                                  .chat = chat_of(r),
                                  .skip = skip,
                                  .last_only = r->params->loss_last,
                                  .open_assistant = open_assistant,
                                  .special_in_content = r->params->special,
                                  .part = r->part};
    FR_TRY(fr_dialogue_encode(r->ctx, r->params->tokenizer, &dialogue, out));
    return settle_bos(r, out);
}

static fr_status add_source(const fr_row_reader *r, const fr_dialogue_ids *from,
                            int64_t n, fr_row *row)
{
    for (int64_t i = 0; i < n; i++) {
        FR_TRY(fr_ids_add(r->ctx, &row->source.ids, from->ids.data[i]));
        /* Answers in the loss are not cut: half an answer would be learned as a whole one. */
        bool own = from->own.data[i] != 0 && from->counted.data[i] == 0;
        FR_TRY(fr_ids_add(r->ctx, &row->source.own, own ? 1 : 0));
        FR_TRY(fr_ids_add(r->ctx, &row->source_counted, from->counted.data[i]));
    }
    return FR_OK;
}

/* All ids of a target are in the loss, so they need no flags; `own` says which may be cut. */
static fr_status add_target(const fr_row_reader *r, const fr_dialogue_ids *from,
                            int64_t first, int64_t end, fr_row *row)
{
    int64_t began = row->targets.ids.count;
    for (int64_t i = first; i < end; i++) {
        FR_TRY(fr_ids_add(r->ctx, &row->targets.ids, from->ids.data[i]));
        FR_TRY(fr_ids_add(r->ctx, &row->targets.own, from->own.data[i]));
    }
    return fr_row_end_target(r, row, began, true);
}

/* The last run of counted ids: from *first up to *end. */
static void last_run(const fr_dialogue_ids *d, int64_t *first, int64_t *end)
{
    *end = d->ids.count;
    while (*end > 0 && d->counted.data[*end - 1] == 0) {
        --*end;
    }
    *first = *end;
    while (*first > 0 && d->counted.data[*first - 1] != 0) {
        --*first;
    }
}

/* The last counted run becomes the target, what precedes it the source. */
static fr_status split(const fr_row_reader *r, const fr_dialogue_ids *d, fr_row *row)
{
    int64_t first = 0;
    int64_t end = 0;
    last_run(d, &first, &end);
    FR_TRY(add_source(r, d, first, row));
    return add_target(r, d, first, end, row);
}

/* ---- messages ----------------------------------------------------------------------------------- */

static bool is_assistant(const json_t *message)
{
    return strcmp(json_string_value(json_object_get(message, "role")), "assistant") ==
           0;
}

/* A member whose name the template does not hold would be lost, so it is refused unless the user ignores it. */
static fr_status check_keys(const fr_row_reader *r, json_t *one, const char *name)
{
    static const char *const KNOWN[] = {"role", "content", "weight", NULL};
    const char *template = fr_chat_text(chat_of(r));
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(one, key, value)
    {
        bool known =
            strcmp(key, KNOWN[0]) == 0 || strcmp(key, KNOWN[1]) == 0 ||
            strcmp(key, KNOWN[2]) == 0 ||
            (key[0] != '\0' && template != NULL && strstr(template, key) != NULL);
        if (!known && !fr_row_is_ignored(r, key)) {
            return fr_row_fail_unknown(r, name, key, KNOWN);
        }
    }
    return FR_OK;
}

/* A role that no template knows is a slip of the pen, which most templates would write without a word. */
static fr_status check_role(const fr_row_reader *r, const json_t *role,
                            const char *name)
{
    enum { WHAT_BYTES = 256 };
    static const char *const KNOWN[] = {"system", "user", "assistant"};
    char what[WHAT_BYTES];
    const char *template = fr_chat_text(chat_of(r));
    const char *text = json_string_value(role);
    if (strlen(text) != json_string_length(role)) {
        return FAIL_ROW(r, name, ": \"role\" holds a NUL character; remove it");
    }
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++) {
        if (strcmp(text, KNOWN[i]) == 0) {
            return FR_OK;
        }
    }
    if (text[0] != '\0' && template != NULL && strstr(template, text) != NULL) {
        return FR_OK;
    }
    (void)snprintf(
        what, sizeof what,
        "%s has the role '%.40s'; allowed: system, user, assistant, and those "
        "that the chat template names",
        name, text);
    return FAIL_ROW(r, what, "");
}

/* "weight" of a turn: 0 keeps it out of the loss, 1 is the default. */
static fr_status read_weight(const fr_row_reader *r, const json_t *one,
                             const char *name, bool *skip)
{
    const json_t *weight = json_object_get(one, "weight");
    double value = json_number_value(weight);
    bool is_zero = json_is_number(weight) && !(value > 0.0) && !(value < 0.0);
    bool is_one = json_is_number(weight) && !(value > 1.0) && !(value < 1.0);
    if (weight == NULL || fr_row_is_listed(r, "weight")) {
        return FR_OK;
    }
    if (!is_zero && !is_one) {
        return FAIL_ROW(r, name, ": \"weight\" must be 0 or 1");
    }
    if (is_one && !is_assistant(one)) {
        return FAIL_ROW(r, name,
                        ": \"weight\" 1 asks to learn a turn that is not the "
                        "assistant's; only those are learned");
    }
    *skip = is_zero;
    return FR_OK;
}

/* A content may be left out where a message holds something else, such as calls of tools. Messages are counted from 1 in what the
 * user reads. */
static fr_status read_message(const fr_row_reader *r, json_t *one, int64_t number,
                              bool *skip)
{
    enum { NAME_BYTES = 48 };
    char name[NAME_BYTES];
    const json_t *role = json_object_get(one, "role");
    const json_t *content = json_object_get(one, "content");
    (void)snprintf(name, sizeof name, "message %lld", (long long)number);
    bool is_whole =
        json_is_string(content) || json_is_array(content) ||
        (json_object_size(one) > 1 && (content == NULL || json_is_null(content)) &&
         json_object_get(one, "tool_calls") != NULL);
    if (!json_is_string(role) || !is_whole) {
        return FAIL_ROW(r, name,
                        ": every message needs \"role\" and \"content\", both strings");
    }
    FR_TRY(check_role(r, role, name));
    FR_TRY(check_keys(r, one, name));
    return read_weight(r, one, name, skip);
}

static bool is_empty(const json_t *message)
{
    const json_t *content = json_object_get(message, "content");
    return json_is_string(content) && json_string_length(content) == 0 &&
           json_object_get(message, "tool_calls") == NULL;
}

/* To learn from, the last answer in the loss must not be empty. */
static fr_status check_end(const fr_row_reader *r, const json_t *array,
                           const bool *skip)
{
    for (size_t i = json_array_size(array); i > 0; i--) {
        const json_t *message = json_array_get(array, i - 1);
        if (is_assistant(message) && !skip[i - 1]) {
            return is_empty(message)
                       ? FAIL_ROW(r, "the last assistant turn is empty; remove the row",
                                  "")
                       : FR_OK;
        }
    }
    return FR_OK;
}

/* A prompt leaves out an answer at the end; the whole dialogue is its source. */
static fr_status encode_prompt(const fr_row_reader *r, const fr_chat_said *said,
                               const bool *skip, fr_row *row)
{
    fr_dialogue_ids d = {0};
    json_t *asked = json_copy(said->messages);
    size_t n = json_array_size(asked);
    FR_TRY(fr_check_memory(r->ctx, asked != NULL, sizeof *asked));
    if (n > 0 && is_assistant(json_array_get(asked, n - 1))) {
        (void)json_array_remove(asked, n - 1);
    }
    fr_status status =
        n > 0 && json_array_size(asked) == 0
            ? FAIL_ROW(r, "the dialogue holds nothing to answer", "")
            : encode(r, &(fr_chat_said){asked, said->tools}, skip, true, &d);
    if (status == FR_OK) {
        status = add_source(r, &d, d.ids.count, row);
    }
    fr_dialogue_ids_fini(&d);
    json_decref(asked);
    return status;
}

/* To learn from, a dialogue is split before its last answer. */
static fr_status encode_lesson(const fr_row_reader *r, const fr_chat_said *said,
                               const bool *skip, fr_row *row)
{
    fr_dialogue_ids d = {0};
    FR_TRY(check_end(r, said->messages, skip));
    fr_status status = encode(r, said, skip, false, &d);
    if (status == FR_OK) {
        row->n_parts = d.n_parts;
        row->opens_otherwise = d.opens_otherwise;
        status = split(r, &d, row);
    }
    fr_dialogue_ids_fini(&d);
    return status;
}

fr_status fr_row_check_no_tools(const fr_row_reader *r, const json_t *object)
{
    const json_t *tools = json_object_get(object, "tools");
    return tools == NULL || json_is_null(tools)
               ? FR_OK
               : FAIL_ROW(r,
                          "only a row of \"messages\" may have \"tools\"; write it as "
                          "messages, or list tools in data.ignore (--ignore)",
                          "");
}

/* The row's own tools replace those of the config. */
static fr_status read_tools(const fr_row_reader *r, json_t *tools, json_t **out)
{
    const char *template = fr_chat_text(chat_of(r));
    *out = json_is_null(tools) ? NULL : tools;
    if (*out != NULL && !json_is_array(tools)) {
        return FAIL_ROW(r, "\"tools\" must be a list of descriptions of tools", "");
    }
    if (*out != NULL && template != NULL && strstr(template, "tools") == NULL) {
        return FAIL_ROW(r,
                        "the row has \"tools\", which the chat template does not "
                        "read; give another template (chat.template), or list "
                        "it in data.ignore (--ignore)",
                        "");
    }
    return FR_OK;
}

fr_status fr_row_encode_messages(const fr_row_reader *r, const json_t *object,
                                 fr_row *row)
{
    bool *skip = NULL;
    fr_chat_said said = {json_object_get(object, "messages"), NULL};
    int64_t n = (int64_t)json_array_size(said.messages);
    FR_TRY(fr_row_need_tokenizer(r, "a dialogue"));
    if (!json_is_array(said.messages)) {
        return FAIL_ROW(r, "\"messages\" must be a list of messages", "");
    }
    FR_TRY(read_tools(r, json_object_get(object, "tools"), &said.tools));
    FR_TRY(fr_alloc(r->ctx, n + 1, sizeof *skip, &skip));
    fr_status status = FR_OK;
    for (int64_t i = 0; i < n && status == FR_OK; i++) {
        status =
            read_message(r, json_array_get(said.messages, (size_t)i), i + 1, &skip[i]);
    }
    if (status == FR_OK) {
        status = r->use == FR_ROW_PROMPT ? encode_prompt(r, &said, skip, row)
                                         : encode_lesson(r, &said, skip, row);
    }
    free(skip);
    return status;
}

/* ---- rows of text as dialogues ------------------------------------------------------------------- */

/* Question and answer are a dialogue of two turns. What stands before the answer is the row's source, which all its targets share:
 * the first gives it, the others must have the same. */
static fr_status add_answer(const fr_row_reader *r, const json_t *source,
                            const json_t *target, fr_row *row)
{
    fr_dialogue_ids d = {0};
    int64_t first = 0;
    int64_t end = 0;
    if (!json_is_string(target) || json_string_length(target) == 0) {
        return FAIL_ROW(r,
                        json_is_string(target)
                            ? "\"target\" is empty; remove the row"
                            : "\"target\" must be a string or a list of strings",
                        "");
    }
    json_t *turns = json_pack("[{s:s, s:O}, {s:s, s:O}]", "role", "user", "content",
                              source, "role", "assistant", "content", target);
    FR_TRY(fr_check_memory(r->ctx, turns != NULL, sizeof *turns));
    fr_status status = encode(r, &(fr_chat_said){turns, NULL}, NULL, false, &d);
    if (status == FR_OK) {
        row->opens_otherwise = row->opens_otherwise || d.opens_otherwise;
        last_run(&d, &first, &end);
        status = row->n_targets == 0 ? add_source(r, &d, first, row) : FR_OK;
    }
    bool shared = status != FR_OK || (row->source.ids.count == first &&
                                      memcmp(row->source.ids.data, d.ids.data,
                                             (size_t)first * sizeof *d.ids.data) == 0);
    if (!shared) {
        status = FAIL_ROW(r,
                          "the chat template writes the source otherwise for another "
                          "target; give each target a row of its own",
                          "");
    }
    if (status == FR_OK) {
        status = add_target(r, &d, first, end, row);
    }
    fr_dialogue_ids_fini(&d);
    json_decref(turns);
    return status;
}

/* Each target becomes an example of the same source, as with rows in a template. */
fr_status fr_row_encode_turns(const fr_row_reader *r, const json_t *source,
                              const json_t *target, fr_row *row)
{
    if (r->use == FR_ROW_PROMPT) {
        json_t *question = json_pack("[{s:s, s:O}]", "role", "user", "content", source);
        FR_TRY(fr_check_memory(r->ctx, question != NULL, sizeof *question));
        fr_status status = encode_prompt(r, &(fr_chat_said){question, NULL}, NULL, row);
        json_decref(question);
        return status;
    }
    if (!json_is_array(target)) {
        return add_answer(r, source, target, row);
    }
    for (size_t i = 0; i < json_array_size(target); i++) {
        FR_TRY(add_answer(r, source, json_array_get(target, i), row));
    }
    return FR_OK;
}
