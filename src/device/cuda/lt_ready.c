/*
 * The list of pins: how shapes get there at the start, and what becomes of ranks' verdicts on them (products.h).
 *
 * A probe multiplies by a block of a matrix that it makes itself, in memory of the pool: there are no weights yet, for which there
 * will be at least as much.
 */
#include "base/integer.h"
#include "base/mem.h"
#include "device/cuda/lt.h"
#include "device/cuda/memory.h"
#include "device/cuda/operators.h"

#include <stdio.h>
#include <string.h>

/* ---- pins -------------------------------------------------------------------------------------- */

static bool is_same(const fr_lt_shape *a, const fr_lt_shape *b)
{
    return a->n_out == b->n_out && a->n_in == b->n_in && a->back == b->back &&
           a->in == b->in && a->out == b->out;
}

fr_lt_pin *fr_lt_find(const fr_lt *lt, const fr_lt_shape *shape)
{
    fr_lt_pin *pin = lt->pins;
    while (pin != NULL && !is_same(&pin->shape, shape)) {
        pin = pin->next;
    }
    return pin;
}

static void add_pin(fr_lt *lt, fr_lt_pin *pin)
{
    pin->next = lt->pins;
    lt->pins = pin;
}

fr_status fr_lt_try(fr_cuda *cuda, const fr_lt_shape *shape, void *weights,
                    fr_lt_pin **out)
{
    fr_lt *lt = cuda->lt;
    fr_lt_pin *pin = NULL;
    *out = NULL;
    fr_status status = fr_lt_choose(cuda, lt, shape, &pin);
    if (status == FR_OK && pin->operation != NULL) {
        status = fr_lt_probe(cuda, pin, weights, &pin->is_used);
    }
    if (status != FR_OK) {
        fr_lt_pin_destroy(lt, &pin);
        return status;
    }
    add_pin(lt, pin);
    *out = pin;
    return FR_OK;
}

void fr_lt_shape_text(const fr_lt_shape *shape, char out[FR_LT_SHAPE_TEXT])
{
    (void)snprintf(out, FR_LT_SHAPE_TEXT, "a matrix of %lld x %lld, %s, %s to %s",
                   (long long)shape->n_out, (long long)shape->n_in,
                   shape->back ? "backward" : "forward",
                   shape->in == FR_BF16 ? "bf16" : "f32",
                   shape->out == FR_BF16 ? "bf16" : "f32");
}

fr_status fr_lt_leave(fr_cuda *cuda, const fr_lt_shape *shape)
{
    char text[FR_LT_SHAPE_TEXT];
    fr_lt_pin *pin = NULL;
    FR_TRY(fr_alloc(cuda->base.ctx, 1, sizeof *pin, &pin));
    pin->shape = *shape;
    add_pin(cuda->lt, pin);
    fr_lt_shape_text(shape, text);
    fr_log_own(cuda->base.ctx, FR_LOG_WARN,
               "products with %s were not tried at the start, so Forerun's own kernels "
               "compute them and not cuBLASLt",
               text);
    return FR_OK;
}

/* ---- at the start -------------------------------------------------------------------------------- */

static fr_lt_shape by_library(const fr_product_shape *asked)
{
    fr_lt_shape shape = *asked;
    shape.out = fr_lt_out(&shape);
    return shape;
}

/* A shape that is never for the library is not refused by it. */
static fr_status try_one(fr_cuda *cuda, const fr_product_shape *asked, void *weights,
                         int64_t *refused)
{
    fr_lt_shape shape = by_library(asked);
    if (fr_lt_block(&shape) == 0) {
        return FR_OK;
    }
    fr_lt_pin *pin = fr_lt_find(cuda->lt, &shape);
    if (pin == NULL) {
        FR_TRY(fr_lt_try(cuda, &shape, weights, &pin));
    }
    *refused = pin->is_used ? 0 : 1;
    return FR_OK;
}

fr_status fr_cuda_products_try(fr_device *device, int n, const fr_product_shape *shapes,
                               int64_t *refused_N)
{
    fr_cuda *cuda = fr_cuda_of(device);
    int64_t bytes = 0;
    void *weights = NULL;
    for (int i = 0; i < n; i++) {
        bytes = fr_max(bytes, fr_lt_block_bytes(&shapes[i]));
    }
    if (cuda->lt == NULL || bytes == 0) {
        return FR_OK;
    }
    fr_status status = fr_cuda_alloc(device, bytes, &weights);
    for (int i = 0; i < n && status == FR_OK; i++) {
        status = try_one(cuda, &shapes[i], weights, &refused_N[i]);
    }
    fr_cuda_free(device, weights);
    return status;
}

/* The library is not used for it, whatever its verdict here was. */
static void refuse(fr_cuda *cuda, const fr_lt_shape *shape)
{
    fr_lt_pin *pin = fr_lt_find(cuda->lt, shape);
    char text[FR_LT_SHAPE_TEXT];
    if (pin != NULL && pin->is_used) {
        pin->is_used = false;
        fr_lt_shape_text(shape, text);
        fr_log_own(cuda->base.ctx, FR_LOG_WARN,
                   "products with %s are computed by Forerun's own kernels, since "
                   "cuBLASLt cannot be used for them on another rank",
                   text);
    }
}

static fr_status add_refused(fr_cuda *cuda, int n, const fr_product_shape *shapes,
                             const int64_t *refused_N, fr_digest *digest)
{
    for (int i = 0; i < n; i++) {
        const fr_product_shape *s = &shapes[i];
        const int64_t numbers[] = {s->n_out, s->n_in, s->back, s->in, s->out};
        if (refused_N[i] != 0) {
            fr_lt_shape shape = by_library(s);
            refuse(cuda, &shape);
            FR_TRY(fr_digest_add(cuda->base.ctx, digest, numbers, sizeof numbers));
        }
    }
    return FR_OK;
}

static bool is_any(int n, const int64_t *refused_N)
{
    int i = 0;
    while (i < n && refused_N[i] == 0) {
        i++;
    }
    return i < n;
}

fr_status fr_cuda_products_settle(fr_device *device, int n,
                                  const fr_product_shape *shapes,
                                  const int64_t *refused_N)
{
    fr_cuda *cuda = fr_cuda_of(device);
    fr_digest *digest = NULL;
    char digits[FR_LT_DIGITS];
    if (cuda->lt == NULL || !is_any(n, refused_N)) {
        return FR_OK;
    }
    FR_TRY(fr_digest_create(cuda->base.ctx, &digest));
    fr_status status = add_refused(cuda, n, shapes, refused_N, digest);
    if (status == FR_OK) {
        status = fr_lt_digits(cuda, digest, digits);
    }
    fr_digest_destroy(&digest);
    if (status == FR_OK) {
        size_t used = strlen(cuda->arithmetic);
        (void)snprintf(cuda->arithmetic + used, sizeof cuda->arithmetic - used,
                       ", own %s", digits);
    }
    return status;
}
