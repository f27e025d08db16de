/* Storing, restoring (alone or together with the activation that reads the values), gathering of rows and the plain
 * sum. All are bound by memory and shared among the threads in chunks of numbers or by rows. */
#include "base/integer.h"
#include "device/activation.h"
#include "device/cpu/cpu.h"
#include "device/cpu/kernels.h"
#include "device/cpu/quant_kernels.h"
#include "device/matrix.h"
#include "device/rowwise.h"

#include <omp.h>
#include <string.h>

/* Numbers of a chunk: 16 KiB of f32, long enough for the processor's prefetch and short enough for an even share. */
enum { CHUNK = 4096 };

static int64_t chunk_length(int64_t n, int64_t start)
{
    return fr_min(n - start, CHUNK);
}

/* One thread's share of fr_save, and of fr_restore. */
static void save_run(const fr_kernels *kernels, int64_t n, float *x, fr_view saved)
{
    /* x is rounded to bf16 also where nothing is kept, so that both kinds of pass compute with the same numbers */
    uint16_t unused[CHUNK];
    void *to = saved.at;
    for (int64_t start = 0; start < n; start += CHUNK) {
        int64_t length = chunk_length(n, start);
        if (saved.dtype == FR_BF16) {
            kernels->save_bf16(length, x + start,
                               to != NULL ? (uint16_t *)to + start : unused);
        } else if (to != NULL) {
            memcpy((float *)to + start, x + start, (size_t)length * sizeof *x);
        }
    }
}

/* n numbers from number `first` on. */
static void restore_run(const fr_kernels *kernels, int64_t n, fr_view saved,
                        int64_t first, float *x)
{
    const void *numbers = saved.at;
    if (saved.dtype == FR_BF16) {
        kernels->widen_bf16(n, (const uint16_t *)numbers + first, x);
    } else {
        memcpy(x, (const float *)numbers + first, (size_t)n * sizeof *x);
    }
}

/* With f32 a copy is all there is to do, and with none not even that. With bf16, x itself is rounded to what is
 * kept. */
void fr_cpu_save(fr_device *device, int64_t n, fr_view x, fr_view saved)
{
    float *numbers = fr_view_floats(x);
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < n; start += CHUNK) {
        save_run(kernels, chunk_length(n, start), numbers + start,
                 fr_view_at(saved, start));
    }
}

void fr_cpu_restore(fr_device *device, int64_t n, fr_view saved, fr_view x)
{
    float *numbers = fr_view_floats(x);
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < n; start += CHUNK) {
        restore_run(kernels, chunk_length(n, start), saved, start, numbers + start);
    }
}

/* Saves a row and applies the activation while the row is in the cache: both steps are bound by memory. */
void fr_cpu_save_gated(fr_device *device, fr_activation activation, int64_t n_tokens,
                       int64_t width, fr_view gate_up, fr_view saved, fr_view y)
{
    float *gate_up_T2F = fr_view_floats(gate_up);
    float *y_TF = fr_view_floats(y);
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        int64_t row = 2 * t * width;
        save_run(kernels, 2 * width, gate_up_T2F + row, fr_view_at(saved, row));
        kernels->activation[activation].gated(width, gate_up_T2F + row,
                                              y_TF + t * width);
    }
}

/* The row is restored into the place of its own gradient, which the kernel computes in place. So no other
 * buffer is needed. */
void fr_cpu_restore_gated_back(fr_device *device, fr_activation activation,
                               int64_t n_tokens, int64_t width, fr_view saved,
                               fr_view dy, fr_view dgate_up)
{
    const float *dy_TF = fr_view_floats(dy);
    float *dgate_up_T2F = fr_view_floats(dgate_up);
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < n_tokens; t++) {
        float *row = dgate_up_T2F + 2 * t * width;
        restore_run(kernels, 2 * width, saved, 2 * t * width, row);
        kernels->activation[activation].gated_back(width, row, dy_TF + t * width, row);
    }
}

/* A row is finished while it is in the cache of the processor. */
void fr_cpu_qkv_finish(fr_device *device, const fr_qkv *qkv, fr_view x, fr_view saved)
{
    float *rows = fr_view_floats(x);
    const float *bias = fr_cpu_floats(qkv->bias_W);
    const float *table = fr_cpu_floats(qkv->table);
    int64_t kv = qkv->n_kv_heads * qkv->head_dim;
    int64_t q = qkv->n_heads * qkv->head_dim;
    int64_t width = q + 2 * kv;
    fr_heads turned = {qkv->n_tokens, qkv->n_heads + qkv->n_kv_heads, qkv->head_dim,
                       width};
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, qkv->n_tokens * width);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < qkv->n_tokens; t++) {
        float *row = rows + t * width;
        if (bias != NULL) {
            kernels->add(width, bias, row);
        }
        if (qkv->rotary > 0) {
            kernels->rope(&turned, qkv->rotary,
                          table + qkv->positions_T[t] * qkv->rotary, false, row);
        }
        save_run(kernels, width, row, fr_view_at(saved, t * width));
    }
    if (qkv->cache_k.at != NULL) {
        fr_attention_params params = {.n_kv_heads = qkv->n_kv_heads,
                                      .head_dim = qkv->head_dim,
                                      .kv_stride = width,
                                      .n_tokens = qkv->n_tokens,
                                      .n_segments = qkv->n_segments,
                                      .segments = qkv->segments};
        fr_cpu_fill_cache(device, &params, fr_view_at(x, q), fr_view_at(x, q + kv),
                          qkv->cache_k, qkv->cache_v);
    }
}

/* Row `id` of a table that is not in place; `row` holds one row, for a bf16 table. */
static void read_row(const fr_device *device, const fr_matrix *table, int64_t id,
                     uint16_t *row, float *y)
{
    const fr_quant_kernels *formats = fr_quant_kernels_select(fr_cpu_of(device)->isa);
    if (table->dtype == FR_F32) {
        fr_matrix_read(formats, table, id, 1, y);
        return;
    }
    fr_matrix_read(formats, table, id, 1, row);
    fr_kernels_select(fr_cpu_of(device)->isa)->widen_bf16(table->n_in, row, y);
}

/* Only a bf16 table that is not in place needs a row of scratch for each thread. It is taken before the threads start,
 * because allocation may fail. */
fr_status fr_cpu_gather_rows(fr_device *device, int64_t n_tokens, const int32_t *ids,
                             const fr_matrix *table, float *y_TD)
{
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    fr_view in_place =
        fr_view_of((fr_byte *)(uintptr_t)fr_matrix_in_place(table), table->dtype);
    int64_t width = table->n_in;
    int threads = fr_kernels_threads(device->n_threads, n_tokens * width);
    float *rows = NULL;
    if (in_place.at == NULL && table->dtype == FR_BF16) {
        FR_TRY(fr_cpu_scratch(device, FR_SCRATCH_ROWS, threads * width, &rows));
    }
#pragma omp parallel num_threads(threads)
    {
        float *own = rows != NULL ? rows + omp_get_thread_num() * width : NULL;
#pragma omp for schedule(static)
        for (int64_t t = 0; t < n_tokens; t++) {
            float *y = y_TD + t * width;
            if (in_place.at != NULL) {
                restore_run(kernels, width, in_place, ids[t] * width, y);
            } else {
                read_row(device, table, ids[t], (uint16_t *)(void *)own, y);
            }
        }
    }
    return FR_OK;
}

void fr_cpu_add(fr_device *device, int64_t n, fr_view x, float *y)
{
    const float *from = fr_view_floats(x);
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < n; start += CHUNK) {
        kernels->add(chunk_length(n, start), from + start, y + start);
    }
}

void fr_cpu_add_scaled(fr_device *device, int64_t n, float factor, fr_view x, float *y)
{
    const float *from = fr_view_floats(x);
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < n; start += CHUNK) {
        kernels->add_scaled(chunk_length(n, start), factor, from + start, y + start);
    }
}

void fr_cpu_scale(fr_device *device, int64_t n, float factor, float *x)
{
    const fr_kernels *kernels = fr_kernels_select(fr_cpu_of(device)->isa);
    int threads = fr_kernels_threads(device->n_threads, n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < n; start += CHUNK) {
        kernels->scale(chunk_length(n, start), factor, x + start);
    }
}
