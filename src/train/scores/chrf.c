/* A character is a code point: a letter and the mark on it are two, as they are in Python. The order of the sums is that of
 * sacrebleu, so that the score has its bits. */
#include "train/scores/chrf.h"

#include "base/mem.h"
#include "train/scores/ngrams.h"

#include <stdlib.h>

static void add_text(fr_text text, fr_symbols *s, int64_t t)
{
    int64_t n = t > 0 ? s->ends[t - 1] : 0;
    for (size_t at = 0; at < text.bytes;) {
        uint32_t code = 0;
        at += fr_next_character((fr_text){text.data + at, text.bytes - at}, &code);
        if (!fr_is_white_in_python(code)) {
            s->symbols[n++] = code;
        }
    }
    s->ends[t] = n;
}

/* No more characters than bytes. */
static fr_status read_texts(fr_ctx *ctx, fr_text answer, const fr_text *references,
                            int64_t n, fr_symbols *s)
{
    int64_t bytes = (int64_t)answer.bytes;
    for (int64_t i = 0; i < n; i++) {
        bytes += (int64_t)references[i].bytes;
    }
    s->n_texts = n + 1;
    FR_TRY(fr_alloc(ctx, n + 1, sizeof *s->ends, &s->ends));
    FR_TRY(fr_alloc(ctx, bytes, sizeof *s->symbols, &s->symbols));
    add_text(answer, s, 0);
    for (int64_t i = 0; i < n; i++) {
        add_text(references[i], s, i + 1);
    }
    return FR_OK;
}

static fr_chrf_counts counts_of(const fr_symbols *s, const int64_t *matches_OT,
                                int64_t t)
{
    fr_chrf_counts out = {0};
    for (int n = 1; n <= FR_CHRF_ORDERS; n++) {
        int64_t reference = fr_ngram_count(fr_symbols_count(s, t), n);
        out.answer[n - 1] =
            reference > 0 ? fr_ngram_count(fr_symbols_count(s, 0), n) : 0;
        out.reference[n - 1] = reference;
        out.matches[n - 1] = matches_OT[(n - 1) * s->n_texts + t];
    }
    return out;
}

double fr_chrf_of(const fr_chrf_counts *counts)
{
    static const double FACTOR = 4.0; /* beta squared */
    static const double PERCENT = 100.0;
    double precision = 0.0;
    double recall = 0.0;
    int orders = 0;
    for (int i = 0; i < FR_CHRF_ORDERS; i++) {
        if (counts->answer[i] > 0 && counts->reference[i] > 0) {
            precision += (double)counts->matches[i] / (double)counts->answer[i];
            recall += (double)counts->matches[i] / (double)counts->reference[i];
            orders++;
        }
    }
    if (orders == 0 || precision + recall == 0.0) {
        return 0.0;
    }
    precision /= orders;
    recall /= orders;
    double score = (1.0 + FACTOR) * precision * recall;
    score /= FACTOR * precision + recall;
    return PERCENT * score;
}

static void add_best(const fr_symbols *s, const int64_t *matches_OT,
                     fr_chrf_counts *counts, double *row)
{
    fr_chrf_counts best = counts_of(s, matches_OT, 1);
    *row = fr_chrf_of(&best);
    for (int64_t t = 2; t < s->n_texts; t++) {
        fr_chrf_counts other = counts_of(s, matches_OT, t);
        double score = fr_chrf_of(&other);
        if (score > *row) {
            best = other;
            *row = score;
        }
    }
    for (int i = 0; i < FR_CHRF_ORDERS; i++) {
        counts->answer[i] += best.answer[i];
        counts->reference[i] += best.reference[i];
        counts->matches[i] += best.matches[i];
    }
}

fr_status fr_chrf_add(fr_ctx *ctx, fr_text answer, const fr_text *references, int64_t n,
                      fr_chrf_counts *counts, double *row)
{
    fr_symbols symbols = {0};
    int64_t *matches_OT = NULL;
    fr_status status = read_texts(ctx, answer, references, n, &symbols);
    if (status == FR_OK) {
        status =
            fr_alloc(ctx, FR_CHRF_ORDERS * (n + 1), sizeof *matches_OT, &matches_OT);
    }
    if (status == FR_OK) {
        status = fr_ngram_matches(ctx, &symbols, FR_CHRF_ORDERS, matches_OT);
    }
    if (status == FR_OK) {
        add_best(&symbols, matches_OT, counts, row);
    }
    free(matches_OT);
    free(symbols.ends);
    free(symbols.symbols);
    return status;
}
