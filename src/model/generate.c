#include "model/generate.h"

#include "base/mem.h"
#include "base/rng.h"

#include <stdlib.h>

enum { TAG_GENERATE = 20 };

struct fr_generator {
    fr_ctx *ctx;
    fr_group *pipeline;
    fr_stage *stage;
    fr_slot *slot;
    fr_batch batch;
    fr_cache cache;
    float *logits;            /* last stage */
    fr_candidate *candidates; /* last stage */
};

static fr_status prepare(fr_generator *g)
{
    int64_t vocab = fr_stage_arch(g->stage)->vocab_size;
    FR_TRY(fr_slot_create(g->stage, false, &g->slot));
    FR_TRY(fr_alloc(g->ctx, vocab, sizeof *g->logits, &g->logits));
    return fr_alloc(g->ctx, vocab, sizeof *g->candidates, &g->candidates);
}

fr_status fr_generator_create(fr_ctx *ctx, fr_group *pipeline, fr_stage *stage,
                              fr_generator **out)
{
    fr_generator *g = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *g, &g));
    g->ctx = ctx;
    g->pipeline = pipeline;
    g->stage = stage;
    fr_status status = prepare(g);
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
        fr_slot_destroy(&g->slot);
        fr_batch_fini(&g->batch);
        fr_cache_fini(&g->cache);
        free(g->logits);
        free(g->candidates);
        free(g);
        *generator = NULL;
    }
}

/* Empty the caches, with room for `rows` keys. */
static fr_status reset_cache(fr_generator *g, int64_t rows)
{
    if (rows > g->cache.room) {
        fr_cache_fini(&g->cache);
        return fr_cache_init(g->ctx, g->stage, rows, &g->cache);
    }
    for (int64_t i = 0; i < g->cache.n_layers; i++) {
        g->cache.layers[i].past = 0;
    }
    return FR_OK;
}

/* A batch of n new tokens after `past` cached ones, which they see as a span. */
static fr_status fill_batch(fr_generator *g, const int32_t *ids, int64_t n,
                            int64_t past, int64_t prefix_length)
{
    fr_sequence sequence = {ids, NULL, n};
    fr_batch_clear(&g->batch);
    FR_TRY(fr_batch_add(g->ctx, &g->batch, prefix_length + past, &sequence, NULL, 0));
    fr_segment *segment = &g->batch.segments[0];
    segment->own_first = past;
    if (past > 0) {
        segment->spans[segment->n_spans++] = (fr_span){0, past};
    }
    return FR_OK;
}

/* Run the new tokens through this stage between its neighbours. */
static fr_status pass_through(fr_generator *g, const fr_stage_prefix *prefix)
{
    int stage = fr_group_rank(g->pipeline);
    int64_t width = fr_stage_arch(g->stage)->d_model;
    int64_t bytes = g->batch.n_tokens * width * (int64_t)sizeof(float);
    FR_TRY(fr_slot_prepare(g->stage, g->slot, &g->batch, prefix));
    if (!fr_stage_is_first(g->stage)) {
        FR_TRY(fr_group_receive(g->pipeline, stage - 1, TAG_GENERATE,
                                fr_slot_input(g->slot), bytes));
    }
    FR_TRY(fr_stage_forward(g->stage, &g->batch, prefix, &g->cache, g->slot));
    if (!fr_stage_is_last(g->stage)) {
        FR_TRY(fr_group_send(g->pipeline, stage + 1, TAG_GENERATE,
                             fr_slot_output(g->slot), bytes));
    }
    return FR_OK;
}

/* The last stage chooses; all learn the token. */
static fr_status choose(fr_generator *g, const fr_generate_params *params,
                        int64_t place, int32_t *id)
{
    const fr_arch *arch = fr_stage_arch(g->stage);
    if (fr_stage_is_last(g->stage)) {
        FR_TRY(fr_stage_logits(g->stage, g->slot, g->batch.n_tokens - 1, g->logits));
        double uniform = fr_rng_uniform(params->sample.seed, FR_RNG_SAMPLE, params->row,
                                        (uint64_t)place);
        *id = fr_sample(g->logits, arch->vocab_size, &params->sample, uniform,
                        g->candidates);
    }
    return fr_group_broadcast(g->pipeline, fr_group_size(g->pipeline) - 1, id,
                              sizeof *id);
}

static fr_status check_prompt(fr_generator *g, const fr_stage_prefix *prefix, int64_t n,
                              int64_t *room)
{
    int64_t context = fr_stage_max_position(g->stage);
    if (n < 1) {
        return FR_FAIL(g->ctx, FR_ERR_DATA,
                       "the prompt is empty; give at least one token");
    }
    *room = context - prefix->length - n;
    if (*room < 1) {
        return FR_FAIL(g->ctx, FR_ERR_DATA,
                       "prefix of %lld and prompt of %lld tokens leave no room in the "
                       "context of %lld; shorten the prompt",
                       (long long)prefix->length, (long long)n, (long long)context);
    }
    return FR_OK;
}

static bool is_stop(const fr_generate_params *params, int32_t id)
{
    return id == params->stop[0] || id == params->stop[1];
}

fr_status fr_generate(fr_generator *generator, const fr_stage_prefix *prefix,
                      const int32_t *prompt, int64_t n,
                      const fr_generate_params *params, fr_ids *out)
{
    fr_generator *g = generator;
    int64_t room = 0;
    FR_TRY(check_prompt(g, prefix, n, &room));
    int64_t most = params->max_new_tokens < room ? params->max_new_tokens : room;
    int32_t id = 0;
    FR_TRY(reset_cache(g, n + most));
    FR_TRY(fill_batch(g, prompt, n, 0, prefix->length));
    for (int64_t i = 0; i < most; i++) {
        FR_TRY(pass_through(g, prefix));
        FR_TRY(choose(g, params, i, &id));
        if (is_stop(params, id)) {
            return FR_OK;
        }
        FR_TRY(fr_ids_add(g->ctx, out, id));
        FR_TRY(fill_batch(g, &id, 1, n + i, prefix->length));
    }
    return FR_OK;
}
