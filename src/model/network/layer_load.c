#include "device/matrix.h"
#include "model/network/layer.h"

/* Widths in elements of a row; layer.h names them Q, KV, W and U. */
int64_t fr_arch_q_width(const fr_arch *arch)
{
    return arch->n_heads * arch->head_dim;
}

int64_t fr_arch_kv_width(const fr_arch *arch)
{
    return arch->n_kv_heads * arch->head_dim;
}

int64_t fr_arch_qkv_width(const fr_arch *arch)
{
    return fr_arch_q_width(arch) + 2 * fr_arch_kv_width(arch);
}

int64_t fr_arch_up_width(const fr_arch *arch)
{
    return arch->gated ? 2 * arch->d_ff : arch->d_ff;
}

bool fr_arch_has_half_outputs(const fr_arch *arch)
{
    return arch->attn_post_norm || arch->mlp_post_norm || arch->residual_scale != 1.0;
}

int64_t fr_arch_q_norm_width(const fr_arch *arch)
{
    return arch->qk_norm == FR_QK_NORM_WHOLE ? fr_arch_q_width(arch) : arch->head_dim;
}

int64_t fr_arch_k_norm_width(const fr_arch *arch)
{
    return arch->qk_norm == FR_QK_NORM_WHOLE ? fr_arch_kv_width(arch) : arch->head_dim;
}

/* One place to read layer `index` of a model: matrices from `frozen`, vectors into the constants. */
typedef struct loader {
    fr_constants *constants;
    fr_frozen *frozen;
    int64_t index;
    bool brings; /* matrices to the device */
    fr_layer *layer;
} loader;

/* Stack vectors in step with load_matrix; NULL if the model has none of them. */
static fr_status load_vector(const loader *l, const fr_weight *roles,
                             const int64_t *lengths, int n_roles, fr_f32 **out)
{
    int64_t total = 0;
    bool any = false;
    for (int i = 0; i < n_roles; i++) {
        total += lengths[i];
        any = any || fr_weights_has(l->constants->weights, roles[i], l->index);
    }
    *out = NULL;
    if (!any) {
        return FR_OK;
    }
    FR_TRY(fr_constants_floats(l->constants, total, out));
    fr_f32 *next = *out;
    for (int i = 0; i < n_roles; i++) {
        if (fr_weights_has(l->constants->weights, roles[i], l->index)) {
            FR_TRY(fr_constants_read(l->constants, roles[i], l->index, next));
        }
        /* a missing part stays zero, as it was made */
        next += lengths[i];
    }
    return FR_OK;
}

static fr_status load_one_vector(const loader *l, fr_weight role, int64_t length,
                                 fr_f32 **out)
{
    return load_vector(l, &role, &length, 1, out);
}

/* The model has a norm's weights exactly where its description has the norm: weights_bind.c has seen to that. */
static fr_status load_norm(const loader *l, fr_weight weight, fr_weight bias,
                           fr_norm_weights *out)
{
    int64_t width = fr_weights_arch(l->constants->weights)->d_model;
    FR_TRY(load_one_vector(l, weight, width, &out->w));
    if (out->w == NULL || fr_weights_arch(l->constants->weights)->norm == FR_NORM_RMS) {
        return FR_OK;
    }
    if (bias != FR_W_COUNT) {
        FR_TRY(load_one_vector(l, bias, width, &out->b));
    }
    /* the operator adds a bias: zeros where the model has none */
    return out->b != NULL ? FR_OK : fr_constants_floats(l->constants, width, &out->b);
}

static fr_status load_matrix(const loader *l, const fr_stack *stack, fr_matrix *out)
{
    *out = fr_frozen_matrix(l->frozen, stack, l->index);
    return l->brings ? fr_constants_bring(l->constants, out) : FR_OK;
}

/* Q, K and V, and gate and up, are stacked: one product reads the normed input once for all of them. */
static fr_status load_matrices(const loader *l, const fr_arch *arch)
{
    const fr_stack *up = arch->gated ? &FR_STACK_GATE_UP : &FR_STACK_UP;
    FR_TRY(load_matrix(l, &FR_STACK_QKV, &l->layer->qkv));
    FR_TRY(load_matrix(l, &FR_STACK_O, &l->layer->o));
    FR_TRY(load_matrix(l, up, &l->layer->up));
    return load_matrix(l, &FR_STACK_DOWN, &l->layer->down);
}

static fr_status load_vectors(const loader *l, const fr_arch *arch)
{
    static const fr_weight QKV[] = {FR_W_Q_BIAS, FR_W_K_BIAS, FR_W_V_BIAS};
    static const fr_weight GATE_UP[] = {FR_W_GATE_BIAS, FR_W_UP_BIAS};
    fr_layer *layer = l->layer;
    int64_t width = arch->d_model;
    int64_t kv = fr_arch_kv_width(arch);
    const int64_t qkv_lengths[] = {fr_arch_q_width(arch), kv, kv};
    const int64_t up_lengths[] = {arch->d_ff, arch->d_ff};
    bool gated = arch->gated;
    FR_TRY(load_vector(l, QKV, qkv_lengths, 3, &layer->qkv_bias));
    /* GPT-2 has the second of the two roles alone */
    FR_TRY(load_vector(l, gated ? GATE_UP : GATE_UP + 1, up_lengths, gated ? 2 : 1,
                       &layer->up_bias));
    FR_TRY(load_one_vector(l, FR_W_O_BIAS, width, &layer->o_bias));
    return load_one_vector(l, FR_W_DOWN_BIAS, width, &layer->down_bias);
}

static fr_status load_norms(const loader *l, const fr_arch *arch)
{
    fr_layer *layer = l->layer;
    FR_TRY(load_norm(l, FR_W_ATTN_NORM, FR_W_ATTN_NORM_BIAS, &layer->attn_norm));
    FR_TRY(load_norm(l, FR_W_ATTN_POST_NORM, FR_W_COUNT, &layer->attn_post_norm));
    FR_TRY(load_norm(l, FR_W_MLP_NORM, FR_W_MLP_NORM_BIAS, &layer->mlp_norm));
    FR_TRY(load_norm(l, FR_W_MLP_POST_NORM, FR_W_COUNT, &layer->mlp_post_norm));
    FR_TRY(load_one_vector(l, FR_W_Q_NORM, fr_arch_q_norm_width(arch), &layer->q_norm));
    return load_one_vector(l, FR_W_K_NORM, fr_arch_k_norm_width(arch), &layer->k_norm);
}

fr_status fr_layer_load(fr_constants *constants, fr_frozen *frozen, int64_t index,
                        bool bring, fr_layer *out)
{
    const fr_arch *arch = fr_weights_arch(constants->weights);
    loader l = {constants, frozen, index, bring, out};
    *out = (fr_layer){.window = fr_arch_window(arch, index)};
    FR_TRY(load_matrices(&l, arch));
    FR_TRY(load_vectors(&l, arch));
    return load_norms(&l, arch);
}
