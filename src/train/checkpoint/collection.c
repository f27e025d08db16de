/* Changes to a collection of prefixes, in memory. The command around them locks, reads and writes the file.
 *
 * A file may have 65,536 tasks and a command line as many names, so names are looked up in a map. Each function refuses
 * what it must before it changes anything. */
#include "train/checkpoint/collection_impl.h"

#include "base/mem.h"
#include "base/task_name.h"
#include "base/text_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_trained(const fr_checkpoint_task *task)
{
    const fr_prefix_state *state = &task->state;
    return state->m_k != NULL || state->m_v != NULL || state->s_k != NULL ||
           state->s_v != NULL || fr_mlp_is_there(&task->mlp);
}

fr_status fr_collection_check(fr_ctx *ctx, const char *path,
                              const fr_checkpoint *checkpoint)
{
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        if (is_trained(&checkpoint->tasks[i])) {
            return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                           "%s is a checkpoint from which a run can go on, and is not "
                           "changed; put its prefixes into another file: forerun "
                           "prefix add NEW.h5 %s:%s",
                           path, path, checkpoint->tasks[i].name);
        }
    }
    return FR_OK;
}

static void drop_text(char **text)
{
    free(*text);
    *text = NULL;
}

/* They describe the run that wrote the file, and its tasks. */
void fr_collection_forget_run(fr_checkpoint *collection)
{
    drop_text(&collection->config);
    drop_text(&collection->layout);
}

/* ---- names ------------------------------------------------------------------------------------ */

fr_status fr_collection_check_name(fr_ctx *ctx, const fr_checkpoint *collection,
                                   const char *path, const char *name)
{
    if (!fr_task_name_check(name)) {
        return FR_FAIL(
            ctx, FR_ERR_ARG,
            "'%.120s' cannot be the name of a prefix; use " FR_TASK_NAME_RULE, name);
    }
    if (fr_checkpoint_task_named(collection, name) != NULL) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "%s holds a prefix %s already; give another name, or remove "
                       "that one first: forerun prefix remove %s %s",
                       path, name, path, name);
    }
    return FR_OK;
}

static fr_status map_names(fr_ctx *ctx, const fr_checkpoint *collection,
                           fr_text_map *map)
{
    FR_TRY(fr_text_map_init(ctx, map, collection->n_tasks));
    for (int64_t i = 0; i < collection->n_tasks; i++) {
        (void)fr_text_map_add(map, fr_text_of(collection->tasks[i].name), (int32_t)i);
    }
    return FR_OK;
}

/* Place in the collection of each name, [which->n]; the caller frees. */
fr_status fr_collection_find(fr_ctx *ctx, const fr_checkpoint *collection,
                             const char *path, const fr_collection_names *which,
                             int64_t **out)
{
    fr_text_map map = {0};
    int64_t *places = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, which->n, sizeof *places, &places));
    fr_status status = map_names(ctx, collection, &map);
    for (int64_t i = 0; i < which->n && status == FR_OK; i++) {
        places[i] = fr_text_map_find(&map, fr_text_of(which->names[i]));
        if (places[i] < 0) { /* for its message */
            status = fr_checkpoint_find_task(ctx, collection, path, which->names[i],
                                             &places[i]);
        }
    }
    fr_text_map_fini(&map);
    if (status != FR_OK) {
        free(places);
        places = NULL;
    }
    *out = places;
    return status;
}

/* ---- adding ----------------------------------------------------------------------------------- */

static fr_status fail_no_base(fr_ctx *ctx, const char *path)
{
    return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                   "%s does not name its base, so its prefixes fit none; use a file "
                   "that `forerun train` wrote",
                   path);
}

fr_status fr_collection_create(fr_ctx *ctx, const char *like_path,
                               const fr_checkpoint *like, fr_checkpoint **out)
{
    fr_checkpoint *c = NULL;
    *out = NULL;
    if (like->base_shape == NULL) {
        return fail_no_base(ctx, like_path);
    }
    FR_TRY(fr_checkpoint_create(ctx, 0, &c));
    memcpy(c->base_digest, like->base_digest, sizeof c->base_digest);
    fr_status status = fr_copy_optional(ctx, like->base_shape, &c->base_shape);
    if (status == FR_OK) {
        status = fr_copy_optional(ctx, like->base_path, &c->base_path);
    }
    if (status == FR_OK) {
        status = fr_copy_optional(ctx, like->isa, &c->isa);
    }
    if (status == FR_OK) {
        status = fr_copy_optional(ctx, like->arithmetic, &c->arithmetic);
    }
    if (status != FR_OK) {
        fr_checkpoint_destroy(&c);
    }
    *out = c;
    return status;
}

/* A file before 2.1 does not know the epsilon; its digest of the weights must do. */
bool fr_collection_norms_differ(const fr_checkpoint_task *a,
                                const fr_checkpoint_task *b)
{
    return a->base_norm_eps != 0.0 && b->base_norm_eps != 0.0 &&
           a->base_norm_eps != b->base_norm_eps;
}

static fr_status check_base(fr_ctx *ctx, const fr_checkpoint *collection,
                            const char *path, const fr_collection_source *source)
{
    char own[FR_DIGEST_HEX];
    char other[FR_DIGEST_HEX];
    const fr_checkpoint *from = source->file;
    const fr_checkpoint_task *task = &from->tasks[source->index];
    if (collection->base_shape == NULL || from->base_shape == NULL) {
        return fail_no_base(ctx, collection->base_shape == NULL ? path : source->path);
    }
    if (strcmp(collection->base_shape, from->base_shape) != 0) {
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "%s is for a base of another shape than %s: '%.300s' against "
                       "'%.300s'; keep the prefixes of each base in a file of its own",
                       source->path, path, from->base_shape, collection->base_shape);
    }
    if (memcmp(collection->base_digest, from->base_digest, FR_DIGEST_BYTES) != 0) {
        fr_digest_hex(collection->base_digest, own);
        fr_digest_hex(from->base_digest, other);
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "%s is for a base with other weights than %s: sha256 %s against "
                       "%s; keep the prefixes of each base in a file of its own",
                       source->path, path, other, own);
    }
    for (int64_t i = 0; i < collection->n_tasks; i++) {
        const fr_checkpoint_task *there = &collection->tasks[i];
        if (fr_collection_norms_differ(there, task)) {
            return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                           "%s is for a base whose norms have epsilon %.9g, %s has "
                           "%.9g (task %s); keep them in files of their own",
                           source->path, task->base_norm_eps, path,
                           there->base_norm_eps, there->name);
        }
        if (there->base_layers != task->base_layers ||
            there->n_kv_heads != task->n_kv_heads ||
            there->head_dim != task->head_dim) {
            return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                           "%s is for a base of %lld layers x %lld key/value heads x "
                           "%lld, %s for %lld x %lld x %lld (task %s); keep them in "
                           "files of their own",
                           source->path, (long long)task->base_layers,
                           (long long)task->n_kv_heads, (long long)task->head_dim, path,
                           (long long)there->base_layers, (long long)there->n_kv_heads,
                           (long long)there->head_dim, there->name);
        }
    }
    return FR_OK;
}

/* Nothing that the collection holds changes. */
fr_status fr_collection_make_room(fr_ctx *ctx, fr_checkpoint *collection)
{
    fr_checkpoint *larger = NULL;
    FR_TRY(fr_checkpoint_create(ctx, collection->n_tasks + 1, &larger));
    if (collection->n_tasks > 0) {
        memcpy(larger->tasks, collection->tasks,
               (size_t)collection->n_tasks * sizeof *larger->tasks);
    }
    free(collection->tasks);
    collection->tasks = larger->tasks;
    free(larger);
    return FR_OK;
}

static void drop_training(fr_checkpoint_task *task)
{
    fr_prefix_state *state = &task->state;
    free(state->m_k);
    free(state->m_v);
    free(state->s_k);
    free(state->s_v);
    *state = (fr_prefix_state){.k = state->k, .v = state->v};
    fr_mlp_fini(&task->mlp);
    task->mlp = (fr_mlp_state){0};
}

static void keep_if_same(char **own, const char *other)
{
    if (*own != NULL && (other == NULL || strcmp(*own, other) != 0)) {
        drop_text(own);
    }
}

fr_status fr_collection_add(fr_ctx *ctx, fr_checkpoint *collection, const char *path,
                            const fr_collection_source *source, const char *name,
                            bool *trained)
{
    fr_checkpoint_task *task = &source->file->tasks[source->index];
    char *copy = NULL;
    *trained = is_trained(task);
    FR_TRY(check_base(ctx, collection, path, source));
    FR_TRY(fr_collection_check_name(ctx, collection, path,
                                    name != NULL ? name : task->name));
    FR_TRY(fr_copy_string(ctx, name != NULL ? name : task->name, &copy));
    fr_status status = fr_collection_make_room(ctx, collection);
    if (status != FR_OK) {
        free(copy);
        return status;
    }
    fr_collection_forget_run(collection);
    keep_if_same(&collection->isa, source->file->isa);
    keep_if_same(&collection->arithmetic, source->file->arithmetic);
    free(task->name);
    task->name = copy;
    drop_training(task);
    collection->tasks[collection->n_tasks++] = *task;
    *task = (fr_checkpoint_task){0};
    return FR_OK;
}

/* ---- removing and renaming ---------------------------------------------------------------------- */

/* Tasks that go are moved behind the others, so that a file of their own frees them. */
static fr_status keep_marked(fr_ctx *ctx, fr_checkpoint *collection, const bool *gone,
                             int64_t n_gone)
{
    fr_checkpoint *removed = NULL;
    int64_t kept = 0;
    int64_t n = 0;
    FR_TRY(fr_checkpoint_create(ctx, n_gone, &removed));
    for (int64_t i = 0; i < collection->n_tasks; i++) {
        if (gone[i]) {
            removed->tasks[n++] = collection->tasks[i];
        } else {
            collection->tasks[kept++] = collection->tasks[i];
        }
    }
    collection->n_tasks = kept;
    fr_checkpoint_destroy(&removed);
    return FR_OK;
}

fr_status fr_collection_remove(fr_ctx *ctx, fr_checkpoint *collection, const char *path,
                               const fr_collection_names *which)
{
    int64_t *places = NULL;
    bool *gone = NULL;
    int64_t n_gone = 0;
    FR_TRY(fr_collection_find(ctx, collection, path, which, &places));
    fr_status status = fr_alloc(ctx, collection->n_tasks, sizeof *gone, &gone);
    for (int64_t i = 0; i < which->n && status == FR_OK; i++) {
        n_gone += gone[places[i]] ? 0 : 1;
        gone[places[i]] = true;
    }
    if (status == FR_OK && n_gone == collection->n_tasks) {
        status = FR_FAIL(ctx, FR_ERR_ARG,
                         "%s would hold no prefix any more; to be rid of all of them "
                         "remove the file itself: rm %s",
                         path, path);
    }
    if (status == FR_OK) {
        status = keep_marked(ctx, collection, gone, n_gone);
    }
    if (status == FR_OK) {
        fr_collection_forget_run(collection);
    }
    free(gone);
    free(places);
    return status;
}

fr_status fr_collection_rename(fr_ctx *ctx, fr_checkpoint *collection, const char *path,
                               const char *old_name, const char *new_name)
{
    int64_t index = 0;
    char *copy = NULL;
    FR_TRY(fr_checkpoint_find_task(ctx, collection, path, old_name, &index));
    FR_TRY(fr_collection_check_name(ctx, collection, path, new_name));
    FR_TRY(fr_copy_string(ctx, new_name, &copy));
    free(collection->tasks[index].name);
    collection->tasks[index].name = copy;
    fr_collection_forget_run(collection);
    return FR_OK;
}

/* ---- stripping -------------------------------------------------------------------------------- */

void fr_collection_strip(fr_checkpoint *collection)
{
    fr_collection_forget_run(collection);
    drop_text(&collection->base_path);
    drop_text(&collection->isa);
    for (int64_t i = 0; i < collection->n_tasks; i++) {
        fr_checkpoint_task *task = &collection->tasks[i];
        drop_text(&task->init);
        memset(task->data_digest, 0, sizeof task->data_digest);
        memset(task->valid_digest, 0, sizeof task->valid_digest);
    }
}
