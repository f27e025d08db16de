#include "product_rows.h"

#include "base/integer.h"
#include "device/bf16.h"
#include "device/cuda/lt.h"
#include "device/kinds.h"
#include "device/products.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

/* No width of a model is a multiple of the period. */
static void fill(char *numbers, fr_dtype dtype, int64_t n, uint64_t seed)
{
    enum { PERIOD = 65537 };
    int64_t size = (int64_t)fr_dtype_bytes(dtype);
    uint64_t state = 2 * seed + 1;
    for (int64_t i = 0; i < fr_min(n, PERIOD); i++) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        float x = (float)(int32_t)(uint32_t)(state >> 32) * 0x1p-31F;
        uint16_t narrow = fr_bf16_round(x);
        memcpy(numbers + i * size, dtype == FR_F32 ? (const void *)&x : &narrow,
               (size_t)size);
    }
    for (int64_t i = PERIOD; i < n; i += PERIOD) {
        memcpy(numbers + i * size, numbers, (size_t)(fr_min(n - i, PERIOD) * size));
    }
}

fr_view fr_rubbish(fr_device *device, fr_dtype dtype, int64_t n, uint64_t seed)
{
    fr_view out = fr_view_of(NULL, dtype);
    size_t size = fr_dtype_bytes(dtype);
    char *numbers = calloc((size_t)n, size);
    FR_ASSERT_OK(fr_device_alloc(device, n, size, &out.at));
    if (numbers == NULL || out.at == NULL) {
        exit(1);
    }
    fill(numbers, dtype, n, seed);
    FR_ASSERT_OK(fr_device_load(device, out.at, numbers, n * (int64_t)size));
    free(numbers);
    return out;
}

void fr_product_rows_wait(fr_device *device)
{
    fr_mark mark = fr_device_mark(device);
    while (!fr_device_passed(device, mark)) {
    }
}

void fr_product_rows_try(fr_device *device, const fr_matrix *w, bool back, fr_dtype out)
{
    fr_product_shape shape = {w->n_out, w->n_in, back, w->dtype, out};
    int64_t refused = 0;
    FR_ASSERT_OK(fr_products_try(device, 1, &shape, &refused));
}

fr_product_rows fr_product_rows_open(fr_device *device, const fr_matrix *w, bool back,
                                     int64_t rows, fr_dtype out)
{
    fr_product_rows p = {.device = device, .w = *w, .back = back, .rows = rows};
    size_t size = fr_dtype_bytes(out);
    fr_product_rows_try(device, w, back, out);
    p.depth = back ? w->n_out : w->n_in;
    p.columns = back ? w->n_in : w->n_out;
    p.start.dtype = out;
    p.out.dtype = out;
    FR_ASSERT_OK(fr_device_alloc(device, rows * p.columns, size, &p.start.at));
    FR_ASSERT_OK(fr_device_alloc(device, rows * p.columns, size, &p.out.at));
    FR_ASSERT_OK(fr_host_alloc(device, rows * p.columns, size, &p.all));
    FR_ASSERT_OK(fr_host_alloc(device, rows * p.columns, size, &p.some));
    if (p.start.at == NULL || p.out.at == NULL || p.all == NULL || p.some == NULL) {
        exit(1);
    }
    return p;
}

void fr_product_rows_close(fr_product_rows *p)
{
    fr_product_rows_wait(p->device);
    fr_device_free(p->device, p->left.at);
    fr_device_free(p->device, p->start.at);
    fr_device_free(p->device, p->out.at);
    fr_host_free(p->device, p->all);
    fr_host_free(p->device, p->some);
}

int64_t fr_product_rows_bytes(const fr_product_rows *p)
{
    return p->columns * (int64_t)fr_dtype_bytes(p->out.dtype);
}

bool fr_product_rows_run(fr_product_rows *p, int64_t first, int64_t count, char *host)
{
    int64_t bytes = count * fr_product_rows_bytes(p);
    fr_view left = fr_view_at(p->left, first * p->depth);
    fr_view start = fr_view_at(p->start, first * p->columns);
    fr_device_copy(p->device, p->out.at, start.at, bytes);
    FR_ASSERT_OK(p->back ? fr_linear_back(p->device, count, left, &p->w, true, p->out)
                         : fr_linear(p->device, count, left, &p->w, p->out, p->out));
    fr_device_get(p->device, host, p->out.at, bytes);
    fr_product_rows_wait(p->device);
    return fr_device_check(p->device) == FR_OK;
}

static bool is_all_zero(const uint16_t *numbers, int64_t n)
{
    int64_t i = 0;
    while (i < n && (numbers[i] & 0x7fffU) == 0) {
        i++;
    }
    return i == n;
}

void fr_product_rows_subtract(fr_product_rows *p)
{
    int64_t n = p->rows * p->columns;
    uint16_t *numbers = (uint16_t *)(void *)p->all;
    bool works = fr_product_rows_run(p, 0, p->rows, p->all);
    if (!works || p->out.dtype == FR_F32) {
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        numbers[i] ^= 0x8000U;
    }
    fr_device_put(p->device, p->start.at, numbers, n * (int64_t)sizeof *numbers);
    works = fr_product_rows_run(p, 0, p->rows, p->all);
    if (works && is_all_zero(numbers, n)) {
        fr_device_zero(p->device, p->start.at, n * (int64_t)sizeof *numbers);
        (void)fr_product_rows_run(p, 0, p->rows, p->all);
    }
}

bool fr_product_rows_differ(fr_product_rows *p, int64_t first, int64_t count)
{
    int64_t bytes = fr_product_rows_bytes(p);
    return !fr_product_rows_run(p, first, count, p->some) ||
           memcmp(p->all + first * bytes, p->some, (size_t)(count * bytes)) != 0;
}

int fr_product_rows_force(fr_device *device)
{
    int n = 0;
    const fr_lt *lt = fr_cuda_of(device)->lt;
    for (fr_lt_pin *pin = lt != NULL ? lt->pins : NULL; pin != NULL; pin = pin->next) {
        if (pin->operation != NULL && !pin->is_used) {
            pin->is_used = true;
            n++;
        }
    }
    return n;
}

int fr_product_rows_pinned(const fr_device *device)
{
    int n = 0;
    const fr_lt *lt = ((const fr_cuda *)device)->lt;
    for (const fr_lt_pin *pin = lt != NULL ? lt->pins : NULL; pin != NULL;
         pin = pin->next) {
        n += pin->is_used ? 1 : 0;
    }
    return n;
}
