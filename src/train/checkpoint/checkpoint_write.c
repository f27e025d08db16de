/*
 * Makes the bytes of a checkpoint: header | index | padding | HDF5. First everything that a reader would refuse is refused
 * here (check_all). Then write_all walks over the content twice: for the index, whose size fixes where the HDF5 part
 * begins, and for the HDF5 part, which fills the offsets of the arrays into the index. The seal comes last.
 * Nothing of it depends on time or memory addresses, so equal content gives equal bytes.
 */
#include "train/checkpoint/checkpoint_sink.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/task_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the content of a file, for a sink ------------------------------------------------------ */

/* The order of attributes, groups and arrays is part of the format: the reader asks for the lines in this order. */
static fr_status write_task(fr_sink *sink, const fr_checkpoint_task *task)
{
    char path[FR_H5_PATH_BYTES];
    bool moments = fr_state_has_moments(&task->state);
    (void)snprintf(path, sizeof path, "/tasks/%s", task->name);
    FR_TRY(fr_sink_begin(sink, path));
    FR_TRY(fr_sink_fields(sink, FR_TASK_FIELDS, FR_N_TASK_FIELDS, task));
    FR_TRY(fr_sink_fields(sink, FR_ADDED_FIELDS, FR_N_ADDED_FIELDS, task));
    FR_TRY(fr_sink_integer(sink, "moments", moments ? 1 : 0));
    for (int i = 0; i < FR_N_CONVENTIONS; i++) {
        const fr_convention *convention = &FR_CONVENTIONS[i];
        FR_TRY(
            fr_sink_text(sink, convention->name, fr_convention_text(convention, task)));
    }
    if (fr_mlp_is_there(&task->mlp)) {
        FR_TRY(fr_sink_integer(sink, "mlp_hidden", task->mlp.shape.hidden));
        FR_TRY(fr_sink_integer(sink, "mlp_width", task->mlp.shape.width));
    }
    FR_TRY(fr_sink_end(sink));
    FR_TRY(fr_sink_groups(sink, task));
    int64_t n = fr_checkpoint_n_arrays(task, moments);
    for (int64_t i = 0; i < n; i++) {
        fr_stored_array array;
        fr_checkpoint_array(task, moments, i, &array);
        FR_TRY(fr_sink_array(sink, &array));
    }
    return FR_OK;
}

/* The names in the order of the run, one per line, because HDF5 orders the links of a group by itself. */
static fr_status write_names(fr_ctx *ctx, fr_sink *sink,
                             const fr_checkpoint *checkpoint)
{
    char *names = NULL;
    char *end = NULL;
    FR_TRY(fr_alloc(ctx, checkpoint->n_tasks + 1, FR_TASK_NAME_BYTES, &names));
    end = names;
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        size_t length = strlen(checkpoint->tasks[i].name);
        if (i > 0) {
            *end++ = '\n';
        }
        memcpy(end, checkpoint->tasks[i].name, length);
        end += length;
    }
    fr_status status = fr_sink_text(sink, "tasks", names);
    free(names);
    return status;
}

/* Everything that the file holds, for either sink. Both walks must see the same content, so nothing here may depend on
 * the sink. */
static fr_status write_all(fr_ctx *ctx, fr_sink *sink, const fr_checkpoint *checkpoint)
{
    FR_TRY(fr_sink_begin(sink, "/"));
    FR_TRY(fr_sink_integer(sink, "schema_version", FR_CHECKPOINT_MAJOR));
    FR_TRY(fr_sink_integer(sink, "schema_minor", fr_checkpoint_minor(checkpoint)));
    FR_TRY(fr_sink_fields(sink, FR_FILE_FIELDS, FR_N_FILE_FIELDS, checkpoint));
    FR_TRY(
        fr_sink_fields(sink, FR_ADDED_FILE_FIELDS, FR_N_ADDED_FILE_FIELDS, checkpoint));
    FR_TRY(write_names(ctx, sink, checkpoint));
    FR_TRY(fr_sink_end(sink));
    FR_TRY(fr_sink_group(sink, "/tasks"));
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        FR_TRY(write_task(sink, &checkpoint->tasks[i]));
    }
    return FR_OK;
}

/* ---- the demands of the reader: a file that could not be read again is not written ------------ */

static fr_status check_names(fr_ctx *ctx, const fr_checkpoint *checkpoint)
{
    const char *twice = NULL;
    if (checkpoint->n_tasks > FR_MAX_TASKS) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "%lld tasks cannot be stored in a file, at most %d are allowed",
                       (long long)checkpoint->n_tasks, FR_MAX_TASKS);
    }
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        const char *name = checkpoint->tasks[i].name;
        if (name == NULL || !fr_task_name_check(name)) {
            return FR_FAIL(ctx, FR_ERR_ARG,
                           "task name '%.80s' cannot be stored; use " FR_TASK_NAME_RULE,
                           name != NULL ? name : "");
        }
    }
    FR_TRY(fr_checkpoint_find_double(ctx, checkpoint, &twice));
    return twice == NULL
               ? FR_OK
               : FR_FAIL(ctx, FR_ERR_ARG, "two tasks are named %s; rename one", twice);
}

/* Arrays carry no sizes of their own, so a prefix and an MLP of different sizes would be read beyond their ends. */
static fr_status check_shapes(fr_ctx *ctx, const fr_checkpoint_task *task)
{
    int64_t floats = 0;
    if (!fr_layer_floats(task, &floats) || task->state.k == NULL ||
        task->state.v == NULL) {
        return FR_FAIL(ctx, FR_ERR_SHAPE,
                       "task %s has no prefix of %lld slots x %lld layers to store",
                       task->name, (long long)task->length, (long long)task->n_layers);
    }
    const fr_mlp_shape *mlp = &task->mlp.shape;
    if (fr_mlp_is_there(&task->mlp) &&
        (mlp->length != task->length || mlp->n_kv_heads != task->n_kv_heads ||
         mlp->head_dim != task->head_dim || task->mlp.n_layers != task->n_layers)) {
        return FR_FAIL(
            ctx, FR_ERR_SHAPE,
            "task %s has a prefix of %lld slots x %lld layers and an MLP for "
            "%lld x %lld",
            task->name, (long long)task->length, (long long)task->n_layers,
            (long long)mlp->length, (long long)task->mlp.n_layers);
    }
    return FR_OK;
}

static fr_status check_table(fr_ctx *ctx, const fr_field *fields, int n_fields,
                             const fr_checkpoint_task *task)
{
    char what[FR_FIELD_BYTES];
    for (int i = 0; i < n_fields; i++) {
        if (!fr_field_allows(&fields[i], task, what)) {
            return FR_FAIL(ctx, FR_ERR_ARG, "task %s cannot be stored: %s %s",
                           task->name, fields[i].name, what);
        }
    }
    return FR_OK;
}

static fr_status check_fields(fr_ctx *ctx, const fr_checkpoint_task *task)
{
    FR_TRY(check_table(ctx, FR_TASK_FIELDS, FR_N_TASK_FIELDS, task));
    return check_table(ctx, FR_ADDED_FIELDS, FR_N_ADDED_FIELDS, task);
}

/* A prefix with a number that is not finite is of no use. Refusing it here leaves the last good file in its place. */
static fr_status check_arrays(fr_ctx *ctx, const char *name,
                              const fr_checkpoint_task *task)
{
    bool moments = fr_state_has_moments(&task->state);
    int64_t n = fr_checkpoint_n_arrays(task, moments);
    for (int64_t i = 0; i < n; i++) {
        fr_stored_array array;
        fr_checkpoint_array(task, moments, i, &array);
        FR_TRY(fr_checkpoint_check_finite(ctx, name, &array, array.data));
    }
    return FR_OK;
}

static fr_status check_all(fr_ctx *ctx, const char *name,
                           const fr_checkpoint *checkpoint)
{
    FR_TRY(check_names(ctx, checkpoint));
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        const fr_checkpoint_task *task = &checkpoint->tasks[i];
        FR_TRY(check_shapes(ctx, task));
        FR_TRY(check_fields(ctx, task));
        FR_TRY(fr_checkpoint_check_layers(ctx, name, task));
        FR_TRY(fr_checkpoint_check_chat(ctx, name, task));
        FR_TRY(check_arrays(ctx, name, task));
    }
    return FR_OK;
}

/* ---- the image -------------------------------------------------------------------------------- */

/* Upper estimate of the bytes of the HDF5 part: arrays, texts, and what HDF5 adds per array, task and file,
 * estimated generously. It is only the size of the first allocation. */
static int64_t expect_bytes(const fr_checkpoint *checkpoint, const fr_sink *index)
{
    enum { PER_ARRAY = 512, PER_TASK = 16384, PER_FILE = 65536 };
    int64_t bytes = PER_FILE + (int64_t)index->bytes + index->n_arrays * PER_ARRAY;
    for (int64_t t = 0; t < checkpoint->n_tasks; t++) {
        const fr_checkpoint_task *task = &checkpoint->tasks[t];
        bool moments = fr_state_has_moments(&task->state);
        int64_t floats = 0;
        (void)fr_layer_floats(task, &floats);
        floats *= task->n_layers * (moments ? FR_N_STATE_ARRAYS : FR_N_PREFIX_ARRAYS);
        bytes += PER_TASK + floats * (int64_t)sizeof(float);
        if (fr_mlp_is_there(&task->mlp)) {
            (void)fr_mlp_floats(&task->mlp.shape, task->n_layers, &floats);
            bytes += floats * (int64_t)sizeof(float);
        }
    }
    return bytes;
}

/* Make the HDF5 part, and fill the offsets of the arrays into the index. */
static fr_status make_hdf5(fr_ctx *ctx, const char *name,
                           const fr_checkpoint *checkpoint, fr_sink *index,
                           uint8_t **image, size_t *bytes)
{
    fr_h5 *h5 = NULL;
    size_t block = fr_header_block(index->bytes);
    fr_status status = fr_h5_create(
        ctx, name, block, (int64_t)block + expect_bytes(checkpoint, index), &h5);
    if (status == FR_OK) {
        fr_sink sink = {.ctx = ctx, .h5 = h5, .index = index};
        status = write_all(ctx, &sink, checkpoint);
    }
    if (status == FR_OK) {
        status = fr_h5_finish(h5, image, bytes);
    }
    fr_h5_destroy(&h5);
    return status;
}

/* The index is copied only at the end, when the HDF5 sink has filled in the offsets. Its length stays as it was, so the
 * block that was left for it still fits. */
fr_status fr_checkpoint_image(fr_ctx *ctx, const char *name,
                              const fr_checkpoint *checkpoint, uint8_t **image,
                              size_t *bytes)
{
    fr_sink index = {.ctx = ctx};
    *image = NULL;
    FR_TRY(check_all(ctx, name, checkpoint));
    fr_status status = write_all(ctx, &index, checkpoint);
    if (status == FR_OK) {
        status = make_hdf5(ctx, name, checkpoint, &index, image, bytes);
    }
    if (status == FR_OK) {
        memcpy(*image + FR_HEADER_BYTES, index.text, index.bytes);
        status = fr_header_seal(ctx, *image, *bytes, fr_checkpoint_minor(checkpoint),
                                index.bytes);
    }
    if (status != FR_OK) {
        free(*image);
        *image = NULL;
    }
    fr_sink_fini(&index);
    return status;
}

fr_status fr_checkpoint_write(fr_ctx *ctx, const char *path,
                              const fr_checkpoint *checkpoint)
{
    uint8_t *image = NULL;
    size_t bytes = 0;
    FR_TRY(fr_checkpoint_image(ctx, path, checkpoint, &image, &bytes));
    fr_status status = fr_file_replace(ctx, path, image, bytes);
    free(image);
    return status;
}
