/*
 * tiny_model.h - a whole model on one rank for tests, and what is measured on it.
 */
#ifndef FR_TESTS_TINY_MODEL_H
#define FR_TESTS_TINY_MODEL_H

#include "model/network/stage.h"

/** A model in one stage with everything to run a batch; owned. */
typedef struct fr_tiny {
    fr_weights *weights;
    fr_device *device;
    fr_stage *stage;
    fr_activations *activations;
    fr_batch batch;
    const fr_arch *arch;
} fr_tiny;

/** Open a model file or folder; fails the test otherwise. */
void fr_tiny_open(const char *path, fr_dtype dtype, int64_t max_position, fr_tiny *out);
/** The same; with `in_file` its weights stay in the file. */
void fr_tiny_open_held(const char *path, fr_dtype dtype, bool in_file,
                       int64_t max_position, fr_tiny *out);
/** The same with a stage that keeps less. */
void fr_tiny_open_lean(const char *path, fr_dtype dtype, fr_recompute recompute,
                       fr_tiny *out);
void fr_tiny_close(fr_tiny *tiny);

/** Sum of nats of the batch under a prefix; with gradients (K then V, [2 layers*P*G*K], f64) unless NULL. */
double fr_tiny_loss(fr_tiny *tiny, const fr_stage_prefix *prefix, double *gradient);

/** Empty the batch and add one unit whose first token is the source and whose rest is the target. */
void fr_tiny_one_row(fr_tiny *tiny, int64_t prefix_length, const int32_t *ids,
                     int64_t n);

/** A prefix of random numbers, K then V in one array of 2 n that the caller frees; it has room for all layers. */
typedef struct fr_tiny_prefix {
    int64_t n;
    float *values;
    fr_stage_prefix view;
} fr_tiny_prefix;
fr_tiny_prefix fr_tiny_random_prefix(const fr_arch *arch, int64_t length,
                                     fr_layer_range layers);

/** Path of SmolLM2-135M-Instruct (FORERUN_MODEL, else models/ of the source tree); NULL if it is not there. */
const char *fr_real_model(void);

#endif
