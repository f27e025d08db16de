/*
 * From the nodes of a YAML document to the fields of fr_config.
 *
 * The reader walks a map, looks each name up in the schema, and either stores a value (read_key) or enters the section of
 * this name (read_subsection) with the same owner. Only `tasks` changes the owner: each item of its list fills one
 * fr_task_config. A `scope` carries the path for messages, the owner of the fields and the lines where keys were given;
 * these lines also show that a key is given twice. `sweep` is not in the schema and has a reader of its own.
 */
#include "train/config/config_yaml.h"

#include "base/mem.h"

#include <string.h>

/* More tasks than a run can train in reasonable time; the limits of config_scan.c fit it. */
enum { MAX_TASKS = 4096 };
enum { SHOWN_WORD = 80 }; /* bytes of an unknown word in messages */

/* One struct being filled, and how its keys are called in messages. */
typedef struct scope {
    const char *path; /* "" or e.g. "tasks[0].optimizer" */
    fr_key_owner owner;
    fr_key_lines *lines;
} scope;

static fr_status read_section(const fr_yaml_reader *r, fr_section_id section,
                              yaml_node_t *node, const scope *into);

/* The line is noted before the value is checked, and a list is read by a function of its own (config_list.c). */
static fr_status read_key(const fr_yaml_reader *r, int index, const yaml_node_t *node,
                          const char *path, const scope *into)
{
    char where[FR_PLACE_BYTES];
    char allowed[FR_ALLOWED_BYTES];
    const fr_config_key *key = &FR_CONFIG_KEYS[index];
    fr_config_allowed(key, allowed);
    (void)snprintf(where, sizeof where, "%s:%lld: %s", r->state->name,
                   fr_yaml_line(node), path);
    if (key->is_list && node->type == YAML_SEQUENCE_NODE) {
        into->lines->of[index] = fr_yaml_line(node);
        return fr_config_read_list(r, index, node, where, into->owner);
    }
    if (key->form == FR_TEXT_MAP && node->type == YAML_MAPPING_NODE) {
        into->lines->of[index] = fr_yaml_line(node);
        return fr_config_read_map(r, index, node, where, into->owner);
    }
    bool has_section =
        fr_config_find_section(key->section, key->name) != FR_SECTION_COUNT;
    FR_TRY(fr_yaml_check_kind(r, node, YAML_SCALAR_NODE, path,
                              has_section ? "true, false or a map" : allowed));
    fr_scalar value = {(const char *)node->data.scalar.value, node->data.scalar.length,
                       node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE,
                       r->state->as_they_stand};
    FR_TRY(fr_config_count_text(r->state, value.bytes));
    into->lines->of[index] = fr_yaml_line(node);
    return fr_config_set_value(r->state->ctx, key, where, &value, into->owner);
}

/* Defaults come first, so that a key of the file replaces its default. n_tasks is set as soon as the tasks exist,
 * so that they are freed after a failure in any of them. */
static fr_status read_tasks(const fr_yaml_reader *r, yaml_node_t *node)
{
    fr_config_state *state = r->state;
    FR_TRY(fr_yaml_check_kind(r, node, YAML_SEQUENCE_NODE, "tasks", "a list of tasks"));
    int64_t n = node->data.sequence.items.top - node->data.sequence.items.start;
    if (n < 1 || n > MAX_TASKS) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s:%lld: tasks has %lld entries, must have 1 to %d",
                       state->name, fr_yaml_line(node), (long long)n, MAX_TASKS);
    }
    fr_config *config = state->config;
    FR_TRY(fr_alloc(state->ctx, n, sizeof *config->tasks, &config->tasks));
    config->n_tasks = n;
    FR_TRY(fr_alloc(state->ctx, n, sizeof *state->task_lines, &state->task_lines));
    for (int64_t i = 0; i < n; i++) {
        char path[FR_PATH_BYTES];
        (void)snprintf(path, sizeof path, "tasks[%lld]", (long long)i);
        yaml_node_t *item =
            yaml_document_get_node(r->document, node->data.sequence.items.start[i]);
        scope into = {path, {.task = &config->tasks[i]}, &state->task_lines[i]};
        into.lines->start = fr_yaml_line(item);
        FR_TRY(fr_config_set_defaults(state->ctx, into.owner));
        FR_TRY(read_section(r, FR_SECTION_TASK, item, &into));
    }
    return FR_OK;
}

static fr_status read_subsection(const fr_yaml_reader *r, fr_section_id section,
                                 yaml_node_t *node, const char *path,
                                 const scope *parent)
{
    scope into = {path, parent->owner, parent->lines};
    if (section == FR_SECTION_TASK) {
        return read_tasks(r, node);
    }
    if (section == FR_SECTION_INIT && node->type == YAML_MAPPING_NODE) {
        long long n = node->data.mapping.pairs.top - node->data.mapping.pairs.start;
        if (n != 1) {
            return FR_FAIL(
                r->state->ctx, FR_ERR_CONFIG,
                "%s:%lld: %s has %lld keys, must have exactly one of text, random, "
                "zero, file",
                r->state->name, fr_yaml_line(node), path, n);
        }
    }
    if (section == FR_SECTION_CHAT &&
        node->data.mapping.pairs.top == node->data.mapping.pairs.start) {
        return FR_FAIL(
            r->state->ctx, FR_ERR_CONFIG,
            "%s:%lld: %s is an empty map, must be true, false, or a map with "
            "template, arguments or clock",
            r->state->name, fr_yaml_line(node), path);
    }
    return read_section(r, section, node, &into);
}

/* One "key: value" of a section; `seen` has a bit for each of its subsections. */
static fr_status read_pair(const fr_yaml_reader *r, fr_section_id section,
                           const yaml_node_pair_t *pair, const scope *into,
                           unsigned *seen)
{
    char path[FR_PATH_BYTES];
    char where[FR_PLACE_BYTES];
    fr_config_state *state = r->state;
    yaml_node_t *name_node = yaml_document_get_node(r->document, pair->key);
    yaml_node_t *node = yaml_document_get_node(r->document, pair->value);
    if (name_node->type != YAML_SCALAR_NODE) {
        return FR_FAIL(
            state->ctx, FR_ERR_CONFIG,
            "%s:%lld: a key is %s, must be a word; write texts with braces or "
            "brackets in quotes",
            state->name, fr_yaml_line(name_node), fr_yaml_kind(name_node));
    }
    const char *name = (const char *)name_node->data.scalar.value;
    (void)snprintf(path, sizeof path, "%.100s%s%.*s", into->path,
                   into->path[0] != '\0' ? "." : "", SHOWN_WORD, name);
    if (section == FR_SECTION_TOP && strcmp(name, "sweep") == 0) {
        return fr_sweep_read(r, node);
    }
    int key = fr_config_find_key(section, name);
    fr_section_id below = fr_config_find_section(section, name);
    if (key < 0 && below == FR_SECTION_COUNT) {
        (void)snprintf(where, sizeof where, "%s:%lld: unknown key %s", state->name,
                       fr_yaml_line(name_node), path);
        return fr_config_fail_unknown(state->ctx, where, section, name);
    }
    bool enters = below != FR_SECTION_COUNT &&
                  (key < 0 || node->type == YAML_MAPPING_NODE); /* chat is both */
    bool twice = key >= 0 ? into->lines->of[key] != 0 : (*seen >> below & 1U) != 0;
    if (twice) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s:%lld: %s is given twice; keep one", state->name,
                       fr_yaml_line(name_node), path);
    }
    if (!enters) {
        return read_key(r, key, node, path, into);
    }
    if (key >= 0) {
        into->lines->of[key] = fr_yaml_line(name_node);
    }
    *seen |= 1U << below;
    return read_subsection(r, below, node, path, into);
}

static fr_status read_section(const fr_yaml_reader *r, fr_section_id section,
                              yaml_node_t *node, const scope *into)
{
    unsigned seen = 0;
    FR_TRY(fr_yaml_check_kind(r, node, YAML_MAPPING_NODE,
                              into->path[0] != '\0' ? into->path : "the config",
                              "a map of keys"));
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        FR_TRY(read_pair(r, section, pair, into, &seen));
    }
    return FR_OK;
}

static fr_status read_document(fr_config_state *state, yaml_document_t *document)
{
    yaml_node_t *root = yaml_document_get_root_node(document);
    fr_yaml_reader r = {state, document};
    scope into = {"", {.config = state->config}, &state->lines};
    if (root == NULL) {
        return FR_FAIL(
            state->ctx, FR_ERR_CONFIG,
            "%s: the config is empty; it must have base, run and tasks (forerun "
            "--help-config)",
            state->name);
    }
    state->lines.start = fr_yaml_line(root);
    return read_section(&r, FR_SECTION_TOP, root, &into);
}

fr_status fr_config_load(fr_config_state *state, const char *text, size_t bytes)
{
    yaml_document_t document;
    FR_TRY(fr_yaml_load(state, text, bytes, &document));
    fr_status status = read_document(state, &document);
    yaml_document_delete(&document);
    return status;
}
