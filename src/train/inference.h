/*
 * inference.h - a base on the ranks with at most one prefix, for `eval` and `generate`.
 *
 * Layer L4; uses session, prefix_file. Collective over the world.
 */
#ifndef FR_TRAIN_INFERENCE_H
#define FR_TRAIN_INFERENCE_H

#include "train/data.h"
#include "train/prefix_file.h"
#include "train/session.h"

typedef struct fr_inference_params {
    const char *model;
    const char *prefix;        /* FILE[:TASK] or NULL */
    const char *template_text; /* NULL: the prefix's own */
    bool chat;                 /* or the prefix is for dialogues */
    fr_precision precision;
    bool quantised; /* weights stay in the file as they are */
    int64_t threads;
    int64_t stages;    /* FR_AUTO */
    bool one_pipeline; /* all ranks are stages (generation) */
} fr_inference_params;

typedef struct fr_inference {
    fr_ctx *ctx;
    fr_session session;
    fr_checkpoint *checkpoint; /* NULL: no prefix */
    const fr_checkpoint_task *task;
    const char *template_text;
    bool chat;
    bool eos;
    bool special;
    bool leading_bos;
    int64_t length; /* prefix slots, 0 without */
} fr_inference;

/** Open the model's files and the prefix; how rows are read comes from the prefix unless given. */
FR_MUST_CHECK fr_status fr_inference_open(fr_ctx *ctx, fr_group *world,
                                          const fr_inference_params *params,
                                          fr_inference *out);

/** Load the weights for rows of at most max_position positions, and check that prefix and base belong
 * together. */
FR_MUST_CHECK fr_status fr_inference_load(fr_inference *inference,
                                          const fr_inference_params *params,
                                          int64_t max_position, double target_share);

void fr_inference_close(fr_inference *inference);

/** The prefix of this rank's layers. */
fr_stage_prefix fr_inference_prefix(const fr_inference *inference);

/** Options for reading rows as this prefix wants them. */
fr_data_params fr_inference_data(const fr_inference *inference, const char *path);

#endif
