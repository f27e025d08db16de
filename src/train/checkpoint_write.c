#include "train/checkpoint_impl.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fr_status write_field(fr_h5 *h5, const char *object, const fr_field *field,
                             const void *owner)
{
    const void *member = (const char *)owner + field->offset;
    int64_t integer = 0;
    uint64_t natural = 0;
    double real = 0;
    bool truth = false;
    const char *text = NULL;
    switch (field->kind) {
    case FR_FIELD_I64:
        memcpy(&integer, member, sizeof integer);
        return fr_h5_write_i64(h5, object, field->name, integer);
    case FR_FIELD_U64:
        memcpy(&natural, member, sizeof natural);
        return fr_h5_write_u64(h5, object, field->name, natural);
    case FR_FIELD_F64:
        memcpy(&real, member, sizeof real);
        return fr_h5_write_f64(h5, object, field->name, real);
    case FR_FIELD_BOOL:
        memcpy(&truth, member, sizeof truth);
        return fr_h5_write_i64(h5, object, field->name, truth ? 1 : 0);
    case FR_FIELD_TEXT:
        memcpy(&text, member, sizeof text);
        return text != NULL ? fr_h5_write_text(h5, object, field->name, text) : FR_OK;
    case FR_FIELD_DIGEST:
    default:
        return fr_h5_write_bytes(h5, object, field->name, member, FR_DIGEST_BYTES);
    }
}

static fr_status write_fields(fr_h5 *h5, const char *object, const fr_field *fields,
                              int n_fields, const void *owner)
{
    for (int i = 0; i < n_fields; i++) {
        FR_TRY(write_field(h5, object, &fields[i], owner));
    }
    return FR_OK;
}

/* /tasks/NAME/layers/I, I being the base's number of the layer, and its arrays, each [length, kv_heads, head_dim] */
static fr_status write_layer(fr_h5 *h5, const fr_checkpoint_task *task, int64_t layer,
                             int64_t floats, int n_arrays)
{
    const int64_t shape[] = {task->length, task->n_kv_heads, task->head_dim};
    long long number = (long long)(task->first_layer + layer);
    char path[FR_H5_PATH_BYTES];
    (void)snprintf(path, sizeof path, "/tasks/%s/layers/%lld", task->name, number);
    FR_TRY(fr_h5_make_group(h5, path));
    for (int i = 0; i < n_arrays; i++) {
        (void)snprintf(path, sizeof path, "/tasks/%s/layers/%lld/%s", task->name,
                       number, FR_STATE_ARRAYS[i].name);
        FR_TRY(fr_h5_write_f32(h5, path, shape, 3,
                               fr_state_array_get(&task->state, i) + layer * floats));
    }
    return FR_OK;
}

static fr_status write_task(fr_h5 *h5, const fr_checkpoint_task *task)
{
    char path[FR_H5_PATH_BYTES];
    int64_t floats = 0;
    bool moments = fr_state_has_moments(&task->state);
    (void)fr_layer_floats(task, &floats);
    (void)snprintf(path, sizeof path, "/tasks/%s", task->name);
    FR_TRY(fr_h5_make_group(h5, path));
    FR_TRY(write_fields(h5, path, FR_TASK_FIELDS, FR_N_TASK_FIELDS, task));
    FR_TRY(fr_h5_write_i64(h5, path, "moments", moments ? 1 : 0));
    for (int i = 0; i < FR_N_CONVENTIONS; i++) {
        FR_TRY(
            fr_h5_write_text(h5, path, FR_CONVENTIONS[i].name, FR_CONVENTIONS[i].text));
    }
    (void)snprintf(path, sizeof path, "/tasks/%s/layers", task->name);
    FR_TRY(fr_h5_make_group(h5, path));
    for (int64_t layer = 0; layer < task->n_layers; layer++) {
        FR_TRY(write_layer(h5, task, layer, floats,
                           moments ? FR_N_STATE_ARRAYS : FR_N_PREFIX_ARRAYS));
    }
    return fr_checkpoint_write_mlp(h5, task);
}

/* The names in run order, one a line: links in a group have an order of their own. */
static fr_status write_names(fr_ctx *ctx, fr_h5 *h5, const fr_checkpoint *checkpoint)
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
    fr_status status = fr_h5_write_text(h5, "/", "tasks", names);
    free(names);
    return status;
}

static fr_status write_all(fr_ctx *ctx, fr_h5 *h5, const fr_checkpoint *checkpoint)
{
    FR_TRY(fr_h5_write_i64(h5, "/", "schema_version", FR_CHECKPOINT_SCHEMA));
    FR_TRY(write_fields(h5, "/", FR_FILE_FIELDS, FR_N_FILE_FIELDS, checkpoint));
    FR_TRY(write_names(ctx, h5, checkpoint));
    FR_TRY(fr_h5_make_group(h5, "/tasks"));
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        FR_TRY(write_task(h5, &checkpoint->tasks[i]));
    }
    return FR_OK;
}

/* What the reader demands: a file that could not be read again is not written. */
static fr_status check_task(fr_ctx *ctx, const fr_checkpoint *checkpoint, int64_t index)
{
    const fr_checkpoint_task *task = &checkpoint->tasks[index];
    int64_t floats = 0;
    if (task->name == NULL || !fr_task_name_is_valid(task->name)) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "task name '%.80s' cannot be stored; use up to %d of "
                       "A-Z a-z 0-9 . _ - and not only dots",
                       task->name != NULL ? task->name : "", FR_TASK_NAME_BYTES - 1);
    }
    for (int64_t i = 0; i < index; i++) {
        if (strcmp(checkpoint->tasks[i].name, task->name) == 0) {
            return FR_FAIL(ctx, FR_ERR_ARG, "two tasks are named %s; rename one",
                           task->name);
        }
    }
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

/* Bytes of a file, a little too many: arrays, texts, and what the format adds to each object. */
static int64_t expect_bytes(const fr_checkpoint *checkpoint)
{
    enum { PER_ARRAY = 1024, PER_TASK = 16384, PER_FILE = 65536 };
    int64_t bytes = PER_FILE;
    bytes += checkpoint->config != NULL ? (int64_t)strlen(checkpoint->config) : 0;
    for (int64_t t = 0; t < checkpoint->n_tasks; t++) {
        const fr_checkpoint_task *task = &checkpoint->tasks[t];
        int64_t floats = 0;
        (void)fr_layer_floats(task, &floats);
        bytes += PER_TASK + task->n_layers * FR_N_STATE_ARRAYS *
                                (PER_ARRAY + floats * (int64_t)sizeof(float));
        if (fr_mlp_is_there(&task->mlp)) {
            (void)fr_mlp_floats(&task->mlp.shape, task->n_layers, &floats);
            bytes += task->n_layers * FR_MLP_ARRAYS * PER_ARRAY +
                     floats * (int64_t)sizeof(float);
        }
    }
    return bytes;
}

fr_status fr_checkpoint_write(fr_ctx *ctx, const char *path,
                              const fr_checkpoint *checkpoint)
{
    fr_h5 *h5 = NULL;
    uint8_t *image = NULL;
    size_t bytes = 0;
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        FR_TRY(check_task(ctx, checkpoint, i));
    }
    fr_status status = fr_h5_create(ctx, path, expect_bytes(checkpoint), &h5);
    if (status == FR_OK) {
        status = write_all(ctx, h5, checkpoint);
    }
    if (status == FR_OK) {
        status = fr_h5_finish(h5, &image, &bytes);
    }
    fr_h5_destroy(&h5);
    if (status == FR_OK) {
        status = fr_checkpoint_seal(ctx, image, bytes);
    }
    if (status == FR_OK) {
        status = fr_file_replace(ctx, path, image, bytes);
    }
    free(image);
    return status;
}
