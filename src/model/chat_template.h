/*
 * chat_template.h - what is read out of a Jinja chat template, without running it.
 *
 * Layer L3.
 */
#ifndef FR_MODEL_CHAT_TEMPLATE_H
#define FR_MODEL_CHAT_TEMPLATE_H

#include "base/ctx.h"

#define FR_CHATML_START "<|im_start|>"
#define FR_CHATML_END "<|im_end|>"

/** Whether the template's turns are ChatML's: it writes both markers. `text` may be NULL. */
bool fr_template_is_chatml(const char *text);

/**
 * The system message that a ChatML template writes when a dialogue brings none: the first text that it
 * writes between "<|im_start|>system\n" and "<|im_end|>" of constant parts alone.
 * @param[out] out  caller frees; NULL if the template has none
 */
FR_MUST_CHECK fr_status fr_template_default_system(fr_ctx *ctx, const char *text,
                                                   char **out);

#endif
