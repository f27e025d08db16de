/*
 * task.h - one task of a run as this rank holds it: data, the prefix of this rank's layers, optimizer moments, progress.
 */
#ifndef FR_TRAIN_STEP_TASK_H
#define FR_TRAIN_STEP_TASK_H

#include "model/network/prefix_image.h"
#include "train/checkpoint/checkpoint.h"
#include "train/config/config.h"
#include "train/step/engine.h"
#include "train/step/reparam.h"

typedef struct fr_task {
    const fr_task_config *config; /* borrowed */
    fr_chat *chat;                /* owned; NULL: no dialogues, or no tokenizer */
    fr_dataset *train;            /* owned */
    fr_dataset *valid;            /* owned; NULL: none */
    fr_sampler sampler;
    fr_step_plan plan;
    int64_t length; /* P */
    int64_t
        microbatch_tokens; /* what the config says; FR_MICROBATCH_TOKENS for FR_AUTO, until the run knows better */
    char
        *init_note; /* owned; how much of an init text is used, NULL: all of it, once */
    fr_layer_range layers; /* of the model, that have a prefix */
    fr_layer_range local;  /* those of them on this rank */
    int64_t n_local;       /* floats of K (and of V) on this rank: local * P * G * K */
    int64_t layer_floats;  /* P * G * K */
    fr_prefix_state state; /* local layers; moments zero for SGD, NULL with a reparam */
    fr_reparam *reparam;   /* owned; NULL: K and V are trained directly */
    fr_device *device;     /* borrowed; what computes with the prefix */
    fr_prefix_image image; /* of state.k and state.v */
    int64_t *sum;          /* [2 n_local] exact gradient, K then V */
    fr_image sum_image;
    float *gradient;      /* [2 n_local] */
    fr_prefix_state best; /* k and v at the best validation; NULL before */
    int64_t n_steps;      /* of epochs: known once the rows are read; 0 before */
    fr_progress progress;
    bool leading_bos;
    uint8_t valid_digest[FR_DIGEST_BYTES]; /* of what `valid` holds; zeros: none */
} fr_task;

/** What all tasks of a run share. Borrowed. */
typedef struct fr_task_env {
    fr_ctx *ctx;
    const fr_config *config;
    const fr_tokenizer *tokenizer; /* NULL: none that can be used */
    const char *no_tokenizer;      /* why; NULL where there is one */
    int32_t eos;                   /* what is put behind targets; -1: none named */
    const fr_arch *arch;
} fr_task_env;

/**
 * Read what does not need the model's weights: the prefix length (from text, file or config) and the rows.
 * One rank fills the cache first: call on rank 0, barrier, then on one rank of each node, barrier, then on the others.
 */
FR_MUST_CHECK fr_status fr_task_open(const fr_task_env *env,
                                     const fr_task_config *config, fr_task *out);
/** A look at a task: its prefix length and the first max_rows rows of `train` (0: none), without a cache. */
FR_MUST_CHECK fr_status fr_task_open_sample(const fr_task_env *env,
                                            const fr_task_config *config,
                                            int64_t max_rows, fr_task *out);
/** A task without rows, of which fr_task_data_params tells how its rows are read. */
FR_MUST_CHECK fr_status fr_task_open_reader(const fr_task_env *env,
                                            const fr_task_config *config, fr_task *out);
/** How the task reads a file, all of its rows. FR_ERR_CONFIG: the prefix leaves no room for a row. */
FR_MUST_CHECK fr_status fr_task_data_params(const fr_task_env *env, const fr_task *task,
                                            const char *path, fr_data_params *out);
void fr_task_close(fr_task *task);

/** Allocate the arrays for those of a stage's layers that have a prefix, and the MLP of a reparametrised one.
 * @param stage  borrowed; its device computes with the prefix
 * @param host   borrowed; a device in the host's memory, which computes the MLP */
FR_MUST_CHECK fr_status fr_task_alloc(const fr_task_env *env, const fr_stage *stage,
                                      fr_device *host, fr_task *task);

/** Bytes of the arrays that fr_task_alloc makes for n floats of K on a rank, without those of a reparam. */
int64_t fr_task_array_bytes(int64_t n, bool has_reparam);

/** Bytes of the images of these arrays in a device with memory of its own. */
int64_t fr_task_image_bytes(int64_t n);

/** Collective over the pipeline: fill the prefix as `prefix.init` says; a reparam starts from it. FR_ERR_NUMERIC if it
 * is not finite. */
FR_MUST_CHECK fr_status fr_task_init_prefix(const fr_task_env *env, fr_engine *engine,
                                            fr_task *task);

/** The arrays of a state in file order; a prefix for inference has the first two alone. */
enum { FR_PREFIX_ARRAYS = 6 };
void fr_prefix_list_arrays(const fr_prefix_state *state,
                           float *arrays[FR_PREFIX_ARRAYS]);

/** To be called when state.k and state.v have changed: the device sees them from then on. */
void fr_task_show_prefix(fr_task *task);

/** Where the device adds up the task's gradient. @param n_refused  see fr_exact_sum */
fr_exact_sum fr_task_sum(const fr_task *task, fr_i64 *n_refused);

/** The prefix of this rank's layers as a view of what the device sees. */
fr_stage_prefix fr_task_prefix(const fr_task *task);

/** Longest position that any row of this task takes, prefix included. */
int64_t fr_task_max_position(const fr_task *task);

#endif
