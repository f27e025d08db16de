#include "train/step/init_file.h"

#include "base/text.h"
#include "train/checkpoint/prefix_file.h"
#include "train/data/chat_identity.h"

#include <string.h>

/* The file may have more slots than the config asks for: the first ones are then taken. It may not have fewer,
 * because nothing says what the others would start from. */
fr_status fr_init_file_length(const fr_task_env *env, const fr_task_config *config,
                              int64_t *length)
{
    fr_checkpoint *checkpoint = NULL;
    int64_t index = 0;
    fr_status status =
        fr_prefix_file_open(env->ctx, config->prefix.text, &checkpoint, &index);
    if (status == FR_OK) {
        int64_t found = checkpoint->tasks[index].length;
        *length = config->prefix.length == FR_AUTO ? found : config->prefix.length;
        if (*length > found) {
            status = FR_FAIL(env->ctx, FR_ERR_CONFIG,
                             "tasks.%s.prefix.length is %lld, %s has %lld slots",
                             config->name, (long long)*length, config->prefix.text,
                             (long long)found);
        }
    }
    fr_checkpoint_destroy(&checkpoint);
    return status;
}

/* Keys and values of one layer mean nothing in another, so the ranges must be equal. */
static fr_status check_file_layers(const fr_task_env *env, const fr_task *task,
                                   const fr_checkpoint_task *file)
{
    const fr_layer_range *own = &task->layers;
    if (file->first_layer == own->first && file->n_layers == own->count) {
        return FR_OK;
    }
    return FR_FAIL(
        env->ctx, FR_ERR_CONFIG,
        "tasks.%s has a prefix on layers %lld to %lld, its init %s on layers "
        "%lld to %lld; set prefix.layers to {first: %lld, count: %lld}",
        task->config->name, (long long)own->first,
        (long long)(own->first + own->count - 1), task->config->prefix.text,
        (long long)file->first_layer,
        (long long)(file->first_layer + file->n_layers - 1),
        (long long)file->first_layer, (long long)file->n_layers);
}

/* The numbers can start either kind of prefix, but only under windows of the same kind do they mean what they meant. */
static void warn_of_window(const fr_task_env *env, const fr_task *task,
                           const fr_checkpoint_task *file)
{
    const fr_task_config *config = task->config;
    if (file->slides != config->prefix.slides && env->arch->window > 0) {
        fr_log(
            env->ctx, FR_LOG_WARN,
            "tasks.%s.prefix.window is %s, its init %s was trained with %s; training "
            "starts from another loss than the file's",
            config->name, config->prefix.slides ? "slides" : "always",
            config->prefix.text, file->slides ? "slides" : "always");
    }
}

/* What the file's prefix meant is not what this one will mean, or not all of it is taken. */
static void warn_of_use(const fr_task_env *env, const fr_task *task,
                        const fr_checkpoint_task *file)
{
    const fr_task_config *c = task->config;
    const fr_chat_settings now = task->chat != NULL
                                     ? fr_chat_settings_of(task->chat)
                                     : (fr_chat_settings){NULL, NULL, NULL};
    if (task->length < file->length) {
        fr_log(env->ctx, FR_LOG_WARN,
               "tasks.%s.prefix.length is %lld, and its init %s has %lld slots: the "
               "first %lld are taken",
               c->name, (long long)task->length, c->prefix.text,
               (long long)file->length, (long long)task->length);
    }
    if (c->chat && file->chat &&
        (fr_texts_differ(now.arguments, file->chat_arguments) ||
         fr_texts_differ(now.clock, file->chat_clock))) {
        fr_log(
            env->ctx, FR_LOG_WARN,
            "tasks.%s.chat has other arguments or another clock than its init %s was "
            "trained with",
            c->name, c->prefix.text);
    }
}

/* Every stage reads the whole file and takes its layers. The file is open to changes between the two readings,
 * hence the check of its length. Only the first slots of a longer file are copied. */
fr_status fr_init_from_file(const fr_task_env *env, fr_task *task)
{
    fr_checkpoint *checkpoint = NULL;
    int64_t index = 0;
    const char *reference = task->config->prefix.text;
    fr_status status = fr_prefix_file_open(env->ctx, reference, &checkpoint, &index);
    if (status == FR_OK) {
        const fr_checkpoint_task *t = &checkpoint->tasks[index];
        status = fr_prefix_file_check(env->ctx, reference, t, env->arch);
        if (status == FR_OK && t->length < task->length) {
            status =
                FR_FAIL(env->ctx, FR_ERR_CHECKPOINT,
                        "%s has a prefix of %lld slots now, and had one of %lld when "
                        "the run began; leave it alone while runs start",
                        reference, (long long)t->length, (long long)task->length);
        }
        if (status == FR_OK) {
            status = check_file_layers(env, task, t);
        }
        if (status == FR_OK && task->config->chat) {
            status = fr_chat_identity_check(env->ctx, reference, t, task->chat, false);
        }
        if (status == FR_OK) {
            warn_of_window(env, task, t);
            warn_of_use(env, task, t);
            /* The file's layers are as long as its own prefix, which may be longer than the task's. */
            int64_t stride = t->length * t->n_kv_heads * t->head_dim;
            size_t bytes = (size_t)task->layer_floats * sizeof(float);
            for (int64_t i = 0; i < task->local.count; i++) {
                int64_t to = i * task->layer_floats;
                int64_t from = (task->local.first - task->layers.first + i) * stride;
                memcpy(task->state.k + to, t->state.k + from, bytes);
                memcpy(task->state.v + to, t->state.v + from, bytes);
            }
        }
    }
    fr_checkpoint_destroy(&checkpoint);
    return status;
}
