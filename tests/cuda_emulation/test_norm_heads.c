/* Norms of heads on both devices: as near as those of rows (test_norms.c), and the bits of rows. */
#include "device/rowwise.h"
#include "pair.h"
#include "support/devices.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>

static const float EPS = 0.1F;
static const double NEAR = 2e-6;

typedef struct heads_pairs {
    fr_pair x;
    fr_pair y;
    fr_pair w;
    fr_pair rstd;
    fr_pair dy;
    fr_pair dx;
} heads_pairs;

static heads_pairs pairs_of(const fr_two *two, const fr_heads *heads, fr_dtype dtype,
                            bool is_exact)
{
    int64_t n = heads->n_tokens * heads->stride;
    float *x = fr_test_numbers(n, 1, 2);
    float *dy = fr_test_numbers(n, 4, 1);
    float *w = fr_test_numbers(heads->head_dim, 2, 1.5);
    for (int64_t i = 0; i < n && is_exact; i++) {
        x[i] = rintf(4 * x[i]);
        dy[i] = rintf(4 * dy[i]);
    }
    for (int64_t i = 0; i < heads->head_dim && is_exact; i++) {
        w[i] = rintf(4 * w[i]) / 4;
    }
    heads_pairs p = {
        .x = fr_pair_of(two, "x of heads", n, dtype, x),
        .y = fr_pair_numbers(two, "y of heads", n, dtype, 7, 1),
        .w = fr_pair_of(two, "w of heads", heads->head_dim, FR_F32, w),
        .rstd = fr_pair_numbers(two, "rstd of heads", heads->n_tokens * heads->n_heads,
                                FR_F32, 8, 1),
        .dy = fr_pair_of(two, "dy of heads", n, dtype, dy),
        .dx = fr_pair_numbers(two, "dx of heads", n, dtype, 9, 1),
    };
    free(x);
    free(dy);
    free(w);
    return p;
}

static void free_pairs(heads_pairs *p)
{
    fr_pair_free(&p->x);
    fr_pair_free(&p->y);
    fr_pair_free(&p->w);
    fr_pair_free(&p->rstd);
    fr_pair_free(&p->dy);
    fr_pair_free(&p->dx);
}

static void run_heads(const fr_two *two, const fr_heads *heads, const heads_pairs *p)
{
    fr_rmsnorm_heads(two->cpu, heads, p->x.on_cpu, fr_pair_cpu_f32(&p->w), EPS,
                     p->y.on_cpu, p->rstd.cpu);
    fr_rmsnorm_heads(two->cuda, heads, p->x.on_cuda, fr_pair_cuda_f32(&p->w), EPS,
                     p->y.on_cuda, p->rstd.cuda);
    fr_rmsnorm_heads_back(two->cpu, heads, p->x.on_cpu, fr_pair_cpu_f32(&p->w),
                          fr_pair_cpu_f32(&p->rstd), p->dy.on_cpu, p->dx.on_cpu);
    fr_rmsnorm_heads_back(two->cuda, heads, p->x.on_cuda, fr_pair_cuda_f32(&p->w),
                          fr_pair_cuda_f32(&p->rstd), p->dy.on_cuda, p->dx.on_cuda);
}

/* dx may be dy, y may be x. */
static void check_in_place(const fr_two *two, const fr_heads *heads,
                           const heads_pairs *p)
{
    size_t bytes = (size_t)(heads->n_tokens * heads->stride) * sizeof(float);
    float *y = fr_pair_fetch(&p->y);
    float *dx = fr_pair_fetch(&p->dx);
    fr_rmsnorm_heads_back(two->cuda, heads, p->x.on_cuda, fr_pair_cuda_f32(&p->w),
                          fr_pair_cuda_f32(&p->rstd), p->dy.on_cuda, p->dy.on_cuda);
    fr_rmsnorm_heads(two->cuda, heads, p->x.on_cuda, fr_pair_cuda_f32(&p->w), EPS,
                     p->x.on_cuda, NULL);
    float *x = fr_pair_fetch(&p->x);
    float *dy = fr_pair_fetch(&p->dy);
    for (int64_t i = 0; i < heads->n_tokens * heads->stride; i++) {
        if (i % heads->stride >= heads->n_heads * heads->head_dim) {
            x[i] = y[i]; /* between the rows each has its own numbers */
            dy[i] = dx[i];
        }
    }
    fr_assert_same_bytes("y is x", x, y, bytes);
    fr_assert_same_bytes("dx is dy", dy, dx, bytes);
    free(x);
    free(y);
    free(dx);
    free(dy);
}

static const fr_heads HEADS[] = {
    {31, 5, 64, 5 * 64 + 3}, {3, 1, 577, 577},           {1, 9, 2, 20}, {7, 4, 13, 60},
    {5, 3, 128, 3 * 128},    {2, 2, 1029, 2 * 1029 + 1}, {0, 3, 8, 24}, {3, 0, 8, 24}};

static void norms_of_heads_match_the_cpu_also_in_place(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < 2 * FR_N_CASES(HEADS); i++) {
        const fr_heads *heads = &HEADS[i / 2];
        heads_pairs p = pairs_of(&two, heads, fr_digit_type(i % 2), true);
        run_heads(&two, heads, &p);
        fr_pair_assert_same(&p.y);
        fr_pair_assert_same(&p.rstd);
        fr_pair_assert_same(&p.dx);
        check_in_place(&two, heads, &p);
        free_pairs(&p);
        p = pairs_of(&two, heads, FR_F32, false);
        if (p.rstd.n > 0) {
            run_heads(&two, heads, &p);
            fr_pair_assert_near(&p.y, NEAR);
            fr_pair_assert_near(&p.rstd, NEAR);
            fr_pair_assert_near(&p.dx, NEAR);
        }
        free_pairs(&p);
    }
    fr_two_close(&two);
}

/* A head has the bits of a row of its width. */
static void a_head_is_a_row(void)
{
    static const int64_t SOME[] = {64, 100, 1100};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(SOME); i++) {
        fr_heads heads = {3, 4, SOME[i], 4 * SOME[i]};
        size_t bytes = (size_t)(3 * heads.stride) * sizeof(float);
        heads_pairs p = pairs_of(&two, &heads, FR_F32, false);
        run_heads(&two, &heads, &p);
        float *wanted = fr_pair_fetch(&p.y);
        float *wanted_back = fr_pair_fetch(&p.dx);
        fr_rmsnorm(two.cuda, 12, SOME[i], p.x.on_cuda, fr_pair_cuda_f32(&p.w), EPS,
                   p.y.on_cuda, NULL);
        fr_device_zero(two.cuda, p.dx.cuda, (int64_t)bytes);
        fr_rmsnorm_back(two.cuda, 12, SOME[i], p.x.on_cuda, fr_pair_cuda_f32(&p.w),
                        fr_pair_cuda_f32(&p.rstd), p.dy.on_cuda, p.dx.cuda,
                        fr_view_none());
        float *got = fr_pair_fetch(&p.y);
        float *got_back = fr_pair_fetch(&p.dx);
        fr_assert_same_bytes("rows", got, wanted, bytes);
        fr_assert_same_bytes("rows back", got_back, wanted_back, bytes);
        free(got);
        free(got_back);
        free(wanted);
        free(wanted_back);
        free_pairs(&p);
    }
    fr_two_close(&two);
}

static const fr_case CASES[] = {
    FR_CASE(norms_of_heads_match_the_cpu_also_in_place),
    FR_CASE(a_head_is_a_row),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_norm_heads", CASES, FR_N_CASES(CASES), argc, argv);
}
