/*
 * chat.h - a chat template, and what it renders of dialogues.
 *
 * A template is Jinja (model/jinja/jinja.h). It sees what transformers' apply_chat_template gives it: the messages as they are,
 * `tools`, `documents`, `add_generation_prompt`, `bos_token` and `eos_token`, and what the settings add. A template that
 * cannot be parsed is refused only when a dialogue is to be rendered: everything else works with such a model.
 */
#ifndef FR_MODEL_TEXT_CHAT_H
#define FR_MODEL_TEXT_CHAT_H

#include "base/ctx.h"
#include "base/digest.h"
#include "base/text.h"
#include "model/jinja/jinja.h"

typedef struct fr_chat fr_chat;

/** Tokens as a template sees them; NULL: undefined. */
typedef struct fr_chat_names {
    const char *bos_token;
    const char *eos_token;
} fr_chat_names;

/** How dialogues are written; NULL: not set. */
typedef struct fr_chat_settings {
    const char *template_text; /* NULL: there is none */
    /* an object in JSON whose members are further variables (`tools`, `enable_thinking`, ...) */
    const char *arguments;
    const char *clock; /* what strftime_now tells, as fr_date_read takes it */
} fr_chat_settings;

/**
 * Parses a template; settings and names are copied.
 * @return FR_OK, also for a template that is refused; FR_ERR_CONFIG: the arguments or the clock are not what they must be, or
 *         the template does not read an argument; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_chat_open(fr_ctx *ctx, const fr_chat_settings *settings,
                                     const fr_chat_names *names, fr_chat **out);
void fr_chat_close(fr_chat **chat);

/** The settings, borrowed from the chat. The arguments are in one form for all texts with the same meaning. */
fr_chat_settings fr_chat_settings_of(const fr_chat *chat);
/** The text of the template; NULL: none. */
const char *fr_chat_text(const fr_chat *chat);
/** Borrowed from the chat. */
fr_chat_names fr_chat_token_names(const fr_chat *chat);
/** Why the template is refused, with the line; NULL: it is not, or there is none. */
const char *fr_chat_refusal(const fr_chat *chat);
/** Whether dialogues can be rendered: there is a template, and it can be parsed. */
bool fr_chat_is_usable(const fr_chat *chat);

/** Bytes of arguments in their one form. */
enum { FR_CHAT_ARGUMENTS_BYTES = 1 << 20 };

/** Steps for all renderings of a dialogue: a few hundred answers in known templates. */
enum { FR_CHAT_STEPS = 4 * FR_JINJA_MAX_STEPS };

/** What is rendered. */
typedef struct fr_chat_said {
    json_t *messages; /* a list of objects */
    json_t *tools;    /* a list of descriptions; NULL: as the settings say */
} fr_chat_said;

/**
 * Renders the first `n` messages. The limits in jinja.h bound time and memory.
 * @param opens     the text ends with the opening of an answer
 * @param steps_left  begins with FR_CHAT_STEPS for each dialogue; what is taken is subtracted
 * @param[out] out  release with fr_jinja_rendered_fini
 * @return FR_OK; FR_ERR_UNSUPPORTED: there is no template, or it is refused, with the reason and the remedy; FR_ERR_DATA:
 *         the template cannot render these messages, with the reason; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_chat_render(fr_ctx *ctx, const fr_chat *chat,
                                       const fr_chat_said *said, size_t n, bool opens,
                                       int64_t *steps_left, fr_jinja_rendered *out);

/** NUL-terminated copy of a template, or of a token's text for it; the caller frees. `name` says what it is in the message.
 * @return FR_OK; FR_ERR_FORMAT if the text holds a NUL character, which would hide the rest; FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_template_copy(fr_ctx *ctx, const char *name, fr_text text,
                                         char **out);

/** SHA-256 of a template's text: the identity of the dialogues that it writes. */
FR_MUST_CHECK fr_status fr_template_digest(fr_ctx *ctx, const char *text,
                                           uint8_t out[FR_DIGEST_BYTES]);

#endif
