/*
 * mlp_state.h - the arrays of a reparametrised prefix: its initial value, the tensors of the MLP, their moments.
 *
 * reparam.h has the formulas. This header is what it, the checkpoint and the gathering of layers share. Shapes: P slots, G key/value heads, K head width, N = 2 G K (the keys of a slot, then its values),
 * M hidden units, D width of a slot's embedding.
 */
#ifndef FR_TRAIN_CHECKPOINT_MLP_STATE_H
#define FR_TRAIN_CHECKPOINT_MLP_STATE_H

#include "base/ctx.h"

#include <stdint.h>

typedef struct fr_mlp_shape {
    int64_t length;     /* P */
    int64_t n_kv_heads; /* G */
    int64_t head_dim;   /* K */
    int64_t hidden;     /* M */
    int64_t width;      /* D */
} fr_mlp_shape;

/** The trained tensors. The first two belong to a layer, the others are shared by all layers. */
typedef enum fr_mlp_tensor {
    FR_MLP_W2, /* [N, M] a layer */
    FR_MLP_B2, /* [N] a layer */
    FR_MLP_E,  /* [P, D] */
    FR_MLP_W1, /* [M, D] */
    FR_MLP_B1, /* [M] */
    FR_MLP_TENSORS
} fr_mlp_tensor;

/** All arrays: keys and values of P0, [P, G, K] per layer, then value, first and second moment of each tensor. */
enum { FR_MLP_P0_K, FR_MLP_P0_V, FR_MLP_FIRST_TENSOR, FR_MLP_ARRAYS = 17 };

/** The arrays of some layers: [layers][array of one layer], or one array if it is shared. */
typedef struct fr_mlp_state {
    fr_mlp_shape shape;
    int64_t n_layers;
    float *arrays[FR_MLP_ARRAYS]; /* all NULL: there is no MLP */
} fr_mlp_state;

/** Description of one array. */
typedef struct fr_mlp_array {
    char name[8]; /* in a file: p0_k, w2, m_w2, s_w2, ... */
    bool shared;
    int rank;
    int64_t shape[3];
    int64_t floats; /* of one layer, or of the shared array */
} fr_mlp_array;

/** Describe array number `array`. fr_mlp_floats must accept the shape. */
fr_mlp_array fr_mlp_describe(const fr_mlp_shape *shape, int array);

/** Number of floats of all arrays of n_layers layers. n_layers may be 0; false if another size is below 1 or one is too
 * large. */
bool fr_mlp_floats(const fr_mlp_shape *shape, int64_t n_layers, int64_t *out);

/** Allocate all arrays, zeroed. FR_ERR_SHAPE if fr_mlp_floats refuses the shape. Call fr_mlp_fini also after a failure. */
FR_MUST_CHECK fr_status fr_mlp_init(fr_ctx *ctx, const fr_mlp_shape *shape,
                                    int64_t n_layers, fr_mlp_state *out);
void fr_mlp_fini(fr_mlp_state *state);

/** Whether there is an MLP. */
bool fr_mlp_is_there(const fr_mlp_state *state);

bool fr_mlp_same_shape(const fr_mlp_shape *a, const fr_mlp_shape *b);

/** A tensor (moment 0), its first (1) or its second moment (2). */
float *fr_mlp_values(const fr_mlp_state *state, fr_mlp_tensor tensor, int moment);

#endif
