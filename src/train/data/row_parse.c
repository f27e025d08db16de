/*
 * One line becomes an object whose members are all known: the JSON is read (row_json.c), members that the user lists are
 * taken out, a row of another form becomes one of ours (row_shape.c), and what is left must be known.
 */
#include "base/options.h"
#include "train/data/row_files.h"
#include "train/data/row_impl.h"
#include "train/data/row_json.h"

#include <stdio.h>
#include <string.h>

/* Members that are used; "prefix" in prompts only. */
static const char *const USED[] = {"source",   "target", "source_ids", "target_ids",
                                   "messages", "tools",  "prefix",     NULL};
/* Members of other forms, which fr_row_settle turns into those above. */
static const char *const OTHER[] = {"instruction",   "input",  "output",
                                    "conversations", "prompt", "completion"};

/* Members that are ignored: they say where a row comes from or what an earlier program made of it, and change nothing
 * about what is learned. */
static const char *const CARRIED[] = {
    "generated", "generated_ids", "id",      "_id",      "ids",      "idx",
    "index",     "uid",           "uuid",    "n",        "no",       "number",
    "line",      "row",           "tag",     "tags",     "score",    "scores",
    "note",      "notes",         "comment", "comments", "meta",     "metadata",
    "title",     "name",          "url",     "dataset",  "subset",   "split",
    "lang",      "language",      "date",    "time",     "timestamp"};

/* Likewise; `eval --generate` writes them beside "generated" and "scores". */
static const char *const SCORED[] = {"references", "base_generated", "base_ids",
                                     "base_scores"};

/* Whether a list of names separated by commas contains this one. */
static bool lists(const char *names, const char *key)
{
    size_t bytes = strlen(key);
    while (names != NULL && *names != '\0') {
        names += strspn(names, ", ");
        size_t n = strcspn(names, ",");
        size_t trimmed = n;
        while (trimmed > 0 && names[trimmed - 1] == ' ') {
            trimmed--;
        }
        if (trimmed == bytes && bytes > 0 && memcmp(names, key, bytes) == 0) {
            return true;
        }
        names += n;
    }
    return false;
}

static bool is_among(const char *key, const char *const *names, size_t n)
{
    bool found = false;
    for (size_t i = 0; i < n && names[i] != NULL; i++) {
        found = found || strcmp(names[i], key) == 0;
    }
    return found;
}

/* `listed`: the user named the key in data.ignore. `ignored`: listed, or one of CARRIED or SCORED. */
bool fr_row_is_listed(const fr_row_reader *r, const char *key)
{
    return lists(r->params->ignore, key);
}

bool fr_row_is_ignored(const fr_row_reader *r, const char *key)
{
    return lists(r->params->ignore, key) ||
           is_among(key, CARRIED, sizeof CARRIED / sizeof CARRIED[0]) ||
           is_among(key, SCORED, sizeof SCORED / sizeof SCORED[0]);
}

fr_status fr_row_fail_unknown(const fr_row_reader *r, const char *of_what,
                              const char *key, const char *const *known)
{
    enum { WHAT_BYTES = 512, SHOWN = 60 };
    char what[WHAT_BYTES];
    size_t n = 0;
    while (known[n] != NULL) {
        n++;
    }
    const char *nearest = fr_nearest_word(key, known, n, sizeof known[0]);
    (void)snprintf(what, sizeof what,
                   "%s has the key \"%.*s\", which is not known%s%s%s If it does not "
                   "affect what is learned, list it in data.ignore (--ignore); which "
                   "members are source and target is told by data.fields (--fields)",
                   of_what, SHOWN, key, nearest != NULL ? "; did you mean \"" : ".",
                   nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
    return FAIL_ROW(r, what, "");
}

/* FR_ERR_DATA with the conversion if the row has a form in which other projects publish data. */
static fr_status check_foreign_form(const fr_row_reader *r, json_t *object)
{
    enum { MAX_KEYS = 64 };
    const char *keys[MAX_KEYS];
    size_t n = 0;
    for (void *at = json_object_iter(object); at != NULL && n < MAX_KEYS;
         at = json_object_iter_next(object, at)) {
        keys[n++] = json_object_iter_key(at);
    }
    const char *hint = fr_rows_form_hint(keys, n);
    return hint != NULL ? FAIL_ROW(r, hint, "") : FR_OK;
}

/* Members that the user lists go before the form is looked for, so that a row of two forms can be made one of one. */
static void remove_listed(const fr_row_reader *r, json_t *object)
{
    const char *key = NULL;
    json_t *value = NULL;
    void *next = NULL;
    json_object_foreach_safe(object, next, key, value)
    {
        if (lists(r->params->ignore, key)) {
            (void)json_object_del(object, key);
        }
    }
}

/* Whether the row has an answer of one of our forms, perhaps made from one of another form: then it is of no further form. */
static bool has_own(const json_t *object)
{
    return json_object_get(object, "target") != NULL ||
           json_object_get(object, "target_ids") != NULL ||
           json_object_get(object, "messages") != NULL;
}

static fr_status check_keys(const fr_row_reader *r, json_t *object)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(object, key, value)
    {
        bool used = is_among(key, USED, sizeof USED / sizeof USED[0]);
        bool prefix = strcmp(key, "prefix") == 0;
        if (prefix && r->use == FR_ROW_LEARN) {
            return FAIL_ROW(r,
                            "the row names a \"prefix\", which only generate takes; "
                            "list it in data.ignore (--ignore)",
                            "");
        }
        if (!used && !fr_row_is_ignored(r, key)) {
            if (!has_own(object)) {
                FR_TRY(check_foreign_form(r, object));
            }
            return fr_row_fail_unknown(r, "the row", key, USED);
        }
    }
    return FR_OK;
}

/* Members that must be unique: those of all forms, or those that `fields` names. */
static void list_read(const fr_row_reader *r, const char **out)
{
    int n = 0;
    for (int i = 0; i < r->fields.n; i++) {
        out[n++] = r->fields.of[i].name;
    }
    for (int i = 0; r->fields.n == 0 && USED[i] != NULL; i++) {
        out[n++] = USED[i];
    }
    for (size_t i = 0; r->fields.n == 0 && i < sizeof OTHER / sizeof OTHER[0]; i++) {
        if (!lists(r->params->ignore, OTHER[i])) {
            out[n++] = OTHER[i];
        }
    }
    out[n] = NULL;
}

fr_status fr_row_parse(fr_row_reader *r, const char *line, size_t bytes, json_t **out)
{
    enum { MAX_READ = sizeof USED / sizeof USED[0] + sizeof OTHER / sizeof OTHER[0] };
    const char *read[MAX_READ + 1];
    list_read(r, read);
    FR_TRY(fr_row_json_read(r->ctx, fr_row_place(r), line, bytes, read, out));
    remove_listed(r, *out);
    fr_status status = fr_row_settle(r, *out);
    if (status == FR_OK) {
        status = check_keys(r, *out);
    }
    if (status != FR_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}
