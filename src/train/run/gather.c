/* The tasks' layers on their way to rank 0.
 *
 * A part is one array of a task: K, V, a moment, an array of the MLP. Stage s of replica 0 sends its layers of each
 * part to stage 0 of replica 0, which is rank 0 and receives them into the whole array of the checkpoint. Each task
 * has a tag; its parts come in the order of list_parts on both sides, so that they match. What is sent is copied
 * first: the next step may change the layers while the message is under way. */
#include "train/run/gather.h"

#include "base/mem.h"
#include "train/run/describe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_ARRAYS = FR_PREFIX_ARRAYS, MAX_PARTS = N_ARRAYS + FR_MLP_ARRAYS };

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

/* Replicas hold equal prefixes, so one of them is enough. */
static bool takes_part(const fr_gather *g)
{
    return g->grid->replica == 0;
}

static const int64_t *bounds_of(const fr_gather *g, int64_t task)
{
    return g->bounds + task * (g->grid->n_stages + 1);
}

/* The order of the list is that of the messages: sender and receiver must both go by it. A task without a
 * validation yet has no best prefix, and its current one takes that place. For inference two parts are enough, K
 * and V. */
static int list_parts(const fr_gather *g, int64_t index, part parts[MAX_PARTS])
{
    const fr_task *task = &g->tasks[index];
    const fr_checkpoint_task *out = g->into != NULL ? &g->into->tasks[index] : NULL;
    bool has_best = g->what == FR_GATHER_BEST && isfinite(task->progress.best_loss);
    bool resumable = g->what == FR_GATHER_ALL;
    int n = resumable && task->reparam == NULL ? N_ARRAYS : 2;
    float *local[N_ARRAYS];
    float *whole[N_ARRAYS] = {NULL};
    fr_prefix_list_arrays(has_best ? &task->best : &task->state, local);
    if (out != NULL) {
        fr_prefix_list_arrays(&out->state, whole);
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

/* All memory of a round at once, so that nothing can fail for lack of memory while other ranks wait for a message.
 * Rank 0 receives into the checkpoint and needs no copies. */
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
    /* Before find_bounds, which is collective: a rank without memory must not leave the others in it. */
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
                                              fr_tag_gather(index), place, bytes,
                                              &g->requests[g->n_requests++]));
            }
        }
    }
    return FR_OK;
}

/* Receives begin at once, so that what arrives goes straight to its array in the checkpoint. */
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

/* Shared arrays are not sent: rank 0 has the same bits. A stage without layers of the task sends nothing, and
 * expect_task expects nothing of it. */
static fr_status send_parts(fr_gather *g, int64_t index, const part *parts, int n)
{
    const int64_t *bounds = bounds_of(g, index);
    int64_t n_own = bounds[g->grid->stage + 1] - bounds[g->grid->stage];
    float *copy = g->copies[index];
    for (int p = 0; p < n; p++) {
        int64_t floats = parts[p].shared ? 0 : n_own * parts[p].floats;
        if (floats > 0) {
            memcpy(copy, parts[p].local, (size_t)floats * sizeof *copy);
            FR_TRY(fr_group_send_begin(g->grid->pipeline, 0, fr_tag_gather(index), copy,
                                       floats * (int64_t)sizeof *copy,
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
    /* The progress is taken together with the layers, so both are of the same step. */
    fr_describe_progress(&gather->tasks[task], &gather->into->tasks[task]);
    for (int p = 0; p < n; p++) {
        int64_t layers = parts[p].shared ? 1 : bounds_of(gather, task)[1];
        memcpy(parts[p].whole, parts[p].local,
               (size_t)(layers * parts[p].floats) * sizeof(float));
    }
    return FR_OK;
}

/* Requests that are complete are dropped in place. On a failure those that were not looked at are dropped too: the
 * group is broken then. */
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

/* In any order: all of them have to complete, and none depends on another. */
fr_status fr_gather_wait(fr_gather *gather)
{
    for (; gather->n_requests > 0; gather->n_requests--) {
        FR_TRY(fr_group_wait(gather->grid->pipeline,
                             &gather->requests[gather->n_requests - 1]));
    }
    return FR_OK;
}
