/*
 * A key that takes a map of any values: from YAML to the JSON that is kept.
 *
 * An alias repeats a node for a few bytes, and aliases within aliases repeat it more often than memory could hold, so nodes are
 * counted as they are visited. Nesting is bounded when the document is read (config_scan.c).
 */
#include "train/config/config_yaml.h"

#include "base/json_object.h"
#include "base/json_size.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VISITS = 100000, MAX_DEPTH = 64 };

typedef struct map_reader {
    const fr_yaml_reader *yaml;
    const char *where;
    int64_t visits;
    int depth;
} map_reader;

static fr_status read_node(map_reader *m, const yaml_node_t *node, json_t **out);

/* A plain word that JSON takes for null, a truth or a number; NULL: it is a text. */
static json_t *plain_value(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (json_is_string(value) || json_is_object(value) || json_is_array(value)) {
        json_decref(value);
        value = NULL;
    }
    return value;
}

/* What people, and YAML 1.1, write for true and false. As texts they would count as true in a template. */
static bool is_other_truth(const char *text)
{
    static const char *const WORDS[] = {
        "True", "TRUE", "False", "FALSE", "yes", "Yes", "YES",  "no",   "No",  "NO",
        "on",   "On",   "ON",    "off",   "Off", "OFF", "None", "NULL", "Null"};
    bool found = false;
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        found = found || strcmp(text, WORDS[i]) == 0;
    }
    return found;
}

static fr_status read_scalar(const map_reader *m, const yaml_node_t *node, json_t **out)
{
    const char *text = (const char *)node->data.scalar.value;
    bool plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    bool empty = plain && (node->data.scalar.length == 0 || strcmp(text, "~") == 0);
    fr_ctx *ctx = m->yaml->state->ctx;
    FR_TRY(fr_config_count_text(m->yaml->state, node->data.scalar.length));
    if (strlen(text) != node->data.scalar.length) {
        return FR_FAIL(ctx, FR_ERR_CONFIG, "%s holds a NUL character; remove it",
                       m->where);
    }
    if (plain && is_other_truth(text)) {
        return FR_FAIL(
            ctx, FR_ERR_CONFIG,
            "%s holds %s, which is not a value of JSON; write true, false or "
            "null, or put a text in quotes",
            m->where, text);
    }
    *out = empty ? json_null() : plain ? plain_value(text) : NULL;
    *out = *out != NULL ? *out : json_string(text);
    return *out != NULL ? FR_OK
                        : FR_FAIL(ctx, FR_ERR_CONFIG,
                                  "%s holds a text that is not UTF-8; save the file as "
                                  "UTF-8",
                                  m->where);
}

static fr_status read_list(map_reader *m, const yaml_node_t *node, json_t *into)
{
    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        json_t *one = NULL;
        FR_TRY(read_node(m, yaml_document_get_node(m->yaml->document, *item), &one));
        FR_TRY(fr_check_memory(m->yaml->state->ctx,
                               json_array_append_new(into, one) == 0, sizeof *one));
    }
    return FR_OK;
}

static fr_status read_members(map_reader *m, const yaml_node_t *node, json_t *into)
{
    enum { SHOWN = 60 };
    fr_ctx *ctx = m->yaml->state->ctx;
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        json_t *value = NULL;
        const yaml_node_t *key = yaml_document_get_node(m->yaml->document, pair->key);
        const char *name =
            key->type == YAML_SCALAR_NODE ? (const char *)key->data.scalar.value : NULL;
        if (name == NULL || strlen(name) != key->data.scalar.length) {
            return FR_FAIL(ctx, FR_ERR_CONFIG,
                           "%s holds a key that is not a word; write keys as words",
                           m->where);
        }
        FR_TRY(fr_config_count_text(m->yaml->state, key->data.scalar.length));
        if (json_object_get(into, name) != NULL) {
            return FR_FAIL(ctx, FR_ERR_CONFIG, "%s holds the key %.*s twice; keep one",
                           m->where, SHOWN, name);
        }
        FR_TRY(read_node(m, yaml_document_get_node(m->yaml->document, pair->value),
                         &value));
        FR_TRY(fr_check_memory(ctx, json_object_set_new(into, name, value) == 0,
                               sizeof *value));
    }
    return FR_OK;
}

static fr_status read_node(map_reader *m, const yaml_node_t *node, json_t **out)
{
    *out = NULL;
    m->visits++;
    if (m->visits > MAX_VISITS || m->depth >= MAX_DEPTH) {
        return FR_FAIL(m->yaml->state->ctx, FR_ERR_CONFIG,
                       "%s has more than %d values, or more than %d within each other; "
                       "shorten it",
                       m->where, MAX_VISITS, MAX_DEPTH);
    }
    if (node->type == YAML_SCALAR_NODE) {
        return read_scalar(m, node, out);
    }
    m->depth++;
    bool is_list = node->type == YAML_SEQUENCE_NODE;
    *out = is_list ? json_array() : json_object();
    fr_status status = fr_check_memory(m->yaml->state->ctx, *out != NULL, sizeof **out);
    if (status == FR_OK) {
        status = is_list ? read_list(m, node, *out) : read_members(m, node, *out);
    }
    m->depth--;
    if (status != FR_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}

fr_status fr_config_read_map(const fr_yaml_reader *r, int index,
                             const yaml_node_t *node, const char *where,
                             fr_key_owner owner)
{
    map_reader m = {r, where, 0, 0};
    json_t *object = NULL;
    char *text = NULL;
    FR_TRY(read_node(&m, node, &object));
    fr_status status = fr_json_object_write(r->state->ctx, object, &text);
    json_decref(object);
    if (status == FR_OK) {
        const fr_scalar value = {text, strlen(text), true, false};
        status = fr_config_set_value(r->state->ctx, &FR_CONFIG_KEYS[index], where,
                                     &value, owner);
    }
    free(text);
    return status;
}

bool fr_config_is_json(const char *text)
{
    size_t bytes = strlen(text);
    json_t *value = fr_json_fits(text, bytes) ? json_loadb(text, bytes, 0, NULL) : NULL;
    bool is_object = json_is_object(value);
    json_decref(value);
    return is_object;
}
