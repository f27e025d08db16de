/*
 * special_tokens.h - finds special and added tokens in a text.
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

/** How a token takes part in a text, as Hugging Face's tokenizers have it. */
enum {
    FR_SPECIAL_LSTRIP = 1, /* it takes the white space before it */
    FR_SPECIAL_RSTRIP = 2, /* and behind it */
    FR_SPECIAL_SINGLE_WORD =
        4 /* not found where it touches a letter, mark, digit or underscore */
};

typedef struct fr_special {
    fr_text text; /* not empty; copied */
    int32_t id;   /* >= 0 */
    uint8_t how;  /* FR_SPECIAL_* */
} fr_special;

/**
 * @param tokens  all texts different; of equal ones the last counts
 * @return FR_OK; FR_ERR_UNSUPPORTED if they have more than INT32_MAX / 2 bytes together; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_specials_create(fr_ctx *ctx, const fr_special *tokens,
                                           int64_t n, fr_specials **out);
void fr_specials_destroy(fr_specials **specials);

/** The token that is the whole text: id or -1. */
int32_t fr_specials_whole(const fr_specials *specials, fr_text text);

/** Whether there is any token. */
bool fr_specials_any(const fr_specials *specials);

/** Receives the parts of a text in order: a token's id, or -1 and the text between two tokens (never empty). `at` is where the
 * part begins in the text. */
typedef fr_status (*fr_part_visit)(void *user, int32_t id, fr_text part, size_t at);

/**
 * Cuts a text at its tokens: the leftmost counts, and of those that begin there the longest.
 * @return FR_OK; what `visit` returned; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_specials_cut(fr_ctx *ctx, const fr_specials *specials,
                                        fr_text text, fr_part_visit visit, void *user);

#endif
