/*
 * Generation in passes. The cache is divided into equal parts, one for each row that is in progress. A pass takes either
 * the prompts of rows that enter a free part, or the next token of all rows in progress; the last stage chooses the
 * tokens and broadcasts them, so that every rank takes the same decisions: which rows end, which enter, and when all are
 * done. A row that ends frees its part for the next one in the list.
 */
#define _POSIX_C_SOURCE 200809L
#include "model/network/generate.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "comm/device_wait.h"
#include "device/memory.h"
#include "device/sample.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    PROMPT_TOKENS =
        1024 /* of several prompts in one pass: enough for the matrix products' full rate */
};

struct fr_generator {
    fr_ctx *ctx;
    fr_group *pipeline;
    fr_link *link; /* to the neighbours */
    fr_stage *stage;
    fr_activations *activations;
    fr_batch batch;
};

/* In a pass unit u of the batch, units[u] and ids[u] belong together. */
/* Room for one sequence in the cache, and who has it. */
typedef struct place {
    int64_t row; /* -1: nobody */
    fr_cached_sequence sequence;
    int32_t last; /* its last token, not yet in the cache */
} place;

/* One call. */
typedef struct generation {
    fr_generator *g;
    fr_generate_row *rows;
    int64_t n_rows;
    const fr_generate_params *params;
    int64_t next;     /* row that waits for a place */
    int64_t capacity; /* cache rows a place */
    int64_t n_places;
    place *places;
    place **units; /* of the pass: whose tokens they are */
    int32_t *ids;  /* of the pass: what each unit goes on with */
    fr_cache cache;
    /* last stage; the rest is memory of the device */
    double *uniforms; /* of the pass: one number for each choice */
    fr_f32 *logits;   /* [places, V] */
    fr_i32 *chosen;   /* [places] */
    fr_byte *never_V; /* a copy of the options' */
} generation;

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

/* ---- before the first token --------------------------------------------------------------- */

/* Tokens that the row may get. */
static int64_t max_new(const generation *c, const fr_generate_row *row)
{
    int64_t capacity =
        fr_stage_max_position(c->g->stage) - row->prefix->length - row->prompt.count;
    return c->params->max_new_tokens < capacity ? c->params->max_new_tokens : capacity;
}

/* Larger than 250 bytes of a name, a colon and the digits of a line number. */
enum { PLACE_BYTES = 300 };

/* "FILE:LINE", "--prompt" or "row 3". */
static const char *name_row(const generation *c, int64_t index, char out[PLACE_BYTES])
{
    fr_place from = c->rows[index].place;
    if (from.name == NULL) {
        (void)snprintf(out, PLACE_BYTES, "row %lld", (long long)index + 1);
    } else if (from.line > 0) {
        (void)snprintf(out, PLACE_BYTES, "%.250s:%lld", from.name,
                       (long long)from.line);
    } else {
        (void)snprintf(out, PLACE_BYTES, "%.250s", from.name);
    }
    return out;
}

/* Before anything is computed: a bad row in the middle of a list must not cost the rows before it. */
static fr_status check_row(const generation *c, int64_t index)
{
    char name[PLACE_BYTES];
    const fr_generate_row *row = &c->rows[index];
    fr_place from = {name_row(c, index, name), 0};
    FR_TRY(fr_vocabulary_check(c->g->ctx, from, row->prompt.data, row->prompt.count,
                               fr_stage_arch(c->g->stage)->vocab_size));
    if (row->prompt.count < 1) {
        return FR_FAIL(c->g->ctx, FR_ERR_DATA,
                       "row %lld: the prompt is empty; give at least one token",
                       (long long)index + 1);
    }
    if (max_new(c, row) < 1) {
        return FR_FAIL(
            c->g->ctx, FR_ERR_DATA,
            "row %lld: prefix of %lld and prompt of %lld tokens leave no room in the "
            "context of %lld; shorten the prompt",
            (long long)index + 1, (long long)row->prefix->length,
            (long long)row->prompt.count,
            (long long)fr_stage_max_position(c->g->stage));
    }
    return FR_OK;
}

/* As many places as wanted, as there are rows, and as the memory allows; the same on every rank. */
static fr_status choose_places(generation *c)
{
    for (int64_t i = 0; i < c->n_rows; i++) {
        FR_TRY(check_row(c, i));
        int64_t needed = c->rows[i].prompt.count + max_new(c, &c->rows[i]);
        c->capacity = needed > c->capacity ? needed : c->capacity;
    }
    /* parts are equal, so the longest row decides the size of all of them */
    int64_t fitting = c->params->cache_bytes / fr_cache_bytes(c->g->stage, c->capacity);
    c->n_places = c->params->batch < c->n_rows ? c->params->batch : c->n_rows;
    c->n_places = fitting < c->n_places ? fitting : c->n_places;
    c->n_places = c->n_places > 1 ? c->n_places : 1;
    /* stages hold different numbers of layers, so each may fit another number of rows */
    return fr_group_allreduce(c->g->pipeline, FR_MIN, &c->n_places, 1);
}

/* One token for each of n rows of logits, on the device. */
static fr_status sample(generation *c, int64_t n)
{
    const fr_sample_params *options = &c->params->sample;
    fr_sample_rule rule = {options->temperature, options->top_k, options->top_p,
                           c->never_V};
    return fr_sample_rows(fr_stage_device(c->g->stage), n,
                          fr_stage_arch(c->g->stage)->vocab_size, c->logits, &rule,
                          c->uniforms, c->chosen);
}

/* What the last stage chooses with. A choice from logits of 0 takes the operator's scratch as well: where memory is short
 * that must show now, since in a pass the other ranks wait. */
static fr_status alloc_choice(generation *c)
{
    fr_device *device = fr_stage_device(c->g->stage);
    const uint8_t *never = c->params->sample.never_V;
    int64_t n = c->n_places;
    int64_t vocab = fr_stage_arch(c->g->stage)->vocab_size;
    FR_TRY(fr_alloc(c->g->ctx, n, sizeof *c->uniforms, &c->uniforms));
    FR_TRY(fr_device_alloc(device, n * vocab, sizeof *c->logits, &c->logits));
    FR_TRY(fr_device_alloc(device, n, sizeof *c->chosen, &c->chosen));
    if (never != NULL) {
        FR_TRY(fr_device_alloc(device, vocab, sizeof *never, &c->never_V));
        FR_TRY(fr_device_load(device, c->never_V, never, vocab));
    }
    return sample(c, n);
}

static fr_status alloc_places(generation *c)
{
    fr_ctx *ctx = c->g->ctx;
    fr_device *device = fr_stage_device(c->g->stage);
    int64_t n = c->n_places;
    FR_TRY(fr_alloc(ctx, n, sizeof *c->places, &c->places));
    FR_TRY(fr_alloc(ctx, n, sizeof(place *), &c->units));
    FR_TRY(fr_host_alloc(device, n, sizeof *c->ids, &c->ids));
    FR_TRY(fr_cache_init(ctx, c->g->stage, n * c->capacity, n, &c->cache));
    for (int64_t i = 0; i < n; i++) {
        c->places[i].row = -1;
        c->places[i].sequence.first = i * c->capacity;
    }
    return fr_stage_is_last(c->g->stage) ? alloc_choice(c) : FR_OK;
}

static void free_places(generation *c)
{
    fr_device *device = fr_stage_device(c->g->stage);
    free(c->places);
    free(c->units);
    fr_host_free(device, c->ids);
    fr_cache_fini(&c->cache);
    free(c->uniforms);
    fr_device_free(device, c->logits);
    fr_device_free(device, c->chosen);
    fr_device_free(device, c->never_V);
}

/* ---- one pass ------------------------------------------------------------------------------- */

/* `past` moves on at once: the pass writes these tokens to the cache, and a failed pass ends the call. */
static fr_status add_unit(generation *c, place *p, const int32_t *ids, int64_t n)
{
    fr_batch *batch = &c->g->batch;
    c->units[batch->n_units] = p;
    c->cache.prefixes_U[batch->n_units] = c->rows[p->row].prefix;
    FR_TRY(fr_batch_add_cached(c->g->ctx, batch, &p->sequence, ids, n));
    p->sequence.past += n;
    return FR_OK;
}

/* The prompts of the rows that find a place. */
static fr_status add_prompts(generation *c)
{
    for (int64_t i = 0; i < c->n_places && c->next < c->n_rows; i++) {
        place *p = &c->places[i];
        const fr_generate_row *row = &c->rows[c->next];
        if (p->row >= 0) {
            continue;
        }
        /* a prompt above the limit still goes, alone in its pass */
        if (c->g->batch.n_tokens > 0 &&
            c->g->batch.n_tokens + row->prompt.count > PROMPT_TOKENS) {
            break;
        }
        p->row = c->next++;
        p->sequence.past = 0;
        p->sequence.prefix_length = row->prefix->length;
        FR_TRY(add_unit(c, p, row->prompt.data, row->prompt.count));
    }
    return FR_OK;
}

/* Prompts of rows that enter, or else the next token of all that are there; nothing if none is left. */
static fr_status fill_batch(generation *c)
{
    fr_batch_clear(&c->g->batch);
    FR_TRY(add_prompts(c));
    bool has_prompts = c->g->batch.n_units > 0;
    for (int64_t i = 0; i < c->n_places && !has_prompts; i++) {
        if (c->places[i].row >= 0) {
            FR_TRY(add_unit(c, &c->places[i], &c->places[i].last, 1));
        }
    }
    return FR_OK;
}

/* Run the new tokens through this stage between its neighbours. */
static fr_status pass_through(generation *c)
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

/* The tokens of this pass, from the logits of the last stage to `ids`. */
static fr_status choose_here(generation *c)
{
    fr_generator *g = c->g;
    fr_device *device = fr_stage_device(g->stage);
    int64_t n = g->batch.n_units;
    for (int64_t u = 0; u < n; u++) {
        int64_t row = c->units[u]->row;
        /* by row and number of the token, not by pass: what else is in the batch cannot change the draw */
        c->uniforms[u] =
            fr_rng_uniform(c->params->sample.seed, FR_RNG_SAMPLE, (uint64_t)row,
                           (uint64_t)c->rows[row].out.count);
    }
    FR_TRY(
        fr_stage_logits(g->stage, g->activations, n, g->batch.read_rows_S, c->logits));
    FR_TRY(sample(c, n));
    fr_device_get(device, c->ids, c->chosen, n * (int64_t)sizeof *c->ids);
    return fr_group_wait_device(g->pipeline, device, fr_device_mark(device));
}

/* The last stage chooses; all learn the tokens. */
static fr_status choose(generation *c)
{
    fr_generator *g = c->g;
    if (fr_stage_is_last(g->stage)) {
        FR_TRY(choose_here(c));
    }
    return fr_group_broadcast(g->pipeline, fr_group_size(g->pipeline) - 1, c->ids,
                              g->batch.n_units * (int64_t)sizeof *c->ids);
}

/* Lists of stop ids are short, so a search from the front is enough. */
static bool ends_text(const fr_generate_params *params, int32_t id)
{
    for (int64_t i = 0; i < params->n_stop; i++) {
        if (params->stop[i] == id) {
            return true;
        }
    }
    return false;
}

/* The row of this place goes on with `id`, or ends and leaves. */
static fr_status go_on(generation *c, place *p, int32_t id, bool *has_ended)
{
    const fr_generate_params *params = c->params;
    fr_generate_row *row = &c->rows[p->row];
    if (id == FR_NO_TOKEN) {
        char name[PLACE_BYTES];
        return FR_FAIL(c->g->ctx, FR_ERR_NUMERIC,
                       "%s: the logits after %lld tokens of prompt and %lld generated "
                       "ones are not finite; look at the prefix and the model file",
                       name_row(c, p->row, name), (long long)row->prompt.count,
                       (long long)row->out.count);
    }
    bool is_stop = ends_text(params, id);
    p->last = id;
    if (!is_stop) {
        FR_TRY(fr_ids_add(c->g->ctx, &row->out, id));
    }
    *has_ended = is_stop || row->out.count == max_new(c, row);
    return FR_OK;
}

/* Give every unit its token. Ranks agree where rows ended: the caller's part may have failed on one. */
static fr_status take_tokens(generation *c)
{
    fr_status status = FR_OK;
    bool any_ended = false;
    for (int64_t u = 0; u < c->g->batch.n_units && status == FR_OK; u++) {
        bool has_ended = false;
        place *p = c->units[u];
        status = go_on(c, p, c->ids[u], &has_ended);
        if (status == FR_OK && has_ended) {
            int64_t row = p->row;
            any_ended = true;
            p->row = -1;
            status =
                c->params->done != NULL ? c->params->done(c->params->user, row) : FR_OK;
        }
    }
    return any_ended ? fr_group_agree(c->g->pipeline, status) : status;
}

/* A pass has prompts or single tokens, never both, so its time belongs to one of them. */
static void count_time(const generation *c, double seconds)
{
    const fr_batch *batch = &c->g->batch;
    fr_generate_times *times = c->params->times;
    if (times != NULL && batch->is_decode) {
        times->decoded_tokens += batch->n_tokens;
        times->decode_seconds += seconds;
    } else if (times != NULL) {
        times->prompt_tokens += batch->n_tokens;
        times->prompt_seconds += seconds;
    }
}

static fr_status run(generation *c)
{
    fr_watch *watch = fr_group_watch(c->g->pipeline);
    FR_TRY(fill_batch(c));
    for (int64_t pass = 1; c->g->batch.n_units > 0; pass++) {
        double began = fr_clock_seconds();
        /* the hang watch reports where this rank is */
        fr_watch_at(watch, pass, "generate", c->units[0]->row);
        fr_status status = pass_through(c);
        if (status == FR_OK) {
            status = choose(c);
        }
        if (status != FR_OK) { /* the other stages may be waiting for this one */
            return fr_group_abandon(c->g->pipeline, status);
        }
        count_time(c, fr_clock_seconds() - began);
        FR_TRY(take_tokens(c));
        FR_TRY(fill_batch(c));
    }
    return FR_OK;
}

fr_status fr_generate(fr_generator *generator, fr_generate_row *rows, int64_t n_rows,
                      const fr_generate_params *params)
{
    generation c = {.g = generator,
                    .rows = rows,
                    .n_rows = n_rows,
                    .params = params,
                    .next = params->first};
    FR_TRY(choose_places(&c));
    /* a rank without memory must not leave the others waiting in the first pass */
    fr_status status = fr_group_agree(generator->pipeline, alloc_places(&c));
    if (status == FR_OK) {
        status = run(&c);
    }
    free_places(&c);
    return status;
}
