#include "model/chat.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static const char START[] = "<|im_start|>";
static const char END[] = "<|im_end|>";

/* Where a dialogue goes while it is written. */
typedef struct writer {
    fr_ctx *ctx;
    const fr_tokenizer *tokenizer;
    fr_ids *ids;
    fr_ids *counted;
} writer;

static bool is_chatml(const fr_tokenizer *tokenizer)
{
    const char *template_text = fr_tokenizer_chat_template(tokenizer);
    return template_text != NULL && strstr(template_text, START) != NULL &&
           strstr(template_text, END) != NULL &&
           fr_tokenizer_special(tokenizer, START) >= 0 &&
           fr_tokenizer_special(tokenizer, END) >= 0;
}

int32_t fr_chat_end_token(const fr_tokenizer *tokenizer)
{
    return is_chatml(tokenizer) ? fr_tokenizer_special(tokenizer, END) : -1;
}

/* Bring the flags to the number of ids. */
static fr_status mark(const writer *w, bool counted)
{
    while (w->counted->count < w->ids->count) {
        FR_TRY(fr_ids_add(w->ctx, w->counted, counted));
    }
    return FR_OK;
}

static fr_status write_text(const writer *w, const char *text, bool special,
                            bool counted)
{
    FR_TRY(
        fr_tokenizer_encode(w->ctx, w->tokenizer, text, strlen(text), special, w->ids));
    return mark(w, counted);
}

static fr_status write_special(const writer *w, const char *token, bool counted)
{
    FR_TRY(fr_ids_add(w->ctx, w->ids, fr_tokenizer_special(w->tokenizer, token)));
    return mark(w, counted);
}

/* "<|im_start|>role\n": header and content are tokenised apart, so that a turn's first counted token never
 * depends on how its text would merge with the header's line end. */
static fr_status open_turn(const writer *w, const char *role)
{
    FR_TRY(write_special(w, START, false));
    FR_TRY(write_text(w, role, false, false));
    return write_text(w, "\n", false, false);
}

static fr_status write_turn(const writer *w, const fr_message *message, bool special,
                            bool counted)
{
    FR_TRY(open_turn(w, message->role));
    FR_TRY(write_text(w, message->content, special, counted));
    FR_TRY(write_special(w, END, counted));
    return write_text(w, "\n", false, false);
}

/* Skip a line end, written out or as the two characters of a Jinja string. */
static const char *skip_line_end(const char *text)
{
    if (text[0] == '\n') {
        return text + 1;
    }
    return text[0] == '\\' && text[1] == 'n' ? text + 2 : NULL;
}

/* Copy a piece of a Jinja string, \n and \" undone. */
static void unescape(const char *from, size_t bytes, char *to)
{
    for (size_t i = 0; i < bytes; i++) {
        if (from[i] == '\\' && i + 1 < bytes) {
            i++;
            *to++ = from[i] == 'n' ? '\n' : from[i];
        } else {
            *to++ = from[i];
        }
    }
    *to = '\0';
}

/* The system message that the template writes by itself; NULL in *out if it has none. */
static fr_status default_system(const writer *w, char **out)
{
    static const char HEADER[] = "<|im_start|>system";
    const char *text = fr_tokenizer_chat_template(w->tokenizer);
    *out = NULL;
    for (const char *at = strstr(text, HEADER); at != NULL;
         at = strstr(at + 1, HEADER)) {
        const char *first = skip_line_end(at + strlen(HEADER));
        const char *end = first != NULL ? strstr(first, END) : NULL;
        /* a quote in between means that the message is an expression, not a text */
        if (end != NULL && memchr(first, '\'', (size_t)(end - first)) == NULL) {
            FR_TRY(fr_alloc(w->ctx, end - first + 1, 1, out));
            unescape(first, (size_t)(end - first), *out);
            return FR_OK;
        }
    }
    return FR_OK;
}

static fr_status check_messages(fr_ctx *ctx, const fr_message *messages, int64_t n,
                                bool open_assistant)
{
    static const char *const ROLES[] = {"system", "user", "assistant"};
    bool answered = open_assistant;
    if (n == 0) {
        return FR_FAIL(ctx, FR_ERR_DATA, "the dialogue has no messages");
    }
    for (int64_t i = 0; i < n; i++) {
        bool known = false;
        for (int r = 0; r < 3; r++) {
            known = known || strcmp(messages[i].role, ROLES[r]) == 0;
        }
        if (!known) {
            return FR_FAIL(ctx, FR_ERR_DATA,
                           "role \"%s\", allowed: system, user, assistant",
                           messages[i].role);
        }
        answered = answered || strcmp(messages[i].role, "assistant") == 0;
    }
    return answered ? FR_OK
                    : FR_FAIL(ctx, FR_ERR_DATA, "the dialogue has no assistant turn");
}

static int64_t last_assistant(const fr_message *messages, int64_t n)
{
    int64_t last = -1;
    for (int64_t i = 0; i < n; i++) {
        last = strcmp(messages[i].role, "assistant") == 0 ? i : last;
    }
    return last;
}

static fr_status write_system(const writer *w, const fr_message *first)
{
    char *text = NULL;
    if (strcmp(first->role, "system") == 0) {
        return FR_OK;
    }
    FR_TRY(default_system(w, &text));
    fr_status status = FR_OK;
    if (text != NULL) {
        fr_message message = {"system", text};
        status = write_turn(w, &message, false, false);
    }
    free(text);
    return status;
}

fr_status fr_chat_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                         const fr_message *messages, int64_t n_messages, bool last_only,
                         bool open_assistant, bool special_in_content, fr_ids *ids,
                         fr_ids *counted)
{
    writer w = {ctx, tokenizer, ids, counted};
    if (!is_chatml(tokenizer)) {
        return FR_FAIL(
            ctx, FR_ERR_UNSUPPORTED,
            "the model has no chat template in ChatML (<|im_start|>, "
            "<|im_end|>), the only one supported; use source and target rows");
    }
    FR_TRY(check_messages(ctx, messages, n_messages, open_assistant));
    FR_TRY(write_system(&w, &messages[0]));
    int64_t last = last_assistant(messages, n_messages);
    for (int64_t i = 0; i < n_messages; i++) {
        bool assistant = strcmp(messages[i].role, "assistant") == 0;
        FR_TRY(write_turn(&w, &messages[i], special_in_content,
                          assistant && (!last_only || i == last)));
    }
    return open_assistant ? open_turn(&w, "assistant") : FR_OK;
}
