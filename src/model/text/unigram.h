/*
 * unigram.h - finds the tokens of a text whose scores have the highest sum.
 *
 * Kudo 2018, "Subword Regularization", section 3.2: the Viterbi algorithm over the positions of a text, which may be cut only
 * between characters. A character that is no token itself may become an unknown token, at 10 less than the lowest score. Of
 * equal sums the one that was found first stays: positions are walked forwards, at each the shorter tokens come first.
 *
 * Time is the length of the text times that of the longest token, which has a limit. Immutable.
 */
#ifndef FR_MODEL_TEXT_UNIGRAM_H
#define FR_MODEL_TEXT_UNIGRAM_H

#include "base/ctx.h"
#include "base/text.h"

#include <stdint.h>

typedef struct fr_unigram fr_unigram;

typedef struct fr_unigram_token {
    fr_text text; /* not empty; copied */
    int32_t id;   /* >= 0 */
    double score; /* finite */
} fr_unigram_token;

/**
 * @param path    for messages
 * @param single  sums are rounded to 32 bits after each addition
 * @return FR_OK; FR_ERR_FORMAT: two tokens have the same text; FR_ERR_UNSUPPORTED: they have more than INT32_MAX / 2 bytes
 *         together; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_unigram_create(fr_ctx *ctx, const char *path,
                                          const fr_unigram_token *tokens, int64_t n,
                                          bool single, fr_unigram **out);
void fr_unigram_destroy(fr_unigram **unigram);

/** The best way to reach a place of the text. */
typedef struct fr_unigram_place {
    double sum;
    int32_t before; /* the place where its last token begins; -1: not reached */
    int32_t id;     /* that token; -1: unknown */
} fr_unigram_place;

/** Working memory that calls reuse. Zero-initialise it; release it with fr_unigram_scratch_fini. */
typedef struct fr_unigram_scratch {
    fr_unigram_place *places; /* [capacity] */
    int64_t capacity;
} fr_unigram_scratch;

void fr_unigram_scratch_fini(fr_unigram_scratch *scratch);

/** Receives the tokens in order; id -1: an unknown character. A failure ends the visits. */
typedef fr_status (*fr_unigram_visit)(void *user, int32_t id, fr_text text);

/** @return FR_OK; what `visit` returned; FR_ERR_DATA: the text has INT32_MAX bytes or more; FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_unigram_run(fr_ctx *ctx, const fr_unigram *unigram,
                                       fr_unigram_scratch *scratch, fr_text text,
                                       fr_unigram_visit visit, void *user);

#endif
