/* `forerun import`: a prefix of another program as a prefix file.
 *
 * The order: options and output, which cost nothing; the model's header; the foreign files; then the digest of the model's weights,
 * which reads all of them. A format is one line in SOURCES. */
#include "base/mem.h"
#include "base/output.h"
#include "base/print.h"
#include "base/task_name.h"
#include "cli/base_identity.h"
#include "cli/commands.h"
#include "cli/inference_options.h"
#include "model/files/where.h"
#include "train/exchange/peft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fr_option OPTIONS[] = {
    {"from", "FORMAT", "peft: the folder of an adapter (required)"},
    {"model", "MODEL",
     "the base it was trained over: GGUF file, Hugging Face folder, or OWNER/NAME in "
     "the "
     "hub's cache (required)"},
    {"output", "FILE.h5", "the prefix file to write (required)"},
    {"task", "NAME", "name of the task in it (default: imported)"},
    {"template", "T",
     "template of rows of text, e.g. \"{source}\\nSynopsis:{target}\", which the file "
     "keeps (default: none)"},
    {NULL, NULL, NULL},
};

const fr_command FR_IMPORT_COMMAND = {
    "import", "SOURCE",
    1,        "write a prefix that another program trained (PEFT) as a prefix file",
    OPTIONS,  NULL};

/* What one import holds between its phases. */
typedef struct job {
    const fr_cli *cli;
    const char *source;
    const char *model;
    const char *output;
    const char *task_name;
    char *template_text;
    fr_base_identity base;
    fr_checkpoint *checkpoint;
} job;

/* Reads the prefix into the checkpoint's only task. */
typedef fr_status read_source(job *i, fr_checkpoint_task *task);

static fr_status read_peft(job *i, fr_checkpoint_task *task)
{
    fr_peft_config config;
    return fr_peft_read(i->cli->ctx, i->source, i->model,
                        fr_weights_arch(i->base.weights), &config, task);
}

static const struct source {
    const char *name;
    read_source *read;
} SOURCES[] = {
    {"peft", read_peft},
};

static fr_status find_source(const job *i, const struct source **out)
{
    const char *name = NULL;
    FR_TRY(fr_options_need(i->cli->ctx, i->cli->options, "from", &name));
    for (size_t s = 0; s < sizeof SOURCES / sizeof SOURCES[0]; s++) {
        if (strcmp(SOURCES[s].name, name) == 0) {
            *out = &SOURCES[s];
            return FR_OK;
        }
    }
    return FR_FAIL(i->cli->ctx, FR_ERR_ARG, "--from is %s; it must be peft", name);
}

static fr_status read_options(job *i)
{
    fr_ctx *ctx = i->cli->ctx;
    const fr_options *options = i->cli->options;
    const char *name = fr_options_text(options, "task");
    i->source = fr_options_positional(options, 0);
    FR_TRY(fr_options_need(ctx, options, "model", &i->model));
    FR_TRY(fr_options_need(ctx, options, "output", &i->output));
    FR_TRY(fr_template_option(ctx, options, &i->template_text));
    i->task_name = name != NULL ? name : "imported";
    if (!fr_task_name_check(i->task_name)) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--task is %s; use " FR_TASK_NAME_RULE,
                       i->task_name);
    }
    FR_TRY(fr_output_check(ctx, i->output));
    FR_TRY(fr_output_apart(ctx, "--output", i->output, "SOURCE", i->source));
    return fr_model_apart(ctx, "--output", i->output, "--model", i->model);
}

/* The other program keeps nothing of how rows are read, so they are read as over the base alone. */
static fr_status describe_reading(const job *i, fr_checkpoint_task *task)
{
    const fr_tokenizer *tokenizer = i->base.tokens.tokenizer;
    task->eos = i->base.tokens.ends.eos >= 0;
    task->leading_bos = tokenizer != NULL && fr_tokenizer_leading_bos(tokenizer) >= 0;
    FR_TRY(fr_copy_string(i->cli->ctx, i->task_name, &task->name));
    return i->template_text != NULL
               ? fr_copy_string(i->cli->ctx, i->template_text, &task->template_text)
               : FR_OK;
}

static fr_status describe_base(job *i)
{
    fr_ctx *ctx = i->cli->ctx;
    fr_checkpoint *c = i->checkpoint;
    FR_TRY(fr_base_identity_hash(ctx, i->cli->world, &i->base));
    memcpy(c->base_digest, i->base.digest, sizeof c->base_digest);
    FR_TRY(fr_copy_string(ctx, i->base.shape, &c->base_shape));
    FR_TRY(fr_copy_string(ctx, i->model, &c->base_path));
    return fr_copy_string(ctx, FORERUN_VERSION, &c->version);
}

static fr_status write_file(job *i)
{
    uint8_t *image = NULL;
    size_t bytes = 0;
    FR_TRY(fr_checkpoint_image(i->cli->ctx, i->output, i->checkpoint, &image, &bytes));
    fr_status status =
        fr_output_write(i->cli->ctx, i->output, (const char *)image, bytes);
    free(image);
    return status;
}

static fr_status run(job *i)
{
    const struct source *source = NULL;
    FR_TRY(find_source(i, &source));
    FR_TRY(read_options(i));
    FR_TRY(fr_base_identity_open(i->cli->ctx, i->model, &i->base));
    FR_TRY(fr_checkpoint_create(i->cli->ctx, 1, &i->checkpoint));
    fr_checkpoint_task *task = &i->checkpoint->tasks[0];
    FR_TRY(source->read(i, task));
    FR_TRY(describe_reading(i, task));
    FR_TRY(describe_base(i));
    FR_TRY(write_file(i));
    fr_log(i->cli->ctx, FR_LOG_INFO,
           "%s: task %s, %lld slots x %lld layers x %lld key/value heads x %lld",
           i->output, task->name, (long long)task->length, (long long)task->n_layers,
           (long long)task->n_kv_heads, (long long)task->head_dim);
    return FR_OK;
}

fr_status fr_cmd_import(const fr_cli *cli)
{
    job i = {.cli = cli};
    fr_status status = run(&i);
    fr_checkpoint_destroy(&i.checkpoint);
    fr_base_identity_close(&i.base);
    free(i.template_text);
    return status;
}
