/*
 * reparam_case.h - small reparametrised prefixes with known numbers in every tensor.
 */
#ifndef FR_TESTS_REPARAM_CASE_H
#define FR_TESTS_REPARAM_CASE_H

#include "comm/group.h"
#include "train/step/reparam.h"

enum {
    FR_CASE_SLOTS = 5,
    FR_CASE_HEADS = 2,
    FR_CASE_WIDTH = 3, /* of a head */
    FR_CASE_HIDDEN = 9,
    FR_CASE_EMBEDDING = 7,
    FR_CASE_LAYER =
        FR_CASE_SLOTS * FR_CASE_HEADS * FR_CASE_WIDTH /* floats of K, and of V */
};

/** Layers [first, first + n) of a base of `all` layers. */
typedef struct fr_reparam_case {
    fr_task_config config;
    fr_device *device;      /* borrowed */
    fr_reparam *reparam;    /* owned */
    fr_prefix_state prefix; /* owned: k and v; what the reparam started from */
    int64_t n_layers;
} fr_reparam_case;

/** Start from random keys and values: fr_reparam_start has run with seed 11. AdamW, rate and so on by the caller. */
void fr_reparam_case_open(fr_device *device, int64_t first, int64_t n, int64_t all,
                          bool freeze_first, fr_reparam_case *out);
/** Fill W2, b2 and b1 (a function of the layer, wherever it lies) and compute the prefix from them. */
void fr_reparam_case_fill(int64_t first, fr_reparam_case *c);
void fr_reparam_case_close(fr_reparam_case *c);

/** dP of layers [first, first + n) as fr_reparam_contribute takes it; the caller frees. */
float *fr_reparam_case_gradient(int64_t first, int64_t n, double scale);

/** The three parts of the backward pass with their reductions over `pipeline`. */
FR_MUST_CHECK fr_status fr_reparam_backward(fr_reparam *reparam, fr_group *pipeline,
                                            const float *dprefix, int64_t *n_nonfinite);

#endif
