/* An n-gram is a pair: the number of the (n-1)-gram that it begins with, and its last symbol. Sorting all pairs of an order by
 * pair and text brings equal n-grams together, counts them and numbers them for the next order. No table of hashes is
 * needed, so no text can make it slow. */
#include "train/scores/ngrams.h"

#include "base/integer.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { HALF = 32 };

/* An n-gram at its place. */
typedef struct gram {
    uint64_t pair;
    int64_t text;
    int64_t at;
} gram;

/* What one call works with; arrays of all texts' symbols. */
typedef struct counting {
    const fr_symbols *texts;
    gram *grams;
    uint32_t *numbers; /* of the (n-1)-gram at each place */
    int64_t *counts;   /* [n_texts] of one n-gram */
} counting;

int64_t fr_ngram_count(int64_t count, int n)
{
    return fr_max(0, count - n + 1);
}

static int by_pair(const void *a, const void *b)
{
    const gram *x = a;
    const gram *y = b;
    return x->pair != y->pair ? (x->pair > y->pair) - (x->pair < y->pair)
                              : (x->text > y->text) - (x->text < y->text);
}

/* All n-grams of one order, sorted; how many there are. */
static int64_t collect(counting *c, int n)
{
    int64_t n_grams = 0;
    for (int64_t t = 0; t < c->texts->n_texts; t++) {
        int64_t begin = t > 0 ? c->texts->ends[t - 1] : 0;
        for (int64_t at = begin; at + n <= c->texts->ends[t]; at++) {
            uint64_t before = n > 1 ? c->numbers[at] : 0;
            uint64_t pair = (before << HALF) | c->texts->symbols[at + n - 1];
            c->grams[n_grams++] = (gram){pair, t, at};
        }
    }
    qsort(c->grams, (size_t)n_grams, sizeof *c->grams, by_pair);
    return n_grams;
}

/* The equal n-grams from `first` up to `end`; those of the answer come first. Texts without them cost no time. */
static void count(counting *c, int64_t first, int64_t end, int64_t *matches_T)
{
    int64_t most = 0;
    for (int64_t i = first; i < end; i++) {
        c->counts[c->grams[i].text]++;
    }
    int64_t answers = c->counts[0];
    for (int64_t i = first; i < end; i++) {
        int64_t text = c->grams[i].text;
        if (text > 0) {
            most = fr_max(most, c->counts[text]);
            matches_T[text] += fr_min(answers, c->counts[text]);
        }
        c->counts[text] = 0;
    }
    matches_T[0] += fr_min(answers, most);
}

fr_status fr_ngram_matches(fr_ctx *ctx, const fr_symbols *texts, int orders,
                           int64_t *matches_OT)
{
    int64_t n_texts = texts->n_texts;
    int64_t n_symbols = texts->ends[n_texts - 1];
    counting c = {.texts = texts};
    memset(matches_OT, 0, (size_t)(orders * n_texts) * sizeof *matches_OT);
    fr_status status = fr_alloc(ctx, n_symbols, sizeof *c.grams, &c.grams);
    if (status == FR_OK) {
        status = fr_alloc(ctx, n_symbols, sizeof *c.numbers, &c.numbers);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, n_texts, sizeof *c.counts, &c.counts);
    }
    for (int n = 1; n <= orders && status == FR_OK; n++) {
        int64_t n_grams = collect(&c, n);
        uint32_t number = 0;
        for (int64_t first = 0; first < n_grams; number++) {
            int64_t end = first;
            while (end < n_grams && c.grams[end].pair == c.grams[first].pair) {
                c.numbers[c.grams[end++].at] = number;
            }
            count(&c, first, end, matches_OT + (n - 1) * n_texts);
            first = end;
        }
    }
    free(c.grams);
    free(c.numbers);
    free(c.counts);
    return status;
}
