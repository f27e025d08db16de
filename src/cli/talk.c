/* A session: open base and prefixes, then a turn at a time until the end.
 *
 * Rank 0 reads a turn, and all ranks get it. Each does the same with it, so that dialogue and prefix are the same
 * everywhere. While rank 0 waits for a person it is busy for the hang watch, so that the others wait without end.
 *
 * A turn that fails is told and taken back, and the session goes on; a failure of the machine or of another rank ends it.
 */
#define _POSIX_C_SOURCE 200809L
#include "cli/talk_impl.h"

#include "base/integer.h"
#include "base/mem.h"
#include "base/print.h"
#include "cli/inference_options.h"
#include "model/text/tokens.h"
#include "train/session/rank_share.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 4096 };

void fr_talk_print(const talk *t, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    if (fr_ctx_rank(t->ctx) == 0) {
        va_start(arguments, format);
        (void)vsnprintf(line, sizeof line, format, arguments);
        va_end(arguments);
        fr_print_line(stdout, "%s", line);
        (void)fflush(stdout);
    }
}

/* Grey on a terminal, so that it differs from answers. */
void fr_talk_note(const talk *t, const char *format, ...)
{
    char line[LINE_BYTES];
    bool grey = t->colours && isatty(STDERR_FILENO) == 1;
    va_list arguments;
    if (fr_ctx_rank(t->ctx) == 0) {
        va_start(arguments, format);
        (void)vsnprintf(line, sizeof line, format, arguments);
        va_end(arguments);
        (void)fputs(grey ? "\033[2m" : "", stderr);
        fr_print_line(stderr, "%s", line);
        (void)fputs(grey ? "\033[0m" : "", stderr);
    }
}

fr_status fr_talk_add(talk *t, const char *role, const char *text, size_t bytes,
                      bool is_whole)
{
    json_t *message =
        json_pack("{s:s, s:o}", "role", role, "content", json_stringn(text, bytes));
    if (message != NULL && !is_whole &&
        json_object_set_new(message, "weight", json_integer(0)) != 0) {
        json_decref(message);
        message = NULL;
    }
    return fr_check_memory(
        t->ctx, message != NULL && json_array_append_new(t->messages, message) == 0,
        bytes);
}

/* ---- opening ----------------------------------------------------------------------------------------- */

/* All tasks of the file of --prefix can be used; the one that is named, or the only one, is. */
static fr_status add_tasks(talk *t)
{
    const char *chosen = NULL;
    fr_checkpoint *c = NULL;
    FR_TRY(fr_copy_string(t->ctx, t->params->prefix, &t->file));
    fr_prefix_file_split(t->file, &chosen);
    FR_TRY(fr_checkpoint_read(t->ctx, t->file, &c));
    fr_status status = FR_OK;
    int64_t index = 0;
    if (chosen != NULL) {
        status = fr_checkpoint_find_task(t->ctx, c, t->file, chosen, &index);
    }
    for (int64_t i = 0; i < c->n_tasks && status == FR_OK; i++) {
        size_t bytes = strlen(t->file) + strlen(c->tasks[i].name) + 2;
        const fr_inference_prefix *p = NULL;
        char *reference = NULL;
        status = fr_alloc(t->ctx, (int64_t)bytes, 1, &reference);
        if (status == FR_OK) {
            (void)snprintf(reference, bytes, "%s:%s", t->file, c->tasks[i].name);
            status = fr_inference_add(&t->inference, reference, &p);
        }
        if (status == FR_OK && (c->n_tasks == 1 || (chosen != NULL && i == index))) {
            t->prefix = p;
        }
        free(reference);
    }
    fr_checkpoint_destroy(&c);
    return status;
}

static fr_status open_prefixes(talk *t)
{
    const fr_session *s = &t->inference.session;
    if (s->tokenizer == NULL) {
        return FR_FAIL(t->ctx, FR_ERR_UNSUPPORTED,
                       "chat needs the model's tokenizer: %s",
                       s->no_tokenizer != NULL ? s->no_tokenizer : "there is none");
    }
    FR_TRY(fr_inference_add(&t->inference, NULL, &t->prefix));
    return t->params->prefix != NULL ? add_tasks(t) : FR_OK;
}

/* A dialogue has one row, so its keys and values take what they need. */
static fr_status prepare_generation(talk *t)
{
    FR_TRY(fr_answerer_open(&t->inference, &t->answerer));
    t->options = (fr_generate_params){
        .ids = t->answerer.ids, .batch = 1, .cache_bytes = INT64_MAX};
    return FR_OK;
}

static fr_status open_input(talk *t)
{
    const char *no_colour = getenv("NO_COLOR");
    if (fr_ctx_rank(t->ctx) != 0) {
        return FR_OK;
    }
    t->colours = (no_colour == NULL || no_colour[0] == '\0') &&
                 isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
    return fr_talk_input_open(t->ctx, t->cli->signals, t->colours, &t->input);
}

static fr_status open_all(talk *t)
{
    fr_group *world = t->cli->world;
    FR_TRY(fr_inference_open(t->ctx, world, &t->params->inference, &t->inference));
    t->context = fr_min(t->params->context,
                        fr_weights_arch(t->inference.session.weights)->context_length);
    t->messages = json_array();
    fr_status status = fr_check_memory(t->ctx, t->messages != NULL, 1);
    if (status == FR_OK) {
        status = fr_copy_optional(t->ctx, t->params->system, &t->system);
    }
    FR_TRY(fr_group_agree(world, status));
    FR_TRY(fr_group_agree(world, open_prefixes(t)));
    FR_TRY(fr_inference_load(&t->inference, t->context, 0.0));
    FR_TRY(fr_group_agree(world, prepare_generation(t)));
    fr_signals_count_interrupts(t->cli->signals);
    return fr_group_agree(world, open_input(t));
}

/* ---- turns ------------------------------------------------------------------------------------------- */

/* What rank 0 has read, for all ranks: the caller frees *text, NULL unless it is a text. */
static fr_status share_turn(talk *t, fr_turn_kind *kind, const char *line, char **text)
{
    fr_group *world = t->cli->world;
    int64_t told[2] = {*kind, (int64_t)strlen(line)};
    *text = NULL;
    FR_TRY(fr_group_broadcast(world, 0, told, sizeof told));
    *kind = (fr_turn_kind)told[0];
    if (*kind != FR_TURN_TEXT) {
        return FR_OK;
    }
    FR_TRY(fr_group_agree(world, fr_alloc(t->ctx, told[1] + 1, 1, text)));
    memcpy(*text, line, fr_ctx_rank(t->ctx) == 0 ? (size_t)told[1] : 0);
    fr_status status = FR_OK;
    if (told[1] > 0) {
        status = fr_group_broadcast(world, 0, *text, told[1]);
    }
    if (status != FR_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}

static fr_status read_turn(talk *t, fr_turn_kind *kind, char **text)
{
    const char *line = "";
    fr_status status = FR_OK;
    *kind = FR_TURN_END;
    *text = NULL;
    fr_watch_busy(fr_group_watch(t->cli->world), "reading");
    if (t->input != NULL) {
        status = fr_talk_input_next(t->input, kind, &line);
    }
    status = fr_group_agree(t->cli->world, status);
    if (status == FR_ERR_IO) { /* which every further turn would fail at, too */
        t->is_over = true;
    }
    FR_TRY(status);
    return share_turn(t, kind, line, text);
}

static fr_status say(talk *t, const char *text)
{
    size_t n = json_array_size(t->messages);
    fr_status status =
        fr_group_agree(t->cli->world, fr_talk_add(t, "user", text, strlen(text), true));
    if (status == FR_OK) {
        status = fr_talk_answer(t);
    }
    if (status != FR_OK && json_array_size(t->messages) > n) {
        (void)json_array_remove(t->messages, n);
        fr_talk_note(t, "(the last turn is left out of the dialogue)");
    }
    return status;
}

/* An empty line asks for nothing. */
static fr_status take_text(talk *t, const char *text)
{
    if (text[0] == '/' && text[1] == '/') {
        return say(t, text + 1);
    }
    if (text[0] == '/') {
        return fr_group_agree(t->cli->world, fr_talk_command(t, text));
    }
    return fr_text_trim(fr_text_of(text)).bytes > 0 ? say(t, text) : FR_OK;
}

/* Whether a session can go on after a failure. */
static bool is_harmless(fr_status status)
{
    return status == FR_ERR_ARG || status == FR_ERR_CONFIG || status == FR_ERR_DATA ||
           status == FR_ERR_FORMAT || status == FR_ERR_UNSUPPORTED ||
           status == FR_ERR_NUMERIC || status == FR_ERR_CHECKPOINT ||
           status == FR_ERR_IO;
}

static bool types(const talk *t)
{
    return t->input != NULL && fr_talk_input_is_terminal(t->input);
}

/* Told, and forgotten on a terminal, where the person sees it. */
static fr_status survive(talk *t, fr_status status)
{
    bool may_go_on = ferror(stdout) == 0 && !(t->is_over && status == FR_ERR_IO);
    if (status == FR_OK || !is_harmless(status) || !may_go_on) {
        return status;
    }
    fr_log(t->ctx, FR_LOG_ERROR, "%s", fr_ctx_error(t->ctx));
    if (!types(t) && *t->cli->exit_code == 0) {
        *t->cli->exit_code = fr_status_exit_code(status);
    }
    fr_ctx_clear_error(t->ctx);
    return FR_OK;
}

/* Without a terminal the first interrupt leaves, as nobody is there to be asked. */
static void take_interrupt(talk *t, int *n_in_row)
{
    int64_t leaves = ++*n_in_row > 1 || !types(t) ? 1 : 0;
    if (leaves == 0) {
        fr_talk_note(t, "(Ctrl-C again, Ctrl-D or /quit leaves)");
    }
    t->is_over = leaves != 0;
}

static fr_status converse(talk *t)
{
    int n_in_row = 0; /* interrupts */
    fr_status status = FR_OK;
    while (status == FR_OK && !t->is_over) {
        fr_turn_kind kind = FR_TURN_END;
        char *text = NULL;
        status = read_turn(t, &kind, &text);
        if (status == FR_OK && kind == FR_TURN_TEXT) {
            n_in_row = 0;
            status = take_text(t, text);
        }
        int64_t over = 0;
        if (status == FR_OK && kind == FR_TURN_INTERRUPTED) {
            take_interrupt(t, &n_in_row);
        }
        t->is_over = t->is_over || kind == FR_TURN_END;
        over = t->is_over;
        free(text);
        status = survive(t, status);
        if (status == FR_OK) { /* rank 0 knows whether a person types */
            status = fr_group_broadcast(t->cli->world, 0, &over, sizeof over);
            t->is_over = over != 0;
        }
    }
    return status;
}

static void close_all(talk *t)
{
    fr_talk_input_close(&t->input);
    fr_answerer_close(&t->answerer);
    fr_inference_close(&t->inference);
    json_decref(t->messages);
    free(t->system);
    free(t->file);
}

fr_status fr_talk(const fr_cli *cli, const fr_talk_params *params)
{
    talk t = {.cli = cli, .ctx = cli->ctx, .params = params};
    fr_status status = open_all(&t);
    if (status == FR_OK) {
        fr_talk_tell_prefix(&t);
        if (types(&t)) {
            fr_talk_note(&t, "/help lists what can be asked; Ctrl-C stops an answer");
        }
        status = converse(&t);
    }
    close_all(&t);
    return status;
}
