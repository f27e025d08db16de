/* On rank 0 an image shows the arrays of the checkpoint, which the image holds (fr_shelf_hold); where the device works in the
 * host's memory nothing is copied. Each other rank has arrays of its own layers.
 *
 * A load is a header to all, the arrays to each, and two agreements: before the arrays are sent everybody has memory for
 * them, and afterwards everybody has an image or nobody.
 */
#include "serve/images.h"

#include "base/mem.h"

#include <stdlib.h>

/* What every rank must know of a prefix. */
typedef struct header {
    int64_t length;
    int64_t first_layer;
    int64_t n_layers;
    int64_t layer; /* numbers of K in a layer */
    int64_t slides;
} header;

typedef struct entry {
    fr_shelf_prefix *held; /* rank 0; NULL elsewhere */
    float *arrays;         /* elsewhere: K, then V */
    fr_prefix_image image;
    fr_stage_prefix view;
    int64_t bytes; /* on the rank that has most of it */
    int64_t users;
    int64_t used_at; /* in the order of uses */
} entry;

struct fr_images {
    fr_ctx *ctx;
    fr_images_params params;
    fr_layer_range *layers; /* of each rank */
    entry *entries[FR_IMAGES_MAX];
    int64_t n;
    int64_t bytes;
    int64_t clock;
};

fr_status fr_images_create(fr_ctx *ctx, const fr_images_params *params, fr_images **out)
{
    fr_images *images = NULL;
    int64_t *all = NULL;
    const int64_t mine[] = {params->first_layer, params->n_layers};
    int n_ranks = fr_group_size(params->world);
    *out = NULL;
    fr_status status = fr_alloc(ctx, 1, sizeof *images, &images);
    if (status == FR_OK) {
        status = fr_alloc(ctx, n_ranks, sizeof *images->layers, &images->layers);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, n_ranks, sizeof mine, &all);
    }
    status = fr_group_agree(params->world, status);
    if (status == FR_OK) {
        images->ctx = ctx;
        images->params = *params;
        status = fr_group_gather(params->world, mine, 2, all);
    }
    for (int r = 0; status == FR_OK && r < n_ranks; r++) {
        images->layers[r] = (fr_layer_range){all[2 * r], all[2 * r + 1]};
    }
    free(all);
    if (status != FR_OK) {
        fr_images_destroy(&images);
    }
    *out = images;
    return status;
}

static void free_entry(fr_images *images, entry *e)
{
    fr_prefix_image_close(images->params.device, &e->image);
    fr_shelf_release(e->held);
    free(e->arrays);
    free(e);
}

void fr_images_destroy(fr_images **images)
{
    if (*images == NULL) {
        return;
    }
    for (int64_t i = 0; i < FR_IMAGES_MAX; i++) {
        if ((*images)->entries[i] != NULL) {
            free_entry(*images, (*images)->entries[i]);
        }
    }
    free((*images)->layers);
    free(*images);
    *images = NULL;
}

/* ---- loading ------------------------------------------------------------------------------------ */

static const fr_checkpoint_task *task_of(const fr_shelf_prefix *prefix)
{
    return fr_shelf_reading(prefix)->task;
}

static int64_t layer_numbers(const fr_checkpoint_task *task)
{
    return task->length * task->n_kv_heads * task->head_dim;
}

/* Numbers of K on a rank. */
static int64_t part_numbers(const fr_images *images, int rank, const header *h)
{
    fr_layer_range own = images->layers[rank];
    fr_layer_range file = {h->first_layer, h->n_layers};
    return h->layer * fr_layers_within(file, own.first, own.count).count;
}

static int64_t most_bytes(const fr_images *images, const header *h)
{
    int64_t most = 0;
    for (int r = 0; r < fr_group_size(images->params.world); r++) {
        int64_t n = part_numbers(images, r, h);
        most = n > most ? n : most;
    }
    return 2 * most * (int64_t)sizeof(float);
}

static header describe(const fr_checkpoint_task *task)
{
    return (header){.length = task->length,
                    .first_layer = task->first_layer,
                    .n_layers = task->n_layers,
                    .layer = layer_numbers(task),
                    .slides = task->slides};
}

/* Rank 0 borrows its part from the checkpoint; the others make room. */
static fr_status prepare(fr_images *images, const header *h, fr_shelf_prefix *prefix,
                         entry **out)
{
    entry *e = NULL;
    int64_t n = part_numbers(images, fr_group_rank(images->params.world), h);
    FR_TRY(fr_alloc(images->ctx, 1, sizeof *e, &e));
    *out = e;
    e->bytes = most_bytes(images, h);
    if (prefix != NULL) {
        e->held = fr_shelf_hold(prefix);
        return FR_OK;
    }
    return fr_alloc_large(images->ctx, 2 * n * (int64_t)sizeof(float), &e->arrays);
}

static fr_status send_parts(const fr_images *images, const fr_checkpoint_task *task)
{
    fr_group *world = images->params.world;
    for (int r = 1; r < fr_group_size(world); r++) {
        fr_layer_range own = images->layers[r];
        fr_prefix_part part = fr_prefix_file_part(task, own.first, own.count);
        int64_t bytes = part.n * (int64_t)sizeof(float);
        FR_TRY(fr_group_send(world, r, FR_TAG_SERVE_PREFIX, part.k, bytes));
        FR_TRY(fr_group_send(world, r, FR_TAG_SERVE_PREFIX, part.v, bytes));
    }
    return FR_OK;
}

/* This rank's part, sent or received. */
static fr_status move_parts(fr_images *images, const header *h, entry *e,
                            fr_prefix_part *part)
{
    fr_group *world = images->params.world;
    int rank = fr_group_rank(world);
    int64_t n = part_numbers(images, rank, h);
    int64_t bytes = n * (int64_t)sizeof(float);
    if (e->held != NULL) {
        fr_layer_range own = images->layers[rank];
        *part = fr_prefix_file_part(task_of(e->held), own.first, own.count);
        return send_parts(images, task_of(e->held));
    }
    *part = (fr_prefix_part){e->arrays, e->arrays + n, n};
    FR_TRY(fr_group_receive(world, 0, FR_TAG_SERVE_PREFIX, part->k, bytes));
    return fr_group_receive(world, 0, FR_TAG_SERVE_PREFIX, part->v, bytes);
}

static fr_status fill(fr_images *images, const header *h, fr_shelf_prefix *prefix,
                      entry **out)
{
    fr_group *world = images->params.world;
    fr_prefix_part part = {0};
    FR_TRY(fr_group_agree(world, prepare(images, h, prefix, out)));
    FR_TRY(move_parts(images, h, *out, &part));
    fr_status status = fr_prefix_image_open(images->params.device, part.k, part.v,
                                            part.n, &(*out)->image);
    FR_TRY(fr_group_agree(world, status));
    (*out)->view = (fr_stage_prefix){.length = h->length,
                                     .k = (*out)->image.k.device,
                                     .v = (*out)->image.v.device,
                                     .layers = {h->first_layer, h->n_layers},
                                     .slides = h->slides != 0};
    return FR_OK;
}

fr_status fr_images_load(fr_images *images, int64_t number, fr_shelf_prefix *prefix)
{
    header h = prefix != NULL ? describe(task_of(prefix)) : (header){0};
    entry *e = NULL;
    FR_TRY(fr_group_broadcast(images->params.world, 0, &h, sizeof h));
    fr_status status = fill(images, &h, prefix, &e);
    if (status != FR_OK) {
        if (e != NULL) {
            free_entry(images, e);
        }
        return status;
    }
    images->entries[number] = e;
    images->n++;
    images->bytes += e->bytes;
    return FR_OK;
}

void fr_images_drop(fr_images *images, int64_t number)
{
    entry *e = images->entries[number];
    images->entries[number] = NULL;
    images->n--;
    images->bytes -= e->bytes;
    free_entry(images, e);
}

/* ---- using ---------------------------------------------------------------------------------------- */

const fr_stage_prefix *fr_images_view(const fr_images *images, int64_t number)
{
    static const fr_stage_prefix NONE = {0};
    return number == FR_NO_IMAGE ? &NONE : &images->entries[number]->view;
}

void fr_images_use(fr_images *images, int64_t number, int64_t change)
{
    if (number != FR_NO_IMAGE) {
        images->entries[number]->users += change;
        images->entries[number]->used_at = images->clock++;
    }
}

bool fr_images_find(const fr_images *images, const fr_shelf_prefix *prefix,
                    int64_t *number)
{
    *number = FR_NO_IMAGE;
    if (task_of(prefix) == NULL) {
        return true;
    }
    for (int64_t i = 0; i < FR_IMAGES_MAX; i++) {
        if (images->entries[i] != NULL && images->entries[i]->held == prefix) {
            *number = i;
            return true;
        }
    }
    return false;
}

/* One image fits in any case. */
bool fr_images_room(const fr_images *images, const fr_shelf_prefix *prefix,
                    int64_t *number)
{
    header h = describe(task_of(prefix));
    int64_t most = images->params.bytes;
    if (images->n > 0 && most > 0 && images->bytes + most_bytes(images, &h) > most) {
        return false;
    }
    for (int64_t i = 0; i < FR_IMAGES_MAX; i++) {
        if (images->entries[i] == NULL) {
            *number = i;
            return true;
        }
    }
    return false;
}

bool fr_images_idle(const fr_images *images, bool any, int64_t *number)
{
    int64_t oldest = -1;
    for (int64_t i = 0; i < FR_IMAGES_MAX; i++) {
        const entry *e = images->entries[i];
        if (e == NULL || e->users > 0) {
            continue;
        }
        if (!fr_shelf_is_current(e->held)) {
            *number = i;
            return true;
        }
        if (oldest < 0 || e->used_at < images->entries[oldest]->used_at) {
            oldest = i;
        }
    }
    *number = oldest;
    return any && oldest >= 0;
}

int64_t fr_images_count(const fr_images *images, int64_t *bytes)
{
    *bytes = images->bytes;
    return images->n;
}
