/* The choice of tokens: known distributions, and the same ids as by a plain sort of all candidates. */
#include "device/sample.h"

#include "base/elementary.h"
#include "base/rng.h"
#include "device/host.h"
#include "support/devices.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 5 };

static const float LOGITS[VOCAB] = {0.0F, 3.0F, 1.0F, 3.0F, 2.0F};

static int32_t choose(fr_device *device, const float *logits,
                      const fr_sample_rule *rule, double uniform)
{
    int32_t id = -2;
    FR_ASSERT_OK(fr_sample_rows(device, 1, VOCAB, fr_host_f32(logits), rule, &uniform,
                                fr_host_i32(&id)));
    return id;
}

static int32_t pick_likely(fr_device *device, double min_p, double uniform)
{
    fr_sample_rule rule = {1.0, 0, 1.0, NULL, min_p};
    return choose(device, LOGITS, &rule, uniform);
}

static int32_t pick(fr_device *device, double temperature, int64_t top_k, double top_p,
                    double uniform)
{
    fr_sample_rule rule = {temperature, top_k, top_p, NULL, 0.0};
    return choose(device, LOGITS, &rule, uniform);
}

static void check_few(fr_device *device, void *user)
{
    (void)user;
    CU_ASSERT_EQUAL(pick(device, 0.0, 0, 1.0, 0.99), 1);
    CU_ASSERT_EQUAL(pick(device, 1.0, 1, 1.0, 0.999), 1);
    CU_ASSERT_EQUAL(pick(device, 1.0, 2, 1.0, 0.0), 1);
    CU_ASSERT_EQUAL(pick(device, 1.0, 2, 1.0, 0.999), 3);
    CU_ASSERT_EQUAL(pick(device, 1.0, 0, 0.5, 0.999), 3);
    CU_ASSERT_EQUAL(pick(device, 1.0, 0, 0.1, 0.999), 1);
    /* weights 1, 1, 0.37, 0.14, 0.05 */
    CU_ASSERT_EQUAL(pick_likely(device, 0.0, 0.999), 0);
    CU_ASSERT_EQUAL(pick_likely(device, 0.1, 0.999), 2);
    CU_ASSERT_EQUAL(pick_likely(device, 0.2, 0.999), 4);
    CU_ASSERT_EQUAL(pick_likely(device, 0.4, 0.999), 3);
    CU_ASSERT_EQUAL(pick_likely(device, 1.0, 0.4), 1);
}

/* Greedy takes the lowest id of the likeliest, top-k keeps only k, top-p the smallest set, min-p a share of the likeliest. */
static void options_keep_what_they_say(void)
{
    fr_test_each_isa(check_few, NULL);
}

static void frequencies_follow_the_distribution(void)
{
    enum { N = 10000 };
    fr_device *device = fr_test_device(FR_ISA_GENERIC, 1);
    int counts[VOCAB] = {0};
    double total = 0.0;
    for (int i = 0; i < N; i++) {
        counts[pick(device, 2.0, 0, 1.0, (i + 0.5) / N)]++;
    }
    for (int i = 0; i < VOCAB; i++) {
        total += exp((double)LOGITS[i] / 2.0);
    }
    for (int i = 0; i < VOCAB; i++) {
        double wanted = exp((double)LOGITS[i] / 2.0) / total;
        CU_ASSERT_DOUBLE_EQUAL((double)counts[i] / N, wanted, 2.0 / N);
    }
    fr_device_destroy(&device);
}

/* Zeros of both signs are equal, so ids alone order them; a share's end belongs to the next one. */
static void equal_logits_come_by_their_ids(void)
{
    static const float ZEROS[VOCAB] = {-0.0F, 0.0F, 0.0F, -0.0F, 0.0F};
    static const fr_sample_rule RULE = {1.0, 0, 1.0, NULL, 0.0};
    fr_device *device = fr_test_device(FR_ISA_GENERIC, 1);
    for (int i = 0; i < VOCAB; i++) {
        CU_ASSERT_EQUAL(choose(device, ZEROS, &RULE, i / 5.0), i);
        CU_ASSERT_EQUAL(choose(device, ZEROS, &RULE, (i + 0.999) / 5.0), i);
    }
    fr_device_destroy(&device);
}

/* Of two logits next to each other, whatever their signs, the higher one is kept. */
static void neighbours_are_told_apart(void)
{
    static const float NEAR[] = {1.0F, -1.0F, 3e38F, -3e38F, 1e-42F, -1e-42F, 0.0F};
    static const fr_sample_rule RULE = {1.0, 1, 1.0, NULL, 0.0};
    fr_device *device = fr_test_device(FR_ISA_GENERIC, 1);
    for (int i = 0; i < FR_N_CASES(NEAR); i++) {
        float low = NEAR[i];
        float logits[VOCAB] = {low, low, low, nextafterf(low, INFINITY), low};
        CU_ASSERT_EQUAL(choose(device, logits, &RULE, 0.5), 3);
    }
    fr_device_destroy(&device);
}

/* Wherever it stands and whatever the options: an order over NaN would depend on the sort. */
static void logits_that_are_not_finite_choose_nothing(void)
{
    static const float BAD[] = {NAN, INFINITY, -INFINITY};
    static const uint8_t NEVER[VOCAB] = {1, 1, 1, 0, 1};
    const fr_sample_rule RULES[] = {{0.0, 0, 1.0, NULL, 0.0},
                                    {1.0, 1, 0.5, NULL, 0.0},
                                    {0.0, 0, 1.0, fr_host_bytes(NEVER), 0.0},
                                    {1.0, 0, 1.0, fr_host_bytes(NEVER), 0.0}};
    fr_device *device = fr_test_device(FR_ISA_GENERIC, 1);
    for (int at = 0; at < VOCAB * 12; at++) {
        float logits[VOCAB];
        memcpy(logits, LOGITS, sizeof logits);
        logits[at % VOCAB] = BAD[at / VOCAB % 3];
        CU_ASSERT_EQUAL(choose(device, logits, &RULES[at / VOCAB / 3], 0.5),
                        FR_NO_TOKEN);
    }
    fr_device_destroy(&device);
}

/* The two likeliest, and with them the least likely, may not come: greedy, sampled, and whatever is kept. */
static void some_ids_are_never_chosen(void)
{
    static const uint8_t NEVER[VOCAB] = {1, 1, 0, 1, 0};
    static const uint8_t NONE_LEFT[VOCAB] = {1, 1, 1, 1, 1};
    fr_device *device = fr_test_device(FR_ISA_GENERIC, 1);
    fr_sample_rule rules[] = {{0.0, 0, 1.0, fr_host_bytes(NEVER), 0.0},
                              {1.0, 1, 1.0, fr_host_bytes(NEVER), 0.0},
                              {1.0, 0, 0.1, fr_host_bytes(NEVER), 0.0},
                              {1.0, 0, 1.0, fr_host_bytes(NEVER), 0.0}};
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(choose(device, LOGITS, &rules[i], 0.0), 4);
        CU_ASSERT_EQUAL(choose(device, LOGITS, &rules[i], 0.999), i < 3 ? 4 : 2);
        rules[i].never_V = fr_host_bytes(NONE_LEFT);
        CU_ASSERT_EQUAL(choose(device, LOGITS, &rules[i], 0.5), FR_NO_TOKEN);
    }
    fr_device_destroy(&device);
}

/* ---- against a plain sort ------------------------------------------------------------------- */

typedef struct candidate {
    int32_t id;
    float logit;
} candidate;

static int compare(const void *left, const void *right)
{
    const candidate *a = left;
    const candidate *b = right;
    if (a->logit != b->logit) {
        return a->logit > b->logit ? -1 : 1;
    }
    return (a->id > b->id) - (a->id < b->id);
}

static double weight(const candidate *c, const fr_sample_rule *rule, float highest)
{
    return fr_exp(((double)c->logit - (double)highest) / rule->temperature);
}

static int32_t reference(const float *logits, int64_t vocab, const fr_sample_rule *rule,
                         double uniform, candidate *list)
{
    int64_t n = 0;
    for (int64_t i = 0; i < vocab; i++) {
        if (rule->never_V == NULL || rule->never_V[i].in_device == 0) {
            list[n++] = (candidate){(int32_t)i, logits[i]};
        }
    }
    if (n == 0) {
        return FR_NO_TOKEN;
    }
    qsort(list, (size_t)n, sizeof *list, compare);
    if (rule->temperature == 0.0) {
        return list[0].id;
    }
    int64_t kept = rule->top_k > 0 && rule->top_k < n ? rule->top_k : n;
    double total = 0.0;
    for (int64_t i = 0; i < kept; i++) {
        total += weight(&list[i], rule, list[0].logit);
    }
    double mass = 0.0;
    int64_t nucleus = 0;
    while (nucleus < kept && (nucleus == 0 || (mass < rule->top_p * total &&
                                               weight(&list[nucleus], rule,
                                                      list[0].logit) >= rule->min_p))) {
        mass += weight(&list[nucleus++], rule, list[0].logit);
    }
    double sum = 0.0;
    for (int64_t i = 0; i < nucleus; i++) {
        sum += weight(&list[i], rule, list[0].logit);
        if (uniform * mass < sum) {
            return list[i].id;
        }
    }
    return list[nucleus - 1].id;
}

enum { ROWS = 14 };

/* What all devices choose from, and what they must choose: by a plain sort, made once. */
typedef struct choice_case {
    int64_t vocab;
    int64_t n_rows;
    fr_sample_rule rule;
    float *logits;
    double uniform[ROWS];
    int32_t wanted[ROWS];
} choice_case;

/* Rows of all kinds: spread widely, both signs; equal ones, with zeros of both signs among them; far apart, so that most
 * weights are 0 or vanish in the sum; and subnormal ones. */
static void fill_row(float *row, int64_t vocab, int64_t kind)
{
    for (int64_t i = 0; i < vocab; i++) {
        float x = row[i];
        row[i] = kind == 0   ? 12 * x
                 : kind == 1 ? rintf(2 * x) * (i % 3 == 0 ? -1.0F : 1.0F)
                 : kind == 2 ? x * x * x * 3e38F
                             : ldexpf(x, -130);
    }
}

static choice_case make_case(int64_t vocab, int64_t n_rows, const fr_sample_rule *rule,
                             uint64_t stream)
{
    choice_case c = {.vocab = vocab, .n_rows = n_rows, .rule = *rule};
    candidate *list = calloc((size_t)vocab, sizeof *list);
    c.logits = fr_test_numbers(n_rows * vocab, stream, 1);
    for (int64_t n = 0; n < n_rows; n++) {
        double drawn = fr_rng_uniform(7, FR_RNG_TEST, stream, (uint64_t)n);
        c.uniform[n] = n == 0 ? 0.0 : n == 1 ? 1 - ldexp(1, -53) : drawn;
        fill_row(c.logits + n * vocab, vocab, n % 4);
        c.wanted[n] = reference(c.logits + n * vocab, vocab, rule, c.uniform[n], list);
    }
    free(list);
    return c;
}

static void check_case(fr_device *device, void *user)
{
    const choice_case *c = user;
    int32_t ids[ROWS + 1];
    for (int n = 0; n <= ROWS; n++) {
        ids[n] = -7;
    }
    FR_ASSERT_OK(fr_sample_rows(device, c->n_rows, c->vocab, fr_host_f32(c->logits),
                                &c->rule, c->uniform, fr_host_i32(ids)));
    for (int64_t n = 0; n < c->n_rows; n++) {
        CU_ASSERT_EQUAL(ids[n], c->wanted[n]);
    }
    CU_ASSERT_EQUAL(ids[c->n_rows], -7);
}

static void choices_are_those_of_a_plain_sort(void)
{
    static const int64_t VOCABS[] = {1, 2, 23, 1000, 4099};
    enum { LARGEST = 4099, RULES = 9 };
    static uint8_t never[LARGEST];
    const fr_sample_rule rules[RULES] = {{0.0, 0, 1.0, fr_host_bytes(never), 0.0},
                                         {0.0, 3, 0.5, NULL, 0.0},
                                         {1.0, 0, 1.0, NULL, 0.0},
                                         {0.7, 0, 0.9, fr_host_bytes(never), 0.0},
                                         {1.3, 40, 1.0, NULL, 0.0},
                                         {100.0, 900, 0.95, fr_host_bytes(never), 0.0},
                                         {0.01, 0, 1.0, NULL, 0.0},
                                         {1.5, 0, 1.0, NULL, 0.05},
                                         {2.0, 60, 0.9, fr_host_bytes(never), 0.3}};
    for (int i = 0; i < LARGEST; i++) {
        never[i] = i % 5 == 2 || i % 7 == 1;
    }
    for (int i = 0; i < FR_N_CASES(VOCABS) * RULES; i++) {
        choice_case c = make_case(VOCABS[i / RULES], i % 3 == 0 ? ROWS : 5,
                                  &rules[i % RULES], (uint64_t)i);
        fr_test_each_device(check_case, &c);
        free(c.logits);
    }
}

static void check_none(fr_device *device, void *user)
{
    choice_case none = {.vocab = VOCAB, .rule = {1.0, 0, 1.0, NULL, 0.0}};
    (void)user;
    check_case(device, &none);
}

static void no_rows_are_no_choice(void)
{
    fr_test_each_device(check_none, NULL);
}

static const fr_case CASES[] = {
    FR_CASE(options_keep_what_they_say),
    FR_CASE(frequencies_follow_the_distribution),
    FR_CASE(equal_logits_come_by_their_ids),
    FR_CASE(neighbours_are_told_apart),
    FR_CASE(logits_that_are_not_finite_choose_nothing),
    FR_CASE(some_ids_are_never_chosen),
    FR_CASE(choices_are_those_of_a_plain_sort),
    FR_CASE(no_rows_are_no_choice),
};

int main(int argc, char **argv)
{
    return fr_suite_main("sample", CASES, FR_N_CASES(CASES), argc, argv);
}
