/* Dialogues as ids, turn by turn.
 *
 * Each turn is: start marker, role line, content, end marker, newline. The three lists (ids, counted, own) always have the same
 * length after each add_ function. An assistant's role line is encoded apart from its content, as it is when generation opens
 * a turn; the role line and content of other turns are encoded as one text, as the rendered dialogue has them. */
#include "model/text/dialogue.h"

#include "base/mem.h"
#include "model/text/chat_template.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the default system message, which every row without a system message is encoded with: far more than known templates
 * have, little enough that a hostile one does not dominate a run. */
enum { MAX_SYSTEM_BYTES = 65536 };

/* One call of fr_dialogue_encode. */
typedef struct encoding {
    fr_ctx *ctx;
    const fr_tokenizer *tokenizer;
    int32_t start; /* <|im_start|> */
    int32_t end;   /* <|im_end|> */
    bool special_in_content;
    fr_ids *ids;
    fr_ids *counted;
    fr_ids *own; /* NULL: not wanted */
} encoding;

/* Extends a list of flags to the length of the ids. */
static fr_status flag(const encoding *job, fr_ids *flags, bool value)
{
    while (flags != NULL && flags->count < job->ids->count) {
        FR_TRY(fr_ids_add(job->ctx, flags, value ? 1 : 0));
    }
    return FR_OK;
}

/* An end marker counts with its turn: the model must learn to end. Markers are never the row's own text. */
static fr_status add_marker(const encoding *job, int32_t id, bool counted)
{
    FR_TRY(fr_ids_add(job->ctx, job->ids, id));
    FR_TRY(flag(job, job->own, false));
    return flag(job, job->counted, counted);
}

/* Text of the template between markers. */
static fr_status add_words(const encoding *job, const char *words)
{
    FR_TRY(fr_tokenizer_encode(job->ctx, job->tokenizer, words, strlen(words), false,
                               job->ids));
    FR_TRY(flag(job, job->own, false));
    return flag(job, job->counted, false);
}

/* Role line and content as one text. */
static fr_status add_body(const encoding *job, const fr_message *message, bool is_own)
{
    char *text = NULL;
    size_t before = strlen(message->role) + 1;
    size_t bytes = before + message->bytes;
    int64_t first = job->ids->count;
    FR_TRY(fr_alloc(job->ctx, (int64_t)bytes + 1, 1, &text));
    (void)snprintf(text, before + 1, "%s\n", message->role);
    memcpy(text + before, message->content, message->bytes);
    fr_status status = fr_tokenizer_encode(job->ctx, job->tokenizer, text, bytes,
                                           job->special_in_content, job->ids);
    free(text);
    /* an id that begins in the role line belongs to it, though it may reach into the content */
    for (size_t at = 0; status == FR_OK && job->own != NULL && first < job->ids->count;
         first++) {
        status = fr_ids_add(job->ctx, job->own, is_own && at >= before);
        at += fr_tokenizer_token_bytes(job->tokenizer, job->ids->data[first]);
    }
    return status == FR_OK ? flag(job, job->counted, false) : status;
}

/* Encodes the role line of an assistant turn alone, as when a turn is opened for generation: training must see the ids that
 * generation continues. Encoding it with the content differs only if white space of the content would join the role line's
 * newline. */
static fr_status open_turn(const encoding *job)
{
    FR_TRY(add_marker(job, job->start, false));
    return add_words(job, "assistant\n");
}

static bool is_assistant(const fr_message *message)
{
    return strcmp(message->role, "assistant") == 0;
}

static fr_status encode_content(const encoding *job, const fr_message *message)
{
    return fr_tokenizer_encode(job->ctx, job->tokenizer, message->content,
                               message->bytes, job->special_in_content, job->ids);
}

/* The same where a content alone would get a space in front, which it has not behind its role line: both are encoded as one
 * text, and the ids of the line, which are there already, are left out. */
static fr_status continue_line(const encoding *job, const fr_message *message)
{
    static const char LINE[] = "assistant\n";
    enum { LINE_BYTES = sizeof LINE - 1 };
    char *text = NULL;
    fr_ids line = {0};
    fr_ids whole = {0};
    FR_TRY(fr_alloc(job->ctx, (int64_t)(LINE_BYTES + message->bytes), 1, &text));
    memcpy(text, LINE, LINE_BYTES);
    memcpy(text + LINE_BYTES, message->content, message->bytes);
    fr_status status =
        fr_tokenizer_encode(job->ctx, job->tokenizer, LINE, LINE_BYTES, false, &line);
    if (status == FR_OK) {
        status = fr_tokenizer_encode(job->ctx, job->tokenizer, text,
                                     LINE_BYTES + message->bytes,
                                     job->special_in_content, &whole);
    }
    bool begins =
        status == FR_OK && line.count <= whole.count &&
        memcmp(line.data, whole.data, (size_t)line.count * sizeof *line.data) == 0;
    for (int64_t i = line.count; begins && status == FR_OK && i < whole.count; i++) {
        status = fr_ids_add(job->ctx, job->ids, whole.data[i]);
    }
    if (status == FR_OK && !begins) {
        status = encode_content(job, message);
    }
    fr_ids_fini(&line);
    fr_ids_fini(&whole);
    free(text);
    return status;
}

/* Of all turns only an assistant's content and its end marker can count in the loss. */
static fr_status add_answer(const encoding *job, const fr_message *message,
                            bool counted)
{
    FR_TRY(open_turn(job));
    FR_TRY(fr_tokenizer_adds_space(job->tokenizer) ? continue_line(job, message)
                                                   : encode_content(job, message));
    FR_TRY(flag(job, job->own, true));
    return flag(job, job->counted, counted);
}

/* `is_own`: the message comes from the row, not from the template. */
static fr_status add_turn(const encoding *job, const fr_message *message, bool is_own,
                          bool counted)
{
    if (is_assistant(message)) {
        FR_TRY(add_answer(job, message, counted));
    } else {
        FR_TRY(add_marker(job, job->start, false));
        FR_TRY(add_body(job, message, is_own));
    }
    FR_TRY(add_marker(job, job->end, counted));
    return add_words(job, "\n");
}

/* What the template writes when a dialogue does not begin with a system message. */
static fr_status add_default_system(const encoding *job)
{
    const char *content = fr_tokenizer_chat_frame(job->tokenizer)->default_system;
    if (content == NULL) {
        return FR_OK;
    }
    size_t bytes = strlen(content);
    if (bytes > MAX_SYSTEM_BYTES) {
        return FR_FAIL(job->ctx, FR_ERR_UNSUPPORTED,
                       "the default system message of the model's chat template has "
                       "%zu bytes; at most %d are supported; begin dialogues with a "
                       "system message of their own",
                       bytes, MAX_SYSTEM_BYTES);
    }
    fr_message message = {"system", content, bytes, false};
    encoding as_template =
        *job; /* special tokens in a template's text are meant as such */
    as_template.special_in_content = true;
    return add_turn(&as_template, &message, false, false);
}

static fr_status add_all(const encoding *job, const fr_dialogue *dialogue,
                         int64_t first_counted)
{
    const fr_message *messages = dialogue->messages;
    if (strcmp(messages[0].role, "system") != 0) {
        FR_TRY(add_default_system(job));
    }
    for (int64_t i = 0; i < dialogue->n_messages; i++) {
        bool counted =
            is_assistant(&messages[i]) && !messages[i].skip && i >= first_counted;
        FR_TRY(add_turn(job, &messages[i], true, counted));
    }
    return dialogue->open_assistant ? open_turn(job) : FR_OK;
}

/* Checks the roles; *last is the last assistant turn that is not skipped, -1: none. */
static fr_status check_messages(fr_ctx *ctx, const fr_dialogue *dialogue, int64_t *last)
{
    int64_t n_skipped = 0;
    *last = -1;
    if (dialogue->n_messages < 1) {
        return FR_FAIL(ctx, FR_ERR_DATA,
                       "the dialogue has no messages; at least one is needed");
    }
    for (int64_t i = 0; i < dialogue->n_messages; i++) {
        const fr_message *message = &dialogue->messages[i];
        if (is_assistant(message)) {
            *last = message->skip ? *last : i;
            n_skipped += message->skip;
        } else if (strcmp(message->role, "system") != 0 &&
                   strcmp(message->role, "user") != 0) {
            return FR_FAIL(ctx, FR_ERR_DATA,
                           "message %lld has the role '%.40s'; allowed: system, user, "
                           "assistant",
                           (long long)i + 1, message->role);
        }
    }
    if (*last >= 0 || dialogue->open_assistant) {
        return FR_OK;
    }
    return n_skipped > 0
               ? FR_FAIL(
                     ctx, FR_ERR_DATA,
                     "all assistant turns of the dialogue are kept out of the loss, so "
                     "there is nothing to learn; let one of them count, or "
                     "remove the row")
               : FR_FAIL(ctx, FR_ERR_DATA,
                         "the dialogue has no assistant turn, so there is nothing to "
                         "learn; add a message with the role assistant");
}

fr_status fr_dialogue_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                             const fr_dialogue *dialogue, fr_ids *ids, fr_ids *counted,
                             fr_ids *own)
{
    /* flag() extends by length, so lists of unequal length would shift flags */
    assert(ids->count == counted->count);
    assert(own == NULL || ids->count == own->count);
    int64_t last = -1;
    int64_t n_before = ids->count;
    const fr_chat_frame *frame = fr_tokenizer_chat_frame(tokenizer);
    encoding job = {
        ctx, tokenizer, frame->start, frame->end, dialogue->special_in_content,
        ids, counted,   own};
    if (!frame->is_chatml) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED, "%s",
                       frame->refusal != NULL
                           ? frame->refusal
                           : "the model has no chat template; give source and target "
                             "with a template instead of messages");
    }
    FR_TRY(check_messages(ctx, dialogue, &last));
    FR_TRY(fr_chat_frame_check(ctx, frame, dialogue->messages, dialogue->n_messages,
                               dialogue->open_assistant));
    fr_status status = add_all(&job, dialogue, dialogue->last_only ? last : 0);
    if (status != FR_OK) {
        ids->count = n_before;
        counted->count = n_before;
        if (own != NULL) {
            own->count = n_before;
        }
    }
    return status;
}
