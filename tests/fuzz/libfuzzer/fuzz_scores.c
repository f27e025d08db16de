/* Any bytes as an answer and up to three references: each score is in its range, and a text that is its own reference has
 * the highest. */
#include "fuzz/libfuzzer/fuzz.h"
#include "train/scores/scores.h"
#include "train/scores/words.h"

#include <stdlib.h>

static const double HIGHEST = 100.0;
static const double NEARLY = 1e-9;

static bool within(double score, double most)
{
    return score >= 0.0 && score <= most + NEARLY;
}

static fr_row_scores score(fr_ctx *ctx, const fr_text *texts, int n)
{
    fr_score_sums sums = {0};
    fr_row_scores row;
    fuzz_check(
        fuzz_answer(ctx, fr_scores_add(ctx, texts[0], texts + 1, n - 1, &sums, &row)),
        "every text has scores");
    fr_scores all = fr_scores_of(&sums);
    fuzz_check(within(row.rouge_l, 1.0) && within(row.chrf, HIGHEST), "a row's scores");
    fuzz_check(within(all.bleu, HIGHEST), "BLEU of a corpus");
    fuzz_check(all.chrf == row.chrf && all.rouge_l == row.rouge_l,
               "a corpus of one row has the scores of the row");
    return row;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { PARTS = 4 };
    fuzz_part parts[PARTS];
    fr_text texts[PARTS + 1];
    char *blocks[PARTS];
    fr_ctx *ctx = fuzz_ctx();
    int n = fuzz_split(data, size, parts, PARTS);
    for (int i = 0; i < n; i++) {
        blocks[i] = fuzz_block(parts[i]);
        texts[i] = (fr_text){blocks[i], parts[i].bytes};
    }
    fr_row_scores row = {0};
    if (n > 1) {
        row = score(ctx, texts, n);
    }
    texts[n] = texts[0];
    fr_row_scores own = score(ctx, texts, n + 1);
    fuzz_check(own.exact_match && own.chrf >= row.chrf && own.rouge_l >= row.rouge_l,
               "one more reference makes no score of a row smaller");
    fuzz_check(own.chrf >= HIGHEST - NEARLY || fr_text_strip(texts[0]).bytes == 0,
               "the text itself has the highest chrF");
    for (int i = 0; i < n; i++) {
        free(blocks[i]);
    }
    return 0;
}
