/*
 * Choice of one token a row; a row is one thread's work.
 *
 * Sums run over sorted candidates with the library's own exponential (base/elementary.h), so the same logits give the same
 * token on every machine. The order of candidates is total, so any way to sort gives the same list: here by digits, which
 * takes three passes over a vocabulary where a sort by comparisons takes some twenty.
 */
#include "device/sample.h"

#include "base/elementary.h"
#include "base/integer.h"
#include "device/cpu/cpu.h"
#include "device/cpu/kernels.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* Ascending keys are falling logits. */
typedef struct candidate {
    uint32_t key;
    int32_t id;
} candidate;

/* Scratch of one thread, each with room for a vocabulary; weights lie where `sorted` does not. */
typedef struct room {
    candidate *a;
    candidate *b;
} room;

enum { ROOM_FLOATS = 2 * sizeof(candidate) / sizeof(float) };

/* The bits of floats ascend with their size where the sign is 0 and fall where it is 1. */
static uint32_t key_of(float logit)
{
    uint32_t bits = 0;
    float x = logit + 0.0F; /* -0 becomes 0, which it equals */
    memcpy(&bits, &x, sizeof bits);
    return (bits & 0x80000000U) != 0 ? bits : ~bits & 0x7fffffffU;
}

static float logit_of(uint32_t key)
{
    uint32_t bits = (key & 0x80000000U) != 0 ? key : ~key & 0x7fffffffU;
    float x = 0;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Some ids of a vocabulary have no text or must not be generated; the mask keeps them out of every choice. */
static bool may_come(const fr_sample_rule *rule, int64_t id)
{
    return rule->never_V == NULL || rule->never_V[id].in_device == 0;
}

/* The lowest id wins among equal logits. With a NaN among them logits have no order, and nothing can be weighed against an
 * infinite one. */
static int32_t likeliest(const float *logits, int64_t vocab, const fr_sample_rule *rule)
{
    int32_t best = FR_NO_TOKEN;
    for (int64_t i = 0; i < vocab; i++) {
        if (!isfinite(logits[i])) {
            return FR_NO_TOKEN;
        }
        if ((best < 0 || logits[i] > logits[best]) && may_come(rule, i)) {
            best = (int32_t)i;
        }
    }
    return best;
}

enum { DIGITS = 3, DIGIT_BITS = 11, DIGIT_VALUES = 1 << DIGIT_BITS };

typedef struct histograms {
    uint32_t count[DIGITS][DIGIT_VALUES];
} histograms;

static uint32_t digit(uint32_t key, int place)
{
    return key >> (place * DIGIT_BITS) & (DIGIT_VALUES - 1);
}

/* The ids that may come, in ascending order, and how often each digit occurs. @return how many; 0 if a logit is not
 * finite */
static int64_t collect(const float *logits, int64_t vocab, const fr_sample_rule *rule,
                       candidate *out, histograms *h)
{
    int64_t n = 0;
    memset(h, 0, sizeof *h);
    for (int64_t i = 0; i < vocab; i++) {
        if (!isfinite(logits[i])) {
            return 0;
        }
        if (!may_come(rule, i)) {
            continue;
        }
        out[n] = (candidate){key_of(logits[i]), (int32_t)i};
        for (int place = 0; place < DIGITS; place++) {
            h->count[place][digit(out[n].key, place)]++;
        }
        n++;
    }
    return n;
}

/* By one digit. Candidates with the same digit keep their order, hence in the end those with the same logit that of
 * their ids. */
static void sort_by_digit(int64_t n, const candidate *from, candidate *to, int place,
                          const uint32_t *count)
{
    uint32_t next[DIGIT_VALUES];
    uint32_t sum = 0;
    for (int value = 0; value < DIGIT_VALUES; value++) {
        next[value] = sum;
        sum += count[value];
    }
    for (int64_t i = 0; i < n; i++) {
        to[next[digit(from[i].key, place)]++] = from[i];
    }
}

/* Relative to the highest logit no exponent is above 0: nothing overflows, and the first weight is exactly 1. */
static double weigh(const candidate *sorted, int64_t kept, double temperature,
                    double *weights)
{
    double highest = (double)logit_of(sorted[0].key);
    double total = 0.0;
    for (int64_t i = 0; i < kept; i++) {
        weights[i] = fr_exp(((double)logit_of(sorted[i].key) - highest) / temperature);
        total += weights[i];
    }
    return total;
}

static int32_t draw(const float *logits, int64_t vocab, const fr_sample_rule *rule,
                    double uniform, room own)
{
    histograms h;
    int64_t n = collect(logits, vocab, rule, own.a, &h);
    if (n == 0) {
        return FR_NO_TOKEN;
    }
    sort_by_digit(n, own.a, own.b, 0, h.count[0]);
    sort_by_digit(n, own.b, own.a, 1, h.count[1]);
    sort_by_digit(n, own.a, own.b, 2, h.count[2]);
    const candidate *sorted = own.b;
    double *weights = (double *)(void *)own.a;
    int64_t kept = rule->top_k > 0 ? fr_min(rule->top_k, n) : n;
    double total = weigh(sorted, kept, rule->temperature, weights);
    /* top_p holds within what top_k kept; the likeliest candidate always stays, as top_p * total is above 0 and its weight
     * is 1 */
    double mass = 0.0;
    int64_t nucleus = 0;
    while (nucleus < kept && mass < rule->top_p * total &&
           weights[nucleus] >= rule->min_p) {
        mass += weights[nucleus];
        nucleus++;
    }
    /* invert the distribution: the first candidate whose running sum passes the wanted share */
    double wanted = uniform * mass;
    double sum = 0.0;
    for (int64_t i = 0; i < nucleus; i++) {
        sum += weights[i];
        if (wanted < sum) {
            return sorted[i].id;
        }
    }
    /* uniform * mass may round up to mass itself */
    return sorted[nucleus - 1].id;
}

/* The room of the calling thread within that of all. */
static room own_room(float *all, int64_t vocab)
{
    candidate *a =
        (candidate *)(void *)(all + omp_get_thread_num() * ROOM_FLOATS * vocab);
    return (room){a, a + vocab};
}

/* Scratch is taken before the threads start, because allocation may fail; greedy needs none. */
fr_status fr_cpu_sample_rows(fr_device *device, int64_t n_rows, int64_t vocab,
                             const float *logits_NV, const fr_sample_rule *rule,
                             const double *uniform_N, int32_t *ids_N)
{
    bool greedy = rule->temperature <= 0.0;
    int threads = fr_kernels_threads(device->n_threads, n_rows * vocab);
    float *scratch = NULL;
    threads = (int)fr_max(1, fr_min(threads, n_rows));
    if (!greedy) {
        FR_TRY(fr_cpu_scratch(device, FR_SCRATCH_SAMPLE, threads * ROOM_FLOATS * vocab,
                              &scratch));
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t n = 0; n < n_rows; n++) {
        const float *row = logits_NV + n * vocab;
        ids_N[n] = greedy
                       ? likeliest(row, vocab, rule)
                       : draw(row, vocab, rule, uniform_N[n], own_room(scratch, vocab));
    }
    return FR_OK;
}
