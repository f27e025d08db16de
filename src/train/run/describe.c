#include "train/run/describe.h"

#include "base/mem.h"
#include "train/data/chat_identity.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Gives `kind` and `text` as one string, which the caller owns. */
static fr_status join(fr_ctx *ctx, const char *kind, const char *text, char **out)
{
    size_t bytes = strlen(kind) + strlen(text) + 1;
    FR_TRY(fr_alloc(ctx, (int64_t)bytes, 1, out));
    (void)snprintf(*out, bytes, "%s%s", kind, text);
    return FR_OK;
}

/* For people only: nothing reads it back, and a resume takes the init from the config. */
static fr_status describe_init(fr_ctx *ctx, const fr_task *task, char **out)
{
    enum { NUMBER_BYTES = 40 };
    char number[NUMBER_BYTES];
    const fr_task_config *config = task->config;
    switch (config->prefix.init) {
    case FR_INIT_TEXT:
        return task->init_note != NULL ? fr_copy_string(ctx, task->init_note, out)
                                       : join(ctx, "text: ", config->prefix.text, out);
    case FR_INIT_FILE:
        return join(ctx, "file: ", config->prefix.text, out);
    case FR_INIT_RANDOM:
        (void)snprintf(number, sizeof number, "random: %g", config->prefix.random_std);
        return fr_copy_string(ctx, number, out);
    case FR_INIT_ZERO:
    default:
        return fr_copy_string(ctx, "zero", out);
    }
}

void fr_describe_progress(const fr_task *task, fr_checkpoint_task *out)
{
    out->progress = task->progress;
    /* a file holds numbers: a validation that gave none counts as none */
    if (isnan(out->progress.valid_loss)) {
        out->progress.valid_loss = (double)INFINITY;
    }
}

static fr_status describe_task(const fr_task_env *env, const fr_task *task,
                               bool with_moments, fr_checkpoint_task *out)
{
    const fr_task_config *c = task->config;
    out->length = task->length;
    out->first_layer = task->layers.first;
    out->n_layers = task->layers.count;
    out->base_layers = env->arch->n_layers;
    out->slides = c->prefix.slides;
    out->n_kv_heads = env->arch->n_kv_heads;
    out->head_dim = env->arch->head_dim;
    /* Through float, as the kernels use it: equal models then have equal numbers, however their files write it. */
    out->base_norm_eps = (double)(float)env->arch->norm_eps;
    out->seed = c->seed;
    out->chat = c->chat;
    out->eos = c->eos;
    out->special = c->special;
    out->leading_bos = task->leading_bos;
    fr_dataset_digest(task->train, out->data_digest);
    memcpy(out->valid_digest, task->valid_digest, sizeof out->valid_digest);
    FR_TRY(fr_copy_string(env->ctx, c->name, &out->name));
    FR_TRY(fr_copy_optional(env->ctx, c->template_text, &out->template_text));
    if (c->chat) {
        FR_TRY(fr_chat_keep(env->ctx, task->chat, out));
    }
    FR_TRY(describe_init(env->ctx, task, &out->init));
    bool direct = task->reparam == NULL;
    FR_TRY(fr_checkpoint_task_alloc(env->ctx, out, with_moments && direct));
    return with_moments && !direct
               ? fr_mlp_init(env->ctx, &fr_reparam_state(task->reparam)->shape,
                             out->n_layers, &out->mlp)
               : FR_OK;
}

/* A checkpoint explains itself: with the config, the base and the program's version a run can be repeated from the
 * file alone. */
static fr_status describe_run(const fr_task_env *env, const fr_run_identity *identity,
                              fr_checkpoint *out)
{
    FR_TRY(fr_copy_optional(env->ctx, identity->config, &out->config));
    FR_TRY(fr_copy_optional(env->ctx, identity->shape, &out->base_shape));
    FR_TRY(fr_copy_optional(env->ctx, env->config->base.path, &out->base_path));
    FR_TRY(fr_copy_optional(env->ctx, identity->isa, &out->isa));
    FR_TRY(fr_copy_optional(env->ctx, identity->arithmetic, &out->arithmetic));
    FR_TRY(fr_copy_optional(env->ctx, identity->version, &out->version));
    memcpy(out->base_digest, identity->digest, FR_DIGEST_BYTES);
    return fr_copy_optional(env->ctx, identity->layout, &out->layout);
}

/* All memory is allocated here, so that filling it later cannot fail. */
fr_status fr_describe_tasks(const fr_task_env *env, const fr_run_identity *identity,
                            const fr_task *tasks, int64_t n_tasks, bool for_resume,
                            fr_checkpoint **out)
{
    FR_TRY(fr_checkpoint_create(env->ctx, n_tasks, out));
    fr_status status = describe_run(env, identity, *out);
    for (int64_t i = 0; status == FR_OK && i < n_tasks; i++) {
        status = describe_task(env, &tasks[i], for_resume, &(*out)->tasks[i]);
    }
    if (status != FR_OK) {
        fr_checkpoint_destroy(out);
    }
    return status;
}
