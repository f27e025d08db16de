/*
 * pattern_impl.h - translates regular expressions. Private to pattern*.c.
 */
#ifndef FR_MODEL_TEXT_PATTERN_IMPL_H
#define FR_MODEL_TEXT_PATTERN_IMPL_H

#include "base/ctx.h"
#include "base/text.h"

/**
 * Oniguruma's (Ruby) syntax to PCRE2's, for PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE. Groups do not capture afterwards.
 * @param path      for messages
 * @param[out] out  NUL-terminated; the caller frees
 * @return FR_OK; FR_ERR_UNSUPPORTED: something that has no counterpart (named); FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_pattern_translate(fr_ctx *ctx, const char *path,
                                             fr_text regex, char **out, size_t *bytes);

#endif
