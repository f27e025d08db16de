/*
 * engine.h - run the microbatches of a plan through this rank's stage, forward and backward.
 *
 * Layer L4; uses comm, model, plan. One engine a rank, used by training, validation, evaluation and by
 * initialising a prefix from text. Owns the slots for microbatches in flight.
 */
#ifndef FR_TRAIN_ENGINE_H
#define FR_TRAIN_ENGINE_H

#include "comm/grid.h"
#include "model/stage.h"
#include "train/plan.h"

typedef struct fr_engine fr_engine;

typedef struct fr_engine_params {
    fr_grid *grid;   /* borrowed */
    fr_stage *stage; /* borrowed */
} fr_engine_params;

FR_MUST_CHECK fr_status fr_engine_create(fr_ctx *ctx, const fr_engine_params *params,
                                         fr_engine **out);
void fr_engine_destroy(fr_engine **engine);

/** First layer of this rank's stage. */
int64_t fr_engine_first_layer(const fr_engine *engine);

/** One pass over a plan. */
typedef struct fr_pass {
    const fr_dataset *dataset;
    const fr_step_plan *plan;
    const fr_stage_prefix *prefix; /* this stage's layers */
    fr_exact_sum *sum;             /* prefix gradients; NULL: forward only */
    double *
        example_nll; /* last stage: nats of each example of the plan, in the order of plan->targets,
                            written for this replica's examples only; NULL: not wanted */
    int64_t
        loss_sum; /* out, last stage: exact sum of nats of this replica, times 2^loss_exponent */
    int loss_exponent; /* in: fr_exact_exponent(target tokens of the whole sum) */
    int64_t n_bad;     /* out: nats that were not finite or too large */
} fr_pass;

/**
 * Exponent E of an exact sum over at most n terms, each below 2^17 in size:
 * E = 62 - ceil(log2 n) - 17, so that the int64 sum of llrint(x 2^E) cannot wrap in any order.
 */
int fr_exact_exponent(int64_t n_terms);
/** llrint(x * 2^exponent) added to *sum; *n_bad counts x that is not finite or >= 2^17 instead. */
void fr_exact_add_one(double x, int exponent, int64_t *sum, int64_t *n_bad);
/** The sum's value. */
double fr_exact_value(int64_t sum, int exponent);

/**
 * Collective over the pipeline of this replica; other replicas run their own microbatches.
 * Loss and gradients are sums of nats (not means). FR_ERR_COMM, FR_ERR_NO_MEMORY, FR_ERR_INTERNAL.
 */
FR_MUST_CHECK fr_status fr_engine_run(fr_engine *engine, fr_pass *pass);

/**
 * Collective over the pipeline: run `ids` alone through the base and copy its keys and values as a prefix of
 * n tokens: k, v [local layers, n, G, K].
 */
FR_MUST_CHECK fr_status fr_engine_keys_of_text(fr_engine *engine, const int32_t *ids,
                                               int64_t n, float *k, float *v);

#endif
