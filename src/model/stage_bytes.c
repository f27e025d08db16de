#include "model/stage_bytes.h"

#include "model/stage_impl.h"

static bool is_first(const fr_stage_shape *shape)
{
    return shape->first_layer == 0;
}

static bool is_last(const fr_stage_shape *shape)
{
    return shape->first_layer + shape->n_layers == shape->arch->n_layers;
}

int64_t fr_stage_matrix_bytes(const fr_stage_shape *shape)
{
    const fr_arch *a = shape->arch;
    int64_t layer = a->d_model * (fr_arch_qkv_width(a) + fr_arch_q_width(a) +
                                  fr_arch_up_width(a) + a->d_ff);
    int64_t n_ends = is_first(shape) + is_last(shape);
    n_ends -= a->tied_head && is_first(shape) && is_last(shape);
    int64_t n = shape->n_layers * layer + n_ends * a->vocab_size * a->d_model;
    return n * (int64_t)fr_dtype_bytes(shape->dtype);
}

/* Of one layer, floats. */
static int64_t layer_vectors(const fr_arch *a)
{
    int64_t n = a->d_model * (a->family == FR_LLAMA ? 2 : 4);
    n += a->attention_bias ? fr_arch_qkv_width(a) + a->d_model : 0;
    n += a->mlp_bias ? fr_arch_up_width(a) + a->d_model : 0;
    return n;
}

int64_t fr_stage_weight_bytes(const fr_stage_shape *shape)
{
    const fr_arch *a = shape->arch;
    int64_t floats = shape->n_layers * layer_vectors(a);
    floats += a->family == FR_LLAMA ? shape->max_position * a->head_dim : 0;
    if (is_first(shape)) {
        floats += a->family == FR_GPT2 ? a->context_length * a->d_model : 0;
    }
    if (is_last(shape)) {
        floats += a->d_model * (a->family == FR_LLAMA ? 1 : 2);
    }
    return fr_stage_matrix_bytes(shape) + floats * (int64_t)sizeof(float);
}

int64_t fr_stage_head_bytes(const fr_stage_shape *shape)
{
    const fr_arch *a = shape->arch;
    int64_t row = 3 * a->d_model + 2 + a->vocab_size;
    return is_last(shape) ? FR_HEAD_CHUNK_ROWS * row * (int64_t)sizeof(float) : 0;
}

/* A stage that knows its sizes and holds nothing. */
static fr_stage empty_stage(const fr_stage_shape *shape, int64_t n_layers)
{
    return (fr_stage){
        .arch = *shape->arch, .dtype = shape->dtype, .n_layers = n_layers};
}

/* The chain's output and the gradient that a slot of no layers would still have. */
static int64_t two_rows(const fr_stage_shape *shape, int64_t n_tokens)
{
    return 2 * n_tokens * shape->arch->d_model * (int64_t)sizeof(float);
}

int64_t fr_stage_workspace_bytes(const fr_stage_shape *shape, int64_t n_tokens)
{
    fr_stage stage = empty_stage(shape, 0);
    return fr_slot_bytes(&stage, n_tokens, true) - two_rows(shape, n_tokens);
}

int64_t fr_stage_gradient_bytes(const fr_stage_shape *shape, int64_t n_units,
                                int64_t length)
{
    return 2 * n_units * fr_arch_prefix_elements(shape->arch, length) *
           (int64_t)sizeof(float);
}

int64_t fr_stage_slot_bytes(const fr_stage_shape *shape, int64_t n_tokens, bool keep)
{
    fr_stage stage = empty_stage(shape, shape->n_layers);
    return fr_slot_bytes(&stage, n_tokens, keep) -
           fr_stage_workspace_bytes(shape, n_tokens);
}
