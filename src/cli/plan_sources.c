/* The sizes of examples from which a plan's workload follows.
 *
 * The best source is the rows themselves. They cannot be read without their file, or as texts without a tokenizer,
 * and the user may prefer not to read them; then sizes are assumed from the options and the config. Each task carries
 * a sentence that says which of these it was, since every number of the report depends on it.
 *
 * The length of a prefix is a question of its own: it may be known although the rows are not.
 */
#include "cli/plan_sources.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static bool needs_tokenizer(const fr_task_config *config)
{
    return config->chat || config->template_text != NULL ||
           config->prefix.init == FR_INIT_TEXT;
}

/* *source holds what the config suggests. */
static void assume(const fr_plan_assumed *assumed, const char *why,
                   fr_workload_source *source, fr_plan_task *task)
{
    bool given = assumed->tokens_per_example > 0;
    int64_t tokens = given ? assumed->tokens_per_example : source->longest;
    double share =
        assumed->target_share >= 0.0 ? assumed->target_share : source->target_share;
    fr_workload_from_numbers(source->length, tokens, share, source);
    (void)snprintf(task->source, sizeof task->source,
                   "sizes are assumed (%s): %lld tokens an example, the longest too "
                   "(%s), %.0f %% with a "
                   "target (%s)",
                   why, (long long)tokens,
                   given ? "as given" : "the config's longest; --tokens-per-example",
                   100.0 * share,
                   assumed->target_share >= 0.0 ? "as given" : "--target-share");
}

/* Why the rows cannot be read; NULL if they can. */
static const char *why_not(const fr_plan_sources *s, const fr_task_config *config,
                           const fr_plan_assumed *assumed)
{
    if (assumed->tokens_per_example > 0) {
        return "--tokens-per-example";
    }
    if (!fr_file_exists(config->train)) {
        return "the data file does not exist";
    }
    if (config->chat_template != NULL && !fr_file_exists(config->chat_template)) {
        return "the file of chat.template does not exist";
    }
    if (needs_tokenizer(config) && s->tokenizer == NULL) {
        return s->no_tokenizer;
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

/* Reads at most FR_WORKLOAD_LINES lines: the forecast needs mean sizes, and a data file may be very long. */
static fr_status open_task(const fr_task_env *env, const fr_plan_assumed *assumed,
                           int64_t i, fr_plan_sources *s)
{
    const fr_task_config *config = &env->config->tasks[i];
    fr_plan_task *task = &s->tasks[i];
    const char *why = why_not(s, config, assumed);
    task->name = config->name;
    task->length_assumed = why != NULL && !length_is_readable(s, config);
    task->from_rows = why == NULL;
    fr_workload_from_config(env->arch, config, &s->sources[i]);
    if (!task->length_assumed) {
        FR_TRY(fr_task_open_sample(env, config, why == NULL ? FR_WORKLOAD_LINES : 0,
                                   &s->opened[i]));
        s->sources[i].length = s->opened[i].length;
    }
    if (why != NULL) {
        assume(assumed, why, &s->sources[i], task);
        return FR_OK;
    }
    fr_workload_from_rows(s->opened[i].train, s->opened[i].length, &s->sources[i]);
    (void)snprintf(task->source, sizeof task->source,
                   "sizes are those of the first %lld examples of %.150s; the longest "
                   "has %lld tokens, at %.150s:%lld",
                   (long long)s->sources[i].n_examples, config->train,
                   (long long)s->sources[i].longest, config->train,
                   (long long)s->sources[i].longest_line);
    return FR_OK;
}

fr_status fr_plan_sources_open(fr_ctx *ctx, const fr_config *config, const char *model,
                               const fr_arch *arch, const fr_plan_assumed *assumed,
                               fr_plan_sources *out)
{
    int64_t n = config->n_tasks;
    *out = (fr_plan_sources){.n_tasks = n};
    fr_tokens tokens;
    fr_status status = fr_tokens_open(ctx, model, &tokens);
    out->tokenizer = tokens.tokenizer;
    out->no_tokenizer = tokens.no_tokenizer;
    if (status == FR_OK) {
        status = fr_alloc(ctx, n, sizeof *out->opened, &out->opened);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, n, sizeof *out->sources, &out->sources);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, n, sizeof *out->tasks, &out->tasks);
    }
    fr_task_env env = {.ctx = ctx,
                       .config = config,
                       .tokenizer = out->tokenizer,
                       .no_tokenizer = out->no_tokenizer,
                       .eos = tokens.ends.eos,
                       .arch = arch};
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
    free(sources->no_tokenizer);
    free(sources->opened);
    free(sources->sources);
    free(sources->tasks);
    *sources = (fr_plan_sources){0};
}
