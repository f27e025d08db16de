/*
 * chat_template.h - what a model's chat template says, found by rendering it.
 *
 * Layer L3; uses jinja.h.
 *
 * Dialogues are written as ids by one writer (dialogue.h), whose turns are ChatML's: "<|im_start|>ROLE\nCONTENT<|im_end|>\n". A
 * template is accepted only if it renders four test dialogues exactly so; the default system message and a BOS in front
 * are learned from what it renders. Any other template is refused by name, where and when a dialogue is to be written:
 * a model with such a template works for everything else.
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
    const char *content; /* any bytes, NUL among them */
    size_t bytes;        /* of the content */
    bool skip;           /* an assistant turn that is not counted in the loss */
} fr_message;

/** What dialogues need to know of a template. */
typedef struct fr_chat_frame {
    bool
        has_markers; /* its text holds both markers: <|im_end|> ends an answer, whatever else it writes */
    bool
        is_chatml; /* its dialogues are what dialogue.h writes; else `refusal` says why not */
    bool
        writes_bos; /* it begins with the model's BOS: dialogues carry exactly one, `bos`, also where the tokenizer puts
                     * one in front of texts itself */
    int32_t
        start; /* ids of the markers, -1: no such special token (set by the tokenizer) */
    int32_t end;
    int32_t bos; /* id of the BOS that it writes, else -1 */
    char *
        default_system; /* owned; what it says where a dialogue begins with no system message; NULL: nothing */
    char *refusal; /* owned; a sentence with its remedy; NULL: none, or no template */
    struct fr_chat_check *check; /* owned; the template itself, where it is ChatML */
} fr_chat_frame;

/** What a template finds besides the dialogue: texts, NULL for undefined. */
typedef struct fr_chat_names {
    const char *bos_token;
    const char *eos_token;
} fr_chat_names;

/**
 * Render a template's test dialogues and tell what it is; ids are left -1. Takes at most 2 s and some MiB whatever the
 * template is.
 * @param text  may be NULL: no template
 * @return FR_OK, also where the template is refused; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_template_read(fr_ctx *ctx, const char *text,
                                         const fr_chat_names *names,
                                         fr_chat_frame *out);
void fr_chat_frame_fini(fr_chat_frame *frame);

/**
 * Render one more dialogue and compare: four test dialogues do not show all that a template may do with others.
 * @param opens  ends with the opening of an assistant turn
 * @return FR_OK, also for a frame that is no ChatML; FR_ERR_DATA: the template writes this dialogue otherwise, or refuses it
 */
FR_MUST_CHECK fr_status fr_chat_frame_check(fr_ctx *ctx, const fr_chat_frame *frame,
                                            const fr_message *messages, int64_t n,
                                            bool opens);

/** Refuse a template that was accepted, or give another reason. */
FR_MUST_CHECK fr_status fr_chat_frame_refuse(fr_ctx *ctx, fr_chat_frame *frame,
                                             const char *why);

/** NUL-terminated copy of a template, or of a token's text for it; the caller frees. `name` says what it is in the message.
 * @return FR_OK; FR_ERR_FORMAT if the text holds a NUL character, which would hide the rest; FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_template_copy(fr_ctx *ctx, const char *name, fr_text text,
                                         char **out);

/** What tells two templates apart where dialogues are concerned: SHA-256 of the text. */
FR_MUST_CHECK fr_status fr_template_digest(fr_ctx *ctx, const char *text,
                                           uint8_t out[FR_DIGEST_BYTES]);

#endif
