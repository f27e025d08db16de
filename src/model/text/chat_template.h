/*
 * chat_template.h - finds out what a model's chat template writes, by rendering it.
 *
 * dialogue.h encodes dialogues, and it writes ChatML only: "<|im_start|>ROLE\nCONTENT<|im_end|>\n" for each turn. A template
 * is accepted if it renders four test dialogues to exactly these bytes; the default system message and a BOS in front are
 * learned from what it renders. Any other template is refused, but only when a dialogue is to be encoded: everything else
 * works with such a model.
 */
#ifndef FR_MODEL_TEXT_CHAT_TEMPLATE_H
#define FR_MODEL_TEXT_CHAT_TEMPLATE_H

#include "base/ctx.h"
#include "base/digest.h"
#include "base/text.h"

#include <stdint.h>

#define FR_CHATML_START "<|im_start|>"
#define FR_CHATML_END "<|im_end|>"

typedef struct fr_message {
    const char *role;    /* "system", "user" or "assistant" */
    const char *content; /* any bytes, also NUL */
    size_t bytes;        /* of the content */
    bool skip;           /* an assistant turn that is not counted in the loss */
} fr_message;

/** What dialogues need to know of a template. */
typedef struct fr_chat_frame {
    bool has_markers; /* its text contains both markers, so <|im_end|> ends an answer */
    bool
        is_chatml; /* it writes dialogues as dialogue.h does; else `refusal` says why not */
    bool
        writes_bos; /* it begins with the model's BOS: a dialogue has exactly one, even if the tokenizer puts one before
                     * every text */
    int32_t
        start; /* ids of the markers, set by the tokenizer; -1: it has no such token */
    int32_t end;
    int32_t bos; /* id of the BOS that it writes, else -1 */
    char *
        default_system; /* owned; the system message of a dialogue without one; NULL: none */
    char *
        refusal; /* owned; the reason and the remedy; NULL: not refused, or no template */
    struct fr_chat_check *check; /* owned; the parsed template; NULL: not ChatML */
} fr_chat_frame;

/** The variables of a template besides the dialogue; NULL: undefined. */
typedef struct fr_chat_names {
    const char *bos_token;
    const char *eos_token;
} fr_chat_names;

/**
 * Renders a template's test dialogues and fills the frame; its ids stay -1. The limits in jinja.h keep this under 2 s and
 * some MiB for any template.
 * @param text  may be NULL: no template
 * @return FR_OK, also where the template is refused; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_template_read(fr_ctx *ctx, const char *text,
                                         const fr_chat_names *names,
                                         fr_chat_frame *out);
void fr_chat_frame_fini(fr_chat_frame *frame);

/**
 * Renders one more dialogue and compares: a template may treat it unlike the four test dialogues.
 * @param opens  the dialogue ends with the opening of an assistant turn
 * @return FR_OK, also for a frame that is not ChatML; FR_ERR_DATA: the template writes this dialogue otherwise, or refuses it
 */
FR_MUST_CHECK fr_status fr_chat_frame_check(fr_ctx *ctx, const fr_chat_frame *frame,
                                            const fr_message *messages, int64_t n,
                                            bool opens);

/** Refuses a template that was accepted, or replaces the reason. */
FR_MUST_CHECK fr_status fr_chat_frame_refuse(fr_ctx *ctx, fr_chat_frame *frame,
                                             const char *why);

/** NUL-terminated copy of a template, or of a token's text for it; the caller frees. `name` says what it is in the message.
 * @return FR_OK; FR_ERR_FORMAT if the text holds a NUL character, which would hide the rest; FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_template_copy(fr_ctx *ctx, const char *name, fr_text text,
                                         char **out);

/** SHA-256 of a template's text: the identity of the dialogues that it writes. */
FR_MUST_CHECK fr_status fr_template_digest(fr_ctx *ctx, const char *text,
                                           uint8_t out[FR_DIGEST_BYTES]);

#endif
