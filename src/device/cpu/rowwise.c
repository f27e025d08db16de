/* Norms, bias and rotation: one kernel call a row, rows shared among the threads. */
#include "device/rowwise.h"
#include "device/cpu/cpu.h"
#include "device/cpu/kernels.h"

#include <stddef.h>
#include <string.h>

/* The row is the unit of work for a reason of bits: a sum along a row is one thread's, so the number of threads
 * cannot change its order. rstd_T is NULL where no backward pass follows. */
void fr_cpu_rmsnorm(fr_device *device, int64_t n_tokens, int64_t width, fr_view x,
                    const float *w_D, float eps, fr_view y, float *rstd_T)
{
    const float *x_TD = fr_view_floats(x);
    float *y_TD = fr_view_floats(y);
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        float rstd = 0;
        kernels->rmsnorm(width, x_TD + t * width, w_D, eps, y_TD + t * width, &rstd);
        if (rstd_T != NULL) {
            rstd_T[t] = rstd;
        }
    }
}

/* A row while it is in the cache, to where it is wanted once more. */
static void copy_row(int64_t width, const float *x, fr_view y)
{
    if (y.at != NULL) {
        memcpy(y.at, x, (size_t)width * sizeof *x);
    }
}

/* Adds to dx_TD, so that the caller can start it with the gradient of the residual path. The norm's weights are
 * frozen and need none. */
void fr_cpu_rmsnorm_back(fr_device *device, int64_t n_tokens, int64_t width, fr_view x,
                         const float *w_D, const float *rstd_T, fr_view dy,
                         float *dx_TD, fr_view again)
{
    const float *x_TD = fr_view_floats(x);
    const float *dy_TD = fr_view_floats(dy);
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        int64_t row = t * width;
        kernels->rmsnorm_back(width, x_TD + row, w_D, rstd_T[t], dy_TD + row,
                              dx_TD + row);
        copy_row(width, dx_TD + row, fr_view_at(again, row));
    }
}

/* stats_T2 holds what the backward pass needs of a row; NULL: it is not kept. */
void fr_cpu_layernorm(fr_device *device, int64_t n_tokens, int64_t width, fr_view x,
                      const float *w_D, const float *b_D, float eps, fr_view y,
                      float *stats_T2)
{
    const float *x_TD = fr_view_floats(x);
    float *y_TD = fr_view_floats(y);
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        float unused[2];
        float *stats = stats_T2 == NULL ? unused : stats_T2 + 2 * t;
        kernels->layernorm(width, x_TD + t * width, w_D, b_D, eps, y_TD + t * width,
                           stats);
    }
}

void fr_cpu_layernorm_back(fr_device *device, int64_t n_tokens, int64_t width,
                           fr_view x, const float *w_D, const float *stats_T2,
                           fr_view dy, float *dx_TD, fr_view again)
{
    const float *x_TD = fr_view_floats(x);
    const float *dy_TD = fr_view_floats(dy);
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        int64_t row = t * width;
        kernels->layernorm_back(width, x_TD + row, w_D, stats_T2 + 2 * t, dy_TD + row,
                                dx_TD + row);
        copy_row(width, dx_TD + row, fr_view_at(again, row));
    }
}

/* `stride` lets a bias be added to a part of wider rows, such as the queries among queries, keys and values. */
void fr_cpu_add_bias(fr_device *device, int64_t n_tokens, int64_t width, int64_t stride,
                     const float *b, fr_view x)
{
    float *rows = fr_view_floats(x);
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        kernels->add(width, b, rows + t * stride);
    }
}

static int threads_for_heads(const fr_device *device, const fr_heads *heads)
{
    return fr_kernels_threads(device->n_threads,
                              heads->n_tokens * heads->n_heads * heads->head_dim);
}

/* Each head's sum runs over its own elements, so a head has the same bits as a row of that width. */
void fr_cpu_rmsnorm_heads(fr_device *device, const fr_heads *heads, fr_view x,
                          const float *w_K, float eps, fr_view y, float *rstd_TN)
{
    const float *from = fr_view_floats(x);
    float *to = fr_view_floats(y);
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = threads_for_heads(device, heads);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < heads->n_tokens; t++) {
        for (int64_t h = 0; h < heads->n_heads; h++) {
            int64_t at = t * heads->stride + h * heads->head_dim;
            float rstd = 0;
            kernels->rmsnorm(heads->head_dim, from + at, w_K, eps, to + at, &rstd);
            if (rstd_TN != NULL) {
                rstd_TN[t * heads->n_heads + h] = rstd;
            }
        }
    }
}

/* No residual path joins between a projection and its norm, so nothing is added to. */
void fr_cpu_rmsnorm_heads_back(fr_device *device, const fr_heads *heads, fr_view x,
                               const float *w_K, const float *rstd_TN, fr_view dy,
                               fr_view dx)
{
    const float *from = fr_view_floats(x);
    const float *d_to = fr_view_floats(dy);
    float *d_from = fr_view_floats(dx);
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = threads_for_heads(device, heads);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < heads->n_tokens; t++) {
        for (int64_t h = 0; h < heads->n_heads; h++) {
            int64_t at = t * heads->stride + h * heads->head_dim;
            kernels->rmsnorm_turn(heads->head_dim, from + at, w_K,
                                  rstd_TN[t * heads->n_heads + h], d_to + at,
                                  d_from + at);
        }
    }
}

/* Heads of a token lie side by side, tokens `stride` apart. Row p of the table holds the `rotary` numbers of
 * position p. */
void fr_cpu_rope(fr_device *device, const fr_heads *heads, int64_t rotary,
                 const int32_t *positions_T, const float *table, bool inverse,
                 fr_view x)
{
    float *rows = fr_view_floats(x);
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = threads_for_heads(device, heads);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < heads->n_tokens; t++) {
        kernels->rope(heads, rotary, table + positions_T[t] * rotary, inverse,
                      rows + t * heads->stride);
    }
}
