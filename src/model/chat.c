#include "model/chat.h"

#include "base/mem.h"
#include "model/chat_template.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the template's own system message: every row without one is tokenised with it. */
enum { MOST_SYSTEM_BYTES = 65536 };

/* One call of fr_chat_encode. */
typedef struct dialogue {
    fr_ctx *ctx;
    const fr_tokenizer *tokenizer;
    int32_t start; /* <|im_start|> */
    int32_t end;   /* <|im_end|> */
    bool special_in_content;
    fr_ids *ids;
    fr_ids *counted;
} dialogue;

/* Bring the flags in step with the ids. */
static fr_status flag(const dialogue *job, bool counted)
{
    while (job->counted->count < job->ids->count) {
        FR_TRY(fr_ids_add(job->ctx, job->counted, counted ? 1 : 0));
    }
    return FR_OK;
}

static fr_status add_marker(const dialogue *job, int32_t id, bool counted)
{
    FR_TRY(fr_ids_add(job->ctx, job->ids, id));
    return flag(job, counted);
}

static fr_status add_text(const dialogue *job, const char *text, bool special,
                          bool counted)
{
    FR_TRY(fr_tokenizer_encode(job->ctx, job->tokenizer, text, strlen(text), special,
                               job->ids));
    return flag(job, counted);
}

/* Role line and content as one text, as a rendered dialogue has them. */
static fr_status add_body(const dialogue *job, const fr_message *message)
{
    char *text = NULL;
    size_t bytes = strlen(message->role) + strlen(message->content) + 2;
    FR_TRY(fr_alloc(job->ctx, (int64_t)bytes, 1, &text));
    (void)snprintf(text, bytes, "%s\n%s", message->role, message->content);
    fr_status status = add_text(job, text, job->special_in_content, false);
    free(text);
    return status;
}

/* The role line of an assistant turn is tokenised alone: so it is when a turn is opened for generation,
 * and training must see the ids that generation continues. The two ways differ only where white space of
 * the content would join the role line's newline. */
static fr_status open_turn(const dialogue *job)
{
    FR_TRY(add_marker(job, job->start, false));
    return add_text(job, "assistant\n", false, false);
}

static bool is_assistant(const fr_message *message)
{
    return strcmp(message->role, "assistant") == 0;
}

static fr_status add_turn(const dialogue *job, const fr_message *message, bool counted)
{
    if (is_assistant(message)) {
        FR_TRY(open_turn(job));
        FR_TRY(add_text(job, message->content, job->special_in_content, counted));
    } else {
        FR_TRY(add_marker(job, job->start, false));
        FR_TRY(add_body(job, message));
    }
    FR_TRY(add_marker(job, job->end, counted));
    return add_text(job, "\n", false, false);
}

static fr_status add_default_system(const dialogue *job)
{
    const char *content = fr_tokenizer_chat_frame(job->tokenizer)->default_system;
    if (content == NULL) {
        return FR_OK;
    }
    size_t bytes = strlen(content);
    if (bytes > MOST_SYSTEM_BYTES) {
        return FR_FAIL(job->ctx, FR_ERR_UNSUPPORTED,
                       "the system message that the model's chat template brings has "
                       "%zu bytes, at most %d are supported; begin dialogues with a "
                       "system message of their own",
                       bytes, MOST_SYSTEM_BYTES);
    }
    fr_message message = {"system", content};
    return add_turn(job, &message, false);
}

static fr_status add_all(const dialogue *job, const fr_message *messages, int64_t n,
                         int64_t first_counted, bool open_assistant)
{
    if (strcmp(messages[0].role, "system") != 0) {
        FR_TRY(add_default_system(job));
    }
    for (int64_t i = 0; i < n; i++) {
        bool counted = is_assistant(&messages[i]) && i >= first_counted;
        FR_TRY(add_turn(job, &messages[i], counted));
    }
    return open_assistant ? open_turn(job) : FR_OK;
}

/* Check the roles; *last is the last assistant turn, -1 if there is none. */
static fr_status check_messages(fr_ctx *ctx, const fr_message *messages, int64_t n,
                                bool open_assistant, int64_t *last)
{
    *last = -1;
    if (n < 1) {
        return FR_FAIL(ctx, FR_ERR_DATA,
                       "a dialogue without messages; at least one is needed");
    }
    for (int64_t i = 0; i < n; i++) {
        const char *role = messages[i].role;
        if (is_assistant(&messages[i])) {
            *last = i;
        } else if (strcmp(role, "system") != 0 && strcmp(role, "user") != 0) {
            return FR_FAIL(ctx, FR_ERR_DATA,
                           "message %lld has the role '%.40s'; allowed: system, user, "
                           "assistant",
                           (long long)i + 1, role);
        }
    }
    if (*last < 0 && !open_assistant) {
        return FR_FAIL(
            ctx, FR_ERR_DATA,
            "a dialogue without an assistant turn has nothing to learn from; "
            "add a message with the role assistant");
    }
    return FR_OK;
}

int32_t fr_chat_end_token(const fr_tokenizer *tokenizer)
{
    return fr_tokenizer_chat_frame(tokenizer)->end;
}

fr_status fr_chat_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                         const fr_message *messages, int64_t n_messages, bool last_only,
                         bool open_assistant, bool special_in_content, fr_ids *ids,
                         fr_ids *counted)
{
    assert(ids->count == counted->count);
    int64_t last = -1;
    int64_t n_before = ids->count;
    dialogue job = {ctx,
                    tokenizer,
                    fr_tokenizer_chat_frame(tokenizer)->start,
                    fr_chat_end_token(tokenizer),
                    special_in_content,
                    ids,
                    counted};
    if (job.start < 0 || job.end < 0) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "the model has no ChatML template (a chat template with the "
                       "special tokens " FR_CHATML_START " and " FR_CHATML_END
                       "); give source and target with a template instead of messages");
    }
    FR_TRY(check_messages(ctx, messages, n_messages, open_assistant, &last));
    fr_status status =
        add_all(&job, messages, n_messages, last_only ? last : 0, open_assistant);
    if (status != FR_OK) {
        ids->count = n_before;
        counted->count = n_before;
    }
    return status;
}
