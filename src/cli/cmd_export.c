/* `forerun export`: a prefix as files of another program.
 *
 * A format is one line in FORMATS. What every format needs is done before its own part: the prefix is read, and where --model
 * names the base, the prefix is compared with it. */
#include "base/output.h"
#include "cli/export.h"
#include "cli/inference_options.h"
#include "model/files/where.h"
#include "train/checkpoint/prefix_file.h"

#include <stdio.h>
#include <string.h>

static const fr_option OPTIONS[] = {
    {"to", "FORMAT",
     "peft: the folder of an adapter PREFIX_TUNING; llama.cpp: a state file "
     "(required)"},
    {"prefix", "FILE[:TASK]", "the prefix (required)"},
    {"model", "MODEL",
     "the base, GGUF file, Hugging Face folder or OWNER/NAME in the hub's cache; the "
     "prefix must be of it (llama.cpp: required, the GGUF file that it loads)"},
    FR_EXPORT_PEFT_OPTIONS,
    FR_EXPORT_LLAMA_OPTIONS,
    {NULL, NULL, NULL},
};

const fr_command FR_EXPORT_COMMAND = {
    "export", "TARGET",
    1,        "write a prefix as files of another program (PEFT, llama.cpp)",
    OPTIONS,  NULL};

static const fr_export_format *const FORMATS[] = {&FR_EXPORT_PEFT, &FR_EXPORT_LLAMA};
enum { N_FORMATS = sizeof FORMATS / sizeof FORMATS[0] };

static fr_status find_format(const fr_export *e, const fr_export_format **out)
{
    const char *name = NULL;
    FR_TRY(fr_options_need(e->cli->ctx, e->cli->options, "to", &name));
    for (int i = 0; i < N_FORMATS; i++) {
        if (strcmp(FORMATS[i]->name, name) == 0) {
            *out = FORMATS[i];
            return FR_OK;
        }
    }
    return FR_FAIL(e->cli->ctx, FR_ERR_ARG, "--to is %s; it must be peft or llama.cpp",
                   name);
}

/* An option that would change nothing is a mistake. */
static fr_status check_options(const fr_export *e, const fr_export_format *to)
{
    for (int i = 0; i < N_FORMATS; i++) {
        const char *at = FORMATS[i]->options;
        while (FORMATS[i] != to && *at != '\0') {
            enum { NAME_BYTES = 32 };
            char name[NAME_BYTES];
            size_t n = strcspn(at, " ");
            (void)snprintf(name, sizeof name, "%.*s", (int)n, at);
            if (fr_options_has(e->cli->options, name)) {
                return FR_FAIL(e->cli->ctx, FR_ERR_ARG,
                               "--%s is for --to %s alone; leave it out", name,
                               FORMATS[i]->name);
            }
            at += n + strspn(at + n, " ");
        }
    }
    return FR_OK;
}

static fr_status open_prefix(fr_export *e)
{
    int64_t index = 0;
    FR_TRY(fr_prefix_file_open(e->cli->ctx, e->prefix, &e->checkpoint, &index));
    e->task = &e->checkpoint->tasks[index];
    return FR_OK;
}

/* As `eval` compares them: another shape is refused, other weights of the same shape give a warning. */
static fr_status check_model(fr_export *e, const fr_export_format *to)
{
    fr_ctx *ctx = e->cli->ctx;
    const fr_checkpoint *c = e->checkpoint;
    if (e->model == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_base_identity_open(ctx, e->model, &e->base));
    FR_TRY(to->check_base != NULL ? to->check_base(e) : FR_OK);
    const fr_arch *arch = fr_weights_arch(e->base.weights);
    FR_TRY(fr_prefix_file_check(ctx, e->prefix, e->task, arch));
    FR_TRY(
        fr_identity_check_eps(ctx, e->prefix, e->task->base_norm_eps, arch->norm_eps));
    if (c->base_shape == NULL) {
        fr_log(
            ctx, FR_LOG_WARN,
            "%s does not name its base; only its sizes were compared with those of %s",
            e->prefix, e->model);
        return FR_OK;
    }
    FR_TRY(fr_base_identity_hash(ctx, e->cli->world, &e->base));
    return fr_identity_check(ctx, e->prefix, c->base_shape, c->base_digest,
                             e->base.shape, e->base.digest, false);
}

/* The file names its base's windows; one that was made by hand may not name its base. */
static fr_status find_windows(const fr_export *e, bool *out)
{
    const char *shape =
        e->base.shape != NULL ? e->base.shape : e->checkpoint->base_shape;
    if (shape == NULL) {
        return FR_FAIL(e->cli->ctx, FR_ERR_ARG,
                       "%s does not name its base, whose windows must be known; name "
                       "the base by --model",
                       e->prefix);
    }
    *out = fr_identity_has_windows(shape);
    return FR_OK;
}

static fr_status check_windows(const fr_export *e, const fr_export_format *to)
{
    bool has_windows = false;
    if (to->knows_windows || e->task->slides) {
        return FR_OK;
    }
    FR_TRY(find_windows(e, &has_windows));
    if (!has_windows) {
        return FR_OK;
    }
    if (!fr_options_has(e->cli->options, "anyway")) {
        return FR_FAIL(e->cli->ctx, FR_ERR_UNSUPPORTED,
                       "%s: all tokens see all slots of this prefix (prefix.window: "
                       "always), but the base has layers with a window, in which %s "
                       "hides slots from tokens far behind; train with `window: "
                       "slides`, or give --anyway for short texts",
                       e->prefix, to->name);
    }
    fr_log(e->cli->ctx, FR_LOG_WARN,
           "%s: in layers with a window %s hides slots of this prefix from tokens far "
           "behind; results there differ from Forerun's",
           e->prefix, to->name);
    return FR_OK;
}

static fr_status run(fr_export *e)
{
    fr_ctx *ctx = e->cli->ctx;
    const fr_export_format *to = NULL;
    FR_TRY(find_format(e, &to));
    FR_TRY(check_options(e, to));
    FR_TRY(fr_options_need(ctx, e->cli->options, "prefix", &e->prefix));
    e->target = fr_options_positional(e->cli->options, 0);
    e->model = fr_options_text(e->cli->options, "model");
    FR_TRY(fr_output_apart_prefix(ctx, "TARGET", e->target, "--prefix", e->prefix));
    FR_TRY(fr_model_apart(ctx, "TARGET", e->target, "--model", e->model));
    FR_TRY(to->check(e));
    FR_TRY(open_prefix(e));
    FR_TRY(check_model(e, to));
    FR_TRY(check_windows(e, to));
    return to->write(e);
}

fr_status fr_cmd_export(const fr_cli *cli)
{
    fr_export e = {.cli = cli};
    fr_status status = run(&e);
    fr_checkpoint_destroy(&e.checkpoint);
    fr_base_identity_close(&e.base);
    return status;
}
