/*
 * From a sweep to tasks.
 *
 * config_sweep_read.c keeps each list of values as text. Here, after --set, every value is stored once in a scratch task by
 * the function that stores all values (config_value.c), so that a bad one is refused with its own line; its written form
 * shows equal values and gives its part of the names. Then each combination becomes a copy of the pattern with one value
 * from each axis and a name of its own. The made tasks replace the pattern in the list and are ordinary tasks from there
 * on. Only fr_task_config.swept and fr_config.swept remember the sweep, for the table at the end of the run.
 */
#define _POSIX_C_SOURCE 200809L
#include "train/config/config_impl.h"

#include "base/digest.h"
#include "base/mem.h"
#include "base/task_name.h"

#include <stdlib.h>
#include <string.h>

enum {
    PART_LETTERS = 24
}; /* of a value in a made task's name: enough to tell texts apart by their beginnings */

/* What a sweep can vary. `key` NULL: any key of the section, as for prefix.init, whose list may mix several kinds of
 * init. fr_config.swept holds indices into the table, but no file does, so that the order of rows may change. */
typedef struct sweep_kind {
    const char *path;
    fr_section_id section;
    const char *key;
    const char *full[4]; /* key NULL: path of each key, by fr_init_kind */
} sweep_kind;

static const sweep_kind KINDS[] = {
    {"prefix.length", FR_SECTION_PREFIX, "length", {NULL}},
    {"prefix.window", FR_SECTION_PREFIX, "window", {NULL}},
    {"prefix.init",
     FR_SECTION_INIT,
     NULL,
     {[FR_INIT_TEXT] = "prefix.init.text",
      [FR_INIT_RANDOM] = "prefix.init.random",
      [FR_INIT_ZERO] = "prefix.init.zero",
      [FR_INIT_FILE] = "prefix.init.file"}},
    {"prefix.layers.first", FR_SECTION_LAYERS, "first", {NULL}},
    {"optimizer.lr", FR_SECTION_OPTIMIZER, "lr", {NULL}},
    {"optimizer.warmup", FR_SECTION_OPTIMIZER, "warmup", {NULL}},
    {"optimizer.weight_decay", FR_SECTION_OPTIMIZER, "weight_decay", {NULL}},
    {"batch.examples", FR_SECTION_BATCH, "examples", {NULL}},
    {"seed", FR_SECTION_TASK, "seed", {NULL}},
};
enum { N_KINDS = sizeof KINDS / sizeof KINDS[0] };
_Static_assert((int)N_KINDS <= (int)FR_MAX_SWEPT, "an axis each");

const char *fr_sweep_kind_path(int kind)
{
    return kind < N_KINDS ? KINDS[kind].path : NULL;
}

int fr_sweep_find_kind(const char *path)
{
    for (int i = 0; i < N_KINDS; i++) {
        if (strcmp(KINDS[i].path, path) == 0) {
            return i;
        }
    }
    return -1;
}

int fr_sweep_find_key(int kind, const char *init)
{
    const char *name = KINDS[kind].key != NULL ? KINDS[kind].key : init;
    return name != NULL ? fr_config_find_key(KINDS[kind].section, name) : -1;
}

void fr_sweep_fini(fr_sweep *sweep)
{
    for (int a = 0; a < sweep->n_axes; a++) {
        fr_sweep_axis *axis = &sweep->axes[a];
        for (int64_t i = 0; i < axis->n_values; i++) {
            free(axis->values[i].text);
            free(axis->values[i].shown);
        }
        free(axis->values);
    }
    free(sweep->task);
    *sweep = (fr_sweep){0};
}

/* ---- what the values are called ------------------------------------------------------------ */

/* Keep the characters that a task's name may hold. A run of others becomes one '-', and a '+' is dropped. */
static void plain_letters(const char *text, char out[PART_LETTERS + 1])
{
    size_t n = 0;
    for (; *text != '\0' && n < PART_LETTERS; text++) {
        if (fr_task_name_may_hold(*text)) {
            out[n++] = *text;
        } else if (*text != '+' && n > 0 && out[n - 1] != '-') {
            out[n++] = '-';
        }
    }
    while (n > 0 && (out[n - 1] == '-' || out[n - 1] == '.')) {
        n--;
    }
    out[n] = '\0';
}

/* Parts are unique within their axis, so that the names of two made tasks differ in at least one part. check_name in
 * config_check.c compares the whole names with those of all other tasks. */
static bool part_is_taken(const fr_sweep_axis *axis, int64_t index)
{
    for (int64_t i = 0; i < index; i++) {
        if (strcmp(axis->values[i].part, axis->values[index].part) == 0) {
            return true;
        }
    }
    return false;
}

/* "length-8", "init-random-0.02", "init-text-Write-the-one-line"; texts that look alike get -2, -3, ... */
static void name_value(fr_sweep_axis *axis, int64_t index)
{
    fr_sweep_value *value = &axis->values[index];
    const fr_config_key *key = &FR_CONFIG_KEYS[value->key];
    const char *dot = strrchr(KINDS[axis->kind].path, '.');
    const char *word = dot != NULL ? dot + 1 : KINDS[axis->kind].path;
    bool of_init = key->section == FR_SECTION_INIT;
    char letters[PART_LETTERS + 1];
    char stem[FR_PART_BYTES];
    plain_letters(key->type == FR_KEY_TEXT ? value->text : value->shown, letters);
    bool bare = letters[0] == '\0' || key->type == FR_KEY_TRUE;
    (void)snprintf(stem, sizeof stem, "%s%s%s%s%s", word, of_init ? "-" : "",
                   of_init ? key->name : "", bare ? "" : "-", bare ? "" : letters);
    (void)snprintf(value->part, sizeof value->part, "%s", stem);
    for (int n = 2; part_is_taken(axis, index); n++) {
        (void)snprintf(value->part, sizeof value->part, "%.36s-%d", stem, n);
    }
}

/* "FILE:LINE: sweep.KEY[INDEX]" opens every message about a listed value. */
static void place_of(const fr_config_state *state, const fr_sweep_axis *axis,
                     int64_t index, char out[FR_PLACE_BYTES])
{
    (void)snprintf(out, FR_PLACE_BYTES, "%s:%lld: sweep.%s[%lld]", state->name,
                   (long long)axis->values[index].line, KINDS[axis->kind].path,
                   (long long)index);
}

/* Store a listed value in a task. Each made task parses it again and so gets a copy of a text that it owns. */
static fr_status set_value(const fr_config_state *state, const fr_sweep_axis *axis,
                           int64_t index, fr_task_config *task)
{
    char where[FR_PLACE_BYTES];
    const fr_sweep_value *value = &axis->values[index];
    fr_scalar scalar = {value->text, value->bytes, value->quoted, state->as_they_stand};
    place_of(state, axis, index, where);
    return fr_config_set_value(state->ctx, &FR_CONFIG_KEYS[value->key], where, &scalar,
                               (fr_key_owner){.task = task});
}

/* Check each value and name it; `scratch` takes one after the other. Two equal values would make two equal tasks. */
static fr_status check_axis(const fr_config_state *state, fr_sweep_axis *axis,
                            fr_task_config *scratch)
{
    char place[FR_PLACE_BYTES];
    for (int64_t i = 0; i < axis->n_values; i++) {
        fr_sweep_value *value = &axis->values[i];
        FR_TRY(set_value(state, axis, i, scratch));
        FR_TRY(fr_config_value_text(state->ctx, &FR_CONFIG_KEYS[value->key],
                                    (fr_key_view){.task = scratch}, &value->shown));
        name_value(axis, i);
        for (int64_t j = 0; j < i; j++) {
            const fr_sweep_value *other = &axis->values[j];
            if (other->key == value->key && strcmp(other->shown, value->shown) == 0) {
                place_of(state, axis, i, place);
                return FR_FAIL(
                    state->ctx, FR_ERR_CONFIG,
                    "%s is %.60s, equal to value [%lld]; two equal combinations "
                    "would train the same task twice, remove one",
                    place, value->shown, (long long)j);
            }
        }
    }
    return FR_OK;
}

/* ---- the tasks that are made --------------------------------------------------------------- */

/* The address of the task's text of this key; NULL if the key is not a text of a task. */
static char **text_field(const fr_config_key *key, fr_task_config *task)
{
    return key->type == FR_KEY_TEXT ? fr_key_field((fr_key_owner){.task = task}, key)
                                    : NULL;
}

/* Copy a task with its texts. All texts are set to NULL first, so that after a failure no text has two owners.
 * init.text and init.file share a field: it is copied once. */
static fr_status copy_task(fr_ctx *ctx, const fr_task_config *from, fr_task_config *to)
{
    *to = *from;
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        char **field = text_field(&FR_CONFIG_KEYS[i], to);
        if (field != NULL) {
            *field = NULL;
        }
    }
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        const fr_config_key *key = &FR_CONFIG_KEYS[i];
        char **field = text_field(key, to);
        if (field != NULL && *field == NULL) {
            const char *const *text = fr_key_look((fr_key_view){.task = from}, key);
            FR_TRY(fr_copy_optional(ctx, *text, field));
        }
    }
    return FR_OK;
}

/* PATTERN.length-8.lr-0.005; a name that is too long is cut and ends in the digest of the whole. */
static fr_status name_task(const fr_config_state *state, const fr_task_config *pattern,
                           const int64_t *choice, fr_task_config *task)
{
    enum { WHOLE_BYTES = 256 + FR_MAX_SWEPT * FR_PART_BYTES, TAIL = 8 };
    char whole[WHOLE_BYTES];
    uint8_t digest[FR_DIGEST_BYTES];
    char hex[FR_DIGEST_HEX];
    size_t used = (size_t)snprintf(whole, sizeof whole, "%.200s", pattern->name);
    for (int a = 0; a < state->sweep.n_axes; a++) {
        used += (size_t)snprintf(whole + used, sizeof whole - used, ".%s",
                                 state->sweep.axes[a].values[choice[a]].part);
    }
    if (used > FR_TASK_NAME_MAX) {
        FR_TRY(fr_digest_of(state->ctx, whole, used, digest));
        fr_digest_hex(digest, hex);
        (void)snprintf(whole + FR_TASK_NAME_MAX - TAIL - 1, TAIL + 2, "-%.*s", TAIL,
                       hex);
    }
    free(task->name);
    task->name = NULL;
    return fr_copy_string(state->ctx, whole, &task->name);
}

/* Combination `number` in mixed radix: the last axis varies fastest. A value of the section init replaces the pattern's
 * init, so the lines of all init keys are forgotten before its own line is noted. */
static fr_status make_task(const fr_config_state *state, int64_t pattern,
                           int64_t number, fr_task_config *task, fr_key_lines *lines)
{
    const fr_sweep *sweep = &state->sweep;
    int64_t choice[FR_MAX_SWEPT];
    for (int a = sweep->n_axes - 1; a >= 0; a--) {
        choice[a] = number % sweep->axes[a].n_values;
        number /= sweep->axes[a].n_values;
    }
    *lines = state->task_lines[pattern];
    FR_TRY(copy_task(state->ctx, &state->config->tasks[pattern], task));
    task->swept = true;
    for (int a = 0; a < sweep->n_axes; a++) {
        const fr_sweep_axis *axis = &sweep->axes[a];
        const fr_sweep_value *value = &axis->values[choice[a]];
        if (FR_CONFIG_KEYS[value->key].section == FR_SECTION_INIT) {
            fr_config_clear_inits(lines);
        }
        lines->of[value->key] = value->line;
        FR_TRY(set_value(state, axis, choice[a], task));
    }
    return name_task(state, &state->config->tasks[pattern], choice, task);
}

/* Bytes of a task's texts, a shared one counted for each of its keys. */
static size_t text_bytes(fr_task_config *task)
{
    size_t bytes = 0;
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        char **field = text_field(&FR_CONFIG_KEYS[i], task);
        bytes += field != NULL && *field != NULL ? strlen(*field) : 0;
    }
    return bytes;
}

/* Each made task repeats the pattern's texts, so their bytes count toward the limit of all values. */
static fr_status make_tasks(fr_config_state *state, int64_t pattern,
                            fr_task_config *tasks, fr_key_lines *lines)
{
    for (int64_t i = 0; i < state->sweep.n_made; i++) {
        FR_TRY(make_task(state, pattern, i, &tasks[pattern + i], &lines[pattern + i]));
        FR_TRY(fr_config_count_text(state, text_bytes(&tasks[pattern + i])));
    }
    return FR_OK;
}

/* Move the tasks before and after the pattern into the new arrays, which replace the old ones. */
static void replace_tasks(fr_config_state *state, int64_t pattern,
                          fr_task_config *tasks, fr_key_lines *lines)
{
    fr_config *config = state->config;
    int64_t added = state->sweep.n_made - 1;
    for (int64_t i = 0; i < config->n_tasks; i++) {
        int64_t to = i < pattern ? i : i + added;
        if (i != pattern) {
            tasks[to] = config->tasks[i];
            lines[to] = state->task_lines[i];
        }
    }
    fr_config_free_texts((fr_key_owner){.task = &config->tasks[pattern]});
    free(config->tasks);
    free(state->task_lines);
    config->tasks = tasks;
    config->n_tasks += added;
    state->task_lines = lines;
}

static fr_status fail_pattern(const fr_config_state *state, const char *wanted)
{
    const char *nearest = NULL;
    FR_TRY(fr_config_nearest_task(state, wanted, &nearest));
    return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                   "%s:%lld: sweep.task is '%.100s', but no task has this name%s%s%s",
                   state->name, (long long)state->sweep.task_line, wanted,
                   nearest != NULL ? "; did you mean '" : "",
                   nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
}

/* The index of the pattern: the task that sweep.task names, or the only task. It needs a name already here, before
 * config_check.c checks all names, because the made names start with it. */
static fr_status find_pattern(const fr_config_state *state, int64_t *out)
{
    const fr_config *config = state->config;
    const char *wanted = state->sweep.task;
    *out = 0;
    if (config->n_tasks == 0) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s: tasks is missing; list at least the sweep's pattern",
                       state->name);
    }
    if (wanted == NULL && config->n_tasks > 1) {
        return FR_FAIL(
            state->ctx, FR_ERR_CONFIG,
            "%s:%lld: sweep.task is missing; there are %lld tasks, so it must "
            "name the one that is the pattern",
            state->name, (long long)state->sweep.line, (long long)config->n_tasks);
    }
    if (wanted != NULL) {
        const fr_task_config *found = fr_config_find_task(config, wanted);
        if (found == NULL) {
            return fail_pattern(state, wanted);
        }
        *out = found - config->tasks;
    }
    if (config->tasks[*out].name == NULL) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s:%lld: tasks[%lld].name is missing; the names of the sweep's "
                       "tasks start with it",
                       state->name, (long long)state->task_lines[*out].start,
                       (long long)*out);
    }
    return FR_OK;
}

/* The scratch task has no meaning as a whole: it holds the last value of each axis only to parse and print them. */
static fr_status check_values(fr_config_state *state)
{
    fr_task_config scratch = {0};
    fr_status status = FR_OK;
    for (int a = 0; status == FR_OK && a < state->sweep.n_axes; a++) {
        status = check_axis(state, &state->sweep.axes[a], &scratch);
    }
    fr_config_free_texts((fr_key_owner){.task = &scratch});
    return status;
}

/* The config stays as it was until all made tasks exist, so that a failure frees only what was made here. fr_alloc
 * returns zeroed memory, so tasks that were not reached hold no texts. */
fr_status fr_sweep_expand(fr_config_state *state)
{
    int64_t pattern = 0;
    fr_task_config *tasks = NULL;
    fr_key_lines *lines = NULL;
    fr_sweep *sweep = &state->sweep;
    if (sweep->line == 0) {
        return FR_OK;
    }
    FR_TRY(find_pattern(state, &pattern));
    FR_TRY(check_values(state));
    int64_t n = state->config->n_tasks - 1 + sweep->n_made;
    FR_TRY(fr_alloc(state->ctx, n, sizeof *tasks, &tasks));
    fr_status status = fr_alloc(state->ctx, n, sizeof *lines, &lines);
    if (status == FR_OK) {
        status = make_tasks(state, pattern, tasks, lines);
    }
    if (status != FR_OK) {
        for (int64_t i = 0; i < sweep->n_made; i++) {
            fr_config_free_texts((fr_key_owner){.task = &tasks[pattern + i]});
        }
        free(tasks);
        free(lines);
        return status;
    }
    replace_tasks(state, pattern, tasks, lines);
    state->config->n_swept = sweep->n_axes;
    for (int a = 0; a < sweep->n_axes; a++) {
        state->config->swept[a] = sweep->axes[a].kind;
    }
    return FR_OK;
}

/* ---- what a made task has ------------------------------------------------------------------ */

const char *fr_config_swept_name(const fr_config *config, int index)
{
    return KINDS[config->swept[index]].path;
}

/* For prefix.init the key depends on the task: the same axis may give one task a text and the next one a number. The
 * only texts that a sweep varies are init.text and init.file, both in prefix.text. */
fr_status fr_config_swept_value(fr_ctx *ctx, const fr_config *config,
                                const fr_task_config *task, int index,
                                fr_swept_value *out)
{
    const sweep_kind *kind = &KINDS[config->swept[index]];
    const char *full = kind->key != NULL ? kind->path : kind->full[task->prefix.init];
    int at = fr_config_find_key(
        kind->section, strrchr(full, '.') != NULL ? strrchr(full, '.') + 1 : full);
    const fr_config_key *key = &FR_CONFIG_KEYS[at];
    *out = (fr_swept_value){.key = full, .is_text = key->type == FR_KEY_TEXT};
    if (out->is_text) {
        return fr_copy_string(ctx, task->prefix.text, &out->text);
    }
    return fr_config_value_text(ctx, key, (fr_key_view){.task = task}, &out->text);
}
