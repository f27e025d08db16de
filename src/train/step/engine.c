#define _POSIX_C_SOURCE 200809L
#include "train/step/engine.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A microbatch in flight. */
typedef struct flight {
    fr_activations *slot;
    fr_batch batch;
    fr_request output_sent;
    fr_request gradient_sent;
    fr_request gradient_coming;
} flight;

/* The input of the forward that comes next, on its way before its flight is free. */
typedef struct ahead {
    fr_request coming;
    bool is_expected;
    float *input;     /* [T, D] */
    int64_t capacity; /* bytes */
} ahead;

struct fr_engine {
    fr_ctx *ctx;
    fr_grid *grid;
    fr_stage *stage;
    int64_t n_flights;
    flight *flights; /* for training: kept activations */
    flight
        forward[2]; /* for forward-only passes: one computes while the other is sent */
    ahead ahead;
    double *nll; /* scratch for one microbatch */
    int64_t nll_capacity;
    fr_branch *branches; /* scratch for one unit */
    fr_sequence *targets;
    int64_t target_capacity;
};

int fr_exact_exponent(int64_t n_terms)
{
    int bits = 0;
    while (bits < 44 && ((int64_t)1 << bits) < n_terms) {
        bits++;
    }
    return 62 - bits - 17;
}

void fr_exact_add_one(double x, int exponent, int64_t *sum, int64_t *n_nonfinite)
{
    static const double LIMIT = 0x1p17;
    if (fabs(x) < LIMIT) {
        *sum += llrint(ldexp(x, exponent));
    } else {
        (*n_nonfinite)++;
    }
}

double fr_exact_value(int64_t sum, int exponent)
{
    return ldexp((double)sum, -exponent);
}

static fr_status flight_init(fr_stage *stage, bool keep, flight *out)
{
    *out = (flight){0};
    return fr_activations_create(stage, keep, &out->slot);
}

static void flight_fini(flight *f)
{
    fr_activations_destroy(&f->slot);
    fr_batch_fini(&f->batch);
}

static void poll_messages(void *world)
{
    fr_group_poll(world);
}

fr_status fr_engine_create(fr_ctx *ctx, const fr_engine_params *params, fr_engine **out)
{
    fr_engine *e = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *e, &e));
    e->ctx = ctx;
    e->grid = params->grid;
    e->stage = params->stage;
    fr_status status =
        fr_alloc(ctx, params->n_flights, sizeof *e->flights, &e->flights);
    e->n_flights = status == FR_OK ? params->n_flights : 0;
    for (int64_t i = 0; status == FR_OK && i < e->n_flights; i++) {
        status = flight_init(e->stage, true, &e->flights[i]);
    }
    for (int i = 0; status == FR_OK && i < 2; i++) {
        status = flight_init(e->stage, false, &e->forward[i]);
    }
    if (status != FR_OK) {
        fr_engine_destroy(&e);
    } else {
        fr_device_set_progress(params->device, poll_messages, e->grid->world);
    }
    *out = e;
    return status;
}

void fr_engine_destroy(fr_engine **engine)
{
    fr_engine *e = *engine;
    if (e == NULL) {
        return;
    }
    for (int64_t i = 0; i < e->n_flights; i++) {
        flight_fini(&e->flights[i]);
    }
    for (int i = 0; i < 2; i++) {
        flight_fini(&e->forward[i]);
    }
    free(e->flights);
    free(e->ahead.input);
    free(e->nll);
    free(e->branches);
    free(e->targets);
    free(e);
    *engine = NULL;
}

int64_t fr_engine_first_layer(const fr_engine *engine)
{
    return fr_stage_first_layer(engine->stage);
}

/* A message of n token rows. */
static int64_t edge_bytes(const fr_engine *e, int64_t n_tokens)
{
    return n_tokens * fr_stage_arch(e->stage)->d_model * (int64_t)sizeof(float);
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Wait for a message from a neighbour and add the time to *waited. */
static fr_status await(fr_engine *e, fr_request *request, int64_t *waited)
{
    bool is_done = false;
    FR_TRY(fr_group_test(e->grid->pipeline, request, &is_done));
    if (is_done) {
        return FR_OK;
    }
    int64_t began = now_ns();
    fr_status status = fr_group_wait(e->grid->pipeline, request);
    *waited += now_ns() - began;
    return status;
}

/* Scratch for units of n examples, and so of at most as many sources. */
static fr_status reserve_unit(fr_engine *e, int64_t n)
{
    if (n <= e->target_capacity) {
        return FR_OK;
    }
    free(e->branches);
    free(e->targets);
    e->targets = NULL;
    e->target_capacity = 0;
    FR_TRY(fr_alloc(e->ctx, n, sizeof *e->branches, &e->branches));
    FR_TRY(fr_alloc(e->ctx, n, sizeof *e->targets, &e->targets));
    e->target_capacity = n;
    return FR_OK;
}

static fr_status add_unit(fr_engine *e, const fr_pass *pass, const fr_unit *unit,
                          fr_batch *batch)
{
    fr_sequence *next = e->targets;
    for (int64_t s = 0; s < unit->n_sources; s++) {
        const fr_plan_source *source = &pass->plan->sources[unit->first_source + s];
        const int64_t *examples = pass->plan->examples + source->first_example;
        e->branches[s] = (fr_branch){fr_dataset_source(pass->dataset, source->row),
                                     next, source->n_examples};
        for (int64_t i = 0; i < source->n_examples; i++) {
            *next++ = fr_dataset_example_target(pass->dataset, examples[i]);
        }
    }
    return fr_batch_add_branches(e->ctx, batch, pass->prefix->length, unit->n_shared,
                                 e->branches, unit->n_sources);
}

static fr_status build_batch(fr_engine *e, const fr_pass *pass,
                             const fr_microbatch *microbatch, fr_batch *batch)
{
    const fr_step_plan *plan = pass->plan;
    fr_batch_clear(batch);
    FR_TRY(reserve_unit(e, plan->n_examples));
    for (int64_t i = 0; i < microbatch->n_units; i++) {
        int64_t unit = plan->order[microbatch->first_unit + i];
        FR_TRY(add_unit(e, pass, &plan->units[unit], batch));
    }
    return FR_OK;
}

static double add_up(const double *values, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += values[i];
    }
    return sum;
}

/* Nats of each example of a source, what the source predicts itself (earlier turns of a dialogue) included, from
 * its predictions on; returns what comes behind them. */
static const double *spread_source(const fr_pass *pass, const fr_plan_source *from,
                                   const double *nll)
{
    fr_sequence source = fr_dataset_source(pass->dataset, from->row);
    int64_t n_source = fr_sequence_predictions(&source, false);
    for (int64_t i = 0; i < from->n_examples; i++) {
        int64_t place = from->first_example + i;
        fr_sequence target =
            fr_dataset_example_target(pass->dataset, pass->plan->examples[place]);
        int64_t n = fr_sequence_predictions(&target, source.count > 0);
        pass->example_nll[place] = add_up(nll, n_source) + add_up(nll + n_source, n);
        nll += n_source + n;
    }
    return nll;
}

static void spread_nll(const fr_pass *pass, const fr_microbatch *microbatch,
                       const double *nll)
{
    const fr_step_plan *plan = pass->plan;
    for (int64_t i = 0; i < microbatch->n_units; i++) {
        const fr_unit *unit = &plan->units[plan->order[microbatch->first_unit + i]];
        for (int64_t s = 0; s < unit->n_sources; s++) {
            nll = spread_source(pass, &plan->sources[unit->first_source + s], nll);
        }
    }
}

static fr_status compute_loss(fr_engine *e, fr_pass *pass,
                              const fr_microbatch *microbatch, flight *f)
{
    int64_t n = f->batch.n_targets;
    if (n > e->nll_capacity) {
        free(e->nll);
        e->nll_capacity = 0;
        FR_TRY(fr_alloc(e->ctx, n, sizeof *e->nll, &e->nll));
        e->nll_capacity = n;
    }
    FR_TRY(fr_stage_loss(e->stage, &f->batch, f->slot, pass->sum != NULL, e->nll));
    for (int64_t r = 0; r < n; r++) {
        fr_exact_add_one(e->nll[r], pass->loss_exponent, &pass->loss_sum,
                         &pass->n_nonfinite);
    }
    if (pass->example_nll != NULL) {
        spread_nll(pass, microbatch, e->nll);
    }
    return FR_OK;
}

/* The i-th microbatch of this replica. */
static const fr_microbatch *own_microbatch(const fr_engine *e, const fr_step_plan *plan,
                                           int64_t i)
{
    for (int64_t b = 0; b < plan->n_microbatches; b++) {
        if (plan->microbatches[b].replica == e->grid->replica && i-- == 0) {
            return &plan->microbatches[b];
        }
    }
    return NULL;
}

int64_t fr_engine_count(const fr_engine *engine, const fr_step_plan *plan)
{
    int64_t n = 0;
    for (int64_t b = 0; b < plan->n_microbatches; b++) {
        n += plan->microbatches[b].replica == engine->grid->replica;
    }
    return n;
}

fr_status fr_engine_expect(fr_engine *engine, const fr_pass *pass, int64_t index)
{
    ahead *next = &engine->ahead;
    const fr_microbatch *microbatch = own_microbatch(engine, pass->plan, index);
    if (fr_stage_is_first(engine->stage) || next->is_expected) {
        return FR_OK;
    }
    int64_t bytes = edge_bytes(engine, microbatch->n_rows);
    if (bytes > next->capacity) {
        free(next->input);
        next->capacity = 0;
        FR_TRY(fr_alloc(engine->ctx, bytes, 1, &next->input));
        next->capacity = bytes;
    }
    next->is_expected = true;
    return fr_group_receive_begin(engine->grid->pipeline, engine->grid->stage - 1,
                                  FR_TAG_FORWARD, next->input, bytes, &next->coming);
}

/* The input of the microbatch whose batch is built. */
static fr_status take_input(fr_engine *e, fr_pass *pass, flight *f)
{
    fr_request coming = {NULL};
    int64_t bytes = edge_bytes(e, f->batch.n_tokens);
    if (e->ahead.is_expected) {
        FR_TRY(await(e, &e->ahead.coming, &pass->traffic.forward_wait_ns));
        memcpy(fr_activations_input(f->slot), e->ahead.input, (size_t)bytes);
        e->ahead.is_expected = false;
        return FR_OK;
    }
    FR_TRY(fr_group_receive_begin(e->grid->pipeline, e->grid->stage - 1, FR_TAG_FORWARD,
                                  fr_activations_input(f->slot), bytes, &coming));
    return await(e, &coming, &pass->traffic.forward_wait_ns);
}

/* Whether this stage has a backward: whether some layer up to its last has a prefix. */
static bool goes_backward(const fr_engine *e, const fr_pass *pass)
{
    return pass->sum != NULL &&
           fr_stage_lowest(e->stage, pass->prefix) < fr_stage_n_layers(e->stage);
}

/* Send the output on and, where a backward follows, expect its gradient. */
static fr_status pass_on(fr_engine *e, fr_pass *pass, flight *f)
{
    fr_group *pipeline = e->grid->pipeline;
    int next = e->grid->stage + 1;
    int64_t bytes = edge_bytes(e, f->batch.n_tokens);
    pass->traffic.forward_bytes += bytes;
    FR_TRY(fr_group_send_begin(pipeline, next, FR_TAG_FORWARD,
                               fr_activations_output(f->slot), bytes, &f->output_sent));
    if (!goes_backward(e, pass)) {
        return FR_OK;
    }
    return fr_group_receive_begin(pipeline, next, FR_TAG_BACKWARD,
                                  fr_activations_gradient(f->slot), bytes,
                                  &f->gradient_coming);
}

static fr_status run_forward(fr_engine *e, fr_pass *pass,
                             const fr_microbatch *microbatch, flight *f)
{
    fr_group *pipeline = e->grid->pipeline;
    FR_TRY(fr_group_wait(pipeline, &f->output_sent));
    FR_TRY(fr_group_wait(pipeline, &f->gradient_sent));
    FR_TRY(build_batch(e, pass, microbatch, &f->batch));
    FR_TRY(fr_activations_prepare(e->stage, f->slot, &f->batch, pass->prefix));
    if (!fr_stage_is_first(e->stage)) {
        FR_TRY(take_input(e, pass, f));
    }
    FR_TRY(fr_stage_forward(e->stage, &f->batch, pass->prefix, NULL, f->slot));
    return fr_stage_is_last(e->stage) ? compute_loss(e, pass, microbatch, f)
                                      : pass_on(e, pass, f);
}

fr_status fr_engine_forward(fr_engine *engine, fr_pass *pass, int64_t index,
                            int64_t place)
{
    return run_forward(engine, pass, own_microbatch(engine, pass->plan, index),
                       &engine->flights[place]);
}

fr_status fr_engine_backward(fr_engine *engine, fr_pass *pass, int64_t place)
{
    fr_engine *e = engine;
    flight *f = &e->flights[place];
    float *gradient = fr_activations_gradient(f->slot);
    if (!goes_backward(e, pass)) {
        return FR_OK;
    }
    FR_TRY(await(e, &f->gradient_coming, &pass->traffic.backward_wait_ns));
    FR_TRY(fr_stage_backward(e->stage, &f->batch, pass->prefix, f->slot, pass->sum));
    if (fr_stage_first_layer(e->stage) <= pass->prefix->layers.first) {
        return FR_OK; /* the stage before has no backward */
    }
    int64_t bytes = edge_bytes(e, f->batch.n_tokens);
    pass->traffic.backward_bytes += bytes;
    return fr_group_send_begin(e->grid->pipeline, e->grid->stage - 1, FR_TAG_BACKWARD,
                               gradient, bytes, &f->gradient_sent);
}

static fr_status wait_all(fr_engine *e, flight *flights, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        FR_TRY(fr_group_wait(e->grid->pipeline, &flights[i].output_sent));
        FR_TRY(fr_group_wait(e->grid->pipeline, &flights[i].gradient_sent));
    }
    return FR_OK;
}

fr_status fr_engine_settle(fr_engine *engine)
{
    return wait_all(engine, engine->flights, engine->n_flights);
}

fr_status fr_engine_run(fr_engine *engine, fr_pass *pass)
{
    int64_t m = fr_engine_count(engine, pass->plan);
    bool is_last = fr_stage_is_last(engine->stage); /* sends nothing */
    pass->loss_sum = 0;
    pass->n_nonfinite = 0;
    for (int64_t i = 0; i < m; i++) {
        fr_watch_microbatch(fr_group_watch(engine->grid->world), i);
        FR_TRY(run_forward(engine, pass, own_microbatch(engine, pass->plan, i),
                           &engine->forward[is_last ? 0 : i % 2]));
    }
    return wait_all(engine, engine->forward, 2);
}

static fr_status run_text(fr_engine *e, const int32_t *ids, int64_t n, fr_cache *cache)
{
    static const fr_stage_prefix NONE = {0};
    fr_group *pipeline = e->grid->pipeline;
    int stage = e->grid->stage;
    flight *f = &e->forward[0];
    fr_sequence text = {ids, NULL, n};
    int64_t bytes = edge_bytes(e, n);
    fr_batch_clear(&f->batch);
    FR_TRY(fr_batch_add(e->ctx, &f->batch, 0, &text, NULL, 0));
    FR_TRY(fr_activations_prepare(e->stage, f->slot, &f->batch, &NONE));
    if (!fr_stage_is_first(e->stage)) {
        FR_TRY(fr_group_receive(pipeline, stage - 1, FR_TAG_FORWARD,
                                fr_activations_input(f->slot), bytes));
    }
    FR_TRY(fr_stage_forward(e->stage, &f->batch, &NONE, cache, f->slot));
    if (!fr_stage_is_last(e->stage)) {
        FR_TRY(fr_group_send(pipeline, stage + 1, FR_TAG_FORWARD,
                             fr_activations_output(f->slot), bytes));
    }
    return FR_OK;
}

/* The text's cache is the prefix. */
fr_status fr_engine_keys_of_text(fr_engine *engine, const int32_t *ids, int64_t n,
                                 fr_layer_range layers, float *k, float *v)
{
    static const fr_stage_prefix NONE = {0};
    const fr_stage_prefix *prefixes[] = {&NONE};
    fr_attention_prefix scratch[1];
    int64_t first = fr_stage_first_layer(engine->stage);
    int64_t n_layers = fr_stage_n_layers(engine->stage);
    int64_t layer = fr_arch_prefix_elements(fr_stage_arch(engine->stage), n);
    fr_layer_range own = fr_layers_within(layers, first, n_layers);
    fr_cache cache = {
        .n_layers = n_layers, .layer_prefixes_U = scratch, .prefixes_U = prefixes};
    FR_TRY(fr_alloc(engine->ctx, n_layers, sizeof *cache.layers, &cache.layers));
    for (int64_t i = 0; i < own.count; i++) {
        cache.layers[own.first - first + i] = (fr_layer_cache){
            .k = k + i * layer, .v = v + i * layer, .prefixes_U = scratch};
    }
    fr_status status = run_text(engine, ids, n, &cache);
    free(cache.layers);
    return status;
}
