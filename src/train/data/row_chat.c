/*
 * Dialogues, and rows of text as dialogues of two turns.
 *
 * fr_dialogue_encode gives a dialogue's ids, each with two flags: counted (in the loss: the assistant's turns) and own (a
 * turn's content, not its frame). The last counted run becomes the target, everything before it the source, whose
 * earlier answers stay in the loss. A prompt is encoded up to the frame that opens the assistant's turn.
 */
#include "base/mem.h"
#include "model/text/dialogue.h"
#include "train/data/row_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A dialogue as ids, each with two flags. */
typedef struct dialogue_ids {
    fr_ids ids;
    fr_ids counted;
    fr_ids own;
} dialogue_ids;

static void fini(dialogue_ids *d)
{
    fr_ids_fini(&d->ids);
    fr_ids_fini(&d->counted);
    fr_ids_fini(&d->own);
}

/* `open_assistant` ends the ids with the frame that opens an assistant's turn, as a prompt needs it. */
static fr_status encode(const fr_row_reader *r, const fr_message *messages, int64_t n,
                        bool open_assistant, dialogue_ids *out)
{
    fr_dialogue dialogue = {messages, n, r->params->loss_last, open_assistant,
                            r->params->special};
    return fr_dialogue_encode(r->ctx, r->params->tokenizer, &dialogue, &out->ids,
                              &out->counted, &out->own);
}

/* Exactly one BOS, whether the chat template writes it or the tokenizer puts it before texts; none if the tokenizer does
 * so and the prefix's own text already begins with it. */
static fr_status add_bos(const fr_row_reader *r, fr_row *row)
{
    int32_t bos = fr_tokenizer_chat_frame(r->params->tokenizer)->bos;
    if (bos < 0 || fr_tokenizer_leading_bos(r->params->tokenizer) >= 0) {
        return fr_row_add_bos(r, row);
    }
    FR_TRY(fr_ids_add(r->ctx, &row->source.ids, bos));
    return fr_row_flag(r, &row->source, false);
}

static fr_status add_source(const fr_row_reader *r, const dialogue_ids *from, int64_t n,
                            fr_row *row)
{
    /* the BOS, which was added before */
    while (row->source_counted.count < row->source.ids.count) {
        FR_TRY(fr_ids_add(r->ctx, &row->source_counted, 0));
    }
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
static fr_status add_target(const fr_row_reader *r, const dialogue_ids *from,
                            int64_t first, int64_t end, fr_row *row)
{
    int64_t began = row->targets.ids.count;
    for (int64_t i = first; i < end; i++) {
        FR_TRY(fr_ids_add(r->ctx, &row->targets.ids, from->ids.data[i]));
        FR_TRY(fr_ids_add(r->ctx, &row->targets.own, from->own.data[i]));
    }
    return fr_row_end_target(r, row, began, true);
}

/* Number of ids up to the last counted one. */
static int64_t counted_end(const dialogue_ids *d)
{
    int64_t end = d->ids.count;
    while (end > 0 && d->counted.data[end - 1] == 0) {
        end--;
    }
    return end;
}

/* The last counted run becomes the target, what precedes it the source. */
static fr_status split(const fr_row_reader *r, const dialogue_ids *d, fr_row *row)
{
    int64_t end = counted_end(d);
    int64_t first = end;
    while (first > 0 && d->counted.data[first - 1] != 0) {
        first--;
    }
    FR_TRY(add_source(r, d, first, row));
    return add_target(r, d, first, end, row);
}

/* ---- messages ----------------------------------------------------------------------------------- */

static bool is_assistant(const fr_message *message)
{
    return strcmp(message->role, "assistant") == 0;
}

/* A member that is not known may carry a meaning that would be lost, so it is refused unless the user ignores it. */
static fr_status check_keys(const fr_row_reader *r, json_t *one, const char *name)
{
    static const char *const KNOWN[] = {"role", "content", "weight", NULL};
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(one, key, value)
    {
        if (strcmp(key, KNOWN[0]) != 0 && strcmp(key, KNOWN[1]) != 0 &&
            strcmp(key, KNOWN[2]) != 0 && !fr_row_is_ignored(r, key)) {
            return fr_row_fail_unknown(r, name, key, KNOWN);
        }
    }
    return FR_OK;
}

/* "weight" of a turn: 0 keeps it out of the loss, 1 is the default. */
static fr_status read_weight(const fr_row_reader *r, const json_t *one,
                             const char *name, fr_message *message)
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
    if (is_one && !is_assistant(message)) {
        return FAIL_ROW(r, name,
                        ": \"weight\" 1 asks to learn a turn that is not the "
                        "assistant's; only those are learned");
    }
    message->skip = is_zero;
    return FR_OK;
}

/* `out` borrows its texts from the JSON value. Messages are counted from 1 in what the user reads. */
static fr_status read_message(const fr_row_reader *r, json_t *one, int64_t number,
                              fr_message *out)
{
    enum { NAME_BYTES = 48 };
    char name[NAME_BYTES];
    const json_t *role = json_object_get(one, "role");
    const json_t *content = json_object_get(one, "content");
    (void)snprintf(name, sizeof name, "message %lld", (long long)number);
    if (!json_is_string(role) || !json_is_string(content)) {
        return FAIL_ROW(r, name,
                        ": every message needs \"role\" and \"content\", both strings");
    }
    if (strlen(json_string_value(role)) != json_string_length(role)) {
        return FAIL_ROW(r, name, ": \"role\" holds a NUL character; remove it");
    }
    *out = (fr_message){.role = json_string_value(role),
                        .content = json_string_value(content),
                        .bytes = json_string_length(content)};
    FR_TRY(check_keys(r, one, name));
    return read_weight(r, one, name, out);
}

/* A prompt leaves out an answer at the end. To learn from, the last answer in the loss must not be empty. */
static fr_status check_end(const fr_row_reader *r, const fr_message *messages,
                           int64_t *n)
{
    if (r->use == FR_ROW_PROMPT && is_assistant(&messages[*n - 1])) {
        --*n;
    }
    if (r->use == FR_ROW_PROMPT && *n == 0) {
        return FAIL_ROW(r, "the dialogue holds nothing to answer", "");
    }
    for (int64_t i = *n - 1; i >= 0 && r->use == FR_ROW_LEARN; i--) {
        if (is_assistant(&messages[i]) && !messages[i].skip) {
            return messages[i].bytes > 0
                       ? FR_OK
                       : FAIL_ROW(r, "the last assistant turn is empty; remove the row",
                                  "");
        }
    }
    return FR_OK;
}

/* For a prompt the whole dialogue is the source; to learn from, it is split before its last answer. */
static fr_status encode_all(const fr_row_reader *r, const fr_message *messages,
                            int64_t n, fr_row *row)
{
    bool is_prompt = r->use == FR_ROW_PROMPT;
    dialogue_ids d = {{0}, {0}, {0}};
    FR_TRY(add_bos(r, row));
    fr_status status = encode(r, messages, n, is_prompt, &d);
    if (status == FR_OK) {
        status = is_prompt ? add_source(r, &d, d.ids.count, row) : split(r, &d, row);
    }
    fini(&d);
    return status;
}

fr_status fr_row_encode_messages(const fr_row_reader *r, const json_t *array,
                                 fr_row *row)
{
    fr_message *messages = NULL;
    int64_t n = (int64_t)json_array_size(array);
    FR_TRY(fr_row_need_tokenizer(r, "a dialogue"));
    if (!json_is_array(array)) {
        return FAIL_ROW(r, "\"messages\" must be a list of messages", "");
    }
    FR_TRY(fr_alloc(r->ctx, n, sizeof *messages, &messages));
    fr_status status = FR_OK;
    for (int64_t i = 0; i < n && status == FR_OK; i++) {
        status = read_message(r, json_array_get(array, (size_t)i), i + 1, &messages[i]);
    }
    if (status == FR_OK && n > 0) {
        status = check_end(r, messages, &n);
    }
    if (status == FR_OK) {
        status = encode_all(r, messages, n, row);
    }
    free(messages);
    return status;
}

/* ---- rows of text as dialogues ------------------------------------------------------------------- */

/* Question and answer are encoded together, as a dialogue of two turns. Its first n_source ids are those of the
 * question with the assistant's turn opened, which are the row's source already; the target begins behind them. */
static fr_status add_answer(const fr_row_reader *r, const fr_message *question,
                            const json_t *target, int64_t n_source, fr_row *row)
{
    dialogue_ids d = {{0}, {0}, {0}};
    if (!json_is_string(target) || json_string_length(target) == 0) {
        return FAIL_ROW(r,
                        json_is_string(target)
                            ? "\"target\" is empty; remove the row"
                            : "\"target\" must be a string or a list of strings",
                        "");
    }
    const fr_message turns[] = {*question,
                                {.role = "assistant",
                                 .content = json_string_value(target),
                                 .bytes = json_string_length(target)}};
    fr_status status = encode(r, turns, 2, false, &d);
    if (status == FR_OK) {
        status = add_target(r, &d, n_source, counted_end(&d), row);
    }
    fini(&d);
    return status;
}

/* The question is encoded once as the source, with the assistant's turn opened. Each target becomes an example of it,
 * as with rows in a template. */
fr_status fr_row_encode_turns(const fr_row_reader *r, const json_t *source,
                              const json_t *target, fr_row *row)
{
    const fr_message question = {.role = "user",
                                 .content = json_string_value(source),
                                 .bytes = json_string_length(source)};
    dialogue_ids d = {{0}, {0}, {0}};
    FR_TRY(add_bos(r, row));
    fr_status status = encode(r, &question, 1, true, &d);
    int64_t n_source = d.ids.count;
    if (status == FR_OK) {
        status = add_source(r, &d, n_source, row);
    }
    fini(&d);
    if (status != FR_OK || r->use == FR_ROW_PROMPT) {
        return status;
    }
    if (!json_is_array(target)) {
        return add_answer(r, &question, target, n_source, row);
    }
    for (size_t i = 0; i < json_array_size(target); i++) {
        FR_TRY(add_answer(r, &question, json_array_get(target, i), n_source, row));
    }
    return FR_OK;
}
