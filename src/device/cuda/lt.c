/*
 * Products by cuBLASLt: opening it, and a product.
 *
 * What is stored row by row is, column by column, the transposed matrix: the library computes out' = op(W) left', where W' is
 * [depth, columns] column by column if W is [columns, depth] row by row, and is transposed again for a forward product.
 */
#include "device/cuda/lt.h"

#include "base/integer.h"
#include "base/mem.h"
#include "device/cuda/memory.h"
#include "device/cuda/product.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t fr_cuda_lt_bytes(fr_ctx *ctx)
{
    fr_cuda_driver driver;
    fr_lt_library library = {0};
    char why_not[256];
    if (fr_cuda_driver_open(ctx, &driver) != FR_OK) {
        fr_ctx_clear_error(ctx);
        return 0;
    }
    bool is_there = fr_lt_library_open(&driver, &library, why_not);
    fr_lt_library_close(&library);
    fr_cuda_driver_close(&driver);
    return is_there ? FR_LT_BYTES : 0;
}

int64_t fr_lt_block(const fr_lt_shape *shape)
{
    int64_t row = shape->n_in * (int64_t)fr_dtype_bytes(shape->in);
    int64_t most = FR_LT_BYTES / 2 / (int64_t)sizeof(float); /* a row of either side */
    bool is_wide = shape->n_in % FR_LT_GRAIN == 0 && shape->n_out % FR_LT_GRAIN == 0 &&
                   row > 0 && shape->n_in <= most && shape->n_out <= most;
    int64_t rows = is_wide ? fr_min(FR_CUDA_SLICE_BYTES / row, FR_LT_MOST_BLOCK) : 0;
    return fr_min(rows / FR_LT_GRAIN * FR_LT_GRAIN, shape->n_out);
}

fr_dtype fr_lt_out(const fr_lt_shape *shape)
{
    return shape->back && fr_lt_block(shape) < shape->n_out ? FR_F32 : shape->out;
}

int64_t fr_lt_block_bytes(const fr_lt_shape *shape)
{
    return fr_lt_block(shape) * shape->n_in * (int64_t)fr_dtype_bytes(shape->in);
}

fr_status fr_lt_failed(fr_cuda *cuda, fr_lt_result result, const char *call)
{
    bool has_latest = cuda->latest != NULL;
    fr_status status = FR_FAIL(
        cuda->base.ctx, FR_ERR_DEVICE,
        "GPU %d (%s) failed: %s gave %s (%d)%s%s%s; run.products: own does without "
        "cuBLASLt",
        cuda->ordinal, cuda->name, call, cuda->lt->library.result_name(result), result,
        has_latest ? "; the last kernel started was " : "",
        has_latest ? cuda->latest : "",
        has_latest && !cuda->waits
            ? ", but an earlier one may have caused it: FORERUN_SYNC=1 waits after "
              "each and names it"
            : "");
    fr_cuda_fail(cuda, status);
    return status;
}

/* ---- a product --------------------------------------------------------------------------------- */

fr_lt_result fr_lt_describe(const fr_lt *lt, fr_lt_pin *pin,
                            const fr_lt_product *product)
{
    bool back = pin->shape.back;
    int64_t across = back ? product->columns : product->depth;
    int64_t down = back ? product->depth : product->columns;
    const struct field {
        fr_lt_layout layout;
        int64_t rows;
        int64_t columns;
        int64_t stride;
    } FIELDS[] = {
        {pin->weights, across, down, across},
        {pin->left, product->depth, product->m, product->left_stride},
        {pin->out, product->columns, product->m, product->out_stride},
    };
    fr_lt_result result = FR_LT_SUCCESS;
    for (size_t i = 0; i < sizeof FIELDS / sizeof FIELDS[0]; i++) {
        const struct field *f = &FIELDS[i];
        const int64_t *values[] = {&f->rows, &f->columns, &f->stride};
        for (int k = 0; k < 3 && result == FR_LT_SUCCESS; k++) {
            result = lt->library.layout_set(f->layout, FR_LT_LAYOUT_ROWS + k, values[k],
                                            sizeof *values[k]);
        }
    }
    return result;
}

bool fr_lt_takes(const fr_lt *lt, fr_lt_pin *pin, const fr_lt_product *p,
                 fr_lt_result *result)
{
    fr_lt_offer offer = {.state = FR_LT_SUCCESS};
    if (pin->m == p->m && pin->columns == p->columns && pin->depth == p->depth &&
        pin->left_stride == p->left_stride && pin->out_stride == p->out_stride) {
        *result = FR_LT_SUCCESS;
        return true;
    }
    *result = fr_lt_describe(lt, pin, p);
    if (*result == FR_LT_SUCCESS) {
        *result = lt->library.check(lt->handle, pin->operation, pin->weights, pin->left,
                                    pin->out, pin->out, &pin->algorithm, &offer);
    }
    if (*result == FR_LT_SUCCESS && offer.workspace > 0) {
        *result = FR_LT_NOT_SUPPORTED; /* there is none */
    }
    bool takes = *result == FR_LT_SUCCESS;
    pin->m = takes ? p->m : 0;
    pin->columns = p->columns;
    pin->depth = p->depth;
    pin->left_stride = p->left_stride;
    pin->out_stride = p->out_stride;
    return takes;
}

void fr_lt_multiply(fr_cuda *cuda, fr_lt_pin *pin, const fr_lt_product *product)
{
    const fr_lt *lt = cuda->lt;
    const float one = 1.0F;
    const float beta = product->add != NULL ? 1.0F : 0.0F;
    const void *add = product->add != NULL ? product->add : product->out;
    if (cuda->has_failed) {
        return;
    }
    fr_lt_result result = FR_LT_SUCCESS;
    if (!fr_lt_takes(lt, pin, product, &result)) {
        (void)fr_lt_failed(cuda, result, "cublasLtMatmulAlgoCheck");
        return;
    }
    result = lt->library.multiply(lt->handle, pin->operation, &one, product->weights,
                                  pin->weights, product->left, pin->left, &beta, add,
                                  pin->out, product->out, pin->out, &pin->algorithm,
                                  NULL, 0, cuda->stream);
    if (result != FR_LT_SUCCESS) {
        (void)fr_lt_failed(cuda, result, "cublasLtMatmul");
        return;
    }
    fr_cuda_started(cuda, "cublasLtMatmul");
}

/* ---- opening ------------------------------------------------------------------------------------- */

/* The handle and the limits of what may be offered: no workspace, sums in one piece, and addresses as they are. */
static fr_lt_result start(fr_lt *lt, const char **call)
{
    const fr_lt_library *library = &lt->library;
    const uint64_t no_bytes = 0;
    const uint32_t no_reductions = 0;
    const uint32_t alignment = FR_LT_ALIGNMENT;
    *call = "cublasLtCreate";
    fr_lt_result result = library->create(&lt->handle);
    if (result != FR_LT_SUCCESS) {
        lt->handle = NULL;
        return result;
    }
    *call = "cublasLtMatmulPreferenceCreate";
    result = library->preference_create(&lt->preference);
    if (result != FR_LT_SUCCESS) {
        lt->preference = NULL;
        return result;
    }
    *call = "cublasLtMatmulPreferenceSetAttribute";
    result = library->preference_set(lt->preference, FR_LT_PREFER_WORKSPACE, &no_bytes,
                                     sizeof no_bytes);
    if (result == FR_LT_SUCCESS) {
        result = library->preference_set(lt->preference, FR_LT_PREFER_REDUCTIONS,
                                         &no_reductions, sizeof no_reductions);
    }
    for (int i = 0; i < FR_LT_OPERANDS && result == FR_LT_SUCCESS; i++) {
        result = library->preference_set(lt->preference, FR_LT_PREFER_ALIGNMENT_A + i,
                                         &alignment, sizeof alignment);
    }
    return result;
}

void fr_cuda_lt_close(fr_cuda *cuda)
{
    fr_lt *lt = cuda->lt;
    if (lt == NULL) {
        return;
    }
    if (cuda->stream != NULL) {
        (void)fr_cuda_gave_back(cuda, cuda->driver.stream_synchronize(cuda->stream),
                                "cuStreamSynchronize");
    }
    if (lt->memory != NULL) {
        fr_cuda_free(&cuda->base, lt->memory);
    }
    while (lt->pins != NULL) {
        fr_lt_pin *pin = lt->pins;
        lt->pins = pin->next;
        fr_lt_pin_destroy(lt, &pin);
    }
    if (lt->preference != NULL) {
        (void)lt->library.preference_destroy(lt->preference);
    }
    if (lt->handle != NULL) {
        (void)lt->library.destroy(lt->handle);
    }
    fr_lt_library_close(&lt->library);
    free(lt);
    cuda->lt = NULL;
}

/* A library that is there and does not start is worth a warning; that there is none is not. */
static fr_status settle(fr_cuda *cuda)
{
    fr_lt *lt = cuda->lt;
    const char *call = NULL;
    char digits[FR_LT_DIGITS];
    fr_lt_result result = start(lt, &call);
    if (result != FR_LT_SUCCESS) {
        const char *name = lt->library.result_name(result);
        fr_log_own(cuda->base.ctx, FR_LOG_WARN,
                   "cuBLASLt %s is not used: %s gives %s (%d); products are computed "
                   "by Forerun's own kernels, which are slower and have other bits",
                   lt->library.version, call, name, result);
        (void)snprintf(cuda->products, sizeof cuda->products,
                       "Forerun's own kernels, since cuBLASLt %s is not used: %s gives "
                       "%s (%d)",
                       lt->library.version, call, name, result);
        fr_cuda_lt_close(cuda);
        return FR_OK;
    }
    FR_TRY(fr_lt_digest(cuda, lt, digits));
    void *memory = NULL;
    FR_TRY(fr_cuda_alloc(&cuda->base, FR_LT_BYTES, &memory));
    lt->memory = memory;
    size_t used = strlen(cuda->arithmetic);
    (void)snprintf(cuda->arithmetic + used, sizeof cuda->arithmetic - used,
                   ", cublaslt %s, algorithms %s", lt->library.version, digits);
    (void)snprintf(cuda->products, sizeof cuda->products, "cuBLASLt %s",
                   lt->library.version);
    fr_log(cuda->base.ctx, FR_LOG_INFO, "products are computed by %s", cuda->products);
    return FR_OK;
}

fr_status fr_cuda_lt_open(fr_cuda *cuda)
{
    char why_not[256];
    FR_TRY(fr_alloc(cuda->base.ctx, 1, sizeof *cuda->lt, &cuda->lt));
    if (!fr_lt_library_open(&cuda->driver, &cuda->lt->library, why_not)) {
        (void)snprintf(cuda->products, sizeof cuda->products,
                       "Forerun's own kernels, since cuBLASLt is not used: %s",
                       why_not);
        fr_log(cuda->base.ctx, FR_LOG_INFO, "products are computed by %s",
               cuda->products);
        fr_cuda_lt_close(cuda);
        return FR_OK;
    }
    fr_status status = settle(cuda);
    if (status != FR_OK) {
        fr_cuda_lt_close(cuda);
    }
    return status;
}
