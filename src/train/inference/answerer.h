/*
 * answerer.h - what every command that answers needs of a base that is loaded: a generator, and which ids end an answer or are
 * never chosen. So all of them end answers alike.
 */
#ifndef FR_TRAIN_INFERENCE_ANSWERER_H
#define FR_TRAIN_INFERENCE_ANSWERER_H

#include "model/network/generate.h"
#include "train/inference/inference.h"

/** Zero-initialise it. */
typedef struct fr_answerer {
    fr_generator *generator;
    uint8_t *never_V;    /* ids that are not chosen; NULL: none */
    fr_generate_ids ids; /* of the inference and of this */
} fr_answerer;

/** After fr_inference_load, once. Not collective. Close it after a failure too. */
FR_MUST_CHECK fr_status fr_answerer_open(fr_inference *inference, fr_answerer *out);
/** Before the inference. */
void fr_answerer_close(fr_answerer *answerer);

#endif
