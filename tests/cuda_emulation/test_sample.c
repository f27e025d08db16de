/* The choice of tokens on a CUDA device: the ids of the CPU, whatever the rule, with many equal logits too. */
#include "pair.h"

#include "base/elementary.h"
#include "base/rng.h"
#include "device/sample.h"
#include "support/devices.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How the logits of rows are made. */
typedef enum kind {
    SPREAD,  /* all different, over some nats */
    TIES,    /* few values, zeros of both signs */
    FLAT,    /* all equal: weights are 1, so each sum is a tie or a power of two */
    HALVES,  /* weights near 1, 1/2, 1/4, ...: sums with ties of rounding */
    STEEP,   /* weights down to nothing */
    EXTREME, /* all sizes of numbers, subnormal ones too */
    KINDS
} kind;

static float logit_of_kind(kind which, float x)
{
    static const float FEW[] = {-0.0F, 0.0F, 1.5F, -2.0F, 0.25F, 0.0F, -0.0F};
    int number = (int)((x + 1.0F) * 5000.0F);
    switch (which) {
    case SPREAD:
        return 8.0F * x;
    case TIES:
        return FEW[number % FR_N_CASES(FEW)];
    case FLAT:
        return -3.0F;
    case HALVES:
        return -0.693147181F * (float)(number % 50);
    case STEEP:
        return 1500.0F * x;
    case EXTREME:
    case KINDS:
        break;
    }
    return ldexpf(x, number % 276 - 149);
}

typedef struct rows {
    fr_pair logits;
    fr_pair never;
    fr_pair ids;
    double *uniform;
    int64_t n;
    int64_t vocab;
} rows;

static rows rows_of(const fr_two *two, int64_t n, int64_t vocab, kind which, int at,
                    uint64_t stream)
{
    float *numbers = fr_test_numbers(n * vocab + at + 1, stream, 1.0);
    uint8_t *never = calloc((size_t)vocab, 1);
    rows r = {.n = n, .vocab = vocab, .uniform = calloc((size_t)n + 1, sizeof(double))};
    for (int64_t i = 0; i < n * vocab; i++) {
        numbers[at + i] = logit_of_kind(which, numbers[at + i]);
    }
    for (int64_t i = 0; i < vocab; i++) {
        never[i] = (uint8_t)(i % 3 == 1 ? 2 : 0);
    }
    for (int64_t i = 0; i < n; i++) {
        r.uniform[i] = fr_rng_uniform(7, FR_RNG_TEST, stream, (uint64_t)i);
    }
    if (n > 1) {
        r.uniform[0] = 0;
        r.uniform[1] = nextafter(1.0, 0.0);
    }
    r.logits = fr_pair_of(two, "logits", n * vocab + at, FR_F32, numbers);
    r.never = fr_pair_bytes(two, "never", vocab, 1, never);
    r.ids = fr_pair_bytes(two, "ids", n, sizeof(int32_t), NULL);
    free(numbers);
    free(never);
    return r;
}

static void rows_free(rows *r)
{
    fr_pair_free(&r->logits);
    fr_pair_free(&r->never);
    fr_pair_free(&r->ids);
    free(r->uniform);
}

static void check(const fr_two *two, const rows *r, int at, fr_sample_rule rule,
                  bool masked)
{
    rule.never_V = masked ? r->never.cpu : NULL;
    FR_ASSERT_OK(fr_sample_rows(two->cpu, r->n, r->vocab,
                                fr_pair_cpu_f32(&r->logits) + at, &rule, r->uniform,
                                r->ids.cpu));
    rule.never_V = masked ? r->never.cuda : NULL;
    FR_ASSERT_OK(fr_sample_rows(two->cuda, r->n, r->vocab,
                                fr_pair_cuda_f32(&r->logits) + at, &rule, r->uniform,
                                r->ids.cuda));
    fr_pair_assert_same(&r->ids);
}

static const fr_sample_rule RULES[] = {
    {0.0, 0, 1.0, NULL, 0.0},     {1.0, 0, 1.0, NULL, 0.0},
    {0.7, 0, 1.0, NULL, 0.0},     {1.0, 0, 0.9, NULL, 0.0},
    {1.3, 50, 1.0, NULL, 0.0},    {0.8, 40, 0.95, NULL, 0.0},
    {1.0, 1, 1.0, NULL, 0.0},     {1.0, 7, 0.5, NULL, 0.0},
    {1e-3, 0, 0.999, NULL, 0.0},  {30.0, 100000, 0.3, NULL, 0.0},
    {1e-300, 3, 1e-9, NULL, 0.0}, {1.5, 0, 1.0, NULL, 0.05},
    {2.0, 60, 0.9, NULL, 0.3},    {1.0, 0, 1.0, NULL, 1.0}};

static void ids_are_those_of_the_cpu(void)
{
    static const int64_t VOCABS[] = {1, 2, 31, 33, 257, 700};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(VOCABS) * KINDS; i++) {
        if (!fr_pair_takes(i, 13)) {
            continue;
        }
        int64_t vocab = VOCABS[i / KINDS];
        int at = i % 4;
        rows r = rows_of(&two, 7, vocab, (kind)(i % KINDS), at, (uint64_t)i);
        for (int j = 0; j < 2 * FR_N_CASES(RULES); j++) {
            if (!fr_pair_takes(j, 5)) {
                continue;
            }
            check(&two, &r, at, RULES[j / 2], j % 2 == 1);
        }
        rows_free(&r);
    }
    fr_two_close(&two);
}

/* Several warps, more than one round of the sum, and powers of two that it reaches. */
static void large_vocabularies_too(void)
{
    enum { VOCAB = 20011 };
    fr_two two = fr_two_open();
    for (int i = 0; i < KINDS; i++) {
        if (!fr_pair_takes(i, KINDS)) {
            continue;
        }
        rows r = rows_of(&two, 1, VOCAB, (kind)i, 1, (uint64_t)i);
        check(&two, &r, 1, RULES[0], true);
        check(&two, &r, 1, RULES[1], false);
        check(&two, &r, 1, RULES[3], true);
        check(&two, &r, 1, RULES[5], false);
        rows_free(&r);
    }
    fr_two_close(&two);
}

static int falling(const void *a, const void *b)
{
    float x = *(const float *)a;
    float y = *(const float *)b;
    return (x < y) - (x > y);
}

/* The CPU's running sums of a row's weights; how many there are is `n`. */
static void sum_weights(int64_t n, const float *row, double *sums)
{
    float *sorted = calloc((size_t)n, sizeof *sorted);
    memcpy(sorted, row, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, falling);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += fr_exp((double)sorted[i] - (double)sorted[0]);
        sums[i] = sum;
    }
    free(sorted);
}

enum { SHARES = 40, SHARE_ROWS = 3 * SHARES, MOST_SHARED = 2000 };

/* Each bit of the running sums shows: rows of the same logits as the first, with uniform numbers that fall next to the ends of
 * shares. */
static void check_row(const fr_two *two, rows *r)
{
    double sums[MOST_SHARED];
    int64_t vocab = r->vocab;
    float *numbers = r->logits.cpu;
    sum_weights(vocab, numbers, sums);
    for (int i = 0; i < SHARE_ROWS; i++) {
        double share = sums[i / 3 * (vocab / SHARES)] / sums[vocab - 1];
        double next[] = {share, nextafter(share, 1.0), nextafter(share, 0.0)};
        r->uniform[i] = next[i % 3];
        memmove(numbers + (int64_t)i * vocab, numbers, (size_t)vocab * sizeof *numbers);
    }
    FR_ASSERT_OK(fr_device_load(two->cuda, r->logits.cuda, numbers,
                                SHARE_ROWS * vocab * (int64_t)sizeof(float)));
    check(two, r, 0, RULES[1], false);
    rows_free(r);
}

/* Where all but the first are equal, most steps of some power of two are ties of rounding. */
static void check_shares(const fr_two *two, int number, int vocab)
{
    static const kind SORTS[] = {SPREAD, TIES, HALVES};
    rows r = rows_of(two, SHARE_ROWS, vocab, SORTS[number % FR_N_CASES(SORTS)], 0,
                     (uint64_t)number + 90);
    float *numbers = r.logits.cpu;
    for (int i = 0; i < vocab && number >= FR_N_CASES(SORTS); i++) {
        numbers[i] = i == 0 ? 0.0F : -0.017F * (float)number;
    }
    check_row(two, &r);
}

static void every_share_ends_where_it_does_on_the_cpu(void)
{
    fr_two two = fr_two_open();
    for (int number = 0; number < 25; number++) {
        if (!fr_pair_takes(number, 25)) {
            continue;
        }
        check_shares(&two, number, 40);
    }
    for (int i = 1; i < 3; i++) {
        if (fr_pair_takes(i, 3)) {
            check_shares(&two, i == 1 ? 0 : 9, i == 1 ? 2000 : 1999);
        }
    }
    fr_two_close(&two);
}

/* A logit whose weight, between 1/2 and 1, is a multiple of 2^(zeros - 53). */
static float round_weight(uint64_t stream, uint64_t *tries, int zeros)
{
    for (;;) {
        float logit =
            (float)(-0.6 * fr_rng_uniform(7, FR_RNG_TEST, stream, (*tries)++));
        double weight = fr_exp((double)logit);
        uint64_t bits = 0;
        memcpy(&bits, &weight, sizeof bits);
        if (bits % ((uint64_t)1 << zeros) == 0 && weight < 1.0) {
            return logit;
        }
    }
}

/* While a sum lies in [2^e, 2^(e+1)) its steps are multiples of half its last place: some are ties of rounding, the others even
 * or odd. So each step shows whether the one before knew the parity of the sum that it begins with, in a thread and between
 * threads. */
static void ties_come_after_sums_of_either_parity(void)
{
    fr_two two = fr_two_open();
    for (int number = 0; number < 20; number++) {
        if (!fr_pair_takes(number, 20)) {
            continue;
        }
        int e = 3 + number % 5;
        int vocab = (2 << e) + SHARES;
        uint64_t tries = 0;
        rows r = rows_of(&two, SHARE_ROWS, vocab, SPREAD, 0, (uint64_t)number + 200);
        float *numbers = r.logits.cpu;
        numbers[0] = 0.0F;
        for (int i = 1; i < vocab; i++) {
            numbers[i] = round_weight((uint64_t)number + 300, &tries, e);
        }
        check_row(&two, &r);
    }
    fr_two_close(&two);
}

/* A number that is not finite, wherever and whether or not its id may come; a mask that leaves nothing. */
static void bad_rows_choose_nothing(void)
{
    enum { N = 24, VOCAB = 300 };
    static const float BAD[] = {NAN, INFINITY, -INFINITY};
    fr_two two = fr_two_open();
    rows r = rows_of(&two, N, VOCAB, SPREAD, 0, 3);
    float *numbers = r.logits.cpu;
    for (int64_t n = 0; n < N; n += 2) {
        numbers[n * VOCAB + (n * 97 + VOCAB - 1) % VOCAB] = BAD[n / 2 % 3];
    }
    FR_ASSERT_OK(fr_device_load(two.cuda, r.logits.cuda, numbers,
                                N * VOCAB * (int64_t)sizeof(float)));
    for (int j = 0; j < 2 * FR_N_CASES(RULES); j++) {
        if (!fr_pair_takes(j, 11)) {
            continue;
        }
        check(&two, &r, 0, RULES[j / 2], j % 2 == 1);
        CU_ASSERT_EQUAL(((int32_t *)r.ids.cpu)[2], FR_NO_TOKEN);
    }
    memset(r.never.cpu, 1, VOCAB);
    FR_ASSERT_OK(fr_device_load(two.cuda, r.never.cuda, r.never.cpu, VOCAB));
    check(&two, &r, 0, RULES[0], true);
    CU_ASSERT_EQUAL(((int32_t *)r.ids.cpu)[1], FR_NO_TOKEN);
    check(&two, &r, 0, RULES[5], true);
    r.n = 0;
    check(&two, &r, 0, RULES[5], false);
    rows_free(&r);
    fr_two_close(&two);
}

static const fr_case CASES[] = {
    FR_CASE(ids_are_those_of_the_cpu),
    FR_CASE(large_vocabularies_too),
    FR_CASE(every_share_ends_where_it_does_on_the_cpu),
    FR_CASE(ties_come_after_sums_of_either_parity),
    FR_CASE(bad_rows_choose_nothing),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_sample", CASES, FR_N_CASES(CASES), argc, argv);
}
