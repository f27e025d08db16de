/*
 * session.h - a base spread over the ranks, ready to run: device, weights, tokenizer, grid, stage and engine.
 *
 * `train`, `eval` and `generate` each hold one session. Every call is collective over the world, and all ranks return the
 * same status.
 */
#ifndef FR_TRAIN_SESSION_SESSION_H
#define FR_TRAIN_SESSION_SESSION_H

#include "model/text/tokens.h"
#include "model/weights/identity.h"
#include "train/forecast/layout.h"
#include "train/session/variants.h"
#include "train/step/engine.h"

typedef struct fr_session {
    fr_ctx *ctx;
    fr_group *world; /* borrowed */
    int64_t *nodes;  /* owned: of each rank (fr_group_nodes) */
    fr_weights *weights;
    fr_tokenizer *tokenizer; /* NULL: none is usable */
    char *no_tokenizer;      /* why none is usable, with the remedy; NULL if one is */
    fr_ends ends;            /* ids that end a text, with or without a tokenizer */
    const char *device_kind; /* "cpu" or "cuda" */
    fr_device *device;
    fr_device *host; /* one in the host's memory: `device`, or owned beside it */
    fr_grid grid;
    fr_link_kind link; /* between the stages */
    fr_link
        *sums; /* between the replicas of this rank's stage; NULL: the engine's own */
    fr_stage *stage;
    fr_engine *engine;
    char *shape; /* fingerprint of the base */
    uint8_t digest[FR_DIGEST_BYTES];
    int64_t first_layer;
    int64_t n_layers; /* of this rank's stage */
    char layout[112]; /* "2x1, 1 thread a rank, sums over NCCL 2.28.9", for messages */
    char variants[FR_VARIANT_NAMES]; /* what the ranks compute with, likewise */
} fr_session;

/** Open the files of a model, by its name as where.h takes it; no weights are read yet. */
FR_MUST_CHECK fr_status fr_session_open(fr_ctx *ctx, fr_group *world, const char *model,
                                        fr_session *out);

typedef struct fr_session_params {
    fr_layout layout;
    fr_precision precision;
    bool quantised;     /* weights stay in the file as they are */
    const char *device; /* its kind (fr_rank_limits), or as fr_device_params takes it */
    fr_device_needs needs; /* its memory is reserved (fr_layout_settle) */
    bool own_products;     /* as in fr_device_params */
    const char *links;     /* as fr_link_settle takes it; NULL: "auto" */
    const char *sums; /* as fr_link_settle_sums takes it; NULL: nothing is summed */
    bool device_is_shared; /* fr_rank_limits */
    int64_t threads;       /* as fr_rank_threads takes them */
    int64_t max_position;
    double target_share;  /* share of rows with a target, for the split of layers */
    int64_t warmup_depth; /* 0: no backward pass will be run */
    fr_recompute recompute;
} fr_session_params;

/** Choose the split, load this rank's layers, agree on the arithmetic (ranks may use different instruction sets), and hash
 * the base. */
FR_MUST_CHECK fr_status fr_session_load(fr_session *session,
                                        const fr_session_params *params);

void fr_session_close(fr_session *session);

#endif
