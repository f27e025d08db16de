/*
 * The tables of a checkpoint's fields and arrays, and its memory.
 *
 * Each attribute of a file has one line in a table below, which names its struct member, its kind and its limits. Writer,
 * reader, the reader of format 1, the checks and the release of texts all walk these tables, so a new attribute needs
 * one line in FR_ADDED_FIELDS or FR_ADDED_FILE_FIELDS, a minor version, and docs/format-checkpoint.md. The order in a
 * table is the order in files: lines are only added at the end.
 */
#include "train/checkpoint/checkpoint_impl.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_FIELD(name, kind)                                                         \
    {                                                                                  \
#name, kind, offsetof(fr_checkpoint, name), 0, 0, false                        \
    }
#define TASK_FIELD(name, kind, min, max)                                               \
    {                                                                                  \
#name, kind, offsetof(fr_checkpoint_task, name), min, max, false               \
    }
#define TASK_FIELD_ADDED(name, kind, min, max)                                         \
    {                                                                                  \
#name, kind, offsetof(fr_checkpoint_task, name), min, max, true                \
    }
#define PROGRESS_FIELD(name, kind, min, max)                                           \
    {                                                                                  \
#name, kind, offsetof(fr_checkpoint_task, progress.name), min, max, false      \
    }
#define PROGRESS_FIELD_ADDED(name, kind, min, max)                                     \
    {                                                                                  \
#name, kind, offsetof(fr_checkpoint_task, progress.name), min, max, true       \
    }
#define STATE_ARRAY(name)                                                              \
    {                                                                                  \
#name, offsetof(fr_prefix_state, name)                                         \
    }

const fr_field FR_FILE_FIELDS[FR_N_FILE_FIELDS] = {
    FILE_FIELD(config, FR_FIELD_TEXT),    FILE_FIELD(base_shape, FR_FIELD_TEXT),
    FILE_FIELD(base_path, FR_FIELD_TEXT), FILE_FIELD(base_digest, FR_FIELD_DIGEST),
    FILE_FIELD(isa, FR_FIELD_TEXT),       FILE_FIELD(version, FR_FIELD_TEXT),
    FILE_FIELD(layout, FR_FIELD_TEXT),
};

/* Limits of what a file may hold. Sizes are multiplied and counts are incremented by the run, and both must stay below
 * 2^63. MAX_COUNT is also the limit of run.steps; doubles count up to MAX_CURSOR exactly, for readers in other languages. */
#define MAX_SIZE (INT64_C(1) << 20)
#define MAX_COUNT INT64_C(1000000000)
#define MAX_CURSOR (INT64_C(1) << 53)

const fr_field FR_TASK_FIELDS[FR_N_TASK_FIELDS] = {
    TASK_FIELD(length, FR_FIELD_I64, 1, MAX_SIZE),
    TASK_FIELD(n_layers, FR_FIELD_I64, 1, MAX_SIZE),
    TASK_FIELD_ADDED(first_layer, FR_FIELD_I64, 0, MAX_SIZE),
    TASK_FIELD_ADDED(base_layers, FR_FIELD_I64, 0, MAX_SIZE),
    TASK_FIELD(n_kv_heads, FR_FIELD_I64, 1, MAX_SIZE),
    TASK_FIELD(head_dim, FR_FIELD_I64, 1, MAX_SIZE),
    TASK_FIELD(seed, FR_FIELD_U64, 0, 0),
    PROGRESS_FIELD(step, FR_FIELD_I64, 0, MAX_COUNT),
    PROGRESS_FIELD(cursor, FR_FIELD_I64, 0, MAX_CURSOR),
    PROGRESS_FIELD(stopped, FR_FIELD_BOOL, 0, 1),
    PROGRESS_FIELD(best_loss, FR_FIELD_F64, 0, 0),
    PROGRESS_FIELD(best_step, FR_FIELD_I64, -1, MAX_COUNT),
    PROGRESS_FIELD(last_loss, FR_FIELD_F64, 0, 0),
    PROGRESS_FIELD(skipped, FR_FIELD_I64, 0, MAX_COUNT),
    PROGRESS_FIELD(skipped_in_row, FR_FIELD_I64, 0, MAX_COUNT),
    PROGRESS_FIELD_ADDED(stale_validations, FR_FIELD_I64, 0, MAX_COUNT),
    PROGRESS_FIELD_ADDED(valid_loss, FR_FIELD_F64, 0, 0),
    TASK_FIELD(template_text, FR_FIELD_TEXT, 0, 0),
    TASK_FIELD(chat, FR_FIELD_BOOL, 0, 1),
    TASK_FIELD(eos, FR_FIELD_BOOL, 0, 1),
    TASK_FIELD(special, FR_FIELD_BOOL, 0, 1),
    TASK_FIELD(leading_bos, FR_FIELD_BOOL, 0, 1),
    TASK_FIELD(init, FR_FIELD_TEXT, 0, 0),
    TASK_FIELD(data_digest, FR_FIELD_DIGEST, 0, 0),
};

const fr_field FR_ADDED_FIELDS[FR_N_ADDED_FIELDS] = {
    TASK_FIELD_ADDED(valid_digest, FR_FIELD_DIGEST, 0, 0),
    PROGRESS_FIELD_ADDED(base_loss, FR_FIELD_F64, 0, 0),
    PROGRESS_FIELD_ADDED(init_loss, FR_FIELD_F64, 0, 0),
    TASK_FIELD_ADDED(chat_template_digest, FR_FIELD_TEXT, 0, 0),
    TASK_FIELD_ADDED(base_norm_eps, FR_FIELD_F64, 0, 0),
    TASK_FIELD_ADDED(chat_template, FR_FIELD_TEXT, 0, 0),
    TASK_FIELD_ADDED(chat_arguments, FR_FIELD_TEXT, 0, 0),
    TASK_FIELD_ADDED(chat_clock, FR_FIELD_TEXT, 0, 0),
};

const fr_field FR_ADDED_FILE_FIELDS[FR_N_ADDED_FILE_FIELDS] = {
    FILE_FIELD(arithmetic, FR_FIELD_TEXT),
};

/* How the numbers enter the attention, so that other programs can use a file without knowing Forerun. */
const fr_convention FR_CONVENTIONS[FR_N_CONVENTIONS] = {
    {"key_order", "halves", NULL}, /* element order of RoPE pairs: Hugging Face's */
    {"key_rope", "post", NULL},    /* keys as they enter the dot product */
    /* the first real token has position `length`; slots are at 0 to length - 1, if a window may hide them */
    {"positions", "after_prefix", "after_prefix_within_window"},
};

const char *fr_convention_text(const fr_convention *convention,
                               const fr_checkpoint_task *task)
{
    return task->slides && convention->sliding != NULL ? convention->sliding
                                                       : convention->text;
}

/* Files without anything newer keep the bytes that older programs write. */
int64_t fr_checkpoint_minor(const fr_checkpoint *checkpoint)
{
    enum { BEFORE_SLIDES = 2, WITH_SLIDES = 3, WITH_CHATS = 4 };
    int64_t minor = BEFORE_SLIDES;
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        const fr_checkpoint_task *t = &checkpoint->tasks[i];
        bool has_chat = t->chat_template != NULL || t->chat_arguments != NULL ||
                        t->chat_clock != NULL;
        int64_t needs = has_chat ? WITH_CHATS : t->slides ? WITH_SLIDES : BEFORE_SLIDES;
        minor = needs > minor ? needs : minor;
    }
    return minor;
}

const fr_state_array FR_STATE_ARRAYS[FR_N_STATE_ARRAYS] = {
    STATE_ARRAY(k),   STATE_ARRAY(v),   STATE_ARRAY(m_k),
    STATE_ARRAY(m_v), STATE_ARRAY(s_k), STATE_ARRAY(s_v),
};

/* Members of structs are reached through their offsets and memcpy: a pointer is copied as bytes, whatever its type. */
float *fr_state_array_get(const fr_prefix_state *state, int array)
{
    float *data = NULL;
    memcpy(&data, (const char *)state + FR_STATE_ARRAYS[array].offset, sizeof data);
    return data;
}

void fr_state_array_set(fr_prefix_state *state, int array, float *data)
{
    memcpy((char *)state + FR_STATE_ARRAYS[array].offset, &data, sizeof data);
}

bool fr_state_has_moments(const fr_prefix_state *state)
{
    bool has = true;
    for (int i = FR_N_PREFIX_ARRAYS; i < FR_N_STATE_ARRAYS; i++) {
        has = has && fr_state_array_get(state, i) != NULL;
    }
    return has;
}

/* Floats of one layer of the keys (or the values): slots x key/value heads x head width. False if a size is below 1 or
 * the product does not fit into int64_t: the sizes may come from a file. */
bool fr_layer_floats(const fr_checkpoint_task *task, int64_t *out)
{
    *out = 0;
    return task->length >= 1 && task->n_layers >= 1 && task->n_kv_heads >= 1 &&
           task->head_dim >= 1 && fr_mul_i64(task->length, task->n_kv_heads, out) &&
           fr_mul_i64(*out, task->head_dim, out);
}

fr_status fr_checkpoint_create(fr_ctx *ctx, int64_t n_tasks, fr_checkpoint **out)
{
    fr_checkpoint *checkpoint = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *checkpoint, &checkpoint));
    fr_status status =
        fr_alloc(ctx, n_tasks, sizeof *checkpoint->tasks, &checkpoint->tasks);
    if (status == FR_OK) {
        checkpoint->n_tasks = n_tasks;
        for (int64_t i = 0; i < n_tasks; i++) {
            checkpoint->tasks[i].progress = fr_progress_start();
        }
    } else {
        fr_checkpoint_destroy(&checkpoint);
    }
    *out = checkpoint;
    return status;
}

/* On failure the arrays that were allocated stay with the task, and fr_checkpoint_destroy frees them. */
fr_status fr_checkpoint_task_alloc(fr_ctx *ctx, fr_checkpoint_task *task,
                                   bool with_moments)
{
    int64_t floats = 0;
    if (!fr_layer_floats(task, &floats) ||
        !fr_mul_i64(floats, task->n_layers, &floats)) {
        return FR_FAIL(ctx, FR_ERR_SHAPE,
                       "task %s: a prefix of %lld slots x %lld layers x %lld heads x "
                       "%lld is not possible; each must be at least 1",
                       task->name != NULL ? task->name : "?", (long long)task->length,
                       (long long)task->n_layers, (long long)task->n_kv_heads,
                       (long long)task->head_dim);
    }
    int n_arrays = with_moments ? FR_N_STATE_ARRAYS : FR_N_PREFIX_ARRAYS;
    for (int i = 0; i < n_arrays; i++) {
        float *data = NULL;
        FR_TRY(fr_alloc(ctx, floats, sizeof *data, &data));
        fr_state_array_set(&task->state, i, data);
    }
    return FR_OK;
}

/* The tables know which members are texts; another text needs no line here. Task names are not in a table. */
static void free_texts(void *owner, const fr_field *fields, int n_fields)
{
    for (int i = 0; i < n_fields; i++) {
        char *text = NULL;
        if (fields[i].kind == FR_FIELD_TEXT) {
            memcpy(&text, (const char *)owner + fields[i].offset, sizeof text);
            free(text);
        }
    }
}

void fr_checkpoint_destroy(fr_checkpoint **checkpoint)
{
    fr_checkpoint *c = *checkpoint;
    *checkpoint = NULL;
    if (c == NULL) {
        return;
    }
    for (int64_t t = 0; t < c->n_tasks; t++) {
        fr_checkpoint_task *task = &c->tasks[t];
        for (int i = 0; i < FR_N_STATE_ARRAYS; i++) {
            free(fr_state_array_get(&task->state, i));
        }
        fr_mlp_fini(&task->mlp);
        free_texts(task, FR_TASK_FIELDS, FR_N_TASK_FIELDS);
        free_texts(task, FR_ADDED_FIELDS, FR_N_ADDED_FIELDS);
        free(task->name);
    }
    free_texts(c, FR_FILE_FIELDS, FR_N_FILE_FIELDS);
    free_texts(c, FR_ADDED_FILE_FIELDS, FR_N_ADDED_FILE_FIELDS);
    free(c->tasks);
    free(c);
}

/* "a, b, c", cut with "..." if the list is too long. */
static void list_names(const fr_checkpoint *checkpoint, char *out, size_t bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        const char *name = checkpoint->tasks[i].name;
        if (used + strlen(name) + sizeof ", ..." > bytes) {
            (void)snprintf(out + used, bytes - used, "%s...", i > 0 ? ", " : "");
            return;
        }
        used +=
            (size_t)snprintf(out + used, bytes - used, "%s%s", i > 0 ? ", " : "", name);
    }
}

const fr_checkpoint_task *fr_checkpoint_task_named(const fr_checkpoint *checkpoint,
                                                   const char *name)
{
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        if (strcmp(checkpoint->tasks[i].name, name) == 0) {
            return &checkpoint->tasks[i];
        }
    }
    return NULL;
}

/* Without a name the only task is meant. Where there are several, the message lists them for the user to choose. */
fr_status fr_checkpoint_find_task(fr_ctx *ctx, const fr_checkpoint *checkpoint,
                                  const char *path, const char *name, int64_t *index)
{
    enum { LIST_BYTES = 512 };
    char names[LIST_BYTES];
    *index = -1;
    if (name == NULL && checkpoint->n_tasks == 1) {
        *index = 0;
        return FR_OK;
    }
    const fr_checkpoint_task *found =
        name != NULL ? fr_checkpoint_task_named(checkpoint, name) : NULL;
    if (found != NULL) {
        *index = found - checkpoint->tasks;
        return FR_OK;
    }
    list_names(checkpoint, names, sizeof names);
    if (name == NULL) {
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "%s holds %lld tasks (%s); choose one as %s:TASK", path,
                       (long long)checkpoint->n_tasks, names, path);
    }
    return FR_FAIL(ctx, FR_ERR_CHECKPOINT, "%s holds no task %s; it holds %s", path,
                   name, names[0] != '\0' ? names : "none");
}
