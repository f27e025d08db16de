/*
 * Reads the index of a checkpoint: text, one JSON object a line (docs/format-checkpoint.md).
 *
 * The reader (checkpoint_read.c) knows the order of lines and asks for each one by kind and path. fr_index_take moves
 * to that line; then fr_index_members or fr_index_attributes reads what follows its path. fr_index_rest checks that no
 * group or array is left over. So a file can neither lack a group or an array nor hide one.
 *
 * Three things are skipped, because a newer minor version may have added them: lines of other kinds, unknown members of
 * a line, and unknown attributes. Whatever is known appears once, or not at all where its table allows that.
 *
 * Nothing here is trusted: the text may come from anybody. All reads stay within [next, end), a line has a limited
 * length, and names from the file are cut before they enter a message. `fr_json` values point into the text; nothing is
 * copied except the texts of attributes, which belong to the owners of the tables.
 */
#include "train/checkpoint/checkpoint_index.h"

#include <stdio.h>
#include <string.h>

fr_status fr_index_fail(const fr_index *index, const char *place, const char *what)
{
    return FR_FAIL(index->ctx, FR_ERR_CHECKPOINT,
                   "%s: %s %s; restore the file or use an older checkpoint",
                   index->path, place, what);
}

/* ---- lines ----------------------------------------------------------------------------------- */

fr_status fr_index_fail_line(const fr_index *index, const char *what)
{
    char place[48];
    (void)snprintf(place, sizeof place, "line %lld of its index",
                   (long long)index->line);
    return fr_index_fail(index, place, what);
}

/* The next line, as the text of a JSON object. */
static fr_status cut_line(fr_index *index, fr_json *out)
{
    index->line++;
    if (index->next == index->end) {
        return fr_index_fail_line(index, "is missing");
    }
    const char *end = memchr(index->next, '\n', (size_t)(index->end - index->next));
    if (end == NULL || end - index->next > FR_MAX_LINE) {
        return fr_index_fail_line(index, "has no end, or is too long");
    }
    *out = (fr_json){index->next, (size_t)(end - index->next)};
    index->next = end + 1;
    return FR_OK;
}

/* The first key of a line gives its kind, and its value the path. `path` has two bytes more than a path needs, because
 * value.bytes counts the quotes too. */
fr_status fr_index_take(fr_index *index, const char *kind, const char *object)
{
    char path[FR_H5_PATH_BYTES + 2];
    char what[2 * FR_H5_PATH_BYTES];
    fr_json line = {NULL, 0};
    fr_json key = {NULL, 0};
    fr_json value;
    do {
        FR_TRY(cut_line(index, &line));
        if (!fr_json_enter(line, '{', &index->walk) ||
            !fr_json_member(&index->walk, &key, &value)) {
            return fr_index_fail_line(index, "is not a JSON object");
        }
    } while (!fr_json_is(key, "group") && !fr_json_is(key, "array"));
    if (value.bytes > sizeof path || !fr_json_text(value, path)) {
        return fr_index_fail_line(index, "does not begin with a path");
    }
    if (!fr_json_is(key, kind) || strcmp(path, object) != 0) {
        (void)snprintf(what, sizeof what, "is not that of %s: %s is missing", object,
                       object);
        return fr_index_fail_line(index, what);
    }
    return FR_OK;
}

/* A walk that stops before the end of the object (walk.ended) met broken JSON. A key may then be missing for that
 * reason alone, so broken JSON is reported instead of the key. */
fr_status fr_index_members(fr_index *index, const char *const *names, int n,
                           fr_json *out)
{
    fr_json key;
    fr_json value;
    for (int i = 0; i < n; i++) {
        out[i] = (fr_json){NULL, 0};
    }
    while (fr_json_member(&index->walk, &key, &value)) {
        for (int i = 0; i < n; i++) {
            if (fr_json_is(key, names[i]) && out[i].text != NULL) {
                return fr_index_fail_line(index, "has a key twice");
            }
            out[i] = fr_json_is(key, names[i]) ? value : out[i];
        }
    }
    for (int i = 0; i < n; i++) {
        if (out[i].text == NULL && index->walk.ended) {
            return fr_index_fail_line(index, "lacks a key");
        }
    }
    return index->walk.ended ? FR_OK
                             : fr_index_fail_line(index, "is not a JSON object");
}

/* ---- attributes ------------------------------------------------------------------------------ */

fr_status fr_index_fail_attribute(const fr_index *index, const char *object,
                                  fr_json name, const char *what)
{
    char place[FR_H5_PATH_BYTES + 64];
    (void)snprintf(place, sizeof place, "attribute %.*s of %s",
                   (int)(name.bytes < 40 ? name.bytes : 40), name.text, object);
    return fr_index_fail(index, place, what);
}

/* `found` has one flag for each field, counted through all tables in order, here and in take_attribute. */
static fr_status check_missing(const fr_index *index, const char *object,
                               const fr_index_table *tables, int n_tables,
                               const bool *found)
{
    for (int t = 0, at = 0; t < n_tables; t++) {
        for (int i = 0; i < tables[t].n; i++, at++) {
            const fr_field *field = &tables[t].fields[i];
            bool may_lack = tables[t].may_lack ||
                            (tables[t].may_lack_texts && field->kind == FR_FIELD_TEXT);
            if (!found[at] && !may_lack) {
                fr_json name = {field->name, strlen(field->name)};
                return fr_index_fail_attribute(index, object, name, "is missing");
            }
        }
    }
    return FR_OK;
}

/* Parse the value into the field of that name; ignore names that no table has. */
static fr_status take_attribute(const fr_index *index, const char *object, fr_json name,
                                fr_json value, const fr_index_table *tables,
                                bool *found)
{
    char what[FR_FIELD_BYTES] = "";
    for (int at = 0; tables->fields != NULL; tables++) {
        for (int i = 0; i < tables->n; i++, at++) {
            if (!fr_json_is(name, tables->fields[i].name)) {
                continue;
            }
            if (found[at]) {
                return fr_index_fail_attribute(index, object, name, "appears twice");
            }
            found[at] = true;
            FR_TRY(fr_field_parse(index->ctx, &tables->fields[i], value, tables->owner,
                                  what));
            return what[0] == '\0' ? FR_OK
                                   : fr_index_fail_attribute(index, object, name, what);
        }
    }
    return FR_OK;
}

fr_status fr_index_attributes(fr_index *index, const char *object,
                              const fr_index_table *tables)
{
    static const char *const NAMES[] = {"attributes"};
    bool found[FR_MAX_FIELDS] = {false};
    fr_json attributes;
    fr_json name;
    fr_json value;
    fr_json_walk walk;
    int n_tables = 0;
    FR_TRY(fr_index_take(index, "group", object));
    FR_TRY(fr_index_members(index, NAMES, 1, &attributes));
    if (!fr_json_enter(attributes, '{', &walk)) {
        return fr_index_fail_line(index, "has no object of attributes");
    }
    while (fr_json_member(&walk, &name, &value)) {
        FR_TRY(take_attribute(index, object, name, value, tables, found));
    }
    if (!walk.ended) {
        return fr_index_fail_line(index, "has attributes that are not JSON");
    }
    while (tables[n_tables].fields != NULL) {
        n_tables++;
    }
    return check_missing(index, object, tables, n_tables, found);
}

fr_status fr_index_rest(fr_index *index)
{
    fr_json line = {NULL, 0};
    fr_json key = {NULL, 0};
    fr_json value;
    while (index->next < index->end) {
        FR_TRY(cut_line(index, &line));
        if (!fr_json_enter(line, '{', &index->walk) ||
            !fr_json_member(&index->walk, &key, &value)) {
            return fr_index_fail_line(index, "is not a JSON object");
        }
        if (fr_json_is(key, "group") || fr_json_is(key, "array")) {
            return fr_index_fail_line(
                index, "belongs to no task that attribute tasks of / names");
        }
    }
    return FR_OK;
}
