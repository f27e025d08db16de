/* A look at the folder, in this order: which files are there (list_folder), what became of each (look_at_file), and which are
 * gone. Only one thread looks at a time; others see its results, which are published under the lock in one step for a file.
 *
 * A file is read with read(2) and not mapped: whoever can write to the folder can cut a mapped file short, and the process would be
 * killed by the next access. It is checked as bytes in memory (fr_checkpoint_parse). Its size is bounded before memory is
 * taken, since a sparse file costs its author nothing.
 *
 * The stamp of a content that cannot be used is kept, so that it is told once and not read again.
 */
#define _POSIX_C_SOURCE 200809L
#include "serve/shelf_impl.h"

#include "base/mem.h"
#include "base/task_name.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES = 2 * FR_TASK_NAME_BYTES + 1, MIB = 1 << 20 };
static const char ENDING[] = ".h5";

/* ---- the files that are there --------------------------------------------------------------------- */

static bool ends_well(const char *name)
{
    size_t bytes = strlen(name);
    return name[0] != '.' && bytes > sizeof ENDING - 1 &&
           strcmp(name + bytes - (sizeof ENDING - 1), ENDING) == 0;
}

static fr_shelf_file *find_file(fr_shelf *s, const char *name)
{
    for (int64_t i = 0; i < s->n_files; i++) {
        if (strcmp(s->files[i].name, name) == 0) {
            return &s->files[i];
        }
    }
    return NULL;
}

/* The array is exchanged under the lock, because others walk through it. */
static fr_status grow(fr_ctx *ctx, fr_shelf *s)
{
    enum { FIRST = 16 };
    int64_t capacity = s->capacity > 0 ? 2 * s->capacity : FIRST;
    fr_shelf_file *files = NULL;
    FR_TRY(fr_alloc(ctx, capacity, sizeof *files, &files));
    if (s->n_files > 0) {
        memcpy(files, s->files, (size_t)s->n_files * sizeof *files);
    }
    fr_shelf_file *before = s->files;
    fr_monitor_enter(&s->monitor);
    s->files = files;
    s->capacity = capacity;
    fr_monitor_leave(&s->monitor);
    free(before);
    return FR_OK;
}

static fr_status add_file(fr_ctx *ctx, fr_shelf *s, const char *name)
{
    fr_shelf_file *file = find_file(s, name);
    if (file != NULL) {
        file->is_there = true;
        return FR_OK;
    }
    if (s->n_files >= FR_SHELF_FILES) {
        if (!s->is_full_told) {
            fr_log(ctx, FR_LOG_WARN,
                   "%s holds more than %d files; %s and others are left out: use files "
                   "of several tasks (forerun prefix collect)",
                   s->folder, FR_SHELF_FILES, name);
        }
        s->is_full_told = true;
        return FR_OK;
    }
    char *copy = NULL;
    if (s->n_files == s->capacity) {
        FR_TRY(grow(ctx, s));
    }
    FR_TRY(fr_copy_string(ctx, name, &copy));
    s->files[s->n_files] = (fr_shelf_file){.name = copy, .is_there = true};
    fr_monitor_enter(&s->monitor);
    s->n_files++;
    fr_monitor_leave(&s->monitor);
    return FR_OK;
}

/* A folder that cannot be read now may come back, as one of another host does: everything stays as it is. */
static fr_status list_folder(fr_ctx *ctx, fr_shelf *s, bool *is_read)
{
    DIR *folder = opendir(s->folder);
    *is_read = folder != NULL;
    if (folder == NULL) {
        if (!s->is_lost_told) {
            fr_log(ctx, FR_LOG_WARN,
                   "%s cannot be read now (%s); the prefixes that were read go on",
                   s->folder, strerror(errno));
        }
        s->is_lost_told = true;
        return FR_OK;
    }
    s->is_lost_told = false;
    for (int64_t i = 0; i < s->n_files; i++) {
        s->files[i].is_there = false;
    }
    fr_status status = FR_OK;
    const struct dirent *entry = readdir(folder);
    while (entry != NULL && status == FR_OK) {
        if (ends_well(entry->d_name)) {
            status = add_file(ctx, s, entry->d_name);
        }
        entry = readdir(folder);
    }
    (void)closedir(folder);
    return status;
}

/* ---- the content of a file ------------------------------------------------------------------------- */

/* Bytes that a file may have: three times its keys and values, if it holds moments, and an MLP. */
static fr_status check_bytes(fr_ctx *ctx, const fr_shelf *s, const char *path,
                             int64_t bytes)
{
    int64_t most = s->params.memory;
    return most == 0 || bytes / 8 <= most + 8 * MIB
               ? FR_OK
               : FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                         "%s has %lld MiB, far more than prefixes may take (%lld MiB); "
                         "make one of it with `forerun prefix`, or allow more memory",
                         path, (long long)(bytes / MIB), (long long)(most / MIB));
}

/* The file may shrink or grow meanwhile: what comes is at most `bytes`, and what the checks then see is memory. */
static fr_status read_bytes(fr_ctx *ctx, const char *path, uint8_t *data, int64_t bytes,
                            int64_t *got)
{
    int file = -1;
    *got = 0;
    FR_TRY(fr_file_open(ctx, path, &file));
    ssize_t n = 1;
    while (*got < bytes && (n > 0 || (n < 0 && errno == EINTR))) {
        n = read(file, data + *got, (size_t)(bytes - *got));
        *got += n > 0 ? n : 0;
    }
    int error = errno;
    (void)close(file);
    return n >= 0 ? FR_OK
                  : FR_FAIL(ctx, FR_ERR_CHECKPOINT, "cannot read %s: %s", path,
                            strerror(error));
}

static fr_status read_checkpoint(fr_ctx *ctx, const fr_shelf *s, const char *path,
                                 int64_t bytes, fr_checkpoint **out)
{
    uint8_t *data = NULL;
    int64_t got = 0;
    FR_TRY(check_bytes(ctx, s, path, bytes));
    FR_TRY(fr_alloc_large(ctx, bytes, &data));
    fr_status status = read_bytes(ctx, path, data, bytes, &got);
    if (status == FR_OK) {
        status = fr_checkpoint_parse(ctx, path, data, (size_t)got, out);
    }
    free(data);
    return status;
}

/* What only training needs goes. */
static int64_t keep_prefix_alone(fr_checkpoint_task *task)
{
    fr_prefix_state *state = &task->state;
    float **const moments[] = {&state->m_k, &state->m_v, &state->s_k, &state->s_v};
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        free(*moments[i]);
        *moments[i] = NULL;
    }
    fr_mlp_fini(&task->mlp);
    int64_t numbers = task->length * task->n_layers * task->n_kv_heads * task->head_dim;
    return 2 * numbers * (int64_t)sizeof(float);
}

/* The bytes that the old content has do not count: it goes, if it is not under way. */
static fr_status check_room(fr_ctx *ctx, fr_shelf *s, fr_shelf_file *file,
                            const fr_shelf_content *content)
{
    fr_shelf_counters now;
    fr_shelf_count(s, &now);
    int64_t old = file->n > 0 ? file->prefixes[0]->content->bytes : 0;
    int64_t n = content->checkpoint->n_tasks;
    file->lacks_room = true;
    if (s->params.memory > 0 && now.bytes - old + content->bytes > s->params.memory) {
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "%s/%s: its keys and values take %lld MiB, and all prefixes may "
                       "take %lld MiB, of which %lld are used; remove files, or allow "
                       "more memory",
                       s->folder, file->name, (long long)(content->bytes / MIB),
                       (long long)(s->params.memory / MIB),
                       (long long)((now.bytes - old) / MIB));
    }
    if (now.names - file->n + n > FR_SHELF_TASKS) {
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "%s/%s: with its %lld tasks there are more than %d; remove "
                       "files",
                       s->folder, file->name, (long long)n, (int)FR_SHELF_TASKS);
    }
    file->lacks_room = false;
    return FR_OK;
}

/* The content counts from here on, held by its maker. */
static fr_status make_content(fr_ctx *ctx, fr_shelf *s, fr_shelf_file *file,
                              const char *path, fr_shelf_content **out)
{
    fr_shelf_content *content = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *content, &content));
    content->holds = 1;
    fr_status status =
        read_checkpoint(ctx, s, path, file->tried.bytes, &content->checkpoint);
    for (int64_t i = 0; status == FR_OK && i < content->checkpoint->n_tasks; i++) {
        content->bytes += keep_prefix_alone(&content->checkpoint->tasks[i]);
    }
    if (status == FR_OK) {
        status = check_room(ctx, s, file, content);
    }
    if (status == FR_OK) {
        status = fr_inference_check_base(ctx, s->params.inference, path,
                                         content->checkpoint);
    }
    if (status != FR_OK) {
        fr_checkpoint_destroy(&content->checkpoint);
        free(content);
        return status;
    }
    fr_monitor_enter(&s->monitor);
    s->counters.bytes += content->bytes;
    fr_monitor_leave(&s->monitor);
    *out = content;
    return FR_OK;
}

/* ---- its prefixes --------------------------------------------------------------------------------- */

/* STEM, or STEM:TASK where the file has several. */
static void name_prefix(const fr_shelf_file *file, const fr_checkpoint *checkpoint,
                        int64_t i, char out[NAME_BYTES])
{
    int stem = (int)(strlen(file->name) - (sizeof ENDING - 1));
    bool several = checkpoint->n_tasks > 1;
    (void)snprintf(out, NAME_BYTES, "%.*s%s%s", stem, file->name, several ? ":" : "",
                   several ? checkpoint->tasks[i].name : "");
}

/* All prefixes of a content, or none. */
static fr_status make_prefixes(fr_ctx *ctx, fr_shelf *s, const fr_shelf_file *file,
                               fr_shelf_content *content, fr_shelf_prefix ***out)
{
    enum { NS = 1000000000 };
    char name[NAME_BYTES];
    int64_t n = 0;
    fr_status status = fr_alloc(ctx, content->checkpoint->n_tasks, sizeof **out, out);
    for (int64_t i = 0; status == FR_OK && i < content->checkpoint->n_tasks; i++) {
        name_prefix(file, content->checkpoint, i, name);
        status = fr_shelf_make(ctx, s, name, content, i, &(*out)[i]);
        if (status == FR_OK) {
            (*out)[i]->is_current = true;
            (*out)[i]->modified = file->tried.modified_ns / NS;
            n++;
        }
    }
    if (status != FR_OK) {
        fr_shelf_put_away(*out, n);
        *out = NULL;
    }
    return status;
}

/* From one moment to the next others find the new content. */
static void publish(fr_shelf *s, fr_shelf_file *file, fr_shelf_prefix **prefixes,
                    int64_t n)
{
    fr_shelf_prefix **before = file->prefixes;
    int64_t n_before = file->n;
    fr_monitor_enter(&s->monitor);
    file->prefixes = prefixes;
    file->n = n;
    s->counters.names += n - n_before;
    s->counters.loads += n > 0;
    fr_monitor_leave(&s->monitor);
    fr_shelf_put_away(before, n_before);
}

static fr_status read_file(fr_ctx *ctx, fr_shelf *s, fr_shelf_file *file)
{
    char *path = NULL;
    fr_shelf_content *content = NULL;
    fr_shelf_prefix **prefixes = NULL;
    FR_TRY(fr_join_path(ctx, s->folder, file->name, &path));
    fr_status status = make_content(ctx, s, file, path, &content);
    free(path);
    FR_TRY(status);
    int64_t n = content->checkpoint->n_tasks;
    status = make_prefixes(ctx, s, file, content, &prefixes);
    if (status == FR_OK) {
        fr_log(ctx, FR_LOG_INFO, "%s/%s: %lld prefix%s%s", s->folder, file->name,
               (long long)n, n == 1 ? "" : "es",
               file->n > 0 ? " in the place of the old" : "");
        publish(s, file, prefixes, n);
    }
    fr_shelf_let_go(s, content);
    return status;
}

/* ---- what became of each -------------------------------------------------------------------------- */

static bool is_same(const fr_stamp *a, const fr_stamp *b)
{
    return a->bytes == b->bytes && a->inode == b->inode &&
           a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns;
}

/* Told once for each content. A lack of memory is no fault of the file: it is tried again. */
static fr_status refuse(fr_ctx *ctx, fr_shelf *s, fr_shelf_file *file, fr_status status)
{
    if (status == FR_ERR_NO_MEMORY) {
        file->is_tried = false;
        return status;
    }
    fr_log(ctx, FR_LOG_WARN, "%s; %s", fr_ctx_error(ctx),
           file->n > 0 ? "what this file held before goes on" : "it is left out");
    fr_ctx_clear_error(ctx);
    fr_monitor_enter(&s->monitor);
    s->counters.refused++;
    fr_monitor_leave(&s->monitor);
    return FR_OK;
}

static bool is_named_well(fr_ctx *ctx, const fr_shelf *s, fr_shelf_file *file)
{
    char stem[FR_TASK_NAME_BYTES];
    size_t bytes = strlen(file->name) - (sizeof ENDING - 1);
    bool is_short = bytes < sizeof stem;
    if (is_short) {
        memcpy(stem, file->name, bytes);
        stem[bytes] = '\0';
    }
    bool is_fine = is_short && fr_task_name_check(stem);
    if (!is_fine && !file->is_told) {
        fr_log(ctx, FR_LOG_WARN,
               "%s/%s is left out: its name without .h5 is a model's name for clients; "
               "use " FR_TASK_NAME_RULE,
               s->folder, file->name);
    }
    file->is_told = true;
    return is_fine;
}

/* A file that is being written changes from look to look, so it is read once it has kept its stamp. A FIFO or a device has a
 * stamp too; fr_file_open refuses it. */
static fr_status look_at_file(fr_ctx *ctx, fr_shelf *s, fr_shelf_file *file)
{
    char *path = NULL;
    fr_stamp now;
    FR_TRY(fr_join_path(ctx, s->folder, file->name, &path));
    bool is_there = fr_file_stamp(path, &now);
    free(path);
    file->is_there = is_there;
    if (!is_there || (file->is_tried && is_same(&now, &file->tried))) {
        return FR_OK;
    }
    bool is_settled = s->is_opening || is_same(&now, &file->seen);
    file->seen = now;
    if (!is_settled) {
        return FR_OK;
    }
    file->is_tried = true;
    file->lacks_room = false;
    file->tried = now;
    fr_status status = read_file(ctx, s, file);
    return status == FR_OK ? FR_OK : refuse(ctx, s, file, status);
}

/* The last one takes the place of a file that is gone. Those for which there was no room are tried again. */
static void forget_file(fr_ctx *ctx, fr_shelf *s, int64_t i)
{
    if (s->files[i].n > 0) {
        fr_log(ctx, FR_LOG_INFO, "%s/%s is gone, and its names with it", s->folder,
               s->files[i].name);
    }
    publish(s, &s->files[i], NULL, 0);
    free(s->files[i].name);
    fr_monitor_enter(&s->monitor);
    s->files[i] = s->files[--s->n_files];
    fr_monitor_leave(&s->monitor);
    for (int64_t other = 0; other < s->n_files; other++) {
        s->files[other].is_tried =
            s->files[other].is_tried && !s->files[other].lacks_room;
    }
}

fr_status fr_shelf_look(fr_ctx *ctx, fr_shelf *shelf)
{
    fr_shelf *s = shelf;
    bool is_read = false;
    if (s->folder == NULL) {
        return FR_OK;
    }
    FR_TRY(list_folder(ctx, s, &is_read));
    for (int64_t i = 0; is_read && i < s->n_files; i++) {
        if (s->files[i].is_there && is_named_well(ctx, s, &s->files[i])) {
            FR_TRY(look_at_file(ctx, s, &s->files[i]));
        }
    }
    for (int64_t i = s->n_files - 1; is_read && i >= 0; i--) {
        if (!s->files[i].is_there) {
            forget_file(ctx, s, i);
        }
    }
    return FR_OK;
}
