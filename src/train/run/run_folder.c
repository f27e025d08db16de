/* Which files a run may find in its folder, and which of them it may remove.
 *
 * A user may point run.dir at a folder of their own by mistake. So nothing is removed that a run did not write, and
 * a run that holds results is not started over unless --overwrite says so. Each entry is judged by its name alone:
 * a trace is of no use without a checkpoint, a result is of use, and a foreign file was written by no run.
 *
 * A lock file proves that a run was here. Without one even files with a run's names may be the user's own, so
 * traces count as foreign, and --overwrite has no effect.
 *
 * A best.h5 without a checkpoint is the one result that a start can leave: validation wrote it before the first
 * checkpoint. It is renamed and never deleted, except where a file with the same bytes is kept already.
 *
 * To add a file to the run folder, give its name a kind in kind_of, and list it in fr_run_folder_clear if a new run
 * does not replace it at its start. */
#define _POSIX_C_SOURCE 200809L
#include "train/run/run_folder.h"

#include "base/file.h"
#include "train/checkpoint/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char BEST[] = "best.h5";
static const char BEST_BEFORE[] = "best.before"; /* then .h5, -2.h5, ... */
static const char FINAL[] = "prefix.h5";

/* What an entry of a run folder is. */
typedef enum entry_kind {
    ENTRY_NOTHING, /* does not matter: the folder itself, the logs, what was set aside */
    ENTRY_TRACE,   /* written by a run, and of no use without a checkpoint */
    ENTRY_RESULT,  /* checkpoints and prefixes */
    ENTRY_FOREIGN
} entry_kind;

static bool is_among(const char *name, const char *const *names)
{
    bool found = false;
    for (; *names != NULL; names++) {
        found = found || strcmp(name, *names) == 0;
    }
    return found;
}

/* Token caches: "tokens-", a hexadecimal digest, ".cache". */
static bool is_cache(const char *name)
{
    static const char BEFORE[] = "tokens-";
    const size_t before = sizeof BEFORE - 1;
    return strncmp(name, BEFORE, before) == 0 &&
           strcmp(name + before + strspn(name + before, "0123456789abcdef"),
                  ".cache") == 0;
}

/* The names that name_aside makes: best.before.h5, best.before-2.h5 and so on. */
static bool is_aside(const char *name)
{
    const size_t before = sizeof BEST_BEFORE - 1;
    if (strncmp(name, BEST_BEFORE, before) != 0) {
        return false;
    }
    name += before;
    name += name[0] == '-' ? 1 + strspn(name + 1, "0123456789") : 0;
    return strcmp(name, ".h5") == 0;
}

/* The names of README's "A run folder". A launcher makes `log` before any run, preflight its probes. */
static entry_kind kind_of(const char *name)
{
    static const char *const NOTHING[] = {".", "..", "log", NULL};
    static const char *const TRACES[] = {
        FR_RUN_LOCK, "metrics.jsonl", "sweep.jsonl", "config.yaml",
        "STOP",      "STOPPED",       "latest",      NULL};
    static const char *const RESULTS[] = {BEST, FINAL, NULL};
    static const char PROBE[] = ".preflight-";
    if (is_among(name, NOTHING) || is_aside(name)) {
        return ENTRY_NOTHING;
    }
    if (fr_checkpoint_is_name(name) || is_among(name, RESULTS)) {
        return ENTRY_RESULT;
    }
    if (is_among(name, TRACES) || is_cache(name) || fr_checkpoint_is_left_over(name) ||
        strncmp(name, PROBE, sizeof PROBE - 1) == 0) {
        return ENTRY_TRACE;
    }
    return ENTRY_FOREIGN;
}

/* One name of each kind, the first in the order of the alphabet so that messages are the same everywhere. */
typedef struct findings {
    bool has_lock;
    bool has_checkpoint;
    bool has_final;
    char names[ENTRY_FOREIGN + 1][256];
} findings;

static void note(findings *found, const char *name)
{
    char *first = found->names[kind_of(name)];
    if (first[0] == '\0' || strcmp(name, first) < 0) {
        (void)snprintf(first, sizeof found->names[0], "%s", name);
    }
    found->has_lock = found->has_lock || strcmp(name, FR_RUN_LOCK) == 0;
    found->has_checkpoint = found->has_checkpoint || fr_checkpoint_is_name(name);
    found->has_final = found->has_final || strcmp(name, FINAL) == 0;
}

/* A folder that is not there yet holds nothing. */
static fr_status look(fr_ctx *ctx, const char *folder, findings *out)
{
    DIR *entries = opendir(folder);
    *out = (findings){.has_lock = false};
    if (entries == NULL && errno == ENOENT) {
        return FR_OK;
    }
    if (entries == NULL) {
        return FR_FAIL(ctx, FR_ERR_IO,
                       "cannot list run.dir %s: %s; choose a folder, and check its "
                       "permissions",
                       folder, strerror(errno));
    }
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        note(out, entry->d_name);
    }
    (void)closedir(entries);
    return FR_OK;
}

/* The folder holds prefixes that a run can be started from, and no checkpoint to resume. `option`: text behind
 * --overwrite. */
static fr_status fail_without_checkpoint(fr_ctx *ctx, const char *folder,
                                         const findings *found, fr_status status,
                                         const char *option)
{
    const char *result = found->names[ENTRY_RESULT];
    return FR_FAIL(ctx, status,
                   "run.dir %s is not empty: it holds %s of a run and no checkpoint to "
                   "go on from; choose another folder, where a new run can start from "
                   "it with prefix: {init: {file: \"%s/%s\"}}%s%s",
                   folder, result, folder, result,
                   found->has_lock ? ", or pass --overwrite" : "",
                   found->has_lock ? option : "");
}

fr_status fr_run_folder_check(fr_ctx *ctx, const char *folder, bool overwrite)
{
    findings found;
    FR_TRY(look(ctx, folder, &found));
    /* without a run's lock, files with names like a run's may be the user's own: a config, say */
    const char *foreign = found.names[ENTRY_FOREIGN];
    if (foreign[0] == '\0' && !found.has_lock) {
        foreign = found.names[ENTRY_TRACE];
    }
    const char *result = found.names[ENTRY_RESULT];
    /* Foreign files do not matter then: the new run leaves them alone. */
    if (found.has_lock && overwrite) {
        return FR_OK;
    }
    if (result[0] != '\0' && !found.has_checkpoint) {
        return fail_without_checkpoint(ctx, folder, &found, FR_ERR_CONFIG,
                                       " to remove its files and start anew");
    }
    if (result[0] != '\0') {
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "run.dir %s is not empty: it holds %s of a run; pass --resume "
                       "to go on with it%s, or choose another folder",
                       folder, result,
                       found.has_lock ? ", --overwrite to remove its files and start "
                                        "anew"
                                      : "");
    }
    if (foreign[0] != '\0') {
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "run.dir %s is not empty: it holds %s, which no run wrote; "
                       "move it away, or choose another folder",
                       folder, foreign);
    }
    return FR_OK;
}

/* A name that is not there counts as removed. unlink takes a link and not what it leads to, and refuses a folder. */
static fr_status remove_own(fr_ctx *ctx, const char *folder, const char *name)
{
    char *path = NULL;
    fr_status status = FR_OK;
    FR_TRY(fr_join_path(ctx, folder, name, &path));
    if (unlink(path) != 0 && errno != ENOENT) {
        status = FR_FAIL(ctx, FR_ERR_IO,
                         "cannot remove %s of the run before: %s; see what it is", path,
                         strerror(errno));
    }
    free(path);
    return status;
}

fr_status fr_run_folder_check_resume(fr_ctx *ctx, const char *folder)
{
    findings found;
    FR_TRY(look(ctx, folder, &found));
    if (found.has_checkpoint || !found.has_final) {
        return FR_OK;
    }
    return fail_without_checkpoint(
        ctx, folder, &found, FR_ERR_CHECKPOINT,
        " instead of --resume to remove its files and start anew");
}

/* Whether two files hold the same bytes. False also where either cannot be read. */
static bool have_same_bytes(fr_ctx *ctx, const char *a, const char *b)
{
    fr_map first = {0};
    fr_map second = {0};
    bool same = false;
    if (fr_map_open(ctx, a, &first) == FR_OK && fr_map_open(ctx, b, &second) == FR_OK) {
        same = first.bytes == second.bytes &&
               (first.bytes == 0 || memcmp(first.data, second.data, first.bytes) == 0);
    }
    fr_map_close(&first);
    fr_map_close(&second);
    fr_ctx_clear_error(ctx);
    return same;
}

/* Whether something lies under a name; a link counts, wherever it leads. */
typedef enum place { PLACE_FREE, PLACE_FILE, PLACE_OTHER } place;

static place place_of(const char *path)
{
    struct stat info;
    /* Other errors than a missing file show at the rename. */
    if (lstat(path, &info) != 0) {
        return PLACE_FREE;
    }
    return S_ISREG(info.st_mode) ? PLACE_FILE : PLACE_OTHER;
}

/* Name number `i` of what is set aside. */
static fr_status name_aside(fr_ctx *ctx, const char *folder, int i, char **out)
{
    enum { NAME_BYTES = 32 };
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, i == 1 ? "%s.h5" : "%s-%d.h5", BEST_BEFORE, i);
    return fr_join_path(ctx, folder, name, out);
}

/* Rename to the first free name, or remove where a file with the same bytes is kept already: starts of one run that is
 * killed again and again would fill the folder. */
static fr_status set_aside(fr_ctx *ctx, const char *folder, const char *best)
{
    enum { MAX = 100 }; /* names that are tried: far more than anybody keeps */
    char *aside = NULL;
    bool taken = true;
    bool same = false;
    fr_status status = FR_OK;
    for (int i = 1; i <= MAX && taken && !same && status == FR_OK; i++) {
        free(aside);
        status = name_aside(ctx, folder, i, &aside);
        place there = status == FR_OK ? place_of(aside) : PLACE_FREE;
        taken = there != PLACE_FREE;
        same = there == PLACE_FILE && have_same_bytes(ctx, best, aside);
    }
    if (status == FR_OK && taken && !same) {
        status = FR_FAIL(
            ctx, FR_ERR_IO,
            "run.dir %s holds %d files %s*.h5 of starts that ended before their "
            "first checkpoint; move away those that you need, remove the others",
            folder, MAX, BEST_BEFORE);
    } else if (status == FR_OK && (same ? unlink(best) : rename(best, aside)) != 0) {
        status = FR_FAIL(ctx, FR_ERR_IO, "%s: %s; it is to be kept as %s: move it away",
                         best, strerror(errno), aside);
    }
    if (status == FR_OK) {
        fr_log(ctx, FR_LOG_WARN,
               "%s is of a start that ended before its first checkpoint; it is kept as "
               "%s",
               best, aside);
    }
    free(aside);
    return status;
}

fr_status fr_run_folder_set_best_aside(fr_ctx *ctx, const char *folder)
{
    char *best = NULL;
    FR_TRY(fr_join_path(ctx, folder, BEST, &best));
    fr_status status =
        place_of(best) != PLACE_FREE ? set_aside(ctx, folder, best) : FR_OK;
    free(best);
    return status;
}

/* Removing while reading a folder may skip entries: it is read again until none is left. */
static fr_status remove_numbered(fr_ctx *ctx, const char *folder, int64_t *n_removed)
{
    fr_status status = FR_OK;
    DIR *entries = opendir(folder);
    *n_removed = 0;
    if (entries == NULL) {
        return FR_FAIL(ctx, FR_ERR_IO, "cannot list %s: %s", folder, strerror(errno));
    }
    for (const struct dirent *entry;
         status == FR_OK && (entry = readdir(entries)) != NULL;) {
        if (fr_checkpoint_is_name(entry->d_name) || is_aside(entry->d_name)) {
            status = remove_own(ctx, folder, entry->d_name);
            *n_removed += 1;
        }
    }
    (void)closedir(entries);
    return status;
}

fr_status fr_run_folder_clear(fr_ctx *ctx, const char *folder)
{
    static const char *const NAMES[] = {BEST, FINAL, "sweep.jsonl", "latest"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        FR_TRY(remove_own(ctx, folder, NAMES[i]));
    }
    /* Ends because each reading but the last removes something, and nobody else writes under the lock. */
    for (int64_t n_removed = 1; n_removed > 0;) {
        FR_TRY(remove_numbered(ctx, folder, &n_removed));
    }
    return FR_OK;
}
