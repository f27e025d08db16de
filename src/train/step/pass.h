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

/** What a pass adds up: on the last stage the exact sum of this replica's nats, times 2^loss_exponent; and the number of
 * nats, and of gradients, that were refused because they are not finite or too large. */
enum { FR_PASS_LOSS, FR_PASS_REFUSED, FR_PASS_TOTALS };

/** One pass over a plan. */
typedef struct fr_pass {
    const fr_dataset *dataset;
    const fr_step_plan *plan;
    const fr_stage_prefix *prefix; /* this stage's layers */
    fr_exact_sum *sum; /* prefix gradients; NULL: forward only. Stages below the first
                            layer with a prefix run forward only in any case */
    double
        *example_nll;   /* last stage: nats of each example of the plan, in the order of
                            plan->examples, written for this replica's examples only;
                            NULL: not wanted */
    int64_t *totals;    /* [FR_PASS_TOTALS], memory of the device; added to */
    int loss_exponent;  /* fr_exact_exponent(target tokens of the whole sum) */
    fr_traffic traffic; /* out; added to */
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

/** The nats of each example of a microbatch, to pass->example_nll. @param nll  of the batch's targets, in its order */
void fr_pass_spread(const fr_pass *pass, const fr_microbatch *microbatch,
                    const double *nll);

#endif
