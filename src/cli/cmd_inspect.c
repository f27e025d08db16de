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
#include "cli/checkpoint_report.h"
#include "cli/commands.h"
#include "cli/path_ending.h"
#include "model/files/where.h"
#include "model/text/tokens.h"
#include "model/weights/identity.h"
#include "train/checkpoint/checkpoint.h"
#include "train/config/config.h"
#include "train/data/data.h"
#include "train/data/row_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const fr_option OPTIONS[] = {
    {"tensors", NULL, "list every tensor of a model"},
    {NULL, NULL, NULL},
};

const fr_command FR_INSPECT_COMMAND = {
    "inspect", "FILE",
    1,         "print what a model, prefix, checkpoint, config or data file holds",
    OPTIONS,   NULL};

static fr_status inspect_checkpoint(const fr_cli *cli, const char *path)
{
    fr_checkpoint *c = NULL;
    FR_TRY(fr_checkpoint_read(cli->ctx, path, &c));
    fr_report_file(c);
    fr_status status = FR_OK;
    for (int64_t i = 0; i < c->n_tasks && status == FR_OK; i++) {
        status = fr_report_task(cli->ctx, &c->tasks[i]);
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

static void print_files(const fr_weights *weights)
{
    if (fr_weights_n_files(weights) > 1) {
        fr_print_line(stdout, "weights        in %lld files",
                      (long long)fr_weights_n_files(weights));
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
        print_files(weights);
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
    fr_rows_kind kind;
    int64_t lines = 0;
    char digest[FR_DIGEST_HEX];
    uint8_t raw[FR_DIGEST_BYTES];
    FR_TRY(fr_map_open(cli->ctx, path, &map));
    for (size_t i = 0; i < map.bytes; i++) {
        lines += map.data[i] == '\n';
    }
    lines += map.bytes > 0 && map.data[map.bytes - 1] != '\n';
    fr_status status = fr_rows_check_file(cli->ctx, path, map.data, map.bytes, &kind);
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

static fr_status inspect_path(const fr_cli *cli, const char *path)
{
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

fr_status fr_cmd_inspect(const fr_cli *cli)
{
    char *path = NULL;
    FR_TRY(fr_model_find(cli->ctx, fr_options_positional(cli->options, 0),
                         FR_MODEL_WHOLE, &path));
    fr_status status = inspect_path(cli, path);
    free(path);
    return status;
}
