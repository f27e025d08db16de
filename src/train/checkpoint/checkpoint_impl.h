/*
 * checkpoint_impl.h - what the checkpoint's files share: the tables of fields and arrays that writer and
 * readers walk, the header, and the index. The format: docs/format-checkpoint.md.
 *
 * Layer L4, private to checkpoint*.c.
 */
#ifndef FR_TRAIN_CHECKPOINT_CHECKPOINT_IMPL_H
#define FR_TRAIN_CHECKPOINT_CHECKPOINT_IMPL_H

#include "base/json.h"
#include "train/checkpoint/checkpoint.h"

/** Longest task name, room for the path of any object, and for what is wrong with a field. */
enum { FR_H5_PATH_BYTES = 320, FR_FIELD_BYTES = 96 };

/** Limits of a file, the same for who writes and who reads. */
enum {
    FR_MAX_TASKS = 1 << 16,
    FR_MAX_LINE = 64 << 20,  /* bytes of an index line */
    FR_MAX_INDEX = 128 << 20 /* of the index */
};

/** Header: the first bytes of a file, outside the seal. */
enum { FR_HEADER_BYTES = 512 };

typedef enum fr_field_kind {
    FR_FIELD_I64,
    FR_FIELD_U64,
    FR_FIELD_F64,
    FR_FIELD_BOOL, /* i64, 0 or 1 */
    FR_FIELD_TEXT, /* NULL: no attribute */
    FR_FIELD_DIGEST
} fr_field_kind;

/** One attribute and the struct member that it stands for. */
typedef struct fr_field {
    const char *name;
    fr_field_kind kind;
    size_t offset;
    int64_t min;   /* FR_FIELD_I64: smallest value a file may hold, */
    int64_t max;   /* and greatest */
    bool optional; /* format 1: early files lack it, and the member keeps what it has */
} fr_field;

/** An attribute that every file of this schema has with this text. */
typedef struct fr_convention {
    const char *name;
    const char *text;
} fr_convention;

/** One array of a prefix state. */
typedef struct fr_state_array {
    const char *name;
    size_t offset; /* of the float * in fr_prefix_state */
} fr_state_array;

enum {
    FR_N_FILE_FIELDS = 7,
    FR_N_TASK_FIELDS = 24,
    FR_N_ADDED_FIELDS = 5,
    FR_N_ADDED_FILE_FIELDS = 1,
    FR_N_CONVENTIONS = 3,
    FR_N_STATE_ARRAYS = 6,
    FR_N_PREFIX_ARRAYS = 2 /* the first ones; the others are moments */
};

extern const fr_field FR_FILE_FIELDS[FR_N_FILE_FIELDS];
extern const fr_field FR_TASK_FIELDS[FR_N_TASK_FIELDS];
/** Of a task, since minor version 1: files may lack them, and the member keeps what it has. */
extern const fr_field FR_ADDED_FIELDS[FR_N_ADDED_FIELDS];
/** Likewise of the file, since minor version 2. */
extern const fr_field FR_ADDED_FILE_FIELDS[FR_N_ADDED_FILE_FIELDS];
extern const fr_convention FR_CONVENTIONS[FR_N_CONVENTIONS];
extern const fr_state_array FR_STATE_ARRAYS[FR_N_STATE_ARRAYS];

/** The array's data; NULL where the state has none. */
float *fr_state_array_get(const fr_prefix_state *state, int array);
void fr_state_array_set(fr_prefix_state *state, int array, float *data);

/** All four moments are there. */
bool fr_state_has_moments(const fr_prefix_state *state);

/** floats of one layer's array, length * kv_heads * head_dim; false if a size is below 1 or too large. */
bool fr_layer_floats(const fr_checkpoint_task *task, int64_t *out);

/** Whether a file may hold the field's value: integers within their limits, reals that are numbers or +INFINITY.
 * @param[out] what  "is 7, must be 0 to 1", or "" */
bool fr_field_allows(const fr_field *field, const void *owner,
                     char what[FR_FIELD_BYTES]);

/* ---- arrays ------------------------------------------------------------------------------- */

/** One array of a task: of a layer's prefix, or of its MLP. */
typedef struct fr_stored_array {
    char path[FR_H5_PATH_BYTES];
    int rank;
    int64_t shape[3];
    int64_t floats;
    float *data; /* NULL until the task has its memory */
} fr_stored_array;

/** How many arrays a task stores; its MLP counts if mlp.shape is set. */
int64_t fr_checkpoint_n_arrays(const fr_checkpoint_task *task, bool moments);
/** Array `index` of them: the layers' in turn, then each of the MLP's for all layers. Sizes must be sound. */
void fr_checkpoint_array(const fr_checkpoint_task *task, bool moments, int64_t index,
                         fr_stored_array *out);

/** FR_ERR_NUMERIC naming task, place and element unless `n` floats at `data` (any alignment) are finite. */
FR_MUST_CHECK fr_status fr_checkpoint_check_finite(fr_ctx *ctx, const char *path,
                                                   const fr_stored_array *array,
                                                   const void *data);

/** FR_ERR_CHECKPOINT naming `path` unless first_layer and n_layers lie in base_layers (0: n_layers). */
FR_MUST_CHECK fr_status fr_checkpoint_check_layers(fr_ctx *ctx, const char *path,
                                                   const fr_checkpoint_task *task);

/** Give a checkpoint without tasks those of a list of names, one a line, in order, each named once;
 * FR_ERR_CHECKPOINT. */
FR_MUST_CHECK fr_status fr_checkpoint_set_names(fr_ctx *ctx, const char *path,
                                                const char *names,
                                                fr_checkpoint *checkpoint);

/** Two tasks of one name: the name, else NULL. */
FR_MUST_CHECK fr_status fr_checkpoint_find_double(fr_ctx *ctx,
                                                  const fr_checkpoint *checkpoint,
                                                  const char **out);

/* ---- header ------------------------------------------------------------------------------- */

/** What the header says. */
typedef struct fr_header {
    int64_t major; /* of the format; 1: a file from before there were minor versions */
    int64_t minor;
    size_t index; /* bytes of the index, which begins at FR_HEADER_BYTES */
    size_t block; /* bytes of header, index and padding; HDF5 begins here */
} fr_header;

/** Bytes of the user block for an index of that many bytes: a power of two. */
size_t fr_header_block(size_t index);

/** Fill the header of an image: title, SHA-256 of all that follows the header, sizes, zeros. */
FR_MUST_CHECK fr_status fr_header_seal(fr_ctx *ctx, uint8_t *image, size_t bytes,
                                       size_t index, size_t block);

/** Whether the bytes begin like any file of ours. */
bool fr_header_is_ours(const uint8_t *image, size_t bytes);

/** Read the header and check the seal: FR_ERR_CHECKPOINT naming `path` (not ours, another format, damaged). */
FR_MUST_CHECK fr_status fr_header_check(fr_ctx *ctx, const char *path,
                                        const uint8_t *image, size_t bytes,
                                        fr_header *out);

/** The same for a file of format 1. */
FR_MUST_CHECK fr_status fr_header_check_format1(fr_ctx *ctx, const char *path,
                                                const uint8_t *image, size_t bytes);

/* ---- attributes of the index -------------------------------------------------------------- */

/** A JSON value and the member that it is for. @param[out] what  what is wrong with it, or "" */
FR_MUST_CHECK fr_status fr_field_parse(fr_ctx *ctx, const fr_field *field,
                                       fr_json value, void *owner,
                                       char what[FR_FIELD_BYTES]);

/** Text of a real in the index, exact; `out` has FR_REAL_BYTES. */
enum { FR_REAL_BYTES = 32 };
void fr_field_print_real(double value, char out[FR_REAL_BYTES]);

#endif
