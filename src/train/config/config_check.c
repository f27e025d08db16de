/*
 * The rules over several keys: required keys, unique names, keys that need or exclude each other.
 *
 * They are checked once, when the file, --set and the sweep have been applied, because each of these may still repair
 * or break a rule. A `subject` is the config or one of its tasks. Rules only read; they change no value. The first
 * broken rule ends the check, and its message names the line of the key that the user should change, or the start of
 * the task where the key was not given. Rules that need the model or the data are checked later, where those are
 * known.
 */
#include "train/config/config_impl.h"

#include "base/task_name.h"
#include "train/config/template.h"

#include <string.h>

/* The task whose keys are checked, or the config itself (index -1). */
typedef struct subject {
    const fr_config_state *state;
    int64_t index;
} subject;

/* "FILE:LINE: tasks[0].steps", with the line of the key if it was given, or else of its task. */
static const char *place_of(const subject *s, fr_section_id section, const char *name,
                            char out[FR_PLACE_BYTES])
{
    const fr_config_state *state = s->state;
    const fr_key_lines *lines =
        s->index < 0 ? &state->lines : &state->task_lines[s->index];
    int key = fr_config_find_key(section, name);
    long long line = key >= 0 ? (long long)lines->of[key] : 0;
    char path[FR_ALLOWED_BYTES];
    const char *tail = FR_CONFIG_SECTIONS[section].path;
    if (s->index < 0) {
        (void)snprintf(path, sizeof path, "%s.%s", tail, name);
    } else {
        (void)snprintf(path, sizeof path, "tasks[%lld]%s.%s", (long long)s->index,
                       tail + strlen("tasks[]"), name);
    }
    if (line == FR_LINE_SET) {
        (void)snprintf(out, FR_PLACE_BYTES, "%s with --set: %s", state->name, path);
    } else {
        (void)snprintf(out, FR_PLACE_BYTES, "%s:%lld: %s", state->name,
                       line > 0 ? line : (long long)lines->start, path);
    }
    return out;
}

/* A key counts as given if its line is set, also by --set; an empty value was refused when it was read. */
static fr_status check_required(const subject *s)
{
    char place[FR_PLACE_BYTES];
    const fr_key_lines *lines =
        s->index < 0 ? &s->state->lines : &s->state->task_lines[s->index];
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        const fr_config_key *key = &FR_CONFIG_KEYS[i];
        bool here = (key->section >= FR_SECTION_TASK) == (s->index >= 0);
        if (here && key->required && lines->of[i] == 0) {
            return FR_FAIL(s->state->ctx, FR_ERR_CONFIG, "%s is missing: %s",
                           place_of(s, key->section, key->name, place), key->help);
        }
    }
    return FR_OK;
}

/* Names are parts of paths in checkpoints, hence the rule on their characters (base/task_name.h). Only earlier tasks
 * are compared, so that the message names the second of two equal names. */
static fr_status check_name(const subject *s)
{
    char place[FR_PLACE_BYTES];
    const fr_task_config *tasks = s->state->config->tasks;
    const char *name = tasks[s->index].name;
    if (!fr_task_name_check(name)) {
        return FR_FAIL(s->state->ctx, FR_ERR_CONFIG,
                       "%s is '%.*s', but must be " FR_TASK_NAME_RULE,
                       place_of(s, FR_SECTION_TASK, "name", place), FR_TASK_NAME_MAX,
                       name);
    }
    for (int64_t i = 0; i < s->index; i++) {
        if (strcmp(tasks[i].name, name) == 0) {
            return FR_FAIL(
                s->state->ctx, FR_ERR_CONFIG,
                "%s '%s' is the name of tasks[%lld] too; names must be unique",
                place_of(s, FR_SECTION_TASK, "name", place), name, (long long)i);
        }
    }
    return FR_OK;
}

/* Exactly one init is given: that two exclude each other was checked on reading, so only its absence is found here. A
 * task that a sweep made may have repeat_text with another init, since its pattern is shared with swept texts. */
static fr_status check_init(const subject *s)
{
    char place[FR_PLACE_BYTES];
    fr_ctx *ctx = s->state->ctx;
    const fr_task_config *task = &s->state->config->tasks[s->index];
    const fr_key_lines *lines = &s->state->task_lines[s->index];
    bool given = false;
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        given = given ||
                (FR_CONFIG_KEYS[i].section == FR_SECTION_INIT && lines->of[i] != 0);
    }
    if (!given) {
        return FR_FAIL(
            ctx, FR_ERR_CONFIG,
            "%s is missing; it says what the prefix starts from: best {text: a "
            "written instruction}, else {random: 0.02}, {zero: true} or "
            "{file: prefix.h5}",
            place_of(s, FR_SECTION_PREFIX, "init", place));
    }
    bool needs_length =
        task->prefix.init == FR_INIT_RANDOM || task->prefix.init == FR_INIT_ZERO;
    if (needs_length && task->prefix.length == FR_AUTO) {
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "%s is auto, but the init %s has no length of its own; set the "
                       "number of slots",
                       place_of(s, FR_SECTION_PREFIX, "length", place),
                       task->prefix.init == FR_INIT_ZERO ? "zero" : "random");
    }
    if (task->prefix.repeat_text && task->prefix.init != FR_INIT_TEXT && !task->swept) {
        return FR_FAIL(
            ctx, FR_ERR_CONFIG,
            "%s applies to an init text only, and the init is another; remove it",
            place_of(s, FR_SECTION_PREFIX, "repeat_text", place));
    }
    if (task->prefix.freeze_first && task->prefix.length == 1) {
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "%s leaves nothing to train in a prefix of length 1; raise "
                       "prefix.length",
                       place_of(s, FR_SECTION_PREFIX, "freeze_first", place));
    }
    return FR_OK;
}

/* mlp.width has a meaning only with mlp.hidden; a width alone is more likely a forgotten key than a wish. */
static fr_status check_mlp(const subject *s)
{
    char place[FR_PLACE_BYTES];
    const fr_task_config *task = &s->state->config->tasks[s->index];
    if (task->prefix.mlp_hidden == 0 && task->prefix.mlp_width != FR_AUTO) {
        return FR_FAIL(s->state->ctx, FR_ERR_CONFIG,
                       "%s is %lld, but mlp.hidden is 0, so there is no MLP; set "
                       "mlp.hidden, e.g. to 512, or remove the width",
                       place_of(s, FR_SECTION_MLP, "width", place),
                       (long long)task->prefix.mlp_width);
    }
    return FR_OK;
}

/* Whether rows need a template is known only when they are read: pre-tokenised rows need none. */
static fr_status check_template(const subject *s)
{
    char place[FR_PLACE_BYTES];
    const fr_task_config *task = &s->state->config->tasks[s->index];
    const char *text = task->template_text;
    if (text == NULL) {
        return FR_OK;
    }
    (void)place_of(s, FR_SECTION_TASK, "template", place);
    if (task->chat) {
        return FR_FAIL(s->state->ctx, FR_ERR_CONFIG,
                       "%s and chat exclude each other; keep one", place);
    }
    fr_template parts;
    return fr_template_parse(s->state->ctx, place, text, &parts);
}

/* `--set tasks.NAME.chat=false` may meet a section `chat` in the file. */
static fr_status check_chat(const subject *s)
{
    char place[FR_PLACE_BYTES];
    const fr_task_config *task = &s->state->config->tasks[s->index];
    const char *key = task->chat_template != NULL    ? "template"
                      : task->chat_arguments != NULL ? "arguments"
                      : task->chat_clock != NULL     ? "clock"
                                                     : NULL;
    if (task->loss_last && !task->chat) {
        return FR_FAIL(
            s->state->ctx, FR_ERR_CONFIG,
            "%s: last applies to dialogues only; set chat: true, or remove it",
            place_of(s, FR_SECTION_TASK, "loss", place));
    }
    return task->chat || key == NULL
               ? FR_OK
               : FR_FAIL(s->state->ctx, FR_ERR_CONFIG,
                         "%s is given, but chat is false; remove one of them",
                         place_of(s, FR_SECTION_CHAT, key, place));
}

/* Stopping rules that look at validations need validations before the end of the run. */
static fr_status check_stopping(const subject *s)
{
    char place[FR_PLACE_BYTES];
    const fr_config *config = s->state->config;
    const fr_task_config *task = &config->tasks[s->index];
    const char *key = task->patience > 0     ? "patience"
                      : task->stop_below > 0 ? "stop_below"
                                             : NULL;
    if (key == NULL || (task->valid != NULL && config->run.valid_every > 0)) {
        return FR_OK;
    }
    return FR_FAIL(
        s->state->ctx, FR_ERR_CONFIG,
        "%s needs validations, but %s; set it or remove %s",
        place_of(s, FR_SECTION_TASK, key, place),
        task->valid == NULL ? "the task has no valid" : "run.valid_every is 0", key);
}

/* The length of a task, in steps or in epochs: its own, or that of run. */
static fr_status check_length(const subject *s)
{
    char place[FR_PLACE_BYTES];
    const fr_config *config = s->state->config;
    const fr_task_config *task = &config->tasks[s->index];
    if (task->steps != FR_AUTO && task->epochs != FR_AUTO) {
        return FR_FAIL(s->state->ctx, FR_ERR_CONFIG,
                       "%s: the task has steps and epochs; give one of them",
                       place_of(s, FR_SECTION_TASK, "epochs", place));
    }
    if (task->steps == FR_AUTO && task->epochs == FR_AUTO && config->run.steps == 0 &&
        config->run.epochs == 0) {
        return FR_FAIL(s->state->ctx, FR_ERR_CONFIG,
                       "%s is auto, and run.steps is missing; set one of them, or "
                       "epochs in place of steps",
                       place_of(s, FR_SECTION_TASK, "steps", place));
    }
    return FR_OK;
}

/* Required keys come first: the later rules use the name without a check for NULL. */
static fr_status check_task(const subject *s)
{
    FR_TRY(check_required(s));
    FR_TRY(check_name(s));
    FR_TRY(check_init(s));
    FR_TRY(check_mlp(s));
    FR_TRY(check_template(s));
    FR_TRY(check_chat(s));
    FR_TRY(check_stopping(s));
    return check_length(s);
}

fr_status fr_config_check(const fr_config_state *state)
{
    subject s = {state, -1};
    FR_TRY(check_required(&s));
    if (state->config->run.steps != 0 && state->config->run.epochs != 0) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s: run has steps and epochs; give one of them", state->name);
    }
    if (state->config->n_tasks == 0) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s: tasks is missing; list at least one task", state->name);
    }
    for (s.index = 0; s.index < state->config->n_tasks; s.index++) {
        FR_TRY(check_task(&s));
    }
    return FR_OK;
}
