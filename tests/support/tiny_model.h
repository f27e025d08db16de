/*
 * tiny_model.h - a whole model on one rank for tests, and what is measured on it. Its device may be of any kind: the test's
 * list of devices decides (device_memory.h).
 */
#ifndef FR_TESTS_TINY_MODEL_H
#define FR_TESTS_TINY_MODEL_H

#include "device/image.h"
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

/** Nats of each target of the batch, whose forward pass fr_tiny_loss has made. */
void fr_tiny_nats(fr_tiny *tiny, double *nll);

/** A prefix of random numbers, K then V in one array of 2 n, with its image in the device; it has room for all layers. Closed
 * before the model. */
typedef struct fr_tiny_prefix {
    fr_device *device; /* borrowed */
    int64_t n;
    float *values;
    fr_image image;
    fr_stage_prefix view;
} fr_tiny_prefix;
fr_tiny_prefix fr_tiny_random_prefix(const fr_tiny *tiny, int64_t length,
                                     fr_layer_range layers);
/** The model sees the values as they are now. */
void fr_tiny_prefix_put(fr_tiny_prefix *prefix);
void fr_tiny_prefix_close(fr_tiny_prefix *prefix);

/** Path of SmolLM2-135M-Instruct (FORERUN_MODEL, else models/ of the source tree); NULL if it is not there. */
const char *fr_real_model(void);

#endif
