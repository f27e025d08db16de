/*
 * pass.h - a pass over a plan: how its microbatches become batches, and where their losses go.
 */
#ifndef FR_TRAIN_STEP_PASS_H
#define FR_TRAIN_STEP_PASS_H

#include "model/network/stage.h"
#include "train/data/step_plan.h"

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

/** Memory that fr_pass_fill_batch reuses from one microbatch to the next; zeroed at first. */
typedef struct fr_pass_scratch {
    fr_branch *branches;  /* of one unit */
    fr_sequence *targets; /* of one unit */
    int64_t capacity;     /* sources or targets */
} fr_pass_scratch;

void fr_pass_scratch_fini(fr_pass_scratch *scratch);

/** The units of a microbatch as a batch of token rows, each behind its prefix. The same on every stage. */
FR_MUST_CHECK fr_status fr_pass_fill_batch(fr_ctx *ctx, const fr_pass *pass,
                                           const fr_microbatch *microbatch,
                                           fr_pass_scratch *scratch, fr_batch *batch);

/** Last stage: add the nats of a microbatch's targets, in the order of its batch, to the pass's exact sum, and to
 * those of each example where they are wanted. */
void fr_pass_add_losses(fr_pass *pass, const fr_microbatch *microbatch, int64_t n,
                        const double *nll);

#endif
