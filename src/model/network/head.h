/*
 * head.h - final norm, vocabulary projection at target rows only, fused with the loss, in chunks.
 */
#ifndef FR_MODEL_NETWORK_HEAD_H
#define FR_MODEL_NETWORK_HEAD_H

#include "device/matrix.h"
#include "model/network/layer.h"

/** Enough rows to keep the matrix product at its full rate, few enough that [rows, V] stays small. */
enum { FR_HEAD_CHUNK_ROWS = 128 };

/** Rows projected at a time. */
int64_t fr_head_chunk(int64_t n_targets);

typedef struct fr_head {
    fr_ctx *ctx;          /* borrowed */
    fr_matrix vocabulary; /* [V, D], what is behind it is borrowed */
    fr_norm_weights norm; /* borrowed, as the vocabulary is */
    fr_device *device;    /* borrowed; of the scratch */
    /* rows that the scratch below has room for: those of a chunk, or fewer where no batch had as many */
    int64_t capacity;
    fr_f32 *x;          /* [capacity, D] */
    fr_f32 *h;          /* [capacity, D] */
    fr_f32 *dx;         /* [capacity, D] */
    fr_f32 *statistics; /* [capacity, 2] */
    fr_f32 *logits;     /* [capacity, V] */
} fr_head;

/** @param constants  gets the norm   @param vocabulary  [V, D]; both live as long as the head */
FR_MUST_CHECK fr_status fr_head_load(fr_constants *constants,
                                     const fr_matrix *vocabulary, fr_head *out);
void fr_head_fini(fr_head *head);

/**
 * nll_R of the batch's targets from the hidden states x_SD of the rows that are read; with dx_SD not NULL also
 * adds d (sum of nll) / dx to it, target by target in their order.
 * @return FR_OK; FR_ERR_DATA if a target's id is not known or outside the vocabulary; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_head_loss(const fr_layer_context *context, fr_head *head,
                                     const fr_batch *batch, const fr_f32 *x_SD,
                                     fr_f64 *nll_R, fr_f32 *dx_SD);

/** Logits of n rows of x, by fr_linear_few, scaled and capped as the model's are. */
FR_MUST_CHECK fr_status fr_head_logits(const fr_layer_context *context, fr_head *head,
                                       int64_t n, const fr_f32 *x_TD,
                                       const int32_t *rows_N, fr_f32 *logits_NV);

#endif
