/* Names of models on the hub, where its cache is, and which snapshot a revision means.
 *
 * A name is used as a part of paths only after fr_hub_name_read has checked it, and so is what a file in refs says: it is
 * one word of a few characters. The files of refs and the entries of snapshots are small; a larger one is damage.
 */
#define _POSIX_C_SOURCE 200809L
#include "model/files/hub.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/files/hub_impl.h"
#include "model/files/names.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The hub's limit for a word of a name, git's usual one for a path's part, and a generous one for a path. */
enum { MAX_WORD = 96, MAX_REVISION = 200, MAX_FILE = 512 };
/* Of a commit; git abbreviates to no fewer than SHORT. */
enum { COMMIT_DIGITS = 40, SHORT_DIGITS = 7 };
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
#define HEX "0123456789abcdef"

/* ---- names ------------------------------------------------------------------------------------- */

static bool consists_of(fr_text text, const char *alphabet)
{
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] == '\0' || strchr(alphabet, text.data[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static bool is_word(fr_text text)
{
    if (text.bytes == 0 || text.bytes > MAX_WORD || !consists_of(text, LETTERS "-.")) {
        return false;
    }
    fr_text first = {text.data, 1};
    fr_text last = {text.data + text.bytes - 1, 1};
    bool doubled = false;
    for (size_t i = 1; i < text.bytes; i++) {
        doubled = doubled || (text.data[i] == text.data[i - 1] &&
                              (text.data[i] == '-' || text.data[i] == '.'));
    }
    return consists_of(first, LETTERS) && consists_of(last, LETTERS) && !doubled;
}

static bool ends_with(fr_text text, const char *end)
{
    size_t n = strlen(end);
    return text.bytes >= n && memcmp(text.data + text.bytes - n, end, n) == 0;
}

/* A path below some folder: no part is empty or begins with a dot, so that none is "." or "..". */
static bool stays_below(fr_text path)
{
    bool at_start = true;
    for (size_t i = 0; i < path.bytes; i++) {
        char c = path.data[i];
        if (at_start && (c == '/' || c == '.')) {
            return false;
        }
        at_start = c == '/';
    }
    return path.bytes > 0 && !at_start;
}

static bool is_revision(fr_text text)
{
    return text.bytes <= MAX_REVISION && stays_below(text) && text.data[0] != '-' &&
           consists_of(text, LETTERS "-./+=#");
}

/* What a shell would replace between quotes is left out as well: names are shown in commands to be typed. */
static bool is_file(fr_text text)
{
    for (size_t i = 0; i < text.bytes; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < ' ' || c == 127 || strchr("'\"\\$`!", c) != NULL) {
            return false;
        }
    }
    return text.bytes <= MAX_FILE && stays_below(text) && text.data[0] != '-';
}

/* OWNER/NAME with the ending of a file is a misspelt path. */
static bool is_file_name(fr_text name)
{
    static const char *const ENDINGS[] = {".gguf", ".safetensors", ".json",
                                          ".h5",   ".bin",         ".git"};
    for (size_t i = 0; i < sizeof ENDINGS / sizeof ENDINGS[0]; i++) {
        if (ends_with(name, ENDINGS[i])) {
            return true;
        }
    }
    return false;
}

bool fr_hub_name_read(const char *text, fr_hub_name *out)
{
    *out = (fr_hub_name){0};
    size_t owner = strcspn(text, "/@:");
    out->owner = (fr_text){text, owner};
    if (text[owner] != '/' || !is_word(out->owner)) {
        return false;
    }
    const char *at = text + owner + 1;
    out->name = (fr_text){at, strcspn(at, "@:")};
    at += out->name.bytes;
    if (!is_word(out->name) || is_file_name(out->name)) {
        return false;
    }
    if (*at == '@') {
        out->revision = (fr_text){at + 1, strcspn(at + 1, ":")};
        at += 1 + out->revision.bytes;
        if (!is_revision(out->revision)) {
            return false;
        }
    }
    if (*at == ':') {
        out->file = fr_text_of(at + 1);
        return is_file(out->file);
    }
    return true;
}

fr_hub_command fr_hub_command_for(const fr_hub_name *name)
{
    fr_hub_command command;
    bool has_file = is_file(name->file);
    bool has_revision = name->revision.bytes > 0;
    bool is_plain = consists_of(name->file, LETTERS "-./+=,");
    (void)snprintf(command.text, sizeof command.text,
                   "hf download %.*s/%.*s%s%.*s%s%s%.*s", (int)name->owner.bytes,
                   name->owner.data, (int)name->name.bytes, name->name.data,
                   !has_file  ? ""
                   : is_plain ? " "
                              : " \"",
                   (int)name->file.bytes, has_file ? name->file.data : "",
                   has_file && !is_plain ? "\"" : "",
                   has_revision ? " --revision " : "", (int)name->revision.bytes,
                   has_revision ? name->revision.data : "");
    return command;
}

/* ---- where the cache is -------------------------------------------------------------------------- */

static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* The value of the variable that `at` names, behind its '$'; *bytes: of the name with its braces. NULL: not set. */
static const char *variable_at(const char *at, size_t *bytes)
{
    char name[MAX_WORD + 1];
    size_t brace = at[0] == '{' ? 1 : 0;
    size_t n = strspn(at + brace, LETTERS);
    *bytes = n + 2 * brace;
    if (n == 0 || n > MAX_WORD || (brace == 1 && at[1 + n] != '}')) {
        return NULL;
    }
    memcpy(name, at + brace, n);
    name[n] = '\0';
    return getenv(name);
}

static void write_expanded(FILE *out, const char *text)
{
    const char *home = setting("HOME");
    if (text[0] == '~' && (text[1] == '/' || text[1] == '\0') && home != NULL) {
        (void)fputs(home, out);
        text++;
    }
    for (const char *at = text; *at != '\0'; at++) {
        size_t bytes = 0;
        const char *value = *at == '$' ? variable_at(at + 1, &bytes) : NULL;
        if (value != NULL) {
            (void)fputs(value, out);
            at += bytes;
        } else {
            (void)fputc(*at, out);
        }
    }
}

fr_status fr_hub_folder(fr_ctx *ctx, char **out)
{
    static const struct {
        const char *name;
        const char *tail;
    } PLACES[] = {{"HF_HUB_CACHE", ""},
                  {"HUGGINGFACE_HUB_CACHE", ""},
                  {"HF_HOME", "/hub"},
                  {"XDG_CACHE_HOME", "/huggingface/hub"},
                  {"HOME", "/.cache/huggingface/hub"}};
    size_t i = 0;
    size_t n = sizeof PLACES / sizeof PLACES[0];
    size_t bytes = 0;
    *out = NULL;
    while (i < n && setting(PLACES[i].name) == NULL) {
        i++;
    }
    if (i == n) {
        return FR_OK;
    }
    FILE *stream = open_memstream(out, &bytes);
    FR_TRY(fr_check_memory(ctx, stream != NULL, sizeof *stream));
    write_expanded(stream, setting(PLACES[i].name));
    (void)fputs(PLACES[i].tail, stream);
    bool good = ferror(stream) == 0;
    good = fclose(stream) == 0 && good;
    if (!good) {
        free(*out);
        *out = NULL;
    }
    return fr_check_memory(ctx, good, bytes);
}

/* ---- revisions ---------------------------------------------------------------------------------- */

/* A model's folder in the cache, and what is looked for in it. */
typedef struct search {
    fr_ctx *ctx;
    const char *text;
    const fr_hub_name *name;
    const char *model;
    const char *revision; /* main if the name has none */
} search;

/* The only word of a file in refs: mostly a commit. */
static fr_status read_ref(const search *s, const char *path, char **out)
{
    fr_map map;
    *out = NULL;
    FR_TRY(fr_map_open(s->ctx, path, &map));
    fr_status status = FR_OK;
    fr_text word = fr_text_trim(
        (fr_text){(const char *)map.data, map.bytes <= MAX_REVISION ? map.bytes : 0});
    if (word.bytes == 0 || word.data[0] == '.' || word.bytes > MAX_WORD ||
        !consists_of(word, LETTERS "-.")) {
        status = FR_FAIL(s->ctx, FR_ERR_FORMAT,
                         "%s: the file must hold a commit, %d digits; fetch the model "
                         "anew with '%s'",
                         path, COMMIT_DIGITS, fr_hub_command_for(s->name).text);
    } else {
        status = fr_alloc(s->ctx, (int64_t)word.bytes + 1, 1, out);
    }
    if (status == FR_OK) {
        memcpy(*out, word.data, word.bytes);
    }
    fr_map_close(&map);
    return status;
}

/* Up to three entries of snapshots for a message: what the user may have meant. */
typedef struct listing {
    int64_t n;
    char first[COMMIT_DIGITS + 1]; /* the first in the order of bytes */
} listing;

/* The snapshots whose names begin with `start`. */
static listing list_snapshots(const char *folder, const char *start)
{
    listing found = {0};
    DIR *entries = opendir(folder);
    const struct dirent *entry = entries != NULL ? readdir(entries) : NULL;
    for (; entry != NULL; entry = readdir(entries)) {
        fr_text name = fr_text_of(entry->d_name);
        if (name.bytes != COMMIT_DIGITS || !consists_of(name, HEX) ||
            strncmp(name.data, start, strlen(start)) != 0) {
            continue;
        }
        if (found.n == 0 || strcmp(name.data, found.first) < 0) {
            memcpy(found.first, name.data, COMMIT_DIGITS);
        }
        found.n++;
    }
    if (entries != NULL) {
        (void)closedir(entries);
    }
    return found;
}

static fr_status fail_revision(const search *s, const char *snapshots)
{
    listing all = list_snapshots(snapshots, "");
    if (all.n > 0) {
        return FR_FAIL(s->ctx, FR_ERR_DATA,
                       "%s: the hub's cache %s has no revision %s of this model, but "
                       "%lld other%s; fetch it with '%s', or give %.*s/%.*s@%s",
                       s->text, s->model, s->revision, (long long)all.n,
                       all.n == 1 ? "" : "s", fr_hub_command_for(s->name).text,
                       (int)s->name->owner.bytes, s->name->owner.data,
                       (int)s->name->name.bytes, s->name->name.data, all.first);
    }
    return FR_FAIL(s->ctx, FR_ERR_DATA,
                   "%s: the hub's cache %s has no revision %s of this model; fetch it "
                   "with '%s'",
                   s->text, s->model, s->revision, fr_hub_command_for(s->name).text);
}

/* The commit of the snapshots that an abbreviation means. */
static fr_status find_short(const search *s, const char *snapshots, char **commit)
{
    fr_text digits = fr_text_of(s->revision);
    listing found = {0};
    if (digits.bytes >= SHORT_DIGITS && digits.bytes < COMMIT_DIGITS &&
        consists_of(digits, HEX)) {
        found = list_snapshots(snapshots, s->revision);
    }
    if (found.n == 0) {
        return fail_revision(s, snapshots);
    }
    if (found.n > 1) {
        return FR_FAIL(
            s->ctx, FR_ERR_DATA,
            "%s: %lld snapshots of the hub's cache begin with %s (%s is one); "
            "give more digits",
            s->text, (long long)found.n, s->revision, found.first);
    }
    return fr_copy_string(s->ctx, found.first, commit);
}

/* The order is the hub's: a whole commit, then branches and tags; abbreviations are last. */
static fr_status find_commit(const search *s, const char *snapshots, char **commit)
{
    fr_text revision = fr_text_of(s->revision);
    char *refs = NULL;
    char *ref = NULL;
    if (revision.bytes == COMMIT_DIGITS && consists_of(revision, HEX)) {
        return fr_copy_string(s->ctx, s->revision, commit);
    }
    fr_status status = fr_join_path(s->ctx, s->model, "refs", &refs);
    if (status == FR_OK) {
        status = fr_join_path(s->ctx, refs, s->revision, &ref);
    }
    if (status == FR_OK) {
        status = fr_file_exists(ref) ? read_ref(s, ref, commit)
                                     : find_short(s, snapshots, commit);
    }
    free(refs);
    free(ref);
    return status;
}

static fr_status find_snapshot(const search *s, char **folder)
{
    char *snapshots = NULL;
    char *commit = NULL;
    fr_status status = fr_join_path(s->ctx, s->model, "snapshots", &snapshots);
    if (status == FR_OK) {
        status = find_commit(s, snapshots, &commit);
    }
    if (status == FR_OK) {
        status = fr_join_path(s->ctx, snapshots, commit, folder);
    }
    if (status == FR_OK && !fr_is_folder(*folder)) {
        status = fail_revision(s, snapshots);
    }
    free(snapshots);
    free(commit);
    return status;
}

static fr_status find_in(const search *s, bool with_weights, char **path)
{
    char *folder = NULL;
    fr_status status = find_snapshot(s, &folder);
    if (status == FR_OK) {
        fr_hub_snapshot snapshot = {.ctx = s->ctx,
                                    .text = s->text,
                                    .name = s->name,
                                    .model = s->model,
                                    .folder = folder,
                                    .with_weights = with_weights};
        status = fr_hub_choose(&snapshot, path);
    }
    free(folder);
    return status;
}

fr_status fr_hub_find(fr_ctx *ctx, const char *text, const fr_hub_name *name,
                      bool with_weights, char **path)
{
    char folder_name[2 * MAX_WORD + 16];
    char revision[MAX_REVISION + 1] = "main";
    char *cache = NULL;
    char *model = NULL;
    *path = NULL;
    (void)snprintf(folder_name, sizeof folder_name, "models--%.*s--%.*s",
                   (int)name->owner.bytes, name->owner.data, (int)name->name.bytes,
                   name->name.data);
    if (name->revision.bytes > 0) {
        (void)snprintf(revision, sizeof revision, "%.*s", (int)name->revision.bytes,
                       name->revision.data);
    }
    fr_status status = fr_hub_folder(ctx, &cache);
    if (status == FR_OK && cache != NULL) {
        status = fr_join_path(ctx, cache, folder_name, &model);
    }
    if (status == FR_OK && model != NULL && fr_is_folder(model)) {
        search s = {.ctx = ctx,
                    .text = text,
                    .name = name,
                    .model = model,
                    .revision = revision};
        status = find_in(&s, with_weights, path);
    }
    free(cache);
    free(model);
    return status;
}
