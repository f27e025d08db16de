/*
 * frozen.h - the frozen matrices that the ranks of a node compute with, converted once for all of them or left in the
 * file.
 *
 * It holds all that any rank of the node needs: matrices of layers, the token embedding and the head (one copy where
 * the two are tied). Where the node's memory cannot be shared, each rank holds its own part.
 */
#ifndef FR_MODEL_WEIGHTS_FROZEN_H
#define FR_MODEL_WEIGHTS_FROZEN_H

#include "comm/node.h"
#include "device/matrix.h"
#include "model/weights/weights.h"

typedef struct fr_frozen fr_frozen;

typedef struct fr_frozen_params {
    fr_holding
        holding; /* its weights must outlive the fr_frozen for what stays in the file */
    fr_group *node;      /* the ranks of this node; used during create only */
    int n_threads;       /* of this rank, for the conversion */
    int64_t first_layer; /* what this rank needs: these layers, */
    int64_t
        n_layers; /* and the embedding with the model's first, the head with its last */
    const char *proc; /* see node.h; NULL: "/proc" */
} fr_frozen_params;

/** Collective over the node, whose ranks divide the conversion among them. All ranks return the same status: FR_OK;
 * FR_ERR_NO_MEMORY; FR_ERR_COMM. */
FR_MUST_CHECK fr_status fr_frozen_create(fr_ctx *ctx, const fr_frozen_params *params,
                                         fr_frozen **out);
/** Free it. This is not collective. */
void fr_frozen_destroy(fr_frozen **frozen);

/** A stack that this rank needs, as a matrix for the device; `frozen` owns its memory. `layer` is -1 outside layers. */
fr_matrix fr_frozen_matrix(const fr_frozen *frozen, const fr_stack *stack,
                           int64_t layer);

#endif
