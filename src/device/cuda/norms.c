/* Norms over rows and over heads: a row is a head alone in its token. */
#include "base/integer.h"
#include "device/cuda/kernels_norms.h"
#include "device/cuda/operators.h"
#include "device/cuda/runtime.h"

enum {
    MAX_BLOCKS = 1 << 20, /* they go on to further rows */
    MAX_SHARED = 72 << 10 /* bytes: some blocks are to run at a time on a processor */
};

/* `n_arrays` rows are kept in shared memory, if they fit: else the kernel reads them again, with the same bits. */
static fr_cuda_start start_of(fr_device *device, fr_row_shape *shape, int64_t n_arrays)
{
    int64_t limit =
        fr_min(fr_cuda_of(device)->shared_bytes, MAX_SHARED) / (int64_t)sizeof(float);
    int64_t lanes = fr_row_lanes(shape->width);
    int64_t rows = lanes == FR_ROW_WARP ? FR_ROW_WARPS : 1;
    int64_t n_kept = n_arrays * fr_round_up(shape->width, 4);
    bool fits = FR_ROW_PARTIALS + rows * n_kept <= limit;
    shape->lanes = lanes;
    shape->n_kept = fits ? n_kept : 0;
    return (fr_cuda_start){
        .blocks = fr_min(fr_ceil_div(shape->n_rows, rows), MAX_BLOCKS),
        .threads = (int)(rows * lanes),
        .shared = (FR_ROW_PARTIALS + rows * shape->n_kept) * (int64_t)sizeof(float),
    };
}

static void start_norm(fr_device *device, fr_cuda_kernel kernel, fr_norm_arguments *a)
{
    fr_cuda_start start = start_of(device, &a->shape, 1);
    start.kernel = kernel;
    fr_cuda_launch(device, &start, a);
}

static void start_back(fr_device *device, fr_cuda_kernel kernel,
                       fr_norm_back_arguments *a)
{
    fr_cuda_start start = start_of(device, &a->shape, 2);
    start.kernel = kernel;
    fr_cuda_launch(device, &start, a);
}

static fr_row_shape dense(int64_t n_tokens, int64_t width)
{
    return (fr_row_shape){
        .n_rows = n_tokens, .n_heads = 1, .width = width, .stride = width};
}

static fr_row_shape shape_of(const fr_heads *heads)
{
    return (fr_row_shape){.n_rows = heads->n_tokens * heads->n_heads,
                          .n_heads = heads->n_heads,
                          .width = heads->head_dim,
                          .stride = heads->stride};
}

void fr_cuda_rmsnorm(fr_device *device, int64_t n_tokens, int64_t width, fr_view x_TD,
                     const float *w_D, float eps, fr_view y_TD, float *rstd_T)
{
    fr_norm_arguments a = {.shape = dense(n_tokens, width),
                           .x = x_TD.at,
                           .w = w_D,
                           .y = y_TD.at,
                           .stats = rstd_T,
                           .eps = eps};
    start_norm(device, FR_KERNEL_rmsnorm_00 + fr_cuda_digits_2(x_TD, y_TD), &a);
}

void fr_cuda_rmsnorm_back(fr_device *device, int64_t n_tokens, int64_t width,
                          fr_view x_TD, const float *w_D, const float *rstd_T,
                          fr_view dy_TD, float *dx_TD, fr_view again_TD)
{
    fr_norm_back_arguments a = {.shape = dense(n_tokens, width),
                                .x = x_TD.at,
                                .w = w_D,
                                .stats = rstd_T,
                                .dy = dy_TD.at,
                                .dx = dx_TD,
                                .again = again_TD.at};
    start_back(device, FR_KERNEL_rmsnorm_back_00 + fr_cuda_digits_2(x_TD, dy_TD), &a);
}

void fr_cuda_layernorm(fr_device *device, int64_t n_tokens, int64_t width, fr_view x_TD,
                       const float *w_D, const float *b_D, float eps, fr_view y_TD,
                       float *stats_T2)
{
    fr_norm_arguments a = {.shape = dense(n_tokens, width),
                           .x = x_TD.at,
                           .w = w_D,
                           .b = b_D,
                           .y = y_TD.at,
                           .stats = stats_T2,
                           .eps = eps};
    start_norm(device, FR_KERNEL_layernorm_00 + fr_cuda_digits_2(x_TD, y_TD), &a);
}

void fr_cuda_layernorm_back(fr_device *device, int64_t n_tokens, int64_t width,
                            fr_view x_TD, const float *w_D, const float *stats_T2,
                            fr_view dy_TD, float *dx_TD, fr_view again_TD)
{
    fr_norm_back_arguments a = {.shape = dense(n_tokens, width),
                                .x = x_TD.at,
                                .w = w_D,
                                .stats = stats_T2,
                                .dy = dy_TD.at,
                                .dx = dx_TD,
                                .again = again_TD.at};
    start_back(device, FR_KERNEL_layernorm_back_00 + fr_cuda_digits_2(x_TD, dy_TD), &a);
}

void fr_cuda_rmsnorm_heads(fr_device *device, const fr_heads *heads, fr_view x,
                           const float *w_K, float eps, fr_view y, float *rstd_TN)
{
    fr_norm_arguments a = {.shape = shape_of(heads),
                           .x = x.at,
                           .w = w_K,
                           .y = y.at,
                           .stats = rstd_TN,
                           .eps = eps};
    start_norm(device, FR_KERNEL_rmsnorm_00 + fr_cuda_digits_2(x, y), &a);
}

void fr_cuda_rmsnorm_heads_back(fr_device *device, const fr_heads *heads, fr_view x,
                                const float *w_K, const float *rstd_TN, fr_view dy,
                                fr_view dx)
{
    fr_norm_back_arguments a = {.shape = shape_of(heads),
                                .x = x.at,
                                .w = w_K,
                                .stats = rstd_TN,
                                .dy = dy.at,
                                .dx = dx.at};
    start_back(device, FR_KERNEL_rmsnorm_turn_0 + fr_cuda_digits_1(x), &a);
}
