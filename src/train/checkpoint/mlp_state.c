/*
 * The arrays of a reparametrised prefix, described by their number.
 *
 * Array numbers run over p0_k and p0_v, then over the tensors in the order of fr_mlp_tensor, each with its value, its
 * first and its second moment: FIRST_TENSOR + 3 * tensor + moment. Allocation, files, comparison and the gathering of
 * layers all loop over these numbers and ask fr_mlp_describe for name and shape, so that none of them lists the arrays.
 *
 * P0 and the tensors w2 and b2 exist once for each layer and lie layer after layer in one array; e, w1 and b1 are
 * shared by all layers. The moments of a tensor have its shape. P0 is not trained and has no moments.
 */
#include "train/checkpoint/mlp_state.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOMENTS = 3 }; /* value, first and second moment */
_Static_assert((int)FR_MLP_ARRAYS ==
                   (int)FR_MLP_FIRST_TENSOR + (int)MOMENTS * (int)FR_MLP_TENSORS,
               "three arrays a tensor");

/* P0, the value from which the prefix starts: keys or values of one layer, [P, G, K]. */
static fr_mlp_array describe_start(const fr_mlp_shape *s, int array)
{
    fr_mlp_array out = {
        .rank = 3,
        .shape = {s->length, s->n_kv_heads, s->head_dim},
        .floats = s->length * s->n_kv_heads * s->head_dim,
    };
    (void)snprintf(out.name, sizeof out.name, "%s",
                   array == FR_MLP_P0_K ? "p0_k" : "p0_v");
    return out;
}

/* The rows of `shapes` and NAMES follow fr_mlp_tensor. A second size of 0 means a vector. */
fr_mlp_array fr_mlp_describe(const fr_mlp_shape *s, int array)
{
    static const char *const MOMENT_NAMES[MOMENTS] = {"", "m_", "s_"};
    static const char *const NAMES[FR_MLP_TENSORS] = {"w2", "b2", "e", "w1", "b1"};
    if (array < FR_MLP_FIRST_TENSOR) {
        return describe_start(s, array);
    }
    int tensor = (array - FR_MLP_FIRST_TENSOR) / MOMENTS;
    int64_t per_slot = 2 * s->n_kv_heads * s->head_dim;
    const int64_t shapes[FR_MLP_TENSORS][2] = {{per_slot, s->hidden},
                                               {per_slot, 0},
                                               {s->length, s->width},
                                               {s->hidden, s->width},
                                               {s->hidden, 0}};
    fr_mlp_array out = {.shared = tensor >= FR_MLP_E, .rank = 1};
    out.shape[0] = out.floats = shapes[tensor][0];
    if (shapes[tensor][1] > 0) {
        out.rank = 2;
        out.shape[1] = shapes[tensor][1];
        out.floats *= shapes[tensor][1];
    }
    (void)snprintf(out.name, sizeof out.name, "%s%s",
                   MOMENT_NAMES[(array - FR_MLP_FIRST_TENSOR) % MOMENTS],
                   NAMES[tensor]);
    return out;
}

/* Sizes may come from a file, so they are bounded before they are multiplied. The sum stays so far
 * below INT64_MAX that callers can turn it into bytes and add some of them without a check. */
bool fr_mlp_floats(const fr_mlp_shape *s, int64_t n_layers, int64_t *out)
{
    /* far above any real size, and products of three sizes stay below 2^63 */
    static const int64_t MAX = INT64_C(1) << 20;
    const int64_t sizes[] = {s->length, s->n_kv_heads, s->head_dim, s->hidden,
                             s->width};
    *out = 0;
    if (n_layers < 0 || n_layers > MAX) {
        return false;
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (sizes[i] < 1 || sizes[i] > MAX) {
            return false;
        }
    }
    for (int i = 0; i < FR_MLP_ARRAYS; i++) {
        int64_t floats = 0;
        fr_mlp_array array = fr_mlp_describe(s, i);
        if (!fr_mul_i64(array.floats, array.shared ? 1 : n_layers, &floats) ||
            floats > INT64_MAX / (FR_MLP_ARRAYS * (int64_t)sizeof(float)) - *out) {
            return false;
        }
        *out += floats;
    }
    return true;
}

fr_status fr_mlp_init(fr_ctx *ctx, const fr_mlp_shape *shape, int64_t n_layers,
                      fr_mlp_state *out)
{
    int64_t total = 0;
    *out = (fr_mlp_state){.shape = *shape, .n_layers = n_layers};
    if (!fr_mlp_floats(shape, n_layers, &total)) {
        return FR_FAIL(ctx, FR_ERR_SHAPE,
                       "an MLP of %lld hidden units over %lld slots x %lld layers x "
                       "%lld numbers is not possible; each must be at least 1",
                       (long long)shape->hidden, (long long)shape->length,
                       (long long)n_layers, (long long)shape->width);
    }
    for (int i = 0; i < FR_MLP_ARRAYS; i++) {
        fr_mlp_array array = fr_mlp_describe(shape, i);
        FR_TRY(fr_alloc(ctx, array.floats * (array.shared ? 1 : n_layers),
                        sizeof(float), &out->arrays[i]));
    }
    return FR_OK;
}

void fr_mlp_fini(fr_mlp_state *state)
{
    for (int i = 0; i < FR_MLP_ARRAYS; i++) {
        free(state->arrays[i]);
    }
    *state = (fr_mlp_state){0};
}

bool fr_mlp_is_there(const fr_mlp_state *state)
{
    return state->arrays[0] != NULL;
}

bool fr_mlp_same_shape(const fr_mlp_shape *a, const fr_mlp_shape *b)
{
    return a->length == b->length && a->n_kv_heads == b->n_kv_heads &&
           a->head_dim == b->head_dim && a->hidden == b->hidden && a->width == b->width;
}

float *fr_mlp_values(const fr_mlp_state *state, fr_mlp_tensor tensor, int moment)
{
    return state->arrays[FR_MLP_FIRST_TENSOR + MOMENTS * (int)tensor + moment];
}
