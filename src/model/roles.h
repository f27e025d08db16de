/*
 * roles.h - what a model's weights are for, whatever a file calls them.
 */
#ifndef FR_MODEL_ROLES_H
#define FR_MODEL_ROLES_H

/* Shapes as in device.h; Q = H*K, KV = G*K. The roles of layers begin with FR_W_ATTN_NORM. A model lacks those that its
 * description has no use for. */
typedef enum fr_weight {
    FR_W_TOKENS,         /* [V, D] */
    FR_W_POSITIONS,      /* [context, D] */
    FR_W_EMBEDDING_NORM, /* [D] */
    FR_W_EMBEDDING_NORM_BIAS,
    FR_W_FINAL_NORM, /* [D] */
    FR_W_FINAL_NORM_BIAS,
    FR_W_HEAD,      /* [V, D]; tied: reads the token embedding */
    FR_W_ATTN_NORM, /* [D] */
    FR_W_ATTN_NORM_BIAS,
    FR_W_Q, /* [Q, D] */
    FR_W_Q_BIAS,
    FR_W_K, /* [KV, D] */
    FR_W_K_BIAS,
    FR_W_V, /* [KV, D] */
    FR_W_V_BIAS,
    FR_W_Q_NORM, /* [K], or [Q] of all heads together */
    FR_W_K_NORM, /* [K], or [KV] */
    FR_W_O,      /* [D, Q] */
    FR_W_O_BIAS,
    FR_W_ATTN_POST_NORM, /* [D] */
    FR_W_MLP_NORM,       /* [D] */
    FR_W_MLP_NORM_BIAS,
    FR_W_GATE, /* [F, D] */
    FR_W_GATE_BIAS,
    FR_W_UP, /* [F, D] */
    FR_W_UP_BIAS,
    FR_W_DOWN, /* [D, F] */
    FR_W_DOWN_BIAS,
    FR_W_MLP_POST_NORM, /* [D] */
    FR_W_COUNT
} fr_weight;

#endif
