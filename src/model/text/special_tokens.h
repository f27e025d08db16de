/*
 * special_tokens.h - finds special tokens in a text.
 *
 * An automaton over the tokens' texts read backwards (Aho, Corasick 1975): it reads a text from its end, and its state at each
 * byte gives the longest token that begins there. Searching takes time linear in the text, building it time linear in the
 * bytes of all tokens. Immutable.
 */
#ifndef FR_MODEL_TEXT_SPECIAL_TOKENS_H
#define FR_MODEL_TEXT_SPECIAL_TOKENS_H

#include "base/ctx.h"
#include "base/text.h"

#include <stdint.h>

typedef struct fr_specials fr_specials;

/**
 * @param texts  not empty, all different; copied
 * @param ids    >= 0
 * @return FR_OK; FR_ERR_UNSUPPORTED if they have more than INT32_MAX / 2 bytes together; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_specials_create(fr_ctx *ctx, const fr_text *texts,
                                           const int32_t *ids, int64_t n,
                                           fr_specials **out);
void fr_specials_destroy(fr_specials **specials);

/** The longest token that `text` begins with: id or -1. */
int32_t fr_specials_longest(const fr_specials *specials, fr_text text);

/** Whether there is any token. */
bool fr_specials_any(const fr_specials *specials);

/**
 * The longest token that begins at each byte of `text`: id or -1.
 * @param[out] found  [text.bytes], the caller frees
 */
FR_MUST_CHECK fr_status fr_specials_find(fr_ctx *ctx, const fr_specials *specials,
                                         fr_text text, int32_t **found);

#endif
