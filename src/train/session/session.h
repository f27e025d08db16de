/*
 * session.h - a base spread over the ranks, ready to run: device, weights, tokenizer, grid, stage, engine.
 *
 * Layer L4; uses comm, model, engine. `train`, `eval` and `generate` all stand on one session.
 * Collective: every call, on all ranks of the world; all leave with the same status.
 */
#ifndef FR_TRAIN_SESSION_SESSION_H
#define FR_TRAIN_SESSION_SESSION_H

#include "model/text/tokens.h"
#include "model/weights/identity.h"
#include "train/forecast/layout.h"
#include "train/session/rank_sets.h"
#include "train/step/engine.h"

typedef struct fr_session {
    fr_ctx *ctx;
    fr_group *world; /* borrowed */
    fr_weights *weights;
    fr_tokenizer *tokenizer; /* NULL: none that can be used */
    char
        *no_tokenizer; /* why there is none, with the remedy; NULL where there is one */
    fr_ends ends;      /* ids that end a text, with or without a tokenizer */
    fr_device *device;
    fr_grid grid;
    fr_stage *stage;
    fr_engine *engine;
    char *shape; /* fingerprint of the base */
    uint8_t digest[FR_DIGEST_BYTES];
    int64_t first_layer;
    int64_t n_layers;       /* of this rank's stage */
    char layout[64];        /* "2x1, 1 thread" for people */
    char isa[FR_SET_NAMES]; /* instruction sets of all ranks, likewise */
} fr_session;

/** Open the model's files; no weights are read yet. */
FR_MUST_CHECK fr_status fr_session_open(fr_ctx *ctx, fr_group *world, const char *model,
                                        fr_session *out);

typedef struct fr_session_params {
    fr_layout layout;
    fr_precision precision;
    bool quantised; /* weights stay in the file as they are */
    int64_t
        threads; /* FR_AUTO: as OMP_NUM_THREADS says, else this rank's share of the node's processors */
    int64_t max_position;
    double target_share;  /* share of rows with a target, for the split of layers */
    int64_t warmup_depth; /* 0: no backward pass will be run */
    fr_recompute recompute;
} fr_session_params;

/** Choose the split, load this rank's layers, agree on the arithmetic (each rank has an instruction set of its own), hash the base. */
FR_MUST_CHECK fr_status fr_session_load(fr_session *session,
                                        const fr_session_params *params);

void fr_session_close(fr_session *session);

#endif
