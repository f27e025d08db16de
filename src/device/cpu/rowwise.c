/* Norms, bias and rotation: one kernel call a row, rows shared among the threads. */
#include "device/rowwise.h"
#include "device/cpu/cpu.h"
#include "device/cpu/kernels.h"

#include <stddef.h>

/* The row is the unit of work for a reason of bits: a sum along a row is one thread's, so the number of threads
 * cannot change its order. rstd_T is NULL where no backward pass follows. */
void fr_cpu_rmsnorm(fr_device *device, int64_t n_tokens, int64_t width,
                    const float *x_TD, const float *w_D, float eps, float *y_TD,
                    float *rstd_T)
{
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

/* Adds to dx_TD, so that the caller can start it with the gradient of the residual path. The norm's weights are
 * frozen and need none. */
void fr_cpu_rmsnorm_back(fr_device *device, int64_t n_tokens, int64_t width,
                         const float *x_TD, const float *w_D, const float *rstd_T,
                         const float *dy_TD, float *dx_TD)
{
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        int64_t row = t * width;
        kernels->rmsnorm_back(width, x_TD + row, w_D, rstd_T[t], dy_TD + row,
                              dx_TD + row);
    }
}

/* stats_T2 holds what the backward pass needs of a row; NULL: it is not kept. */
void fr_cpu_layernorm(fr_device *device, int64_t n_tokens, int64_t width,
                      const float *x_TD, const float *w_D, const float *b_D, float eps,
                      float *y_TD, float *stats_T2)
{
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
                           const float *x_TD, const float *w_D, const float *stats_T2,
                           const float *dy_TD, float *dx_TD)
{
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        int64_t row = t * width;
        kernels->layernorm_back(width, x_TD + row, w_D, stats_T2 + 2 * t, dy_TD + row,
                                dx_TD + row);
    }
}

/* `stride` lets a bias be added to a part of wider rows, such as the queries among queries, keys and values. */
void fr_cpu_add_bias(fr_device *device, int64_t n_tokens, int64_t width, int64_t stride,
                     const float *b, float *x)
{
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        kernels->add(width, b, x + t * stride);
    }
}

static int threads_for_heads(const fr_device *device, const fr_heads *heads)
{
    return fr_kernels_threads(device->n_threads,
                              heads->n_tokens * heads->n_heads * heads->head_dim);
}

/* Each head's sum runs over its own elements, so a head has the same bits as a row of that width. */
void fr_cpu_rmsnorm_heads(fr_device *device, const fr_heads *heads, const float *x,
                          const float *w_K, float eps, float *y, float *rstd_TN)
{
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = threads_for_heads(device, heads);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < heads->n_tokens; t++) {
        for (int64_t h = 0; h < heads->n_heads; h++) {
            int64_t at = t * heads->stride + h * heads->head_dim;
            float rstd = 0;
            kernels->rmsnorm(heads->head_dim, x + at, w_K, eps, y + at, &rstd);
            if (rstd_TN != NULL) {
                rstd_TN[t * heads->n_heads + h] = rstd;
            }
        }
    }
}

/* No residual path joins between a projection and its norm, so nothing is added to. */
void fr_cpu_rmsnorm_heads_back(fr_device *device, const fr_heads *heads, const float *x,
                               const float *w_K, const float *rstd_TN, const float *dy,
                               float *dx)
{
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = threads_for_heads(device, heads);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < heads->n_tokens; t++) {
        for (int64_t h = 0; h < heads->n_heads; h++) {
            int64_t at = t * heads->stride + h * heads->head_dim;
            kernels->rmsnorm_turn(heads->head_dim, x + at, w_K,
                                  rstd_TN[t * heads->n_heads + h], dy + at, dx + at);
        }
    }
}

/* Heads of a token lie side by side, tokens `stride` apart. Row p of the table holds the `rotary` numbers of
 * position p. */
void fr_cpu_rope(fr_device *device, const fr_heads *heads, int64_t rotary,
                 const int32_t *positions_T, const float *table, bool inverse, float *x)
{
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = threads_for_heads(device, heads);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < heads->n_tokens; t++) {
        kernels->rope(heads, rotary, table + positions_T[t] * rotary, inverse,
                      x + t * heads->stride);
    }
}
