/*
 * One pass: which tokens go, their way through the stages, and what their rows get.
 *
 * A prompt goes in pieces that begin at multiples of FR_PROMPT_PIECE, each a segment of its own that sees the pieces before it
 * in the cache. So its numbers are the same however its pieces are spread over passes, and several of them may share one. A
 * pass has pieces of prompts or single tokens, never both: products of few rows are computed in another way.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/clock.h"
#include "base/integer.h"
#include "device/memory.h"
#include "device/sample.h"
#include "model/network/generate_impl.h"

#include <stdlib.h>

enum {
    MOST_PROMPT_TOKENS =
        1024 /* of several prompts in one pass: enough for the matrix products' full rate */
};

static int64_t most_prompt_tokens(const fr_generation_params *params)
{
    return params->prompt_tokens > 0 ? params->prompt_tokens : MOST_PROMPT_TOKENS;
}

/* A pass has at most one piece of each place that is shorter than a whole one, and whole ones within the limit. */
int64_t fr_generate_most_units(const fr_generation *c)
{
    return c->n_places + most_prompt_tokens(&c->params) / FR_PROMPT_PIECE + 1;
}

/* ---- which tokens go ------------------------------------------------------------------------------ */

static bool has_prompt_left(const fr_generate_place *p)
{
    return p->row != NULL && p->sequence.past < p->row->prompt.count;
}

/* `past` moves on at once: the pass writes these tokens to the cache, and a failed pass ends the generation. */
static fr_status add_unit(fr_generation *c, fr_generate_place *p, const int32_t *ids,
                          int64_t n)
{
    fr_batch *batch = &c->g->batch;
    c->cache.prefixes_U[batch->n_units] = p->row->prefix;
    FR_TRY(fr_batch_add_cached(c->g->ctx, batch, &p->sequence, ids, n));
    p->sequence.past += n;
    if (!has_prompt_left(p)) {
        c->reads[c->n_chosen] = (int32_t)batch->n_tokens - 1;
        c->choosers[c->n_chosen++] = p;
    }
    return FR_OK;
}

/* Prompts take turns, so that a long one does not keep short ones waiting. */
static fr_generate_place *next_prompt(const fr_generation *c)
{
    fr_generate_place *best = NULL;
    for (int64_t i = 0; i < c->n_places; i++) {
        fr_generate_place *p = &c->places[i];
        if (has_prompt_left(p) && (best == NULL || p->served < best->served)) {
            best = p;
        }
    }
    return best;
}

/* As many pieces as fit into the pass; the first one goes in any case. */
static fr_status add_prompts(fr_generation *c)
{
    int64_t most = most_prompt_tokens(&c->params);
    fr_generate_place *p = next_prompt(c);
    while (p != NULL) {
        const fr_ids *prompt = &p->row->prompt;
        int64_t left = prompt->count - p->sequence.past;
        int64_t n = fr_min(left, FR_PROMPT_PIECE);
        if (c->g->batch.n_tokens > 0 && c->g->batch.n_tokens + n > most) {
            break;
        }
        p->served = ++c->n_served;
        FR_TRY(add_unit(c, p, prompt->data + p->sequence.past, n));
        p = next_prompt(c);
    }
    return FR_OK;
}

static fr_status add_tokens(fr_generation *c)
{
    for (int64_t i = 0; i < c->n_places; i++) {
        fr_generate_place *p = &c->places[i];
        if (p->row != NULL && !has_prompt_left(p)) {
            FR_TRY(add_unit(c, p, &p->last, 1));
        }
    }
    return FR_OK;
}

static bool any_goes_on(const fr_generation *c)
{
    for (int64_t i = 0; i < c->n_places; i++) {
        if (c->places[i].row != NULL && !has_prompt_left(&c->places[i])) {
            return true;
        }
    }
    return false;
}

static fr_status fill_batch(fr_generation *c)
{
    bool in_turn =
        c->params.prompt_tokens > 0 && c->prompts_were_last && any_goes_on(c);
    fr_batch_clear(&c->g->batch);
    c->n_chosen = 0;
    if (!in_turn) {
        FR_TRY(add_prompts(c));
    }
    c->prompts_were_last = c->g->batch.n_units > 0;
    if (!c->prompts_were_last) {
        FR_TRY(add_tokens(c));
        c->g->batch.is_decode = true;
    }
    return FR_OK;
}

/* ---- through the stages --------------------------------------------------------------------------- */

/* Run the new tokens through this stage between its neighbours. */
static fr_status pass_through(fr_generation *c)
{
    static const fr_stage_prefix NONE = {0};
    fr_generator *g = c->g;
    int stage = fr_group_rank(g->pipeline);
    fr_transfer message;
    int64_t width = fr_stage_arch(g->stage)->d_model;
    int64_t bytes = g->batch.n_tokens * width * (int64_t)sizeof(float);
    FR_TRY(fr_activations_prepare(g->stage, g->activations, &g->batch, &NONE));
    if (!fr_stage_is_first(g->stage)) {
        FR_TRY(fr_link_receive_begin(g->link, stage - 1, FR_TAG_GENERATE,
                                     fr_activations_input(g->activations), bytes,
                                     &message));
        FR_TRY(fr_link_join(g->link, &message));
    }
    FR_TRY(fr_stage_forward(g->stage, &g->batch, &NONE, &c->cache, g->activations));
    if (!fr_stage_is_last(g->stage)) {
        FR_TRY(fr_link_send_begin(g->link, stage + 1, FR_TAG_GENERATE,
                                  fr_activations_output(g->activations), bytes,
                                  &message));
        FR_TRY(fr_link_join(g->link, &message));
    }
    return FR_OK;
}

/* ---- what rows get -------------------------------------------------------------------------------- */

/* Lists of stop ids are short, so a search from the front is enough. */
static bool ends_text(const fr_generate_ids *ids, int32_t id)
{
    for (int64_t i = 0; i < ids->n_stop; i++) {
        if (ids->stop[i] == id) {
            return true;
        }
    }
    return false;
}

static fr_status keep_logprobs(fr_ctx *ctx, fr_generate_row *row,
                               const fr_logprobs *logprobs)
{
    enum { SMALLEST = 16 };
    if (row->out.count == row->logprobs_capacity) {
        int64_t capacity = fr_max(SMALLEST, 2 * row->logprobs_capacity);
        size_t bytes = (size_t)capacity * sizeof *row->logprobs;
        fr_logprobs *grown = realloc(row->logprobs, bytes);
        if (grown == NULL) {
            return fr_check_memory(ctx, false, bytes);
        }
        row->logprobs = grown;
        row->logprobs_capacity = capacity;
    }
    row->logprobs[row->out.count] = *logprobs;
    return FR_OK;
}

/* The row of this place goes on with its token, or ends and leaves. */
static fr_status go_on(fr_generation *c, int64_t index)
{
    fr_generate_place *p = c->choosers[index];
    fr_generate_row *row = p->row;
    int32_t id = c->ids[index];
    p->last = id;
    if (id == FR_NO_TOKEN) {
        row->state = FR_ROW_NOT_FINITE;
    } else if (ends_text(&c->params.ids, id)) {
        row->state = FR_ROW_STOPPED;
    } else {
        if (row->n_logprobs > 0) {
            FR_TRY(keep_logprobs(c->g->ctx, row, &c->logprobs[index]));
        }
        FR_TRY(fr_ids_add(c->g->ctx, &row->out, id));
        if (row->out.count >= fr_generate_max_new(c, row)) {
            row->state = FR_ROW_FULL;
        }
    }
    if (row->state != FR_ROW_GOES_ON) {
        p->row = NULL;
    }
    return FR_OK;
}

/* Before rows leave their places. */
static void list_grown(fr_generation *c)
{
    c->n_grown = c->n_chosen;
    for (int64_t i = 0; i < c->n_chosen; i++) {
        c->grown[i] = c->choosers[i]->row;
    }
}

/* A pass has prompts or single tokens, never both, so its time belongs to one of them. */
static void count_time(const fr_generation *c, double seconds)
{
    const fr_batch *batch = &c->g->batch;
    fr_generate_times *times = c->params.times;
    if (times != NULL && batch->is_decode) {
        times->decoded_tokens += batch->n_tokens;
        times->decode_seconds += seconds;
    } else if (times != NULL) {
        times->prompt_tokens += batch->n_tokens;
        times->prompt_seconds += seconds;
    }
}

/* The hang watch reports where this rank is. */
static void tell_watch(fr_generation *c)
{
    const fr_generate_place *first = c->n_chosen > 0 ? c->choosers[0] : NULL;
    fr_watch_at(fr_group_watch(c->g->pipeline), ++c->pass, "generate",
                first != NULL ? (int64_t)first->row->number : 0);
}

static fr_status pass(fr_generation *c)
{
    double began = fr_clock_seconds();
    FR_TRY(pass_through(c));
    FR_TRY(fr_generate_choose(c));
    count_time(c, fr_clock_seconds() - began);
    list_grown(c);
    for (int64_t i = 0; i < c->n_chosen; i++) {
        FR_TRY(go_on(c, i));
    }
    return FR_OK;
}

fr_status fr_generation_pass(fr_generation *c)
{
    c->n_grown = 0;
    fr_status status = fill_batch(c);
    if (status == FR_OK && c->g->batch.n_units == 0) {
        return FR_OK;
    }
    if (status == FR_OK) {
        tell_watch(c);
        status = pass(c);
    }
    /* the other stages may be waiting for this one */
    return status == FR_OK ? FR_OK : fr_group_abandon(c->g->pipeline, status);
}

fr_generate_row *const *fr_generation_grown(const fr_generation *c, int64_t *n)
{
    *n = c->n_grown;
    return c->grown;
}
