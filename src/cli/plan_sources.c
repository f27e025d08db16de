#include "cli/plan_sources.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Without rows: half of the tokens are targets, and English text has about four bytes a token. */
static const double TARGET_SHARE = 0.5;
enum { BYTES_PER_TOKEN = 4 };

static bool needs_tokenizer(const fr_task_config *config)
{
    return config->chat || config->template_text != NULL ||
           config->prefix.init == FR_INIT_TEXT;
}

/* Slots of a prefix that cannot be read. */
static int64_t assumed_length(const fr_task_config *config)
{
    if (config->prefix.length != FR_AUTO) {
        return config->prefix.length;
    }
    int64_t bytes = config->prefix.text != NULL && config->prefix.init == FR_INIT_TEXT
                        ? (int64_t)strlen(config->prefix.text)
                        : 0;
    int64_t length = (bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
    return length > 0 ? length : 32;
}

/* Tokens of an example: the longest that the config speaks of, at most a microbatch. */
static int64_t assumed_tokens(const fr_arch *arch, const fr_task_config *config,
                              int64_t length)
{
    int64_t tokens = config->batch.microbatch_tokens;
    int64_t room = arch->context_length - length;
    if (config->max_tokens != FR_AUTO && config->max_tokens < tokens) {
        tokens = config->max_tokens;
    }
    tokens = tokens < room ? tokens : room;
    return tokens > 1 ? tokens : 1;
}

static void assume(const fr_arch *arch, const fr_task_config *config,
                   const fr_plan_assumed *assumed, const char *why, int64_t length,
                   fr_load_source *source, fr_plan_task *task)
{
    int64_t tokens = assumed->tokens_per_example > 0
                         ? assumed->tokens_per_example
                         : assumed_tokens(arch, config, length);
    double share = assumed->target_share >= 0.0 ? assumed->target_share : TARGET_SHARE;
    fr_load_from_numbers(length, tokens, share, source);
    (void)snprintf(
        task->source, sizeof task->source,
        "sizes are assumed (%s): %lld tokens an example (%s), %.0f %% with a "
        "target (%s)",
        why, (long long)tokens,
        assumed->tokens_per_example > 0 ? "as given"
                                        : "the config's longest; --tokens-per-example",
        100.0 * share, assumed->target_share >= 0.0 ? "as given" : "--target-share");
}

/* Why the rows cannot be read; NULL if they can. */
static const char *why_not(const fr_plan_sources *s, const fr_task_config *config,
                           const fr_plan_assumed *assumed)
{
    if (assumed->tokens_per_example > 0) {
        return "--tokens-per-example";
    }
    if (!fr_file_exists(config->train)) {
        return "the data file is not there";
    }
    if (needs_tokenizer(config) && s->tokenizer == NULL) {
        return "the model carries no tokenizer";
    }
    return NULL;
}

static bool length_is_readable(const fr_plan_sources *s, const fr_task_config *config)
{
    switch (config->prefix.init) {
    case FR_INIT_TEXT:
        return s->tokenizer != NULL;
    case FR_INIT_FILE:
        return fr_file_exists(config->prefix.text);
    case FR_INIT_RANDOM:
    case FR_INIT_ZERO:
    default:
        return true;
    }
}

static fr_status open_task(const fr_task_env *env, const fr_plan_assumed *assumed,
                           int64_t i, fr_plan_sources *s)
{
    const fr_task_config *config = &env->config->tasks[i];
    fr_plan_task *task = &s->tasks[i];
    const char *why = why_not(s, config, assumed);
    task->name = config->name;
    task->length_assumed = why != NULL && !length_is_readable(s, config);
    task->from_rows = why == NULL;
    int64_t length = assumed_length(config);
    if (!task->length_assumed) {
        FR_TRY(fr_task_open_sample(env, config, why == NULL ? FR_LOAD_LINES : 0,
                                   &s->opened[i]));
        length = s->opened[i].length;
    }
    if (why != NULL) {
        assume(env->arch, config, assumed, why, length, &s->sources[i], task);
        return FR_OK;
    }
    fr_load_from_rows(s->opened[i].train, length, &s->sources[i]);
    (void)snprintf(task->source, sizeof task->source,
                   "sizes are those of the first %lld examples of %.150s",
                   (long long)s->sources[i].n_examples, config->train);
    return FR_OK;
}

static fr_status open_tokenizer(fr_ctx *ctx, const char *model, fr_plan_sources *s)
{
    fr_status status = fr_tokenizer_open(ctx, model, &s->tokenizer);
    if (status == FR_ERR_DATA) {
        fr_ctx_clear_error(ctx);
        s->tokenizer = NULL;
        return FR_OK;
    }
    return status;
}

fr_status fr_plan_sources_open(fr_ctx *ctx, const fr_config *config,
                               const fr_arch *arch, const fr_plan_assumed *assumed,
                               fr_plan_sources *out)
{
    int64_t n = config->n_tasks;
    *out = (fr_plan_sources){.n_tasks = n};
    fr_status status = open_tokenizer(ctx, config->base.path, out);
    if (status == FR_OK) {
        status = fr_alloc(ctx, n, sizeof *out->opened, &out->opened);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, n, sizeof *out->sources, &out->sources);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, n, sizeof *out->tasks, &out->tasks);
    }
    fr_task_env env = {
        .ctx = ctx, .config = config, .tokenizer = out->tokenizer, .arch = arch};
    for (int64_t i = 0; status == FR_OK && i < n; i++) {
        status = open_task(&env, assumed, i, out);
    }
    if (status != FR_OK) {
        fr_plan_sources_close(out);
    }
    return status;
}

void fr_plan_sources_close(fr_plan_sources *sources)
{
    for (int64_t i = 0; sources->opened != NULL && i < sources->n_tasks; i++) {
        fr_task_close(&sources->opened[i]);
    }
    fr_tokenizer_close(&sources->tokenizer);
    free(sources->opened);
    free(sources->sources);
    free(sources->tasks);
    *sources = (fr_plan_sources){0};
}
