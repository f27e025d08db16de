#include "device/host.h"
#include "support/approx.h"
#include "support/attention_case.h"
#include "support/devices.h"
#include "support/difference.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** A case and its reference. */
typedef struct pair {
    fr_attention_case *got;
    fr_attention_reference *wanted;
} pair;

static void fill(int64_t n, float value, float *x)
{
    for (int64_t i = 0; i < n; i++) {
        x[i] = value;
    }
}

static void forget_gradients(fr_attention_case *c)
{
    int64_t prefix_count = c->n_units * fr_attention_case_prefix_count(c);
    fill(fr_attention_case_q_count(c), FR_CASE_UNTOUCHED, c->dq);
    fill(fr_attention_case_key_count(c), FR_CASE_UNTOUCHED, c->dk);
    fill(fr_attention_case_key_count(c), FR_CASE_UNTOUCHED, c->dv);
    fill(prefix_count, FR_CASE_UNTOUCHED, c->dprefix_k);
    fill(prefix_count, FR_CASE_UNTOUCHED, c->dprefix_v);
}

static void check_prefix(const pair *p)
{
    double tolerance = fr_approx(FR_APPROX_ATTENTION_BACK, FR_F32);
    int64_t n = p->got->n_units * fr_attention_case_prefix_count(p->got);
    if (n > 0) {
        fr_assert_close_f64("dprefix k", p->got->dprefix_k, p->wanted->dprefix_k, n,
                            tolerance);
        fr_assert_close_f64("dprefix v", p->got->dprefix_v, p->wanted->dprefix_v, n,
                            tolerance);
    }
}

static void check_backward(fr_device *device, void *user)
{
    pair *p = user;
    fr_attention_case *c = p->got;
    double tolerance = fr_approx(FR_APPROX_ATTENTION_BACK, FR_F32);
    int64_t prefix_count = c->n_units * fr_attention_case_prefix_count(c);
    size_t prefix_bytes = (size_t)prefix_count * sizeof(float);
    float *dprefix_k = fr_test_zeros(prefix_count);
    float *dprefix_v = fr_test_zeros(prefix_count);
    forget_gradients(c);
    fr_attention_case_forward(device, c);
    fr_attention_case_backward(device, c, false);
    fr_assert_close_f64("dq", c->dq, p->wanted->dq, fr_attention_case_q_count(c),
                        tolerance);
    fr_assert_close_f64("dk", c->dk, p->wanted->dk, fr_attention_case_key_count(c),
                        tolerance);
    fr_assert_close_f64("dv", c->dv, p->wanted->dv, fr_attention_case_key_count(c),
                        tolerance);
    check_prefix(p);
    memcpy(dprefix_k, c->dprefix_k, prefix_bytes);
    memcpy(dprefix_v, c->dprefix_v, prefix_bytes);
    forget_gradients(c);
    fr_attention_case_backward(device, c, true);
    fr_assert_same_bytes("dprefix k alone", c->dprefix_k, dprefix_k, prefix_bytes);
    fr_assert_same_bytes("dprefix v alone", c->dprefix_v, dprefix_v, prefix_bytes);
    CU_ASSERT(c->dk[0] == FR_CASE_UNTOUCHED && c->dq[0] == FR_CASE_UNTOUCHED);
    free(dprefix_k);
    free(dprefix_v);
}

static void check_layout(const fr_attention_layout *layout)
{
    for (int s = 0; s < FR_ATTENTION_SHAPES; s++) {
        pair p;
        p.got = fr_attention_case_create(&fr_attention_shapes[s], layout->n_segments,
                                         layout->segments);
        p.wanted = fr_attention_reference_create(p.got);
        fr_attention_reference_forward(p.wanted);
        fr_attention_reference_backward(p.wanted);
        fr_test_each_device(check_backward, &p);
        fr_attention_reference_destroy(&p.wanted);
        fr_attention_case_destroy(&p.got);
    }
}

static void one_sequence_matches_f64(void)
{
    check_layout(&fr_training_layouts[0]);
}

static void shared_source_matches_f64(void)
{
    check_layout(&fr_training_layouts[1]);
}

static void units_match_f64(void)
{
    check_layout(&fr_training_layouts[2]);
}

static void three_spans_match_f64(void)
{
    check_layout(&fr_training_layouts[3]);
}

/* A unit whose segments are empty, and one beyond the last segment, get a prefix gradient of zero. */
static void check_absent_units(fr_device *device, void *user)
{
    (void)user;
    static const fr_segment SEGMENTS[] = {
        {.q_count = 3, .sees_prefix = true},
        {.q_first = 3, .own_first = 3, .unit = 1, .sees_prefix = true}};
    fr_attention_case *c =
        fr_attention_case_create(&fr_attention_shapes[0], 2, SEGMENTS);
    int64_t n = fr_attention_case_prefix_count(c);
    float *larger[2] = {fr_test_numbers(3 * n, 1, 1), fr_test_numbers(3 * n, 1, 1)};
    fr_attention_gradients gradients = {.dprefix_k_UPGK = fr_host_f32(larger[0]),
                                        .dprefix_v_UPGK = fr_host_f32(larger[1]),
                                        .n_units = 3};
    fr_attention_case_forward(device, c);
    FR_ASSERT_OK(fr_attention_back(
        device, &c->params, fr_host_view(c->q), fr_host_view(c->k), fr_host_view(c->v),
        fr_host_view(c->o), fr_host_f32(c->lse), fr_host_view(c->d_o), &gradients));
    int64_t not_zero = 0;
    for (int64_t i = n; i < 3 * n; i++) {
        not_zero += larger[0][i] != 0;
        not_zero += larger[1][i] != 0;
    }
    CU_ASSERT_EQUAL(not_zero, 0);
    CU_ASSERT(larger[0][0] != 0 && larger[1][0] != 0);
    free(larger[0]);
    free(larger[1]);
    fr_attention_case_destroy(&c);
}

static void units_without_queries_get_zero_prefix_gradients(void)
{
    fr_test_each_device(check_absent_units, NULL);
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
    float *slopes = fr_test_zeros(n);
    float *got = fr_test_zeros(n);
    fr_test_difference(reference_loss, &r, n, step, input, slopes);
    for (int64_t i = 0; i < n; i += step) {
        got[i] = gradient[i];
    }
    fr_assert_close(what, got, slopes, n, fr_approx(FR_APPROX_DIFFERENCE, FR_F32));
    free(slopes);
    free(got);
}

/* Prefix gradients are per unit, the loss is over all: add the units. */
static void add_units(const fr_attention_case *c, float *gradient)
{
    int64_t n = fr_attention_case_prefix_count(c);
    for (int64_t i = n; i < c->n_units * n; i++) {
        gradient[i % n] += gradient[i];
    }
}

static void check_slopes(fr_device *device, void *user)
{
    (void)user;
    static const fr_attention_shape SHAPE = {4, 2, 6, 3};
    static const fr_segment SEGMENTS[] = {
        {1, 9, 1, 0, 0, true, 0, {{0, 0, 0}}},
        {10, 4, 10, 0, 0, true, 1, {{1, 9, 0}}},
        {14, 5, 14, 0, 0, true, 1, {{1, 9, 0}}},
        {19, 3, 19, 0, 0, true, 2, {{1, 9, 0}, {10, 4, 0}}},
        {22, 6, 22, 0, 1, true, 0, {{0, 0, 0}}},
        {28, 3, 28, 0, 1, false, 1, {{22, 6, 0}}}};
    fr_attention_case *c =
        fr_attention_case_create(&SHAPE, FR_N_CASES(SEGMENTS), SEGMENTS);
    fr_attention_reference *r = fr_attention_reference_create(c);
    int64_t key_count = fr_attention_case_key_count(c);
    int64_t prefix_count = fr_attention_case_prefix_count(c);
    fill(fr_attention_case_q_count(c), 0, c->dq);
    fill(key_count, 0, c->dk);
    fill(key_count, 0, c->dv);
    fr_attention_case_forward(device, c);
    fr_attention_case_backward(device, c, false);
    add_units(c, c->dprefix_k);
    add_units(c, c->dprefix_v);
    check_input("slope by q", r, r->q, fr_attention_case_q_count(c), 7, c->dq);
    check_input("slope by k", r, r->k, key_count, 5, c->dk);
    check_input("slope by v", r, r->v, key_count, 5, c->dv);
    check_input("slope by prefix k", r, r->prefix_k, prefix_count, 1, c->dprefix_k);
    check_input("slope by prefix v", r, r->prefix_v, prefix_count, 1, c->dprefix_v);
    fr_attention_reference_destroy(&r);
    fr_attention_case_destroy(&c);
}

static void gradients_are_slopes_of_the_forward_pass(void)
{
    fr_test_each_isa(check_slopes, NULL);
}

static const fr_case CASES[] = {
    FR_CASE(one_sequence_matches_f64),
    FR_CASE(shared_source_matches_f64),
    FR_CASE(units_match_f64),
    FR_CASE(three_spans_match_f64),
    FR_CASE(units_without_queries_get_zero_prefix_gradients),
    FR_CASE(gradients_are_slopes_of_the_forward_pass),
};

int main(int argc, char **argv)
{
    return fr_suite_main("attention_back", CASES, FR_N_CASES(CASES), argc, argv);
}
