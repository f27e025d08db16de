/*
 * bytes.h - a growing list of bytes.
 */
#ifndef FR_MODEL_TEXT_BYTES_H
#define FR_MODEL_TEXT_BYTES_H

#include "base/ctx.h"
#include "base/text.h"

/** Zero-initialise it; release it with fr_bytes_fini. */
typedef struct fr_bytes {
    char *data;
    size_t count;
    size_t capacity;
} fr_bytes;

FR_MUST_CHECK fr_status fr_bytes_add(fr_ctx *ctx, fr_bytes *bytes, const char *data,
                                     size_t n);
void fr_bytes_fini(fr_bytes *bytes);

/** View of the bytes; data is never NULL. */
fr_text fr_bytes_text(const fr_bytes *bytes);

#endif
