/*
 * chat_template.h - what is read out of a Jinja chat template, without running it.
 *
 * Layer L3.
 */
#ifndef FR_MODEL_CHAT_TEMPLATE_H
#define FR_MODEL_CHAT_TEMPLATE_H

#include "base/ctx.h"

#include <stdint.h>

#define FR_CHATML_START "<|im_start|>"
#define FR_CHATML_END "<|im_end|>"

/** What dialogues need to know of a template. */
typedef struct fr_chat_frame {
    bool is_chatml; /* its turns are ChatML's: it writes both markers */
    int32_t
        start; /* ids of the markers, -1: no such special token (set by the tokenizer) */
    int32_t end;
    char *default_system; /* owned; NULL: none */
} fr_chat_frame;

/**
 * Read a template once, in time linear in its length. The default system message is what a ChatML template writes when
 * a dialogue brings none: the first text that it writes between "<|im_start|>system\n" and "<|im_end|>" of constant
 * parts alone.
 * @param text  may be NULL: no template
 */
FR_MUST_CHECK fr_status fr_template_read(fr_ctx *ctx, const char *text,
                                         fr_chat_frame *out);

#endif
