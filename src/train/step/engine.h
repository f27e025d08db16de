/*
 * engine.h - run the microbatches of plans through this rank's stage, forward and backward.
 *
 * A rank has one engine. Training, validation, evaluation and the initialisation of a prefix from a text use it. It owns
 * the memory of the microbatches in flight, and the links between the stages and between the replicas. The caller decides the order of forwards and backwards (schedule.h), which
 * must be the same on all stages, because messages are matched by it.
 *
 * Messages begin as early as possible and move while the stage computes. Sends are not waited for. The gradient of a
 * microbatch is expected from the end of its forward on, the input of the next forward from fr_engine_expect on.
 */
#ifndef FR_TRAIN_STEP_ENGINE_H
#define FR_TRAIN_STEP_ENGINE_H

#include "comm/grid.h"
#include "comm/link.h"
#include "train/step/pass.h"

typedef struct fr_engine fr_engine;

typedef struct fr_engine_params {
    fr_grid *grid;         /* borrowed */
    fr_stage *stage;       /* borrowed */
    int64_t max_in_flight; /* see fr_schedule_max_in_flight */
    fr_link_kind link;     /* what the engine's links are: fr_link_kind_for */
    fr_link *sums;      /* of the replicas, borrowed; NULL: the engine opens its own */
    int64_t link_piece; /* see fr_link_params; 0 but in tests */
} fr_engine_params;

FR_MUST_CHECK fr_status fr_engine_create(fr_ctx *ctx, const fr_engine_params *params,
                                         fr_engine **out);
/** Bytes of host memory that the links of an engine hold which it opens itself, whose pieces have the usual size (fr_link_bytes). */
int64_t fr_engine_link_bytes(fr_link_kind kind, int stage, int n_stages,
                             int n_replicas);

void fr_engine_destroy(fr_engine **engine);

/** The stage's. */
fr_device *fr_engine_device(const fr_engine *engine);

/** The link between the replicas of this stage, for their sums; that of the parameters, or the engine's. */
fr_link *fr_engine_replicas(const fr_engine *engine);

/* ---- one microbatch at a time ---------------------------------------------------------------- */

/** Announce that the next forward is microbatch `index` (of this replica) of this pass: its input is received from now
 * on. Only one forward can be announced at a time; none has to be. */
FR_MUST_CHECK fr_status fr_engine_expect(fr_engine *engine, const fr_pass *pass,
                                         int64_t index);

/** Forward of microbatch `index` of this replica, on the last stage with its loss. It stays in flight until its
 * backward; fewer than max_in_flight microbatches are. The pass and its plan are borrowed until then. */
FR_MUST_CHECK fr_status fr_engine_forward(fr_engine *engine, fr_pass *pass,
                                          int64_t index);

/** Backward of the oldest microbatch in flight: adds to the `sum` of its pass. A stage that runs forward only does
 * nothing else than end it. */
FR_MUST_CHECK fr_status fr_engine_backward(fr_engine *engine);

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
 * n tokens on `layers` of the model: k, v [those of this stage, n, G, K]. A rank that fails alone abandons the others
 * (fr_group_abandon).
 */
FR_MUST_CHECK fr_status fr_engine_keys_of_text(fr_engine *engine, const int32_t *ids,
                                               int64_t n, fr_layer_range layers,
                                               float *k, float *v);

#endif
