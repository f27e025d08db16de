/* Which model a snapshot of the hub's cache holds, and whether all of it is there.
 *
 * A snapshot is a folder of links. It is listed once, and only the names that matter are kept, in the order of bytes. A
 * download that was interrupted leaves a snapshot without some of its links, since a link is made when its blob is whole; where
 * blobs were removed by hand, links lead nowhere.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/mem.h"
#include "model/files/hub_impl.h"
#include "model/files/names.h"
#include "model/files/part_name.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Far more than a repository of one model has; folders in it hold other forms of the same model. */
enum { MAX_FILES = 4096, MAX_DEPTH = 3, MAX_ENTRIES = 1 << 16, LISTED = 6 };
static const char GGUF[] = ".gguf";
static const char SAFETENSORS[] = ".safetensors";

typedef struct file {
    char *name;   /* below the snapshot */
    bool is_lost; /* a link that leads nowhere */
} file;

typedef struct files {
    const fr_hub_snapshot *of;
    file *list; /* [MAX_FILES] */
    int64_t n;
    int64_t n_seen; /* entries of any kind */
} files;

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);
    size_t n_end = strlen(end);
    return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

/* ---- what is there ------------------------------------------------------------------------------- */

/* What a model's folder is read from, and weights of any form. */
static bool matters(const char *name)
{
    static const char *const ENDINGS[] = {
        ".gguf", ".safetensors", ".json", ".bin",  ".pt",  ".pth",
        ".ckpt", ".msgpack",     ".h5",   ".onnx", ".npz", "tokenizer.model"};
    for (size_t i = 0; i < sizeof ENDINGS / sizeof ENDINGS[0]; i++) {
        if (ends_with(name, ENDINGS[i])) {
            return true;
        }
    }
    return false;
}

/* Links can make a folder its own part, so that what a listing meets is more than what lies there. */
static fr_status fail_many(const files *f, int most, const char *what)
{
    return FR_FAIL(
        f->of->ctx, FR_ERR_DATA,
        "%s: %s has more than %d %s; give one of its files or folders by its "
        "path",
        f->of->text, f->of->folder, most, what);
}

static fr_status list_folder(files *to, const char *below, int depth);

/* `name` is below the snapshot. */
static fr_status add_entry(files *to, const char *name, int depth)
{
    struct stat info;
    char *path = NULL;
    if (to->n_seen++ == MAX_ENTRIES) {
        return fail_many(to, MAX_ENTRIES, "entries");
    }
    FR_TRY(fr_join_path(to->of->ctx, to->of->folder, name, &path));
    bool is_lost = stat(path, &info) != 0;
    bool is_folder = !is_lost && S_ISDIR(info.st_mode);
    free(path);
    if (is_folder) {
        return depth < MAX_DEPTH ? list_folder(to, name, depth + 1) : FR_OK;
    }
    if (!matters(name)) {
        return FR_OK;
    }
    if (to->n == MAX_FILES) {
        return fail_many(to, MAX_FILES, "files of models");
    }
    FR_TRY(fr_copy_string(to->of->ctx, name, &to->list[to->n].name));
    to->list[to->n++].is_lost = is_lost;
    return FR_OK;
}

static fr_status list_folder(files *to, const char *below, int depth)
{
    fr_ctx *ctx = to->of->ctx;
    char *path = NULL;
    FR_TRY(fr_join_path(ctx, to->of->folder, below, &path));
    DIR *entries = opendir(path);
    const struct dirent *entry = entries != NULL ? readdir(entries) : NULL;
    fr_status status =
        entries != NULL
            ? FR_OK
            : FR_FAIL(ctx, FR_ERR_DATA,
                      "%s: cannot list the folder %s of the hub's cache: %s",
                      to->of->text, path, strerror(errno));
    for (; entry != NULL && status == FR_OK; entry = readdir(entries)) {
        char *name = NULL;
        if (entry->d_name[0] == '.') {
            continue;
        }
        status = below[0] != '\0' ? fr_join_path(ctx, below, entry->d_name, &name)
                                  : fr_copy_string(ctx, entry->d_name, &name);
        if (status == FR_OK) {
            status = add_entry(to, name, depth);
        }
        free(name);
    }
    if (entries != NULL) {
        (void)closedir(entries);
    }
    free(path);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const file *)a)->name, ((const file *)b)->name);
}

static const file *find(const files *f, const char *name)
{
    for (int64_t i = 0; i < f->n; i++) {
        if (strcmp(f->list[i].name, name) == 0) {
            return &f->list[i];
        }
    }
    return NULL;
}

/* The first file of the snapshot's own folder with this ending; NULL: none. */
static const file *find_ending(const files *f, const char *ending)
{
    for (int64_t i = 0; i < f->n; i++) {
        if (strchr(f->list[i].name, '/') == NULL &&
            ends_with(f->list[i].name, ending)) {
            return &f->list[i];
        }
    }
    return NULL;
}

/* ---- what is missing ------------------------------------------------------------------------------ */

/* Blobs that a download has begun. */
static int64_t count_begun(const fr_hub_snapshot *s)
{
    char *path = NULL;
    int64_t n = 0;
    if (fr_join_path(s->ctx, s->model, "blobs", &path) != FR_OK) {
        fr_ctx_clear_error(s->ctx);
        return 0;
    }
    DIR *entries = opendir(path);
    const struct dirent *entry = entries != NULL ? readdir(entries) : NULL;
    for (; entry != NULL; entry = readdir(entries)) {
        n += ends_with(entry->d_name, ".incomplete") ? 1 : 0;
    }
    if (entries != NULL) {
        (void)closedir(entries);
    }
    free(path);
    return n;
}

/* `lacking`: what the command is to fetch; NULL: what the name says. */
static fr_status fail_missing(const fr_hub_snapshot *s, const char *what,
                              const char *lacking)
{
    fr_hub_name wanted = *s->name;
    char begun[96] = "";
    int64_t n = count_begun(s);
    if (lacking != NULL) {
        wanted.file = fr_text_of(lacking);
    }
    if (n > 0) {
        (void)snprintf(begun, sizeof begun, " (%lld download%s begun and not ended)",
                       (long long)n, n == 1 ? " was" : "s were");
    }
    return FR_FAIL(s->ctx, FR_ERR_DATA,
                   "%s: the hub's cache %s %s%s; fetch it with '%s'", s->text,
                   s->folder, what, begun, fr_hub_command_for(&wanted).text);
}

static fr_status fail_lost(const fr_hub_snapshot *s, const char *name)
{
    char what[160];
    (void)snprintf(what, sizeof what, "has a link %s that leads nowhere",
                   fr_show(fr_text_of(name)).text);
    return fail_missing(s, what, s->name->file.bytes > 0 ? name : NULL);
}

/* All parts of the set that this file is one of. `name` is below the snapshot. */
static fr_status check_parts(const fr_hub_snapshot *s, const char *name,
                             const char *ending)
{
    fr_part_name part;
    char *path = NULL;
    char *missing = NULL;
    char what[160];
    int64_t number = 0;
    if (!fr_part_name_read(name, ending, &part)) {
        return FR_OK;
    }
    FR_TRY(fr_join_path(s->ctx, s->folder, name, &path));
    bool is_part = fr_part_name_read(path, ending, &part);
    fr_status status =
        is_part ? fr_part_missing(s->ctx, path, &part, ending, &number) : FR_OK;
    if (status == FR_OK && number > 0) {
        (void)fr_part_name_read(name, ending, &part);
        status = fr_part_path(s->ctx, name, &part, ending, number, &missing);
    }
    if (status == FR_OK && number > 0) {
        (void)snprintf(what, sizeof what, "lacks %s, part %lld of %lld",
                       fr_show(fr_text_of(missing)).text, (long long)number,
                       (long long)part.count);
        status = fail_missing(s, what, missing);
    }
    free(path);
    free(missing);
    return status;
}

/* ---- which model ---------------------------------------------------------------------------------- */

/* The parts of a set come one after the other in the list. */
static bool is_next_part(const files *f, int64_t i)
{
    fr_part_name part;
    fr_part_name before;
    return i > 0 && fr_part_name_read(f->list[i].name, GGUF, &part) &&
           fr_part_name_read(f->list[i - 1].name, GGUF, &before) &&
           part.stem == before.stem && part.count == before.count &&
           strncmp(f->list[i].name, f->list[i - 1].name, part.stem) == 0;
}

/* How many GGUF models there are, and the first one's file. */
static int64_t count_ggufs(const files *f, const char **first)
{
    int64_t n = 0;
    *first = NULL;
    for (int64_t i = 0; i < f->n; i++) {
        if (ends_with(f->list[i].name, GGUF) && !is_next_part(f, i)) {
            *first = n == 0 ? f->list[i].name : *first;
            n++;
        }
    }
    return n;
}

/* Names are shown cut where they are long, so the message stays within its bounds. */
enum { LIST_BYTES = LISTED * (FR_SHOWN_BYTES + 2) + 16 };
static void list_ggufs(const files *f, char list[LIST_BYTES])
{
    size_t at = 0;
    int64_t n = 0;
    list[0] = '\0';
    for (int64_t i = 0; i < f->n && n <= LISTED; i++) {
        if (!ends_with(f->list[i].name, GGUF) || is_next_part(f, i)) {
            continue;
        }
        fr_shown name = fr_show(fr_text_of(f->list[i].name));
        int used = snprintf(list + at, LIST_BYTES - at, "%s%s", n > 0 ? ", " : "",
                            n < LISTED ? name.text : "...");
        at += used > 0 ? (size_t)used : 0;
        n++;
    }
}

/* `what` ends in the place for the list. */
static fr_status fail_which(const files *f, const char *what)
{
    const fr_hub_snapshot *s = f->of;
    fr_text revision = s->name->revision;
    char list[LIST_BYTES];
    list_ggufs(f, list);
    return FR_FAIL(s->ctx, FR_ERR_DATA,
                   "%s: the hub's cache %s %s: %s; give one as %.*s/%.*s%s%.*s:FILE",
                   s->text, s->folder, what, list, (int)s->name->owner.bytes,
                   s->name->owner.data, (int)s->name->name.bytes, s->name->name.data,
                   revision.bytes > 0 ? "@" : "", (int)revision.bytes,
                   revision.bytes > 0 ? revision.data : "");
}

static fr_status choose_gguf(const files *f, const char *name, char **path)
{
    const file *found = find(f, name);
    if (found != NULL && found->is_lost) {
        return fail_lost(f->of, name);
    }
    FR_TRY(check_parts(f->of, name, GGUF));
    return fr_join_path(f->of->ctx, f->of->folder, name, path);
}

/* The file that the name gives. */
static fr_status choose_named(const files *f, char **path)
{
    const char *name = f->of->name->file.data;
    const char *first = NULL;
    const file *found = find(f, name);
    if (found != NULL && ends_with(name, GGUF)) {
        return choose_gguf(f, name, path);
    }
    if (found != NULL) {
        return FR_FAIL(f->of->ctx, FR_ERR_DATA,
                       "%s: %s is not a GGUF file; leave it out to use all of the "
                       "repository, or name a GGUF file in its place",
                       f->of->text, fr_show(fr_text_of(name)).text);
    }
    if (count_ggufs(f, &first) > 0) {
        char what[160 + sizeof(fr_hub_command)];
        (void)snprintf(what, sizeof what,
                       "lacks this file; fetch it with '%s'; GGUF files that are there",
                       fr_hub_command_for(f->of->name).text);
        return fail_which(f, what);
    }
    return fail_missing(f->of, "has no such GGUF file", NULL);
}

/* The snapshot as a Hugging Face folder. What is wrong with its files is found when they are opened. */
static fr_status choose_folder(const files *f, char **path)
{
    const file *shard = find_ending(f, SAFETENSORS);
    for (int64_t i = 0; i < f->n && f->of->with_weights; i++) {
        if (f->list[i].is_lost && strchr(f->list[i].name, '/') == NULL) {
            return fail_lost(f->of, f->list[i].name);
        }
    }
    if (f->of->with_weights && find(f, "config.json") == NULL) {
        return fail_missing(f->of, "has weights and no config.json", NULL);
    }
    if (f->of->with_weights && shard != NULL) {
        FR_TRY(check_parts(f->of, shard->name, SAFETENSORS));
    }
    return fr_copy_string(f->of->ctx, f->of->folder, path);
}

/* Weights of another form, which the folder's reader names. */
static bool has_other_weights(const files *f)
{
    static const char *const ENDINGS[] = {".bin",     ".pt", ".pth",  ".ckpt",
                                          ".msgpack", ".h5", ".onnx", ".npz"};
    for (size_t i = 0; i < sizeof ENDINGS / sizeof ENDINGS[0]; i++) {
        if (find_ending(f, ENDINGS[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static fr_status choose_any(const files *f, char **path)
{
    const char *first = NULL;
    int64_t n_ggufs = count_ggufs(f, &first);
    if (find_ending(f, SAFETENSORS) != NULL) {
        return choose_folder(f, path);
    }
    if (n_ggufs == 1) {
        return choose_gguf(f, first, path);
    }
    if (n_ggufs > 1) {
        return fail_which(f, "has several GGUF models");
    }
    bool has_head = find(f, "config.json") != NULL ||
                    find_ending(f, ".model") != NULL ||
                    find(f, "tokenizer.json") != NULL;
    bool is_index = find_ending(f, ".safetensors.index.json") != NULL;
    if ((has_head && !f->of->with_weights) || (has_other_weights(f) && !is_index)) {
        return choose_folder(f, path);
    }
    return fail_missing(f->of, "has no weights (safetensors or GGUF)", NULL);
}

fr_status fr_hub_choose(const fr_hub_snapshot *snapshot, char **path)
{
    files f = {.of = snapshot};
    FR_TRY(fr_alloc(snapshot->ctx, MAX_FILES, sizeof *f.list, &f.list));
    fr_status status = list_folder(&f, "", 1);
    if (status == FR_OK) {
        qsort(f.list, (size_t)f.n, sizeof *f.list, by_name);
        status = snapshot->name->file.bytes > 0 ? choose_named(&f, path)
                                                : choose_any(&f, path);
    }
    for (int64_t i = 0; i < f.n; i++) {
        free(f.list[i].name);
    }
    free(f.list);
    return status;
}
