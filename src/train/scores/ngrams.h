/*
 * ngrams.h - how many n-grams an answer shares with its references.
 */
#ifndef FR_TRAIN_SCORES_NGRAMS_H
#define FR_TRAIN_SCORES_NGRAMS_H

#include "train/scores/words.h"

/**
 * For n = 1 to `orders`, with c_t(g) the occurrences of an n-gram g in text t (0: the answer):
 *
 *   matches_OT[n - 1][t] = sum over g of min(c_0(g), c_t(g))             t > 0
 *   matches_OT[n - 1][0] = sum over g of min(c_0(g), max over t > 0 of c_t(g))
 *
 * Time grows with N log N of all texts' symbols, memory with N.
 * @param[out] matches_OT  [orders][n_texts]
 */
FR_MUST_CHECK fr_status fr_ngram_matches(fr_ctx *ctx, const fr_symbols *texts,
                                         int orders, int64_t *matches_OT);

/** N-grams in a text of `count` symbols. */
int64_t fr_ngram_count(int64_t count, int n);

#endif
