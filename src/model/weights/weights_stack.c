/*
 * Matrices that stay in the mapped file and are converted at each use.
 *
 * This file owns the stacks, which are the matrices that products use as one (Q, K and V, for example), and the
 * decision which of them stay in the file. fr_weights_leave describes a stack that stays: each weight is a part of the
 * matrix, in the file's format and order of rows. The device does the rest (device/matrix.h), and uses rows that are
 * ready where they lie.
 *
 * A matrix in the file has the bits of one that was converted at load, so `in_file` is a choice of memory against time
 * and never of results. A transposed tensor (GPT-2's Conv1D in a folder) never stays: one of its rows is spread over the
 * whole tensor, and reading it at each use would touch every page.
 */
#include "device/matrix.h"
#include "model/weights/weights_impl.h"

const fr_stack FR_STACK_QKV = {{FR_W_Q, FR_W_K, FR_W_V}, 3};
const fr_stack FR_STACK_O = {{FR_W_O}, 1};
const fr_stack FR_STACK_GATE_UP = {{FR_W_GATE, FR_W_UP}, 2};
const fr_stack FR_STACK_UP = {{FR_W_UP}, 1};
const fr_stack FR_STACK_DOWN = {{FR_W_DOWN}, 1};
const fr_stack FR_STACK_TOKENS = {{FR_W_TOKENS}, 1};
const fr_stack FR_STACK_HEAD = {{FR_W_HEAD}, 1};

_Static_assert((int)FR_STACK_MAX <= (int)FR_MATRIX_PARTS,
               "each weight of a stack is a part of its matrix");

static bool stays(const fr_holding *holding, const fr_weight_binding *binding)
{
    return holding->in_file && binding->layout != FR_LAYOUT_COLUMNS;
}

fr_matrix fr_weights_leave(const fr_holding *holding, const fr_stack *stack,
                           int64_t layer)
{
    fr_matrix matrix = {.dtype = holding->dtype, .n_parts = stack->n_roles};
    for (int i = 0; i < stack->n_roles; i++) {
        const fr_weight_binding *binding =
            fr_weights_binding(holding->weights, stack->roles[i], layer);
        matrix.parts[i] = fr_weights_part(holding->weights, binding);
        matrix.n_out += binding->n_out;
        matrix.n_in = binding->n_in;
    }
    return matrix;
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
