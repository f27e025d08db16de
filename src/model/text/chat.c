/* A chat template: parsed once, rendered for any dialogue. Why it cannot be parsed is kept until it is needed. */
#include "model/text/chat.h"

#include "base/date.h"
#include "base/json_object.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WHY_BYTES = 2048
}; /* of a reason: more than an error of the interpreter and the remedy take */

struct fr_chat {
    char *text;        /* NULL: none */
    char *arguments;   /* NULL: none */
    json_t *variables; /* the arguments; NULL: none */
    char *clock;       /* NULL: none */
    struct tm now;     /* of the clock */
    fr_jinja *jinja;   /* NULL: none, or it is refused */
    char *refusal;     /* NULL: not refused */
    char *bos_token;   /* NULL: not named */
    char *eos_token;
};

static const char REMEDY[] =
    "give source and target with a template instead of messages";

static fr_status refuse(fr_ctx *ctx, fr_chat *chat)
{
    char why[WHY_BYTES];
    (void)snprintf(why, sizeof why, "%s", fr_ctx_error(ctx));
    fr_ctx_clear_error(ctx);
    return fr_copy_string(ctx, why, &chat->refusal);
}

/* ---- settings ----------------------------------------------------------------------------- */

/* The variables that every rendering sets itself. */
static bool is_reserved(const char *name)
{
    return strcmp(name, "messages") == 0 || strcmp(name, "add_generation_prompt") == 0;
}

static bool is_of_a_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || ((unsigned char)c & 0x80U) != 0;
}

/* Whether the template holds the name as a whole word. */
static bool names(const char *text, const char *name)
{
    size_t bytes = strlen(name);
    const char *at = bytes > 0 ? strstr(text, name) : NULL;
    while (at != NULL &&
           ((at > text && is_of_a_name(at[-1])) || is_of_a_name(at[bytes]))) {
        at = strstr(at + 1, name);
    }
    return at != NULL;
}

/* An argument that the template never names would be lost without a word; most such names are misspelled. */
static fr_status check_names(fr_ctx *ctx, const fr_chat *chat)
{
    enum { SHOWN = 60 };
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(chat->variables, name, value)
    {
        if (is_reserved(name)) {
            return FR_FAIL(ctx, FR_ERR_CONFIG,
                           "the arguments of the chat template must not set %s, which "
                           "each dialogue sets itself; remove it",
                           name);
        }
        if (chat->jinja != NULL && !names(chat->text, name)) {
            return FR_FAIL(ctx, FR_ERR_CONFIG,
                           "the chat template does not read the argument '%.*s'; "
                           "correct its name, or leave it out (chat.arguments, "
                           "--chat-arguments)",
                           SHOWN, name);
        }
    }
    return FR_OK;
}

static fr_status set_clock(fr_ctx *ctx, const char *clock, fr_chat *chat)
{
    enum { SHOWN = 40 };
    if (clock == NULL) {
        return FR_OK;
    }
    if (!fr_date_read(clock, &chat->now)) {
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "the clock of the chat template is '%.*s', but must "
                       "be " FR_DATE_FORM,
                       SHOWN, clock);
    }
    return fr_copy_string(ctx, clock, &chat->clock);
}

static fr_status set_arguments(fr_ctx *ctx, const char *arguments, fr_chat *chat)
{
    if (arguments == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_json_object_read(ctx, "the arguments of the chat template", arguments,
                               &chat->variables));
    FR_TRY(fr_json_object_write(ctx, chat->variables, &chat->arguments));
    return strlen(chat->arguments) <= FR_CHAT_ARGUMENTS_BYTES
               ? FR_OK
               : FR_FAIL(ctx, FR_ERR_CONFIG,
                         "the arguments of the chat template have %zu bytes, must have "
                         "at most %d; shorten them",
                         strlen(chat->arguments), FR_CHAT_ARGUMENTS_BYTES);
}

static fr_status fill(fr_ctx *ctx, const fr_chat_settings *settings,
                      const fr_chat_names *names, fr_chat *chat)
{
    const char *text = settings->template_text;
    FR_TRY(fr_copy_optional(ctx, text, &chat->text));
    FR_TRY(fr_copy_optional(ctx, names->bos_token, &chat->bos_token));
    FR_TRY(fr_copy_optional(ctx, names->eos_token, &chat->eos_token));
    FR_TRY(set_clock(ctx, settings->clock, chat));
    FR_TRY(set_arguments(ctx, settings->arguments, chat));
    fr_status status = FR_OK;
    if (text != NULL) {
        status = fr_jinja_parse(ctx, text, strlen(text), &chat->jinja);
    }
    FR_TRY(status == FR_ERR_UNSUPPORTED ? refuse(ctx, chat) : status);
    return check_names(ctx, chat);
}

fr_status fr_chat_open(fr_ctx *ctx, const fr_chat_settings *settings,
                       const fr_chat_names *names, fr_chat **out)
{
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    fr_status status = fill(ctx, settings, names, *out);
    if (status != FR_OK) {
        fr_chat_close(out);
    }
    return status;
}

void fr_chat_close(fr_chat **chat)
{
    fr_chat *closed = *chat;
    if (closed != NULL) {
        fr_jinja_destroy(&closed->jinja);
        json_decref(closed->variables);
        free(closed->text);
        free(closed->arguments);
        free(closed->clock);
        free(closed->refusal);
        free(closed->bos_token);
        free(closed->eos_token);
        free(closed);
        *chat = NULL;
    }
}

fr_chat_settings fr_chat_settings_of(const fr_chat *chat)
{
    return (fr_chat_settings){chat->text, chat->arguments, chat->clock};
}

const char *fr_chat_text(const fr_chat *chat)
{
    return chat->text;
}

fr_chat_names fr_chat_token_names(const fr_chat *chat)
{
    return (fr_chat_names){chat->bos_token, chat->eos_token};
}

const char *fr_chat_refusal(const fr_chat *chat)
{
    return chat->refusal;
}

bool fr_chat_is_usable(const fr_chat *chat)
{
    return chat->jinja != NULL;
}

/* ---- rendering ---------------------------------------------------------------------------- */

static bool set_text(json_t *variables, const char *name, const char *text)
{
    return text == NULL || json_object_set_new(variables, name, json_string(text)) == 0;
}

/* A message without what is said to Forerun alone. json_object_del of a member that is not there does nothing. */
static json_t *without_weight(json_t *message)
{
    json_t *copied = json_copy(message);
    (void)json_object_del(copied, "weight");
    return copied;
}

/* The variables that transformers sets, and the arguments over them; NULL: out of memory. json_object_set_new and
 * json_array_append_new take over their argument and accept NULL, so one check at the end is enough. */
static json_t *make_variables(const fr_chat *chat, const fr_chat_said *said, size_t n,
                              bool opens)
{
    json_t *list = json_array();
    bool made = list != NULL;
    for (size_t i = 0; made && i < n; i++) {
        made = json_array_append_new(
                   list, without_weight(json_array_get(said->messages, i))) == 0;
    }
    json_t *variables = json_pack("{s:b, s:n, s:n}", "add_generation_prompt",
                                  opens ? 1 : 0, "tools", "documents");
    made = json_object_set_new(variables, "messages", list) == 0 && made;
    made =
        made && set_text(variables, "bos_token", chat->bos_token) &&
        set_text(variables, "eos_token", chat->eos_token) &&
        (chat->variables == NULL ||
         json_object_update(variables, chat->variables) == 0) &&
        (said->tools == NULL || json_object_set(variables, "tools", said->tools) == 0);
    if (!made) {
        json_decref(variables);
        variables = NULL;
    }
    return variables;
}

fr_status fr_chat_render(fr_ctx *ctx, const fr_chat *chat, const fr_chat_said *said,
                         size_t n, bool opens, int64_t *steps_left,
                         fr_jinja_rendered *out)
{
    char why[WHY_BYTES];
    *out = (fr_jinja_rendered){0};
    if (chat->jinja == NULL) {
        return chat->refusal != NULL
                   ? FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                             "the chat template cannot be used: %s; %s", chat->refusal,
                             REMEDY)
                   : FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                             "the model has no chat template; %s", REMEDY);
    }
    const fr_jinja_given given = {make_variables(chat, said, n, opens),
                                  chat->clock != NULL ? &chat->now : NULL, steps_left};
    FR_TRY(fr_check_memory(ctx, given.variables != NULL, sizeof given));
    fr_status status = fr_jinja_render(ctx, chat->jinja, &given, out);
    json_decref(given.variables);
    if (status == FR_ERR_UNSUPPORTED) {
        (void)snprintf(why, sizeof why,
                       "the chat template cannot render this dialogue: %s",
                       fr_ctx_error(ctx));
        fr_ctx_clear_error(ctx);
        return FR_FAIL(ctx, FR_ERR_DATA, "%s", why);
    }
    return status;
}

fr_status fr_template_copy(fr_ctx *ctx, const char *name, fr_text text, char **out)
{
    if (text.bytes > 0 && memchr(text.data, '\0', text.bytes) != NULL) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s contains a NUL character; remove it",
                       name);
    }
    FR_TRY(fr_alloc(ctx, (int64_t)text.bytes + 1, 1, out));
    memcpy(*out, text.data, text.bytes);
    return FR_OK;
}

fr_status fr_template_digest(fr_ctx *ctx, const char *text,
                             uint8_t out[FR_DIGEST_BYTES])
{
    return fr_digest_of(ctx, text, strlen(text), out);
}
