/*
 * stage_bytes.h - what a stage holds in memory, by formula, from the model's shape alone.
 *
 * Pure functions, exact up to the padding of each allocation; the tests hold them
 * against real stages.
 */
#ifndef FR_MODEL_NETWORK_STAGE_BYTES_H
#define FR_MODEL_NETWORK_STAGE_BYTES_H

#include "device/scratch.h"
#include "model/recompute.h"
#include "model/weights/weights.h"

typedef struct fr_stage_shape {
    const fr_arch *arch; /* borrowed */
    fr_dtype dtype;      /* of matrices and of what is kept */
    fr_dtype work;       /* of what operators pass to each other (fr_device_work) */
    int64_t first_layer;
    int64_t n_layers;
    int64_t max_position; /* as in fr_stage_params */
    const fr_weights
        *in_file; /* NULL, or matrices stay in this model's file (borrowed) */
    fr_recompute recompute;
    int64_t offload; /* layers whose matrices stay on the host (offload.h) */
} fr_stage_shape;

/** Frozen weights, of layers that stay on the host the slots alone: matrices in dtype or as in the file, vectors and tables in f32; with the embedding on the first stage and the
 * vocabulary on the last (once where both are one and tied). */
int64_t fr_stage_weight_bytes(const fr_stage_shape *shape);

/** The layers that stay on the host, there. */
int64_t fr_stage_offload_bytes(const fr_stage_shape *shape);

/** What the ranks of a node share of them while they load: the matrices of all layers, with embedding and vocabulary. */
int64_t fr_stage_matrix_bytes(const fr_stage_shape *shape);

/** Scratch for rows read from the file, at most: the largest slice of a product's matrix (FR_SLICE_BYTES); 0 where
 * matrices are converted once. */
int64_t fr_stage_reading_bytes(const fr_stage_shape *shape);

/** The largest passes of a stage. */
typedef struct fr_stage_calls {
    int64_t n_tokens;
    int64_t n_units;
    int64_t length;    /* of a prefix */
    int64_t n_targets; /* predictions of a pass */
    int64_t n_sampled; /* rows that a token is drawn for at a time; 0: none */
} fr_stage_calls;

/** What the operators of a device take for themselves in such passes; without `scratch`, fr_stage_reading_bytes.
 * @param scratch  of the device's facts (device/kinds.h); NULL: none */
int64_t fr_stage_scratch_bytes(const fr_stage_shape *shape, const fr_stage_calls *calls,
                               fr_scratch_function *scratch);

/** The head's scratch for batches with n_targets predictions; 0 but on the last stage. */
int64_t fr_stage_head_bytes(const fr_stage_shape *shape, int64_t n_targets);

/** Scratch that the layers share for microbatches of n_tokens rows. */
int64_t fr_stage_workspace_bytes(const fr_stage_shape *shape, int64_t n_tokens);

/** Scratch for the prefix gradients of n_units units with a prefix of `length` slots. */
int64_t fr_stage_gradient_bytes(const fr_stage_shape *shape, int64_t n_units,
                                int64_t length);

/** Activations of one microbatch: with `keep` n (8D + 4Q + 4KV + 4F + 4H + 16) a token in bf16 for n layers of a Llama (fr_saved; less 4F
 * with FR_RECOMPUTE_MLP, 4D alone with _LAYER) and 8D for the output and the gradient; without, 8D. Should every row be
 * read: of the model's last layer fewer may be used. */
int64_t fr_stage_activation_bytes(const fr_stage_shape *shape, int64_t n_tokens,
                                  bool keep);

#endif
