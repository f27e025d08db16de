/*
 * head.h - final norm, vocabulary projection at target rows only, fused with the loss, in chunks.
 *
 * Layer L3; uses device, weights.
 */
#ifndef FR_MODEL_HEAD_H
#define FR_MODEL_HEAD_H

#include "model/layer.h"

/** Enough rows to keep the matrix product at its full rate, few enough that [rows, V] stays small. */
enum { FR_HEAD_CHUNK_ROWS = 128 };

typedef struct fr_head {
    fr_matrix
        vocabulary;   /* [V, D], owned unless it is the embedding of the same stage */
    float *norm;      /* [D] */
    float *norm_bias; /* [D] or NULL */
    void *owned;
    int64_t chunk_rows; /* rows projected at a time */
    float *x;           /* [chunk, D] */
    float *h;           /* [chunk, D] */
    float *dx;          /* [chunk, D] */
    float *statistics;  /* [chunk, 2] */
    float *logits;      /* [chunk, V] */
} fr_head;

/** @param shared_embedding  the token embedding of this rank if the head is tied and it is here, else NULL */
FR_MUST_CHECK fr_status fr_head_load(fr_ctx *ctx, const fr_holding *holding,
                                     const fr_matrix *shared_embedding, fr_head *out);
void fr_head_fini(fr_head *head);

/**
 * nll_R of the batch's targets from the hidden states x_TD; with dx_TD not NULL also adds
 * d (sum of nll) / dx to it, target by target in their order.
 */
FR_MUST_CHECK fr_status fr_head_loss(const fr_layer_context *context, fr_head *head,
                                     const fr_batch *batch, const float *x_TD,
                                     double *nll_R, float *dx_TD);

/** Logits of n rows of x, by fr_linear_few. */
FR_MUST_CHECK fr_status fr_head_logits(const fr_layer_context *context, fr_head *head,
                                       int64_t n, const float *x_TD,
                                       const int32_t *rows_N, float *logits_NV);

#endif
