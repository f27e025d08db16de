/*
 * normalize_impl.h - the parts of normalizing. Private to normalize*.c.
 */
#ifndef FR_MODEL_TEXT_NORMALIZE_IMPL_H
#define FR_MODEL_TEXT_NORMALIZE_IMPL_H

#include "base/text.h"
#include "model/text/bytes.h"
#include "model/text/normalize.h"

/** Adds `text` in a form of Unicode (FR_NORMAL_NFC to NFKD) to `out`. */
FR_MUST_CHECK fr_status fr_normal_form(fr_ctx *ctx, fr_normal_kind kind, fr_text text,
                                       fr_bytes *out);

/** Whether a character decomposes or has a combining class, but did not in the Unicode of the reference (normalize_newer.c). */
bool fr_normal_is_newer(uint32_t code);
/** Whether a character is a mark in the Unicode of the reference. */
bool fr_normal_is_mark(uint32_t code);

/** FR_ERR_FORMAT unless the bytes are a table of SentencePiece. */
FR_MUST_CHECK fr_status fr_charsmap_check(fr_ctx *ctx, const char *path,
                                          fr_text content);

/** Adds `text` behind a CHARSMAP step to `out`. FR_ERR_FORMAT: the table leads outside of itself. */
FR_MUST_CHECK fr_status fr_charsmap_add(fr_ctx *ctx, const fr_normal_step *step,
                                        fr_text text, fr_bytes *out);

#endif
