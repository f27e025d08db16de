#include "train/checkpoint_impl.h"

#include <stdio.h>

/* Where an array of the MLP lies: beside its layer's keys, or in the task's group `shared`. */
static void place_of(const fr_checkpoint_task *task, const fr_mlp_array *array,
                     int64_t layer, char out[FR_H5_PATH_BYTES])
{
    if (array->shared) {
        (void)snprintf(out, FR_H5_PATH_BYTES, "/tasks/%s/shared/%s", task->name,
                       array->name);
    } else {
        (void)snprintf(out, FR_H5_PATH_BYTES, "/tasks/%s/layers/%lld/%s", task->name,
                       (long long)(task->first_layer + layer), array->name);
    }
}

fr_status fr_checkpoint_write_mlp(fr_h5 *h5, const fr_checkpoint_task *task)
{
    const fr_mlp_state *mlp = &task->mlp;
    char path[FR_H5_PATH_BYTES];
    if (!fr_mlp_is_there(mlp)) {
        return FR_OK;
    }
    (void)snprintf(path, sizeof path, "/tasks/%s", task->name);
    FR_TRY(fr_h5_write_i64(h5, path, "mlp_hidden", mlp->shape.hidden));
    FR_TRY(fr_h5_write_i64(h5, path, "mlp_width", mlp->shape.width));
    (void)snprintf(path, sizeof path, "/tasks/%s/shared", task->name);
    FR_TRY(fr_h5_make_group(h5, path));
    for (int i = 0; i < FR_MLP_ARRAYS; i++) {
        fr_mlp_array array = fr_mlp_describe(&mlp->shape, i);
        for (int64_t l = 0; l < (array.shared ? 1 : mlp->n_layers); l++) {
            place_of(task, &array, l, path);
            FR_TRY(fr_h5_write_f32(h5, path, array.shape, array.rank,
                                   mlp->arrays[i] + l * array.floats));
        }
    }
    return FR_OK;
}

/* The sizes, believed only as far as the file can hold them. */
static fr_status read_shape(fr_ctx *ctx, const char *path, fr_h5 *h5, int64_t *left,
                            const fr_checkpoint_task *task, fr_mlp_shape *out)
{
    char object[FR_H5_PATH_BYTES];
    int64_t floats = 0;
    (void)snprintf(object, sizeof object, "/tasks/%s", task->name);
    *out = (fr_mlp_shape){.length = task->length,
                          .n_kv_heads = task->n_kv_heads,
                          .head_dim = task->head_dim};
    FR_TRY(fr_h5_read_i64(h5, object, "mlp_hidden", &out->hidden));
    FR_TRY(fr_h5_read_i64(h5, object, "mlp_width", &out->width));
    if (!fr_mlp_floats(out, task->n_layers, &floats) ||
        floats > *left / (int64_t)sizeof(float)) {
        return FR_FAIL(
            ctx, FR_ERR_CHECKPOINT,
            "%s: %s claims an MLP of %lld hidden units x %lld, which is "
            "impossible or more than the file holds; restore the file or use "
            "an older checkpoint",
            path, object, (long long)out->hidden, (long long)out->width);
    }
    *left -= floats * (int64_t)sizeof(float);
    return FR_OK;
}

fr_status fr_checkpoint_read_mlp(fr_ctx *ctx, const char *path, fr_h5 *h5,
                                 int64_t *left, fr_checkpoint_task *task)
{
    char place[FR_H5_PATH_BYTES];
    fr_mlp_shape shape;
    (void)snprintf(place, sizeof place, "/tasks/%s", task->name);
    if (!fr_h5_has_attribute(h5, place, "mlp_hidden")) {
        return FR_OK;
    }
    FR_TRY(read_shape(ctx, path, h5, left, task, &shape));
    FR_TRY(fr_mlp_init(ctx, &shape, task->n_layers, &task->mlp));
    for (int i = 0; i < FR_MLP_ARRAYS; i++) {
        fr_mlp_array array = fr_mlp_describe(&shape, i);
        for (int64_t l = 0; l < (array.shared ? 1 : task->n_layers); l++) {
            place_of(task, &array, l, place);
            FR_TRY(fr_h5_read_f32(h5, place, array.shape, array.rank,
                                  task->mlp.arrays[i] + l * array.floats));
        }
    }
    return FR_OK;
}
