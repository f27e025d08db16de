/*
 * Norms on both devices. Sums run in other trees than the CPU's, so results are near; where every order gives the same sum,
 * since the numbers are small integers, they have the CPU's bits.
 */
#include "device/bf16.h"
#include "device/host.h"
#include "device/rowwise.h"
#include "pair.h"
#include "support/devices.h"
#include "support/suite.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float EPS = 0.1F;
static const double NEAR = 2e-6;

typedef enum which_norm { RMS, RMS_BACK, LAYER, LAYER_BACK, OPERATORS } which_norm;

/** The operands of all norms of n rows. */
typedef struct norm_case {
    int64_t n;
    int64_t width;
    int64_t
        lead; /* numbers before the first of each buffer: addresses that are multiples of one number alone */
    float *x;
    float *w;
    float *b;
    float *stats; /* that the backward pass is given: a mean and an rstd each row */
    float *dy;
    float *dx;
} norm_case;

static norm_case start_case(int64_t n, int64_t width, int64_t lead)
{
    int64_t all = lead + n * width;
    return (norm_case){.n = n,
                       .width = width,
                       .lead = lead,
                       .x = fr_test_numbers(all, 1, 2),
                       .w = fr_test_numbers(lead + width, 2, 1.5),
                       .b = fr_test_numbers(lead + width, 3, 1),
                       .stats = fr_test_numbers(lead + 2 * n, 6, 1),
                       .dy = fr_test_numbers(all, 4, 1),
                       .dx = fr_test_numbers(all, 5, 1)};
}

static norm_case random_case(int64_t n, int64_t width, int64_t lead)
{
    norm_case c = start_case(n, width, lead);
    for (int64_t i = 0; i < lead + n * width; i++) {
        c.x[i] += 0.75F;
    }
    for (int64_t i = 0; i < lead + 2 * n; i++) {
        c.stats[i] = 1.0F + 0.5F * c.stats[i];
    }
    return c;
}

/* Rows of small integers about 3, in pairs, so that their mean is 3; stats are powers of two and 3. */
static norm_case exact_case(int64_t n, int64_t width, int64_t lead)
{
    norm_case c = start_case(n, width, lead);
    for (int64_t i = 0; i < n * width; i++) {
        int64_t place = i % width;
        float *x = c.x + lead + i;
        *x = rintf(2 * *x);
        *x = place % 2 == 1 ? 6 - x[-1] : place == width - 1 ? 3 : 3 + *x;
        c.dy[lead + i] = rintf(4 * c.dy[lead + i]);
    }
    for (int64_t i = 0; i < width; i++) {
        c.w[lead + i] = rintf(4 * c.w[lead + i]) / 4;
    }
    for (int64_t t = 0; t < n; t++) {
        c.stats[lead + 2 * t] = 3;
        c.stats[lead + 2 * t + 1] = t % 2 == 0 ? 0.5F : 2;
    }
    return c;
}

static void free_case(norm_case *c)
{
    free(c->x);
    free(c->w);
    free(c->b);
    free(c->stats);
    free(c->dy);
    free(c->dx);
}

/** What an operator read and wrote. */
typedef struct norm_run {
    fr_pair x;
    fr_pair w;
    fr_pair b;
    fr_pair stats;
    fr_pair dy;
    fr_pair out; /* y or dx */
} norm_run;

enum { X, W, B, STATS, DY, OUT, VIEWS };

static void views_of(const norm_run *r, int64_t lead, fr_view *on_cpu, fr_view *on_cuda)
{
    const fr_pair *pairs[VIEWS] = {&r->x, &r->w, &r->b, &r->stats, &r->dy, &r->out};
    for (int i = 0; i < VIEWS; i++) {
        on_cpu[i] = fr_view_at(pairs[i]->on_cpu, lead);
        on_cuda[i] = fr_view_at(pairs[i]->on_cuda, lead);
    }
}

static void run_on(fr_device *device, which_norm which, const norm_case *c,
                   const fr_view *v)
{
    const fr_f32 *w = (const fr_f32 *)(const void *)v[W].at;
    const fr_f32 *b = (const fr_f32 *)(const void *)v[B].at;
    fr_f32 *stats = (fr_f32 *)(void *)v[STATS].at;
    fr_f32 *out = (fr_f32 *)(void *)v[OUT].at;
    if (which == RMS) {
        fr_rmsnorm(device, c->n, c->width, v[X], w, EPS, v[OUT], stats);
    } else if (which == LAYER) {
        fr_layernorm(device, c->n, c->width, v[X], w, b, EPS, v[OUT], stats);
    } else if (which == RMS_BACK) {
        fr_rmsnorm_back(device, c->n, c->width, v[X], w, stats, v[DY], out,
                        fr_view_none());
    } else {
        fr_layernorm_back(device, c->n, c->width, v[X], w, stats, v[DY], out,
                          fr_view_none());
    }
}

static bool is_back(which_norm which)
{
    return which == RMS_BACK || which == LAYER_BACK;
}

/* `second`: the type of y, or of dy. */
static norm_run run(const fr_two *two, which_norm which, const norm_case *c,
                    fr_dtype first, fr_dtype second)
{
    int64_t all = c->lead + c->n * c->width;
    norm_run r = {
        .x = fr_pair_of(two, "x", all, first, c->x),
        .w = fr_pair_of(two, "w", c->lead + c->width, FR_F32, c->w),
        .b = fr_pair_of(two, "b", c->lead + c->width, FR_F32, c->b),
        .stats = fr_pair_of(two, "stats", c->lead + 2 * c->n, FR_F32, c->stats),
        .dy = fr_pair_of(two, "dy", all, second, c->dy),
        .out = fr_pair_of(two, is_back(which) ? "dx" : "y", all,
                          is_back(which) ? FR_F32 : second, c->dx),
    };
    fr_view on_cpu[VIEWS];
    fr_view on_cuda[VIEWS];
    views_of(&r, c->lead, on_cpu, on_cuda);
    run_on(two->cpu, which, c, on_cpu);
    run_on(two->cuda, which, c, on_cuda);
    return r;
}

static void free_run(norm_run *r)
{
    fr_pair *pairs[] = {&r->x, &r->w, &r->b, &r->stats, &r->dy, &r->out};
    for (int i = 0; i < FR_N_CASES(pairs); i++) {
        fr_pair_free(pairs[i]);
    }
}

static void assert_rows_near(const norm_case *c, const norm_run *r)
{
    float *got = fr_pair_fetch(&r->out);
    const float *wanted = r->out.cpu;
    fr_assert_same_bytes("before the rows", got, wanted, (size_t)c->lead * sizeof *got);
    for (int64_t t = 0; t < c->n; t++) {
        int64_t at = c->lead + t * c->width;
        fr_assert_close(r->out.name, got + at, wanted + at, c->width, NEAR);
    }
    free(got);
    fr_pair_assert_near(&r->stats, NEAR);
}

static const int64_t WIDTHS[] = {1,  2,   3,   4,    5,    7,    8,    31,   32,
                                 33, 128, 257, 1023, 1024, 1025, 4100, 9217, 18433};

static void norms_are_near_the_cpus(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(WIDTHS); i++) {
        for (int which = 0; which < OPERATORS; which++) {
            norm_case c = random_case(5, WIDTHS[i], 0);
            norm_run r = run(&two, (which_norm)which, &c, FR_F32, FR_F32);
            assert_rows_near(&c, &r);
            free_run(&r);
            free_case(&c);
        }
    }
    fr_two_close(&two);
}

/* Each combination of types, and addresses that allow no wide access. */
static void exact_sums_give_the_bits_of_the_cpu(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < 4 * FR_N_CASES(WIDTHS); i++) {
        norm_case c = exact_case(5, WIDTHS[i / 4], i % 4);
        for (int digits = 0; digits < 4; digits++) {
            for (int which = 0; which < OPERATORS && (digits == i % 3 || i % 4 == 0);
                 which++) {
                norm_run r = run(&two, (which_norm)which, &c, fr_digit_type(digits / 2),
                                 fr_digit_type(digits % 2));
                fr_pair_assert_same(&r.out);
                fr_pair_assert_same(&r.stats);
                free_run(&r);
            }
        }
        free_case(&c);
    }
    fr_two_close(&two);
}

static void round_all(int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++) {
        x[i] = fr_bf16_widen(fr_bf16_round(x[i]));
    }
}

/* The same numbers give the same result, rounded to the type of the output. */
static void types_change_no_sum(void)
{
    static const int64_t SOME[] = {3, 33, 257, 1030};
    fr_two two = fr_two_open();
    for (int i = 0; i < 16 * FR_N_CASES(SOME); i++) {
        which_norm which = (which_norm)(i % 4);
        int digits = i / 4 % 4;
        norm_case c = random_case(3, SOME[i / 16], 0);
        int64_t all = c.n * c.width;
        round_all(all, c.x);
        round_all(all, c.dy);
        norm_run plain = run(&two, which, &c, FR_F32, FR_F32);
        norm_run r =
            run(&two, which, &c, fr_digit_type(digits / 2), fr_digit_type(digits % 2));
        float *wanted = fr_pair_fetch(&plain.out);
        float *got = fr_pair_fetch(&r.out);
        if (r.out.on_cuda.dtype == FR_BF16) {
            round_all(all, wanted);
        }
        fr_assert_same_bytes(r.out.name, got, wanted, (size_t)all * sizeof *got);
        free(got);
        free(wanted);
        free_run(&plain);
        free_run(&r);
        free_case(&c);
    }
    fr_two_close(&two);
}

/* A row of the case alone, at another address. */
static norm_case row_of(const norm_case *c, int64_t t, int64_t lead)
{
    norm_case row = start_case(1, c->width, lead);
    size_t bytes = (size_t)c->width * sizeof(float);
    int64_t at = c->lead + t * c->width;
    memcpy(row.x + lead, c->x + at, bytes);
    memcpy(row.dy + lead, c->dy + at, bytes);
    memcpy(row.dx + lead, c->dx + at, bytes);
    memcpy(row.w + lead, c->w + c->lead, bytes);
    memcpy(row.b + lead, c->b + c->lead, bytes);
    return row;
}

static void check_alone(const fr_two *two, which_norm which, const norm_case *c,
                        fr_dtype dtype)
{
    norm_run r = run(two, which, c, dtype, dtype);
    float *all = fr_pair_fetch(&r.out);
    float *stats = fr_pair_fetch(&r.stats);
    int64_t n_stats = which == RMS || which == RMS_BACK ? 1 : 2;
    for (int64_t t = 0; t < c->n; t++) {
        int64_t lead = t % 4;
        norm_case row = row_of(c, t, lead);
        memcpy(row.stats + lead, c->stats + c->lead + n_stats * t,
               (size_t)n_stats * sizeof(float));
        norm_run alone = run(two, which, &row, dtype, dtype);
        float *got = fr_pair_fetch(&alone.out);
        float *got_stats = fr_pair_fetch(&alone.stats);
        fr_assert_same_bytes("a row alone", got + lead, all + c->lead + t * c->width,
                             (size_t)c->width * sizeof *got);
        fr_assert_same_bytes("its statistics", got_stats + lead,
                             stats + c->lead + n_stats * t,
                             (size_t)n_stats * sizeof *got);
        free(got);
        free(got_stats);
        free_run(&alone);
        free_case(&row);
    }
    free(all);
    free(stats);
    free_run(&r);
}

static void a_row_has_the_same_bits_alone_and_anywhere(void)
{
    static const int64_t SOME[] = {2, 33, 1024, 1027};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(SOME); i++) {
        for (int which = 0; which < OPERATORS; which++) {
            norm_case c = random_case(9, SOME[i], i);
            check_alone(&two, (which_norm)which, &c,
                        fr_digit_type((which / 2 + i) % 2));
            free_case(&c);
        }
    }
    fr_two_close(&two);
}

/* NaNs in the same places, and other numbers near. */
static void assert_alike(const char *what, const float *got, const float *wanted,
                         int64_t n, double tolerance)
{
    float *left = fr_test_zeros(n);
    float *right = fr_test_zeros(n);
    for (int64_t i = 0; i < n; i++) {
        CU_ASSERT(isnan(got[i]) == isnan(wanted[i]));
        if (isfinite(got[i]) && isfinite(wanted[i])) {
            left[i] = got[i];
            right[i] = wanted[i];
        } else if (!isnan(got[i])) {
            CU_ASSERT(got[i] == wanted[i]);
        }
    }
    fr_assert_close(what, left, right, n, tolerance);
    free(left);
    free(right);
}

static void check_extreme(const fr_two *two, const norm_case *c)
{
    for (int i = 0; i < 2 * OPERATORS; i++) {
        which_norm which = (which_norm)(i / 2);
        fr_dtype dtype = fr_digit_type(i % 2);
        norm_run r = run(two, which, c, dtype, dtype);
        int64_t all = c->n * c->width;
        float *wanted = r.out.cpu;
        float *got = fr_pair_fetch(&r.out);
        if (r.out.on_cuda.dtype == FR_BF16) {
            round_all(all, wanted);
        }
        for (int64_t t = 0; t < c->n; t++) {
            assert_alike(r.out.name, got + t * c->width, wanted + t * c->width,
                         c->width, r.out.on_cuda.dtype == FR_BF16 ? 0.004 : NEAR);
        }
        float *stats = fr_pair_fetch(&r.stats);
        assert_alike("stats", stats, r.stats.cpu, 2 * c->n, NEAR);
        free(got);
        free(stats);
        free_run(&r);
    }
}

/* Each row has one number of the list, at its end; the last two are small throughout, and overflow in bf16. */
static void extreme_values_stay_in_their_row(void)
{
    const float extreme[] = {NAN, INFINITY, -INFINITY, 1e-40F, FLT_MAX, 0};
    enum { N = FR_N_CASES(extreme) + 2 };
    static const int64_t SOME[] = {1, 70, 1500};
    fr_two two = fr_two_open();
    for (int s = 0; s < FR_N_CASES(SOME); s++) {
        norm_case c = random_case(N, SOME[s], 0);
        for (int t = 0; t < FR_N_CASES(extreme); t++) {
            c.x[(t + 1) * c.width - 1] = extreme[t];
        }
        for (int64_t i = 0; i < c.width; i++) {
            c.x[(N - 2) * c.width + i] *= 1e-39F;
        }
        c.w[0] = FLT_MAX;
        check_extreme(&two, &c);
        free_case(&c);
    }
    fr_two_close(&two);
}

/* In a buffer of its own, or in the place of dy. */
static void check_again(const fr_two *two, which_norm which, const norm_case *c,
                        int digits, bool in_place)
{
    fr_dtype first = fr_digit_type(digits / 2);
    fr_dtype second = fr_digit_type(digits % 2);
    int64_t all = c->lead + c->n * c->width;
    norm_run plain = run(two, which, c, first, second);
    norm_run r = run(two, which, c, first, second);
    fr_view on_cpu[VIEWS];
    fr_view on_cuda[VIEWS];
    views_of(&r, c->lead, on_cpu, on_cuda);
    fr_pair out = fr_pair_of(two, "dx", all, FR_F32, c->dx);
    fr_pair again = fr_pair_of(two, "dx once more", all, second, c->dy);
    fr_view to = in_place ? on_cuda[DY] : fr_view_at(again.on_cuda, c->lead);
    const fr_f32 *w = (const fr_f32 *)(const void *)on_cuda[W].at;
    const fr_f32 *stats = (const fr_f32 *)(const void *)on_cuda[STATS].at;
    fr_f32 *dx = (fr_f32 *)out.cuda + c->lead;
    if (which == RMS_BACK) {
        fr_rmsnorm_back(two->cuda, c->n, c->width, on_cuda[X], w, stats, on_cuda[DY],
                        dx, to);
    } else {
        fr_layernorm_back(two->cuda, c->n, c->width, on_cuda[X], w, stats, on_cuda[DY],
                          dx, to);
    }
    float *wanted = fr_pair_fetch(&plain.out);
    memcpy(out.cpu, wanted, (size_t)all * sizeof *wanted);
    fr_pair_assert_same(&out);
    fr_pair *got = in_place ? &r.dy : &again;
    memcpy((float *)got->cpu + c->lead, wanted + c->lead,
           (size_t)(all - c->lead) * sizeof *wanted);
    fr_pair_assert_same(got);
    free(wanted);
    fr_pair_free(&out);
    fr_pair_free(&again);
    free_run(&plain);
    free_run(&r);
}

/* dx has the bits that it has without, and what comes once more is dx, rounded to its type; the widest row is not kept. */
static void dx_comes_once_more(void)
{
    static const int64_t SOME[] = {3, 33, 1028, 18433};
    fr_two two = fr_two_open();
    for (int i = 0; i < 16 * FR_N_CASES(SOME); i++) {
        norm_case c = random_case(3, SOME[i / 16], i % 3);
        check_again(&two, i % 2 == 0 ? RMS_BACK : LAYER_BACK, &c, i / 2 % 4,
                    i / 8 % 2 == 1);
        free_case(&c);
    }
    fr_two_close(&two);
}

static void without_rows_nothing_happens(void)
{
    fr_two two = fr_two_open();
    for (int which = 0; which < OPERATORS; which++) {
        fr_view on_cpu[VIEWS];
        fr_view on_cuda[VIEWS];
        norm_case c = random_case(2, 5, 0);
        norm_run r = run(&two, (which_norm)which, &c, FR_F32, FR_F32);
        float *before = fr_pair_fetch(&r.out);
        views_of(&r, 0, on_cpu, on_cuda);
        c.n = 0;
        run_on(two.cuda, (which_norm)which, &c, on_cuda);
        float *after = fr_pair_fetch(&r.out);
        fr_assert_same_bytes(r.out.name, after, before, 10 * sizeof *after);
        free(before);
        free(after);
        free_run(&r);
        free_case(&c);
    }
    fr_two_close(&two);
}

static const fr_case CASES[] = {
    FR_CASE(norms_are_near_the_cpus),
    FR_CASE(exact_sums_give_the_bits_of_the_cpu),
    FR_CASE(types_change_no_sum),
    FR_CASE(a_row_has_the_same_bits_alone_and_anywhere),
    FR_CASE(extreme_values_stay_in_their_row),
    FR_CASE(dx_comes_once_more),
    FR_CASE(without_rows_nothing_happens),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_norms", CASES, FR_N_CASES(CASES), argc, argv);
}
