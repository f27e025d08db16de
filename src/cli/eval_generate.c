/* The order of events is that of `forerun generate`: options and rows are read, the base and the prefixes are opened, the references
 * are read and the prompts encoded, and the ranks together answer all rows. Then rank 0 scores, writes and prints. All
 * ranks form one pipeline.
 *
 * Answers are greedy, so that a score is one number and not one of many.
 */
#include "cli/eval_generate.h"

#include "base/output.h"
#include "cli/eval_rows.h"
#include "cli/inference_options.h"

#include <stdlib.h>

/* What an evaluation holds between its phases. */
typedef struct evaluation {
    const fr_cli *cli;
    fr_ctx *ctx;
    fr_inference_params params;
    char *template_text;
    fr_prompts_params input;
    fr_answer_rows_params how;
    int64_t max_rows; /* 0: all */
    fr_inference inference;
    fr_prompts prompts;
    fr_reference_list references;
    fr_answer_rows answers;
} evaluation;

/* Options of the evaluation by losses. */
static fr_status check_options(const evaluation *e)
{
    static const char *const LOSSES[] = {"no-eos", "stages", "microbatch-tokens",
                                         "rows-out"};
    for (size_t i = 0; i < sizeof LOSSES / sizeof LOSSES[0]; i++) {
        if (fr_options_has(e->cli->options, LOSSES[i])) {
            return FR_FAIL(e->ctx, FR_ERR_ARG,
                           "--%s is for the loss, which --generate does not compute; "
                           "leave one of them out",
                           LOSSES[i]);
        }
    }
    return FR_OK;
}

static fr_status read_options(evaluation *e)
{
    const fr_options *o = e->cli->options;
    FR_TRY(check_options(e));
    FR_TRY(fr_inference_options(e->ctx, o, &e->params));
    FR_TRY(fr_template_option(e->ctx, o, &e->template_text));
    e->params.template_text = e->template_text;
    e->params.one_pipeline = true;
    FR_TRY(fr_options_need(e->ctx, o, "data", &e->input.path));
    FR_TRY(fr_row_options(e->ctx, o, &e->input.ignore, &e->input.fields,
                          &e->input.skip_bad_rows));
    FR_TRY(fr_options_int(e->ctx, o, "max-rows", 1, INT64_MAX, &e->max_rows));
    FR_TRY(fr_options_int(e->ctx, o, "batch", 1, INT32_MAX, &e->how.batch));
    FR_TRY(fr_options_int(e->ctx, o, "max-new-tokens", 1, INT32_MAX,
                          &e->how.max_new_tokens));
    e->how.with_base = fr_options_has(o, "with-base");
    return fr_output_option(e->ctx, o, "output", "data");
}

/* The output must not be a prefix that a row names; and without any prefix there is nothing to compare the base with. */
static fr_status check_prefixes(const evaluation *e)
{
    bool any = false;
    for (const fr_inference_prefix *p = e->inference.prefix; p != NULL; p = p->next) {
        any = any || p->length > 0;
        FR_TRY(fr_output_apart_file(e->ctx, e->cli->options, "output",
                                    "\"prefix\" of a row of --data", p->file));
    }
    return any || !e->how.with_base
               ? FR_OK
               : FR_FAIL(e->ctx, FR_ERR_ARG,
                         "--with-base compares a prefix with the base alone; give "
                         "--prefix");
}

static fr_status read_rows(evaluation *e)
{
    FR_TRY(fr_references_read(&e->prompts, &e->inference, e->max_rows, &e->references));
    FR_TRY(fr_prompts_encode(&e->prompts, &e->inference));
    fr_references_follow(&e->references, &e->prompts);
    return check_prefixes(e);
}

static void report_speed(const evaluation *e)
{
    const fr_generate_times *t = &e->answers.times;
    fr_log(e->ctx, FR_LOG_INFO,
           "prompts: %lld tokens, %.0f tokens/s; decoded: %lld tokens, %.1f tokens/s",
           (long long)t->prompt_tokens, (double)t->prompt_tokens / t->prompt_seconds,
           (long long)t->decoded_tokens,
           t->decoded_tokens > 0 ? (double)t->decoded_tokens / t->decode_seconds : 0.0);
}

/* Rank 0 alone. The file is written before anything is printed: what is printed says that all went well. */
static fr_status report(const evaluation *e)
{
    const char *path = fr_options_text(e->cli->options, "output");
    const fr_eval_rows rows = {.ctx = e->ctx,
                               .tokenizer = e->inference.session.tokenizer,
                               .prompts = &e->prompts,
                               .references = &e->references,
                               .answers = &e->answers};
    fr_eval_result result;
    char *lines = NULL;
    size_t bytes = 0;
    if (fr_ctx_rank(e->ctx) != 0) {
        return FR_OK;
    }
    fr_status status =
        fr_eval_rows_score(&rows, &result, path != NULL ? &lines : NULL, &bytes);
    if (status == FR_OK && path != NULL) {
        status = fr_output_write(e->ctx, path, lines, bytes);
    }
    if (status == FR_OK) {
        fr_eval_rows_print(&result, e->prompts.bad.n,
                           fr_options_has(e->cli->options, "json"));
    }
    free(lines);
    return status;
}

static fr_status run(evaluation *e)
{
    fr_group *world = e->cli->world;
    fr_status status = read_options(e);
    if (status == FR_OK) {
        status = fr_prompts_read(e->ctx, &e->input, &e->prompts);
    }
    FR_TRY(fr_group_agree(world, status));
    FR_TRY(fr_inference_open(e->ctx, world, &e->params, &e->inference));
    FR_TRY(fr_group_agree(world, read_rows(e)));
    FR_TRY(fr_answer_rows_make(&e->inference, &e->prompts, &e->how, &e->answers));
    fr_watch_busy(fr_group_watch(world), "scoring");
    report_speed(e);
    return fr_group_agree(world, report(e));
}

fr_status fr_eval_generate(const fr_cli *cli)
{
    enum { BATCH = 16, NEW_TOKENS = 128 };
    evaluation e = {.cli = cli, .ctx = cli->ctx};
    e.how = (fr_answer_rows_params){.world = cli->world,
                                    .sample = {.top_p = 1.0},
                                    .batch = BATCH,
                                    .max_new_tokens = NEW_TOKENS};
    fr_status status = run(&e);
    fr_answer_rows_fini(&e.answers);
    fr_inference_close(&e.inference);
    fr_references_fini(&e.references);
    fr_prompts_fini(&e.prompts);
    free(e.template_text);
    return status;
}
