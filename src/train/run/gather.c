#include "train/run/gather.h"

#include "base/mem.h"
#include "train/data/chat_identity.h"
#include "train/step/best.h"
#include "train/step/stopping.h"

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

static fr_status join(fr_ctx *ctx, const char *kind, const char *text, char **out)
{
    size_t bytes = strlen(kind) + strlen(text) + 1;
    FR_TRY(fr_alloc(ctx, (int64_t)bytes, 1, out));
    (void)snprintf(*out, bytes, "%s%s", kind, text);
    return FR_OK;
}

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

/* What changes from step to step. */
static void describe_progress(const fr_task *task, fr_checkpoint_task *out)
{
    out->step = task->step;
    out->cursor = task->cursor;
    out->stopped = task->stopped;
    out->best_loss = task->best_loss;
    out->best_step = task->best_step;
    out->last_loss = task->last_loss;
    out->skipped = task->skipped;
    out->skipped_in_row = task->skipped_in_row;
    out->stale_validations = task->stale_validations;
    /* a file holds numbers: a validation that gave none counts as none */
    out->valid_loss = isnan(task->valid_loss) ? (double)INFINITY : task->valid_loss;
    out->base_loss = task->base_loss;
    out->init_loss = task->init_loss;
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
    out->base_norm_eps = (double)(float)env->arch->norm_eps;
    out->seed = c->seed;
    out->chat = c->chat;
    out->eos = c->eos;
    out->special = c->special;
    out->leading_bos = task->leading_bos;
    fr_dataset_digest(task->train, out->data_digest);
    memcpy(out->valid_digest, task->valid_digest, sizeof out->valid_digest);
    FR_TRY(fr_copy_string(env->ctx, c->name, &out->name));
    FR_TRY(copy_optional(env->ctx, c->template_text, &out->template_text));
    if (c->chat) {
        FR_TRY(fr_chat_identity(env->ctx, env->tokenizer, &out->chat_template_digest));
    }
    FR_TRY(describe_init(env->ctx, task, &out->init));
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
    FR_TRY(copy_optional(env->ctx, identity->arithmetic, &out->arithmetic));
    FR_TRY(copy_optional(env->ctx, identity->version, &out->version));
    memcpy(out->base_digest, identity->digest, FR_DIGEST_BYTES);
    return copy_optional(env->ctx, identity->layout, &out->layout);
}

/* ---- layers on their way to rank 0 ------------------------------------------------------------ */

enum { MAX_PARTS = N_ARRAYS + FR_MLP_ARRAYS };

/* One array of a task: this stage's layers, all layers (rank 0), floats of one layer. */
typedef struct part {
    const float *local;
    float *whole;
    int64_t floats;
    bool shared; /* the same on every rank: rank 0 has it already */
} part;

struct fr_gather {
    const fr_task_env *env;
    fr_grid *grid;
    fr_task *tasks;
    int64_t n_tasks;
    fr_gather_what what;
    int64_t *bounds; /* [n_tasks][n_stages + 1] first layer of every stage */
    float **copies;  /* [n_tasks] layers being sent; NULL on rank 0 */
    fr_checkpoint *into;
    int64_t n_missing; /* tasks yet to be taken */
    fr_request *requests;
    int64_t n_requests; /* under way */
};

static bool takes_part(const fr_gather *g)
{
    return g->grid->replica == 0;
}

static const int64_t *bounds_of(const fr_gather *g, int64_t task)
{
    return g->bounds + task * (g->grid->n_stages + 1);
}

static int list_parts(const fr_gather *g, int64_t index, part parts[MAX_PARTS])
{
    const fr_task *task = &g->tasks[index];
    const fr_checkpoint_task *out = g->into != NULL ? &g->into->tasks[index] : NULL;
    bool has_best = g->what == FR_GATHER_BEST && isfinite(task->best_loss);
    bool resumable = g->what == FR_GATHER_ALL;
    int n = resumable && task->reparam == NULL ? N_ARRAYS : 2;
    float *local[N_ARRAYS];
    float *whole[N_ARRAYS] = {NULL};
    list_arrays(has_best ? &task->best : &task->state, local);
    if (out != NULL) {
        list_arrays(&out->state, whole);
    }
    for (int i = 0; i < n; i++) {
        parts[i] = (part){local[i], whole[i], task->layer_floats, false};
    }
    if (resumable && task->reparam != NULL) {
        const fr_mlp_state *mlp = fr_reparam_state(task->reparam);
        for (int i = 0; i < FR_MLP_ARRAYS; i++) {
            fr_mlp_array array = fr_mlp_describe(&mlp->shape, i);
            parts[n++] = (part){mlp->arrays[i], out != NULL ? out->mlp.arrays[i] : NULL,
                                array.floats, array.shared};
        }
    }
    return n;
}

/* Where the layers of every stage begin among those with a prefix, known to all: a sum of one-hot contributions. */
static fr_status find_bounds(const fr_gather *g, int64_t index)
{
    const fr_grid *grid = g->grid;
    int64_t *bounds = g->bounds + index * (grid->n_stages + 1);
    bounds[grid->stage + 1] = g->tasks[index].local.count;
    FR_TRY(fr_group_allreduce(grid->pipeline, FR_SUM, bounds, grid->n_stages + 1));
    for (int s = 0; s < grid->n_stages; s++) {
        bounds[s + 1] += bounds[s];
    }
    return bounds[grid->n_stages] == g->tasks[index].layers.count
               ? FR_OK
               : FR_FAIL(g->env->ctx, FR_ERR_INTERNAL,
                         "stages hold %lld of %lld layers",
                         (long long)bounds[grid->n_stages],
                         (long long)g->tasks[index].layers.count);
}

static fr_status alloc_messages(fr_gather *g)
{
    fr_ctx *ctx = g->env->ctx;
    const fr_grid *grid = g->grid;
    int64_t n_messages = 0;
    FR_TRY(fr_alloc(ctx, g->n_tasks * (grid->n_stages + 1), sizeof *g->bounds,
                    &g->bounds));
    FR_TRY(fr_alloc(ctx, g->n_tasks, sizeof *g->copies, &g->copies));
    for (int64_t i = 0; i < g->n_tasks; i++) {
        part parts[MAX_PARTS];
        int n_parts = list_parts(g, i, parts);
        int64_t floats = 0;
        for (int p = 0; p < n_parts; p++) {
            floats += parts[p].shared ? 0 : parts[p].floats;
        }
        n_messages += n_parts;
        if (grid->stage != 0) {
            int64_t n_own = g->tasks[i].local.count;
            FR_TRY(fr_alloc(ctx, n_own * floats, sizeof(float), &g->copies[i]));
        }
    }
    n_messages *= grid->stage != 0 ? 1 : grid->n_stages - 1;
    return fr_alloc(ctx, n_messages, sizeof *g->requests, &g->requests);
}

fr_status fr_gather_create(const fr_task_env *env, fr_grid *grid, fr_task *tasks,
                           int64_t n_tasks, fr_gather_what what, fr_gather **out)
{
    fr_gather *g = NULL;
    fr_status status = fr_alloc(env->ctx, 1, sizeof *g, &g);
    if (status == FR_OK) {
        *g = (fr_gather){
            .env = env, .grid = grid, .tasks = tasks, .n_tasks = n_tasks, .what = what};
        status = takes_part(g) ? alloc_messages(g) : FR_OK;
    }
    status = fr_group_agree(grid->world, status);
    for (int64_t i = 0; status == FR_OK && takes_part(g) && i < n_tasks; i++) {
        status = find_bounds(g, i);
    }
    if (status != FR_OK) {
        fr_gather_destroy(&g);
    }
    *out = g;
    return status;
}

void fr_gather_destroy(fr_gather **gather)
{
    fr_gather *g = *gather;
    *gather = NULL;
    if (g == NULL) {
        return;
    }
    for (int64_t i = 0; g->copies != NULL && i < g->n_tasks; i++) {
        free(g->copies[i]);
    }
    free(g->copies);
    free(g->bounds);
    free(g->requests);
    free(g);
}

fr_status fr_gather_describe(const fr_gather *gather, const fr_run_identity *identity,
                             fr_checkpoint **out)
{
    const fr_task_env *env = gather->env;
    FR_TRY(fr_checkpoint_create(env->ctx, gather->n_tasks, out));
    fr_status status = describe_run(env, identity, *out);
    for (int64_t i = 0; status == FR_OK && i < gather->n_tasks; i++) {
        status = describe_task(env, &gather->tasks[i], gather->what == FR_GATHER_ALL,
                               &(*out)->tasks[i]);
    }
    if (status != FR_OK) {
        fr_checkpoint_destroy(out);
    }
    return status;
}

/* A tag a task: its arrays come in order, tasks in any. */
static fr_status expect_task(fr_gather *g, int64_t index)
{
    const int64_t *bounds = bounds_of(g, index);
    part parts[MAX_PARTS];
    int n = list_parts(g, index, parts);
    for (int p = 0; p < n; p++) {
        for (int s = 1; s < g->grid->n_stages; s++) {
            int64_t layers = parts[p].shared ? 0 : bounds[s + 1] - bounds[s];
            float *place = parts[p].whole + bounds[s] * parts[p].floats;
            int64_t bytes = layers * parts[p].floats * (int64_t)sizeof *place;
            if (bytes > 0) {
                FR_TRY(fr_group_receive_begin(g->grid->pipeline, s,
                                              TAG_GATHER + (int)index, place, bytes,
                                              &g->requests[g->n_requests++]));
            }
        }
    }
    return FR_OK;
}

fr_status fr_gather_begin(fr_gather *gather, fr_checkpoint *into)
{
    if (!takes_part(gather)) {
        return FR_OK;
    }
    FR_TRY(fr_gather_wait(gather));
    gather->into = into;
    gather->n_missing = gather->n_tasks;
    for (int64_t i = 0; into != NULL && i < gather->n_tasks; i++) {
        FR_TRY(expect_task(gather, i));
    }
    return FR_OK;
}

static fr_status send_parts(fr_gather *g, int64_t index, const part *parts, int n)
{
    const int64_t *bounds = bounds_of(g, index);
    int64_t n_own = bounds[g->grid->stage + 1] - bounds[g->grid->stage];
    float *copy = g->copies[index];
    for (int p = 0; p < n; p++) {
        int64_t floats = parts[p].shared ? 0 : n_own * parts[p].floats;
        if (floats > 0) {
            memcpy(copy, parts[p].local, (size_t)floats * sizeof *copy);
            FR_TRY(fr_group_send_begin(g->grid->pipeline, 0, TAG_GATHER + (int)index,
                                       copy, floats * (int64_t)sizeof *copy,
                                       &g->requests[g->n_requests++]));
            copy += floats;
        }
    }
    return FR_OK;
}

fr_status fr_gather_task(fr_gather *gather, int64_t task)
{
    part parts[MAX_PARTS];
    if (!takes_part(gather)) {
        return FR_OK;
    }
    int n = list_parts(gather, task, parts);
    gather->n_missing--;
    if (gather->grid->stage != 0) {
        return send_parts(gather, task, parts, n);
    }
    describe_progress(&gather->tasks[task], &gather->into->tasks[task]);
    for (int p = 0; p < n; p++) {
        int64_t layers = parts[p].shared ? 1 : bounds_of(gather, task)[1];
        memcpy(parts[p].whole, parts[p].local,
               (size_t)(layers * parts[p].floats) * sizeof(float));
    }
    return FR_OK;
}

fr_status fr_gather_test(fr_gather *gather, bool *is_done)
{
    int64_t kept = 0;
    fr_status status = FR_OK;
    for (int64_t i = 0; status == FR_OK && i < gather->n_requests; i++) {
        bool over = false;
        status = fr_group_test(gather->grid->pipeline, &gather->requests[i], &over);
        if (!over) {
            gather->requests[kept++] = gather->requests[i];
        }
    }
    gather->n_requests = kept;
    *is_done = kept == 0 && gather->n_missing == 0;
    return status;
}

fr_status fr_gather_wait(fr_gather *gather)
{
    for (; gather->n_requests > 0; gather->n_requests--) {
        FR_TRY(fr_group_wait(gather->grid->pipeline,
                             &gather->requests[gather->n_requests - 1]));
    }
    return FR_OK;
}

/* ---- back to the ranks ------------------------------------------------------------------------ */

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
            "from a checkpoint-STEP.h5",
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
    task->step = saved->step;
    task->cursor = saved->cursor;
    task->best_loss = saved->best_loss;
    task->best_step = saved->best_step;
    task->last_loss = saved->last_loss;
    task->skipped = saved->skipped;
    task->skipped_in_row = saved->skipped_in_row;
    task->stale_validations = saved->stale_validations;
    task->valid_loss = saved->valid_loss;
    task->base_loss = saved->base_loss;
    task->init_loss = saved->init_loss;
    FR_TRY(fr_best_recall(env, path, checkpoint, saved, task));
    (void)fr_task_decide(task, env->config->run.nonfinite_limit);
    return FR_OK;
}
