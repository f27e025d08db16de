/*
 * checkpoint.h - the HDF5 file that holds prefixes, moments and everything a resume needs.
 *
 * Layer L4; uses base (h5 wrapper, digest, file, json). Knows layers, not ranks. One process writes; any
 * process reads. Layout: docs/format-checkpoint.md. The HDF5 library writes alone: files are read by their index.
 */
#ifndef FR_TRAIN_CHECKPOINT_CHECKPOINT_H
#define FR_TRAIN_CHECKPOINT_CHECKPOINT_H

#include "base/ctx.h"
#include "base/digest.h"
#include "train/checkpoint/mlp_state.h"
#include "train/checkpoint/progress.h"

#include <stdint.h>

/** Format that is written; files of this major version are read, see docs/format-checkpoint.md. */
enum { FR_CHECKPOINT_MAJOR = 2, FR_CHECKPOINT_MINOR = 2 };

/** Per layer arrays [n_layers][length * kv_heads * head_dim], each layer one dataset. */
typedef struct fr_prefix_state {
    float *k; /* post-RoPE, halves order */
    float *v;
    float *m_k; /* first moments; NULL in a prefix for inference (all four) */
    float *m_v;
    float *s_k; /* second moments */
    float *s_v;
} fr_prefix_state;

typedef struct fr_checkpoint_task {
    char *name;
    int64_t length;      /* prefix slots P */
    int64_t n_layers;    /* layers that have a prefix, */
    int64_t first_layer; /* from this one of the base on */
    int64_t base_layers; /* layers of the base; 0: n_layers */
    int64_t n_kv_heads;
    int64_t head_dim;
    double
        base_norm_eps; /* epsilon of the base's norms, as f32; 0: not known, a file before 2.1 */
    uint64_t seed;
    fr_progress progress;
    char *template_text; /* NULL: none */
    bool chat;
    bool eos;
    bool special;
    bool
        leading_bos; /* rows carry the base's BOS (false when the prefix text opened with it) */
    char *
        chat_template_digest; /* of `chat`: 64 hexadecimal digits of the base's chat template; NULL: none, or a file
                                 before 2.1 */
    char *init; /* how the prefix was initialised, for people */
    uint8_t data_digest[FR_DIGEST_BYTES];
    uint8_t valid_digest[FR_DIGEST_BYTES]; /* of the rows that best_loss is measured on;
                              zeros: none, or a file before 2.1 */
    fr_prefix_state state; /* the prefix in effect, also where an MLP makes it */
    fr_mlp_state mlp; /* checkpoints of a reparametrised prefix: what a resume needs,
                              in place of the state's moments */
} fr_checkpoint_task;

typedef struct fr_checkpoint {
    int64_t minor;    /* version of the format, of a file that was read */
    char *config;     /* resolved YAML; NULL in hand-made files */
    char *base_shape; /* shape fingerprint text, see model/identity.h */
    char *base_path;
    uint8_t base_digest[FR_DIGEST_BYTES]; /* of the weights */
    char *isa;                            /* instruction sets of the run, for people */
    char *arithmetic; /* fr_device_arithmetic; NULL: a file before 2.2 */
    char *version;    /* of Forerun */
    char *layout;     /* "2x1 threads 1": how the run was laid out, for people */
    int64_t n_tasks;
    fr_checkpoint_task *tasks;
} fr_checkpoint;

/** Allocate an empty checkpoint with room for n_tasks (zeroed). */
FR_MUST_CHECK fr_status fr_checkpoint_create(fr_ctx *ctx, int64_t n_tasks,
                                             fr_checkpoint **out);
/** Allocate a task's arrays for its length, n_layers, n_kv_heads, head_dim. */
FR_MUST_CHECK fr_status fr_checkpoint_task_alloc(fr_ctx *ctx, fr_checkpoint_task *task,
                                                 bool with_moments);
void fr_checkpoint_destroy(fr_checkpoint **checkpoint);

/**
 * Make a file's bytes: the HDF5 image, its index in the user block, the seal. Same content, same bytes.
 * @param name        how messages call it
 * @param[out] image  the caller frees; NULL on failure
 * @return FR_OK; FR_ERR_ARG (a task name that is no single path part, or twice; a number or text beyond the limits
 *         of the format); FR_ERR_SHAPE; FR_ERR_NUMERIC (a number of an array that is not finite)
 */
FR_MUST_CHECK fr_status fr_checkpoint_image(fr_ctx *ctx, const char *name,
                                            const fr_checkpoint *checkpoint,
                                            uint8_t **image, size_t *bytes);

/**
 * Write atomically: the image is made in memory, then written under a temporary name, fsync, rename, fsync the folder.
 * @return as fr_checkpoint_image; FR_ERR_IO (full disk and the like: the old file stays, no temporary is left)
 */
FR_MUST_CHECK fr_status fr_checkpoint_write(fr_ctx *ctx, const char *path,
                                            const fr_checkpoint *checkpoint);

/**
 * Read and verify by the seal and the index alone: nothing is taken for true that the bytes do not hold.
 * @return FR_OK; FR_ERR_CHECKPOINT (missing, damaged, not ours, another format: both named);
 *         FR_ERR_NUMERIC (a number of an array is not finite)
 */
FR_MUST_CHECK fr_status fr_checkpoint_read(fr_ctx *ctx, const char *path,
                                           fr_checkpoint **out);

/** The same for the bytes of a file in memory; `path` is how messages call it. */
FR_MUST_CHECK fr_status fr_checkpoint_parse(fr_ctx *ctx, const char *path,
                                            const uint8_t *data, size_t bytes,
                                            fr_checkpoint **out);

/** Read the bytes of a file of format 1 with the HDF5 library: only in a process that may crash, see cli/convert.h. */
FR_MUST_CHECK fr_status fr_checkpoint_parse_format1(fr_ctx *ctx, const char *path,
                                                    const uint8_t *data, size_t bytes,
                                                    fr_checkpoint **out);

/** Whether the file starts like one of ours, of any format. */
bool fr_checkpoint_is_ours(const char *path);

/* ---- the run folder ---------------------------------------------------------------------- */

/** Write `folder`/checkpoint-STEP.h5, then `latest` (a text file with its name), then drop all but the
 * newest `keep` and tidy. After a failure, or a kill at any moment, `latest` names a whole checkpoint: this one or
 * the one before. */
FR_MUST_CHECK fr_status fr_checkpoint_save(fr_ctx *ctx, const char *folder,
                                           int64_t step, int64_t keep,
                                           const fr_checkpoint *checkpoint);

/**
 * Load the newest usable checkpoint of a run folder: `latest`, else the highest step, falling back one by
 * one with a warning that names the damaged file.
 * @param[out] path  name of the file used, caller frees; NULL with *out NULL if the folder has none
 * @return FR_OK (also when there is none); FR_ERR_CHECKPOINT if there are some and none is usable
 */
FR_MUST_CHECK fr_status fr_checkpoint_load_latest(fr_ctx *ctx, const char *folder,
                                                  fr_checkpoint **out, char **path);

/** Whether it is the name of a checkpoint in a run folder: "checkpoint-STEP.h5". */
bool fr_checkpoint_is_name(const char *name);
/** Whether it is the name of a temporary file that a killed process left of a run's file. */
bool fr_checkpoint_is_left_over(const char *name);

/** Remove the temporary files that killed processes left of this folder's run files. The caller alone writes there. */
FR_MUST_CHECK fr_status fr_checkpoint_tidy(fr_ctx *ctx, const char *folder);

/** The task with this name; NULL if there is none. */
const fr_checkpoint_task *fr_checkpoint_task_named(const fr_checkpoint *checkpoint,
                                                   const char *name);
/** Index of a task by name (NULL: the only task); FR_ERR_CHECKPOINT listing the names otherwise. */
FR_MUST_CHECK fr_status fr_checkpoint_find_task(fr_ctx *ctx,
                                                const fr_checkpoint *checkpoint,
                                                const char *path, const char *name,
                                                int64_t *index);

/** What `compare` found. */
typedef struct fr_difference {
    bool identical;
    double
        largest; /* largest |a - b| over all arrays compared (INFINITY: not comparable) */
    char place[256]; /* where, or what differs (task, layer, array, step, cursor) */
} fr_difference;

/** Compare K, V, moments and MLP (when both have them), step and cursor, bit for bit. */
FR_MUST_CHECK fr_status fr_checkpoint_compare(fr_ctx *ctx, const fr_checkpoint *a,
                                              const fr_checkpoint *b,
                                              fr_difference *out);
/** The same for one task of each, whatever their names. */
FR_MUST_CHECK fr_status fr_checkpoint_compare_task(fr_ctx *ctx,
                                                   const fr_checkpoint_task *a,
                                                   const fr_checkpoint_task *b,
                                                   fr_difference *out);

#endif
