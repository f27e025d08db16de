/*
 * The section `sweep`: a map from paths of keys to lists of values.
 *
 * Values stay text until the sweep is expanded, because --set may still change the pattern that they are applied to. What can
 * be checked without the pattern is checked here: the keys, the kinds of nodes, the number of tasks.
 */
#define _POSIX_C_SOURCE 200809L
#include "train/config/config_yaml.h"

#include "base/mem.h"
#include "base/options.h"

#include <string.h>

/* Characters of a user's word that a message repeats: more than any key path has, less than a pasted text. */
enum { SHOWN_WORD = 80 };

static const char *last_part(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot != NULL ? dot + 1 : path;
}

/* Whether any section of a task has a key of this name. */
static bool is_task_key(const char *name)
{
    bool found = false;
    for (fr_section_id s = FR_SECTION_TASK; s < FR_SECTION_COUNT; s++) {
        found = found || fr_config_find_key(s, name) >= 0;
    }
    return found;
}

/* Name the key whose last part is the nearest (`lr` means optimizer.lr), or else list what can be swept. */
static fr_status fail_unknown(const fr_yaml_reader *r, const yaml_node_t *node,
                              const char *word)
{
    enum { LIST_BYTES = 400 };
    const char *parts[FR_MAX_SWEPT + 1];
    char list[LIST_BYTES] = "";
    size_t used = 0;
    size_t n = 0;
    for (int i = 0; fr_sweep_kind_path(i) != NULL; i++) {
        const char *path = fr_sweep_kind_path(i);
        parts[n++] = last_part(path);
        used += (size_t)snprintf(list + used, LIST_BYTES - used, "%s%s",
                                 i > 0 ? ", " : "", path);
    }
    parts[n++] = "task";
    const char *advice = fr_config_foreign(last_part(word));
    if (advice != NULL) {
        return FR_FAIL(r->state->ctx, FR_ERR_CONFIG,
                       "%s:%lld: unknown key sweep.%.*s; %s; a sweep can vary %s",
                       r->state->name, fr_yaml_line(node), SHOWN_WORD, word, advice,
                       list);
    }
    const char *nearest = fr_nearest_word(last_part(word), parts, n, sizeof parts[0]);
    if (nearest != NULL && strcmp(nearest, last_part(word)) != 0 &&
        is_task_key(last_part(word))) {
        nearest = NULL; /* not a typing error: a key that cannot be swept */
    }
    for (int i = 0; nearest != NULL && fr_sweep_kind_path(i) != NULL; i++) {
        const char *path = fr_sweep_kind_path(i);
        nearest = strcmp(last_part(path), nearest) == 0 ? path : nearest;
    }
    return FR_FAIL(r->state->ctx, FR_ERR_CONFIG,
                   "%s:%lld: unknown key sweep.%.*s; %s%s%s", r->state->name,
                   fr_yaml_line(node), SHOWN_WORD, word,
                   nearest != NULL ? "did you mean " : "a sweep can vary ",
                   nearest != NULL ? nearest : list, nearest != NULL ? "?" : "");
}

static fr_status fail_twice(const fr_yaml_reader *r, const yaml_node_t *node,
                            const char *path)
{
    return FR_FAIL(r->state->ctx, FR_ERR_CONFIG, "%s:%lld: %s is given twice; keep one",
                   r->state->name, fr_yaml_line(node), path);
}

/* Keep a scalar until the sweep is expanded. */
static fr_status keep_scalar(const fr_yaml_reader *r, int key, const yaml_node_t *node,
                             const char *path, fr_sweep_value *out)
{
    char allowed[FR_ALLOWED_BYTES];
    fr_config_allowed(&FR_CONFIG_KEYS[key], allowed);
    FR_TRY(fr_yaml_check_kind(r, node, YAML_SCALAR_NODE, path, allowed));
    out->key = key;
    out->line = fr_yaml_line(node);
    out->bytes = node->data.scalar.length;
    out->quoted = node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return fr_copy_string(r->state->ctx, (const char *)node->data.scalar.value,
                          &out->text);
}

/* {random: 0.02} and the like. */
static fr_status read_init(const fr_yaml_reader *r, int kind, const yaml_node_t *node,
                           const char *path, fr_sweep_value *out)
{
    char where[FR_PLACE_BYTES];
    fr_config_state *state = r->state;
    FR_TRY(fr_yaml_check_kind(r, node, YAML_MAPPING_NODE, path,
                              "a map like {random: 0.02}"));
    long long n = node->data.mapping.pairs.top - node->data.mapping.pairs.start;
    if (n != 1) {
        return FR_FAIL(
            state->ctx, FR_ERR_CONFIG,
            "%s:%lld: %s has %lld keys, must have exactly one of text, random, "
            "zero, file",
            state->name, fr_yaml_line(node), path, n);
    }
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    const yaml_node_t *name = yaml_document_get_node(r->document, pair->key);
    FR_TRY(fr_yaml_check_kind(r, name, YAML_SCALAR_NODE, path, "a word as its key"));
    const char *word = (const char *)name->data.scalar.value;
    int key = fr_sweep_find_key(kind, word);
    if (key < 0) {
        (void)snprintf(where, sizeof where, "%s:%lld: unknown key %s.%.*s", state->name,
                       fr_yaml_line(name), path, SHOWN_WORD, word);
        return fr_config_fail_unknown(state->ctx, where, FR_SECTION_INIT, word);
    }
    return keep_scalar(r, key, yaml_document_get_node(r->document, pair->value), path,
                       out);
}

/* The number of made tasks is checked before memory for the list is taken. Both factors are small by then: n_made is at
 * most FR_MAX_MADE, and the number of nodes of a config is bounded (config_scan.c), so the product cannot overflow. */
static fr_status read_values(const fr_yaml_reader *r, yaml_node_t *node,
                             fr_sweep_axis *axis)
{
    fr_config_state *state = r->state;
    const char *name = fr_sweep_kind_path(axis->kind);
    int key = fr_sweep_find_key(axis->kind, NULL);
    int64_t n = node->data.sequence.items.top - node->data.sequence.items.start;
    if (n < 1) {
        return FR_FAIL(
            state->ctx, FR_ERR_CONFIG,
            "%s:%lld: sweep.%s is an empty list; give it values or remove it",
            state->name, fr_yaml_line(node), name);
    }
    state->sweep.n_made *= n;
    if (state->sweep.n_made > FR_MAX_MADE) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s:%lld: with sweep.%s the sweep makes %lld tasks or more, at "
                       "most %d are allowed; list fewer values",
                       state->name, fr_yaml_line(node), name,
                       (long long)state->sweep.n_made, FR_MAX_MADE);
    }
    FR_TRY(fr_alloc(state->ctx, n, sizeof *axis->values, &axis->values));
    axis->n_values = n;
    for (int64_t i = 0; i < n; i++) {
        char path[FR_PATH_BYTES];
        const yaml_node_t *item =
            yaml_document_get_node(r->document, node->data.sequence.items.start[i]);
        (void)snprintf(path, sizeof path, "sweep.%s[%lld]", name, (long long)i);
        FR_TRY(key >= 0 ? keep_scalar(r, key, item, path, &axis->values[i])
                        : read_init(r, axis->kind, item, path, &axis->values[i]));
    }
    return FR_OK;
}

/* Keys that YAML gives twice are refused here, because libyaml accepts them. n_axes cannot exceed FR_MAX_SWEPT: each
 * kind has one axis at most. */
static fr_status read_axis(const fr_yaml_reader *r, int kind, yaml_node_t *node)
{
    char path[FR_PATH_BYTES];
    fr_sweep *sweep = &r->state->sweep;
    (void)snprintf(path, sizeof path, "sweep.%s", fr_sweep_kind_path(kind));
    for (int i = 0; i < sweep->n_axes; i++) {
        if (sweep->axes[i].kind == kind) {
            return fail_twice(r, node, path);
        }
    }
    FR_TRY(fr_yaml_check_kind(r, node, YAML_SEQUENCE_NODE, path,
                              "a list of values, e.g. [1, 2]"));
    fr_sweep_axis *axis = &sweep->axes[sweep->n_axes++];
    axis->kind = kind;
    return read_values(r, node, axis);
}

static fr_status read_pair(const fr_yaml_reader *r, const yaml_node_pair_t *pair)
{
    fr_config_state *state = r->state;
    const yaml_node_t *name = yaml_document_get_node(r->document, pair->key);
    yaml_node_t *node = yaml_document_get_node(r->document, pair->value);
    FR_TRY(fr_yaml_check_kind(r, name, YAML_SCALAR_NODE, "a key of sweep", "a word"));
    const char *word = (const char *)name->data.scalar.value;
    int kind = fr_sweep_find_kind(word);
    if (kind >= 0) {
        return read_axis(r, kind, node);
    }
    if (strcmp(word, "task") != 0) {
        return fail_unknown(r, name, word);
    }
    if (state->sweep.task != NULL) {
        return fail_twice(r, name, "sweep.task");
    }
    FR_TRY(fr_yaml_check_kind(r, node, YAML_SCALAR_NODE, "sweep.task",
                              "the name of a task"));
    state->sweep.task_line = fr_yaml_line(node);
    return fr_copy_string(state->ctx, (const char *)node->data.scalar.value,
                          &state->sweep.task);
}

fr_status fr_sweep_read(const fr_yaml_reader *r, yaml_node_t *node)
{
    fr_config_state *state = r->state;
    if (state->sweep.line != 0) {
        return fail_twice(r, node, "sweep");
    }
    FR_TRY(fr_yaml_check_kind(r, node, YAML_MAPPING_NODE, "sweep",
                              "a map of keys to lists of values"));
    state->sweep.line = fr_yaml_line(node);
    state->sweep.n_made = 1;
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        FR_TRY(read_pair(r, pair));
    }
    if (state->sweep.n_axes == 0) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s:%lld: sweep varies nothing; list values, e.g. optimizer.lr: "
                       "[1.0e-3, 5.0e-3]",
                       state->name, fr_yaml_line(node));
    }
    return FR_OK;
}
