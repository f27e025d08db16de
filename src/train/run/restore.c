#include "train/run/restore.h"

#include "train/step/best.h"
#include "train/step/stopping.h"

#include <string.h>

/* An MLP of another shape has other moments, and a prefix without one cannot get them: the shapes must be equal. */
static fr_status check_mlp(const fr_task_env *env, const char *path,
                           const fr_checkpoint_task *saved, const fr_task *task)
{
    static const fr_mlp_shape NONE = {0};
    const fr_mlp_shape *have = fr_mlp_is_there(&saved->mlp) ? &saved->mlp.shape : &NONE;
    const fr_mlp_shape *want =
        task->reparam != NULL ? &fr_reparam_state(task->reparam)->shape : &NONE;
    if (fr_mlp_same_shape(have, want)) {
        return FR_OK;
    }
    return FR_FAIL(env->ctx, FR_ERR_CHECKPOINT,
                   "%s: task %s has an MLP of %lld hidden units x %lld (0: none), the "
                   "run wants %lld x %lld; resume with the config it was started with",
                   path, saved->name, (long long)have->hidden, (long long)have->width,
                   (long long)want->hidden, (long long)want->width);
}

/* All that the arrays and the order of examples depend on. Rules of stopping, learning rates and the like are not
 * checked here: they may change at a resume (config_resume.c). */
static fr_status check_fit(const fr_task_env *env, const char *path,
                           const fr_checkpoint_task *saved, const fr_task *task)
{
    uint8_t digest[FR_DIGEST_BYTES];
    fr_dataset_digest(task->train, digest);
    if (saved->length != task->length || saved->first_layer != task->layers.first ||
        saved->n_layers != task->layers.count ||
        saved->n_kv_heads != env->arch->n_kv_heads ||
        saved->head_dim != env->arch->head_dim) {
        return FR_FAIL(env->ctx, FR_ERR_CHECKPOINT,
                       "%s: task %s has a prefix of %lld slots x %lld layers from %lld "
                       "on, the run "
                       "wants %lld x %lld from %lld on; resume with the config it was "
                       "started with",
                       path, saved->name, (long long)saved->length,
                       (long long)saved->n_layers, (long long)saved->first_layer,
                       (long long)task->length, (long long)task->layers.count,
                       (long long)task->layers.first);
    }
    if (saved->slides != task->config->prefix.slides) {
        return FR_FAIL(
            env->ctx, FR_ERR_CHECKPOINT,
            "%s: task %s has prefix.window %s, the run wants %s; resume with "
            "the config it was started with",
            path, saved->name, saved->slides ? "slides" : "always",
            task->config->prefix.slides ? "slides" : "always");
    }
    bool with_mlp = fr_mlp_is_there(&saved->mlp);
    if (!with_mlp && saved->state.m_k == NULL) {
        return FR_FAIL(
            env->ctx, FR_ERR_CHECKPOINT,
            "%s is a prefix for inference and holds no optimizer state; resume "
            "from a checkpoint-STEP.h5",
            path);
    }
    FR_TRY(check_mlp(env, path, saved, task));
    /* Other rows would continue the order of examples at a cursor that means something else. */
    if (memcmp(saved->data_digest, digest, sizeof digest) != 0) {
        return FR_FAIL(
            env->ctx, FR_ERR_CHECKPOINT,
            "%s: task %s was trained on other data than %s now holds; restore "
            "the file or start a new run folder",
            path, saved->name, task->config->train);
    }
    return FR_OK;
}

/* This rank's first layer in a checkpoint's arrays. */
static int64_t local_layer(const fr_task *task)
{
    return task->local.first - task->layers.first;
}

/* Checkpoints hold whole prefixes and no ranks, so a run may be resumed on any layout. With an MLP only K and V are
 * arrays of the prefix; the moments belong to the MLP. */
static void restore_state(const fr_prefix_state *saved, fr_task *task)
{
    float *from[FR_PREFIX_ARRAYS];
    float *to[FR_PREFIX_ARRAYS];
    fr_prefix_list_arrays(saved, from);
    fr_prefix_list_arrays(&task->state, to);
    for (int i = 0; i < (task->reparam == NULL ? FR_PREFIX_ARRAYS : 2); i++) {
        /* Layers are contiguous in both arrays, so a stage takes one piece of each. */
        memcpy(to[i], from[i] + local_layer(task) * task->layer_floats,
               (size_t)task->n_local * sizeof(float));
    }
}

/* Shared arrays are taken whole, the others from this rank's first layer on. H is in no file and is computed again. */
static fr_status restore_mlp(const fr_mlp_state *saved, int64_t first_layer,
                             fr_reparam *reparam)
{
    fr_mlp_state *local = fr_reparam_state(reparam);
    for (int i = 0; i < FR_MLP_ARRAYS; i++) {
        fr_mlp_array array = fr_mlp_describe(&local->shape, i);
        int64_t skipped = array.shared ? 0 : first_layer * array.floats;
        int64_t n = array.floats * (array.shared ? 1 : local->n_layers);
        memcpy(local->arrays[i], saved->arrays[i] + skipped, (size_t)n * sizeof(float));
    }
    return fr_reparam_hidden(reparam);
}

fr_status fr_restore_task(const fr_task_env *env, const char *path,
                          const fr_checkpoint *checkpoint, fr_task *task, bool *found)
{
    const fr_checkpoint_task *saved =
        fr_checkpoint_task_named(checkpoint, task->config->name);
    *found = saved != NULL;
    if (saved == NULL) {
        return FR_OK;
    }
    FR_TRY(check_fit(env, path, saved, task));
    restore_state(&saved->state, task);
    if (task->reparam != NULL) {
        FR_TRY(restore_mlp(&saved->mlp, local_layer(task), task->reparam));
    }
    task->progress = saved->progress;
    FR_TRY(fr_best_recall(env, path, checkpoint, saved, task));
    /* The rules may have changed since: a task that had stopped may go on, or the other way round. */
    (void)fr_task_decide(task, env->config->run.nonfinite_limit);
    return FR_OK;
}
