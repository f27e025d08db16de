/*
 * engine.h - run the microbatches of plans through this rank's stage, forward and backward.
 *
 * Layer L4; uses comm, model, plan. One engine a rank, used by training, validation, evaluation and by
 * initialising a prefix from text. Owns the memory of microbatches in flight. In which order forwards and
 * backwards come is the caller's (schedule.h); messages are matched by that order, which is the same on all
 * stages.
 *
 * Messages are begun as early as possible and move while the stage computes: outputs and gradients are sent
 * without waiting; the gradient of a microbatch is expected from the end of its forward on; the input of the
 * next forward from the moment that the caller announces it (fr_engine_expect).
 */
#ifndef FR_TRAIN_STEP_ENGINE_H
#define FR_TRAIN_STEP_ENGINE_H

#include "comm/grid.h"
#include "model/network/stage.h"
#include "train/data/step_plan.h"

typedef struct fr_engine fr_engine;

typedef struct fr_engine_params {
    fr_grid *grid;     /* borrowed */
    fr_stage *stage;   /* borrowed */
    fr_device *device; /* borrowed; the stage's */
    int64_t
        n_flights; /* microbatches whose activations may be kept at once: fr_schedule_cap */
} fr_engine_params;

FR_MUST_CHECK fr_status fr_engine_create(fr_ctx *ctx, const fr_engine_params *params,
                                         fr_engine **out);
void fr_engine_destroy(fr_engine **engine);

/** First layer of this rank's stage. */
int64_t fr_engine_first_layer(const fr_engine *engine);

/** What went over the two edges of a stage in a pass, and how long the stage waited there. Bytes are counted by the
 * sender, waiting by the receiver. */
typedef struct fr_traffic {
    int64_t forward_bytes;    /* sent to the next stage */
    int64_t backward_bytes;   /* sent to the stage before */
    int64_t forward_wait_ns;  /* for the stage before */
    int64_t backward_wait_ns; /* for the next stage */
} fr_traffic;

/** One pass over a plan. */
typedef struct fr_pass {
    const fr_dataset *dataset;
    const fr_step_plan *plan;
    const fr_stage_prefix *prefix; /* this stage's layers */
    fr_exact_sum *sum; /* prefix gradients; NULL: forward only. Stages below the first
                          layer with a prefix run forward only in any case */
    double
        *example_nll;  /* last stage: nats of each example of the plan, in the order of
                            plan->examples, written for this replica's examples only;
                            NULL: not wanted */
    int64_t loss_sum;  /* out, last stage: exact sum of nats of this replica, times
                         2^loss_exponent */
    int loss_exponent; /* in: fr_exact_exponent(target tokens of the whole sum) */
    int64_t n_nonfinite; /* out: nats that were not finite or too large */
    fr_traffic traffic;  /* out; added to */
} fr_pass;

/**
 * Exponent E of an exact sum over at most n terms, each below 2^17 in size:
 * E = 62 - ceil(log2 n) - 17, so that the int64 sum of llrint(x 2^E) cannot wrap in any order.
 */
int fr_exact_exponent(int64_t n_terms);
/** llrint(x * 2^exponent) added to *sum; *n_bad counts x that is not finite or >= 2^17 instead. */
void fr_exact_add_one(double x, int exponent, int64_t *sum, int64_t *n_nonfinite);
/** The sum's value. */
double fr_exact_value(int64_t sum, int exponent);

/** Microbatches of a plan that this rank's replica runs. */
int64_t fr_engine_count(const fr_engine *engine, const fr_step_plan *plan);

/* ---- one microbatch at a time ---------------------------------------------------------------- */

/** The next forward will be microbatch `index` (of this replica) of this pass: begin to receive its input. At most one
 * at a time; never needed. */
FR_MUST_CHECK fr_status fr_engine_expect(fr_engine *engine, const fr_pass *pass,
                                         int64_t index);

/** Forward of microbatch `index` of this replica, kept at `place` (0 .. n_flights - 1) until its backward; on
 * the last stage its loss too. The backward of what was kept there is done. */
FR_MUST_CHECK fr_status fr_engine_forward(fr_engine *engine, fr_pass *pass,
                                          int64_t index, int64_t place);

/** Backward of what is kept at `place`: adds to pass->sum. On a stage that runs forward only, nothing. */
FR_MUST_CHECK fr_status fr_engine_backward(fr_engine *engine, fr_pass *pass,
                                           int64_t place);

/** Wait until everything sent has left. */
FR_MUST_CHECK fr_status fr_engine_settle(fr_engine *engine);

/* ---- whole passes ------------------------------------------------------------------------------ */

/**
 * Collective over the pipeline of this replica, forward only; other replicas run their own microbatches. Nothing
 * may be in flight. The loss is a sum of nats (not a mean). FR_ERR_COMM, FR_ERR_NO_MEMORY, FR_ERR_INTERNAL.
 */
FR_MUST_CHECK fr_status fr_engine_run(fr_engine *engine, fr_pass *pass);

/**
 * Collective over the pipeline: run `ids` alone through the base and copy its keys and values as a prefix of
 * n tokens on `layers` of the model: k, v [those of this stage, n, G, K].
 */
FR_MUST_CHECK fr_status fr_engine_keys_of_text(fr_engine *engine, const int32_t *ids,
                                               int64_t n, fr_layer_range layers,
                                               float *k, float *v);

#endif
