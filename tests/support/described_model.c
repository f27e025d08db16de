#include "support/described_model.h"

#include "base/mem.h"
#include "base/rng.h"
#include "device/cpu/quant_kernels.h"
#include "model/weights/weights_impl.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One of n, from the description's number and the feature's. */
static int64_t draw(uint64_t number, int feature, int64_t n)
{
    return (int64_t)(fr_rng_u64(number, FR_RNG_TEST, 77, (uint64_t)feature) %
                     (uint64_t)n);
}

static void draw_norms(uint64_t number, fr_arch *a)
{
    /* before, after, or both */
    int64_t attn = 1 + draw(number, 0, 3);
    int64_t mlp = 1 + draw(number, 1, 3);
    a->norm = draw(number, 2, 2) == 0 ? FR_NORM_RMS : FR_NORM_LAYER;
    a->attn_norm = attn != 2;
    a->mlp_norm = mlp != 2;
    a->attn_post_norm = attn != 1;
    a->mlp_post_norm = mlp != 1;
    a->embedding_norm = draw(number, 3, 4) == 0;
    a->qk_norm = (fr_qk_norm)draw(number, 4, 3);
}

static void draw_feed_forward(uint64_t number, fr_arch *a)
{
    a->parallel = draw(number, 5, 3) == 0;
    a->gated = draw(number, 6, 2) == 0;
    a->activation = (fr_activation)draw(number, 7, FR_ACTIVATIONS);
    a->qkv_bias = draw(number, 8, 2) == 0;
    a->o_bias = draw(number, 9, 2) == 0;
    a->mlp_bias = draw(number, 10, 2) == 0;
    a->tied_head = draw(number, 11, 2) == 0;
}

static fr_rotation draw_rotation(uint64_t number, int feature, int64_t rotary)
{
    fr_rotation rotation = fr_rotation_plain(20.0, rotary);
    if (draw(number, feature, 2) == 0) {
        rotation.scale = 1.25;
        rotation.long_from = draw(number, feature + 1, 2) == 0 ? 40 : 0;
        for (int i = 0; i < rotary / 2; i++) {
            rotation.divisors[i] = 1.0 + 0.5 * i;
            rotation.long_divisors[i] = 3.0 + i;
        }
    }
    return rotation;
}

static void draw_positions(uint64_t number, fr_arch *a)
{
    static const uint8_t LAYERS[][3] = {
        {0, 0, 0},
        {FR_LAYER_WINDOW, FR_LAYER_WINDOW, FR_LAYER_WINDOW},
        {FR_LAYER_WINDOW | FR_LAYER_LOCAL_ROTATION, 0, FR_LAYER_WINDOW},
        {FR_LAYER_NO_ROTATION, FR_LAYER_WINDOW, FR_LAYER_LOCAL_ROTATION}};
    static const fr_positions POSITIONS[] = {FR_POSITIONS_ROPE, FR_POSITIONS_ROPE,
                                             FR_POSITIONS_LEARNED, FR_POSITIONS_ALIBI};
    a->positions = POSITIONS[draw(number, 12, 4)];
    a->rotation = draw_rotation(number, 13, draw(number, 15, 2) == 0 ? a->head_dim : 4);
    a->local_rotation = draw_rotation(number, 16, a->head_dim);
    a->local_rotation.theta = 7.0;
    a->window = 3 + draw(number, 18, 3);
    memcpy(a->layers, LAYERS[draw(number, 19, 4)], 3);
}

static void draw_scales(uint64_t number, fr_arch *a)
{
    a->embedding_scale = draw(number, 20, 2) == 0 ? 1.0 : 3.0;
    a->residual_scale = draw(number, 21, 2) == 0 ? 1.0 : 0.5;
    a->attention_scale = draw(number, 22, 2) == 0 ? 0.0 : 0.7;
    a->attention_cap = draw(number, 23, 2) == 0 ? 0.0 : 1.5;
    a->logit_scale = draw(number, 24, 2) == 0 ? 1.0 : 0.75;
    a->logit_cap = draw(number, 25, 2) == 0 ? 0.0 : 2.0;
}

fr_arch fr_described_arch(uint64_t number)
{
    fr_arch a = fr_arch_plain();
    a.family = "described";
    a.n_layers = 3;
    a.d_model = 12;
    a.d_ff = 20;
    a.n_heads = draw(number, 26, 2) == 0 ? 4 : 6;
    a.n_kv_heads = a.n_heads / (1 + draw(number, 27, 2));
    a.head_dim = 6;
    a.vocab_size = 23;
    a.context_length = 64;
    draw_norms(number, &a);
    draw_feed_forward(number, &a);
    draw_positions(number, &a);
    draw_scales(number, &a);
    return a;
}

const char *fr_described_name(const fr_arch *a)
{
    static char text[256];
    (void)snprintf(
        text, sizeof text,
        "norm %d at %d%d%d%d embedding %d qk %d, parallel %d, gated %d of %d, biases "
        "%d%d%d, positions %d rotary %d layers %d %d %d, scales %g %g %g %g, caps %g "
        "%g",
        (int)a->norm, a->attn_norm, a->attn_post_norm, a->mlp_norm, a->mlp_post_norm,
        a->embedding_norm, (int)a->qk_norm, a->parallel, a->gated, (int)a->activation,
        a->qkv_bias, a->o_bias, a->mlp_bias, (int)a->positions, (int)a->rotation.rotary,
        a->layers[0], a->layers[1], a->layers[2], a->embedding_scale, a->residual_scale,
        a->attention_scale, a->logit_scale, a->attention_cap, a->logit_cap);
    return text;
}

/* Whether a model of this description has the weight. */
static bool has_role(const fr_arch *a, fr_weight role)
{
    /* models without biases have none in their norms either */
    bool layer = a->norm == FR_NORM_LAYER && (a->qkv_bias || a->o_bias || a->mlp_bias);
    bool qk = a->qk_norm != FR_QK_NORM_NONE;
    const bool lacks[FR_W_COUNT] = {[FR_W_POSITIONS] =
                                        a->positions != FR_POSITIONS_LEARNED,
                                    [FR_W_EMBEDDING_NORM] = !a->embedding_norm,
                                    [FR_W_EMBEDDING_NORM_BIAS] = !a->embedding_norm,
                                    [FR_W_FINAL_NORM_BIAS] = !layer,
                                    [FR_W_ATTN_NORM] = !a->attn_norm,
                                    [FR_W_ATTN_NORM_BIAS] = !(a->attn_norm && layer),
                                    [FR_W_Q_BIAS] = !a->qkv_bias,
                                    [FR_W_K_BIAS] = !a->qkv_bias,
                                    [FR_W_V_BIAS] = !a->qkv_bias,
                                    [FR_W_Q_NORM] = !qk,
                                    [FR_W_K_NORM] = !qk,
                                    [FR_W_O_BIAS] = !a->o_bias,
                                    [FR_W_ATTN_POST_NORM] = !a->attn_post_norm,
                                    [FR_W_MLP_NORM] = !a->mlp_norm,
                                    [FR_W_MLP_NORM_BIAS] = !(a->mlp_norm && layer),
                                    [FR_W_GATE] = !a->gated,
                                    [FR_W_GATE_BIAS] = !(a->gated && a->mlp_bias),
                                    [FR_W_UP_BIAS] = !a->mlp_bias,
                                    [FR_W_DOWN_BIAS] = !a->mlp_bias,
                                    [FR_W_MLP_POST_NORM] = !a->mlp_post_norm};
    return !lacks[role];
}

static bool is_norm(fr_weight role)
{
    return role == FR_W_EMBEDDING_NORM || role == FR_W_FINAL_NORM ||
           role == FR_W_ATTN_NORM || role == FR_W_Q_NORM || role == FR_W_K_NORM ||
           role == FR_W_ATTN_POST_NORM || role == FR_W_MLP_NORM ||
           role == FR_W_MLP_POST_NORM;
}

/* Columns 0: a vector. */
static void shape_of(const fr_arch *a, fr_weight role, int64_t *rows, int64_t *columns)
{
    int64_t d = a->d_model;
    int64_t q = fr_arch_q_width(a);
    int64_t kv = fr_arch_kv_width(a);
    bool whole = a->qk_norm == FR_QK_NORM_WHOLE;
    const int64_t shapes[FR_W_COUNT][2] = {
        [FR_W_TOKENS] = {a->vocab_size, d},
        [FR_W_POSITIONS] = {a->context_length, d},
        [FR_W_HEAD] = {a->vocab_size, d},
        [FR_W_Q] = {q, d},
        [FR_W_K] = {kv, d},
        [FR_W_V] = {kv, d},
        [FR_W_O] = {d, q},
        [FR_W_GATE] = {a->d_ff, d},
        [FR_W_UP] = {a->d_ff, d},
        [FR_W_DOWN] = {d, a->d_ff},
        [FR_W_Q_BIAS] = {q, 0},
        [FR_W_K_BIAS] = {kv, 0},
        [FR_W_V_BIAS] = {kv, 0},
        [FR_W_Q_NORM] = {whole ? q : a->head_dim, 0},
        [FR_W_K_NORM] = {whole ? kv : a->head_dim, 0},
        [FR_W_GATE_BIAS] = {a->d_ff, 0},
        [FR_W_UP_BIAS] = {a->d_ff, 0}};
    *rows = shapes[role][0] > 0 ? shapes[role][0] : d;
    *columns = shapes[role][1];
}

/* Products keep the size of what they take; norms are near 1, biases small. */
static void fill(fr_weight role, int64_t layer, int64_t n, int64_t columns, float *out)
{
    double scale = columns > 0 ? 1.2 / sqrt((double)columns) : 0.2;
    uint64_t stream = 1000 + (uint64_t)(layer * FR_W_COUNT + (int64_t)role);
    if (role == FR_W_TOKENS || role == FR_W_POSITIONS) {
        scale = 0.7;
    }
    for (int64_t i = 0; i < n; i++) {
        double x = fr_rng_normal(3, FR_RNG_TEST, stream, (uint64_t)i);
        out[i] = (float)(is_norm(role) ? 1.0 + 0.3 * x : scale * x);
    }
}

/* Give the role its binding and, at *next, its numbers; with `weights` NULL only count them. */
static void add(fr_weights *weights, const fr_arch *arch, fr_weight role, int64_t layer,
                float **next, int64_t *count)
{
    int64_t rows = 0;
    int64_t columns = 0;
    if (!has_role(arch, role) || (role == FR_W_HEAD && arch->tied_head)) {
        return;
    }
    shape_of(arch, role, &rows, &columns);
    int64_t n = rows * (columns > 0 ? columns : 1);
    *count += n;
    if (weights == NULL) {
        return;
    }
    fr_source *source = &weights->sources[weights->n_sources++];
    *source = (fr_source){.type_name = "F32",
                          .type = fr_quant_find(FR_QUANT_F32),
                          .n_dims = columns > 0 ? 2 : 1,
                          .shape = {rows, columns},
                          .data = (const uint8_t *)*next,
                          .bytes = (size_t)n * sizeof(float)};
    *fr_weights_binding(weights, role, layer) =
        (fr_weight_binding){.source = source,
                            .is_vector = columns == 0,
                            .n_out = rows,
                            .n_in = columns > 0 ? columns : 1};
    fill(role, layer, n, columns, *next);
    *next += n;
}

static int64_t add_all(fr_weights *weights, const fr_arch *arch, float *memory)
{
    int64_t count = 0;
    for (int64_t layer = 0; layer < arch->n_layers; layer++) {
        for (int role = 0; role < FR_W_COUNT; role++) {
            if (layer == 0 || role >= FR_W_ATTN_NORM) {
                add(weights, arch, (fr_weight)role, layer, &memory, &count);
            }
        }
    }
    return count;
}

fr_weights *fr_described_weights(const fr_arch *arch, float **memory)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_weights *weights = NULL;
    int64_t most = FR_W_COUNT * (arch->n_layers + 1);
    FR_ASSERT_OK(fr_arch_check(ctx, "a description", arch));
    FR_ASSERT_OK(fr_alloc(ctx, 1, sizeof *weights, &weights));
    FR_ASSERT_OK(fr_alloc(ctx, most, sizeof *weights->sources, &weights->sources));
    FR_ASSERT_OK(fr_alloc(ctx, most, sizeof *weights->bindings, &weights->bindings));
    FR_ASSERT_OK(fr_alloc(ctx, add_all(NULL, arch, NULL), sizeof **memory, memory));
    FR_ASSERT_OK(fr_copy_string(ctx, "a described model", &weights->path));
    weights->kernels = fr_quant_kernels_select(fr_isa_detect());
    weights->arch = *arch;
    (void)add_all(weights, arch, *memory);
    if (arch->tied_head) {
        *fr_weights_binding(weights, FR_W_HEAD, 0) =
            *fr_weights_binding(weights, FR_W_TOKENS, 0);
    }
    return weights;
}

const float *fr_described_weight(const fr_weights *weights, fr_weight role,
                                 int64_t layer)
{
    const fr_source *source = fr_weights_binding(weights, role, layer)->source;
    return source != NULL ? (const float *)(const void *)source->data : NULL;
}
