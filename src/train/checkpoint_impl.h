/*
 * checkpoint_impl.h - what the checkpoint's files share: the tables of fields and arrays that writer and
 * reader both walk, and the seal in the user block.
 *
 * Layer L4, private to checkpoint*.c.
 */
#ifndef FR_TRAIN_CHECKPOINT_IMPL_H
#define FR_TRAIN_CHECKPOINT_IMPL_H

#include "base/h5.h"
#include "train/checkpoint.h"

/** Longest task name, and room for the path of any object. */
enum { FR_TASK_NAME_BYTES = 200, FR_H5_PATH_BYTES = 320 };

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
    int64_t least; /* FR_FIELD_I64: smallest value a file may hold */
    bool optional; /* files of earlier versions lack it: the member keeps what it has */
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
    FR_N_CONVENTIONS = 3,
    FR_N_STATE_ARRAYS = 6,
    FR_N_PREFIX_ARRAYS = 2 /* the first ones; the others are moments */
};

extern const fr_field FR_FILE_FIELDS[FR_N_FILE_FIELDS];
extern const fr_field FR_TASK_FIELDS[FR_N_TASK_FIELDS];
extern const fr_convention FR_CONVENTIONS[FR_N_CONVENTIONS];
extern const fr_state_array FR_STATE_ARRAYS[FR_N_STATE_ARRAYS];

/** The array's data; NULL where the state has none. */
float *fr_state_array_get(const fr_prefix_state *state, int array);
void fr_state_array_set(fr_prefix_state *state, int array, float *data);

/** All four moments are there. */
bool fr_state_has_moments(const fr_prefix_state *state);

/** [A-Za-z0-9._-]+, at most FR_TASK_NAME_BYTES - 1, not only dots: one link of an HDF5 path. */
bool fr_task_name_is_valid(const char *name);

/** floats of one layer's array, length * kv_heads * head_dim; false if a size is below 1 or too large. */
bool fr_layer_floats(const fr_checkpoint_task *task, int64_t *out);

/** Attributes mlp_hidden and mlp_width of the task, its MLP's arrays beside those of each layer, and the group
 * shared; nothing if the task has no MLP. */
FR_MUST_CHECK fr_status fr_checkpoint_write_mlp(fr_h5 *h5,
                                                const fr_checkpoint_task *task);

/** Read what fr_checkpoint_write_mlp wrote, if it did. @param left  bytes of the file that no task has claimed
 * yet, lowered; FR_ERR_CHECKPOINT naming `path` where sizes do not fit the file. */
FR_MUST_CHECK fr_status fr_checkpoint_read_mlp(fr_ctx *ctx, const char *path, fr_h5 *h5,
                                               int64_t *left, fr_checkpoint_task *task);

/** Fill the user block of an image: a line that names the format, one with the SHA-256 of all that
 * follows the block, then zeros. */
FR_MUST_CHECK fr_status fr_checkpoint_seal(fr_ctx *ctx, uint8_t *image, size_t bytes);

/** FR_ERR_CHECKPOINT naming `path` unless the user block is exactly what fr_checkpoint_seal writes. */
FR_MUST_CHECK fr_status fr_checkpoint_check_seal(fr_ctx *ctx, const char *path,
                                                 const uint8_t *image, size_t bytes);

#endif
