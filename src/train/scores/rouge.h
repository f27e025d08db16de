/*
 * rouge.h - ROUGE-L as rouge-score 0.1.2 computes it without stemming.
 *
 * A text in small letters; its words are the runs of a to z and 0 to 9. With L the length of the longest common subsequence of the
 * words of an answer (a of them) and of a reference (r of them): precision P = L / a, recall R = L / r,
 * F = 2 P R / (P + R), 0 where one has no words. (C. Lin, ROUGE, 2004, section 3.1, beta = 1.)
 */
#ifndef FR_TRAIN_SCORES_ROUGE_H
#define FR_TRAIN_SCORES_ROUGE_H

#include "base/ctx.h"
#include "base/text.h"

/** The largest F, from 0 to 1, of n >= 1 references. Time grows with a r / 64. */
FR_MUST_CHECK fr_status fr_rouge_l(fr_ctx *ctx, fr_text answer,
                                   const fr_text *references, int64_t n, double *out);

/** For tests too: the length of the longest common subsequence of symbols below `n_numbers`. */
FR_MUST_CHECK fr_status fr_common_subsequence(fr_ctx *ctx, const uint32_t *a,
                                              int64_t n_a, const uint32_t *b,
                                              int64_t n_b, int64_t n_numbers,
                                              int64_t *out);

#endif
