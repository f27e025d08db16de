/*
 * inference.h - a base on the ranks with prefixes, for `eval` and `generate`. Collective over the world.
 *
 * Order of calls: fr_inference_open, fr_inference_add for each prefix that a row names, fr_inference_load. The shape of a
 * prefix is checked when it is opened; whether it belongs to the base's weights is checked when these are loaded.
 */
#ifndef FR_TRAIN_INFERENCE_INFERENCE_H
#define FR_TRAIN_INFERENCE_INFERENCE_H

#include "model/network/prefix_image.h"
#include "train/checkpoint/prefix_file.h"
#include "train/data/chat_identity.h"
#include "train/data/data.h"
#include "train/session/session.h"

typedef struct fr_inference_params {
    const char *model;
    const char *prefix;         /* FILE[:TASK] or NULL */
    const char *template_text;  /* NULL: the prefix's own */
    bool chat;                  /* rows are dialogues; also if the prefix says so */
    fr_chat_source chat_source; /* what is set here replaces what the prefix says */
    fr_precision precision;
    bool quantised;     /* weights stay in the file as they are */
    int64_t offload;    /* as in fr_layout_problem */
    const char *device; /* its kind: "auto", ... */
    bool own_products;  /* as in fr_device_params */
    int64_t threads;
    int64_t stages;    /* FR_AUTO */
    bool one_pipeline; /* every rank is a stage, without replicas (generation) */
} fr_inference_params;

/** A prefix, or the base alone, and how rows are read for it. */
typedef struct fr_inference_prefix {
    char *reference; /* FILE[:TASK]; NULL: the base alone */
    char *file;
    fr_checkpoint *checkpoint; /* NULL: no prefix */
    bool is_shared; /* the checkpoint is another prefix's, of the same file */
    const fr_checkpoint_task *task;
    const char *template_text;
    bool chat;
    fr_chat *chat_template; /* NULL: the tokenizer's own, if there is one */
    bool eos;
    bool special;
    bool leading_bos;
    int64_t length;        /* slots, 0 without */
    fr_prefix_image image; /* of this rank's layers, once the weights are loaded */
    fr_stage_prefix view;  /* of the image */
    struct fr_inference_prefix *next;
} fr_inference_prefix;

typedef struct fr_inference {
    fr_ctx *ctx;
    const fr_inference_params *params; /* borrowed */
    fr_session session;
    fr_inference_prefix *prefix; /* list: first that of the parameters */
    bool is_loaded;              /* the weights are there */
} fr_inference;

/** Open the model's files and the prefix. Rows are read as the prefix says, unless the parameters say otherwise. */
FR_MUST_CHECK fr_status fr_inference_open(fr_ctx *ctx, fr_group *world,
                                          const fr_inference_params *params,
                                          fr_inference *out);

/**
 * Add a prefix, before the weights are loaded or after; NULL: the base alone. A reference that was added before is found again; a file
 * of several tasks is read once. Not collective.
 * @return FR_OK; FR_ERR_CHECKPOINT (missing, damaged, no such task, another shape than the base)
 */
FR_MUST_CHECK fr_status fr_inference_add(fr_inference *inference, const char *reference,
                                         const fr_inference_prefix **out);

/** Load the weights for rows of at most max_position positions, and check that prefixes and base belong
 * together. */
FR_MUST_CHECK fr_status fr_inference_load(fr_inference *inference, int64_t max_position,
                                          double target_share);

/** Once the weights are loaded: whether a file belongs to them. Local; any thread may call it with a context of its own.
 * @return FR_OK, after a warning if it was made over other weights of the same shape; FR_ERR_CHECKPOINT (another shape) */
FR_MUST_CHECK fr_status fr_inference_check_base(fr_ctx *ctx,
                                                const fr_inference *inference,
                                                const char *file,
                                                const fr_checkpoint *checkpoint);

/**
 * A prefix of a checkpoint that was read elsewhere and whose base was checked, for programs whose prefixes come and go. It is not in the
 * list and has no image; its shape and its chat are checked. Local; any thread may call it with a context of its own.
 * @param reference   its name in messages   @param checkpoint  borrowed; NULL: the base alone
 * @param[out] out    released with fr_inference_prefix_close
 * @return FR_OK; FR_ERR_CHECKPOINT (another shape than the base); as fr_chat_open_kept
 */
FR_MUST_CHECK fr_status fr_inference_prefix_open(
    fr_ctx *ctx, const fr_inference *inference, const char *reference,
    fr_checkpoint *checkpoint, int64_t index, fr_inference_prefix **out);
/** Accepts NULL inside. */
void fr_inference_prefix_close(fr_inference_prefix **prefix);

void fr_inference_close(fr_inference *inference);

/** Options for reading rows in the way of a prefix. @param prefix  of this inference, or inference->prefix */
fr_data_params fr_inference_data(const fr_inference *inference,
                                 const fr_inference_prefix *prefix, const char *path);

#endif
