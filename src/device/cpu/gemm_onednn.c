/* The only source that knows oneDNN (C interface, version 2). */
#include "device/cpu/gemm_onednn.h"

#include "base/mem.h"
#include "device/device_impl.h"

#include <dnnl.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SHAPES = 128, LEFT = 0, RIGHT = 1, OUT = 2, OPERANDS = 3 };

typedef struct shape_key {
    int64_t m;
    int64_t columns;
    int64_t depth;
    bool transposed;
    bool accumulate;
} shape_key;

/* A product of one shape; the memories are descriptions, their data is named at each call. */
typedef struct shape_entry {
    shape_key key;
    dnnl_primitive_t primitive; /* NULL: the entry is free */
    dnnl_memory_t memory[OPERANDS];
} shape_entry;

struct fr_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    shape_entry shapes[MAX_SHAPES];
    int next; /* entry to reuse when all are taken */
};

static fr_status check(fr_ctx *ctx, dnnl_status_t result, const char *call)
{
    if (result == dnnl_success) {
        return FR_OK;
    }
    fr_status status =
        result == dnnl_out_of_memory ? FR_ERR_NO_MEMORY : FR_ERR_INTERNAL;
    return FR_FAIL(ctx, status, "oneDNN: %s failed with status %d", call, (int)result);
}

/* ---- the handle -------------------------------------------------------------------------- */

/* The limit can be set only before the library's first use, so a second device finds it set. */
static fr_status limit_isa(fr_ctx *ctx)
{
    const unsigned limit = dnnl_cpu_isa_avx512_core_bf16;
    (void)dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx512_core_bf16);
    unsigned effective = dnnl_get_effective_cpu_isa();
    if ((effective & ~limit) != 0) {
        return FR_FAIL(ctx, FR_ERR_INTERNAL,
                       "oneDNN runs with instruction set 0x%x, allowed: up to 0x%x; "
                       "another part of this process used it first",
                       effective, limit);
    }
    return FR_OK;
}

fr_status fr_onednn_create(fr_ctx *ctx, fr_onednn **out)
{
    fr_status status = FR_OK;
    fr_onednn *onednn = NULL;
    *out = NULL;
    FR_TRY(limit_isa(ctx));
    FR_TRY(fr_alloc(ctx, 1, sizeof *onednn, &onednn));
    status = check(ctx, dnnl_engine_create(&onednn->engine, dnnl_cpu, 0), "engine");
    if (status == FR_OK) {
        status = check(ctx,
                       dnnl_stream_create(&onednn->stream, onednn->engine,
                                          dnnl_stream_default_flags),
                       "stream");
    }
    if (status != FR_OK) {
        fr_onednn_destroy(&onednn);
    }
    *out = onednn;
    return status;
}

static void clear_entry(shape_entry *entry)
{
    for (int i = 0; i < OPERANDS; i++) {
        if (entry->memory[i] != NULL) {
            (void)dnnl_memory_destroy(entry->memory[i]);
        }
    }
    if (entry->primitive != NULL) {
        (void)dnnl_primitive_destroy(entry->primitive);
    }
    memset(entry, 0, sizeof *entry);
}

void fr_onednn_destroy(fr_onednn **onednn)
{
    if (*onednn == NULL) {
        return;
    }
    for (int i = 0; i < MAX_SHAPES; i++) {
        clear_entry(&(*onednn)->shapes[i]);
    }
    if ((*onednn)->stream != NULL) {
        (void)dnnl_stream_destroy((*onednn)->stream);
    }
    if ((*onednn)->engine != NULL) {
        (void)dnnl_engine_destroy((*onednn)->engine);
    }
    free(*onednn);
    *onednn = NULL;
}

bool fr_onednn_has_bf16(void)
{
    const unsigned wanted = dnnl_cpu_isa_avx512_core_bf16;
    return (dnnl_get_effective_cpu_isa() & wanted) == wanted;
}

/* ---- primitives, one a shape --------------------------------------------------------------- */

static dnnl_status_t describe(const shape_key *key,
                              dnnl_memory_desc_t description[OPERANDS])
{
    const dnnl_data_type_t type = dnnl_bf16;
    const dnnl_dims_t left = {key->m, key->depth};
    const dnnl_dims_t right = {key->depth, key->columns};
    const dnnl_dims_t out = {key->m, key->columns};
    dnnl_status_t result =
        dnnl_memory_desc_init_by_tag(&description[LEFT], 2, left, type, dnnl_ab);
    if (result == dnnl_success) {
        result = dnnl_memory_desc_init_by_tag(&description[RIGHT], 2, right, type,
                                              key->transposed ? dnnl_ba : dnnl_ab);
    }
    if (result == dnnl_success) {
        result =
            dnnl_memory_desc_init_by_tag(&description[OUT], 2, out, dnnl_f32, dnnl_ab);
    }
    return result;
}

/* `accumulate` is oneDNN's "sum": out = 1 * out + product. */
static dnnl_status_t create_attributes(bool accumulate, dnnl_primitive_attr_t *out)
{
    dnnl_post_ops_t operations = NULL;
    *out = NULL;
    dnnl_status_t result = dnnl_primitive_attr_create(out);
    if (result != dnnl_success || !accumulate) {
        return result;
    }
    result = dnnl_post_ops_create(&operations);
    if (result == dnnl_success) {
        result = dnnl_post_ops_append_sum(operations, 1.0F);
    }
    if (result == dnnl_success) {
        result = dnnl_primitive_attr_set_post_ops(*out, operations);
    }
    if (operations != NULL) {
        (void)dnnl_post_ops_destroy(operations);
    }
    return result;
}

static dnnl_status_t create_primitive(dnnl_engine_t engine, const shape_key *key,
                                      const dnnl_memory_desc_t description[OPERANDS],
                                      dnnl_primitive_t *out)
{
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t primitive = NULL;
    dnnl_matmul_desc_t matmul;
    dnnl_status_t result = create_attributes(key->accumulate, &attributes);
    if (result == dnnl_success) {
        result = dnnl_matmul_desc_init(&matmul, &description[LEFT], &description[RIGHT],
                                       NULL, &description[OUT]);
    }
    if (result == dnnl_success) {
        result =
            dnnl_primitive_desc_create(&primitive, &matmul, attributes, engine, NULL);
    }
    if (result == dnnl_success) {
        result = dnnl_primitive_create(out, primitive);
    }
    if (primitive != NULL) {
        (void)dnnl_primitive_desc_destroy(primitive);
    }
    if (attributes != NULL) {
        (void)dnnl_primitive_attr_destroy(attributes);
    }
    return result;
}

static fr_status fill_entry(fr_ctx *ctx, dnnl_engine_t engine, const shape_key *key,
                            shape_entry *entry)
{
    dnnl_memory_desc_t description[OPERANDS];
    clear_entry(entry);
    dnnl_status_t result = describe(key, description);
    if (result == dnnl_success) {
        result = create_primitive(engine, key, description, &entry->primitive);
    }
    for (int i = 0; i < OPERANDS && result == dnnl_success; i++) {
        result = dnnl_memory_create(&entry->memory[i], &description[i], engine,
                                    DNNL_MEMORY_NONE);
    }
    fr_status status = check(ctx, result, "matmul");
    if (status != FR_OK) {
        clear_entry(entry);
        return status;
    }
    entry->key = *key;
    return FR_OK;
}

static bool is_same_shape(const shape_key *a, const shape_key *b)
{
    return a->m == b->m && a->columns == b->columns && a->depth == b->depth &&
           a->transposed == b->transposed && a->accumulate == b->accumulate;
}

static fr_status find_entry(fr_ctx *ctx, fr_onednn *onednn, const shape_key *key,
                            shape_entry **out)
{
    for (int i = 0; i < MAX_SHAPES && onednn->shapes[i].primitive != NULL; i++) {
        if (is_same_shape(&onednn->shapes[i].key, key)) {
            *out = &onednn->shapes[i];
            return FR_OK;
        }
    }
    *out = &onednn->shapes[onednn->next];
    FR_TRY(fill_entry(ctx, onednn->engine, key, *out));
    onednn->next = (onednn->next + 1) % MAX_SHAPES;
    return FR_OK;
}

/* ---- the product ---------------------------------------------------------------------------- */

/* Nearest even; NaN stays NaN (its quiet bit is set). */
static uint16_t to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = bits + 0x7fffU + ((bits >> 16) & 1U);
    return (uint16_t)((x != x ? bits | 0x00400000U : rounded) >> 16);
}

/* The left operand in bf16. */
static fr_status convert_left(fr_device *device, const fr_product *product,
                              const void **out)
{
    int64_t count = product->m * product->depth;
    float *scratch = NULL;
    *out = NULL;
    FR_TRY(fr_device_scratch(device, FR_SCRATCH_GEMM_LEFT, (count + 1) / 2, &scratch));
    uint16_t *rounded = (uint16_t *)(void *)scratch;
    const float *left = product->left;
#pragma omp parallel for num_threads(device->n_threads) schedule(static)
    for (int64_t i = 0; i < count; i++) {
        rounded[i] = to_bf16(left[i]);
    }
    *out = rounded;
    return FR_OK;
}

/* oneDNN takes its operands as void *, though it only reads the first two. */
static dnnl_status_t set_data(dnnl_memory_t memory, const void *data)
{
    return dnnl_memory_set_data_handle(memory, (void *)(uintptr_t)data);
}

static dnnl_status_t execute(fr_onednn *onednn, const shape_entry *entry)
{
    const dnnl_exec_arg_t arguments[OPERANDS] = {
        {DNNL_ARG_SRC, entry->memory[LEFT]},
        {DNNL_ARG_WEIGHTS, entry->memory[RIGHT]},
        {DNNL_ARG_DST, entry->memory[OUT]},
    };
    dnnl_status_t result =
        dnnl_primitive_execute(entry->primitive, onednn->stream, OPERANDS, arguments);
    return result == dnnl_success ? dnnl_stream_wait(onednn->stream) : result;
}

/* The library takes its number of threads from OpenMP's setting for the calling thread, both when it makes
 * a primitive and when it runs it. */
static fr_status multiply(fr_device *device, const shape_key *key, const void *left,
                          const fr_product *product)
{
    shape_entry *entry = NULL;
    FR_TRY(find_entry(device->ctx, device->onednn, key, &entry));
    dnnl_status_t result = set_data(entry->memory[LEFT], left);
    if (result == dnnl_success) {
        result = set_data(entry->memory[RIGHT], product->weights->data);
    }
    if (result == dnnl_success) {
        result = set_data(entry->memory[OUT], product->out);
    }
    if (result == dnnl_success) {
        result = execute(device->onednn, entry);
    }
    return check(device->ctx, result, "execute");
}

fr_status fr_onednn_multiply(fr_device *device, const fr_product *product)
{
    shape_key key = {product->m, product->columns, product->depth, product->transposed,
                     product->accumulate};
    const void *left = NULL;
    FR_TRY(convert_left(device, product, &left));
    int n_threads = omp_get_max_threads();
    omp_set_num_threads(device->n_threads);
    fr_status status = multiply(device, &key, left, product);
    omp_set_num_threads(n_threads);
    return status;
}
