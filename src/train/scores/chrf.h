/*
 * chrf.h - chrF2 of a corpus and of a row as sacrebleu 2.6.0 computes it by default: n-grams of one to six characters, white space
 * left out, case kept, beta = 2, without smoothing.
 *
 * (M. Popovic, chrF, 2015.) Precision and recall are means over the orders for which both texts have n-grams;
 * F = 5 P R / (4 P + R). Several references of a row: the one with the largest F counts, of equal ones the first.
 */
#ifndef FR_TRAIN_SCORES_CHRF_H
#define FR_TRAIN_SCORES_CHRF_H

#include "base/ctx.h"
#include "base/text.h"

enum { FR_CHRF_ORDERS = 6 };

/** Sums over rows; zero-initialised there are none. */
typedef struct fr_chrf_counts {
    int64_t answer[FR_CHRF_ORDERS]; /* n-grams; 0 where the reference has none */
    int64_t reference[FR_CHRF_ORDERS];
    int64_t matches[FR_CHRF_ORDERS];
} fr_chrf_counts;

/** Add a row of n >= 1 references. @param[out] row  the row's own score */
FR_MUST_CHECK fr_status fr_chrf_add(fr_ctx *ctx, fr_text answer,
                                    const fr_text *references, int64_t n,
                                    fr_chrf_counts *counts, double *row);

/** From 0 to 100. */
double fr_chrf_of(const fr_chrf_counts *counts);

#endif
