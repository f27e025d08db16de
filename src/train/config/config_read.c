/*
 * The order of events when a config is read.
 *
 * The defaults come first, then the file, then each --set, then the sweep, then the rules over several keys, and at the end
 * the values that `auto` stands for. Each step writes into the same fr_config and notes in fr_key_lines where a key was
 * given, so that a later step can name the line of an earlier one. The sweep is expanded after --set, so that --set changes
 * the pattern and thereby every task made from it. Seeds and rates are resolved last, because a made task may differ from its
 * pattern in the keys that decide them.
 */
#define _POSIX_C_SOURCE 200809L
#include "train/config/config_impl.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* From here on every task has a seed of its own, and nothing reads the run's. */
static void resolve_seeds(fr_config *config)
{
    for (int64_t i = 0; i < config->n_tasks; i++) {
        if (config->tasks[i].seed == FR_SEED_AUTO) {
            config->tasks[i].seed = config->run.seed;
        }
    }
}

/* A written config then names the rate that was used, even if a later program gives `auto` another meaning. */
static void resolve_rates(fr_config *config)
{
    for (int64_t i = 0; i < config->n_tasks; i++) {
        fr_task_config *task = &config->tasks[i];
        if (task->optimizer.lr < 0.0) {
            task->optimizer.lr = task->prefix.mlp_hidden > 0 ? FR_LR_MLP : FR_LR_DIRECT;
        }
    }
}

static fr_status fill(fr_config_state *state, const char *text, size_t bytes,
                      const char *const *sets, int64_t n_sets)
{
    FR_TRY(fr_config_set_defaults(state->ctx, (fr_key_owner){.config = state->config}));
    FR_TRY(fr_config_load(state, text, bytes));
    for (int64_t i = 0; i < n_sets; i++) {
        FR_TRY(fr_config_apply_set(state, sets[i]));
    }
    FR_TRY(fr_sweep_expand(state));
    FR_TRY(fr_config_check(state));
    resolve_seeds(state->config);
    resolve_rates(state->config);
    return FR_OK;
}

static fr_status parse(fr_config_state *state, const char *text, size_t bytes,
                       const char *const *sets, int64_t n_sets, fr_config **out)
{
    *out = NULL;
    FR_TRY(fr_alloc(state->ctx, 1, sizeof *state->config, &state->config));
    fr_status status = fill(state, text, bytes, sets, n_sets);
    free(state->task_lines);
    fr_sweep_fini(&state->sweep);
    if (status != FR_OK) {
        fr_config_destroy(&state->config);
    }
    *out = state->config;
    return status;
}

fr_status fr_config_read(fr_ctx *ctx, const char *path, const char *const *sets,
                         int64_t n_sets, fr_config **out)
{
    char *text = NULL;
    size_t bytes = 0;
    fr_config_state state = {.ctx = ctx, .name = path};
    *out = NULL;
    FR_TRY(fr_file_read(ctx, path, &text, &bytes));
    fr_status status = parse(&state, text, bytes, sets, n_sets, out);
    free(text);
    return status;
}

fr_status fr_config_parse(fr_ctx *ctx, const char *name, const char *text,
                          fr_config **out)
{
    fr_config_state state = {.ctx = ctx, .name = name};
    return parse(&state, text, strlen(text), NULL, 0, out);
}

fr_status fr_config_parse_saved(fr_ctx *ctx, const char *name, const char *text,
                                fr_config **out)
{
    fr_config_state state = {.ctx = ctx, .name = name};
    state.as_they_stand = strncmp(text, FR_CONFIG_MARK, strlen(FR_CONFIG_MARK)) != 0;
    return parse(&state, text, strlen(text), NULL, 0, out);
}
