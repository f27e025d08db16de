/* A unit's attention has the same bits wherever its rows lie, whatever else is in the call, and for any
 * number of threads; a query row's do not depend on the queries after it. */
#include "device/host.h"
#include "support/attention_case.h"
#include "support/devices.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_THREADS = 4 };

static const fr_attention_scores PLAIN = {.name = "plain", .factor = 1};
/* Of fr_attention_scores_list: a window over a tile that slides, and all together. */
static const int SHAPED[] = {9, 13};

/** What a check runs with. */
typedef struct variant {
    fr_attention_shape shape;
    fr_attention_scores scores;
} variant;

/* Every shape plain, then one with each of the others. */
static void each_variant(void (*run_on)(void (*)(fr_device *, void *), void *),
                         void (*check)(fr_device *device, void *user))
{
    for (int i = 0; i < FR_ATTENTION_SHAPES + FR_N_CASES(SHAPED); i++) {
        bool plain = i < FR_ATTENTION_SHAPES;
        variant v = {fr_attention_shapes[plain ? i : 2],
                     plain ? PLAIN
                           : fr_attention_scores_list[SHAPED[i - FR_ATTENTION_SHAPES]]};
        run_on(check, &v);
    }
}

static void run(fr_isa isa, int n_threads, fr_attention_case *c)
{
    fr_device *device = fr_test_device(isa, n_threads);
    fr_attention_case_forward(device, c);
    fr_attention_case_backward(device, c, false);
    fr_device_destroy(&device);
}

static void compare_rows(const char *what, const float *got, int64_t first,
                         const float *wanted, int64_t rows, int64_t stride)
{
    fr_assert_same_bytes(what, got + first * stride, wanted,
                         (size_t)(rows * stride) * sizeof(float));
}

/* Rows `first`... of `got`, unit `unit`, against the case that holds the unit alone. */
static void compare_unit(const fr_attention_case *got, int64_t first, int64_t unit,
                         const fr_attention_case *alone)
{
    const fr_attention_params *p = &got->params;
    int64_t prefix_count = fr_attention_case_prefix_count(got);
    compare_rows("o", got->o, first, alone->o, FR_UNIT_ROWS, p->n_heads * p->head_dim);
    compare_rows("lse", got->lse, first, alone->lse, FR_UNIT_ROWS, p->n_heads);
    compare_rows("dq", got->dq, first, alone->dq, FR_UNIT_ROWS, p->q_stride);
    compare_rows("dk", got->dk, first, alone->dk, FR_UNIT_ROWS, p->kv_stride);
    compare_rows("dv", got->dv, first, alone->dv, FR_UNIT_ROWS, p->kv_stride);
    compare_rows("dprefix k", got->dprefix_k, unit, alone->dprefix_k, 1, prefix_count);
    compare_rows("dprefix v", got->dprefix_v, unit, alone->dprefix_v, 1, prefix_count);
}

/* The unit alone at row 0 on one thread, then as units 0, 2 and 3 of four at odd places. */
static void check_placement(fr_isa isa, const fr_attention_shape *shape,
                            const fr_attention_scores *scores)
{
    static const int64_t FIRST[] = {3, 139, 252};
    static const int64_t UNITS[] = {0, 2, 3};
    fr_segment alone_segments[FR_UNIT_SEGMENTS];
    fr_segment segments[3 * FR_UNIT_SEGMENTS + 1];
    fr_attention_unit(0, 0, alone_segments);
    fr_attention_unit(FIRST[0], UNITS[0], segments);
    segments[3] = (fr_segment){120, 19, 120, 0, 1, true, 0, {{0, 0, 0}}};
    fr_attention_unit(FIRST[1], UNITS[1], segments + 4);
    fr_attention_unit(FIRST[2], UNITS[2], segments + 7);
    fr_attention_case *alone =
        fr_attention_case_create(shape, FR_UNIT_SEGMENTS, alone_segments);
    fr_attention_case *packed =
        fr_attention_case_create(shape, FR_N_CASES(segments), segments);
    fr_attention_case_score(alone, scores);
    fr_attention_case_score(packed, scores);
    run(isa, 1, alone);
    for (int i = 0; i < 3; i++) {
        fr_attention_case_copy_inputs(alone, packed, FIRST[i], FR_UNIT_ROWS);
    }
    for (int n_threads = 1; n_threads <= MAX_THREADS; n_threads++) {
        run(isa, n_threads, packed);
        for (int i = 0; i < 3; i++) {
            compare_unit(packed, FIRST[i], UNITS[i], alone);
        }
    }
    fr_attention_case_destroy(&alone);
    fr_attention_case_destroy(&packed);
}

static void unit_keeps_its_bits_in_any_company(void)
{
    for (int isa = FR_ISA_GENERIC; isa <= (int)fr_isa_detect(); isa++) {
        for (int s = 0; s < FR_ATTENTION_SHAPES; s++) {
            check_placement((fr_isa)isa, &fr_attention_shapes[s], &PLAIN);
        }
        for (int i = 0; i < FR_N_CASES(SHAPED); i++) {
            check_placement((fr_isa)isa, &fr_attention_shapes[2],
                            &fr_attention_scores_list[SHAPED[i]]);
        }
    }
}

/* Queries 0 .. count-1 of one long segment against a segment of `count`. */
static void check_prefix_of_queries(fr_device *device, void *user)
{
    static const int64_t COUNTS[] = {1, 2, 5, 16, 17, 48, 63, 64, 65, 100};
    static const fr_segment WHOLE = {5, 131,  75, 0,
                                     0, true, 2,  {{0, 66, 0}, {66, 9, 0}}};
    const variant *v = user;
    const fr_attention_shape *shape = &v->shape;
    fr_attention_case *whole = fr_attention_case_create(shape, 1, &WHOLE);
    int64_t width = shape->n_heads * shape->head_dim;
    fr_attention_case_score(whole, &v->scores);
    fr_attention_case_forward(device, whole);
    for (int i = 0; i < FR_N_CASES(COUNTS); i++) {
        fr_attention_case *part = fr_attention_case_create(shape, 1, &WHOLE);
        part->segments[0].q_count = COUNTS[i];
        fr_attention_case_score(part, &v->scores);
        fr_attention_case_forward(device, part);
        fr_assert_same_bytes("o", part->o + WHOLE.q_first * width,
                             whole->o + WHOLE.q_first * width,
                             (size_t)(COUNTS[i] * width) * sizeof(float));
        fr_assert_same_bytes("lse", part->lse + WHOLE.q_first * shape->n_heads,
                             whole->lse + WHOLE.q_first * shape->n_heads,
                             (size_t)(COUNTS[i] * shape->n_heads) * sizeof(float));
        fr_attention_case_destroy(&part);
    }
    fr_attention_case_destroy(&whole);
}

static void row_does_not_depend_on_later_queries(void)
{
    each_variant(fr_test_each_isa, check_prefix_of_queries);
}

/* One device for calls of growing and shrinking size: scratch contents must not matter. */
static void check_reuse(fr_device *device, void *user)
{
    (void)user;
    static const int ORDER[] = {3, 0, 4, 2, 5, 1, 0};
    fr_segment segments[FR_UNIT_SEGMENTS];
    fr_attention_unit(0, 0, segments);
    for (int i = 0; i < FR_N_CASES(ORDER); i++) {
        const fr_attention_shape *shape = &fr_attention_shapes[ORDER[i]];
        fr_attention_case *used =
            fr_attention_case_create(shape, FR_UNIT_SEGMENTS, segments);
        fr_attention_case *fresh =
            fr_attention_case_create(shape, FR_UNIT_SEGMENTS, segments);
        fr_attention_case_forward(device, used);
        fr_attention_case_backward(device, used, false);
        run(fr_test_isa(device), 1, fresh);
        compare_unit(used, 0, 0, fresh);
        fr_attention_case_destroy(&used);
        fr_attention_case_destroy(&fresh);
    }
}

static void earlier_calls_leave_no_trace(void)
{
    fr_test_each_isa(check_reuse, NULL);
}

/* Units with prefixes of their own in one call, against one call each with that one prefix. */
static void check_own_prefixes(fr_device *device, void *user)
{
    static const fr_segment SEGMENTS[] = {{0, 2, 130, 0, 0, true, 1, {{0, 130, 0}}},
                                          {2, 1, 143, 0, 1, true, 1, {{140, 3, 0}}},
                                          {3, 1, 150, 0, 2, true, 1, {{144, 6, 0}}}};
    const variant *of = user;
    const fr_attention_shape *shape = &of->shape;
    int64_t n_segments = FR_N_CASES(SEGMENTS);
    fr_attention_case *together =
        fr_attention_case_create(shape, (int)n_segments, SEGMENTS);
    fr_attention_case *alone =
        fr_attention_case_create(shape, (int)n_segments, SEGMENTS);
    int64_t row = shape->n_kv_heads * shape->head_dim;
    int64_t more = shape->prefix_length + 70;
    float *k = fr_test_numbers(more * row, 21, 1);
    float *v = fr_test_numbers(more * row, 22, 1);
    fr_attention_prefix prefixes[] = {
        {shape->prefix_length, fr_host_f32(together->prefix_k),
         fr_host_f32(together->prefix_v), of->scores.prefix_slides},
        {more, fr_host_f32(k), fr_host_f32(v), of->scores.prefix_slides},
        {0}};
    fr_attention_case_score(together, &of->scores);
    fr_attention_case_score(alone, &of->scores);
    together->params.prefixes_U = prefixes;
    fr_attention_case_forward(device, together);
    for (int64_t s = 0; s < n_segments; s++) {
        alone->params.n_segments = 1;
        alone->params.segments = &alone->segments[s];
        alone->params.prefix_length = prefixes[s].length;
        alone->params.prefix_k_PGK = prefixes[s].k_PGK;
        alone->params.prefix_v_PGK = prefixes[s].v_PGK;
        fr_attention_case_forward(device, alone);
    }
    fr_assert_same_bytes("o", together->o, alone->o,
                         (size_t)fr_attention_case_o_count(alone) * sizeof(float));
    free(k);
    free(v);
    fr_attention_case_destroy(&together);
    fr_attention_case_destroy(&alone);
}

static void units_may_have_prefixes_of_their_own(void)
{
    each_variant(fr_test_each_device, check_own_prefixes);
}

static const fr_case CASES[] = {
    FR_CASE(unit_keeps_its_bits_in_any_company),
    FR_CASE(row_does_not_depend_on_later_queries),
    FR_CASE(earlier_calls_leave_no_trace),
    FR_CASE(units_may_have_prefixes_of_their_own),
};

int main(int argc, char **argv)
{
    return fr_suite_main("attention_bits", CASES, FR_N_CASES(CASES), argc, argv);
}
