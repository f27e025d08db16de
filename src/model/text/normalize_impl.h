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

#endif
