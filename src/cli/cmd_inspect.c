/* `forerun inspect`: what a file holds, without computing with it.
 *
 * The kind of a file is found in this order: the title at the start of a checkpoint, then the ending of the name, and
 * everything else counts as a model. Contents come first because a checkpoint may have any name. A missing file is
 * reported before the kind is found, so that it does not look like a file of a wrong kind. A prefix is a
 * checkpoint without the optimizer's state, and one reader serves both.
 *
 * Texts that come from files pass fr_print_line.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/print.h"
#include "cli/commands.h"
#include "cli/path_ending.h"
#include "model/files/foreign.h"
#include "model/text/tokens.h"
#include "model/weights/identity.h"
#include "train/checkpoint/checkpoint.h"
#include "train/config/config.h"
#include "train/config/written.h"
#include "train/data/data.h"
#include "train/data/row_files.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const fr_option OPTIONS[] = {
    {"tensors", NULL, "list every tensor of a model"},
    {NULL, NULL, NULL},
};

const fr_command FR_INSPECT_COMMAND = {
    "inspect", "FILE", 1,
    "print what a model, prefix, checkpoint, config or data file holds", OPTIONS};

/* Training continues from optimizer moments, or from the network that produces the prefix. */
static bool can_resume(const fr_checkpoint_task *task)
{
    return task->state.m_k != NULL || fr_mlp_is_there(&task->mlp);
}

/* A text that the model reads, written as in a config or --template: a newline and a backslash with n then differ. */
static fr_status print_prose(const fr_cli *cli, const char *what, const char *text,
                             bool is_template)
{
    char *written = NULL;
    if (is_template) {
        FR_TRY(fr_written_write_template(cli->ctx, text, &written));
    } else {
        FR_TRY(fr_written_write(cli->ctx, text, &written));
    }
    fr_print_line(stdout, "%s\"%s\"", what, written);
    free(written);
    return FR_OK;
}

/* Only an init from a text holds a text of the user; the other ones are this program's own words. */
static fr_status print_init(const fr_cli *cli, const char *init)
{
    enum { WHAT_BYTES = 128 };
    char what[WHAT_BYTES];
    /* "text: TEXT", or "text, how much of it: TEXT" */
    const char *text = init != NULL && strncmp(init, "text", 4) == 0 &&
                               (init[4] == ':' || init[4] == ',')
                           ? strstr(init, ": ")
                           : NULL;
    if (text != NULL && text - init < WHAT_BYTES / 2) {
        (void)snprintf(what, sizeof what, "  init         %.*s: ", (int)(text - init),
                       init);
        return print_prose(cli, what, text + 2, false);
    }
    fr_print_line(stdout, "  init         %s", init != NULL ? init : "unknown");
    return FR_OK;
}

/* Without a template of its own a task has dialogues, in a chat template, or rows of ids. */
static fr_status print_template(const fr_cli *cli, const fr_checkpoint_task *task)
{
    const char *digest = task->chat_template_digest;
    if (task->template_text != NULL) {
        return print_prose(cli, "  template     ", task->template_text, true);
    }
    fr_print_line(stdout, "  template     %s%s%s%s",
                  task->chat ? "chat template" : "none (pre-tokenised rows)",
                  digest != NULL ? ", sha256 " : "", digest != NULL ? digest : "",
                  task->chat_template != NULL ? ", kept here"
                  : digest != NULL            ? ", of the base"
                                              : "");
    if (task->chat_arguments != NULL) {
        fr_print_line(stdout, "  arguments    %s", task->chat_arguments);
    }
    if (task->chat_clock != NULL) {
        fr_print_line(stdout, "  clock        %s", task->chat_clock);
    }
    return FR_OK;
}

/* Lines that only some tasks need: layers if the prefix leaves some of the base out, its window if it
 * slides, the epsilon if the file has one,
 * and the best loss if there was a validation. */
static fr_status print_task(const fr_cli *cli, const fr_checkpoint_task *task)
{
    char digest[FR_DIGEST_HEX];
    fr_digest_hex(task->data_digest, digest);
    fr_print_line(stdout, "task %s", task->name);
    fr_print_line(
        stdout, "  prefix       %lld slots x %lld layers x %lld key/value heads x %lld",
        (long long)task->length, (long long)task->n_layers, (long long)task->n_kv_heads,
        (long long)task->head_dim);
    if (task->n_layers < task->base_layers) {
        fr_print_line(stdout, "  layers       %lld to %lld of 0 to %lld",
                      (long long)task->first_layer,
                      (long long)(task->first_layer + task->n_layers - 1),
                      (long long)(task->base_layers - 1));
    }
    if (task->slides) {
        fr_print_line(stdout, "  window       slides: a layer's window may hide slots");
    }
    if (task->base_norm_eps != 0.0) {
        fr_print_line(stdout, "  base norms   epsilon %g", task->base_norm_eps);
    }
    FR_TRY(print_init(cli, task->init));
    FR_TRY(print_template(cli, task));
    fr_print_line(stdout,
                  "  rows         eos %s, special tokens in data %s, leading BOS %s",
                  task->eos ? "yes" : "no", task->special ? "yes" : "no",
                  task->leading_bos ? "yes" : "no");
    fr_print_line(stdout, "  step         %lld, next example %lld, seed %llu%s",
                  (long long)task->progress.step, (long long)task->progress.cursor,
                  (unsigned long long)task->seed,
                  task->progress.stopped ? ", finished" : "");
    if (isfinite(task->progress.best_loss)) {
        fr_print_line(stdout, "  best         validation loss %.6f at step %lld",
                      task->progress.best_loss, (long long)task->progress.best_step);
    }
    fr_print_line(stdout, "  last loss    %.6f, %lld steps skipped",
                  task->progress.last_loss, (long long)task->progress.skipped);
    fr_print_line(stdout, "  data         sha256 %s", digest);
    if (fr_mlp_is_there(&task->mlp)) {
        fr_print_line(
            stdout, "  mlp          %lld hidden units over embeddings of %lld",
            (long long)task->mlp.shape.hidden, (long long)task->mlp.shape.width);
    }
    fr_print_line(stdout, "  optimizer    %s",
                  can_resume(task) ? "state kept (can be resumed)"
                                   : "no state (for inference)");
    return FR_OK;
}

/* Early files lack some of these facts, which are then printed as unknown. The first task
 * decides the title. */
static fr_status inspect_checkpoint(const fr_cli *cli, const char *path)
{
    fr_checkpoint *c = NULL;
    char digest[FR_DIGEST_HEX];
    FR_TRY(fr_checkpoint_read(cli->ctx, path, &c));
    fr_digest_hex(c->base_digest, digest);
    fr_print_line(stdout, "Forerun %s, format %d.%lld, written by %s",
                  c->n_tasks > 0 && can_resume(&c->tasks[0]) ? "checkpoint" : "prefix",
                  (int)FR_CHECKPOINT_MAJOR, (long long)c->minor,
                  c->version != NULL ? c->version : "unknown");
    fr_print_line(stdout, "base           %s",
                  c->base_shape != NULL ? c->base_shape : "unknown");
    fr_print_line(stdout, "base file      %s, weights sha256 %s",
                  c->base_path != NULL ? c->base_path : "unknown", digest);
    fr_print_line(stdout, "computed with  %s, arithmetic %s, layout %s",
                  c->isa != NULL ? c->isa : "unknown",
                  c->arithmetic != NULL ? c->arithmetic : "without a name",
                  c->layout != NULL ? c->layout : "unknown");
    fr_status status = FR_OK;
    for (int64_t i = 0; i < c->n_tasks && status == FR_OK; i++) {
        status = print_task(cli, &c->tasks[i]);
    }
    fr_checkpoint_destroy(&c);
    return status;
}

static fr_status print_tensors(const fr_cli *cli, const fr_weights *weights)
{
    char line[512];
    for (int64_t i = 0; i < fr_weights_n_tensors(weights); i++) {
        FR_TRY(fr_weights_describe(cli->ctx, weights, i, line, sizeof line));
        fr_print_line(stdout, "%s", line);
    }
    return FR_OK;
}

/* Keys and values of all layers are counted in "numbers a slot": what one more slot of a prefix adds. */
static void print_arch(const fr_weights *weights)
{
    const fr_arch *a = fr_weights_arch(weights);
    fr_print_line(stdout, "model          %s", fr_weights_path(weights));
    fr_print_line(stdout, "layers         %lld, width %lld, feed-forward %lld",
                  (long long)a->n_layers, (long long)a->d_model, (long long)a->d_ff);
    fr_print_line(stdout, "heads          %lld, key/value heads %lld, head width %lld",
                  (long long)a->n_heads, (long long)a->n_kv_heads,
                  (long long)a->head_dim);
    fr_print_line(stdout, "norms          epsilon %g", a->norm_eps);
    fr_print_line(stdout, "context        %lld tokens, vocabulary %lld, %s head",
                  (long long)a->context_length, (long long)a->vocab_size,
                  a->tied_head ? "tied" : "separate");
    fr_print_line(stdout, "tensors        %lld (--tensors lists them)",
                  (long long)fr_weights_n_tensors(weights));
    fr_print_line(stdout, "prefix         %lld numbers a slot",
                  (long long)(2 * a->n_layers * fr_arch_prefix_elements(a, 1)));
}

/* An id has at most 11 characters with its sign, and one blank stands before it: hence 12 bytes each. */
static void print_ends(const fr_ends *ends)
{
    enum { LINE_BYTES = FR_MAX_ENDS * 12 };
    char line[LINE_BYTES] = "";
    size_t at = 0;
    for (int32_t i = 0; i < ends->n_stop; i++) {
        int n = snprintf(line + at, sizeof line - at, " %d", (int)ends->stop[i]);
        at += n > 0 ? (size_t)n : 0;
    }
    if (ends->eos >= 0) {
        fr_print_line(stdout, "end of text    ids%s; behind targets %d", line,
                      (int)ends->eos);
    } else {
        fr_print_line(stdout, "end of text    %s%s",
                      ends->n_stop > 0 ? "ids" : "no id named", line);
    }
}

static fr_status inspect_model(const fr_cli *cli, const char *path)
{
    fr_weights *weights = NULL;
    fr_tokens tokens;
    char *shape = NULL;
    FR_TRY(fr_weights_open(cli->ctx, path, &weights));
    fr_status status = fr_tokens_open(cli->ctx, path, &tokens);
    if (status == FR_OK && tokens.no_tokenizer != NULL) {
        fr_print_line(stdout, "tokenizer      %s", tokens.no_tokenizer);
    }
    if (status == FR_OK) {
        status = fr_identity_shape(cli->ctx, weights, tokens.tokenizer, &shape);
    }
    if (status == FR_OK) {
        print_arch(weights);
        print_ends(&tokens.ends);
        fr_print_line(stdout, "identity       %s", shape);
        if (fr_options_has(cli->options, "tensors")) {
            status = print_tensors(cli, weights);
        }
    }
    free(shape);
    fr_tokens_close(&tokens);
    fr_weights_close(&weights);
    return status;
}

/* Prints the config with its defaults filled in, in the form in which a run folder keeps it. */
static fr_status inspect_config(const fr_cli *cli, const char *path)
{
    fr_config *config = NULL;
    char *text = NULL;
    FR_TRY(fr_config_read(cli->ctx, path, NULL, 0, &config));
    fr_status status = fr_config_write(cli->ctx, config, &text);
    if (status == FR_OK) {
        (void)fputs(text, stdout);
    }
    free(text);
    fr_config_destroy(&config);
    return status;
}

/* Only counts lines: their meaning depends on a tokenizer and a template. */
static fr_status inspect_rows(const fr_cli *cli, const char *path)
{
    fr_map map;
    int64_t lines = 0;
    char digest[FR_DIGEST_HEX];
    uint8_t raw[FR_DIGEST_BYTES];
    FR_TRY(fr_map_open(cli->ctx, path, &map));
    for (size_t i = 0; i < map.bytes; i++) {
        lines += map.data[i] == '\n';
    }
    lines += map.bytes > 0 && map.data[map.bytes - 1] != '\n';
    fr_status status = fr_rows_check_file(cli->ctx, path, map.data, map.bytes);
    if (status == FR_OK) {
        status = fr_digest_of(cli->ctx, map.data, map.bytes, raw);
    }
    if (status == FR_OK) {
        fr_digest_hex(raw, digest);
        fr_print_line(stdout, "rows           %lld lines, %zu bytes", (long long)lines,
                      map.bytes);
        fr_print_line(stdout, "sha256         %s", digest);
    }
    fr_map_close(&map);
    return status;
}

fr_status fr_cmd_inspect(const fr_cli *cli)
{
    const char *path = fr_options_positional(cli->options, 0);
    FR_TRY(fr_foreign_path(cli->ctx, path));
    if (!fr_is_folder(path)) {
        int file = -1;
        FR_TRY(fr_file_open(cli->ctx, path,
                            &file)); /* so that a missing file is reported as such */
        (void)close(file);
    }
    if (fr_checkpoint_is_ours(path) || fr_path_ends_with(path, ".h5")) {
        return inspect_checkpoint(cli, path);
    }
    if (fr_path_ends_with(path, ".jsonl")) {
        return inspect_rows(cli, path);
    }
    if (fr_path_ends_with(path, ".yaml") || fr_path_ends_with(path, ".yml")) {
        return inspect_config(cli, path);
    }
    return inspect_model(cli, path);
}
