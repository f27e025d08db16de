/*
 * The order of a task's examples, one epoch after the other.
 *
 * fr_sampler_get gives the example at one position of the endless order. It makes the order of a whole epoch when the
 * caller first asks for an example of that epoch, and keeps it until the caller asks for another epoch. So a run that
 * goes forward shuffles once an epoch, and a jump to any other position costs one shuffle.
 *
 * Every random word depends on (seed, epoch, number of the word) alone, and each epoch starts again from ascending
 * numbers, not from the previous order. A resume can therefore begin in any epoch without the ones before it.
 *
 * Ordered by source, an epoch takes one range of words for the shuffle of the sources and the words behind it for the
 * examples, a word for each example. The examples of a source are shuffled too, so that a step which ends within a
 * source does not always see the same ones first.
 */
#include "train/data/sampler.h"

#include "base/mem.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

/* Fill by_source, first and n_sources: a counting sort of the examples by source. */
/* Sources are numbered in order of first appearance, so that the result depends on the data alone. While counting,
 * `first[k + 1]` is the number of examples of source k; sums turn the counts into beginnings. `sources` serves as the
 * next free position of each source until the first epoch fills it. */
static fr_status sort_by_source(fr_ctx *ctx, const fr_dataset *dataset, fr_sampler *s)
{
    int64_t n = s->n_examples;
    int64_t *number = NULL; /* of a row's source, from 1 in order of appearance */
    FR_TRY(fr_alloc(ctx, fr_dataset_stats(dataset)->n_rows, sizeof *number, &number));
    for (int64_t e = 0; e < n; e++) {
        int64_t row = fr_dataset_source_row(dataset, e);
        if (number[row] == 0) {
            number[row] = ++s->n_sources;
        }
        s->first[number[row]]++;
    }
    for (int64_t i = 0; i < s->n_sources; i++) {
        s->sources[i] = s->first[i]; /* where the source's next example goes */
        s->first[i + 1] += s->first[i];
    }
    for (int64_t e = 0; e < n; e++) {
        int64_t source = number[fr_dataset_source_row(dataset, e)] - 1;
        s->by_source[s->sources[source]++] = e;
    }
    free(number);
    return FR_OK;
}

/* There are at most as many sources as examples, so n bounds the arrays before the sources are counted. */
static fr_status alloc_orders(fr_ctx *ctx, const fr_dataset *by_source, fr_sampler *s)
{
    int64_t n = s->n_examples;
    FR_TRY(fr_alloc(ctx, n, sizeof *s->order, &s->order));
    if (by_source == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_alloc(ctx, n, sizeof *s->by_source, &s->by_source));
    FR_TRY(fr_alloc(ctx, n + 1, sizeof *s->first, &s->first));
    FR_TRY(fr_alloc(ctx, n, sizeof *s->sources, &s->sources));
    return sort_by_source(ctx, by_source, s);
}

fr_status fr_sampler_init(fr_ctx *ctx, uint64_t seed, int64_t n_examples,
                          const fr_dataset *by_source, fr_sampler *out)
{
    *out = (fr_sampler){.seed = seed, .n_examples = n_examples, .epoch = -1};
    fr_status status = alloc_orders(ctx, by_source, out);
    if (status != FR_OK) {
        fr_sampler_fini(out);
    }
    return status;
}

void fr_sampler_fini(fr_sampler *sampler)
{
    free(sampler->order);
    free(sampler->by_source);
    free(sampler->first);
    free(sampler->sources);
    *sampler = (fr_sampler){0};
}

/* Uniform in [0, n): the high half of a 64 x 64 bit product, whose bias is below n / 2^64. */
static int64_t below(uint64_t word, int64_t n)
{
    uint64_t high = word >> 32;
    uint64_t low = word & 0xffffffffu;
    uint64_t bound = (uint64_t)n; /* correct below 2^32, a table of 100 GB */
    return (int64_t)((high * bound + ((low * bound) >> 32)) >> 32);
}

/* Shuffle n items with the epoch's random words [first_word, first_word + n). */
/* Fisher-Yates from the end: item i changes places with one of the items 0 to i, each equally likely. */
static void shuffle(const fr_sampler *s, int64_t epoch, int64_t first_word,
                    int64_t *items, int64_t n)
{
    for (int64_t i = n - 1; i > 0; i--) {
        uint64_t word = fr_rng_u64(s->seed, FR_RNG_SHUFFLE, (uint64_t)epoch,
                                   (uint64_t)(first_word + i));
        int64_t j = below(word, i + 1);
        int64_t held = items[i];
        items[i] = items[j];
        items[j] = held;
    }
}

static void count_up(int64_t *items, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        items[i] = i;
    }
}

/* `at` is the position in the epoch. Each position has a random word of its own, behind the words of the sources. */
static void shuffle_sources(fr_sampler *s, int64_t epoch)
{
    int64_t at = 0;
    count_up(s->sources, s->n_sources);
    shuffle(s, epoch, 0, s->sources, s->n_sources);
    for (int64_t i = 0; i < s->n_sources; i++) {
        int64_t first = s->first[s->sources[i]];
        int64_t n = s->first[s->sources[i] + 1] - first;
        memcpy(s->order + at, s->by_source + first, (size_t)n * sizeof *s->order);
        shuffle(s, epoch, s->n_sources + at, s->order + at, n);
        at += n;
    }
}

int64_t fr_sampler_get(fr_sampler *sampler, int64_t g)
{
    fr_sampler *s = sampler;
    int64_t epoch = g / s->n_examples;
    if (epoch != s->epoch && s->by_source != NULL) {
        shuffle_sources(s, epoch);
    } else if (epoch != s->epoch) {
        count_up(s->order, s->n_examples);
        shuffle(s, epoch, 0, s->order, s->n_examples);
    }
    s->epoch = epoch;
    return s->order[g % s->n_examples];
}
