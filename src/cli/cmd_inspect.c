#include "base/file.h"
#include "cli/commands.h"
#include "model/identity.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fr_option OPTIONS[] = {
    {"tensors", NULL, "list every tensor of a model"},
    {NULL, NULL, NULL},
};

const fr_command FR_INSPECT_COMMAND = {
    "inspect", "FILE", 1, "what a model, prefix, checkpoint, config or data file holds",
    OPTIONS};

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);
    size_t m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool can_resume(const fr_checkpoint_task *task)
{
    return task->state.m_k != NULL || fr_mlp_is_there(&task->mlp);
}

static void print_task(const fr_checkpoint_task *task)
{
    char digest[FR_DIGEST_HEX];
    fr_digest_hex(task->data_digest, digest);
    (void)printf("task %s\n", task->name);
    (void)printf(
        "  prefix       %lld slots x %lld layers x %lld key/value heads x %lld\n",
        (long long)task->length, (long long)task->n_layers, (long long)task->n_kv_heads,
        (long long)task->head_dim);
    if (task->n_layers < task->base_layers) {
        (void)printf("  layers       %lld to %lld of 0 to %lld\n",
                     (long long)task->first_layer,
                     (long long)(task->first_layer + task->n_layers - 1),
                     (long long)(task->base_layers - 1));
    }
    (void)printf("  init         %s\n", task->init != NULL ? task->init : "unknown");
    (void)printf("  template     %s\n", task->template_text != NULL
                                            ? task->template_text
                                        : task->chat ? "the base's chat template"
                                                     : "none (pre-tokenised rows)");
    (void)printf("  rows         eos %s, special tokens in data %s, leading BOS %s\n",
                 task->eos ? "yes" : "no", task->special ? "yes" : "no",
                 task->leading_bos ? "yes" : "no");
    (void)printf("  step         %lld, next example %lld, seed %llu%s\n",
                 (long long)task->step, (long long)task->cursor,
                 (unsigned long long)task->seed, task->stopped ? ", finished" : "");
    if (isfinite(task->best_loss)) {
        (void)printf("  best         validation loss %.6f at step %lld\n",
                     task->best_loss, (long long)task->best_step);
    }
    (void)printf("  last loss    %.6f, %lld steps skipped\n", task->last_loss,
                 (long long)task->skipped);
    (void)printf("  data         sha256 %s\n", digest);
    if (fr_mlp_is_there(&task->mlp)) {
        (void)printf("  mlp          %lld hidden units over embeddings of %lld\n",
                     (long long)task->mlp.shape.hidden,
                     (long long)task->mlp.shape.width);
    }
    (void)printf("  optimizer    %s\n", can_resume(task) ? "state kept (can be resumed)"
                                                         : "no state (for inference)");
}

static fr_status inspect_checkpoint(const fr_cli *cli, const char *path)
{
    fr_checkpoint *c = NULL;
    char digest[FR_DIGEST_HEX];
    FR_TRY(fr_checkpoint_read(cli->ctx, path, &c));
    fr_digest_hex(c->base_digest, digest);
    (void)printf("Forerun %s, format %d.%lld, written by %s\n",
                 c->n_tasks > 0 && can_resume(&c->tasks[0]) ? "checkpoint" : "prefix",
                 (int)FR_CHECKPOINT_MAJOR, (long long)c->minor,
                 c->version != NULL ? c->version : "unknown");
    (void)printf("base           %s\n",
                 c->base_shape != NULL ? c->base_shape : "unknown");
    (void)printf("base file      %s, weights sha256 %s\n",
                 c->base_path != NULL ? c->base_path : "unknown", digest);
    (void)printf("computed with  %s, layout %s\n", c->isa != NULL ? c->isa : "unknown",
                 c->layout != NULL ? c->layout : "unknown");
    for (int64_t i = 0; i < c->n_tasks; i++) {
        print_task(&c->tasks[i]);
    }
    fr_checkpoint_destroy(&c);
    return FR_OK;
}

static fr_status print_tensors(const fr_cli *cli, const fr_weights *weights)
{
    char line[512];
    for (int64_t i = 0; i < fr_weights_n_tensors(weights); i++) {
        FR_TRY(fr_weights_describe(cli->ctx, weights, i, line, sizeof line));
        (void)printf("%s\n", line);
    }
    return FR_OK;
}

static void print_arch(const fr_weights *weights)
{
    const fr_arch *a = fr_weights_arch(weights);
    (void)printf("model          %s\n", fr_weights_path(weights));
    (void)printf("layers         %lld, width %lld, feed-forward %lld\n",
                 (long long)a->n_layers, (long long)a->d_model, (long long)a->d_ff);
    (void)printf("heads          %lld, key/value heads %lld, head width %lld\n",
                 (long long)a->n_heads, (long long)a->n_kv_heads,
                 (long long)a->head_dim);
    (void)printf("context        %lld tokens, vocabulary %lld, %s head\n",
                 (long long)a->context_length, (long long)a->vocab_size,
                 a->tied_head ? "tied" : "separate");
    (void)printf("tensors        %lld (--tensors lists them)\n",
                 (long long)fr_weights_n_tensors(weights));
    (void)printf("prefix         %lld numbers a slot\n",
                 (long long)(2 * a->n_layers * fr_arch_prefix_elements(a, 1)));
}

static fr_status inspect_model(const fr_cli *cli, const char *path)
{
    fr_weights *weights = NULL;
    fr_tokenizer *tokenizer = NULL;
    char *shape = NULL;
    FR_TRY(fr_weights_open(cli->ctx, path, &weights));
    fr_status status = fr_tokenizer_open(cli->ctx, path, &tokenizer);
    if (status == FR_ERR_DATA || status == FR_ERR_UNSUPPORTED) {
        (void)printf("tokenizer      %s\n", fr_ctx_error(cli->ctx));
        fr_ctx_clear_error(cli->ctx);
        status = FR_OK;
    }
    if (status == FR_OK) {
        status = fr_identity_shape(cli->ctx, weights, tokenizer, &shape);
    }
    if (status == FR_OK) {
        print_arch(weights);
        (void)printf("identity       %s\n", shape);
        if (fr_options_has(cli->options, "tensors")) {
            status = print_tensors(cli, weights);
        }
    }
    free(shape);
    fr_tokenizer_close(&tokenizer);
    fr_weights_close(&weights);
    return status;
}

static fr_status inspect_config(const fr_cli *cli, const char *path)
{
    fr_config *config = NULL;
    char *text = NULL;
    FR_TRY(fr_config_read(cli->ctx, path, NULL, 0, &config));
    fr_status status = fr_config_write(cli->ctx, config, &text);
    if (status == FR_OK) {
        (void)printf("%s", text);
    }
    free(text);
    fr_config_destroy(&config);
    return status;
}

/* Count lines; what they mean depends on a tokenizer and a template, which `eval` and `train` have. */
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
    fr_status status = fr_digest_of(cli->ctx, map.data, map.bytes, raw);
    if (status == FR_OK) {
        fr_digest_hex(raw, digest);
        (void)printf("rows           %lld lines, %zu bytes\nsha256         %s\n",
                     (long long)lines, map.bytes, digest);
    }
    fr_map_close(&map);
    return status;
}

fr_status fr_cmd_inspect(const fr_cli *cli)
{
    const char *path = fr_options_positional(cli->options, 0);
    if (fr_checkpoint_is_ours(path) || ends_with(path, ".h5")) {
        return inspect_checkpoint(cli, path);
    }
    if (ends_with(path, ".jsonl")) {
        return inspect_rows(cli, path);
    }
    if (ends_with(path, ".yaml") || ends_with(path, ".yml")) {
        return inspect_config(cli, path);
    }
    return inspect_model(cli, path);
}
