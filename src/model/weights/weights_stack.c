/*
 * Matrices that stay in the mapped file and are converted at each use.
 *
 * This file owns the stacks, which are the matrices that products use as one (Q, K and V, for example), and the
 * decision which of them stay in the file. fr_weights_leave makes a matrix for the device out of a stack that stays:
 *
 *   1. If the stack is one weight whose rows already have the wanted type, order and alignment, the matrix points at
 *      the file's bytes, and nothing is converted at all.
 *   2. Otherwise the matrix carries a file_rows and a function that reads rows. A product then asks for a few rows at
 *      a time, and read_stack finds the weights of the stack that hold them.
 *   3. If every weight of the stack also supports it, the matrix can multiply straight from the file's blocks. That
 *      saves writing the converted rows to memory where a product has few rows of x.
 *
 * All three give the bits of a matrix that was converted at load, so `in_file` is a choice of memory against time and
 * never of results. A transposed tensor (GPT-2's Conv1D in a folder) never stays: one of its rows is spread over the
 * whole tensor, and reading it at each use would touch every page.
 */
#include "base/mem.h"
#include "device/matrix.h"
#include "model/weights/weights_impl.h"

const fr_stack FR_STACK_QKV = {{FR_W_Q, FR_W_K, FR_W_V}, 3};
const fr_stack FR_STACK_O = {{FR_W_O}, 1};
const fr_stack FR_STACK_GATE_UP = {{FR_W_GATE, FR_W_UP}, 2};
const fr_stack FR_STACK_UP = {{FR_W_UP}, 1};
const fr_stack FR_STACK_DOWN = {{FR_W_DOWN}, 1};
const fr_stack FR_STACK_TOKENS = {{FR_W_TOKENS}, 1};
const fr_stack FR_STACK_HEAD = {{FR_W_HEAD}, 1};

/* What a matrix whose rows stay in the file points at. */
typedef struct file_rows {
    const fr_weights *weights;
    fr_stack stack;
    int64_t layer;
} file_rows;

/* In the loop, `first` counts from the first row of the current weight. */
static void read_stack(const fr_matrix *w, int64_t first, int64_t count, void *out)
{
    const file_rows *rows = w->data;
    char *to = out;
    for (int i = 0; count > 0; i++) {
        fr_weight role = rows->stack.roles[i];
        int64_t n_out = fr_weights_binding(rows->weights, role, rows->layer)->n_out;
        int64_t n = n_out - first < count ? n_out - first : count;
        if (n > 0) {
            fr_weights_read_rows(rows->weights, role, rows->layer, w->dtype, first, n,
                                 to);
            to += (size_t)(n * w->n_in) * fr_dtype_bytes(w->dtype);
            count -= n;
            first += n;
        }
        first -= n_out;
    }
}

static void multiply_stack(const fr_matrix *w, int64_t first, const fr_few *part)
{
    const file_rows *rows = w->data;
    fr_few left = *part;
    for (int i = 0; left.columns > 0; i++) {
        fr_weight role = rows->stack.roles[i];
        int64_t n_out = fr_weights_binding(rows->weights, role, rows->layer)->n_out;
        fr_few here = left;
        here.columns = n_out - first < left.columns ? n_out - first : left.columns;
        if (here.columns > 0) {
            fr_weights_multiply_rows(rows->weights, role, rows->layer, w->dtype, first,
                                     &here);
            left.y += here.columns;
            left.columns -= here.columns;
            first += here.columns;
        }
        first -= n_out;
    }
}

static bool stays(const fr_holding *holding, const fr_weight_binding *binding)
{
    return holding->in_file && binding->layout != FR_LAYOUT_COLUMNS;
}

/* The address of a binding's rows in the file if the device can use them as they are; else NULL. */
static const void *ready_rows(const fr_holding *holding,
                              const fr_weight_binding *binding)
{
    uint32_t wanted = holding->dtype == FR_BF16 ? FR_QUANT_BF16 : FR_QUANT_F32;
    size_t size = fr_dtype_bytes(holding->dtype);
    const uint8_t *rows =
        binding->source->data + (size_t)(binding->first * binding->n_in) * size;
    bool ready = binding->layout == FR_LAYOUT_ROWS &&
                 binding->source->type->number == wanted && (uintptr_t)rows % size == 0;
    return ready ? rows : NULL;
}

fr_status fr_weights_leave(fr_ctx *ctx, const fr_holding *holding,
                           const fr_stack *stack, int64_t layer, fr_matrix *out,
                           void **owned)
{
    file_rows *rows = NULL;
    const fr_weight_binding *binding = NULL;
    bool multiplies = true;
    *owned = NULL;
    *out = (fr_matrix){.dtype = holding->dtype};
    for (int i = 0; i < stack->n_roles; i++) {
        binding = fr_weights_binding(holding->weights, stack->roles[i], layer);
        out->n_out += binding->n_out;
        out->n_in = binding->n_in;
        multiplies = multiplies &&
                     fr_weights_multiplies(holding->weights, stack->roles[i], layer);
    }
    out->data = stack->n_roles == 1 ? ready_rows(holding, binding) : NULL;
    if (out->data != NULL) {
        return FR_OK;
    }
    FR_TRY(fr_alloc(ctx, 1, sizeof *rows, &rows));
    *rows = (file_rows){holding->weights, *stack, layer};
    out->data = rows;
    out->read = read_stack;
    out->multiply = multiplies ? multiply_stack : NULL;
    *owned = rows;
    return FR_OK;
}

bool fr_weights_stay(const fr_holding *holding, const fr_stack *stack, int64_t layer)
{
    bool all = true;
    for (int i = 0; i < stack->n_roles; i++) {
        all = all && stays(holding, fr_weights_binding(holding->weights,
                                                       stack->roles[i], layer));
    }
    return all;
}

int64_t fr_weights_held_bytes(const fr_holding *holding, fr_weight role, int64_t layer)
{
    const fr_weight_binding *binding =
        fr_weights_binding(holding->weights, role, layer);
    int64_t n = binding->n_out * binding->n_in;
    return stays(holding, binding) ? (int64_t)fr_quant_bytes(binding->source->type, n)
                                   : n * (int64_t)fr_dtype_bytes(holding->dtype);
}
