/*
 * Formulas for what a stage holds, so that a layout can be judged before any memory is taken.
 *
 * Frozen weights are counted here role by role, in step with fr_layer_load, fr_head_load and fr_stage_create. A change
 * there must be repeated here; tests compare both. Activations and workspace are not counted twice: their layout
 * functions can run without memory (stage_activations.c), so a stage that has only its sizes answers for them.
 * All results are bytes of this rank.
 */
#include "model/network/stage_bytes.h"

#include "base/integer.h"
#include "device/matrix.h"
#include "model/network/stage_impl.h"

static bool is_first(const fr_stage_shape *shape)
{
    return shape->first_layer == 0;
}

static bool is_last(const fr_stage_shape *shape)
{
    return shape->first_layer + shape->n_layers == shape->arch->n_layers;
}

/* Matrices that stay in the file take what their own conversion or copy takes, which the file's type decides; a role
 * that the file lacks takes nothing. */
static int64_t matrix_bytes(const fr_stage_shape *shape, fr_weight role, int64_t layer,
                            int64_t n)
{
    fr_holding holding = {shape->in_file, shape->dtype, true};
    if (shape->in_file == NULL) {
        return n * (int64_t)fr_dtype_bytes(shape->dtype);
    }
    return fr_weights_has(shape->in_file, role, layer)
               ? fr_weights_held_bytes(&holding, role, layer)
               : 0;
}

static int64_t layer_matrices(const fr_stage_shape *shape, int64_t layer)
{
    const fr_arch *a = shape->arch;
    int64_t d = a->d_model;
    int64_t q = fr_arch_q_width(a);
    int64_t kv = fr_arch_kv_width(a);
    /* 0 without a gate */
    int64_t gate = fr_arch_up_width(a) - a->d_ff;
    const struct {
        fr_weight role;
        int64_t n;
    } matrices[] = {{FR_W_Q, d * q},         {FR_W_K, d * kv},
                    {FR_W_V, d * kv},        {FR_W_O, d * q},
                    {FR_W_GATE, d * gate},   {FR_W_UP, d * a->d_ff},
                    {FR_W_DOWN, d * a->d_ff}};
    int64_t bytes = 0;
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
        bytes += matrix_bytes(shape, matrices[i].role, layer, matrices[i].n);
    }
    return bytes;
}

/* A tied vocabulary counts once where one stage has both ends, and twice where two stages each hold a copy. */
int64_t fr_stage_matrix_bytes(const fr_stage_shape *shape)
{
    int64_t vocabulary = shape->arch->vocab_size * shape->arch->d_model;
    int64_t bytes = 0;
    for (int64_t i = 0; i < shape->n_layers; i++) {
        bytes += layer_matrices(shape, shape->first_layer + i);
    }
    if (is_first(shape)) {
        bytes += matrix_bytes(shape, FR_W_TOKENS, -1, vocabulary);
    }
    if (is_last(shape) && !(shape->arch->tied_head && is_first(shape))) {
        bytes += matrix_bytes(shape, FR_W_HEAD, -1, vocabulary);
    }
    return bytes;
}

/* The layers that stay on the host: their sum, and *largest of them. */
static int64_t offloaded(const fr_stage_shape *shape, int64_t *largest)
{
    int64_t bytes = 0;
    *largest = 0;
    for (int64_t i = 0; i < shape->n_layers; i++) {
        if (fr_offload_takes(shape->offload, shape->n_layers, i)) {
            int64_t own = layer_matrices(shape, shape->first_layer + i);
            bytes += own;
            *largest = own > *largest ? own : *largest;
        }
    }
    return bytes;
}

int64_t fr_stage_offload_bytes(const fr_stage_shape *shape)
{
    int64_t largest = 0;
    return offloaded(shape, &largest);
}

/* What the device has of all matrices. */
static int64_t device_matrices(const fr_stage_shape *shape)
{
    int64_t largest = 0;
    int64_t bytes = fr_stage_matrix_bytes(shape) - offloaded(shape, &largest);
    return bytes + fr_min(shape->offload, FR_AHEAD_SLOTS) * largest;
}

/* Of one layer, floats. */
static int64_t layer_vectors(const fr_arch *a)
{
    /* RMS norm has a weight, layer norm a weight and a bias */
    int64_t norm = a->d_model * (a->norm == FR_NORM_RMS ? 1 : 2);
    int64_t n =
        norm * (a->attn_norm + a->attn_post_norm + a->mlp_norm + a->mlp_post_norm);
    if (a->qk_norm != FR_QK_NORM_NONE) {
        n += fr_arch_q_norm_width(a) + fr_arch_k_norm_width(a);
    }
    n += a->qkv_bias ? fr_arch_qkv_width(a) : 0;
    n += a->o_bias ? a->d_model : 0;
    n += a->mlp_bias ? fr_arch_up_width(a) + a->d_model : 0;
    return n;
}

/* What tells tokens their places, floats: tables of cosine and sine for rotary/2 pairs at each position, slopes. */
static int64_t places(const fr_stage_shape *shape)
{
    const fr_arch *a = shape->arch;
    fr_layer_range layers = {shape->first_layer, shape->n_layers};
    int64_t floats = a->positions == FR_POSITIONS_ALIBI ? a->n_heads : 0;
    if (fr_layers_rotate(a, layers, false)) {
        floats += shape->max_position * a->rotation.rotary;
    }
    if (fr_layers_rotate(a, layers, true)) {
        floats += shape->max_position * a->local_rotation.rotary;
    }
    return floats;
}

int64_t fr_stage_weight_bytes(const fr_stage_shape *shape)
{
    const fr_arch *a = shape->arch;
    int64_t floats = shape->n_layers * layer_vectors(a) + places(shape);
    if (is_first(shape)) {
        floats +=
            a->positions == FR_POSITIONS_LEARNED ? a->context_length * a->d_model : 0;
        floats += a->embedding_norm ? 2 * a->d_model : 0;
    }
    if (is_last(shape)) {
        floats += a->d_model * (a->norm == FR_NORM_RMS ? 1 : 2);
    }
    /* a stage has a copy of the description */
    return device_matrices(shape) + floats * (int64_t)sizeof(float) +
           (int64_t)sizeof(fr_arch);
}

/* Rows of a matrix that are in memory at a time. */
static int64_t slice_bytes(fr_dtype dtype, int64_t n_out, int64_t n_in)
{
    int64_t row = n_in * (int64_t)fr_dtype_bytes(dtype);
    int64_t block = row * (dtype == FR_BF16 ? FR_SLICE_ROWS_BF16 : FR_SLICE_ROWS_F32);
    int64_t max = block > FR_SLICE_BYTES ? block : FR_SLICE_BYTES;
    return n_out * row < max ? n_out * row : max;
}

/* The matrices that products use; without a head the last has no rows. Weights are stacked in one piece unless they stay in the
 * file. */
enum { N_MATRICES = 5 };
static void list_matrices(const fr_stage_shape *shape, const fr_stage_calls *calls,
                          fr_scratch_matrix out[N_MATRICES])
{
    const fr_arch *a = shape->arch;
    bool in_file = shape->in_file != NULL;
    int64_t n = calls->n_tokens;
    int64_t vocab = is_last(shape) ? a->vocab_size : 0;
    fr_scratch_matrix list[] = {{.n_out = fr_arch_qkv_width(a), .n_in = a->d_model},
                                {.n_out = a->d_model, .n_in = fr_arch_q_width(a)},
                                {.n_out = fr_arch_up_width(a), .n_in = a->d_model},
                                {.n_out = a->d_model, .n_in = a->d_ff},
                                {.n_out = vocab, .n_in = a->d_model}};
    list[0].in_parts = in_file;
    list[2].in_parts = in_file && a->gated;
    for (int i = 0; i < N_MATRICES; i++) {
        out[i] = list[i];
        out[i].m = i == N_MATRICES - 1 ? fr_head_chunk(calls->n_targets) : n;
        out[i].on_demand = in_file;
    }
}

/* Only one product runs at a time and its scratch is reused by the next, so the largest matrix decides, not the sum. */
int64_t fr_stage_reading_bytes(const fr_stage_shape *shape)
{
    fr_scratch_matrix matrices[N_MATRICES];
    fr_stage_calls calls = {0};
    int64_t max = 0;
    list_matrices(shape, &calls, matrices);
    for (int i = 0; shape->in_file != NULL && i < N_MATRICES; i++) {
        int64_t bytes = slice_bytes(shape->dtype, matrices[i].n_out, matrices[i].n_in);
        max = bytes > max ? bytes : max;
    }
    return max;
}

int64_t fr_stage_scratch_bytes(const fr_stage_shape *shape, const fr_stage_calls *calls,
                               fr_scratch_function *scratch)
{
    const fr_arch *a = shape->arch;
    fr_scratch_matrix matrices[N_MATRICES];
    if (scratch == NULL) {
        return fr_stage_reading_bytes(shape);
    }
    list_matrices(shape, calls, matrices);
    fr_scratch_shape all = {.dtype = shape->dtype,
                            .n_tokens = calls->n_tokens,
                            .n_units = calls->n_units,
                            .length = calls->length,
                            .n_heads = a->n_heads,
                            .n_kv_heads = a->n_kv_heads,
                            .head_dim = a->head_dim,
                            .n_targets = is_last(shape) ? calls->n_targets : 0,
                            .n_sampled = is_last(shape) ? calls->n_sampled : 0,
                            .vocab = a->vocab_size,
                            .n_matrices = N_MATRICES,
                            .matrices = matrices};
    return scratch(&all);
}

int64_t fr_stage_head_bytes(const fr_stage_shape *shape, int64_t n_targets)
{
    const fr_arch *a = shape->arch;
    /* x, h and dx, two statistics, and the logits: see reserve in head.c */
    int64_t row = 3 * a->d_model + 2 + a->vocab_size;
    return is_last(shape) ? fr_head_chunk(n_targets) * row * (int64_t)sizeof(float) : 0;
}

/* A stage that knows its sizes and holds nothing. */
static fr_stage empty_stage(const fr_stage_shape *shape, int64_t n_layers)
{
    return (fr_stage){.arch = *shape->arch,
                      .dtype = shape->dtype,
                      .work = shape->work,
                      .kept = shape->dtype,
                      .recompute = shape->recompute,
                      .n_layers = n_layers};
}

/* The chain's output and the gradient that the activations of a stage without layers would still have. */
static int64_t two_rows(const fr_stage_shape *shape, int64_t n_tokens)
{
    return 2 * n_tokens * shape->arch->d_model * (int64_t)sizeof(float);
}

/* With no layers only the workspace and two rows remain in fr_activations_bytes; the rows belong to activations. */
int64_t fr_stage_workspace_bytes(const fr_stage_shape *shape, int64_t n_tokens)
{
    fr_stage stage = empty_stage(shape, 0);
    return fr_activations_bytes(&stage, n_tokens, true) - two_rows(shape, n_tokens);
}

/* Twice: gradients of keys and of values. */
int64_t fr_stage_gradient_bytes(const fr_stage_shape *shape, int64_t n_units,
                                int64_t length)
{
    return 2 * n_units * fr_arch_prefix_elements(shape->arch, length) *
           (int64_t)sizeof(float);
}

int64_t fr_stage_activation_bytes(const fr_stage_shape *shape, int64_t n_tokens,
                                  bool keep)
{
    fr_stage stage = empty_stage(shape, shape->n_layers);
    return fr_activations_bytes(&stage, n_tokens, keep) -
           fr_stage_workspace_bytes(shape, n_tokens);
}
