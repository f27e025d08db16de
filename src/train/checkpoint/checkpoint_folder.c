/*
 * The checkpoints of a run folder: checkpoint-STEP.h5, and the text file `latest` that names the newest.
 *
 * Saving writes the file, then `latest`, then removes old checkpoints, then temporary files. Each write replaces its
 * target atomically, so after a kill at any moment `latest` names a whole checkpoint: the new one or the one before.
 * Loading tries `latest` first and then every other step from the highest down, each with a warning.
 */
#define _POSIX_C_SOURCE 200809L
#include "train/checkpoint/checkpoint_impl.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "checkpoint-"
#define SUFFIX ".h5"
#define TEMPORARY ".tmp."
#define LATEST "latest"

/* A name has PREFIX, at most 18 digits, which always fit into an int64_t, and SUFFIX: well below NAME_BYTES. */
enum { NAME_BYTES = 64, MAX_DIGITS = 18 };
#define STEP_LIMIT INT64_C(1000000000000000000) /* the first number of 19 digits */

/* The steps of a folder's checkpoints. */
typedef struct step_list {
    int64_t n;
    int64_t capacity;
    int64_t *steps;
} step_list;

static void name_file(int64_t step, char name[NAME_BYTES])
{
    (void)snprintf(name, NAME_BYTES, PREFIX "%lld" SUFFIX, (long long)step);
}

/* Step of the name "checkpoint-STEP.h5" (the first `length` bytes of `name`); -1 for any other name, also if the number
 * is not written as name_file writes it. */
static int64_t parse_name(const char *name, size_t length)
{
    const size_t before = sizeof PREFIX - 1;
    const size_t after = sizeof SUFFIX - 1;
    if (length <= before + after || strncmp(name, PREFIX, before) != 0 ||
        strncmp(name + length - after, SUFFIX, after) != 0) {
        return -1;
    }
    size_t digits = length - before - after;
    if (digits > MAX_DIGITS || strspn(name + before, "0123456789") != digits ||
        (digits > 1 && name[before] == '0')) {
        return -1;
    }
    return strtoll(name + before, NULL, 10);
}

/* Whether a run replaces files of this name (its first `length` bytes): only such files leave temporary ones. */
static bool is_run_file(const char *name, size_t length)
{
    static const char *const NAMES[] = {LATEST,          "prefix.h5",   "best.h5",
                                        "metrics.jsonl", "config.yaml", "sweep.jsonl"};
    static const char CACHE[] = "tokens-";
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (strlen(NAMES[i]) == length && strncmp(name, NAMES[i], length) == 0) {
            return true;
        }
    }
    return strncmp(name, CACHE, sizeof CACHE - 1) == 0 || parse_name(name, length) >= 0;
}

bool fr_checkpoint_is_name(const char *name)
{
    return parse_name(name, strlen(name)) >= 0;
}

/* The name that fr_file_replace gives to the temporary file of a run's file. */
bool fr_checkpoint_is_left_over(const char *name)
{
    const char *end = strstr(name, TEMPORARY);
    if (end == NULL) {
        return false;
    }
    const char *id = end + sizeof TEMPORARY - 1;
    bool numbered = id[0] != '\0' && id[strspn(id, "0123456789")] == '\0';
    return numbered && is_run_file(name, (size_t)(end - name));
}

static fr_status add_step(fr_ctx *ctx, step_list *list, int64_t step)
{
    enum { FIRST_CAPACITY = 16 };
    if (list->n == list->capacity) {
        int64_t capacity = list->capacity > 0 ? 2 * list->capacity : FIRST_CAPACITY;
        int64_t *steps = NULL;
        FR_TRY(fr_alloc(ctx, capacity, sizeof *steps, &steps));
        if (list->n > 0) {
            memcpy(steps, list->steps, (size_t)list->n * sizeof *steps);
        }
        free(list->steps);
        list->steps = steps;
        list->capacity = capacity;
    }
    list->steps[list->n++] = step;
    return FR_OK;
}

static int compare_steps_down(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* The steps from the highest to the lowest; a missing folder has none. The caller frees. */
static fr_status list_steps(fr_ctx *ctx, const char *folder, step_list *out)
{
    *out = (step_list){0, 0, NULL};
    DIR *entries = opendir(folder);
    if (entries == NULL && errno == ENOENT) {
        return FR_OK;
    }
    if (entries == NULL) {
        return FR_FAIL(ctx, FR_ERR_IO, "cannot list %s: %s; check its permissions",
                       folder, strerror(errno));
    }
    fr_status status = FR_OK;
    const struct dirent *entry = NULL;
    while (status == FR_OK && (entry = readdir(entries)) != NULL) {
        int64_t step = parse_name(entry->d_name, strlen(entry->d_name));
        if (step >= 0) {
            status = add_step(ctx, out, step);
        }
    }
    (void)closedir(entries);
    if (status == FR_OK && out->n > 1) {
        qsort(out->steps, (size_t)out->n, sizeof *out->steps, compare_steps_down);
    }
    return status;
}

/* A file that cannot be removed costs space but no training, so it is a warning only. */
static fr_status remove_file(fr_ctx *ctx, const char *folder, const char *name)
{
    char *path = NULL;
    FR_TRY(fr_join_path(ctx, folder, name, &path));
    if (unlink(path) != 0 && errno != ENOENT) {
        fr_log_own(ctx, FR_LOG_WARN, "cannot remove %s: %s", path, strerror(errno));
    }
    free(path);
    return FR_OK;
}

/* Keep `keep` checkpoints: `saved`, then the steps below it from the highest, then those above it, which the run wrote
 * before it went back to an older checkpoint. */
static fr_status drop_old(fr_ctx *ctx, const char *folder, int64_t saved, int64_t keep)
{
    char name[NAME_BYTES];
    step_list list;
    fr_status status = list_steps(ctx, folder, &list);
    int64_t n_below = 0;
    int64_t n_above = 0;
    for (int64_t i = 0; i < list.n; i++) {
        n_below += list.steps[i] < saved ? 1 : 0;
    }
    int64_t rank_below = 1;
    for (int64_t i = 0; status == FR_OK && i < list.n; i++) {
        int64_t step = list.steps[i];
        int64_t rank = step == saved  ? 0
                       : step < saved ? rank_below++
                                      : 1 + n_below + n_above++;
        if (rank > 0 && rank >= keep) {
            name_file(step, name);
            status = remove_file(ctx, folder, name);
        }
    }
    free(list.steps);
    return status;
}

fr_status fr_checkpoint_tidy(fr_ctx *ctx, const char *folder)
{
    fr_status status = FR_OK;
    DIR *entries = opendir(folder);
    if (entries == NULL) {
        return FR_OK;
    }
    const struct dirent *entry = NULL;
    while (status == FR_OK && (entry = readdir(entries)) != NULL) {
        if (fr_checkpoint_is_left_over(entry->d_name)) {
            status = remove_file(ctx, folder, entry->d_name);
        }
    }
    (void)closedir(entries);
    return status;
}

static fr_status write_latest(fr_ctx *ctx, const char *folder, const char *name)
{
    char line[NAME_BYTES + 1];
    char *path = NULL;
    FR_TRY(fr_join_path(ctx, folder, LATEST, &path));
    int length = snprintf(line, sizeof line, "%s\n", name);
    fr_status status = fr_file_replace(ctx, path, line, (size_t)length);
    free(path);
    return status;
}

/* Old files are removed only after `latest` names the new one, so that at no moment it names a missing file. */
fr_status fr_checkpoint_save(fr_ctx *ctx, const char *folder, int64_t step,
                             int64_t keep, const fr_checkpoint *checkpoint)
{
    char name[NAME_BYTES];
    char *path = NULL;
    if (step < 0 || step >= STEP_LIMIT) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "a checkpoint cannot have step %lld, must be 0 to 10^18 - 1",
                       (long long)step);
    }
    name_file(step, name);
    FR_TRY(fr_join_path(ctx, folder, name, &path));
    fr_status status = fr_checkpoint_write(ctx, path, checkpoint);
    free(path);
    FR_TRY(status);
    FR_TRY(write_latest(ctx, folder, name));
    FR_TRY(drop_old(ctx, folder, step, keep));
    return fr_checkpoint_tidy(ctx, folder);
}

/* The step in the file `path` of one line, or -1 with a warning. */
static fr_status read_step(fr_ctx *ctx, const char *path, int64_t *step)
{
    char *text = NULL;
    size_t bytes = 0;
    fr_status status = fr_file_read(ctx, path, &text, &bytes);
    if (status == FR_ERR_DATA) {
        fr_log_own(ctx, FR_LOG_WARN, "%s; trying the highest step", fr_ctx_error(ctx));
        fr_ctx_clear_error(ctx);
        return FR_OK;
    }
    FR_TRY(status);
    *step = parse_name(text, strcspn(text, "\r\n"));
    free(text);
    if (*step < 0) {
        fr_log_own(ctx, FR_LOG_WARN,
                   "%s does not name a checkpoint; trying the highest step", path);
    }
    return FR_OK;
}

/* The step that `latest` names; -1 if there is no `latest`, or with a warning if it does not name a checkpoint. */
static fr_status read_latest(fr_ctx *ctx, const char *folder, int64_t *step)
{
    char *path = NULL;
    *step = -1;
    FR_TRY(fr_join_path(ctx, folder, LATEST, &path));
    fr_status status = fr_file_exists(path) ? read_step(ctx, path, step) : FR_OK;
    free(path);
    return status;
}

/* Try one file. An unusable one is a warning, and *out stays NULL. */
static fr_status try_step(fr_ctx *ctx, const char *folder, int64_t step,
                          fr_checkpoint **out, char **path)
{
    char name[NAME_BYTES];
    name_file(step, name);
    FR_TRY(fr_join_path(ctx, folder, name, path));
    fr_status status = fr_checkpoint_read(ctx, *path, out);
    if (status == FR_OK) {
        return FR_OK;
    }
    free(*path);
    *path = NULL;
    if (status == FR_ERR_CHECKPOINT) {
        fr_log_own(ctx, FR_LOG_WARN, "%s; trying the previous checkpoint",
                   fr_ctx_error(ctx));
        fr_ctx_clear_error(ctx);
        status = FR_OK;
    }
    return status;
}

/* Try `latest`, then the other steps from the highest down. */
static fr_status load_newest(fr_ctx *ctx, const char *folder, const step_list *list,
                             fr_checkpoint **out, char **path)
{
    int64_t latest = -1;
    FR_TRY(read_latest(ctx, folder, &latest));
    if (latest >= 0) {
        FR_TRY(try_step(ctx, folder, latest, out, path));
    }
    for (int64_t i = 0; *out == NULL && i < list->n; i++) {
        if (list->steps[i] != latest) {
            FR_TRY(try_step(ctx, folder, list->steps[i], out, path));
        }
    }
    if (*out != NULL || (list->n == 0 && latest < 0)) {
        return FR_OK;
    }
    return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                   "%s: none of its %lld checkpoints can be used; restore one, or "
                   "start again in another folder",
                   folder, (long long)list->n);
}

fr_status fr_checkpoint_load_latest(fr_ctx *ctx, const char *folder,
                                    fr_checkpoint **out, char **path)
{
    step_list list;
    *out = NULL;
    *path = NULL;
    fr_status status = list_steps(ctx, folder, &list);
    if (status == FR_OK) {
        status = load_newest(ctx, folder, &list, out, path);
    }
    free(list.steps);
    return status;
}
