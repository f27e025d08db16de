/* `forerun eval`: the loss of a base on rows, with or without a prefix; with --generate, scores of its answers
 * (eval_generate.h).
 *
 * The base and the prefix are opened before the rows, since the tokenizer, the template and the end-of-text rule come
 * from them. The rows are read before the weights: how long the longest one is and how many tokens have a target decide
 * how much memory a stage needs. Every rank reads all rows; only rank 0 writes and prints. The forward pass is the one
 * that validates during training, so the losses are comparable.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/elementary.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/output.h"
#include "cli/commands.h"
#include "cli/eval_generate.h"
#include "cli/inference_options.h"
#include "train/step/evaluate.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const fr_option OPTIONS[] = {
    FR_INFERENCE_OPTIONS,
    FR_ROW_OPTIONS,
    {"data", "FILE.jsonl", "rows to evaluate (required)"},
    {"max-rows", "N", "evaluate only the first N rows"},
    {"no-eos", NULL, "add no end-of-sequence id to targets"},
    {"stages", "N", "pipeline stages under mpirun (default: as few as memory allows)"},
    {"microbatch-tokens", "N", "largest microbatch in token rows (default 1024)"},
    {"rows-out", "FILE", "write one JSON line for each example: line, target, nats"},
    {"generate", NULL,
     "answer the rows and score the answers by their targets (exact match, ROUGE-L, "
     "BLEU, chrF) instead of computing the loss"},
    {"output", "FILE.jsonl",
     "with --generate: write the rows with answers, references and scores"},
    {"with-base", NULL,
     "with --generate: also answer with the base alone, to the same prompts"},
    {"max-new-tokens", "N",
     "with --generate: largest number of tokens of an answer (default 128)"},
    {"batch", "N",
     "with --generate: largest number of rows computed together (default 16)"},
    {"json", NULL, "print one JSON object"},
    {NULL, NULL, NULL},
};

const fr_command FR_EVAL_COMMAND = {
    "eval",
    "",
    0,
    "print loss and perplexity of a base, or scores of its answers, with or without a "
    "prefix; runs under mpirun",
    OPTIONS,
    NULL};

/* The watch shows a step only if it is not negative: an evaluation has none. */
enum { NO_STEP = -1 };

/* What one evaluation holds between its phases. */
typedef struct evaluation {
    const fr_cli *cli;
    fr_inference_params params;
    char *template_text;
    int64_t max_rows;
    int64_t microbatch_tokens;
    fr_inference inference;
    fr_dataset *dataset;
    double *example_nll; /* NULL unless --rows-out */
    fr_evaluation result;
} evaluation;

static fr_status check_options(const evaluation *e)
{
    static const char *const ANSWERS[] = {"output", "with-base", "max-new-tokens",
                                          "batch"};
    for (size_t i = 0; i < sizeof ANSWERS / sizeof ANSWERS[0]; i++) {
        if (fr_options_has(e->cli->options, ANSWERS[i])) {
            return FR_FAIL(e->cli->ctx, FR_ERR_ARG,
                           "--%s is for answers, which are made only with --generate",
                           ANSWERS[i]);
        }
    }
    return FR_OK;
}

static fr_status read_options(evaluation *e)
{
    fr_ctx *ctx = e->cli->ctx;
    const fr_options *options = e->cli->options;
    FR_TRY(check_options(e));
    e->microbatch_tokens = 1024;
    FR_TRY(fr_inference_options(ctx, options, &e->params));
    FR_TRY(fr_template_option(ctx, options, &e->template_text));
    e->params.template_text = e->template_text;
    FR_TRY(fr_options_int(ctx, options, "max-rows", 1, INT64_MAX, &e->max_rows));
    FR_TRY(fr_options_int(ctx, options, "stages", 1, 4096, &e->params.stages));
    FR_TRY(fr_options_int(ctx, options, "microbatch-tokens", 1, INT32_MAX,
                          &e->microbatch_tokens));
    return fr_output_option(ctx, options, "rows-out", "data");
}

/* How rows are read comes from the prefix, and options override it. Only --rows-out needs a loss for each example. */
static fr_status open_rows(evaluation *e)
{
    const char *path = NULL;
    FR_TRY(fr_options_need(e->cli->ctx, e->cli->options, "data", &path));
    fr_data_params params = fr_inference_data(&e->inference, e->inference.prefix, path);
    FR_TRY(fr_row_options(e->cli->ctx, e->cli->options, &params.ignore, &params.fields,
                          &params.skip_bad_rows));
    params.max_rows = e->max_rows;
    if (fr_options_has(e->cli->options, "no-eos")) {
        params.eos = false;
    }
    FR_TRY(fr_dataset_open(e->cli->ctx, &params, &e->dataset));
    if (fr_options_has(e->cli->options, "rows-out")) {
        return fr_alloc(e->cli->ctx, fr_dataset_stats(e->dataset)->n_examples,
                        sizeof *e->example_nll, &e->example_nll);
    }
    return FR_OK;
}

/* The share of tokens with a target decides the head's cost; the 1 avoids a division by zero. */
static fr_status compute(evaluation *e)
{
    const fr_data_stats *stats = fr_dataset_stats(e->dataset);
    fr_session *s = &e->inference.session;
    double rows = (double)(stats->n_source_tokens + stats->n_target_tokens);
    FR_TRY(fr_inference_load(&e->inference,
                             e->inference.prefix->length + stats->longest,
                             fmin(1.0, (double)stats->n_target_tokens / (rows + 1.0))));
    fr_task_env env = {.ctx = e->cli->ctx, .arch = fr_weights_arch(s->weights)};
    fr_watch *watch = fr_group_watch(e->cli->world);
    fr_watch_at(watch, NO_STEP, "eval", 0);
    fr_status status =
        fr_evaluate(&env, &s->grid, s->engine, e->dataset, &e->inference.prefix->view,
                    e->microbatch_tokens, e->example_nll, &e->result);
    fr_watch_busy(watch, "writing");
    return status;
}

/* Collected in memory and written at once, so that --rows-out never holds a part of the lines. Losses are in nats. */
static fr_status write_rows(const evaluation *e)
{
    const char *path = fr_options_text(e->cli->options, "rows-out");
    if (path == NULL || fr_ctx_rank(e->cli->ctx) != 0) {
        return FR_OK;
    }
    char *text = NULL;
    size_t bytes = 0;
    FILE *lines = open_memstream(&text, &bytes);
    bool good = lines != NULL;
    for (int64_t i = 0; good && i < e->result.n_examples; i++) {
        int64_t row = 0;
        int64_t target = 0;
        char nats[FR_JSON_NUMBER_BYTES];
        fr_dataset_example(e->dataset, i, &row, &target);
        good = fprintf(lines, "{\"line\": %lld, \"target\": %lld, \"nats\": %s}\n",
                       (long long)fr_dataset_line(e->dataset, row), (long long)target,
                       fr_json_number(e->example_nll[i], nats)) > 0;
    }
    good = lines != NULL && fclose(lines) == 0 && good;
    fr_status status = fr_check_memory(e->cli->ctx, good, bytes);
    if (status == FR_OK) {
        status = fr_output_write(e->cli->ctx, path, text, bytes);
    }
    free(text);
    return status;
}

/* The perplexity is the exponential of the mean loss over all target tokens, not a mean over rows. */
static void print_result(const evaluation *e)
{
    const fr_data_stats *stats = fr_dataset_stats(e->dataset);
    double loss = e->result.loss;
    if (fr_ctx_rank(e->cli->ctx) != 0) {
        return;
    }
    if (fr_options_has(e->cli->options, "json")) {
        char number[FR_JSON_NUMBER_BYTES];
        char perplexity[FR_JSON_NUMBER_BYTES];
        (void)printf("{\"loss\": %s, \"perplexity\": %s, \"target_tokens\": %lld, "
                     "\"rows\": %lld, \"examples\": %lld, \"dropped\": %lld}\n",
                     fr_json_number(loss, number),
                     fr_json_number(fr_exp(loss), perplexity),
                     (long long)e->result.n_targets, (long long)stats->n_rows,
                     (long long)e->result.n_examples, (long long)stats->n_dropped);
        return;
    }
    (void)printf("loss           %.6f nats per target token\n", loss);
    (void)printf("perplexity     %.4f\n", fr_exp(loss));
    (void)printf("target tokens  %lld\n", (long long)e->result.n_targets);
    (void)printf("rows           %lld (%lld examples, %lld too long and dropped)\n",
                 (long long)stats->n_rows, (long long)e->result.n_examples,
                 (long long)stats->n_dropped);
}

/* A loss that is not finite is a failure, before any output: a script must not take it for a result. */
static fr_status check_finite(const evaluation *e)
{
    return isfinite(e->result.loss)
               ? FR_OK
               : FR_FAIL(e->cli->ctx, FR_ERR_NUMERIC,
                         "the loss is not finite; check the prefix and the model file");
}

static fr_status run(evaluation *e)
{
    fr_group *world = e->cli->world;
    FR_TRY(fr_group_agree(world, read_options(e)));
    FR_TRY(fr_inference_open(e->cli->ctx, world, &e->params, &e->inference));
    FR_TRY(fr_group_agree(world, open_rows(e)));
    FR_TRY(compute(e));
    FR_TRY(check_finite(e));
    FR_TRY(fr_group_agree(world, write_rows(e)));
    print_result(e);
    return FR_OK;
}

fr_status fr_cmd_eval(const fr_cli *cli)
{
    if (fr_options_has(cli->options, "generate")) {
        return fr_eval_generate(cli);
    }
    evaluation e = {.cli = cli};
    fr_status status = run(&e);
    fr_dataset_close(&e.dataset);
    fr_inference_close(&e.inference);
    free(e.example_nll);
    free(e.template_text);
    return status;
}
