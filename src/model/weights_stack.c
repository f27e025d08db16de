/* Matrices for the device: converted once, or read from the file whenever they are used. */
#include "base/mem.h"
#include "model/weights_impl.h"

#include <string.h>

/* Behind a matrix whose rows stay in the file. */
typedef struct file_rows {
    int64_t head_dim;
    const fr_weight_slot *parts[FR_STACK_MOST]; /* one below the other */
} file_rows;

static void read_stack(const fr_matrix *w, int64_t first, int64_t count, void *out)
{
    const file_rows *rows = w->data;
    char *to = out;
    for (int i = 0; count > 0; i++) {
        const fr_weight_slot *part = rows->parts[i];
        int64_t left = part->n_out - first;
        int64_t n = left < count ? left : count;
        if (n > 0) {
            fr_weights_read_rows(part, rows->head_dim, first, n, w->dtype, to);
            to += (size_t)(n * w->n_in) * fr_dtype_bytes(w->dtype);
            count -= n;
            first += n;
        }
        first -= part->n_out;
    }
}

static bool stays(const fr_holding *holding, const fr_weight_slot *slot)
{
    return holding->in_file && slot->layout != FR_LAYOUT_COLUMNS;
}

/* The rows of a slot where they lie, if they are what the device takes; else NULL. */
static const void *ready_rows(const fr_holding *holding, const fr_weight_slot *slot)
{
    uint32_t wanted = holding->dtype == FR_BF16 ? FR_QUANT_BF16 : FR_QUANT_F32;
    size_t size = fr_dtype_bytes(holding->dtype);
    const uint8_t *rows =
        slot->source->data + (size_t)(slot->first * slot->n_in) * size;
    bool ready = slot->layout == FR_LAYOUT_ROWS &&
                 slot->source->type->number == wanted && (uintptr_t)rows % size == 0;
    return ready ? rows : NULL;
}

static fr_status leave_in_file(fr_ctx *ctx, const fr_holding *holding,
                               const fr_weight_slot *const *parts, int n_parts,
                               fr_matrix *out, void **owned)
{
    file_rows *rows = NULL;
    out->data = n_parts == 1 ? ready_rows(holding, parts[0]) : NULL;
    if (out->data != NULL) {
        return FR_OK;
    }
    FR_TRY(fr_alloc(ctx, 1, sizeof *rows, &rows));
    rows->head_dim = holding->weights->arch.head_dim;
    memcpy(rows->parts, parts, (size_t)n_parts * sizeof *parts);
    out->data = rows;
    out->read = read_stack;
    *owned = rows;
    return FR_OK;
}

static fr_status convert_all(fr_ctx *ctx, const fr_holding *holding,
                             const fr_stack *stack, int64_t layer, fr_matrix *out,
                             void **owned)
{
    size_t size = fr_dtype_bytes(holding->dtype);
    FR_TRY(fr_alloc(ctx, out->n_out * out->n_in, size, owned));
    out->data = *owned;
    char *next = *owned;
    for (int i = 0; i < stack->n_roles; i++) {
        const fr_weight_slot *slot =
            fr_weights_slot(holding->weights, stack->roles[i], layer);
        FR_TRY(fr_weights_read(ctx, holding->weights, stack->roles[i], layer,
                               holding->dtype, next));
        next += (size_t)(slot->n_out * slot->n_in) * size;
    }
    return FR_OK;
}

fr_status fr_weights_stack(fr_ctx *ctx, const fr_holding *holding,
                           const fr_stack *stack, int64_t layer, fr_matrix *out,
                           void **owned)
{
    const fr_weight_slot *parts[FR_STACK_MOST];
    bool all_stay = true;
    *owned = NULL;
    *out = (fr_matrix){.dtype = holding->dtype};
    for (int i = 0; i < stack->n_roles; i++) {
        parts[i] = fr_weights_slot(holding->weights, stack->roles[i], layer);
        out->n_out += parts[i]->n_out;
        out->n_in = parts[i]->n_in;
        all_stay = all_stay && stays(holding, parts[i]);
    }
    return all_stay ? leave_in_file(ctx, holding, parts, stack->n_roles, out, owned)
                    : convert_all(ctx, holding, stack, layer, out, owned);
}

int64_t fr_weights_held_bytes(const fr_holding *holding, fr_weight role, int64_t layer)
{
    const fr_weight_slot *slot = fr_weights_slot(holding->weights, role, layer);
    int64_t n = slot->n_out * slot->n_in;
    return stays(holding, slot) ? (int64_t)fr_quant_bytes(slot->source->type, n)
                                : n * (int64_t)fr_dtype_bytes(holding->dtype);
}
