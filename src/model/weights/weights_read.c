#include "base/mem.h"
#include "model/weights/weights_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Side of a transposed tile. A tile of floats takes 4 KiB, so it stays in the L1 cache between its write and its
 * read. */
enum { TILE = 32 };

/* The destination of converted elements, and the instruction set that converts them. */
typedef struct sink {
    fr_isa isa;
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
    fr_quant_round_bf16(to.isa, values, n, rounded);
}

/* n elements of whole blocks at `data` to elements index, index + 1, ... of the sink. */
static void convert(const fr_quant_type *type, const uint8_t *data, int64_t n, sink to,
                    int64_t index)
{
    if (to.dtype == FR_F32) {
        float *out = (float *)(void *)to.out + index;
        fr_quant_widen(to.isa, type, data, n, out);
        return;
    }
    uint16_t *out = (uint16_t *)(void *)to.out + index;
    fr_quant_to_bf16(to.isa, type, data, n, out);
}

/* Row of the tensor that holds row r of the weight. A head of K rows with RoPE pairs adjacent holds
 * element i of the first half in row 2i and of the second half in row 2i + 1. A head among those of Q, K and V lies
 * three times as far from the first one. */
static int64_t stored_row(const fr_weight_binding *binding, int64_t head_dim, int64_t r)
{
    int64_t half = head_dim / 2;
    int64_t within = r % head_dim;
    if (binding->layout == FR_LAYOUT_HEADS) {
        return binding->first + 3 * (r - within) + within;
    }
    if (binding->layout != FR_LAYOUT_PAIRS) {
        return binding->first + r;
    }
    return r - within + 2 * (within % half) + within / half;
}

/* Here and below: rows [first, end) of the weight, the first of them to the start of the sink. */
static void read_rows(const fr_weight_binding *binding, int64_t head_dim, int64_t first,
                      int64_t end, sink to)
{
    const fr_quant_type *type = binding->source->type;
    size_t row_bytes = fr_quant_bytes(type, binding->n_in);
    for (int64_t r = first; r < end; r++) {
        size_t row = (size_t)stored_row(binding, head_dim, r);
        convert(type, binding->source->data + row * row_bytes, binding->n_in, to,
                (r - first) * binding->n_in);
    }
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
            fr_quant_widen(to.isa, type,
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

/* A vector is one row of its tensor, from which a part may be taken or reordered. */
static fr_status read_vector(fr_ctx *ctx, const fr_weight_binding *binding,
                             int64_t head_dim, sink to)
{
    float *whole = NULL;
    const fr_source *source = binding->source;
    int64_t n = last_dimension(source);
    FR_TRY(fr_alloc(ctx, n, sizeof *whole, &whole));
    fr_quant_widen(to.isa, source->type, source->data, n, whole);
    for (int64_t i = 0; i < binding->n_out; i++) {
        float value = whole[stored_row(binding, head_dim, i)];
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
    sink to = {weights->isa, dtype, out};
    assert(binding->source != NULL && !binding->is_vector);
    if (binding->layout == FR_LAYOUT_COLUMNS) {
        read_columns(binding, first, first + count, to);
    } else {
        read_rows(binding, weights->arch.head_dim, first, first + count, to);
    }
}

fr_status fr_weights_read(fr_ctx *ctx, const fr_weights *weights, fr_weight role,
                          int64_t layer, fr_dtype dtype, void *out)
{
    const fr_weight_binding *binding = fr_weights_binding(weights, role, layer);
    assert(binding->source != NULL);
    if (binding->is_vector) {
        return read_vector(ctx, binding, weights->arch.head_dim,
                           (sink){weights->isa, dtype, out});
    }
    fr_weights_read_rows(weights, role, layer, dtype, 0, binding->n_out, out);
    return FR_OK;
}

bool fr_weights_multiplies(const fr_weights *weights, fr_weight role, int64_t layer)
{
    const fr_weight_binding *binding = fr_weights_binding(weights, role, layer);
    return binding->layout != FR_LAYOUT_COLUMNS &&
           fr_quant_multiplies(weights->isa, binding->source->type);
}

void fr_weights_multiply_rows(const fr_weights *weights, fr_weight role, int64_t layer,
                              fr_dtype dtype, int64_t first, const fr_few *part)
{
    const fr_weight_binding *binding = fr_weights_binding(weights, role, layer);
    const fr_quant_type *type = binding->source->type;
    size_t row_bytes = fr_quant_bytes(type, binding->n_in);
    fr_quant_few few = {.depth = part->depth,
                        .round = dtype == FR_BF16,
                        .m = part->m,
                        .x = part->x,
                        .y = part->y,
                        .y_stride = part->y_stride,
                        .add = part->add};
    for (int64_t r = 0; r < part->columns; r += few.n_rows) {
        int64_t left = part->columns - r;
        few.n_rows = left < FR_QUANT_FEW_ROWS ? left : FR_QUANT_FEW_ROWS;
        for (int64_t j = 0; j < few.n_rows; j++) {
            int64_t row = stored_row(binding, weights->arch.head_dim, first + r + j);
            few.rows[j] = binding->source->data + (size_t)row * row_bytes;
        }
        few.y = part->y + r;
        fr_quant_multiply(weights->isa, type, &few);
    }
}
