/* Attention with another scale, a cap, slopes and windows: both directions against f64, and what a window leaves unread. */
#include "support/approx.h"
#include "support/attention_case.h"
#include "support/devices.h"
#include "support/difference.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** A case and its reference. */
typedef struct pair {
    fr_attention_case *got;
    fr_attention_reference *wanted;
} pair;

/* A gradient of scores is the difference of numbers near 1, and 0 for rows that see one key. So errors are measured against
 * a quarter at least. */
static const float LEAST = 0.25F;

static void compare(const char *what, const float *got, const double *wanted, int64_t n,
                    fr_approx_operator tolerance)
{
    float *both[] = {fr_test_zeros(n + 1), fr_test_zeros(n + 1)};
    memcpy(both[0], got, (size_t)n * sizeof *got);
    for (int64_t i = 0; i < n; i++) {
        both[1][i] = (float)wanted[i];
    }
    both[0][n] = both[1][n] = LEAST;
    fr_assert_close(what, both[0], both[1], n + 1, fr_approx(tolerance, FR_F32));
    free(both[0]);
    free(both[1]);
}

static void check_forward(fr_device *device, void *user)
{
    pair *p = user;
    fr_attention_case *c = p->got;
    fr_attention_case_forward(device, c);
    compare("o", c->o, p->wanted->o, fr_attention_case_o_count(c), FR_APPROX_ATTENTION);
    compare("lse", c->lse, p->wanted->lse, c->params.n_tokens * c->params.n_heads,
            FR_APPROX_ATTENTION_LSE);
}

static void check_backward(fr_device *device, void *user)
{
    pair *p = user;
    fr_attention_case *c = p->got;
    fr_attention_reference *r = p->wanted;
    int64_t n_keys = fr_attention_case_key_count(c);
    int64_t n_prefix = c->n_units * fr_attention_case_prefix_count(c);
    size_t bytes = (size_t)n_prefix * sizeof(float);
    fr_attention_case_forward(device, c);
    fr_attention_case_backward(device, c, false);
    compare("dq", c->dq, r->dq, fr_attention_case_q_count(c), FR_APPROX_ATTENTION_BACK);
    compare("dk", c->dk, r->dk, n_keys, FR_APPROX_ATTENTION_BACK);
    compare("dv", c->dv, r->dv, n_keys, FR_APPROX_ATTENTION_BACK);
    if (n_prefix == 0) {
        return;
    }
    compare("dprefix k", c->dprefix_k, r->dprefix_k, n_prefix,
            FR_APPROX_ATTENTION_BACK);
    compare("dprefix v", c->dprefix_v, r->dprefix_v, n_prefix,
            FR_APPROX_ATTENTION_BACK);
    float *both[] = {fr_test_zeros(n_prefix), fr_test_zeros(n_prefix)};
    memcpy(both[0], c->dprefix_k, bytes);
    memcpy(both[1], c->dprefix_v, bytes);
    memset(c->dprefix_k, 0, bytes);
    memset(c->dprefix_v, 0, bytes);
    fr_attention_case_backward(device, c, true);
    fr_assert_same_bytes("dprefix k alone", c->dprefix_k, both[0], bytes);
    fr_assert_same_bytes("dprefix v alone", c->dprefix_v, both[1], bytes);
    free(both[0]);
    free(both[1]);
}

static void check_layout(const fr_attention_layout *layout, int shape, bool backward)
{
    for (int i = 0; i < FR_ATTENTION_SCORES; i++) {
        const fr_attention_scores *scores = &fr_attention_scores_list[i];
        pair p;
        unsigned failed = CU_get_number_of_failures();
        p.got = fr_attention_case_create(&fr_attention_shapes[shape],
                                         layout->n_segments, layout->segments);
        fr_attention_case_score(p.got, scores);
        p.wanted = fr_attention_reference_create(p.got);
        fr_attention_reference_forward(p.wanted);
        if (backward) {
            fr_attention_reference_backward(p.wanted);
        }
        fr_test_each_isa(backward ? check_backward : check_forward, &p);
        if (CU_get_number_of_failures() != failed) {
            printf("%s, shape %d: %s\n", layout->name, shape, scores->name);
        }
        fr_attention_reference_destroy(&p.wanted);
        fr_attention_case_destroy(&p.got);
    }
}

/* Heads in groups and alone, 1 to 48 tokens a tile, prefixes of 0 to more than a tile. */
static void training_segments_match_f64_both_ways(void)
{
    check_layout(&fr_training_layouts[0], 5, true);
    check_layout(&fr_training_layouts[1], 2, true);
    check_layout(&fr_training_layouts[2], 1, true);
    check_layout(&fr_training_layouts[3], 4, true);
}

static void cached_keys_match_f64(void)
{
    check_layout(&fr_decode_layout, 1, false);
    check_layout(&fr_decode_layout, 5, false);
}

static double reference_loss(const double *x, const void *user)
{
    (void)x; /* one of the reference's own inputs */
    return fr_attention_reference_loss(*(fr_attention_reference *const *)user);
}

/* Every `step`-th derivative by one input of the reference against the operator's gradient. */
static void check_input(const char *what, fr_attention_reference *r, double *input,
                        int64_t n, int64_t step, const float *gradient)
{
    float *slopes = fr_test_zeros(n + 1);
    float *got = fr_test_zeros(n + 1);
    fr_test_difference(reference_loss, &r, n, step, input, slopes);
    for (int64_t i = 0; i < n; i += step) {
        got[i] = gradient[i];
    }
    got[n] = slopes[n] = LEAST;
    fr_assert_close(what, got, slopes, n + 1, fr_approx(FR_APPROX_DIFFERENCE, FR_F32));
    free(slopes);
    free(got);
}

static void check_slopes(fr_device *device, void *user)
{
    static const fr_attention_shape SHAPE = {4, 2, 6, 3};
    static const fr_segment SEGMENTS[] = {
        {.q_first = 1, .q_count = 9, .own_first = 1, .sees_prefix = true},
        {.q_first = 10,
         .q_count = 7,
         .own_first = 10,
         .sees_prefix = true,
         .n_spans = 1,
         .spans = {{1, 9, 0}}}};
    fr_attention_case *c =
        fr_attention_case_create(&SHAPE, FR_N_CASES(SEGMENTS), SEGMENTS);
    fr_attention_case_score(c, user);
    fr_attention_reference *r = fr_attention_reference_create(c);
    int64_t n_keys = fr_attention_case_key_count(c);
    int64_t n_prefix = fr_attention_case_prefix_count(c);
    memset(c->dq, 0, (size_t)fr_attention_case_q_count(c) * sizeof(float));
    memset(c->dk, 0, (size_t)n_keys * sizeof(float));
    memset(c->dv, 0, (size_t)n_keys * sizeof(float));
    fr_attention_case_forward(device, c);
    fr_attention_case_backward(device, c, false);
    check_input("slope by q", r, r->q, fr_attention_case_q_count(c), 7, c->dq);
    check_input("slope by k", r, r->k, n_keys, 5, c->dk);
    check_input("slope by v", r, r->v, n_keys, 5, c->dv);
    check_input("slope by prefix k", r, r->prefix_k, n_prefix, 1, c->dprefix_k);
    check_input("slope by prefix v", r, r->prefix_v, n_prefix, 1, c->dprefix_v);
    fr_attention_reference_destroy(&r);
    fr_attention_case_destroy(&c);
}

static void gradients_are_slopes_of_the_forward_pass(void)
{
    for (int i = 0; i < FR_ATTENTION_SCORES; i++) {
        fr_attention_scores scores = fr_attention_scores_list[i];
        fr_test_each_isa(check_slopes, &scores);
    }
}

/* A window as long as the sequence, on a layout of spans, hides nothing: no bit changes. */
static void check_wide_window(fr_device *device, void *user)
{
    (void)user;
    const fr_attention_layout *layout = &fr_training_layouts[1];
    fr_attention_scores wide = {"wide", 1, 0, 100 + 70 + 33, true, false};
    fr_attention_case *cases[2];
    for (int i = 0; i < 2; i++) {
        cases[i] = fr_attention_case_create(&fr_attention_shapes[5], layout->n_segments,
                                            layout->segments);
        if (i == 1) {
            fr_attention_case_score(cases[i], &wide);
        }
        fr_attention_case_forward(device, cases[i]);
        fr_attention_case_backward(device, cases[i], false);
    }
    int64_t n_keys = fr_attention_case_key_count(cases[0]);
    fr_assert_same_bytes("o", cases[1]->o, cases[0]->o,
                         (size_t)fr_attention_case_o_count(cases[0]) * sizeof(float));
    fr_assert_same_bytes("dk", cases[1]->dk, cases[0]->dk,
                         (size_t)n_keys * sizeof(float));
    fr_attention_case_destroy(&cases[0]);
    fr_attention_case_destroy(&cases[1]);
}

static void window_of_the_whole_sequence_changes_no_bit(void)
{
    fr_test_each_isa(check_wide_window, NULL);
}

/* Keys in tiles that lie before the window may hold anything: NaN, since 0 times it would show. */
static void check_unread(fr_device *device, void *user)
{
    (void)user;
    enum { TOKENS = 300, BAD = 128, WINDOW = 20, LAST = BAD + WINDOW };
    static const fr_segment SEGMENT = {.q_count = TOKENS, .sees_prefix = true};
    fr_attention_scores scores = {"", 1, 0, WINDOW, true, false};
    fr_attention_case *c =
        fr_attention_case_create(&fr_attention_shapes[5], 1, &SEGMENT);
    int64_t width = c->params.n_heads * c->params.head_dim;
    fr_attention_case_score(c, &scores);
    for (int64_t i = 0; i < BAD * c->params.kv_stride; i++) {
        c->k[i] = c->v[i] = NAN;
    }
    for (int64_t i = 0; i < fr_attention_case_prefix_count(c); i++) {
        c->prefix_k[i] = c->prefix_v[i] = NAN;
    }
    /* query tiles hold 12 tokens: the first that begins behind the last bad key's readers */
    int64_t first = (LAST + 11) / 12 * 12;
    fr_attention_case_forward(device, c);
    CU_ASSERT(isnan(c->o[0]) && isnan(c->o[(LAST - 2) * width]));
    for (int64_t i = first * width; i < TOKENS * width; i++) {
        CU_ASSERT_FATAL(isfinite(c->o[i]));
    }
    fr_attention_case_backward(device, c, false);
    for (int64_t i = first; i < TOKENS; i++) {
        CU_ASSERT_FATAL(isfinite(c->dq[i * c->params.q_stride]));
    }
    fr_attention_case_destroy(&c);
}

static void tiles_before_the_window_are_not_read(void)
{
    fr_test_each_device(check_unread, NULL);
}

/* A key's product may be NaN or infinite: rows whose window hides it do not see it, even in one tile with keys they see.
 * With a cap, infinite products are scores of the cap's size. */
static void check_extremes(fr_device *device, void *user)
{
    (void)user;
    enum { TOKENS = 40, BAD = 3, WINDOW = 7 };
    static const fr_segment SEGMENT = {.q_count = TOKENS};
    static const fr_attention_shape SHAPE = {1, 1, 16, 0};
    fr_attention_scores scores = {"", 1, 5, WINDOW, false, false};
    fr_attention_case *c = fr_attention_case_create(&SHAPE, 1, &SEGMENT);
    fr_attention_case_score(c, &scores);
    c->k[BAD * c->params.kv_stride] = NAN;
    fr_attention_case_forward(device, c);
    for (int64_t t = 0; t < TOKENS; t++) {
        bool sees = t >= BAD && t < BAD + WINDOW;
        CU_ASSERT_EQUAL(isnan(c->o[t * SHAPE.head_dim]) != 0, sees);
        CU_ASSERT_EQUAL(isnan(c->lse[t]) != 0, sees);
    }
    c->k[BAD * c->params.kv_stride] = INFINITY;
    fr_attention_case_forward(device, c);
    for (int64_t t = 0; t < TOKENS; t++) {
        CU_ASSERT(isfinite(c->o[t * SHAPE.head_dim]) && isfinite(c->lse[t]));
        CU_ASSERT(fabsf(c->lse[t]) < 5 + 2);
    }
    fr_attention_case_destroy(&c);
}

static void hidden_keys_do_not_count_whatever_they_are(void)
{
    fr_test_each_isa(check_extremes, NULL);
}

static const fr_case CASES[] = {
    FR_CASE(training_segments_match_f64_both_ways),
    FR_CASE(cached_keys_match_f64),
    FR_CASE(gradients_are_slopes_of_the_forward_pass),
    FR_CASE(window_of_the_whole_sequence_changes_no_bit),
    FR_CASE(tiles_before_the_window_are_not_read),
    FR_CASE(hidden_keys_do_not_count_whatever_they_are),
};

int main(int argc, char **argv)
{
    return fr_suite_main("attention_scores", CASES, FR_N_CASES(CASES), argc, argv);
}
