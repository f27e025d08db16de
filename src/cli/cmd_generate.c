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
#include "cli/answer_row.h"
#include "cli/answer_texts.h"
#include "cli/answers.h"
#include "cli/commands.h"
#include "cli/inference_options.h"
#include "cli/sampling.h"
#include "cli/standard_input.h"
#include "model/network/generate.h"
#include "model/text/dialogue.h"
#include "train/inference/answerer.h"
#include "train/inference/prompts.h"
#include "train/session/cache_share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const fr_option OPTIONS[] = {
    FR_INFERENCE_OPTIONS,
    FR_ROW_OPTIONS,
    {"prompt", "TEXT",
     "one source text (with --chat: the user's turn of a dialogue); - reads it from "
     "standard input"},
    {"input", "FILE.jsonl",
     "rows with \"source\", \"source_ids\" or \"messages\"; a row's \"prefix\" "
     "replaces --prefix; - reads them from standard input"},
    {"system", "TEXT",
     "system turn of dialogues that have none; --prompt is then the user's turn"},
    {"json", NULL, "write the answer to --prompt as a JSON object"},
    {"n", "N", "answers of each row, sampled with other random numbers (default 1)"},
    {"logprobs", "N",
     "add the logarithms of probability of each token of an answer and of the N "
     "likeliest ones (at most 20)"},
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
    FR_SAMPLING_OPTIONS,
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
    fr_sampling sampling;
    int64_t n_answers; /* of each row */
    int64_t n_logprobs;
    fr_inference inference;
    fr_answerer answerer;
    fr_prompts_params input;
    fr_prompts prompts;
    char *prompt_text; /* of standard input */
    int64_t n_texts;
    fr_generate_row *texts; /* n_answers of the first row, then of the second one ... */
    bool *ended;
    fr_answer_texts *streams;
    FILE *terminal; /* gets the only text as it comes; NULL: it is written whole */
    int64_t n_written;
    fr_generate_times times;
    fr_answers *answers;
} generation;

/* How many answers, and in what form. */
static fr_status read_forms(generation *g)
{
    const fr_options *o = g->cli->options;
    int64_t n_likeliest = -1;
    bool is_text = g->input.path == NULL && !fr_options_has(o, "json");
    g->n_answers = 1;
    FR_TRY(fr_options_int(g->ctx, o, "n", 1, INT32_MAX, &g->n_answers));
    FR_TRY(fr_options_int(g->ctx, o, "logprobs", 0, FR_MAX_LOGPROBS, &n_likeliest));
    g->n_logprobs = n_likeliest + 1;
    if (fr_options_has(o, "json") && g->input.path != NULL) {
        return FR_FAIL(g->ctx, FR_ERR_ARG,
                       "--json is for --prompt; the answers to --input are JSON");
    }
    if (is_text && (g->n_answers > 1 || g->n_logprobs > 0)) {
        return FR_FAIL(g->ctx, FR_ERR_ARG,
                       "%s needs JSON: give --json, or rows by --input",
                       g->n_answers > 1 ? "--n" : "--logprobs");
    }
    if (g->n_answers > 1 && g->sampling.sample.temperature <= 0.0) {
        return FR_FAIL(g->ctx, FR_ERR_ARG,
                       "--n %lld needs --temperature above 0: without it all answers "
                       "of a row are the same",
                       (long long)g->n_answers);
    }
    bool to_terminal = is_text && !fr_options_has(o, "output") &&
                       fr_ctx_rank(g->ctx) == 0 && isatty(STDOUT_FILENO) == 1;
    g->terminal = to_terminal ? stdout : NULL;
    return FR_OK;
}

static fr_status read_options(generation *g)
{
    const fr_options *o = g->cli->options;
    g->options = (fr_generate_params){.batch = 16};
    g->sampling.max_new_tokens = 128;
    FR_TRY(fr_inference_options(g->ctx, o, &g->params));
    FR_TRY(fr_template_option(g->ctx, o, &g->template_text));
    g->params.template_text = g->template_text;
    g->input = (fr_prompts_params){.path = fr_options_text(o, "input"),
                                   .prompt = fr_options_text(o, "prompt"),
                                   .system = fr_options_text(o, "system")};
    if (g->input.system != NULL && g->input.prompt != NULL) {
        g->params.chat = g->params.chat || g->template_text == NULL;
    }
    FR_TRY(fr_row_options(g->ctx, o, &g->input.ignore, &g->input.fields,
                          &g->input.skip_bad_rows));
    g->params.one_pipeline = true;
    FR_TRY(fr_options_int(g->ctx, o, "batch", 1, INT32_MAX, &g->options.batch));
    FR_TRY(fr_sampling_options(g->ctx, o, &g->sampling));
    if (fr_options_has(o, "prompt") == fr_options_has(o, "input")) {
        return FR_FAIL(g->ctx, FR_ERR_ARG, "give --prompt or --input, and not both");
    }
    FR_TRY(read_forms(g));
    return fr_output_apart_option(g->ctx, o, "output", "input");
}

/* "-" is standard input. A line end at the end of a prompt is that of the last line, not of the text. */
static fr_status read_standard_input(generation *g)
{
    static const char NAME[] = "standard input";
    const char *given = g->input.path != NULL ? g->input.path : g->input.prompt;
    char *text = NULL;
    size_t bytes = 0;
    if (strcmp(given, "-") != 0) {
        return FR_OK;
    }
    FR_TRY(fr_standard_input_read(g->ctx, g->cli->world, &text, &bytes));
    if (g->input.path != NULL) {
        g->input.path = NAME;
        g->input.content = text;
        g->input.content_bytes = bytes;
        return FR_OK;
    }
    g->prompt_text = text;
    g->input.prompt = text;
    if (strlen(text) != bytes) {
        return FR_FAIL(g->ctx, FR_ERR_DATA,
                       "standard input: the prompt must be a text without NUL");
    }
    if (bytes > 0 && text[bytes - 1] == '\n') {
        text[bytes - 1] = '\0';
    }
    return FR_OK;
}

/* What an answer is added to: its row unchanged, but without an earlier answer. */
static fr_status row_text(void *user, int64_t index, char **text, size_t *bytes)
{
    const generation *g = user;
    const fr_prompt *from = &g->prompts.rows[index / g->n_answers];
    const fr_answer_row row = {.text = from->text,
                               .bytes = from->bytes,
                               .prompt = g->input.prompt,
                               .number = g->n_answers > 1 ? index % g->n_answers
                                                          : FR_NO_NUMBER,
                               .has_logprobs = g->n_logprobs > 0,
                               .answer = &g->texts[index]};
    return fr_answer_row_write(g->ctx, &row, text, bytes);
}

/* A prompt has no row to continue after, so its answer is a plain text (is_text), unless an object is wanted. */
static fr_status open_answers(generation *g)
{
    const fr_options *o = g->cli->options;
    fr_answers_params params = {.path = fr_options_text(o, "output"),
                                .resume = fr_options_has(o, "resume"),
                                .overwrite = fr_options_has(o, "overwrite"),
                                .is_text = fr_options_has(o, "prompt") &&
                                           !fr_options_has(o, "json"),
                                .has_logprobs = g->n_logprobs > 0,
                                .stops = (const char *const *)g->sampling.stops,
                                .n_stops = g->sampling.n_stops,
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

/* The answers of a row have a prompt each. The first one's number is the row's: it is what a generation of one answer gives. */
static fr_status fill_text(generation *g, int64_t index)
{
    fr_prompt *row = &g->prompts.rows[index / g->n_answers];
    fr_generate_row *text = &g->texts[index];
    int64_t number = index % g->n_answers;
    *text = (fr_generate_row){
        .prefix = &row->prefix->view,
        .place = fr_prompts_place(&g->prompts, index / g->n_answers),
        .sample = g->sampling.sample,
        .number = (uint64_t)(number * g->prompts.n + index / g->n_answers),
        .max_new_tokens = g->sampling.max_new_tokens,
        .n_logprobs = g->n_logprobs};
    if (number + 1 == g->n_answers) {
        text->prompt = row->ids;
        row->ids = (fr_ids){0};
        return FR_OK;
    }
    for (int64_t i = 0; i < row->ids.count; i++) {
        FR_TRY(fr_ids_add(g->ctx, &text->prompt, row->ids.data[i]));
    }
    return FR_OK;
}

/* What the generator needs of each answer. */
static fr_status encode_rows(generation *g)
{
    fr_prompts *p = &g->prompts;
    FR_TRY(fr_prompts_encode(p, &g->inference));
    FR_TRY(check_row_prefixes(g));
    if (!fr_mul_i64(p->n, g->n_answers, &g->n_texts)) {
        return FR_FAIL(g->ctx, FR_ERR_ARG, "--n %lld of %lld rows are too many answers",
                       (long long)g->n_answers, (long long)p->n);
    }
    FR_TRY(fr_alloc(g->ctx, g->n_texts, sizeof *g->texts, &g->texts));
    FR_TRY(fr_alloc(g->ctx, g->n_texts, sizeof *g->ended, &g->ended));
    for (int64_t i = 0; i < g->n_texts; i++) {
        FR_TRY(fill_text(g, i));
    }
    const fr_answer_texts_params texts = {.tokenizer = g->inference.session.tokenizer,
                                          .sampling = &g->sampling,
                                          .n_rows = g->n_texts,
                                          .terminal = g->terminal};
    return fr_answer_texts_open(g->ctx, &texts, &g->streams);
}

/* Rows are written in the order of the input: this one if it is due, and those that waited for it. Short texts end
 * before long ones that began earlier. A row that leaves has ended, too. */
static fr_status row_grown(void *user, int64_t index, bool *leave)
{
    generation *g = user;
    FR_TRY(fr_answer_texts_grown(g->streams, index, &g->texts[index], leave));
    g->ended[index] = *leave || g->texts[index].state != FR_ROW_GOES_ON;
    while (g->n_written < g->n_texts && g->ended[g->n_written]) {
        int64_t i = g->n_written++;
        if (g->terminal == NULL) {
            FR_TRY(fr_answers_write(g->answers, i, &g->texts[i].out));
        }
        fr_farewell_set(g->cli->farewell, fr_answers_farewell(g->answers));
    }
    return FR_OK;
}

/* Positions that the rows may reach: the rest of the base's context would only cost memory. */
static int64_t max_positions(const generation *g)
{
    const fr_arch *arch = fr_weights_arch(g->inference.session.weights);
    int64_t max = 1;
    for (int64_t i = 0; i < g->n_texts; i++) {
        const fr_inference_prefix *prefix = g->prompts.rows[i / g->n_answers].prefix;
        int64_t given = prefix->length + g->texts[i].prompt.count;
        max = given > max ? given : max;
    }
    int64_t more = g->sampling.max_new_tokens;
    return more < arch->context_length - max ? max + more : arch->context_length;
}

/* Encodes the rows, loads the stage and sets what the generator needs. */
static fr_status prepare(generation *g)
{
    fr_session *s = &g->inference.session;
    FR_TRY(fr_group_agree(g->cli->world, encode_rows(g)));
    FR_TRY(fr_inference_load(&g->inference, max_positions(g), 0.0));
    FR_TRY(fr_cache_share(g->ctx, g->cli->world, s, g->params.own_products,
                          &g->options.cache_bytes));
    g->options.grown = row_grown;
    g->options.user = g;
    g->options.times = &g->times;
    FR_TRY(
        fr_group_agree(g->cli->world, fr_answerer_open(&g->inference, &g->answerer)));
    g->options.ids = g->answerer.ids;
    return FR_OK;
}

/* Rank 0 finds which rows already have answers; all ranks start after them. */
static fr_status begin_answers(generation *g)
{
    fr_record record;
    int64_t n_rows = g->n_texts;
    int64_t n_kept = 0;
    fr_record_options options = {.sample = g->sampling.sample,
                                 .max_new_tokens = g->sampling.max_new_tokens,
                                 .ids = g->options.ids,
                                 .n_answers = g->n_answers,
                                 .n_logprobs = g->n_logprobs,
                                 .stops = (const char *const *)g->sampling.stops,
                                 .n_stops = g->sampling.n_stops};
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
    fr_status status = fr_group_agree(g->cli->world, read_options(g));
    if (status == FR_OK) {
        status = read_standard_input(g);
    }
    if (status == FR_OK) {
        status = fr_prompts_read(g->ctx, &g->input, &g->prompts);
        g->input.content = NULL; /* the prompts have it */
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
    status = FR_OK;
    if (g->options.first < g->n_texts) {
        status = fr_generate(g->answerer.generator, g->texts, g->n_texts, &g->options);
    }
    fr_watch_busy(fr_group_watch(g->cli->world), "writing");
    FR_TRY(fr_group_agree(g->cli->world, status));
    report_speed(g);
    fr_farewell_take_back(g->cli->farewell);
    return fr_group_agree(g->cli->world, fr_answers_end(g->answers));
}

static void finish(generation *g)
{
    for (int64_t i = 0; g->texts != NULL && i < g->n_texts; i++) {
        fr_generate_row_fini(&g->texts[i]);
    }
    fr_answer_texts_close(&g->streams);
    fr_sampling_fini(&g->sampling);
    free(g->input.content);
    free(g->prompt_text);
    fr_answerer_close(&g->answerer);
    fr_inference_close(&g->inference);
    free(g->texts);
    free(g->ended);
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
