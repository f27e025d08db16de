#include "base/mem.h"
#include "model/weights/weights_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Side of a transposed tile. A tile of floats takes 4 KiB, so it stays in the L1 cache between its write and its
 * read. */
enum { TILE = 32 };

/* The destination of converted elements, and the kernels that convert them. */
typedef struct sink {
    const fr_quant_kernels *kernels;
    fr_dtype dtype;
    uint8_t *out;
} sink;

static void put_floats(sink to, int64_t index, const float *values, int64_t n)
{
    uint8_t *at = to.out + (size_t)index * fr_dtype_bytes(to.dtype);
    if (to.dtype == FR_F32) {
        memcpy(at, values, (size_t)n * sizeof(float));
        return;
    }
    uint16_t *rounded = (uint16_t *)(void *)at;
    fr_quant_round_bf16(to.kernels, values, n, rounded);
}

/* The order of a weight's rows. A head among those of Q, K and V lies three times as far from the first one. */
static fr_matrix_part order_of(const fr_weights *weights,
                               const fr_weight_binding *binding)
{
    int64_t head = weights->arch.head_dim;
    fr_matrix_part part = {.n_rows = binding->n_out};
    if (binding->layout == FR_LAYOUT_PAIRS || binding->layout == FR_LAYOUT_HEADS) {
        part.head = head;
        part.step = binding->layout == FR_LAYOUT_HEADS ? 3 * head : head;
        part.pairs = binding->layout == FR_LAYOUT_PAIRS;
    }
    return part;
}

fr_matrix_part fr_weights_part(const fr_weights *weights,
                               const fr_weight_binding *binding)
{
    const fr_source *source = binding->source;
    fr_matrix_part part = order_of(weights, binding);
    assert(source != NULL && !binding->is_vector &&
           binding->layout != FR_LAYOUT_COLUMNS);
    part.format = source->type->number;
    part.rows =
        source->data + fr_quant_bytes(source->type, binding->first * binding->n_in);
    return part;
}

/* weights_bind.c has refused tensors without a dimension. */
static int64_t last_dimension(const fr_source *source)
{
    assert(source->n_dims >= 1);
    return source->shape[source->n_dims - 1];
}

/* Columns [c, c + width) of a transposed weight, at most TILE: [n_in, n_stored] -> rows row_out, ... of the sink. */
static void read_column_tile(const fr_weight_binding *binding, int64_t c, int64_t width,
                             int64_t row_out, sink to)
{
    float tile[TILE][TILE];
    float row[TILE];
    const fr_quant_type *type = binding->source->type;
    int64_t n_stored = last_dimension(binding->source);
    for (int64_t i = 0; i < binding->n_in; i += TILE) {
        int64_t height = binding->n_in - i < TILE ? binding->n_in - i : TILE;
        for (int64_t y = 0; y < height; y++) {
            int64_t element = (i + y) * n_stored + binding->first + c;
            fr_quant_widen(to.kernels, type,
                           binding->source->data + fr_quant_bytes(type, element), width,
                           tile[y]);
        }
        for (int64_t x = 0; x < width; x++) {
            for (int64_t y = 0; y < height; y++) {
                row[y] = tile[y][x];
            }
            put_floats(to, (row_out + x) * binding->n_in + i, row, height);
        }
    }
}

static void read_columns(const fr_weight_binding *binding, int64_t first, int64_t end,
                         sink to)
{
    assert(binding->source->type->block == 1);
    for (int64_t c = first; c < end; c += TILE) {
        int64_t width = end - c < TILE ? end - c : TILE;
        read_column_tile(binding, c, width, c - first, to);
    }
}

/* A vector is one row of its tensor, from which a part may be taken or reordered: as the rows of a matrix are. */
static fr_status read_vector(fr_ctx *ctx, const fr_weights *weights,
                             const fr_weight_binding *binding, sink to)
{
    fr_matrix_part order = order_of(weights, binding);
    float *whole = NULL;
    const fr_source *source = binding->source;
    int64_t n = last_dimension(source);
    FR_TRY(fr_alloc(ctx, n, sizeof *whole, &whole));
    fr_quant_widen(to.kernels, source->type, source->data, n, whole);
    for (int64_t i = 0; i < binding->n_out; i++) {
        float value = whole[binding->first + fr_matrix_stored_row(&order, i)];
        if (binding->plus != 0.0F) { /* -0 + 0 would be 0 */
            value += binding->plus;
        }
        put_floats(to, i, &value, 1);
    }
    free(whole);
    return FR_OK;
}

void fr_weights_read_rows(const fr_weights *weights, fr_weight role, int64_t layer,
                          fr_dtype dtype, int64_t first, int64_t count, void *out)
{
    const fr_weight_binding *binding = fr_weights_binding(weights, role, layer);
    if (binding->layout == FR_LAYOUT_COLUMNS) {
        read_columns(binding, first, first + count,
                     (sink){weights->kernels, dtype, out});
        return;
    }
    fr_matrix matrix = {.n_out = binding->n_out,
                        .n_in = binding->n_in,
                        .dtype = dtype,
                        .n_parts = 1,
                        .parts = {fr_weights_part(weights, binding)}};
    fr_matrix_read(weights->kernels, &matrix, first, count, out);
}

fr_status fr_weights_read(fr_ctx *ctx, const fr_weights *weights, fr_weight role,
                          int64_t layer, fr_dtype dtype, void *out)
{
    const fr_weight_binding *binding = fr_weights_binding(weights, role, layer);
    assert(binding->source != NULL);
    if (binding->is_vector) {
        return read_vector(ctx, weights, binding, (sink){weights->kernels, dtype, out});
    }
    fr_weights_read_rows(weights, role, layer, dtype, 0, binding->n_out, out);
    return FR_OK;
}
