/*
 * described_model.h - models of a few kilobytes with any combination of features, from a description alone: random weights in
 * memory, without files. And the loss of such a model in f64, by the formulas of model/arch.h written down plainly.
 */
#ifndef FR_TESTS_DESCRIBED_MODEL_H
#define FR_TESTS_DESCRIBED_MODEL_H

#include "model/network/stage.h"

/** Description number `number`: features drawn at random, so that every pair of them occurs among a few dozen. Valid by
 * fr_arch_check. Three layers, whose windows and rotations differ. */
fr_arch fr_described_arch(uint64_t number);

/** A line that tells which features it has, for messages; static. */
const char *fr_described_name(const fr_arch *arch);

/** Random weights for a description. The caller ends them with fr_weights_close, then frees *memory. */
fr_weights *fr_described_weights(const fr_arch *arch, float **memory);

/** The weight in f32, NULL: the model lacks it. */
const float *fr_described_weight(const fr_weights *weights, fr_weight role,
                                 int64_t layer);

/** A row of tokens behind a prefix, for fr_reference_loss. */
typedef struct fr_reference_row {
    const int32_t *ids;
    int64_t n;
    int64_t length; /* of the prefix; its layout as in fr_stage_prefix */
    const double *k;
    const double *v;
    fr_layer_range layers;
    bool slides;
    bool is_long; /* rotations turn by their long divisors */
} fr_reference_row;

/** Nats of the row's tokens but the first, given those before them, in f64. */
double fr_reference_loss(const fr_weights *weights, const fr_reference_row *row);

#endif
