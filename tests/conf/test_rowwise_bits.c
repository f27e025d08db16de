/* A row's bits do not depend on where it lies, on its neighbours, or on the number of threads. */
#include "device/activation.h"
#include "device/host.h"
#include "device/loss.h"
#include "device/rowwise.h"
#include "support/devices.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 41, SHIFT = 3, MAX_THREADS = 4 };

/** Inputs of n rows: x [n, 2 width], dy [n, width]; out [n, 2 width] starts as zeros. */
typedef struct rows {
    int64_t n;
    int64_t width;
    fr_activation activation;
    const float *x;
    const float *dy;
    const float *w;
    const float *table;
    const int32_t *positions;
    float *out;
} rows;

typedef void (*row_operator)(fr_device *device, const rows *r);

static void run_rmsnorm(fr_device *device, const rows *r)
{
    fr_rmsnorm(device, r->n, 2 * r->width, fr_host_view(r->x), fr_host_f32(r->w), 1e-5F,
               fr_host_view(r->out), NULL);
}

static void run_rmsnorm_back(fr_device *device, const rows *r)
{
    float rstd[ROWS];
    float *y = fr_test_zeros(2 * r->n * r->width);
    fr_rmsnorm(device, r->n, r->width, fr_host_view(r->dy), fr_host_f32(r->w), 1e-5F,
               fr_host_view(y), fr_host_f32(rstd));
    fr_rmsnorm_back(device, r->n, r->width, fr_host_view(r->dy), fr_host_f32(r->w),
                    fr_host_f32(rstd), fr_host_view(y), fr_host_f32(r->out),
                    fr_view_none());
    free(y);
}

static void run_layernorm(fr_device *device, const rows *r)
{
    fr_layernorm(device, r->n, 2 * r->width, fr_host_view(r->x), fr_host_f32(r->w),
                 fr_host_f32(r->w), 1e-5F, fr_host_view(r->out), NULL);
}

static void run_layernorm_back(fr_device *device, const rows *r)
{
    float stats[2 * ROWS];
    float *y = fr_test_zeros(2 * r->n * r->width);
    fr_layernorm(device, r->n, r->width, fr_host_view(r->dy), fr_host_f32(r->w),
                 fr_host_f32(r->w), 1e-5F, fr_host_view(y), fr_host_f32(stats));
    fr_layernorm_back(device, r->n, r->width, fr_host_view(r->dy), fr_host_f32(r->w),
                      fr_host_f32(stats), fr_host_view(y), fr_host_f32(r->out),
                      fr_view_none());
    free(y);
}

static void run_gated(fr_device *device, const rows *r)
{
    fr_gated(device, r->activation, r->n, r->width, fr_host_view(r->x),
             fr_host_view(r->out));
}

static void run_gated_back(fr_device *device, const rows *r)
{
    fr_gated_back(device, r->activation, r->n, r->width, fr_host_view(r->x),
                  fr_host_view(r->dy), fr_host_view(r->out));
}

static void run_activate(fr_device *device, const rows *r)
{
    fr_activate(device, r->activation, r->n * r->width, fr_host_view(r->dy),
                fr_host_view(r->out));
}

static void run_activate_back(fr_device *device, const rows *r)
{
    fr_activate_back(device, r->activation, r->n * r->width, fr_host_view(r->dy),
                     fr_host_view(r->dy), fr_host_view(r->out));
}

/* Two heads a row. */
static void run_norm_of_heads(fr_device *device, const rows *r)
{
    fr_heads heads = {r->n, 2, r->width, 2 * r->width};
    fr_rmsnorm_heads(device, &heads, fr_host_view(r->x), fr_host_f32(r->w), 1e-5F,
                     fr_host_view(r->out), NULL);
}

static void run_norm_of_heads_back(fr_device *device, const rows *r)
{
    fr_heads heads = {r->n, 2, r->width, 2 * r->width};
    float rstd[2 * ROWS];
    float *y = fr_test_zeros(2 * r->n * r->width);
    fr_rmsnorm_heads(device, &heads, fr_host_view(r->x), fr_host_f32(r->w), 1e-5F,
                     fr_host_view(y), fr_host_f32(rstd));
    fr_rmsnorm_heads_back(device, &heads, fr_host_view(r->x), fr_host_f32(r->w),
                          fr_host_f32(rstd), fr_host_view(y), fr_host_view(r->out));
    free(y);
}

static void run_factors(fr_device *device, const rows *r)
{
    memcpy(r->out, r->dy, (size_t)(r->n * r->width) * sizeof *r->out);
    fr_scale(device, r->n * r->width, 0.3F, fr_host_f32(r->out));
    fr_add_scaled(device, r->n * r->width, 0.7F, fr_host_view(r->dy),
                  fr_host_f32(r->out));
}

static void run_shape_logits(fr_device *device, const rows *r)
{
    static const fr_logit_shape SHAPE = {2, 3};
    memcpy(r->out, r->dy, (size_t)(r->n * r->width) * sizeof *r->out);
    fr_shape_logits(device, r->n * r->width, &SHAPE, fr_host_f32(r->out));
}

static void run_rope(fr_device *device, const rows *r)
{
    fr_heads heads = {r->n, 1, 2 * r->width, 2 * r->width};
    memcpy(r->out, r->x, (size_t)(2 * r->n * r->width) * sizeof *r->out);
    fr_rope(device, &heads, 2 * r->width, r->positions, fr_host_f32(r->table), true,
            fr_host_view(r->out));
}

static void run_add_bias(fr_device *device, const rows *r)
{
    memcpy(r->out, r->x, (size_t)(2 * r->n * r->width) * sizeof *r->out);
    fr_add_bias(device, r->n, 2 * r->width, 2 * r->width, fr_host_f32(r->w),
                fr_host_view(r->out));
}

static const row_operator OPERATORS[] = {
    run_rmsnorm,       run_rmsnorm_back,       run_layernorm, run_layernorm_back,
    run_norm_of_heads, run_norm_of_heads_back, run_rope,      run_add_bias,
    run_factors,       run_shape_logits};
static const row_operator OF_ACTIVATIONS[] = {run_gated, run_gated_back, run_activate,
                                              run_activate_back};

/* Row `from`, alone and at an unaligned address, must equal it within the whole. */
static void check_row(fr_device *device, row_operator run, const rows *all,
                      int64_t from, int64_t out_width)
{
    int64_t width = all->width;
    float *x = fr_test_zeros(2 * width + SHIFT);
    float *dy = fr_test_zeros(width + SHIFT);
    float *out = fr_test_zeros(2 * width + SHIFT);
    memcpy(x + SHIFT, all->x + 2 * from * width, (size_t)(2 * width) * sizeof *x);
    memcpy(dy + SHIFT, all->dy + from * width, (size_t)width * sizeof *dy);
    rows alone = *all;
    alone.n = 1;
    alone.x = x + SHIFT;
    alone.dy = dy + SHIFT;
    alone.positions = all->positions + from;
    alone.out = out + SHIFT;
    run(device, &alone);
    fr_assert_same_bytes("row alone", alone.out, all->out + from * out_width,
                         (size_t)out_width * sizeof *out);
    free(x);
    free(dy);
    free(out);
}

/* Output rows are `width` or `2 width` apart, by operator. */
static int64_t output_width(row_operator run, int64_t width)
{
    bool wide = run == run_rmsnorm || run == run_layernorm || run == run_gated_back ||
                run == run_rope || run == run_add_bias || run == run_norm_of_heads ||
                run == run_norm_of_heads_back;
    return wide ? 2 * width : width;
}

static void check_operator(fr_isa isa, row_operator run, rows *all)
{
    size_t bytes = (size_t)(2 * all->n * all->width) * sizeof(float);
    float *first = fr_test_zeros(2 * all->n * all->width);
    for (int n_threads = 1; n_threads <= MAX_THREADS; n_threads++) {
        fr_device *device = fr_test_device(isa, n_threads);
        memset(all->out, 0, bytes);
        run(device, all);
        if (n_threads == 1) {
            memcpy(first, all->out, bytes);
        }
        fr_assert_same_bytes("threads", all->out, first, bytes);
        for (int64_t row = 0; row < all->n; row += 13) {
            check_row(device, run, all, row, output_width(run, all->width));
        }
        fr_device_destroy(&device);
    }
    free(first);
}

static void check_width(int64_t width)
{
    int32_t positions[ROWS];
    float *x = fr_test_numbers(2 * ROWS * width, 1, 3);
    float *dy = fr_test_numbers(ROWS * width, 2, 3);
    float *w = fr_test_numbers(2 * width, 3, 1);
    float *table = fr_test_numbers(2 * ROWS * width, 4, 1);
    float *out = fr_test_zeros(2 * ROWS * width);
    for (int t = 0; t < ROWS; t++) {
        positions[t] = ROWS - 1 - t;
    }
    rows all = {ROWS, width, FR_ACTIVATION_SILU, x, dy, w, table, positions, out};
    for (int isa = FR_ISA_GENERIC; isa <= (int)fr_isa_detect(); isa++) {
        for (int i = 0; i < FR_N_CASES(OPERATORS); i++) {
            check_operator((fr_isa)isa, OPERATORS[i], &all);
        }
        for (int i = 0; i < FR_N_CASES(OF_ACTIVATIONS) * FR_ACTIVATIONS; i++) {
            all.activation = (fr_activation)(i % FR_ACTIVATIONS);
            check_operator((fr_isa)isa, OF_ACTIVATIONS[i / FR_ACTIVATIONS], &all);
        }
    }
    free(x);
    free(dy);
    free(w);
    free(table);
    free(out);
}

static void rows_keep_their_bits_at_odd_widths(void)
{
    check_width(1);
    check_width(7);
    check_width(61);
}

static void rows_keep_their_bits_at_model_widths(void)
{
    check_width(576);
}

static const fr_case CASES[] = {
    FR_CASE(rows_keep_their_bits_at_odd_widths),
    FR_CASE(rows_keep_their_bits_at_model_widths),
};

int main(int argc, char **argv)
{
    return fr_suite_main("rowwise_bits", CASES, FR_N_CASES(CASES), argc, argv);
}
