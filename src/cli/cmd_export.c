/* `forerun export`: a prefix as files of another program.
 *
 * A format is one line in TARGETS. What every format needs is done before its own part: the prefix is read, and where --model names the
 * base, the prefix is compared with it. Windows are judged by `always_is_kept`: where other programs attend within a window, they
 * hide slots of a prefix that has moved out of it. */
#include "base/output.h"
#include "base/print.h"
#include "cli/base_identity.h"
#include "cli/commands.h"
#include "cli/inference_options.h"
#include "train/checkpoint/prefix_file.h"
#include "train/exchange/peft.h"

#include <stdio.h>
#include <string.h>

static const fr_option OPTIONS[] = {
    {"to", "FORMAT", "peft: the folder of an adapter PREFIX_TUNING (required)"},
    {"prefix", "FILE[:TASK]", "the prefix (required)"},
    {"model", "PATH",
     "the base, GGUF file or Hugging Face folder; the prefix must be of it"},
    {"base", "NAME",
     "peft: what the adapter calls its base (default: the path that the prefix names)"},
    {"anyway", NULL,
     "also a prefix that all tokens see over a base with windows, whose slots the "
     "other "
     "program hides from tokens far behind"},
    {NULL, NULL, NULL},
};

const fr_command FR_EXPORT_COMMAND = {
    "export", "TARGET", 1, "write a prefix as files of another program (PEFT)",
    OPTIONS};

/* What one export holds between its phases. */
typedef struct job {
    const fr_cli *cli;
    const char *target;
    const char *prefix;
    const char *model;     /* NULL: not named */
    fr_base_identity base; /* of `model`; zeros: not named */
    fr_checkpoint *checkpoint;
    const fr_checkpoint_task *task;
} job;

typedef struct target {
    const char *name;
    bool
        always_is_kept; /* its program shows all slots to all tokens, as `window: always` does */
    /* Before any work: whether `target` may be written. */
    fr_status (*check)(const job *e);
    fr_status (*write)(const job *e);
} target;

static fr_status check_peft(const job *e)
{
    return fr_peft_check_target(e->cli->ctx, e->target);
}

static fr_status write_peft(const job *e)
{
    const char *base = fr_options_text(e->cli->options, "base");
    if (base == NULL && e->checkpoint->base_path != NULL) {
        base = e->checkpoint->base_path;
    }
    FR_TRY(fr_peft_write(e->cli->ctx, e->target, e->task, base != NULL ? base : ""));
    fr_log(e->cli->ctx, FR_LOG_INFO,
           "%s: an adapter of %lld slots for the base %s; PEFT keeps no template: "
           "`forerun inspect` shows how rows of this prefix are read",
           e->target, (long long)e->task->length,
           base != NULL ? base : "without a name");
    return FR_OK;
}

static const target TARGETS[] = {
    {"peft", false, check_peft, write_peft},
};

static fr_status find_target(const job *e, const target **out)
{
    const char *name = NULL;
    FR_TRY(fr_options_need(e->cli->ctx, e->cli->options, "to", &name));
    for (size_t t = 0; t < sizeof TARGETS / sizeof TARGETS[0]; t++) {
        if (strcmp(TARGETS[t].name, name) == 0) {
            *out = &TARGETS[t];
            return FR_OK;
        }
    }
    char names[128] = "";
    size_t at = 0;
    for (size_t t = 0; t < sizeof TARGETS / sizeof TARGETS[0] && at < sizeof names;
         t++) {
        int n = snprintf(names + at, sizeof names - at, "%s%s", t > 0 ? " or " : "",
                         TARGETS[t].name);
        at += n > 0 ? (size_t)n : 0;
    }
    return FR_FAIL(e->cli->ctx, FR_ERR_ARG, "--to is %s; it must be %s", name, names);
}

static fr_status open_prefix(job *e)
{
    int64_t index = 0;
    FR_TRY(fr_prefix_file_open(e->cli->ctx, e->prefix, &e->checkpoint, &index));
    e->task = &e->checkpoint->tasks[index];
    return FR_OK;
}

/* As `eval` compares them: another shape is refused, other weights of the same shape give a warning. */
static fr_status check_model(job *e)
{
    fr_ctx *ctx = e->cli->ctx;
    const fr_checkpoint *c = e->checkpoint;
    if (e->model == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_base_identity_open(ctx, e->model, &e->base));
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
static fr_status find_windows(const job *e, bool *out)
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

static fr_status check_windows(const job *e, const target *to)
{
    bool has_windows = false;
    if (to->always_is_kept || e->task->slides) {
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

static fr_status run(job *e)
{
    fr_ctx *ctx = e->cli->ctx;
    const target *to = NULL;
    FR_TRY(find_target(e, &to));
    FR_TRY(fr_options_need(ctx, e->cli->options, "prefix", &e->prefix));
    e->target = fr_options_positional(e->cli->options, 0);
    e->model = fr_options_text(e->cli->options, "model");
    FR_TRY(fr_output_apart_prefix(ctx, "TARGET", e->target, "--prefix", e->prefix));
    FR_TRY(fr_output_apart(ctx, "TARGET", e->target, "--model", e->model));
    FR_TRY(to->check(e));
    FR_TRY(open_prefix(e));
    FR_TRY(check_model(e));
    FR_TRY(check_windows(e, to));
    return to->write(e);
}

fr_status fr_cmd_export(const fr_cli *cli)
{
    job e = {.cli = cli};
    fr_status status = run(&e);
    fr_checkpoint_destroy(&e.checkpoint);
    fr_base_identity_close(&e.base);
    return status;
}
