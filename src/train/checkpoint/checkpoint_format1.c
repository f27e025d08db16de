/*
 * Reads files of format 1, which Forerun wrote until commit 28b37a4: an HDF5 tree under a seal, without an index. Only the
 * HDF5 library can read them, so this runs in a process of its own (cli/convert.h). The attributes are those of the
 * tables in checkpoint.c; early files lack the optional ones.
 */
#include "base/h5.h"
#include "base/mem.h"
#include "train/checkpoint/checkpoint_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file being read. */
typedef struct reader {
    fr_ctx *ctx;
    const char *path;
    fr_h5 *h5;
    int64_t left; /* bytes of the file that no task has claimed yet */
} reader;

static fr_status fail_place(const reader *r, const char *place, const char *what)
{
    return FR_FAIL(r->ctx, FR_ERR_CHECKPOINT,
                   "%s: %s %s; restore the file or use an older checkpoint", r->path,
                   place, what);
}

/* Format 1 stored a truth value as an integer; any other integer than 0 and 1 shows a broken file. */
static fr_status read_truth(const reader *r, const char *object, const char *name,
                            bool *out)
{
    int64_t value = 0;
    FR_TRY(fr_h5_read_i64(r->h5, object, name, &value));
    if (value < 0 || value > 1) {
        return FR_FAIL(r->ctx, FR_ERR_CHECKPOINT,
                       "%s: attribute %s of %s is %lld, must be 0 to 1", r->path, name,
                       object, (long long)value);
    }
    *out = value == 1;
    return FR_OK;
}

/* `member` has the type that belongs to the field's kind. A text may be missing; then the member stays NULL. */
static fr_status read_value(const reader *r, const char *object, const fr_field *field,
                            void *member)
{
    switch (field->kind) {
    case FR_FIELD_I64:
        return fr_h5_read_i64(r->h5, object, field->name, member);
    case FR_FIELD_U64:
        return fr_h5_read_u64(r->h5, object, field->name, member);
    case FR_FIELD_F64:
        return fr_h5_read_f64(r->h5, object, field->name, member);
    case FR_FIELD_BOOL:
        return read_truth(r, object, field->name, member);
    case FR_FIELD_TEXT:
        if (!fr_h5_has_attribute(r->h5, object, field->name)) {
            return FR_OK;
        }
        return fr_h5_read_text(r->h5, object, field->name, member);
    case FR_FIELD_DIGEST:
    default:
        return fr_h5_read_bytes(r->h5, object, field->name, member, FR_DIGEST_BYTES);
    }
}

static fr_status read_field(const reader *r, const char *object, const fr_field *field,
                            void *owner)
{
    char what[FR_FIELD_BYTES];
    char place[FR_H5_PATH_BYTES + 64];
    double real = 0;
    void *member = (char *)owner + field->offset;
    if (field->optional && !fr_h5_has_attribute(r->h5, object, field->name)) {
        return FR_OK;
    }
    FR_TRY(read_value(r, object, field, member));
    /* format 1 stored the NaN of a failed validation; now it counts as none */
    if (field->kind == FR_FIELD_F64 && strcmp(field->name, "valid_loss") == 0) {
        memcpy(&real, member, sizeof real);
        real = isnan(real) ? (double)INFINITY : real;
        memcpy(member, &real, sizeof real);
    }
    if (!fr_field_allows(field, owner, what)) {
        (void)snprintf(place, sizeof place, "attribute %s of %s", field->name, object);
        return fail_place(r, place, what);
    }
    return FR_OK;
}

static fr_status read_fields(const reader *r, const char *object,
                             const fr_field *fields, int n_fields, void *owner)
{
    for (int i = 0; i < n_fields; i++) {
        FR_TRY(read_field(r, object, &fields[i], owner));
    }
    return FR_OK;
}

/* The attributes that say how keys are rotated and ordered. With another value the numbers would be read without an
 * error and attend wrongly, so such a file is refused. */
static fr_status check_conventions(const reader *r, const char *object)
{
    for (int i = 0; i < FR_N_CONVENTIONS; i++) {
        const fr_convention *convention = &FR_CONVENTIONS[i];
        fr_status status = FR_OK;
        char *text = NULL;
        FR_TRY(fr_h5_read_text(r->h5, object, convention->name, &text));
        if (strcmp(text, convention->text) != 0) {
            status = FR_FAIL(r->ctx, FR_ERR_CHECKPOINT,
                             "%s: %s of %s is not '%s', the only value that is read",
                             r->path, convention->name, object, convention->text);
        }
        free(text);
        FR_TRY(status);
    }
    return FR_OK;
}

/* Sizes are believed only as far as the file can hold them: nothing is compressed, and each byte belongs
 * to one task. */
static fr_status claim_size(reader *r, const char *object,
                            const fr_checkpoint_task *task, int n_arrays)
{
    int64_t total = 0;
    if (!fr_layer_floats(task, &total) || !fr_mul_i64(total, task->n_layers, &total) ||
        !fr_mul_i64(total, n_arrays * (int64_t)sizeof(float), &total) ||
        total > r->left) {
        return FR_FAIL(r->ctx, FR_ERR_CHECKPOINT,
                       "%s: %s claims %lld slots x %lld layers x %lld heads x %lld, "
                       "more than the file holds",
                       r->path, object, (long long)task->length,
                       (long long)task->n_layers, (long long)task->n_kv_heads,
                       (long long)task->head_dim);
    }
    r->left -= total;
    return FR_OK;
}

/* The MLP's sizes, believed only as far as the file can hold them. */
static fr_status read_mlp_shape(reader *r, const char *object, fr_checkpoint_task *task)
{
    fr_mlp_shape shape = {.length = task->length,
                          .n_kv_heads = task->n_kv_heads,
                          .head_dim = task->head_dim};
    int64_t floats = 0;
    if (!fr_h5_has_attribute(r->h5, object, "mlp_hidden")) {
        return FR_OK;
    }
    FR_TRY(fr_h5_read_i64(r->h5, object, "mlp_hidden", &shape.hidden));
    FR_TRY(fr_h5_read_i64(r->h5, object, "mlp_width", &shape.width));
    if (!fr_mlp_floats(&shape, task->n_layers, &floats) ||
        floats > r->left / (int64_t)sizeof(float)) {
        return FR_FAIL(r->ctx, FR_ERR_CHECKPOINT,
                       "%s: %s claims an MLP of %lld hidden units x %lld, which is "
                       "impossible or more than the file holds",
                       r->path, object, (long long)shape.hidden,
                       (long long)shape.width);
    }
    r->left -= floats * (int64_t)sizeof(float);
    return fr_mlp_init(r->ctx, &shape, task->n_layers, &task->mlp);
}

/* The groups of layers are counted first: a layer beyond the task's own would not be read and so go unnoticed. */
static fr_status read_arrays(const reader *r, const fr_checkpoint_task *task,
                             bool moments)
{
    char path[FR_H5_PATH_BYTES];
    int64_t n_groups = 0;
    (void)snprintf(path, sizeof path, "/tasks/%s/layers", task->name);
    FR_TRY(fr_h5_count(r->h5, path, &n_groups));
    if (n_groups != task->n_layers) {
        return FR_FAIL(r->ctx, FR_ERR_CHECKPOINT,
                       "%s: %s holds %lld layers, its task says %lld", r->path, path,
                       (long long)n_groups, (long long)task->n_layers);
    }
    int64_t n = fr_checkpoint_n_arrays(task, moments);
    for (int64_t i = 0; i < n; i++) {
        fr_stored_array array;
        fr_checkpoint_array(task, moments, i, &array);
        FR_TRY(fr_h5_read_f32(r->h5, array.path, array.shape, array.rank, array.data));
    }
    return FR_OK;
}

/* Sizes first, each checked before memory is taken for it; then the arrays. Files without base_layers are older than
 * prefixes on some layers only, so all layers of the base have a prefix. */
static fr_status read_task(reader *r, fr_checkpoint_task *task)
{
    char path[FR_H5_PATH_BYTES];
    bool moments = false;
    (void)snprintf(path, sizeof path, "/tasks/%s", task->name);
    FR_TRY(read_fields(r, path, FR_TASK_FIELDS, FR_N_TASK_FIELDS, task));
    task->base_layers = task->base_layers > 0 ? task->base_layers : task->n_layers;
    FR_TRY(fr_checkpoint_check_layers(r->ctx, r->path, task));
    FR_TRY(check_conventions(r, path));
    FR_TRY(read_truth(r, path, "moments", &moments));
    FR_TRY(claim_size(r, path, task, moments ? FR_N_STATE_ARRAYS : FR_N_PREFIX_ARRAYS));
    FR_TRY(fr_checkpoint_task_alloc(r->ctx, task, moments));
    FR_TRY(read_mlp_shape(r, path, task));
    return read_arrays(r, task, moments);
}

static fr_status read_names(const reader *r, fr_checkpoint *out)
{
    char *names = NULL;
    int64_t n_groups = 0;
    FR_TRY(fr_h5_read_text(r->h5, "/", "tasks", &names));
    fr_status status = fr_h5_count(r->h5, "/tasks", &n_groups);
    if (status == FR_OK) {
        status = fr_checkpoint_set_names(r->ctx, r->path, names, out);
    }
    free(names);
    if (status == FR_OK && n_groups != out->n_tasks) {
        status =
            fail_place(r, "/tasks", "holds other tasks than attribute tasks of / says");
    }
    return status;
}

/* Check the version first: another version may have none of the other attributes. */
static fr_status check_schema(const reader *r)
{
    int64_t schema = 0;
    if (!fr_h5_has_attribute(r->h5, "/", "schema_version")) {
        return fail_place(r, "attribute schema_version of /", "is missing");
    }
    FR_TRY(fr_h5_read_i64(r->h5, "/", "schema_version", &schema));
    if (schema != 1) {
        return FR_FAIL(r->ctx, FR_ERR_CHECKPOINT,
                       "%s has schema version %lld, must be 1", r->path,
                       (long long)schema);
    }
    return FR_OK;
}

static fr_status read_all(reader *r, fr_checkpoint *out)
{
    FR_TRY(check_schema(r));
    FR_TRY(read_names(r, out));
    FR_TRY(read_fields(r, "/", FR_FILE_FIELDS, FR_N_FILE_FIELDS, out));
    for (int64_t i = 0; i < out->n_tasks; i++) {
        FR_TRY(read_task(r, &out->tasks[i]));
    }
    return FR_OK;
}

/* The checkpoint is created without tasks; read_names adds them. On failure everything is freed and *out is NULL. */
fr_status fr_checkpoint_parse_format1(fr_ctx *ctx, const char *path,
                                      const uint8_t *data, size_t bytes,
                                      fr_checkpoint **out)
{
    fr_checkpoint *checkpoint = NULL;
    fr_h5 *h5 = NULL;
    *out = NULL;
    FR_TRY(fr_header_check_format1(ctx, path, data, bytes));
    FR_TRY(fr_h5_open(ctx, path, data, bytes, &h5));
    reader r = {ctx, path, h5, (int64_t)bytes};
    fr_status status = fr_checkpoint_create(ctx, 0, &checkpoint);
    if (status == FR_OK) {
        status = read_all(&r, checkpoint);
    }
    fr_h5_destroy(&h5);
    if (status != FR_OK) {
        fr_checkpoint_destroy(&checkpoint);
    }
    *out = checkpoint;
    return status;
}
