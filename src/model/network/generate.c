/*
 * A list of rows, answered in its order: a row enters when a place is free. Its places are as large as the longest row needs.
 * The last stage chooses the tokens and broadcasts them, so every rank takes the same decisions: which rows end, which enter,
 * and when all are done.
 */
#include "model/network/generate.h"

#include "base/integer.h"
#include "base/mem.h"
#include "model/network/generate_impl.h"

#include <stdio.h>
#include <stdlib.h>

/* One call. */
typedef struct list {
    fr_generator *g;
    fr_generate_row *rows;
    int64_t n_rows;
    const fr_generate_params *params;
    int64_t next; /* row that waits for a place */
    fr_generation *generation;
} list;

static fr_status open_link(fr_generator *g, const fr_generator_params *params)
{
    bool receives = !fr_stage_is_first(params->stage);
    bool sends = !fr_stage_is_last(params->stage);
    fr_link_params link = {.group = params->pipeline,
                           .device = fr_stage_device(params->stage),
                           .kind = params->link,
                           .n_streams = receives + sends,
                           .piece_bytes = params->link_piece};
    return fr_link_open(g->ctx, &link, &g->link);
}

fr_status fr_generator_create(fr_ctx *ctx, const fr_generator_params *params,
                              fr_generator **out)
{
    fr_generator *g = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *g, &g));
    g->ctx = ctx;
    g->pipeline = params->pipeline;
    g->stage = params->stage;
    fr_status status = open_link(g, params);
    if (status == FR_OK) {
        status = fr_activations_create(g->stage, false, &g->activations);
    }
    if (status != FR_OK) {
        fr_generator_destroy(&g);
    }
    *out = g;
    return status;
}

void fr_generator_destroy(fr_generator **generator)
{
    fr_generator *g = *generator;
    if (g != NULL) {
        fr_link_close(&g->link);
        fr_activations_destroy(&g->activations);
        fr_batch_fini(&g->batch);
        free(g);
        *generator = NULL;
    }
}

/* ---- before the first token ----------------------------------------------------------------------- */

/* Larger than 250 bytes of a name, a colon and the digits of a line number. */
enum { PLACE_BYTES = 300 };

/* "FILE:LINE", "--prompt" or "row 3". */
static const char *name_row(const fr_generate_row *row, char out[PLACE_BYTES])
{
    fr_place from = row->place;
    if (from.name == NULL) {
        (void)snprintf(out, PLACE_BYTES, "row %llu",
                       (unsigned long long)row->number + 1);
    } else if (from.line > 0) {
        (void)snprintf(out, PLACE_BYTES, "%.250s:%lld", from.name,
                       (long long)from.line);
    } else {
        (void)snprintf(out, PLACE_BYTES, "%.250s", from.name);
    }
    return out;
}

fr_status fr_generate_check_row(const fr_generator *g, const fr_generate_row *row,
                                int64_t capacity)
{
    char name[PLACE_BYTES];
    fr_place from = {name_row(row, name), 0};
    int64_t context = fr_stage_max_position(g->stage);
    FR_TRY(fr_vocabulary_check(g->ctx, from, row->prompt.data, row->prompt.count,
                               fr_stage_arch(g->stage)->vocab_size));
    if (row->prompt.count < 1) {
        return FR_FAIL(g->ctx, FR_ERR_DATA,
                       "%s: the prompt is empty; give at least one token", name);
    }
    if (row->prefix->length + row->prompt.count >= context) {
        return FR_FAIL(
            g->ctx, FR_ERR_DATA,
            "%s: prefix of %lld and prompt of %lld tokens leave no room in the "
            "context of %lld; shorten the prompt",
            name, (long long)row->prefix->length, (long long)row->prompt.count,
            (long long)context);
    }
    if (row->prompt.count >= capacity) {
        return FR_FAIL(g->ctx, FR_ERR_DATA,
                       "%s: a prompt of %lld tokens leaves no room within the %lld of "
                       "a row; shorten the prompt",
                       name, (long long)row->prompt.count, (long long)capacity);
    }
    return FR_OK;
}

/* Before anything is computed: a bad row in the middle of a list must not cost the rows before it. Places are equal, so the
 * longest row decides the size of all of them. */
static fr_status open_generation(list *l)
{
    const fr_generate_params *params = l->params;
    int64_t context = fr_stage_max_position(l->g->stage);
    fr_generation_params open = {.places = fr_min(params->batch, l->n_rows),
                                 .capacity = 1,
                                 .cache_bytes = params->cache_bytes,
                                 .ids = params->ids,
                                 .times = params->times};
    for (int64_t i = 0; i < l->n_rows; i++) {
        const fr_generate_row *row = &l->rows[i];
        FR_TRY(fr_generate_check_row(l->g, row, INT64_MAX));
        int64_t room = context - row->prefix->length - row->prompt.count;
        open.capacity = fr_max(open.capacity,
                               row->prompt.count + fr_min(room, row->max_new_tokens));
    }
    return fr_generation_open(l->g, &open, &l->generation);
}

/* ---- the list ------------------------------------------------------------------------------------- */

static void enter_rows(list *l)
{
    int64_t n = fr_min(fr_generation_free(l->generation), l->n_rows - l->next);
    for (int64_t i = 0; i < n; i++) {
        fr_generation_enter(l->generation, &l->rows[l->next++]);
    }
}

static fr_status tell(list *l, fr_generate_row *row)
{
    bool leave = false;
    if (row->state == FR_ROW_NOT_FINITE) {
        char name[PLACE_BYTES];
        return FR_FAIL(l->g->ctx, FR_ERR_NUMERIC,
                       "%s: the logits after %lld tokens of prompt and %lld generated "
                       "ones are not finite; look at the prefix and the model file",
                       name_row(row, name), (long long)row->prompt.count,
                       (long long)row->out.count);
    }
    if (l->params->grown != NULL) {
        FR_TRY(l->params->grown(l->params->user, row - l->rows, &leave));
    }
    if (leave && row->state == FR_ROW_GOES_ON) {
        fr_generation_leave(l->generation, row);
    }
    return FR_OK;
}

/* Ranks agree where rows end: the caller's part may have failed on one. Elsewhere such a rank abandons the others. */
static fr_status tell_grown(list *l)
{
    fr_status status = FR_OK;
    bool any_ended = false;
    int64_t n = 0;
    fr_generate_row *const *grown = fr_generation_grown(l->generation, &n);
    for (int64_t i = 0; i < n && status == FR_OK; i++) {
        status = tell(l, grown[i]);
        any_ended = any_ended || grown[i]->state != FR_ROW_GOES_ON;
    }
    if (any_ended) {
        return fr_group_agree(l->g->pipeline, status);
    }
    return status == FR_OK ? FR_OK : fr_group_abandon(l->g->pipeline, status);
}

static fr_status run(list *l)
{
    int64_t places = fr_generation_places(l->generation);
    enter_rows(l);
    while (fr_generation_free(l->generation) < places) {
        FR_TRY(fr_generation_pass(l->generation));
        FR_TRY(tell_grown(l));
        enter_rows(l);
    }
    return FR_OK;
}

fr_status fr_generate(fr_generator *generator, fr_generate_row *rows, int64_t n_rows,
                      const fr_generate_params *params)
{
    list l = {.g = generator,
              .rows = rows,
              .n_rows = n_rows,
              .params = params,
              .next = params->first};
    fr_status status = open_generation(&l);
    if (status == FR_OK) {
        status = run(&l);
    }
    fr_generation_close(&l.generation);
    return status;
}
