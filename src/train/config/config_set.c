/*
 * One override "KEY=VALUE" of --set.
 *
 * The key is a path through the sections, "run.steps" or "tasks.NAME.optimizer.lr". Names of tasks may hold dots, so the
 * longest task name that the path begins with is taken. The value goes through the same function as one in the file.
 */
#include "train/config/config_impl.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    SHOWN_SET = 200
}; /* bytes of an override in messages: a whole path, not a whole text */

/* Index of the task whose name begins `path`, the longest such name, or -1; *rest is what follows its dot. */
static int64_t find_task(const fr_config *config, const char *path, const char **rest)
{
    int64_t found = -1;
    size_t longest = 0;
    for (int64_t i = 0; i < config->n_tasks; i++) {
        const char *name = config->tasks[i].name;
        size_t length = name != NULL ? strlen(name) : 0;
        if (length > longest && strncmp(path, name, length) == 0 &&
            path[length] == '.') {
            found = i;
            longest = length;
            *rest = path + length + 1;
        }
    }
    return found;
}

static fr_status fail_task(const fr_config_state *state, const char *where,
                           const char *path)
{
    const char *nearest = NULL;
    char word[SHOWN_SET];
    size_t n = strcspn(path, ".");
    (void)snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word),
                   path);
    FR_TRY(fr_config_nearest_task(state, word, &nearest));
    return FR_FAIL(
        state->ctx, FR_ERR_CONFIG,
        "%s: there is no task '%s' followed by a key%s%s%s; write tasks.NAME.KEY=VALUE",
        where, word, nearest != NULL ? "; did you mean '" : "",
        nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
}

/* Walk the sections named by the dotted `path` from *section on; *name is its last part. */
static fr_status walk(fr_ctx *ctx, const char *where, char *path,
                      fr_section_id *section, const char **name)
{
    char unknown[FR_PLACE_BYTES];
    for (char *part = path;;) {
        char *dot = strchr(part, '.');
        *name = part;
        if (dot == NULL) {
            return FR_OK;
        }
        *dot = '\0';
        fr_section_id below = fr_config_find_section(*section, part);
        int key = fr_config_find_key(*section, part);
        if (below == FR_SECTION_COUNT && key >= 0 &&
            FR_CONFIG_KEYS[key].form == FR_TEXT_MAP) {
            return FR_FAIL(ctx, FR_ERR_CONFIG,
                           "%.250s: %.80s has no keys that can be set one by one; set "
                           "all of it: ...%.80s={...}",
                           where, part, part);
        }
        if (below == FR_SECTION_COUNT || below == FR_SECTION_TASK) {
            (void)snprintf(unknown, sizeof unknown, "%.250s: unknown key %.80s", where,
                           part);
            return fr_config_fail_unknown(ctx, unknown, *section, part);
        }
        *section = below;
        part = dot + 1;
    }
}

static fr_status set_path(fr_config_state *state, const char *where, char *path,
                          const char *value)
{
    char unknown[FR_PLACE_BYTES];
    fr_section_id section = FR_SECTION_TOP;
    fr_key_owner owner = {.config = state->config};
    fr_key_lines *lines = &state->lines;
    const char *name = NULL;
    const char *rest = path;
    if (strncmp(path, "tasks.", 6) == 0) {
        int64_t task = find_task(state->config, path + 6, &rest);
        if (task < 0) {
            return fail_task(state, where, path + 6);
        }
        section = FR_SECTION_TASK;
        owner = (fr_key_owner){.task = &state->config->tasks[task]};
        lines = &state->task_lines[task];
    }
    if (strncmp(path, "sweep", 5) == 0 && (path[5] == '.' || path[5] == '\0')) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s: a sweep is written in the file alone; --set can change the "
                       "task that is its pattern",
                       where);
    }
    FR_TRY(walk(state->ctx, where, path + (rest - path), &section, &name));
    int key = fr_config_find_key(section, name);
    if (key < 0) {
        (void)snprintf(unknown, sizeof unknown, "%.250s: unknown key %.80s", where,
                       name);
        return fr_config_fail_unknown(state->ctx, unknown, section, name);
    }
    if (section == FR_SECTION_INIT) {
        fr_config_clear_inits(lines);
    }
    lines->of[key] = FR_LINE_SET;
    const char opens = value[strspn(value, " ")];
    bool is_map = FR_CONFIG_KEYS[key].form == FR_TEXT_MAP && opens == '{';
    if ((FR_CONFIG_KEYS[key].is_list && opens == '[') ||
        (is_map && !fr_config_is_json(value))) {
        return fr_config_set_yaml(state, key, where, value, owner);
    }
    fr_scalar scalar = {value, strlen(value), false, false};
    return fr_config_set_value(state->ctx, &FR_CONFIG_KEYS[key], where, &scalar, owner);
}

fr_status fr_config_apply_set(fr_config_state *state, const char *set)
{
    char where[FR_PATH_BYTES];
    char *path = NULL;
    const char *equals = strchr(set, '=');
    if (equals == NULL || equals == set) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "--set %.*s must be KEY=VALUE, e.g. run.steps=100", SHOWN_SET,
                       set);
    }
    FR_TRY(fr_copy_string(state->ctx, set, &path));
    path[equals - set] = '\0';
    (void)snprintf(where, sizeof where, "--set %.*s", SHOWN_SET, path);
    fr_status status = set_path(state, where, path, equals + 1);
    free(path);
    return status;
}
