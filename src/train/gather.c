#include "train/gather.h"

#include "base/mem.h"
#include "train/stopping.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAG_GATHER = 10, N_ARRAYS = 6 };

/* The arrays of a state in file order; the first two alone for a prefix for inference. */
static void list_arrays(const fr_prefix_state *state, float *arrays[N_ARRAYS])
{
    float *const all[N_ARRAYS] = {state->k,   state->v,   state->m_k,
                                  state->m_v, state->s_k, state->s_v};
    memcpy(arrays, all, sizeof all);
}

static fr_status copy_optional(fr_ctx *ctx, const char *text, char **out)
{
    return text != NULL ? fr_copy_string(ctx, text, out) : FR_OK;
}

static fr_status describe_init(fr_ctx *ctx, const fr_task_config *config, char **out)
{
    enum { TEXT_BYTES = 1024 };
    char text[TEXT_BYTES];
    switch (config->prefix.init) {
    case FR_INIT_TEXT:
        (void)snprintf(text, sizeof text, "text: %s", config->prefix.text);
        break;
    case FR_INIT_FILE:
        (void)snprintf(text, sizeof text, "file: %s", config->prefix.text);
        break;
    case FR_INIT_RANDOM:
        (void)snprintf(text, sizeof text, "random: %g", config->prefix.random_std);
        break;
    case FR_INIT_ZERO:
    default:
        (void)snprintf(text, sizeof text, "zero");
        break;
    }
    return fr_copy_string(ctx, text, out);
}

static fr_status describe_task(const fr_task_env *env, const fr_task *task,
                               bool with_moments, fr_checkpoint_task *out)
{
    const fr_task_config *c = task->config;
    out->length = task->length;
    out->first_layer = task->layers.first;
    out->n_layers = task->layers.count;
    out->base_layers = env->arch->n_layers;
    out->n_kv_heads = env->arch->n_kv_heads;
    out->head_dim = env->arch->head_dim;
    out->seed = c->seed;
    out->step = task->step;
    out->cursor = task->cursor;
    out->stopped = task->stopped;
    out->best_loss = task->best_loss;
    out->best_step = task->best_step;
    out->last_loss = task->last_loss;
    out->skipped = task->skipped;
    out->skipped_in_row = task->skipped_in_row;
    out->stale_validations = task->stale_validations;
    out->valid_loss = task->valid_loss;
    out->chat = c->chat;
    out->eos = c->eos;
    out->special = c->special;
    out->leading_bos = task->leading_bos;
    fr_dataset_digest(task->train, out->data_digest);
    FR_TRY(fr_copy_string(env->ctx, c->name, &out->name));
    FR_TRY(copy_optional(env->ctx, c->template_text, &out->template_text));
    FR_TRY(describe_init(env->ctx, c, &out->init));
    bool direct = task->reparam == NULL;
    FR_TRY(fr_checkpoint_task_alloc(env->ctx, out, with_moments && direct));
    return with_moments && !direct
               ? fr_mlp_init(env->ctx, &fr_reparam_state(task->reparam)->shape,
                             out->n_layers, &out->mlp)
               : FR_OK;
}

static fr_status describe_run(const fr_task_env *env, const fr_run_identity *identity,
                              fr_checkpoint *out)
{
    FR_TRY(copy_optional(env->ctx, identity->config, &out->config));
    FR_TRY(copy_optional(env->ctx, identity->shape, &out->base_shape));
    FR_TRY(copy_optional(env->ctx, env->config->base.path, &out->base_path));
    FR_TRY(copy_optional(env->ctx, identity->isa, &out->isa));
    FR_TRY(copy_optional(env->ctx, identity->version, &out->version));
    memcpy(out->base_digest, identity->digest, FR_DIGEST_BYTES);
    return copy_optional(env->ctx, identity->layout, &out->layout);
}

/* The stages of replica 0 send their layers of an array in turn, `floats` a layer; stage 0 is rank 0 and copies
 * its own. */
static fr_status collect_array(fr_grid *grid, int64_t floats, const int64_t *bounds,
                               const float *local, float *whole)
{
    int64_t bytes = floats * (int64_t)sizeof(float);
    int64_t n_own = bounds[grid->stage + 1] - bounds[grid->stage];
    if (grid->stage != 0) {
        return fr_group_send(grid->pipeline, 0, TAG_GATHER, local, n_own * bytes);
    }
    memcpy(whole, local, (size_t)(n_own * bytes));
    for (int s = 1; s < grid->n_stages; s++) {
        FR_TRY(fr_group_receive(grid->pipeline, s, TAG_GATHER,
                                whole + bounds[s] * floats,
                                (bounds[s + 1] - bounds[s]) * bytes));
    }
    return FR_OK;
}

static fr_status collect_task(fr_grid *grid, const fr_task *task,
                              const fr_prefix_state *source, int n_arrays,
                              const int64_t *bounds, const fr_prefix_state *whole)
{
    float *local[N_ARRAYS];
    float *target[N_ARRAYS] = {NULL};
    list_arrays(source, local);
    if (whole != NULL) {
        list_arrays(whole, target);
    }
    for (int i = 0; i < n_arrays; i++) {
        FR_TRY(collect_array(grid, task->layer_floats, bounds, local[i], target[i]));
    }
    return FR_OK;
}

/* What is shared is the same on every rank: rank 0 has it already. */
static fr_status collect_mlp(fr_grid *grid, const fr_mlp_state *local,
                             const int64_t *bounds, const fr_mlp_state *whole)
{
    for (int i = 0; i < FR_MLP_ARRAYS; i++) {
        fr_mlp_array array = fr_mlp_describe(&local->shape, i);
        float *target = whole != NULL ? whole->arrays[i] : NULL;
        if (!array.shared) {
            FR_TRY(collect_array(grid, array.floats, bounds, local->arrays[i], target));
        } else if (whole != NULL) {
            memcpy(target, local->arrays[i], (size_t)array.floats * sizeof *target);
        }
    }
    return FR_OK;
}

/* Where the layers of every stage begin among those with a prefix, known to all: a sum of one-hot contributions. */
static fr_status find_bounds(const fr_task_env *env, fr_grid *grid, const fr_task *task,
                             int64_t *bounds)
{
    memset(bounds, 0, (size_t)(grid->n_stages + 1) * sizeof *bounds);
    bounds[grid->stage + 1] = task->local.count;
    FR_TRY(fr_group_allreduce(grid->pipeline, FR_SUM, bounds, grid->n_stages + 1));
    for (int s = 0; s < grid->n_stages; s++) {
        bounds[s + 1] += bounds[s];
    }
    return bounds[grid->n_stages] == task->layers.count
               ? FR_OK
               : FR_FAIL(env->ctx, FR_ERR_INTERNAL, "stages hold %lld of %lld layers",
                         (long long)bounds[grid->n_stages],
                         (long long)task->layers.count);
}

static fr_status fill_tasks(const fr_task_env *env, fr_grid *grid, fr_task *tasks,
                            int64_t n_tasks, bool best, bool with_moments,
                            fr_checkpoint *out)
{
    int64_t *bounds = NULL;
    fr_status status = fr_alloc(env->ctx, grid->n_stages + 1, sizeof *bounds, &bounds);
    for (int64_t i = 0; status == FR_OK && i < n_tasks; i++) {
        bool direct = tasks[i].reparam == NULL;
        bool has_best = best && isfinite(tasks[i].best_loss);
        const fr_prefix_state *source = has_best ? &tasks[i].best : &tasks[i].state;
        const fr_prefix_state *whole = out != NULL ? &out->tasks[i].state : NULL;
        status = find_bounds(env, grid, &tasks[i], bounds);
        if (status == FR_OK) {
            status = collect_task(grid, &tasks[i], source,
                                  with_moments && direct ? N_ARRAYS : 2, bounds, whole);
        }
        if (status == FR_OK && with_moments && !direct) {
            status = collect_mlp(grid, fr_reparam_state(tasks[i].reparam), bounds,
                                 out != NULL ? &out->tasks[i].mlp : NULL);
        }
    }
    free(bounds);
    return status;
}

fr_status fr_gather(const fr_task_env *env, fr_grid *grid,
                    const fr_run_identity *identity, fr_task *tasks, int64_t n_tasks,
                    bool best, bool with_moments, fr_checkpoint **out)
{
    fr_checkpoint *checkpoint = NULL;
    fr_status status = FR_OK;
    *out = NULL;
    if (fr_group_rank(grid->world) == 0) {
        status = fr_checkpoint_create(env->ctx, n_tasks, &checkpoint);
        if (status == FR_OK) {
            status = describe_run(env, identity, checkpoint);
        }
        for (int64_t i = 0; status == FR_OK && i < n_tasks; i++) {
            status = describe_task(env, &tasks[i], with_moments, &checkpoint->tasks[i]);
        }
    }
    status = fr_group_agree(grid->world, status);
    if (status == FR_OK && grid->replica == 0) {
        status = fill_tasks(env, grid, tasks, n_tasks, best, with_moments, checkpoint);
    }
    if (status != FR_OK) {
        fr_checkpoint_destroy(&checkpoint);
    }
    *out = checkpoint;
    return status;
}

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
    bool with_mlp = fr_mlp_is_there(&saved->mlp);
    if (!with_mlp && saved->state.m_k == NULL) {
        return FR_FAIL(
            env->ctx, FR_ERR_CHECKPOINT,
            "%s is a prefix for inference and holds no optimizer state; resume "
            "from a checkpoint-STEP.h5, or start anew with prefix.init file",
            path);
    }
    FR_TRY(check_mlp(env, path, saved, task));
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

static void restore_state(const fr_prefix_state *saved, fr_task *task)
{
    float *from[N_ARRAYS];
    float *to[N_ARRAYS];
    list_arrays(saved, from);
    list_arrays(&task->state, to);
    for (int i = 0; i < (task->reparam == NULL ? N_ARRAYS : 2); i++) {
        memcpy(to[i], from[i] + local_layer(task) * task->layer_floats,
               (size_t)task->n_local * sizeof(float));
    }
}

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
    const fr_checkpoint_task *saved = NULL;
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        if (strcmp(checkpoint->tasks[i].name, task->config->name) == 0) {
            saved = &checkpoint->tasks[i];
        }
    }
    *found = saved != NULL;
    if (saved == NULL) {
        return FR_OK;
    }
    FR_TRY(check_fit(env, path, saved, task));
    restore_state(&saved->state, task);
    if (task->reparam != NULL) {
        FR_TRY(restore_mlp(&saved->mlp, local_layer(task), task->reparam));
    }
    task->step = saved->step;
    task->cursor = saved->cursor;
    task->best_loss = saved->best_loss;
    task->best_step = saved->best_step;
    task->last_loss = saved->last_loss;
    task->skipped = saved->skipped;
    task->skipped_in_row = saved->skipped_in_row;
    task->stale_validations = saved->stale_validations;
    task->valid_loss = saved->valid_loss;
    (void)fr_task_decide(task, env->config->run.nonfinite_limit);
    return FR_OK;
}
