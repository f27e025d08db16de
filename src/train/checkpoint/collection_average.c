/* The mean of several prefixes of a collection, as one more prefix of it. */
#include "train/checkpoint/collection_impl.h"

#include "base/mem.h"
#include "base/task_name.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What of two tasks forbids a mean of their numbers; NULL: nothing. */
static const char *what_differs(const fr_checkpoint_task *a,
                                const fr_checkpoint_task *b)
{
    if (a->length != b->length) {
        return "length";
    }
    if (a->n_layers != b->n_layers || a->first_layer != b->first_layer ||
        a->base_layers != b->base_layers) {
        return "layers";
    }
    if (a->n_kv_heads != b->n_kv_heads || a->head_dim != b->head_dim ||
        fr_collection_norms_differ(a, b)) {
        return "base";
    }
    if (a->slides != b->slides) {
        return "window";
    }
    if (fr_texts_differ(a->template_text, b->template_text) || a->chat != b->chat ||
        fr_texts_differ(a->chat_template_digest, b->chat_template_digest) ||
        fr_texts_differ(a->chat_template, b->chat_template)) {
        return "template";
    }
    if (fr_texts_differ(a->chat_arguments, b->chat_arguments) ||
        fr_texts_differ(a->chat_clock, b->chat_clock)) {
        return "chat's arguments or clock";
    }
    return a->eos != b->eos || a->special != b->special ||
                   a->leading_bos != b->leading_bos
               ? "form of rows (eos, special, leading BOS)"
               : NULL;
}

static fr_status check_alike(fr_ctx *ctx, const fr_checkpoint *collection,
                             const char *path, const int64_t *places, int64_t n)
{
    bool *seen = NULL;
    FR_TRY(fr_alloc(ctx, collection->n_tasks, sizeof *seen, &seen));
    const fr_checkpoint_task *first = &collection->tasks[places[0]];
    fr_status status = FR_OK;
    for (int64_t i = 0; i < n && status == FR_OK; i++) {
        const fr_checkpoint_task *task = &collection->tasks[places[i]];
        const char *what = what_differs(first, task);
        if (seen[places[i]]) {
            status =
                FR_FAIL(ctx, FR_ERR_ARG,
                        "prefix %s is named twice; name each prefix once", task->name);
        } else if (what != NULL) {
            status = FR_FAIL(ctx, FR_ERR_SHAPE,
                             "%s: the prefixes %s and %s differ in their %s; only "
                             "prefixes that are alike but for their numbers have an "
                             "average",
                             path, first->name, task->name, what);
        }
        seen[places[i]] = true;
    }
    free(seen);
    return status;
}

/* "average of 3 prefixes: a, b, c"; the first names of many. */
static fr_status describe_average(fr_ctx *ctx, const fr_collection_names *which,
                                  char **out)
{
    enum {
        MAX_NAMES = 16,
        TEXT_BYTES = 64 + (MAX_NAMES + 1) * (FR_TASK_NAME_BYTES + 2)
    };
    char text[TEXT_BYTES];
    int used =
        snprintf(text, sizeof text, "average of %lld prefixes", (long long)which->n);
    for (int64_t i = 0; i < which->n && i <= MAX_NAMES; i++) {
        used += snprintf(text + used, sizeof text - (size_t)used, "%s %s",
                         i == 0 ? ":" : ",", i < MAX_NAMES ? which->names[i] : "...");
    }
    return fr_copy_string(ctx, text, out);
}

/* What the averaged tasks have in common. Its progress stays that of a task that has not begun. */
static fr_status copy_common(fr_ctx *ctx, const fr_checkpoint_task *like,
                             fr_checkpoint_task *out)
{
    out->length = like->length;
    out->n_layers = like->n_layers;
    out->first_layer = like->first_layer;
    out->base_layers = like->base_layers;
    out->slides = like->slides;
    out->n_kv_heads = like->n_kv_heads;
    out->head_dim = like->head_dim;
    out->chat = like->chat;
    out->eos = like->eos;
    out->special = like->special;
    out->leading_bos = like->leading_bos;
    FR_TRY(fr_copy_optional(ctx, like->template_text, &out->template_text));
    FR_TRY(
        fr_copy_optional(ctx, like->chat_template_digest, &out->chat_template_digest));
    FR_TRY(fr_copy_optional(ctx, like->chat_template, &out->chat_template));
    FR_TRY(fr_copy_optional(ctx, like->chat_arguments, &out->chat_arguments));
    FR_TRY(fr_copy_optional(ctx, like->chat_clock, &out->chat_clock));
    return fr_checkpoint_task_alloc(ctx, out, false);
}

/* Element i of the keys (or of the values) of all tasks, summed. A sum of 65,536 floats cannot exceed what f64 holds, and the
 * mean of floats lies between them: it is finite. */
static float mean_of(const fr_checkpoint *collection, const int64_t *places, int64_t n,
                     bool keys, int64_t i)
{
    double sum = 0;
    for (int64_t t = 0; t < n; t++) {
        const fr_prefix_state *state = &collection->tasks[places[t]].state;
        sum += (double)(keys ? state->k[i] : state->v[i]);
    }
    return (float)(sum / (double)n);
}

static void average_arrays(const fr_checkpoint *collection, const int64_t *places,
                           int64_t n, fr_checkpoint_task *out)
{
    int64_t floats = out->length * out->n_layers * out->n_kv_heads * out->head_dim;
    for (int64_t i = 0; i < floats; i++) {
        out->state.k[i] = mean_of(collection, places, n, true, i);
        out->state.v[i] = mean_of(collection, places, n, false, i);
    }
    for (int64_t t = 0; t < n && out->base_norm_eps == 0.0; t++) {
        out->base_norm_eps = collection->tasks[places[t]].base_norm_eps;
    }
}

static fr_status make_average(fr_ctx *ctx, fr_checkpoint *collection, const char *path,
                              const fr_collection_names *which, const int64_t *places,
                              fr_checkpoint_task *out)
{
    FR_TRY(check_alike(ctx, collection, path, places, which->n));
    FR_TRY(copy_common(ctx, &collection->tasks[places[0]], out));
    FR_TRY(describe_average(ctx, which, &out->init));
    average_arrays(collection, places, which->n, out);
    return fr_collection_make_room(ctx, collection);
}

fr_status fr_collection_average(fr_ctx *ctx, fr_checkpoint *collection,
                                const char *path, const fr_collection_names *which,
                                const char *name)
{
    int64_t *places = NULL;
    fr_checkpoint *made = NULL; /* the new task, until it is whole */
    if (which->n < 2) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "an average needs two prefixes or more, got %lld",
                       (long long)which->n);
    }
    FR_TRY(fr_collection_check_name(ctx, collection, path, name));
    FR_TRY(fr_collection_find(ctx, collection, path, which, &places));
    fr_status status = fr_checkpoint_create(ctx, 1, &made);
    if (status == FR_OK) {
        status = fr_copy_string(ctx, name, &made->tasks[0].name);
    }
    if (status == FR_OK) {
        status = make_average(ctx, collection, path, which, places, &made->tasks[0]);
    }
    if (status == FR_OK) {
        collection->tasks[collection->n_tasks++] = made->tasks[0];
        made->tasks[0] = (fr_checkpoint_task){0};
        fr_collection_forget_run(collection);
    }
    fr_checkpoint_destroy(&made);
    free(places);
    return status;
}
