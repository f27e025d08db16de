#include "device/host.h"
#include "device/rowwise.h"
#include "support/approx.h"
#include "support/devices.h"
#include "support/difference.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Large enough that a row of width 1, whose variance is 0, doesn't blow up roundings. */
static const float EPS = 0.1F;

/** Either norm on [n, width]; layernorm if centred. */
typedef struct norm_case {
    bool centred;
    int64_t n;
    int64_t width;
    float *x;
    float *w;
    float *b;
    float *dy;
    float *y_ref;
    float *stats_ref; /* mean, rstd */
    float *dx_ref;    /* added to `dx_old` */
    float *dx_old;
} norm_case;

static void reference_row(const norm_case *c, const double *x, double *y, double *stats)
{
    double mean = 0;
    double square = 0;
    for (int64_t i = 0; i < c->width && c->centred; i++) {
        mean += x[i] / (double)c->width;
    }
    for (int64_t i = 0; i < c->width; i++) {
        square += (x[i] - mean) * (x[i] - mean) / (double)c->width;
    }
    stats[0] = mean;
    stats[1] = 1 / sqrt(square + (double)EPS);
    for (int64_t i = 0; i < c->width; i++) {
        double shift = c->centred ? (double)c->b[i] : 0;
        y[i] = (x[i] - mean) * stats[1] * (double)c->w[i] + shift;
    }
}

static void reference_row_back(const norm_case *c, const double *x, const float *dy,
                               const double *stats, float *dx)
{
    double mean_g = 0;
    double mean_gn = 0;
    for (int64_t i = 0; i < c->width; i++) {
        double g = (double)c->w[i] * (double)dy[i];
        mean_g += c->centred ? g / (double)c->width : 0;
        mean_gn += g * (x[i] - stats[0]) * stats[1] / (double)c->width;
    }
    for (int64_t i = 0; i < c->width; i++) {
        double g = (double)c->w[i] * (double)dy[i];
        double normal = (x[i] - stats[0]) * stats[1];
        dx[i] = (float)((double)dx[i] + stats[1] * (g - mean_g - normal * mean_gn));
    }
}

static void widen(int64_t n, const float *from, double *to)
{
    for (int64_t i = 0; i < n; i++) {
        to[i] = (double)from[i];
    }
}

enum { MAX_WIDTH = 1536 };

static void fill_references(norm_case *c)
{
    double x[MAX_WIDTH];
    double y[MAX_WIDTH];
    double stats[2];
    for (int64_t t = 0; t < c->n; t++) {
        int64_t row = t * c->width;
        widen(c->width, c->x + row, x);
        reference_row(c, x, y, stats);
        for (int64_t i = 0; i < c->width; i++) {
            c->y_ref[row + i] = (float)y[i];
        }
        c->stats_ref[2 * t] = (float)stats[0];
        c->stats_ref[2 * t + 1] = (float)stats[1];
        reference_row_back(c, x, c->dy + row, stats, c->dx_ref + row);
    }
}

static norm_case make_case(bool centred, int64_t n, int64_t width)
{
    int64_t all = n * width;
    norm_case c = {.centred = centred, .n = n, .width = width};
    c.x = fr_test_numbers(all, 1, 2);
    c.w = fr_test_numbers(width, 2, 1.5);
    c.b = fr_test_numbers(width, 3, 1);
    c.dy = fr_test_numbers(all, 4, 1);
    c.dx_old = fr_test_numbers(all, 5, 1);
    c.dx_ref = fr_test_numbers(all, 5, 1);
    c.y_ref = fr_test_zeros(all);
    c.stats_ref = fr_test_zeros(2 * n);
    for (int64_t i = 0; i < all && centred; i++) {
        c.x[i] += 0.75F;
    }
    fill_references(&c);
    return c;
}

static void free_case(norm_case *c)
{
    free(c->x);
    free(c->w);
    free(c->b);
    free(c->dy);
    free(c->dx_old);
    free(c->dx_ref);
    free(c->y_ref);
    free(c->stats_ref);
}

static void run_forward(fr_device *device, const norm_case *c, float *y, float *stats)
{
    if (c->centred) {
        fr_layernorm(device, c->n, c->width, fr_host_view(c->x), fr_host_f32(c->w),
                     fr_host_f32(c->b), EPS, fr_host_view(y), fr_host_f32(stats));
        return;
    }
    float *rstd = stats == NULL ? NULL : fr_test_zeros(c->n);
    fr_rmsnorm(device, c->n, c->width, fr_host_view(c->x), fr_host_f32(c->w), EPS,
               fr_host_view(y), fr_host_f32(rstd));
    for (int64_t t = 0; t < c->n && stats != NULL; t++) {
        stats[2 * t] = 0;
        stats[2 * t + 1] = rstd[t];
    }
    free(rstd);
}

static void run_backward(fr_device *device, const norm_case *c, const float *stats,
                         const float *dy, float *dx, fr_view again)
{
    if (c->centred) {
        fr_layernorm_back(device, c->n, c->width, fr_host_view(c->x), fr_host_f32(c->w),
                          fr_host_f32(stats), fr_host_view(dy), fr_host_f32(dx), again);
        return;
    }
    float *rstd = fr_test_zeros(c->n);
    for (int64_t t = 0; t < c->n; t++) {
        rstd[t] = stats[2 * t + 1];
    }
    fr_rmsnorm_back(device, c->n, c->width, fr_host_view(c->x), fr_host_f32(c->w),
                    fr_host_f32(rstd), fr_host_view(dy), fr_host_f32(dx), again);
    free(rstd);
}

/* In a buffer of its own, and in the place of dy; dx has the bits that it has without. */
static void check_again(fr_device *device, const norm_case *c, const float *stats,
                        const float *wanted)
{
    int64_t all = c->n * c->width;
    size_t bytes = (size_t)all * sizeof(float);
    for (int in_place = 0; in_place < 2; in_place++) {
        float *dx = fr_test_numbers(all, 5, 1); /* c->dx_old */
        float *dy = fr_test_numbers(all, 4, 1); /* c->dy */
        float *own = fr_test_zeros(all);
        float *again = in_place == 1 ? dy : own;
        run_backward(device, c, stats, dy, dx, fr_host_view(again));
        fr_assert_same_bytes("dx", dx, wanted, bytes);
        fr_assert_same_bytes("dx once more", again, wanted, bytes);
        free(dx);
        free(dy);
        free(own);
    }
}

static void check_case(fr_device *device, const norm_case *c)
{
    int64_t all = c->n * c->width;
    float *y = fr_test_zeros(all);
    float *y_alone = fr_test_zeros(all);
    float *stats = fr_test_zeros(2 * c->n);
    float *dx = fr_test_zeros(all);
    run_forward(device, c, y, stats);
    run_forward(device, c, y_alone, NULL);
    memcpy(dx, c->dx_old, (size_t)all * sizeof *dx);
    run_backward(device, c, stats, c->dy, dx, fr_view_none());
    check_again(device, c, stats, dx);
    double tolerance = fr_approx(FR_APPROX_NORM, FR_F32);
    fr_assert_close("norm y", y, c->y_ref, all, tolerance);
    fr_assert_close("norm statistics", stats, c->stats_ref, 2 * c->n, tolerance);
    fr_assert_same_bytes("y without statistics", y_alone, y, (size_t)all * sizeof *y);
    fr_assert_close("norm dx", dx, c->dx_ref, all,
                    fr_approx(FR_APPROX_NORM_BACK, FR_F32));
    free(y);
    free(y_alone);
    free(stats);
    free(dx);
}

static void check_all_sizes(fr_device *device, void *user)
{
    static const int64_t WIDTHS[] = {1, 7, 8, 64, 576, MAX_WIDTH};
    static const int64_t TOKENS[] = {1, 33};
    const bool *centred = user;
    for (int w = 0; w < FR_N_CASES(WIDTHS); w++) {
        for (int n = 0; n < FR_N_CASES(TOKENS); n++) {
            norm_case c = make_case(*centred, TOKENS[n], WIDTHS[w]);
            check_case(device, &c);
            free_case(&c);
        }
    }
}

static void rmsnorm_matches_f64_both_ways(void)
{
    bool centred = false;
    fr_test_each_device(check_all_sizes, &centred);
}

static void layernorm_matches_f64_both_ways(void)
{
    bool centred = true;
    fr_test_each_device(check_all_sizes, &centred);
}

/* sum of dy * y over one row */
static double row_loss(const double *x, const void *user)
{
    const norm_case *c = user;
    double y[MAX_WIDTH];
    double stats[2];
    double loss = 0;
    reference_row(c, x, y, stats);
    for (int64_t i = 0; i < c->width; i++) {
        loss += y[i] * (double)c->dy[i];
    }
    return loss;
}

static void check_difference(fr_device *device, void *user)
{
    enum { WIDTH = 37 };
    const bool *centred = user;
    norm_case c = make_case(*centred, 1, WIDTH);
    double x[WIDTH];
    float wanted[WIDTH];
    float dx[WIDTH] = {0};
    widen(WIDTH, c.x, x);
    fr_test_difference(row_loss, &c, WIDTH, 1, x, wanted);
    run_backward(device, &c, c.stats_ref, c.dy, dx, fr_view_none());
    fr_assert_close("norm slope", dx, wanted, WIDTH,
                    fr_approx(FR_APPROX_DIFFERENCE, FR_F32));
    free_case(&c);
}

static void gradients_are_slopes_of_the_forward_pass(void)
{
    bool centred = false;
    fr_test_each_isa(check_difference, &centred);
    centred = true;
    fr_test_each_isa(check_difference, &centred);
}

static void check_nan_stays_in_its_row(fr_device *device, void *user)
{
    const bool *centred = user;
    norm_case c = make_case(*centred, 3, 70);
    float *y = fr_test_zeros(c.n * c.width);
    c.x[c.width + 69] = NAN;
    run_forward(device, &c, y, NULL);
    CU_ASSERT(isnan(y[c.width]) && isnan(y[c.width + 69]));
    fr_assert_close("row before", y, c.y_ref, c.width, 1e-6);
    fr_assert_close("row after", y + 2 * c.width, c.y_ref + 2 * c.width, c.width, 1e-6);
    free(y);
    free_case(&c);
}

static void nan_reaches_its_own_row_and_no_other(void)
{
    bool centred = false;
    fr_test_each_isa(check_nan_stays_in_its_row, &centred);
    centred = true;
    fr_test_each_isa(check_nan_stays_in_its_row, &centred);
}

/* A head's norm has the bits of a row of that width, also in place, and leaves the rest of its row alone. */
static void check_heads_of(fr_device *device, const fr_heads *heads)
{
    int64_t n = heads->n_tokens * heads->stride;
    int64_t width = heads->head_dim;
    size_t bytes = (size_t)n * sizeof(float);
    size_t head_bytes = (size_t)width * sizeof(float);
    float *x = fr_test_numbers(n, 1, 2);
    float *dy = fr_test_numbers(n, 4, 1);
    float *w = fr_test_numbers(width, 2, 1.5);
    float *y = fr_test_numbers(n, 1, 2);
    float *dx = fr_test_numbers(n, 4, 1);
    float *wanted = fr_test_zeros(width);
    float *rstd = fr_test_zeros(heads->n_tokens * heads->n_heads);
    fr_rmsnorm_heads(device, heads, fr_host_view(x), fr_host_f32(w), EPS,
                     fr_host_view(y), fr_host_f32(rstd));
    fr_rmsnorm_heads_back(device, heads, fr_host_view(x), fr_host_f32(w),
                          fr_host_f32(rstd), fr_host_view(dy), fr_host_view(dx));
    for (int64_t i = 0; i < heads->n_tokens * heads->n_heads; i++) {
        int64_t at = i / heads->n_heads * heads->stride + i % heads->n_heads * width;
        float one = 0;
        fr_rmsnorm(device, 1, width, fr_host_view(x + at), fr_host_f32(w), EPS,
                   fr_host_view(wanted), fr_host_f32(&one));
        fr_assert_same_bytes("head", y + at, wanted, head_bytes);
        CU_ASSERT(rstd[i] == one);
        memset(wanted, 0, head_bytes);
        fr_rmsnorm_back(device, 1, width, fr_host_view(x + at), fr_host_f32(w),
                        fr_host_f32(&one), fr_host_view(dy + at), fr_host_f32(wanted),
                        fr_view_none());
        fr_assert_same_bytes("head back", dx + at, wanted, head_bytes);
    }
    int64_t gap = heads->stride - heads->n_heads * width;
    for (int64_t t = 1; t <= heads->n_tokens; t++) {
        int64_t at = t * heads->stride - gap;
        fr_assert_same_bytes("gap", y + at, x + at, (size_t)gap * sizeof *y);
        fr_assert_same_bytes("gap back", dx + at, dy + at, (size_t)gap * sizeof *y);
    }
    fr_rmsnorm_heads_back(device, heads, fr_host_view(x), fr_host_f32(w),
                          fr_host_f32(rstd), fr_host_view(dy), fr_host_view(dy));
    fr_assert_same_bytes("dx is dy", dy, dx, bytes);
    fr_rmsnorm_heads(device, heads, fr_host_view(x), fr_host_f32(w), EPS,
                     fr_host_view(x), NULL);
    fr_assert_same_bytes("y is x", x, y, bytes);
    free(x);
    free(dy);
    free(w);
    free(y);
    free(dx);
    free(wanted);
    free(rstd);
}

static void check_heads(fr_device *device, void *user)
{
    static const fr_heads HEADS[] = {
        {31, 5, 64, 5 * 64 + 3}, {3, 1, 577, 577}, {1, 9, 2, 20}, {7, 4, 13, 60}};
    (void)user;
    for (int i = 0; i < FR_N_CASES(HEADS); i++) {
        check_heads_of(device, &HEADS[i]);
    }
}

static void norm_of_heads_is_the_norm_of_each_head(void)
{
    fr_test_each_device(check_heads, NULL);
}

static const fr_case CASES[] = {
    FR_CASE(rmsnorm_matches_f64_both_ways),
    FR_CASE(layernorm_matches_f64_both_ways),
    FR_CASE(norm_of_heads_is_the_norm_of_each_head),
    FR_CASE(gradients_are_slopes_of_the_forward_pass),
    FR_CASE(nan_reaches_its_own_row_and_no_other),
};

int main(int argc, char **argv)
{
    return fr_suite_main("rowwise_norm", CASES, FR_N_CASES(CASES), argc, argv);
}
