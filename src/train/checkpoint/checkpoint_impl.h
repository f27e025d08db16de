/*
 * checkpoint_impl.h - what checkpoint.c and checkpoint_*.c share: the tables of fields and arrays that the writer and
 * the readers walk, the header, and the values in the index. docs/format-checkpoint.md is the format.
 */
#ifndef FR_TRAIN_CHECKPOINT_CHECKPOINT_IMPL_H
#define FR_TRAIN_CHECKPOINT_CHECKPOINT_IMPL_H

#include "base/json.h"
#include "train/checkpoint/checkpoint.h"

/** Bytes for the path of any object and for a message about a field, each with its NUL. */
enum { FR_H5_PATH_BYTES = 320, FR_FIELD_BYTES = 96 };

/** Limits of a file for the writer and the reader. They bound the memory that a hostile file can claim. */
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

/** One attribute and its struct member. */
typedef struct fr_field {
    const char *name;
    fr_field_kind kind;
    size_t offset;
    int64_t min;   /* FR_FIELD_I64: smallest allowed value */
    int64_t max;   /* and largest */
    bool optional; /* format 1: early files lack it; then the member keeps its value */
} fr_field;

/** An attribute that says what the numbers mean. A reader refuses a text that it does not know. */
typedef struct fr_convention {
    const char *name;
    const char *text;
    const char *sliding; /* of a prefix that slides; NULL: `text` */
} fr_convention;

/** One array of a prefix state. */
typedef struct fr_state_array {
    const char *name;
    size_t offset; /* of the float * in fr_prefix_state */
} fr_state_array;

enum {
    FR_N_FILE_FIELDS = 7,
    FR_N_TASK_FIELDS = 24,
    FR_N_ADDED_FIELDS = 8,
    FR_N_ADDED_FILE_FIELDS = 1,
    FR_N_CONVENTIONS = 3,
    FR_N_STATE_ARRAYS = 6,
    FR_N_PREFIX_ARRAYS = 2 /* the first ones; the others are moments */
};

extern const fr_field FR_FILE_FIELDS[FR_N_FILE_FIELDS];
extern const fr_field FR_TASK_FIELDS[FR_N_TASK_FIELDS];
/** Attributes of a task since minor version 1. Files may lack them; then the member keeps its value. */
extern const fr_field FR_ADDED_FIELDS[FR_N_ADDED_FIELDS];
/** Attributes of the file since minor version 2, likewise. */
extern const fr_field FR_ADDED_FILE_FIELDS[FR_N_ADDED_FILE_FIELDS];
extern const fr_convention FR_CONVENTIONS[FR_N_CONVENTIONS];
extern const fr_state_array FR_STATE_ARRAYS[FR_N_STATE_ARRAYS];

/** The convention's text for this task. */
const char *fr_convention_text(const fr_convention *convention,
                               const fr_checkpoint_task *task);

/** The array's data; NULL if the state does not have it. */
float *fr_state_array_get(const fr_prefix_state *state, int array);
void fr_state_array_set(fr_prefix_state *state, int array, float *data);

/** Whether the state has all four moments. */
bool fr_state_has_moments(const fr_prefix_state *state);

/** [A-Za-z0-9._-]+, at most FR_TASK_NAME_BYTES - 1 characters, not only dots: one part of an HDF5 path. */
bool fr_task_name_is_valid(const char *name);

/** Number of floats of one layer's array, length * n_kv_heads * head_dim; false if a size is below 1 or too large. */
bool fr_layer_floats(const fr_checkpoint_task *task, int64_t *out);

/** Whether a file may hold the field's value: integers within their limits, reals except NaN and -INFINITY.
 * @param[out] what  "is 7, must be 0 to 1", or "" */
bool fr_field_allows(const fr_field *field, const void *owner,
                     char what[FR_FIELD_BYTES]);

/* ---- arrays ------------------------------------------------------------------------------- */

/** One array of a task as a file stores it: of a layer's prefix, or of the MLP. */
typedef struct fr_stored_array {
    char path[FR_H5_PATH_BYTES];
    int rank;
    int64_t shape[3];
    int64_t floats;
    float *data; /* NULL until the arrays of the task are allocated */
} fr_stored_array;

/** Number of arrays that a task stores; those of the MLP count if mlp.shape is set. */
int64_t fr_checkpoint_n_arrays(const fr_checkpoint_task *task, bool moments);
/** Array `index` of them: first those of each layer, then those of the MLP, each for all layers. Sizes must be valid. */
void fr_checkpoint_array(const fr_checkpoint_task *task, bool moments, int64_t index,
                         fr_stored_array *out);

/** FR_ERR_NUMERIC with path and element unless all floats at `data` (any alignment) are finite. */
FR_MUST_CHECK fr_status fr_checkpoint_check_finite(fr_ctx *ctx, const char *path,
                                                   const fr_stored_array *array,
                                                   const void *data);

/** FR_ERR_CHECKPOINT if what is kept of a chat is longer than the format allows. */
FR_MUST_CHECK fr_status fr_checkpoint_check_chat(fr_ctx *ctx, const char *path,
                                                 const fr_checkpoint_task *task);

/** FR_ERR_CHECKPOINT unless the layers of the task lie within base_layers (0: n_layers). */
FR_MUST_CHECK fr_status fr_checkpoint_check_layers(fr_ctx *ctx, const char *path,
                                                   const fr_checkpoint_task *task);

/** Give an empty checkpoint one task per line of `names`. FR_ERR_CHECKPOINT if a name is invalid or appears twice. */
FR_MUST_CHECK fr_status fr_checkpoint_set_names(fr_ctx *ctx, const char *path,
                                                const char *names,
                                                fr_checkpoint *checkpoint);

/** The name that two tasks share; NULL if all names differ. */
FR_MUST_CHECK fr_status fr_checkpoint_find_double(fr_ctx *ctx,
                                                  const fr_checkpoint *checkpoint,
                                                  const char **out);

/* ---- header ------------------------------------------------------------------------------- */

/** Contents of the header. */
typedef struct fr_header {
    int64_t major; /* of the format; format 1 has no minor version */
    int64_t minor;
    size_t index; /* bytes of the index, which begins at FR_HEADER_BYTES */
    size_t block; /* bytes of header, index and padding; HDF5 begins here */
} fr_header;

/** Bytes of the user block for an index of that many bytes: a power of two, as HDF5 requires. */
size_t fr_header_block(size_t index);

/** Fill the header of an image with an index of that many bytes: title, SHA-256 of everything behind the header, sizes,
 * zeros. */
FR_MUST_CHECK fr_status fr_header_seal(fr_ctx *ctx, uint8_t *image, size_t bytes,
                                       int64_t minor, size_t index);

/** Whether the bytes begin like a Forerun checkpoint of any format. */
bool fr_header_is_ours(const uint8_t *image, size_t bytes);

/** Read the header and check the seal. FR_ERR_CHECKPOINT: not a checkpoint, another format, damaged. */
FR_MUST_CHECK fr_status fr_header_check(fr_ctx *ctx, const char *path,
                                        const uint8_t *image, size_t bytes,
                                        fr_header *out);

/** The same for a file of format 1. */
FR_MUST_CHECK fr_status fr_header_check_format1(fr_ctx *ctx, const char *path,
                                                const uint8_t *image, size_t bytes);

/* ---- attributes of the index -------------------------------------------------------------- */

/** Parse a JSON value into the field's member. @param[out] what  what is wrong with the value, or "" */
FR_MUST_CHECK fr_status fr_field_parse(fr_ctx *ctx, const fr_field *field,
                                       fr_json value, void *owner,
                                       char what[FR_FIELD_BYTES]);

/** The text of a real in the index, which determines it exactly. */
enum { FR_REAL_BYTES = 32 };
void fr_field_print_real(double value, char out[FR_REAL_BYTES]);

#endif
