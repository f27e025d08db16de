#include "model/network/constants.h"

#include "base/integer.h"
#include "base/mem.h"

#include <stdlib.h>

/* One piece of memory of the device. */
struct fr_constant {
    struct fr_constant *older;
    void *memory;
};

void fr_constants_fini(fr_constants *constants)
{
    while (constants->newest != NULL) {
        struct fr_constant *one = constants->newest;
        constants->newest = one->older;
        fr_device_free(constants->device, one->memory);
        free(one);
    }
}

static fr_status take(fr_constants *c, int64_t count, size_t size, void **out)
{
    struct fr_constant *one = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(c->ctx, 1, sizeof *one, &one));
    one->older = c->newest;
    c->newest = one;
    FR_TRY(fr_device_alloc(c->device, count, size, &one->memory));
    *out = one->memory;
    return FR_OK;
}

fr_status fr_constants_floats(fr_constants *constants, int64_t n, fr_f32 **out)
{
    void *memory = NULL;
    fr_status status = take(constants, n, sizeof **out, &memory);
    *out = memory;
    return status;
}

fr_status fr_constants_put(fr_constants *constants, float *from, int64_t n,
                           fr_f32 **out)
{
    FR_TRY(fr_constants_floats(constants, n, out));
    fr_device_put(constants->device, *out, from, n * (int64_t)sizeof *from);
    return FR_OK;
}

static int64_t numbers_of(const fr_constants *c, fr_weight role, int64_t layer)
{
    int64_t rows = 0;
    int64_t columns = 0;
    fr_weights_shape(c->weights, role, layer, &rows, &columns);
    return rows * columns;
}

fr_status fr_constants_load(fr_constants *constants, fr_weight role, int64_t layer,
                            fr_f32 **out)
{
    FR_TRY(fr_constants_floats(constants, numbers_of(constants, role, layer), out));
    return fr_constants_read(constants, role, layer, *out);
}

fr_status fr_constants_read(fr_constants *constants, fr_weight role, int64_t layer,
                            fr_f32 *to)
{
    fr_constants *c = constants;
    int64_t n = numbers_of(c, role, layer);
    float *block = NULL;
    FR_TRY(fr_host_alloc(c->device, n, sizeof *block, &block));
    fr_status status = fr_weights_read(c->ctx, c->weights, role, layer, FR_F32, block);
    if (status == FR_OK) {
        fr_device_put(c->device, to, block, n * (int64_t)sizeof *block);
    }
    fr_host_free(c->device, block);
    return status;
}

/* Rows of other parts may lie between those of this one. */
int64_t fr_constants_part_bytes(const fr_matrix *matrix, const fr_matrix_part *part)
{
    int64_t last = 0;
    for (int64_t r = part->head > 0 ? part->n_rows - part->head : part->n_rows - 1;
         r < part->n_rows; r++) {
        last = fr_max(last, fr_matrix_stored_row(part, r));
    }
    return (last + 1) *
           (int64_t)fr_quant_bytes(fr_quant_find(part->format), matrix->n_in);
}

fr_status fr_constants_bring(fr_constants *constants, fr_matrix *matrix)
{
    fr_constants *c = constants;
    if (fr_device_in_host_memory(c->device)) {
        return FR_OK;
    }
    for (int i = 0; i < matrix->n_parts; i++) {
        fr_matrix_part *part = &matrix->parts[i];
        void *memory = NULL;
        int64_t bytes = fr_constants_part_bytes(matrix, part);
        FR_TRY(take(c, bytes, 1, &memory));
        FR_TRY(fr_device_load(c->device, memory, part->rows, bytes));
        part->rows = memory;
    }
    return FR_OK;
}
