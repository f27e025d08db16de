#include "train/scores/scores.h"

#include "train/scores/exact_match.h"
#include "train/scores/rouge.h"

fr_status fr_scores_add(fr_ctx *ctx, fr_text answer, const fr_text *references,
                        int64_t n, fr_score_sums *sums, fr_row_scores *out)
{
    *out = (fr_row_scores){.exact_match = fr_exact_match(answer, references, n)};
    FR_TRY(fr_rouge_l(ctx, answer, references, n, &out->rouge_l));
    FR_TRY(fr_bleu_add(ctx, answer, references, n, &sums->bleu));
    FR_TRY(fr_chrf_add(ctx, answer, references, n, &sums->chrf, &out->chrf));
    sums->n_rows++;
    sums->n_exact += out->exact_match ? 1 : 0;
    sums->rouge_l += out->rouge_l;
    return FR_OK;
}

fr_scores fr_scores_of(const fr_score_sums *sums)
{
    double n = sums->n_rows > 0 ? (double)sums->n_rows : 1.0;
    return (fr_scores){.exact_match = (double)sums->n_exact / n,
                       .rouge_l = sums->rouge_l / n,
                       .bleu = fr_bleu_of(&sums->bleu),
                       .chrf = fr_chrf_of(&sums->chrf)};
}
