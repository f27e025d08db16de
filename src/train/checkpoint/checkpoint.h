/*
 * checkpoint.h - the HDF5 file that holds prefixes, moments and everything a resume needs.
 *
 * A checkpoint knows layers, not ranks. One process writes it, any process reads it. docs/format-checkpoint.md is the
 * format. The HDF5 library is used only to write: files are read by the index in front of the HDF5 part.
 */
#ifndef FR_TRAIN_CHECKPOINT_CHECKPOINT_H
#define FR_TRAIN_CHECKPOINT_CHECKPOINT_H

#include "base/ctx.h"
#include "base/digest.h"
#include "train/checkpoint/mlp_state.h"
#include "train/checkpoint/progress.h"

#include <stdint.h>

/** The newest format that is known. Any minor version of this major version can be read; a file is written in the lowest
 * one that names all of its content, fr_checkpoint_minor. */
enum { FR_CHECKPOINT_MAJOR = 2, FR_CHECKPOINT_MINOR = 4 };

/** Per layer arrays [n_layers][length * kv_heads * head_dim], each layer one dataset. */
typedef struct fr_prefix_state {
    float *k; /* post-RoPE, halves order */
    float *v;
    float *m_k; /* first moments; NULL in a prefix for inference (all four) */
    float *m_v;
    float *s_k; /* second moments */
    float *s_v;
} fr_prefix_state;

/** Longest chat template that a file keeps; known ones are shorter. */
enum { FR_CHECKPOINT_TEMPLATE_BYTES = 64 << 10 };
/** Longest arguments of a chat template, FR_CHAT_ARGUMENTS_BYTES, and longest clock. */
enum { FR_CHECKPOINT_ARGUMENTS_BYTES = 1 << 20, FR_CHECKPOINT_CLOCK_BYTES = 64 };

typedef struct fr_checkpoint_task {
    char *name;
    int64_t length;      /* slots P */
    int64_t n_layers;    /* number of layers that have a prefix */
    int64_t first_layer; /* the first of them, as numbered in the base */
    int64_t base_layers; /* layers of the base; 0: n_layers */
    bool slides;         /* as in fr_stage_prefix; false: a file before 2.3 too */
    int64_t n_kv_heads;
    int64_t head_dim;
    /* epsilon of the base's norms, as f32; 0: not known (a file before 2.1) */
    double base_norm_eps;
    uint64_t seed;
    fr_progress progress;
    char *template_text; /* NULL: none */
    bool chat;
    bool eos;
    bool special;
    /* rows carry the base's BOS (false when the prefix text opened with it) */
    bool leading_bos;
    /* of `chat`: 64 hexadecimal digits of the chat template; NULL: none, or a file before 2.1 */
    char *chat_template_digest;
    /* of `chat`, as in fr_chat_settings; NULL: not set, or a file before 2.4. A template of more than
     * FR_CHECKPOINT_TEMPLATE_BYTES is not kept */
    char *chat_template;
    char *chat_arguments;
    char *chat_clock;
    char *init; /* how the prefix was initialised, for users to read */
    uint8_t data_digest[FR_DIGEST_BYTES];
    /* of the rows that best_loss is measured on; zeros: none, or a file before 2.1 */
    uint8_t valid_digest[FR_DIGEST_BYTES];
    fr_prefix_state state; /* the prefix that is used, also if an MLP computes it */
    /* in a checkpoint of a reparametrised prefix: what a resume needs, in place of the state's moments */
    fr_mlp_state mlp;
} fr_checkpoint_task;

typedef struct fr_checkpoint {
    int64_t minor;    /* minor version of the file that was read */
    char *config;     /* resolved YAML; NULL in files made by hand */
    char *base_shape; /* shape fingerprint text, see model/weights/identity.h */
    char *base_path;
    uint8_t base_digest[FR_DIGEST_BYTES]; /* of the weights */
    char *isa;        /* instruction sets of the run, for users to read */
    char *arithmetic; /* fr_device_arithmetic; NULL: a file before 2.2 */
    char *version;    /* of Forerun */
    char *layout;     /* "2x1 threads 1": layout of the run, for users to read */
    int64_t n_tasks;
    fr_checkpoint_task *tasks;
} fr_checkpoint;

/** Allocate a checkpoint of n_tasks zeroed tasks, whose progress is fr_progress_start. */
FR_MUST_CHECK fr_status fr_checkpoint_create(fr_ctx *ctx, int64_t n_tasks,
                                             fr_checkpoint **out);
/** Allocate a task's arrays by its length, n_layers, n_kv_heads and head_dim. */
FR_MUST_CHECK fr_status fr_checkpoint_task_alloc(fr_ctx *ctx, fr_checkpoint_task *task,
                                                 bool with_moments);
void fr_checkpoint_destroy(fr_checkpoint **checkpoint);

/** The minor version that a file of this content is written in: 4 if a task has a chat's settings, else 3 if a prefix slides,
 * else 2. */
int64_t fr_checkpoint_minor(const fr_checkpoint *checkpoint);

/**
 * Make the bytes of a file: header with seal, index, HDF5 part. Equal content gives equal bytes.
 * @param name        of the file in messages
 * @param[out] image  the caller frees; NULL on failure
 * @return FR_OK; FR_ERR_ARG (a task name that is invalid or appears twice; a number or text beyond the limits of the
 *         format); FR_ERR_SHAPE; FR_ERR_NUMERIC (an array has a number that is not finite)
 */
FR_MUST_CHECK fr_status fr_checkpoint_image(fr_ctx *ctx, const char *name,
                                            const fr_checkpoint *checkpoint,
                                            uint8_t **image, size_t *bytes);

/**
 * Write atomically: make the image in memory, write it under a temporary name, fsync, rename, fsync the folder.
 * @return as fr_checkpoint_image; FR_ERR_IO (e.g. a full disk: the old file stays, no temporary file is left)
 */
FR_MUST_CHECK fr_status fr_checkpoint_write(fr_ctx *ctx, const char *path,
                                            const fr_checkpoint *checkpoint);

/**
 * Read a file by its index. Everything that the file claims is checked against its bytes before it is used.
 * @return FR_OK; FR_ERR_CHECKPOINT (missing, damaged, not ours, another format: the message names both formats);
 *         FR_ERR_NUMERIC (an array has a number that is not finite)
 */
FR_MUST_CHECK fr_status fr_checkpoint_read(fr_ctx *ctx, const char *path,
                                           fr_checkpoint **out);

/** The same for the bytes of a file in memory; messages call it `path`. */
FR_MUST_CHECK fr_status fr_checkpoint_parse(fr_ctx *ctx, const char *path,
                                            const uint8_t *data, size_t bytes,
                                            fr_checkpoint **out);

/** Read the bytes of a file of format 1 with the HDF5 library, which a hostile file can crash: call it only in a process
 * that may crash, see cli/convert.h. */
FR_MUST_CHECK fr_status fr_checkpoint_parse_format1(fr_ctx *ctx, const char *path,
                                                    const uint8_t *data, size_t bytes,
                                                    fr_checkpoint **out);

/** Whether the file begins like a Forerun checkpoint of any format. */
bool fr_checkpoint_is_ours(const char *path);

/* ---- the run folder ---------------------------------------------------------------------- */

/** Write `folder`/checkpoint-STEP.h5, then `latest` (a text file with its name), then remove all but the newest `keep`
 * checkpoints and all temporary files. After a failure, or a kill at any moment, `latest` names a whole checkpoint: this
 * one or the one before. */
FR_MUST_CHECK fr_status fr_checkpoint_save(fr_ctx *ctx, const char *folder,
                                           int64_t step, int64_t keep,
                                           const fr_checkpoint *checkpoint);

/**
 * Load the newest usable checkpoint of a run folder: `latest`, otherwise the highest step, then the next lower ones, with
 * a warning about each file that cannot be used.
 * @param[out] path  of the loaded file, caller frees; NULL, as *out, if the folder has no checkpoint
 * @return FR_OK (also if there is none); FR_ERR_CHECKPOINT if there are checkpoints and none can be used
 */
FR_MUST_CHECK fr_status fr_checkpoint_load_latest(fr_ctx *ctx, const char *folder,
                                                  fr_checkpoint **out, char **path);

/** Whether a file name has the form "checkpoint-STEP.h5". */
bool fr_checkpoint_is_name(const char *name);
/** Whether a file name is that of a temporary file that a killed process left in a run folder. */
bool fr_checkpoint_is_left_over(const char *name);

/** Remove the temporary files that killed processes left in the folder. No other process may write there meanwhile. */
FR_MUST_CHECK fr_status fr_checkpoint_tidy(fr_ctx *ctx, const char *folder);

/** The task with this name; NULL if there is none. */
const fr_checkpoint_task *fr_checkpoint_task_named(const fr_checkpoint *checkpoint,
                                                   const char *name);
/** Index of the task with this name (NULL: the only task). FR_ERR_CHECKPOINT with the names if there is none. */
FR_MUST_CHECK fr_status fr_checkpoint_find_task(fr_ctx *ctx,
                                                const fr_checkpoint *checkpoint,
                                                const char *path, const char *name,
                                                int64_t *index);

/** Result of a comparison. */
typedef struct fr_difference {
    bool identical;
    /* largest |a - b| over all arrays compared; INFINITY: not comparable */
    double largest;
    char place[256]; /* what differs, and where: task, layer, array, step, cursor */
} fr_difference;

/** Compare K, V, moments and MLP (if both have them), step and cursor, bit for bit. */
FR_MUST_CHECK fr_status fr_checkpoint_compare(fr_ctx *ctx, const fr_checkpoint *a,
                                              const fr_checkpoint *b,
                                              fr_difference *out);
/** The same for one task of each; their names may differ. */
FR_MUST_CHECK fr_status fr_checkpoint_compare_task(fr_ctx *ctx,
                                                   const fr_checkpoint_task *a,
                                                   const fr_checkpoint_task *b,
                                                   fr_difference *out);

#endif
