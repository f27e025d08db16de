/* The arrays of a task in file order, the checks of their numbers and layers, and the names of tasks. */
#include "train/checkpoint/checkpoint_impl.h"

#include "base/mem.h"
#include "base/task_name.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the arrays of a task, in the order of its file ------------------------------------------ */

static int n_state_arrays(bool moments)
{
    return moments ? FR_N_STATE_ARRAYS : FR_N_PREFIX_ARRAYS;
}

static bool has_mlp(const fr_checkpoint_task *task)
{
    return task->mlp.shape.hidden > 0;
}

/* Whether a task has an MLP is seen from its shape here, because a reader asks before the arrays exist. */
int64_t fr_checkpoint_n_arrays(const fr_checkpoint_task *task, bool moments)
{
    int64_t n = task->n_layers * n_state_arrays(moments);
    for (int i = 0; has_mlp(task) && i < FR_MLP_ARRAYS; i++) {
        n += fr_mlp_describe(&task->mlp.shape, i).shared ? 1 : task->n_layers;
    }
    return n;
}

/* `data` is NULL until the arrays are allocated. Layers are counted from the task's first one in memory, and from the
 * base's first one in paths. */
static void describe_state(const fr_checkpoint_task *task, int64_t layer, int array,
                           fr_stored_array *out)
{
    const float *data = fr_state_array_get(&task->state, array);
    *out = (fr_stored_array){.rank = 3,
                             .shape = {task->length, task->n_kv_heads, task->head_dim}};
    (void)fr_layer_floats(task, &out->floats);
    out->data = data != NULL
                    ? fr_state_array_get(&task->state, array) + layer * out->floats
                    : NULL;
    (void)snprintf(out->path, sizeof out->path, "/tasks/%s/layers/%lld/%s", task->name,
                   (long long)(task->first_layer + layer), FR_STATE_ARRAYS[array].name);
}

static void describe_mlp(const fr_checkpoint_task *task, int64_t layer, int array,
                         fr_stored_array *out)
{
    fr_mlp_array what = fr_mlp_describe(&task->mlp.shape, array);
    float *data = task->mlp.arrays[array];
    *out = (fr_stored_array){.rank = what.rank, .floats = what.floats};
    memcpy(out->shape, what.shape, sizeof out->shape);
    out->data = data != NULL ? data + layer * what.floats : NULL;
    if (what.shared) {
        (void)snprintf(out->path, sizeof out->path, "/tasks/%s/shared/%s", task->name,
                       what.name);
    } else {
        (void)snprintf(out->path, sizeof out->path, "/tasks/%s/layers/%lld/%s",
                       task->name, (long long)(task->first_layer + layer), what.name);
    }
}

/* File order: for each layer its state arrays, then each array of the MLP with all its layers. */
void fr_checkpoint_array(const fr_checkpoint_task *task, bool moments, int64_t index,
                         fr_stored_array *out)
{
    int n_state = n_state_arrays(moments);
    if (index < task->n_layers * n_state) {
        describe_state(task, index / n_state, (int)(index % n_state), out);
        return;
    }
    index -= task->n_layers * n_state;
    for (int i = 0; i < FR_MLP_ARRAYS; i++) {
        int64_t n = fr_mlp_describe(&task->mlp.shape, i).shared ? 1 : task->n_layers;
        if (index < n) {
            describe_mlp(task, index, i, out);
            return;
        }
        index -= n;
    }
}

/* ---- what must hold for them ------------------------------------------------------------------ */

/* The first loop has no branch, so that it runs at the speed of memory; only a file that fails is searched for the
 * element. `data` are floats in memory or the bytes of a file; memcpy reads both. */
fr_status fr_checkpoint_check_finite(fr_ctx *ctx, const char *path,
                                     const fr_stored_array *array, const void *data)
{
    static const uint32_t EXPONENT = 0x7f800000; /* all ones: infinite or NaN */
    const char *bytes = data;
    uint32_t bits = 0;
    int nonfinite = 0;
    for (int64_t i = 0; i < array->floats; i++) {
        memcpy(&bits, bytes + i * (int64_t)sizeof bits, sizeof bits);
        nonfinite |= (bits & EXPONENT) == EXPONENT;
    }
    if (nonfinite == 0) {
        return FR_OK;
    }
    int64_t element = -1;
    do {
        element++;
        memcpy(&bits, bytes + element * (int64_t)sizeof bits, sizeof bits);
    } while ((bits & EXPONENT) != EXPONENT);
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    return FR_FAIL(ctx, FR_ERR_NUMERIC,
                   "%s: element %lld of %s is %f; only finite numbers can be used: "
                   "train again, with a lower learning rate, from a sound checkpoint",
                   path, (long long)element, array->path, (double)value);
}

fr_status fr_checkpoint_check_layers(fr_ctx *ctx, const char *path,
                                     const fr_checkpoint_task *task)
{
    int64_t base = task->base_layers > 0 ? task->base_layers : task->n_layers;
    if (task->first_layer <= base - task->n_layers) {
        return FR_OK;
    }
    return FR_FAIL(
        ctx, FR_ERR_CHECKPOINT,
        "%s: /tasks/%s claims %lld layers from layer %lld on, of a base of %lld", path,
        task->name, (long long)task->n_layers, (long long)task->first_layer,
        (long long)base);
}

fr_status fr_checkpoint_check_chat(fr_ctx *ctx, const char *path,
                                   const fr_checkpoint_task *task)
{
    const struct {
        const char *name;
        const char *text;
        size_t most;
    } texts[] = {
        {"chat_template", task->chat_template, FR_CHECKPOINT_TEMPLATE_BYTES},
        {"chat_arguments", task->chat_arguments, FR_CHECKPOINT_ARGUMENTS_BYTES},
        {"chat_clock", task->chat_clock, FR_CHECKPOINT_CLOCK_BYTES}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].text != NULL && strlen(texts[i].text) > texts[i].most) {
            return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                           "%s: %s of /tasks/%s has %zu bytes, must have at most %zu",
                           path, texts[i].name, task->name, strlen(texts[i].text),
                           texts[i].most);
        }
    }
    return FR_OK;
}

/* ---- the names of tasks ------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorting keeps a file with many tasks from costing time that grows with the square of their number. */
fr_status fr_checkpoint_find_double(fr_ctx *ctx, const fr_checkpoint *checkpoint,
                                    const char **out)
{
    const char **names = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, checkpoint->n_tasks, sizeof *names, &names));
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        names[i] = checkpoint->tasks[i].name;
    }
    qsort(names, (size_t)checkpoint->n_tasks, sizeof *names, compare_names);
    for (int64_t i = 1; i < checkpoint->n_tasks && *out == NULL; i++) {
        *out = strcmp(names[i - 1], names[i]) == 0 ? names[i] : NULL;
    }
    free(names);
    return FR_OK;
}

static fr_status fail_names(fr_ctx *ctx, const char *path, const char *what)
{
    return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                   "%s: attribute tasks of / %s; restore the file or use an older "
                   "checkpoint",
                   path, what);
}

/* Take one name of the list. */
static fr_status take_name(fr_ctx *ctx, const char *path, const char *name,
                           size_t length, char **out)
{
    char copy[FR_TASK_NAME_BYTES] = "";
    if (length < sizeof copy) {
        memcpy(copy, name, length);
    }
    if (!fr_task_name_check(copy)) {
        return fail_names(ctx, path, "holds an invalid task name");
    }
    return fr_copy_string(ctx, copy, out);
}

/* Replaces the list of tasks. The names were made by write_names: one a line, without a line end at the end. */
fr_status fr_checkpoint_set_names(fr_ctx *ctx, const char *path, const char *names,
                                  fr_checkpoint *checkpoint)
{
    const char *twice = NULL;
    fr_checkpoint *named = NULL;
    int64_t n = names[0] != '\0' ? 1 : 0;
    for (const char *c = names; *c != '\0'; c++) {
        n += *c == '\n' ? 1 : 0;
    }
    if (n > FR_MAX_TASKS) {
        return fail_names(ctx, path, "names too many tasks");
    }
    FR_TRY(fr_checkpoint_create(ctx, n, &named));
    free(checkpoint->tasks);
    checkpoint->tasks = named->tasks;
    checkpoint->n_tasks = n;
    free(named);
    for (int64_t i = 0; i < n; i++) {
        size_t length = strcspn(names, "\n");
        FR_TRY(take_name(ctx, path, names, length, &checkpoint->tasks[i].name));
        names += length + (names[length] != '\0' ? 1 : 0);
    }
    FR_TRY(fr_checkpoint_find_double(ctx, checkpoint, &twice));
    return twice == NULL ? FR_OK : fail_names(ctx, path, "names a task twice");
}
