/*
 * reparam.h - the reparametrised prefix (Li & Liang 2021, section 4.3) added to a fixed initial prefix P0:
 *
 *   H   = tanh(E W1^T + b1)           [P, M]   E [P, D], W1 [M, D], b1 [M]: the same on every rank
 *   P_l = P0_l + H W2_l^T + b2_l      [P, N]   W2_l [N, M], b2_l [N]: with their layer
 *
 * mlp_state.h explains the letters; users meet this as `prefix.mlp`. P0 is what the prefix's init gives, and it stays.
 * W2 = b2 = 0 at the start, so the first step sees P0, bit for bit, whatever the init. E is standard normal and W1
 * normal with variance 1/D: the inputs of tanh then have variance 1 for any D, where tanh is neither linear nor flat.
 *
 * One handle a task and rank, for the layers of its stage. Owned by one thread. The same bits on every layout
 * and with any threads: products are the device's, other sums run in a fixed order, and what the layers
 * contribute to dH is added as integers. No allocation after fr_reparam_create.
 */
#ifndef FR_TRAIN_STEP_REPARAM_H
#define FR_TRAIN_STEP_REPARAM_H

#include "device/device.h"
#include "train/checkpoint/checkpoint.h"
#include "train/config/config.h"

typedef struct fr_reparam fr_reparam;

typedef struct fr_reparam_params {
    fr_device *device;            /* borrowed */
    const fr_task_config *config; /* borrowed */
    fr_mlp_shape shape;
    int64_t n_layers;     /* of this rank's stage */
    int64_t n_all_layers; /* of the base */
} fr_reparam_params;

/** Bytes of all arrays that fr_reparam_create makes; 0 for a shape that fr_mlp_floats refuses. */
int64_t fr_reparam_bytes(const fr_mlp_shape *shape, int64_t n_layers);

/** All tensors and moments are zero: follow with fr_reparam_start, or fill the state and fr_reparam_hidden. */
FR_MUST_CHECK fr_status fr_reparam_create(fr_ctx *ctx, const fr_reparam_params *params,
                                          fr_reparam **out);
void fr_reparam_destroy(fr_reparam **reparam);

/** Draw E and W1 (a function of the task's seed alone), take `start` (k and v of the local layers) as P0. */
FR_MUST_CHECK fr_status fr_reparam_start(fr_reparam *reparam,
                                         const fr_prefix_state *start);

/** The tensors and moments, for saving and restoring. */
fr_mlp_state *fr_reparam_state(fr_reparam *reparam);

/** Compute H from E, W1 and b1: after these were restored. */
FR_MUST_CHECK fr_status fr_reparam_hidden(fr_reparam *reparam);

/** Write P into k and v of `prefix` (local layers); with prefix.freeze_first, slot 0 is left alone. */
FR_MUST_CHECK fr_status fr_reparam_apply(const fr_reparam *reparam,
                                         const fr_prefix_state *prefix);

/**
 * Turn dP into the gradients of all tensors, in three parts. Between them the caller runs two reductions over the stages
 * of the pipeline, so that it can do something else while they are under way:
 *
 *   dW2_l = dP_l^T H;  db2_l = column sums of dP_l;  dH = sum over l of dP_l W2_l
 *   dZ = dH (1 - H^2);  dW1 = dZ^T E;  db1 = column sums of dZ;  dE = dZ W1
 *
 * dH is an integer sum over all layers of all stages. Its exponent is chosen from the largest contribution, which the
 * stages find first: small contributions are not lost, and the result does not depend on how the layers are split among
 * the stages. Replicas that bring the same
 * dP leave with the same gradients. FR_ERR_NO_MEMORY, FR_ERR_INTERNAL.
 *
 * 1. The local layers. @param dprefix  [2][local layers, P, G, K], K then V; zero where a slot is frozen
 *    @param[out] largest  to be maximised over the pipeline
 */
FR_MUST_CHECK fr_status fr_reparam_contribute(fr_reparam *reparam, const float *dprefix,
                                              int64_t *largest);
/** 2. @param largest  of all stages  @param[out] sum  [*n] to be added up over the pipeline, borrowed */
void fr_reparam_scale(fr_reparam *reparam, int64_t largest, int64_t **sum, int64_t *n);
/** 3. @param n_nonfinite  raised, alike on all ranks, if a contribution is not finite or not below FR_EXACT_LIMIT, or
 *    if the shared gradient is not finite; the gradients must then not be used */
FR_MUST_CHECK fr_status fr_reparam_complete(fr_reparam *reparam, int64_t *n_nonfinite);

/** Gradient of a tensor after fr_reparam_complete, shaped like its values. */
const float *fr_reparam_gradient(const fr_reparam *reparam, fr_mlp_tensor tensor);

/** Squared norm of the gradient of a local layer's tensors, and of the shared ones. */
double fr_reparam_layer_norm(const fr_reparam *reparam, int64_t layer);
double fr_reparam_shared_norm(const fr_reparam *reparam);

/** Update all tensors by the task's optimizer (see fr_optimizer_update), then H, then `prefix`. */
FR_MUST_CHECK fr_status fr_reparam_update(fr_reparam *reparam, int64_t step,
                                          double learning_rate, double scale,
                                          const fr_prefix_state *prefix);

#endif
