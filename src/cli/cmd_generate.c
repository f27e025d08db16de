/* `forerun generate`: one text for a prompt, or one for each row of a file.
 *
 * The order of events: the options and the rows are read and the answers' file is opened, so that a mistake there
 * costs no loading. Then the base and the prefixes are opened, the prompts are encoded, and each rank loads its
 * stage. Rank 0 finds which rows already have answers, and the ranks together generate the rest. An answer is written
 * when its turn in the input comes; the finished file gets its name at the very end.
 *
 * Everything is held in `generation`, which starts as zeros, so that `finish` can release it after a failure in any
 * phase. A phase that can fail on one rank alone ends with fr_group_agree: otherwise the other ranks would wait for
 * that rank in the next exchange. All ranks form one pipeline, since replicas would need a division of the rows among
 * them and an exchange of the answers.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/mem.h"
#include "cli/answers.h"
#include "cli/commands.h"
#include "cli/inference_options.h"
#include "model/network/generate.h"
#include "model/text/dialogue.h"
#include "train/data/row_json.h"
#include "train/inference/prompts.h"
#include "train/session/rank_share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fr_option OPTIONS[] = {
    FR_INFERENCE_OPTIONS,
    FR_ROW_OPTIONS,
    {"prompt", "TEXT", "one source text (with --chat: the user's turn of a dialogue)"},
    {"input", "FILE.jsonl",
     "rows with \"source\", \"source_ids\" or \"messages\"; a row's \"prefix\" "
     "replaces --prefix"},
    {"output", "FILE.jsonl",
     "file for the rows with \"generated\" added (default: standard output); rows are "
     "collected in FILE.jsonl.part, which replaces FILE.jsonl when all are done"},
    {"resume", NULL,
     "continue after the answers in FILE.jsonl.part; start with the first row if there "
     "are none"},
    {"overwrite", NULL, "start again, even if FILE.jsonl.part holds answers"},
    {"batch", "N",
     "largest number of rows computed together (default 16; fewer if their keys and "
     "values would take more than half of the memory)"},
    {"max-new-tokens", "N", "largest number of tokens of a text (default 128)"},
    {"temperature", "T",
     "sampling temperature; 0 (default): always the likeliest token"},
    {"top-k", "K", "sample among the K likeliest tokens (default 0: all)"},
    {"top-p", "P",
     "sample among the likeliest tokens that together have probability P (default 1)"},
    {"seed", "N", "seed of the sampling (default 1)"},
    {NULL, NULL, NULL},
};

const fr_command FR_GENERATE_COMMAND = {
    "generate",
    "",
    0,
    "generate texts with a base, with or without a prefix; runs under mpirun",
    OPTIONS,
    NULL};

/* What a generation holds between its phases. */
typedef struct generation {
    const fr_cli *cli;
    fr_ctx *ctx;
    fr_inference_params params;
    char *template_text;
    fr_generate_params options;
    fr_sample_params sample;
    int64_t max_new_tokens;
    fr_inference inference;
    fr_generator *generator;
    fr_prompts_params input;
    fr_prompts prompts;
    fr_generate_row *texts; /* of each row */
    bool *ended;
    uint8_t *never; /* [vocab_size] ids that are not chosen; NULL: none */
    int64_t n_written;
    fr_generate_times times;
    fr_answers *answers;
} generation;

static fr_status read_options(generation *g)
{
    const fr_options *o = g->cli->options;
    int64_t seed = 1;
    g->options = (fr_generate_params){.batch = 16};
    g->sample = (fr_sample_params){.top_p = 1.0};
    g->max_new_tokens = 128;
    FR_TRY(fr_inference_options(g->ctx, o, &g->params));
    FR_TRY(fr_template_option(g->ctx, o, &g->template_text));
    g->params.template_text = g->template_text;
    g->input = (fr_prompts_params){.path = fr_options_text(o, "input"),
                                   .prompt = fr_options_text(o, "prompt")};
    FR_TRY(fr_row_options(g->ctx, o, &g->input.ignore, &g->input.fields,
                          &g->input.skip_bad_rows));
    g->params.one_pipeline = true;
    FR_TRY(fr_options_int(g->ctx, o, "batch", 1, INT32_MAX, &g->options.batch));
    FR_TRY(
        fr_options_int(g->ctx, o, "max-new-tokens", 1, INT32_MAX, &g->max_new_tokens));
    FR_TRY(fr_options_real(g->ctx, o, "temperature", &g->sample.temperature));
    FR_TRY(fr_options_int(g->ctx, o, "top-k", 0, INT32_MAX, &g->sample.top_k));
    FR_TRY(fr_options_real(g->ctx, o, "top-p", &g->sample.top_p));
    FR_TRY(fr_options_int(g->ctx, o, "seed", 0, INT64_MAX, &seed));
    g->sample.seed = (uint64_t)seed;
    if (fr_options_has(o, "prompt") == fr_options_has(o, "input")) {
        return FR_FAIL(g->ctx, FR_ERR_ARG, "give --prompt or --input, and not both");
    }
    FR_TRY(fr_sample_check(g->ctx, &g->sample));
    return fr_output_apart_option(g->ctx, o, "output", "input");
}

/* What a row's answer is added to: the row unchanged, but without an earlier answer. */
static fr_status row_text(void *user, int64_t index, char **text, size_t *bytes)
{
    static const char *const LEFT_OUT[] = {"generated", "generated_ids", NULL};
    const generation *g = user;
    const fr_prompt *row = &g->prompts.rows[index];
    return fr_row_json_write(g->ctx, row->text, row->bytes, LEFT_OUT, text, bytes);
}

/* A prompt has no row to continue after, so its answer is a plain text (is_text). */
static fr_status open_answers(generation *g)
{
    const fr_options *o = g->cli->options;
    fr_answers_params params = {.path = fr_options_text(o, "output"),
                                .resume = fr_options_has(o, "resume"),
                                .overwrite = fr_options_has(o, "overwrite"),
                                .is_text = fr_options_has(o, "prompt"),
                                .row = row_text,
                                .user = g};
    return fr_answers_open(g->ctx, &params, &g->answers);
}

/* The output must not be a prefix that a row names. */
static fr_status check_row_prefixes(const generation *g)
{
    for (const fr_inference_prefix *p = g->inference.prefix; p != NULL; p = p->next) {
        FR_TRY(fr_output_apart_file(g->ctx, g->cli->options, "output",
                                    "\"prefix\" of a row of --input", p->file));
    }
    return FR_OK;
}

/* What the generator needs of each row. */
static fr_status encode_rows(generation *g)
{
    fr_prompts *p = &g->prompts;
    FR_TRY(fr_prompts_encode(p, &g->inference));
    FR_TRY(check_row_prefixes(g));
    FR_TRY(fr_alloc(g->ctx, p->n, sizeof *g->texts, &g->texts));
    FR_TRY(fr_alloc(g->ctx, p->n, sizeof *g->ended, &g->ended));
    for (int64_t i = 0; i < p->n; i++) {
        g->texts[i].prefix = &p->rows[i].prefix->view;
        g->texts[i].place = fr_prompts_place(p, i);
        g->texts[i].prompt = p->rows[i].ids;
        g->texts[i].sample = g->sample;
        g->texts[i].number = (uint64_t)i;
        g->texts[i].max_new_tokens = g->max_new_tokens;
        p->rows[i].ids = (fr_ids){0};
    }
    return FR_OK;
}

/* Rows are written in the order of the input: this one if it is due, and those that waited for it. Short texts end
 * before long ones that began earlier. */
static fr_status row_grown(void *user, int64_t index, bool *leave)
{
    generation *g = user;
    (void)leave;
    g->ended[index] = g->texts[index].state != FR_ROW_GOES_ON;
    while (g->n_written < g->prompts.n && g->ended[g->n_written]) {
        int64_t i = g->n_written++;
        FR_TRY(fr_answers_write(g->answers, i, &g->texts[i].out));
        fr_farewell_set(g->cli->farewell, fr_answers_farewell(g->answers));
    }
    return FR_OK;
}

/* Positions that the rows may reach: the rest of the base's context would only cost memory. */
static int64_t max_positions(const generation *g)
{
    const fr_arch *arch = fr_weights_arch(g->inference.session.weights);
    int64_t max = 1;
    for (int64_t i = 0; i < g->prompts.n; i++) {
        int64_t given = g->prompts.rows[i].prefix->length + g->texts[i].prompt.count;
        max = given > max ? given : max;
    }
    return g->max_new_tokens < arch->context_length - max ? max + g->max_new_tokens
                                                          : arch->context_length;
}

/* What the keys and values of a batch may take: half of a rank's memory, since the weights and the activations need the rest;
 * half of what the weights left where the device has memory of its own. */
static fr_status find_cache_bytes(generation *g)
{
    const fr_device *device = g->inference.session.device;
    fr_rank_limits limits;
    FR_TRY(fr_rank_limits_find(g->ctx, g->cli->world, g->inference.session.device_kind,
                               g->params.own_products, &limits));
    int64_t bytes = limits.device_is_apart ? fr_device_room(device) : limits.memory;
    g->options.cache_bytes = bytes / 2;
    return FR_OK;
}

/* Encodes the rows, loads the stage and sets what the generator needs. */
static fr_status prepare(generation *g)
{
    fr_session *s = &g->inference.session;
    FR_TRY(fr_group_agree(g->cli->world, encode_rows(g)));
    FR_TRY(fr_inference_load(&g->inference, max_positions(g), 0.0));
    FR_TRY(find_cache_bytes(g));
    g->options.grown = row_grown;
    g->options.user = g;
    g->options.times = &g->times;
    int64_t vocab_size = fr_weights_arch(s->weights)->vocab_size;
    fr_ends_within(g->ctx, g->params.model, vocab_size, &s->ends);
    g->options.ids.stop = s->ends.stop;
    g->options.ids.n_stop = s->ends.n_stop;
    fr_status status =
        fr_tokens_textless(g->ctx, s->tokenizer, &s->ends, vocab_size, &g->never);
    g->options.ids.never_V = g->never;
    if (status == FR_OK) {
        fr_generator_params params = {
            .pipeline = s->grid.pipeline, .stage = s->stage, .link = s->link};
        status = fr_generator_create(g->ctx, &params, &g->generator);
    }
    return fr_group_agree(g->cli->world, status);
}

/* Rank 0 finds which rows already have answers; all ranks start after them. */
static fr_status begin_answers(generation *g)
{
    fr_record record;
    int64_t n_rows = g->prompts.n;
    int64_t n_kept = 0;
    fr_record_options options = {g->sample, g->max_new_tokens, g->options.ids};
    fr_status status = fr_record_fill(g->ctx, &g->inference, &options, g->texts, n_rows,
                                      FORERUN_VERSION, &record);
    if (status == FR_OK) {
        status = fr_answers_begin(g->answers, g->inference.session.tokenizer, &record,
                                  n_rows, &n_kept);
    }
    FR_TRY(fr_group_agree(g->cli->world, status));
    FR_TRY(fr_group_broadcast(g->cli->world, 0, &n_kept, sizeof n_kept));
    g->options.first = n_kept;
    g->n_written = n_kept;
    return FR_OK;
}

/* Prompts and decoded tokens are apart because a prompt's tokens run together and decoded ones run one by one. */
static void report_speed(const generation *g)
{
    const fr_generate_times *t = &g->times;
    if (t->prompt_tokens == 0) { /* all answers existed */
        return;
    }
    fr_log(g->ctx, FR_LOG_INFO,
           "prompts: %lld tokens, %.0f tokens/s; decoded: %lld tokens, %.1f tokens/s",
           (long long)t->prompt_tokens, (double)t->prompt_tokens / t->prompt_seconds,
           (long long)t->decoded_tokens,
           t->decoded_tokens > 0 ? (double)t->decoded_tokens / t->decode_seconds : 0.0);
}

/* The phases in their order. From the last row on the watch reports "writing", and the farewell for an interrupted run
 * is taken back: only the renaming of the file is left. */
static fr_status run(generation *g)
{
    fr_status status = read_options(g);
    if (status == FR_OK) {
        status = fr_prompts_read(g->ctx, &g->input, &g->prompts);
    }
    if (status == FR_OK) {
        status = open_answers(g);
    }
    FR_TRY(fr_group_agree(g->cli->world, status));
    FR_TRY(fr_inference_open(g->ctx, g->cli->world, &g->params, &g->inference));
    if (g->input.prompt != NULL) {
        fr_tell_of_chat(g->ctx, &g->params, g->inference.session.tokenizer);
    }
    FR_TRY(prepare(g));
    FR_TRY(begin_answers(g));
    int64_t n_rows = g->prompts.n;
    status = FR_OK;
    if (g->options.first < n_rows) {
        status = fr_generate(g->generator, g->texts, n_rows, &g->options);
    }
    fr_watch_busy(fr_group_watch(g->cli->world), "writing");
    FR_TRY(fr_group_agree(g->cli->world, status));
    report_speed(g);
    fr_farewell_take_back(g->cli->farewell);
    return fr_group_agree(g->cli->world, fr_answers_end(g->answers));
}

static void finish(generation *g)
{
    for (int64_t i = 0; g->texts != NULL && i < g->prompts.n; i++) {
        fr_generate_row_fini(&g->texts[i]);
    }
    fr_generator_destroy(&g->generator);
    fr_inference_close(&g->inference);
    free(g->texts);
    free(g->ended);
    free(g->never);
    fr_prompts_fini(&g->prompts);
    free(g->template_text);
}

/* The answers are closed after a failure too, so that those that are written can be continued with --resume. */
fr_status fr_cmd_generate(const fr_cli *cli)
{
    generation g = {.cli = cli, .ctx = cli->ctx};
    fr_status status = run(&g);
    fr_status closed = fr_answers_close(&g.answers);
    finish(&g);
    return status != FR_OK ? status : closed;
}
