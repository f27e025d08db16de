/* Contents are counted. A prefix is held by the shelf while it is current, and by each one who found it; a content is held by its
 * prefixes. All counts change under one lock, and what nobody holds is freed outside of it. So a file can be replaced
 * while rows of its old content are under way.
 *
 * Rows are encoded one at a time, under a lock of their own: a tokenizer and a chat are read only, but the JSON values of a
 * template's arguments are counted by a library.
 */
#define _POSIX_C_SOURCE 200809L
#include "serve/shelf_impl.h"

#include "base/mem.h"
#include "train/inference/prompts.h"

#include <stdlib.h>
#include <string.h>

/* ---- holding ----------------------------------------------------------------------------------- */

void fr_shelf_let_go(fr_shelf *shelf, fr_shelf_content *content)
{
    fr_monitor_enter(&shelf->monitor);
    bool is_last = --content->holds == 0;
    if (is_last) {
        shelf->counters.bytes -= content->bytes;
    }
    fr_monitor_leave(&shelf->monitor);
    if (is_last) {
        fr_checkpoint_destroy(&content->checkpoint);
        free(content);
    }
}

static void free_prefix(fr_shelf_prefix *p)
{
    fr_inference_prefix_close(&p->reading);
    if (p->content != NULL) {
        fr_shelf_let_go(p->shelf, p->content);
    }
    free(p->name);
    free(p);
}

fr_shelf_prefix *fr_shelf_hold(fr_shelf_prefix *prefix)
{
    fr_monitor_enter(&prefix->shelf->monitor);
    prefix->holds++;
    fr_monitor_leave(&prefix->shelf->monitor);
    return prefix;
}

void fr_shelf_release(fr_shelf_prefix *prefix)
{
    if (prefix == NULL) {
        return;
    }
    fr_monitor *monitor = &prefix->shelf->monitor;
    fr_monitor_enter(monitor);
    bool is_last = --prefix->holds == 0;
    fr_monitor_leave(monitor);
    if (is_last) {
        free_prefix(prefix);
    }
}

void fr_shelf_put_away(fr_shelf_prefix **prefixes, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        fr_monitor_enter(&prefixes[i]->shelf->monitor);
        prefixes[i]->is_current = false;
        fr_monitor_leave(&prefixes[i]->shelf->monitor);
        fr_shelf_release(prefixes[i]);
    }
    free(prefixes);
}

/* The checks compare with the base, and a chat is opened with the tokenizer's tokens. */
fr_status fr_shelf_make(fr_ctx *ctx, fr_shelf *shelf, const char *name,
                        fr_shelf_content *content, int64_t index, fr_shelf_prefix **out)
{
    fr_shelf_prefix *p = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *p, &p));
    *p = (fr_shelf_prefix){.shelf = shelf, .holds = 1};
    fr_status status = fr_copy_optional(ctx, name, &p->name);
    if (status == FR_OK) {
        (void)pthread_mutex_lock(&shelf->encoding);
        status = fr_inference_prefix_open(ctx, shelf->params.inference, name,
                                          content != NULL ? content->checkpoint : NULL,
                                          index, &p->reading);
        (void)pthread_mutex_unlock(&shelf->encoding);
    }
    if (status != FR_OK) {
        free_prefix(p);
        return status;
    }
    if (content != NULL) {
        fr_monitor_enter(&shelf->monitor);
        content->holds++;
        fr_monitor_leave(&shelf->monitor);
        p->content = content;
    }
    *out = p;
    return FR_OK;
}

/* ---- opening and closing ------------------------------------------------------------------------ */

static fr_status open_locks(fr_ctx *ctx, fr_shelf *s)
{
    FR_TRY(fr_monitor_open(ctx, &s->monitor));
    s->has_monitor = true;
    int code = pthread_mutex_init(&s->encoding, NULL);
    s->has_encoding = code == 0;
    return code == 0 ? FR_OK
                     : FR_FAIL(ctx, FR_ERR_INTERNAL, "cannot make a mutex: %s",
                               strerror(code));
}

static fr_status open_parts(fr_ctx *ctx, fr_shelf *s)
{
    FR_TRY(open_locks(ctx, s));
    FR_TRY(fr_copy_optional(ctx, s->params.folder, &s->folder));
    FR_TRY(fr_shelf_make(ctx, s, NULL, NULL, 0, &s->base));
    s->base->is_current = true;
    if (s->folder != NULL && !fr_is_folder(s->folder)) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "%s is not a folder that can be read; name the one that holds "
                       "the prefix files",
                       s->folder);
    }
    s->is_opening = true;
    fr_status status = fr_shelf_look(ctx, s);
    s->is_opening = false;
    return status;
}

fr_status fr_shelf_open(fr_ctx *ctx, const fr_shelf_params *params, fr_shelf **out)
{
    fr_shelf *s = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *s, &s));
    s->params = *params;
    fr_status status = open_parts(ctx, s);
    if (status != FR_OK) {
        fr_shelf_close(&s);
    }
    *out = s;
    return status;
}

static void end_thread(fr_shelf *s)
{
    if (s->ctx == NULL) {
        return;
    }
    fr_monitor_enter(&s->monitor);
    s->is_ending = true;
    fr_monitor_tell(&s->monitor);
    fr_monitor_leave(&s->monitor);
    (void)pthread_join(s->thread, NULL);
    fr_ctx_destroy(&s->ctx);
}

void fr_shelf_close(fr_shelf **shelf)
{
    fr_shelf *s = *shelf;
    *shelf = NULL;
    if (s == NULL) {
        return;
    }
    end_thread(s);
    for (int64_t i = 0; i < s->n_files; i++) {
        fr_shelf_put_away(s->files[i].prefixes, s->files[i].n);
        free(s->files[i].name);
    }
    fr_shelf_release(s->base);
    free(s->files);
    free(s->folder);
    if (s->has_monitor) {
        fr_monitor_close(&s->monitor);
    }
    if (s->has_encoding) {
        (void)pthread_mutex_destroy(&s->encoding);
    }
    free(s);
}

/* The thread. A lack of memory is told; the next look tries again. */
static void *keep_looking(void *argument)
{
    enum { PAUSE_MS = 1000 };
    fr_shelf *s = argument;
    fr_monitor_enter(&s->monitor);
    while (!s->is_ending) {
        fr_monitor_wait(&s->monitor, PAUSE_MS);
        bool is_ending = s->is_ending;
        fr_monitor_leave(&s->monitor);
        if (!is_ending && fr_shelf_look(s->ctx, s) != FR_OK) {
            fr_log(s->ctx, FR_LOG_WARN, "%s: %s; it is looked at again", s->folder,
                   fr_ctx_error(s->ctx));
            fr_ctx_clear_error(s->ctx);
        }
        fr_monitor_enter(&s->monitor);
    }
    fr_monitor_leave(&s->monitor);
    return NULL;
}

fr_status fr_shelf_start(fr_ctx *ctx, fr_shelf *shelf)
{
    if (shelf->folder == NULL) {
        return FR_OK;
    }
    shelf->ctx = fr_ctx_create();
    FR_TRY(fr_check_memory(ctx, shelf->ctx != NULL, 1));
    fr_status status = fr_monitor_thread(ctx, "looks at the folder of prefixes",
                                         keep_looking, shelf, &shelf->thread);
    if (status != FR_OK) {
        fr_ctx_destroy(&shelf->ctx);
    }
    return status;
}

/* ---- asking ------------------------------------------------------------------------------------ */

fr_shelf_prefix *fr_shelf_find(fr_shelf *shelf, const char *name)
{
    fr_shelf_prefix *found = name == NULL ? shelf->base : NULL;
    fr_monitor_enter(&shelf->monitor);
    for (int64_t f = 0; f < shelf->n_files && found == NULL; f++) {
        const fr_shelf_file *file = &shelf->files[f];
        for (int64_t i = 0; i < file->n && found == NULL; i++) {
            found =
                strcmp(file->prefixes[i]->name, name) == 0 ? file->prefixes[i] : NULL;
        }
    }
    if (found != NULL) {
        found->holds++;
    }
    fr_monitor_leave(&shelf->monitor);
    return found;
}

const char *fr_shelf_name(const fr_shelf_prefix *prefix)
{
    return prefix->name;
}

const fr_inference_prefix *fr_shelf_reading(const fr_shelf_prefix *prefix)
{
    return prefix->reading;
}

bool fr_shelf_is_current(const fr_shelf_prefix *prefix)
{
    fr_monitor_enter(&prefix->shelf->monitor);
    bool is_current = prefix->is_current;
    fr_monitor_leave(&prefix->shelf->monitor);
    return is_current;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const fr_shelf_entry *)a)->name, ((const fr_shelf_entry *)b)->name);
}

/* Under the lock: the list has room for all. */
static fr_status fill_list(fr_ctx *ctx, const fr_shelf *s, fr_shelf_list *out)
{
    for (int64_t f = 0; f < s->n_files; f++) {
        for (int64_t i = 0; i < s->files[f].n; i++) {
            const fr_shelf_prefix *p = s->files[f].prefixes[i];
            fr_shelf_entry *entry = &out->entries[out->n];
            FR_TRY(fr_copy_string(ctx, p->name, &entry->name));
            entry->length = p->reading->length;
            entry->chat = p->reading->chat;
            entry->modified = p->modified;
            out->n++;
        }
    }
    return FR_OK;
}

fr_status fr_shelf_names(fr_ctx *ctx, fr_shelf *shelf, fr_shelf_list *out)
{
    *out = (fr_shelf_list){0};
    fr_monitor_enter(&shelf->monitor);
    fr_status status =
        fr_alloc(ctx, shelf->counters.names, sizeof *out->entries, &out->entries);
    if (status == FR_OK) {
        status = fill_list(ctx, shelf, out);
    }
    fr_monitor_leave(&shelf->monitor);
    if (status == FR_OK) {
        qsort(out->entries, (size_t)out->n, sizeof *out->entries, by_name);
    }
    return status;
}

void fr_shelf_list_fini(fr_shelf_list *list)
{
    for (int64_t i = 0; i < list->n; i++) {
        free(list->entries[i].name);
    }
    free(list->entries);
    *list = (fr_shelf_list){0};
}

static fr_status check_capacity(fr_ctx *ctx, const fr_shelf *shelf, int64_t n)
{
    int64_t capacity = shelf->params.capacity;
    return n < capacity ? FR_OK
                        : FR_FAIL(ctx, FR_ERR_DATA,
                                  "the request: a prompt of %lld tokens leaves no "
                                  "space in the %lld that this server has for one; "
                                  "shorten the prompt",
                                  (long long)n, (long long)capacity);
}

fr_status fr_shelf_encode(fr_ctx *ctx, fr_shelf *shelf, const fr_shelf_prefix *prefix,
                          const json_t *row, fr_ids *ids)
{
    static const fr_place REQUEST = {"the request", 0};
    fr_row encoded = {0};
    *ids = (fr_ids){0};
    (void)pthread_mutex_lock(&shelf->encoding);
    fr_status status = fr_prompt_encode(ctx, shelf->params.inference, prefix->reading,
                                        REQUEST, NULL, row, &encoded);
    (void)pthread_mutex_unlock(&shelf->encoding);
    if (status == FR_OK) {
        status = check_capacity(ctx, shelf, encoded.source.ids.count);
    }
    if (status == FR_OK) {
        *ids = encoded.source.ids;
        encoded.source.ids = (fr_ids){0};
    }
    fr_row_fini(&encoded);
    return status;
}

void fr_shelf_count(fr_shelf *shelf, fr_shelf_counters *out)
{
    fr_monitor_enter(&shelf->monitor);
    *out = shelf->counters;
    fr_monitor_leave(&shelf->monitor);
}
