/*
 * Rows that come and go: the cache is divided into equal places, one for each row that is in progress. Every rank holds the
 * same list of places and takes the same decisions, since all see the same rows and the same tokens.
 */
#include "base/integer.h"
#include "base/mem.h"
#include "device/memory.h"
#include "model/network/generate_impl.h"

#include <stdlib.h>

void fr_generate_row_fini(fr_generate_row *row)
{
    fr_ids_fini(&row->prompt);
    fr_ids_fini(&row->out);
    free(row->logprobs);
    row->logprobs = NULL;
    row->logprobs_capacity = 0;
}

/* ---- which rows fit ------------------------------------------------------------------------------- */

/* Tokens that fit behind the prompt. */
static int64_t room_of(const fr_generation *c, const fr_generate_row *row)
{
    int64_t context = fr_stage_max_position(c->g->stage) - row->prefix->length;
    return fr_min(context, c->capacity) - row->prompt.count;
}

int64_t fr_generate_max_new(const fr_generation *c, const fr_generate_row *row)
{
    return fr_min(row->max_new_tokens, room_of(c, row));
}

fr_status fr_generation_check(const fr_generation *c, const fr_generate_row *row)
{
    return fr_generate_check_row(c->g, row, c->capacity);
}

/* ---- open and close ------------------------------------------------------------------------------- */

/* As many as wanted and as the memory allows; the same on every rank. */
static fr_status choose_places(fr_generation *c)
{
    int64_t fitting = c->params.cache_bytes / fr_cache_bytes(c->g->stage, c->capacity);
    c->n_places = fr_max(1, fr_min(c->params.places, fitting));
    /* stages hold different numbers of layers, so each may fit another number of rows */
    return fr_group_allreduce(c->g->pipeline, FR_MIN, &c->n_places, 1);
}

static fr_status alloc_places(fr_generation *c)
{
    fr_ctx *ctx = c->g->ctx;
    int64_t n = c->n_places;
    FR_TRY(fr_alloc(ctx, n, sizeof *c->places, &c->places));
    FR_TRY(fr_alloc(ctx, n, sizeof(fr_generate_place *), &c->choosers));
    FR_TRY(fr_alloc(ctx, n, sizeof *c->reads, &c->reads));
    FR_TRY(fr_alloc(ctx, n, sizeof *c->logprobs, &c->logprobs));
    FR_TRY(fr_alloc(ctx, n, sizeof(fr_generate_row *), &c->grown));
    FR_TRY(fr_host_alloc(fr_stage_device(c->g->stage), n, sizeof *c->ids, &c->ids));
    FR_TRY(fr_cache_init(ctx, c->g->stage, n * c->capacity, fr_generate_most_units(c),
                         &c->cache));
    for (int64_t i = 0; i < n; i++) {
        c->places[i].sequence.first = i * c->capacity;
    }
    return fr_stage_is_last(c->g->stage) ? fr_generate_alloc_choice(c) : FR_OK;
}

void fr_generation_close(fr_generation **generation)
{
    fr_generation *c = *generation;
    if (c == NULL) {
        return;
    }
    free(c->places);
    free(c->choosers);
    free(c->reads);
    free(c->logprobs);
    free(c->grown);
    fr_host_free(fr_stage_device(c->g->stage), c->ids);
    fr_cache_fini(&c->cache);
    fr_generate_free_choice(c);
    free(c);
    *generation = NULL;
}

fr_status fr_generation_open(fr_generator *generator,
                             const fr_generation_params *params, fr_generation **out)
{
    fr_generation *c = NULL;
    *out = NULL;
    fr_status status = fr_alloc(generator->ctx, 1, sizeof *c, &c);
    FR_TRY(fr_group_agree(generator->pipeline, status));
    c->g = generator;
    c->params = *params;
    c->capacity = params->capacity;
    status = choose_places(c);
    if (status == FR_OK) {
        /* a rank without memory must not leave the others waiting in the first pass */
        status = fr_group_agree(generator->pipeline, alloc_places(c));
    }
    if (status != FR_OK) {
        fr_generation_close(&c);
    }
    *out = c;
    return status;
}

/* ---- who is there --------------------------------------------------------------------------------- */

int64_t fr_generation_places(const fr_generation *c)
{
    return c->n_places;
}

int64_t fr_generation_free(const fr_generation *c)
{
    int64_t n = 0;
    for (int64_t i = 0; i < c->n_places; i++) {
        n += c->places[i].row == NULL;
    }
    return n;
}

static fr_generate_place *find(const fr_generation *c, const fr_generate_row *row)
{
    for (int64_t i = 0; i < c->n_places; i++) {
        if (c->places[i].row == row) {
            return &c->places[i];
        }
    }
    return NULL;
}

void fr_generation_enter(fr_generation *c, fr_generate_row *row)
{
    fr_generate_place *p = find(c, NULL);
    if (p != NULL) {
        p->row = row;
        row->state = FR_ROW_GOES_ON;
        p->served = ++c->n_served;
        p->sequence.past = 0;
        p->sequence.prefix_length = row->prefix->length;
    }
}

void fr_generation_leave(fr_generation *c, fr_generate_row *row)
{
    fr_generate_place *p = find(c, row);
    if (p != NULL) {
        p->row = NULL;
        row->state = FR_ROW_LEFT;
    }
}
