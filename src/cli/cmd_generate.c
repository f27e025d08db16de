#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/mem.h"
#include "cli/answers.h"
#include "cli/commands.h"
#include "cli/inference_options.h"
#include "model/chat.h"
#include "model/generate.h"
#include "model/json_size.h"
#include "train/text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fr_option OPTIONS[] = {
    FR_INFERENCE_OPTIONS,
    {"prompt", "TEXT", "the source text (or the user's turn of a dialogue)"},
    {"input", "FILE.jsonl",
     "rows with \"source\", \"source_ids\" or \"messages\", and \"prefix\" where it is "
     "not --prefix"},
    {"output", "FILE.jsonl",
     "where the rows go, with \"generated\" (default: standard output); replaced when "
     "all "
     "are there, until then they stand in FILE.jsonl.part"},
    {"resume", NULL,
     "go on from the answers in FILE.jsonl.part; from the first row where there are "
     "none"},
    {"overwrite", NULL, "begin anew, even if FILE.jsonl.part holds answers"},
    {"batch", "N",
     "most rows at a time (default 16; fewer where their keys and values would fill "
     "half of the memory)"},
    {"max-new-tokens", "N", "most tokens a text (default 128)"},
    {"temperature", "T", "0 (default): greedy"},
    {"top-k", "K", "sample among the K likeliest (default 0: all)"},
    {"top-p", "P", "sample within this probability mass (default 1)"},
    {"seed", "N", "of the sampling (default 1)"},
    {NULL, NULL, NULL},
};

const fr_command FR_GENERATE_COMMAND = {
    "generate", "", 0, "texts from a base, with or without a prefix; runs under mpirun",
    OPTIONS};

/* What a generation holds between its phases. */
typedef struct generation {
    const fr_cli *cli;
    fr_ctx *ctx;
    fr_inference_params params;
    char *template_text;
    fr_generate_params options;
    fr_inference inference;
    fr_generator *generator;
    json_t *rows;                         /* array of objects */
    int64_t *lines;                       /* of each row in the file; NULL: --prompt */
    const fr_inference_prefix **prefixes; /* of each row */
    fr_generate_row *texts;               /* of each row */
    bool *ended;
    size_t n_written;
    fr_generate_times times;
    fr_answers *answers;
} generation;

static fr_status read_options(generation *g)
{
    const fr_options *o = g->cli->options;
    int64_t seed = 1;
    g->options = (fr_generate_params){
        .sample = {.top_p = 1.0}, .max_new_tokens = 128, .batch = 16};
    FR_TRY(fr_inference_options(g->ctx, o, &g->params));
    FR_TRY(fr_template_option(g->ctx, o, &g->template_text));
    g->params.template_text = g->template_text;
    g->params.one_pipeline = true;
    FR_TRY(fr_options_int(g->ctx, o, "batch", 1, INT32_MAX, &g->options.batch));
    FR_TRY(fr_options_int(g->ctx, o, "max-new-tokens", 1, INT32_MAX,
                          &g->options.max_new_tokens));
    FR_TRY(fr_options_real(g->ctx, o, "temperature", &g->options.sample.temperature));
    FR_TRY(fr_options_int(g->ctx, o, "top-k", 0, INT32_MAX, &g->options.sample.top_k));
    FR_TRY(fr_options_real(g->ctx, o, "top-p", &g->options.sample.top_p));
    FR_TRY(fr_options_int(g->ctx, o, "seed", 0, INT64_MAX, &seed));
    g->options.sample.seed = (uint64_t)seed;
    if (fr_options_has(o, "prompt") == fr_options_has(o, "input")) {
        return FR_FAIL(g->ctx, FR_ERR_ARG, "give either --prompt or --input");
    }
    return fr_sample_check(g->ctx, &g->options.sample);
}

static fr_status add_row(generation *g, json_t *row)
{
    if (json_array_append_new(g->rows, row) != 0) {
        return fr_check_memory(g->ctx, false, 1);
    }
    return FR_OK;
}

static int64_t count_lines(const char *text, size_t bytes)
{
    const char *end = text + bytes;
    int64_t n = 1;
    for (const char *at = text; at < end; n++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        at = line_end != NULL ? line_end + 1 : end;
    }
    return n;
}

static fr_place place_of(const generation *g, size_t i)
{
    static const fr_place PROMPT = {"--prompt", 0};
    return g->lines == NULL
               ? PROMPT
               : (fr_place){fr_options_text(g->cli->options, "input"), g->lines[i]};
}

/* What every row needs, before the next one takes memory. */
static bool is_row(const json_t *row)
{
    return json_is_array(json_object_get(row, "source_ids")) ||
           json_is_array(json_object_get(row, "messages")) ||
           json_is_string(json_object_get(row, "source"));
}

static fr_status read_line(generation *g, const char *text, size_t bytes,
                           const char *path, int64_t line)
{
    json_error_t error;
    if (!fr_json_fits(text, bytes)) {
        return FR_FAIL(g->ctx, FR_ERR_DATA, "%s:%lld: " FR_JSON_TOO_LARGE, path,
                       (long long)line);
    }
    json_t *row = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    const char *why = row == NULL            ? error.text
                      : !json_is_object(row) ? "a row must be a JSON object"
                      : !is_row(row)
                          ? "a row needs \"source\", \"source_ids\" or \"messages\""
                          : NULL;
    if (why != NULL) {
        json_decref(row);
        return FR_FAIL(g->ctx, FR_ERR_DATA, "%s:%lld: %s", path, (long long)line, why);
    }
    return add_row(g, row);
}

static fr_status read_lines(generation *g, const char *path, const char *text,
                            size_t bytes)
{
    int64_t line = 0;
    FR_TRY(fr_alloc(g->ctx, count_lines(text, bytes), sizeof *g->lines, &g->lines));
    while (bytes > 0) {
        const char *end = memchr(text, '\n', bytes);
        size_t length = end != NULL ? (size_t)(end - text) + 1 : bytes;
        line++;
        if (strspn(text, " \t\r\n") < length) {
            g->lines[json_array_size(g->rows)] = line;
            FR_TRY(read_line(g, text, length, path, line));
        }
        text += length;
        bytes -= length;
    }
    return json_array_size(g->rows) > 0
               ? FR_OK
               : FR_FAIL(g->ctx, FR_ERR_DATA, "%s: is empty", path);
}

static fr_status read_rows(generation *g)
{
    const char *prompt = fr_options_text(g->cli->options, "prompt");
    const char *path = fr_options_text(g->cli->options, "input");
    char *text = NULL;
    size_t bytes = 0;
    g->rows = json_array();
    if (prompt != NULL) {
        json_t *row = json_pack("{s:s}", "source", prompt);
        return row != NULL ? add_row(g, row)
                           : FR_FAIL(g->ctx, FR_ERR_ARG, "--prompt is not UTF-8 text");
    }
    FR_TRY(fr_file_read(g->ctx, path, &text, &bytes));
    fr_status status = read_lines(g, path, text, bytes);
    free(text);
    return status;
}

/* What the row's answer is written into: the row as it came, without an answer that it had. */
static fr_status row_text(void *user, int64_t index, char **text, size_t *bytes)
{
    const generation *g = user;
    json_t *row = json_copy(json_array_get(g->rows, (size_t)index));
    (void)json_object_del(row, "generated");
    (void)json_object_del(row, "generated_ids");
    *text = json_dumps(row, JSON_COMPACT);
    *bytes = *text != NULL ? strlen(*text) : 0;
    json_decref(row);
    return fr_check_memory(g->ctx, *text != NULL, 1);
}

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

static int64_t vocab_size(const generation *g)
{
    return fr_weights_arch(g->inference.session.weights)->vocab_size;
}

static fr_status encode_ids(generation *g, fr_place place, const json_t *array,
                            fr_ids *ids)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        json_int_t id = json_integer_value(item);
        if (!json_is_integer(item)) {
            return FR_FAIL(g->ctx, FR_ERR_DATA, "an id is no whole number");
        }
        FR_TRY(fr_vocabulary_check_id(g->ctx, place, id, vocab_size(g)));
        FR_TRY(fr_ids_add(g->ctx, ids, (int32_t)id));
    }
    return FR_OK;
}

static fr_status encode_messages(generation *g, const json_t *array, bool special,
                                 fr_ids *ids)
{
    fr_message *messages = NULL;
    fr_ids counted = {0};
    int64_t n = (int64_t)json_array_size(array);
    FR_TRY(fr_alloc(g->ctx, n, sizeof *messages, &messages));
    fr_status status = FR_OK;
    for (int64_t i = 0; i < n && status == FR_OK; i++) {
        const json_t *one = json_array_get(array, (size_t)i);
        messages[i] = (fr_message){json_string_value(json_object_get(one, "role")),
                                   json_string_value(json_object_get(one, "content"))};
        if (messages[i].role == NULL || messages[i].content == NULL) {
            status =
                FR_FAIL(g->ctx, FR_ERR_DATA,
                        "every message needs \"role\" and \"content\", both strings");
        }
    }
    if (status == FR_OK) {
        status = fr_chat_encode(g->ctx, g->inference.session.tokenizer, messages, n,
                                false, true, special, ids, &counted);
    }
    fr_ids_fini(&counted);
    free(messages);
    return status;
}

static fr_status encode_text(generation *g, const fr_inference_prefix *prefix,
                             const char *source, fr_ids *ids)
{
    const fr_tokenizer *tokenizer = g->inference.session.tokenizer;
    int32_t bos = fr_tokenizer_leading_bos(tokenizer);
    fr_template parts;
    if (prefix->leading_bos && bos >= 0) {
        FR_TRY(fr_ids_add(g->ctx, ids, bos));
    }
    if (prefix->template_text == NULL) {
        return fr_tokenizer_encode(g->ctx, tokenizer, source, strlen(source), true,
                                   ids);
    }
    FR_TRY(fr_template_parse(g->ctx, prefix->template_text, &parts));
    return fr_text_encode_source(g->ctx, tokenizer, &parts, source, strlen(source),
                                 prefix->special, ids);
}

static fr_status encode_row(generation *g, size_t i, const json_t *row, fr_ids *ids)
{
    const fr_inference_prefix *prefix = g->prefixes[i];
    const json_t *messages = json_object_get(row, "messages");
    const json_t *source_ids = json_object_get(row, "source_ids");
    const char *source = json_string_value(json_object_get(row, "source"));
    if (json_is_array(source_ids)) {
        return encode_ids(g, place_of(g, i), source_ids, ids);
    }
    if (g->inference.session.tokenizer == NULL) {
        return FR_FAIL(g->ctx, FR_ERR_DATA,
                       "%s carries no tokenizer; give rows of \"source_ids\"",
                       g->params.model);
    }
    if (json_is_array(messages)) {
        return encode_messages(g, messages, prefix->special, ids);
    }
    if (source == NULL) {
        return FR_FAIL(g->ctx, FR_ERR_DATA,
                       "a row needs \"source\", \"source_ids\" or \"messages\"");
    }
    if (prefix->chat) {
        json_t *turn = json_pack("[{s:s, s:s}]", "role", "user", "content", source);
        fr_status status = encode_messages(g, turn, prefix->special, ids);
        json_decref(turn);
        return status;
    }
    return encode_text(g, prefix, source, ids);
}

/* ---- rows and their prefixes ---------------------------------------------------------------- */

static fr_status open_prefix(generation *g, size_t i)
{
    const json_t *name = json_object_get(json_array_get(g->rows, i), "prefix");
    g->prefixes[i] = g->inference.prefix;
    if (name == NULL) {
        return FR_OK;
    }
    if (!json_is_string(name)) {
        return FR_FAIL(g->ctx, FR_ERR_DATA,
                       "row %zu: \"prefix\" must be a string, FILE[:TASK]", i + 1);
    }
    return fr_inference_add(&g->inference, json_string_value(name), &g->prefixes[i]);
}

static fr_status open_prefixes(generation *g)
{
    size_t n = json_array_size(g->rows);
    FR_TRY(fr_alloc(g->ctx, (int64_t)n, sizeof(fr_inference_prefix *), &g->prefixes));
    FR_TRY(fr_alloc(g->ctx, (int64_t)n, sizeof *g->texts, &g->texts));
    FR_TRY(fr_alloc(g->ctx, (int64_t)n, sizeof *g->ended, &g->ended));
    for (size_t i = 0; i < n; i++) {
        FR_TRY(open_prefix(g, i));
    }
    return FR_OK;
}

/* What reads a row knows no lines: put this one's before what it said. */
static void add_place(const generation *g, fr_place place)
{
    enum { WHY_BYTES = 1024 };
    char why[WHY_BYTES];
    size_t length = strlen(place.name);
    const char *said = fr_ctx_error(g->ctx);
    if (place.line == 0 ||
        (strncmp(said, place.name, length) == 0 && said[length] == ':')) {
        return;
    }
    (void)snprintf(why, sizeof why, "%s", said);
    fr_ctx_clear_error(g->ctx);
    (void)FR_FAIL(g->ctx, FR_ERR_DATA, "%s:%lld: %s", place.name, (long long)place.line,
                  why);
}

static fr_status encode_rows(generation *g)
{
    for (size_t i = 0; i < json_array_size(g->rows); i++) {
        fr_generate_row *text = &g->texts[i];
        text->prefix = &g->prefixes[i]->view;
        text->place = place_of(g, i);
        fr_status status = encode_row(g, i, json_array_get(g->rows, i), &text->prompt);
        if (status == FR_ERR_DATA) {
            add_place(g, text->place);
        }
        FR_TRY(status);
    }
    return FR_OK;
}

/* Rows leave in the order in which they came: this one, and those that were waiting for it. */
static fr_status row_ended(void *user, int64_t index)
{
    generation *g = user;
    g->ended[index] = true;
    while (g->n_written < json_array_size(g->rows) && g->ended[g->n_written]) {
        size_t i = g->n_written++;
        FR_TRY(fr_answers_write(g->answers, (int64_t)i, &g->texts[i].out));
        fr_farewell_set(g->cli->farewell, fr_answers_farewell(g->answers));
    }
    return FR_OK;
}

/* Positions that the rows may reach: what the base's context holds beyond them costs memory and serves nobody. */
static int64_t most_positions(const generation *g)
{
    const fr_arch *arch = fr_weights_arch(g->inference.session.weights);
    int64_t most = 1;
    for (size_t i = 0; i < json_array_size(g->rows); i++) {
        int64_t given = g->prefixes[i]->length + g->texts[i].prompt.count;
        most = given > most ? given : most;
    }
    return g->options.max_new_tokens < arch->context_length - most
               ? most + g->options.max_new_tokens
               : arch->context_length;
}

static fr_status prepare(generation *g)
{
    fr_session *s = &g->inference.session;
    int64_t memory = 0;
    int64_t node_ranks = 0;
    FR_TRY(fr_group_agree(g->cli->world, encode_rows(g)));
    FR_TRY(fr_inference_load(&g->inference, most_positions(g), 0.0));
    FR_TRY(fr_session_rank_memory(s, &memory, &node_ranks));
    g->options.cache_bytes = memory / 2;
    g->options.done = row_ended;
    g->options.user = g;
    g->options.times = &g->times;
    g->options.stop[0] = s->tokenizer != NULL ? fr_tokenizer_eos(s->tokenizer) : -1;
    g->options.stop[1] = s->tokenizer != NULL ? fr_chat_end_token(s->tokenizer) : -1;
    return fr_group_agree(g->cli->world, fr_generator_create(g->ctx, s->grid.pipeline,
                                                             s->stage, &g->generator));
}

/* Rank 0 sees which rows have their answers already; all ranks go on behind them. */
static fr_status begin_answers(generation *g)
{
    fr_record record;
    int64_t n_rows = (int64_t)json_array_size(g->rows);
    int64_t n_kept = 0;
    fr_status status = fr_record_fill(g->ctx, &g->inference, &g->options, g->texts,
                                      n_rows, FORERUN_VERSION, &record);
    if (status == FR_OK) {
        status = fr_answers_begin(g->answers, g->inference.session.tokenizer, &record,
                                  n_rows, &n_kept);
    }
    FR_TRY(fr_group_agree(g->cli->world, status));
    FR_TRY(fr_group_broadcast(g->cli->world, 0, &n_kept, sizeof n_kept));
    g->options.first = n_kept;
    g->n_written = (size_t)n_kept;
    return FR_OK;
}

static void report_speed(const generation *g)
{
    const fr_generate_times *t = &g->times;
    if (t->prompt_tokens == 0) { /* every answer was there */
        return;
    }
    fr_log(g->ctx, FR_LOG_INFO,
           "prompts: %lld tokens, %.0f tokens/s; decoded: %lld tokens, %.1f tokens/s",
           (long long)t->prompt_tokens, (double)t->prompt_tokens / t->prompt_seconds,
           (long long)t->decoded_tokens,
           t->decoded_tokens > 0 ? (double)t->decoded_tokens / t->decode_seconds : 0.0);
}

static fr_status run(generation *g)
{
    fr_status status = read_options(g);
    if (status == FR_OK) {
        status = read_rows(g);
    }
    if (status == FR_OK) {
        status = open_answers(g);
    }
    FR_TRY(fr_group_agree(g->cli->world, status));
    FR_TRY(fr_inference_open(g->ctx, g->cli->world, &g->params, &g->inference));
    FR_TRY(fr_group_agree(g->cli->world, open_prefixes(g)));
    if (fr_options_has(g->cli->options, "prompt")) {
        fr_tell_of_chat(g->ctx, &g->params, g->inference.session.tokenizer);
    }
    FR_TRY(prepare(g));
    FR_TRY(begin_answers(g));
    int64_t n_rows = (int64_t)json_array_size(g->rows);
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
    for (size_t i = 0; g->texts != NULL && i < json_array_size(g->rows); i++) {
        fr_ids_fini(&g->texts[i].prompt);
        fr_ids_fini(&g->texts[i].out);
    }
    fr_generator_destroy(&g->generator);
    fr_inference_close(&g->inference);
    free(g->texts);
    free(g->prefixes);
    free(g->ended);
    free(g->lines);
    json_decref(g->rows);
    free(g->template_text);
}

fr_status fr_cmd_generate(const fr_cli *cli)
{
    generation g = {.cli = cli, .ctx = cli->ctx};
    fr_status status = run(&g);
    fr_status closed = fr_answers_close(&g.answers);
    finish(&g);
    return status != FR_OK ? status : closed;
}
