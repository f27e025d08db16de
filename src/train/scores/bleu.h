/*
 * bleu.h - BLEU of a corpus as sacrebleu 2.6.0 computes it by default: tokenizer 13a, n-grams of one to four tokens, case kept,
 * smoothing "exp".
 *
 * (K. Papineni et al., BLEU, 2002; M. Post, A call for clarity in reporting BLEU scores, 2018.) Several references of a row: an
 * n-gram counts as often as it stands in the one that holds it most often, and the length is that of the reference whose
 * length is nearest to the answer's, of two the shorter.
 */
#ifndef FR_TRAIN_SCORES_BLEU_H
#define FR_TRAIN_SCORES_BLEU_H

#include "base/ctx.h"
#include "base/text.h"

enum { FR_BLEU_ORDERS = 4 };

/** Sums over rows; zero-initialised there are none. */
typedef struct fr_bleu_counts {
    int64_t answer_tokens;
    int64_t reference_tokens;
    int64_t matches[FR_BLEU_ORDERS];
    int64_t totals[FR_BLEU_ORDERS];
} fr_bleu_counts;

/** Add a row of n >= 1 references. */
FR_MUST_CHECK fr_status fr_bleu_add(fr_ctx *ctx, fr_text answer,
                                    const fr_text *references, int64_t n,
                                    fr_bleu_counts *counts);

/** From 0 to 100. */
double fr_bleu_of(const fr_bleu_counts *counts);

/** For tests too: a text as tokenizer 13a writes it, tokens between white space. @param[out] out  the caller frees */
FR_MUST_CHECK fr_status fr_tokenize_13a(fr_ctx *ctx, fr_text text, char **out,
                                        size_t *bytes);

#endif
