/*
 * Whether a row has the same bits whatever else is multiplied: the probe of a pin.
 *
 * As many rows as fit into lt->memory, at most FR_LT_ROWS, are multiplied at once. Then some of them are multiplied in calls of
 * their own, from the first row on, from the middle, and to the last row, and each number is compared with that of the large call.
 * Weights and rows are rubbish with full mantissas, so that another order of a sum shows. It is the same on every rank and in
 * every run, so that a verdict is one of the GPU and the library, whatever the model's weights are.
 *
 * In bf16 rounding would hide most of it. There the results of a first call are subtracted from all products: what remains are
 * the digits that were rounded away, and there are some only if what is added is added before the sum is rounded.
 */
#include "base/integer.h"
#include "base/mem.h"
#include "device/bf16.h"
#include "device/cuda/lt.h"
#include "device/cuda/memory.h"

#include <stdlib.h>
#include <string.h>

/* Rows of a call, around the tiles of kernels. */
static const int64_t COUNTS[] = {1, 7, 64, 65, 300};
enum { N_COUNTS = sizeof COUNTS / sizeof COUNTS[0] };

typedef struct probe {
    fr_cuda *cuda;
    fr_lt_pin *pin;
    fr_lt_product product; /* of the first row */
    int64_t rows;
    int64_t left_bytes; /* of a row */
    int64_t out_bytes;
    bool subtracts;
    void *weights; /* of the first block */
    int64_t some_rows;
    char *all;  /* [rows] of results, on the device, */
    char *some; /* [some_rows] and of a call of few rows */
    char *add;  /* [rows] of what is added; in bf16 alone */
    char *host_all;
    char *host_some;
} probe;

/* Numbers in [-1, 1) that repeat after PERIOD, which no width is a divisor of: n of them to `to`. */
static fr_status fill(fr_cuda *cuda, fr_dtype dtype, uint64_t state, int64_t n,
                      char *to)
{
    enum { PERIOD = 65537 };
    size_t size = fr_dtype_bytes(dtype);
    int64_t count = fr_min(n, PERIOD);
    char *numbers = NULL;
    FR_TRY(fr_alloc(cuda->base.ctx, count, size, &numbers));
    for (int64_t i = 0; i < count; i++) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        float x = (float)(int32_t)(uint32_t)(state >> 32) * 0x1p-31F;
        uint16_t narrow = fr_bf16_round(x);
        const void *number = size == sizeof x ? (const void *)&x : &narrow;
        memcpy(numbers + (size_t)i * size, number, size);
    }
    fr_cuda_put(&cuda->base, to, numbers, count * (int64_t)size);
    free(numbers);
    for (int64_t done = count; done < n; done *= 2) {
        fr_cuda_copy(&cuda->base, to + done * (int64_t)size, to,
                     fr_min(done, n - done) * (int64_t)size);
    }
    return FR_OK;
}

static fr_status fill_operands(const probe *p)
{
    enum { ROWS = 1, WEIGHTS = 2 }; /* where the numbers begin */
    const fr_lt_product *x = &p->product;
    fr_dtype in = p->pin->shape.in;
    FR_TRY(fill(p->cuda, in, ROWS, p->rows * x->depth, p->cuda->lt->memory));
    return fill(p->cuda, in, WEIGHTS, x->columns * x->depth, p->weights);
}

/* The device's work so far is done. */
static void wait(fr_cuda *cuda)
{
    fr_mark mark = fr_cuda_mark(&cuda->base);
    while (!fr_cuda_passed(&cuda->base, mark)) {
    }
}

static fr_lt_product rows_of(const probe *p, int64_t first, int64_t count, char *out)
{
    fr_lt_product product = p->product;
    product.left = p->cuda->lt->memory + first * p->left_bytes;
    product.m = count;
    product.out = out;
    product.add = p->subtracts ? p->add + first * p->out_bytes : NULL;
    return product;
}

static void multiply(const probe *p, int64_t first, int64_t count, char *out,
                     char *host)
{
    fr_lt_product product = rows_of(p, first, count, out);
    fr_lt_multiply(p->cuda, p->pin, &product);
    fr_cuda_get(&p->cuda->base, host, out, count * p->out_bytes);
}

/* Once a shape, since it is tried once. */
static void tell(const probe *p, const char *what, int64_t count)
{
    char shape[FR_LT_SHAPE_TEXT];
    fr_lt_shape_text(&p->pin->shape, shape);
    fr_log_own(p->cuda->base.ctx, FR_LOG_WARN,
               "cuBLASLt %s (%lld of %lld rows with %s); Forerun's own kernels compute "
               "such products, with other bits",
               what, (long long)count, (long long)p->rows, shape);
}

static bool takes(const probe *p, int64_t count)
{
    fr_lt_result result = FR_LT_SUCCESS;
    fr_lt_product product = rows_of(p, 0, count, p->all);
    bool it_does = fr_lt_takes(p->cuda->lt, p->pin, &product, &result);
    if (!it_does) {
        tell(p, "does not take few rows by the algorithm that it offers for many",
             count);
    }
    return it_does;
}

/* Whether the algorithm takes every number of rows that will be tried. */
static bool takes_all(const probe *p)
{
    int i = 0;
    while (i < N_COUNTS && takes(p, COUNTS[i])) {
        i++;
    }
    return i == N_COUNTS && takes(p, p->rows);
}

static bool is_same(const probe *p, int64_t first, int64_t count)
{
    multiply(p, first, count, p->some, p->host_some);
    wait(p->cuda);
    return p->cuda->has_failed ||
           memcmp(p->host_all + first * p->out_bytes, p->host_some,
                  (size_t)(count * p->out_bytes)) == 0;
}

/* From now on, what all products are now is subtracted. */
static void subtract(probe *p)
{
    int64_t n = p->rows * p->product.columns;
    uint16_t *numbers = (uint16_t *)(void *)p->host_all;
    multiply(p, 0, p->rows, p->all, p->host_all);
    wait(p->cuda);
    for (int64_t i = 0; i < n; i++) {
        numbers[i] ^= 0x8000U;
    }
    fr_cuda_put(&p->cuda->base, p->add, numbers, n * (int64_t)sizeof *numbers);
    p->subtracts = true;
}

static bool is_all_zero(const probe *p)
{
    const uint16_t *numbers = (const uint16_t *)(const void *)p->host_all;
    int64_t n = p->rows * p->product.columns;
    int64_t i = 0;
    while (i < n && (numbers[i] & 0x7fffU) == 0) {
        i++;
    }
    return i == n;
}

static bool compare(probe *p)
{
    bool is_narrow = p->pin->shape.out == FR_BF16;
    if (is_narrow) {
        subtract(p);
    }
    multiply(p, 0, p->rows, p->all, p->host_all);
    wait(p->cuda);
    if (is_narrow && is_all_zero(p)) {
        tell(p, "rounds a product before something is added to it", p->rows);
        return false;
    }
    for (int i = 0; i < N_COUNTS; i++) {
        int64_t count = fr_min(COUNTS[i], p->some_rows);
        int64_t rest = p->rows - count;
        if (!is_same(p, 0, count) || !is_same(p, rest / 2, count) ||
            !is_same(p, rest, count)) {
            tell(p, "gives a row other bits among fewer rows", count);
            return false;
        }
    }
    return true;
}

/* A narrow result has as much beside it that is added. Calls of few rows have as much again, up to the most of COUNTS. */
static void divide_memory(probe *p)
{
    bool is_narrow = p->pin->shape.out == FR_BF16;
    int64_t row = p->left_bytes + p->out_bytes * (is_narrow ? 2 : 1);
    p->rows = fr_min(FR_LT_ROWS, FR_LT_BYTES / (row + p->out_bytes));
    p->some_rows = fr_min(p->rows, COUNTS[N_COUNTS - 1]);
    p->rows = fr_max(
        p->rows, fr_min(FR_LT_ROWS, (FR_LT_BYTES - p->some_rows * p->out_bytes) / row));
    p->all = p->cuda->lt->memory + p->rows * p->left_bytes;
    p->some = p->all + p->rows * p->out_bytes;
    p->add = p->some + p->some_rows * p->out_bytes;
}

static probe prepare(fr_cuda *cuda, fr_lt_pin *pin, void *weights)
{
    const fr_lt_shape *s = &pin->shape;
    int64_t block = fr_lt_block(s);
    probe p = {.cuda = cuda, .pin = pin, .weights = weights};
    p.product.weights = weights;
    p.product.columns = s->back ? s->n_in : block;
    p.product.depth = s->back ? block : s->n_in;
    p.product.left_stride = p.product.depth;
    p.product.out_stride = p.product.columns;
    p.left_bytes = p.product.depth * (int64_t)fr_dtype_bytes(s->in);
    p.out_bytes = p.product.columns * (int64_t)fr_dtype_bytes(s->out);
    divide_memory(&p);
    return p;
}

fr_status fr_lt_probe(fr_cuda *cuda, fr_lt_pin *pin, void *weights, bool *passes)
{
    probe p = prepare(cuda, pin, weights);
    *passes = false;
    if (p.rows < FR_LT_LEAST_PROBE || !takes_all(&p)) {
        return FR_OK;
    }
    FR_TRY(fill_operands(&p));
    fr_status status =
        fr_alloc(cuda->base.ctx, p.rows, (size_t)p.out_bytes, &p.host_all);
    if (status == FR_OK) {
        status =
            fr_alloc(cuda->base.ctx, p.some_rows, (size_t)p.out_bytes, &p.host_some);
    }
    if (status == FR_OK) {
        *passes = compare(&p);
        wait(cuda); /* copies to this memory are done */
        status = fr_cuda_check(cuda);
    }
    free(p.host_all);
    free(p.host_some);
    return status;
}
