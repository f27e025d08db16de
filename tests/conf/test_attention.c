#include "device/host.h"
#include "support/approx.h"
#include "support/attention_case.h"
#include "support/devices.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** A case, its reference, and what is compared. */
typedef struct pair {
    fr_attention_case *got;
    fr_attention_reference *wanted;
} pair;

static void check_forward(fr_device *device, void *user)
{
    pair *p = user;
    int64_t o_count = fr_attention_case_o_count(p->got);
    int64_t rows = p->got->params.n_tokens * p->got->params.n_heads;
    float *o_alone = fr_test_zeros(o_count);
    fr_attention_case_forward(device, p->got);
    fr_assert_close_f64("o", p->got->o, p->wanted->o, o_count,
                        fr_approx(FR_APPROX_ATTENTION, FR_F32));
    fr_assert_close_f64("lse", p->got->lse, p->wanted->lse, rows,
                        fr_approx(FR_APPROX_ATTENTION_LSE, FR_F32));
    memcpy(o_alone, p->got->o, (size_t)o_count * sizeof *o_alone);
    FR_ASSERT_OK(fr_attention(device, &p->got->params, fr_host_view(p->got->q),
                              fr_host_view(p->got->k), fr_host_view(p->got->v),
                              fr_host_view(o_alone), NULL));
    fr_assert_same_bytes("o without lse", o_alone, p->got->o,
                         (size_t)o_count * sizeof *o_alone);
    free(o_alone);
}

static void check_layout(const fr_attention_layout *layout)
{
    for (int s = 0; s < FR_ATTENTION_SHAPES; s++) {
        pair p;
        p.got = fr_attention_case_create(&fr_attention_shapes[s], layout->n_segments,
                                         layout->segments);
        p.wanted = fr_attention_reference_create(p.got);
        fr_attention_reference_forward(p.wanted);
        fr_test_each_device(check_forward, &p);
        fr_attention_reference_destroy(&p.wanted);
        fr_attention_case_destroy(&p.got);
    }
}

static void training_segments_match_f64(void)
{
    for (int i = 0; i < FR_TRAINING_LAYOUTS; i++) {
        check_layout(&fr_training_layouts[i]);
    }
}

static void cached_keys_match_f64(void)
{
    check_layout(&fr_decode_layout);
}

static void check_untouched(fr_device *device, void *user)
{
    (void)user;
    static const fr_segment SEGMENT = {.q_first = 4, .q_count = 3, .own_first = 4};
    fr_attention_case *c =
        fr_attention_case_create(&fr_attention_shapes[1], 1, &SEGMENT);
    int64_t width = c->params.n_heads * c->params.head_dim;
    fr_attention_case_forward(device, c);
    for (int64_t i = 0; i < 4 * width; i++) {
        CU_ASSERT_FATAL(c->o[i] == FR_CASE_UNTOUCHED);
    }
    CU_ASSERT(c->lse[4 * c->params.n_heads - 1] == FR_CASE_UNTOUCHED);
    CU_ASSERT(c->o[4 * width] != FR_CASE_UNTOUCHED);
    fr_attention_case_destroy(&c);
}

static void rows_outside_all_segments_are_left_alone(void)
{
    fr_test_each_isa(check_untouched, NULL);
}

static void check_no_segments(fr_device *device, void *user)
{
    (void)user;
    static const fr_segment EMPTY = {.q_first = 2, .own_first = 2};
    fr_attention_case *c = fr_attention_case_create(&fr_attention_shapes[0], 1, &EMPTY);
    fr_attention_case_forward(device, c);
    c->params.n_segments = 0;
    fr_attention_case_forward(device, c);
    CU_ASSERT(c->o[0] == FR_CASE_UNTOUCHED);
    fr_attention_case_destroy(&c);
}

static void calls_without_queries_do_nothing(void)
{
    fr_test_each_isa(check_no_segments, NULL);
}

/* Scores of +-6000 would overflow exp without the running maximum; the best key takes all. */
static void check_large_scores(fr_device *device, void *user)
{
    (void)user;
    enum { TOKENS = 150, BEST = 97 };
    static const fr_segment SEGMENT = {.q_count = TOKENS};
    static const fr_attention_shape SHAPE = {1, 1, 64, 0};
    fr_attention_case *c = fr_attention_case_create(&SHAPE, 1, &SEGMENT);
    for (int64_t i = 0; i < TOKENS * c->params.kv_stride; i++) {
        c->k[i] *= 300;
    }
    for (int64_t i = 0; i < SHAPE.head_dim; i++) {
        c->k[BEST * c->params.kv_stride + i] =
            1e4F * c->q[(TOKENS - 1) * c->params.q_stride + i];
    }
    fr_attention_case_forward(device, c);
    fr_assert_close("the best key's value", c->o + (TOKENS - 1) * SHAPE.head_dim,
                    c->v + BEST * c->params.kv_stride, SHAPE.head_dim, 1e-6);
    CU_ASSERT(isfinite(c->lse[TOKENS - 1]) && c->lse[TOKENS - 1] > 1e4F);
    fr_attention_case_destroy(&c);
}

static void large_scores_do_not_overflow(void)
{
    fr_test_each_isa(check_large_scores, NULL);
}

static void check_nan_key(fr_device *device, void *user)
{
    (void)user;
    fr_attention_case *c = fr_attention_case_create(&fr_attention_shapes[0],
                                                    fr_training_layouts[2].n_segments,
                                                    fr_training_layouts[2].segments);
    int64_t width = c->params.n_heads * c->params.head_dim;
    c->k[80 * c->params.kv_stride] = NAN; /* key 5 of unit 2's source, head 0 */
    fr_attention_case_forward(device, c);
    CU_ASSERT(isnan(c->o[80 * width]) && isnan(c->lse[80 * c->params.n_heads]));
    CU_ASSERT(isnan(c->o[145 * width]));
    for (int64_t i = 2 * width; i < 72 * width; i++) {
        CU_ASSERT_FATAL(isfinite(c->o[i]));
    }
    fr_attention_case_destroy(&c);
}

static void nan_key_reaches_its_readers_and_no_other_unit(void)
{
    fr_test_each_isa(check_nan_key, NULL);
}

static const fr_case CASES[] = {
    FR_CASE(training_segments_match_f64),
    FR_CASE(cached_keys_match_f64),
    FR_CASE(rows_outside_all_segments_are_left_alone),
    FR_CASE(calls_without_queries_do_nothing),
    FR_CASE(large_scores_do_not_overflow),
    FR_CASE(nan_key_reaches_its_readers_and_no_other_unit),
};

int main(int argc, char **argv)
{
    return fr_suite_main("attention", CASES, FR_N_CASES(CASES), argc, argv);
}
