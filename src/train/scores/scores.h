/*
 * scores.h - how near answers are to what was expected, by four measures; pure functions of texts.
 *
 * exact_match.h, rouge.h, bleu.h and chrf.h say what each is, and what it does with several references of a row. Texts are UTF-8, as
 * fr_utf8_repair makes them; other bytes do no harm.
 */
#ifndef FR_TRAIN_SCORES_SCORES_H
#define FR_TRAIN_SCORES_SCORES_H

#include "train/scores/bleu.h"
#include "train/scores/chrf.h"

/** Scores of one row. BLEU has none: it is defined for a corpus. */
typedef struct fr_row_scores {
    bool exact_match;
    double rouge_l; /* 0 to 1 */
    double chrf;    /* 0 to 100 */
} fr_row_scores;

/** Sums over rows; zero-initialised there are none. */
typedef struct fr_score_sums {
    int64_t n_rows;
    int64_t n_exact;
    double rouge_l;
    fr_bleu_counts bleu;
    fr_chrf_counts chrf;
} fr_score_sums;

/** Scores of all rows. */
typedef struct fr_scores {
    double exact_match; /* share of the rows, 0 to 1 */
    double rouge_l;     /* mean over the rows, 0 to 1 */
    double bleu;        /* of the corpus, 0 to 100 */
    double chrf;        /* of the corpus, 0 to 100 */
} fr_scores;

/** Score one answer by n >= 1 references, and add it to the sums. Memory grows with the texts, time with the answer's words times
 * the references' / 64 besides. @return FR_OK; FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_scores_add(fr_ctx *ctx, fr_text answer,
                                      const fr_text *references, int64_t n,
                                      fr_score_sums *sums, fr_row_scores *out);

/** All zero without rows. */
fr_scores fr_scores_of(const fr_score_sums *sums);

#endif
