/* Rows that move. Each number of a target has one writer, and sums have the order of the list, so the number of threads
 * changes no bit. */
#include "device/rows.h"

#include "base/integer.h"
#include "device/cpu/cpu.h"
#include "device/cpu/kernels.h"

#include <string.h>

static void copy_row(int64_t width, const float *from, float *to)
{
    memcpy(to, from, (size_t)width * sizeof *to);
}

void fr_cpu_copy_rows(fr_device *device, int64_t n_rows, int64_t width,
                      const int32_t *rows_N, fr_view x, fr_view y)
{
    const float *from = fr_view_floats(x);
    float *y_ND = fr_view_floats(y);
    int threads = fr_kernels_threads(device->n_threads, n_rows * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t n = 0; n < n_rows; n++) {
        copy_row(width, from + rows_N[n] * width, y_ND + n * width);
    }
}

/* The first loop ends for all threads before the second begins: a row may be cleared by one thread and filled by
 * another. */
void fr_cpu_scatter_rows(fr_device *device, int64_t n_tokens, int64_t width,
                         int64_t n_rows, const int32_t *rows_S, fr_view x, fr_view y)
{
    const float *x_SD = fr_view_floats(x);
    float *y_TD = fr_view_floats(y);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int64_t t = 0; t < n_tokens; t++) {
            memset(y_TD + t * width, 0, (size_t)width * sizeof *y_TD);
        }
#pragma omp for schedule(static)
        for (int64_t s = 0; s < n_rows; s++) {
            copy_row(width, x_SD + s * width, y_TD + rows_S[s] * width);
        }
    }
}

void fr_cpu_add_table_rows(fr_device *device, int64_t n_tokens, int64_t width,
                           const int32_t *rows_T, const float *table, float *x_TD)
{
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        kernels->add(width, table + rows_T[t] * width, x_TD + t * width);
    }
}

/* Threads share the columns, not the rows: each adds all rows in their order to its own columns. Strips are several
 * cache lines wide, so threads seldom write the same one. */
void fr_cpu_add_rows(fr_device *device, int64_t n_rows, int64_t width,
                     const int32_t *rows_N, const float *x_ND, float *y)
{
    enum { STRIP = 64 };
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n_rows * width);
    int64_t strips = fr_ceil_div(width, STRIP);
    int64_t columns = fr_max(fr_ceil_div(strips, threads), 1) * STRIP;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t first = 0; first < width; first += columns) {
        int64_t count = fr_min(width - first, columns);
        for (int64_t n = 0; n < n_rows; n++) {
            kernels->add(count, x_ND + n * width + first,
                         y + rows_N[n] * width + first);
        }
    }
}

/* A pass has one long segment or many short ones. So threads share the tokens of each, and nobody waits between two
 * segments. */
void fr_cpu_fill_cache(fr_device *device, const fr_attention_params *params, fr_view k,
                       fr_view v, fr_view cache_k, fr_view cache_v)
{
    const float *from_k = fr_view_floats(k);
    const float *from_v = fr_view_floats(v);
    float *to_k = fr_view_floats(cache_k);
    float *to_v = fr_view_floats(cache_v);
    int64_t width = params->n_kv_heads * params->head_dim;
    int64_t stride = params->kv_stride;
    int threads = fr_kernels_threads(device->n_threads, 2 * params->n_tokens * width);
#pragma omp parallel num_threads(threads)
    for (int64_t i = 0; i < params->n_segments; i++) {
        const fr_segment *segment = &params->segments[i];
#pragma omp for schedule(static) nowait
        for (int64_t t = 0; t < segment->q_count; t++) {
            int64_t row = (segment->q_first + t) * stride;
            int64_t place = (segment->own_first + t) * width;
            copy_row(width, from_k + row, to_k + place);
            copy_row(width, from_v + row, to_v + place);
        }
    }
}
