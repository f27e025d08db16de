#include "model/network/sample.h"
#include "support/suite.h"

#include <math.h>
#include <string.h>

enum { VOCAB = 5 };

static const float LOGITS[VOCAB] = {0.0f, 3.0f, 1.0f, 3.0f, 2.0f};

static int32_t pick(double temperature, int64_t top_k, double top_p, double uniform)
{
    fr_candidate scratch[VOCAB];
    fr_sample_params params = {temperature, top_k, top_p, 1, NULL};
    return fr_sample(LOGITS, VOCAB, &params, uniform, scratch);
}

static void greedy_takes_the_lowest_id_of_the_likeliest(void)
{
    CU_ASSERT_EQUAL(pick(0.0, 0, 1.0, 0.99), 1);
}

static void top_k_one_is_greedy(void)
{
    CU_ASSERT_EQUAL(pick(1.0, 1, 1.0, 0.999), 1);
}

static void top_k_keeps_only_k(void)
{
    CU_ASSERT_EQUAL(pick(1.0, 2, 1.0, 0.0), 1);
    CU_ASSERT_EQUAL(pick(1.0, 2, 1.0, 0.999), 3);
}

static void top_p_keeps_the_smallest_set(void)
{
    CU_ASSERT_EQUAL(pick(1.0, 0, 0.5, 0.999), 3);
    CU_ASSERT_EQUAL(pick(1.0, 0, 0.1, 0.999), 1);
}

static void frequencies_follow_the_distribution(void)
{
    int counts[VOCAB] = {0};
    double total = 0.0;
    enum { N = 10000 };
    for (int i = 0; i < N; i++) {
        counts[pick(2.0, 0, 1.0, (i + 0.5) / N)]++;
    }
    for (int i = 0; i < VOCAB; i++) {
        total += exp((double)LOGITS[i] / 2.0);
    }
    for (int i = 0; i < VOCAB; i++) {
        double wanted = exp((double)LOGITS[i] / 2.0) / total;
        CU_ASSERT_DOUBLE_EQUAL((double)counts[i] / N, wanted, 2.0 / N);
    }
}

/* Wherever it stands and whatever the options: an order over NaN would depend on the sort. */
static void logits_that_are_not_finite_choose_nothing(void)
{
    static const float BAD[] = {NAN, INFINITY, -INFINITY};
    static const fr_sample_params WAYS[] = {{0.0, 0, 1.0, 1, NULL},
                                            {1.0, 1, 0.5, 1, NULL}};
    fr_candidate scratch[VOCAB];
    for (int at = 0; at < VOCAB * 6; at++) {
        float logits[VOCAB];
        memcpy(logits, LOGITS, sizeof logits);
        logits[at % VOCAB] = BAD[at / VOCAB % 3];
        CU_ASSERT_EQUAL(fr_sample(logits, VOCAB, &WAYS[at / VOCAB / 3], 0.5, scratch),
                        FR_NO_TOKEN);
    }
}

/* The two likeliest, and with them the least likely, may not come: greedy, sampled, and whatever is kept. */
static void some_ids_are_never_chosen(void)
{
    static const uint8_t NEVER[VOCAB] = {1, 1, 0, 1, 0};
    static const uint8_t NONE_LEFT[VOCAB] = {1, 1, 1, 1, 1};
    fr_candidate scratch[VOCAB];
    fr_sample_params ways[] = {{0.0, 0, 1.0, 1, NEVER},
                               {1.0, 1, 1.0, 1, NEVER},
                               {1.0, 0, 0.1, 1, NEVER},
                               {1.0, 0, 1.0, 1, NEVER}};
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(fr_sample(LOGITS, VOCAB, &ways[i], 0.0, scratch), 4);
        CU_ASSERT_EQUAL(fr_sample(LOGITS, VOCAB, &ways[i], 0.999, scratch),
                        i < 3 ? 4 : 2);
        ways[i].never_V = NONE_LEFT;
        CU_ASSERT_EQUAL(fr_sample(LOGITS, VOCAB, &ways[i], 0.5, scratch), FR_NO_TOKEN);
    }
}

static void bad_options_are_named(void)
{
    fr_sample_params params = {-1.0, 0, 1.0, 0, NULL};
    FR_ASSERT_FAILS(fr_sample_check(fr_test_ctx(), &params), FR_ERR_ARG,
                    "--temperature");
    params = (fr_sample_params){1.0, -1, 1.0, 0, NULL};
    FR_ASSERT_FAILS(fr_sample_check(fr_test_ctx(), &params), FR_ERR_ARG, "--top-k");
    params = (fr_sample_params){1.0, 0, 0.0, 0, NULL};
    FR_ASSERT_FAILS(fr_sample_check(fr_test_ctx(), &params), FR_ERR_ARG, "--top-p");
    params = (fr_sample_params){1.0, 0, (double)NAN, 0, NULL};
    FR_ASSERT_FAILS(fr_sample_check(fr_test_ctx(), &params), FR_ERR_ARG, "--top-p");
}

static const fr_case CASES[] = {
    FR_CASE(greedy_takes_the_lowest_id_of_the_likeliest),
    FR_CASE(top_k_one_is_greedy),
    FR_CASE(top_k_keeps_only_k),
    FR_CASE(top_p_keeps_the_smallest_set),
    FR_CASE(frequencies_follow_the_distribution),
    FR_CASE(logits_that_are_not_finite_choose_nothing),
    FR_CASE(some_ids_are_never_chosen),
    FR_CASE(bad_options_are_named),
};

int main(int argc, char **argv)
{
    return fr_suite_main("sample", CASES, FR_N_CASES(CASES), argc, argv);
}
