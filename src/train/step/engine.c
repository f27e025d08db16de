/* The microbatches of a stage and their messages.
 *
 * Flights. A microbatch is in flight from its forward to the end of its backward; its flight owns its batch, its
 * activations and its messages. Both forwards and backwards run in one order (schedule.h), so flights form a ring:
 * a forward takes the next free flight, a backward ends the oldest. Forward-only passes use two flights of their
 * own in turn.
 *
 * Messages. One forward and one backward message go over each edge per microbatch, in the order of the
 * microbatches, so one tag a direction is enough. Nothing here waits for a send until its flight is used again.
 * Receives begin early: the gradient's when the forward ends; the input's when the caller announces the next
 * forward (fr_engine_expect). All flights may be in use then, so it goes into memory of its own, which the forward
 * exchanges with that of its flight.
 *
 * What always holds: 0 <= n_in_flight <= max_in_flight; at most one input is expected. */
#define _POSIX_C_SOURCE 200809L
#include "train/step/engine.h"

#include "base/clock.h"
#include "base/mem.h"
#include "comm/device_wait.h"
#include "device/loss.h"
#include "model/network/prefix_image.h"

#include <stdlib.h>
#include <string.h>

enum { N_PASSING = 2 }; /* one computes while the other is sent */

typedef struct flight {
    fr_pass *pass;
    const fr_microbatch *microbatch;
    fr_batch batch;
    fr_activations *activations;
    fr_transfer output_sent;
    fr_transfer gradient_sent;
    fr_transfer gradient_coming;
    double *nll; /* [nll_capacity], the host's, where examples' nats are wanted */
    int64_t nll_capacity;
    fr_mark nll_there;
    bool has_nll; /* on its way to `nll`, and not yet spread */
} flight;

/* The input of the next forward, on its way before its flight is free. */
typedef struct ahead {
    fr_transfer coming;
    bool is_expected;
    fr_stage_input input;
} ahead;

struct fr_engine {
    fr_ctx *ctx;
    fr_grid *grid;
    fr_stage *stage;
    fr_device *device;
    fr_link *pipeline; /* to the neighbours */
    fr_link *replicas; /* between the replicas; NULL where `sums` is not */
    fr_link *sums;     /* borrowed */
    flight *flights;   /* [max_in_flight] a ring, activations are kept */
    int64_t max_in_flight;
    int64_t oldest;
    int64_t n_in_flight; /* from the oldest on */
    flight passing[N_PASSING];
    ahead ahead;
    fr_pass_scratch scratch;
    fr_f64 *nll; /* of one microbatch */
    int64_t nll_capacity;
};

static fr_status flight_init(fr_stage *stage, bool keep, flight *out)
{
    *out = (flight){0};
    return fr_activations_create(stage, keep, &out->activations);
}

static void flight_fini(fr_device *device, flight *f)
{
    fr_activations_destroy(&f->activations);
    fr_host_free(device, f->nll);
    fr_batch_fini(&f->batch);
}

/* The device calls it every few milliseconds during matrix products: MPI advances messages only inside its own
 * calls. */
static void poll_messages(void *world)
{
    fr_group_poll(world);
}

/* A neighbour sends and receives one kind of message each. */
static int pipeline_streams(int stage, int n_stages)
{
    return 2 * ((stage > 0) + (stage + 1 < n_stages));
}

int64_t fr_engine_link_bytes(fr_link_kind kind, int stage, int n_stages, int n_replicas)
{
    return fr_link_bytes(kind, pipeline_streams(stage, n_stages), 0) +
           fr_link_bytes(fr_link_kind_of_sums(kind), n_replicas > 1, 0);
}

static fr_status open_links(fr_engine *e, const fr_engine_params *params)
{
    const fr_grid *grid = e->grid;
    fr_link_params pipeline = {.group = grid->pipeline,
                               .device = e->device,
                               .kind = params->link,
                               .n_streams =
                                   pipeline_streams(grid->stage, grid->n_stages),
                               .piece_bytes = params->link_piece};
    fr_link_params replicas = pipeline;
    replicas.group = grid->replicas;
    replicas.kind = fr_link_kind_of_sums(params->link);
    replicas.n_streams = grid->n_replicas > 1;
    FR_TRY(fr_link_open(e->ctx, &pipeline, &e->pipeline));
    return e->sums != NULL ? FR_OK : fr_link_open(e->ctx, &replicas, &e->replicas);
}

fr_status fr_engine_create(fr_ctx *ctx, const fr_engine_params *params, fr_engine **out)
{
    fr_engine *e = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *e, &e));
    e->ctx = ctx;
    e->grid = params->grid;
    e->sums = params->sums;
    e->stage = params->stage;
    e->device = fr_stage_device(params->stage);
    fr_status status = open_links(e, params);
    if (status == FR_OK) {
        status = fr_alloc(ctx, params->max_in_flight, sizeof *e->flights, &e->flights);
    }
    e->max_in_flight = status == FR_OK ? params->max_in_flight : 0;
    for (int64_t i = 0; status == FR_OK && i < e->max_in_flight; i++) {
        status = flight_init(e->stage, true, &e->flights[i]);
    }
    for (int i = 0; status == FR_OK && i < N_PASSING; i++) {
        status = flight_init(e->stage, false, &e->passing[i]);
    }
    if (status != FR_OK) {
        fr_engine_destroy(&e);
    } else {
        fr_device_set_progress(e->device, poll_messages, e->grid->world);
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
    for (int64_t i = 0; i < e->max_in_flight; i++) {
        flight_fini(e->device, &e->flights[i]);
    }
    for (int i = 0; i < N_PASSING; i++) {
        flight_fini(e->device, &e->passing[i]);
    }
    fr_link_close(&e->pipeline);
    fr_link_close(&e->replicas);
    free(e->flights);
    fr_stage_input_fini(e->stage, &e->ahead.input);
    fr_device_free(e->device, e->nll);
    fr_pass_scratch_fini(&e->scratch);
    free(e);
    *engine = NULL;
}

fr_device *fr_engine_device(const fr_engine *engine)
{
    return engine->device;
}

fr_link *fr_engine_replicas(const fr_engine *engine)
{
    return engine->sums != NULL ? engine->sums : engine->replicas;
}

/* A message of n token rows. */
static int64_t edge_bytes(const fr_engine *e, int64_t n_tokens)
{
    return n_tokens * fr_stage_arch(e->stage)->d_model * (int64_t)sizeof(float);
}

/* Join a message from a neighbour and add the time to *waited. A message that is already there counts as no wait. */
static fr_status await(fr_engine *e, fr_transfer *transfer, int64_t *waited)
{
    bool is_done = false;
    FR_TRY(fr_link_test(e->pipeline, transfer, &is_done));
    if (is_done) {
        return FR_OK;
    }
    int64_t began = fr_clock_ns();
    fr_status status = fr_link_join(e->pipeline, transfer);
    *waited += fr_clock_ns() - began;
    return status;
}

/* The last stage's loss, and with it the gradient of its output. The nats stay on the device, in memory that the next
 * microbatch uses again; where those of examples are wanted they are asked for, and come while others compute. */
static fr_status compute_loss(fr_engine *e, flight *f)
{
    fr_pass *pass = f->pass;
    int64_t n = f->batch.n_targets;
    if (n > e->nll_capacity) {
        fr_device_free(e->device, e->nll);
        e->nll = NULL;
        e->nll_capacity = 0;
        FR_TRY(fr_device_alloc(e->device, n, sizeof *e->nll, &e->nll));
        e->nll_capacity = n;
    }
    FR_TRY(
        fr_stage_loss(e->stage, &f->batch, f->activations, pass->sum != NULL, e->nll));
    fr_exact_add_numbers(e->device, n, pass->loss_exponent, e->nll,
                         pass->totals + FR_PASS_LOSS, pass->totals + FR_PASS_REFUSED);
    if (pass->example_nll == NULL) {
        return FR_OK;
    }
    if (n > f->nll_capacity) {
        fr_host_free(e->device, f->nll);
        f->nll = NULL;
        f->nll_capacity = 0;
        FR_TRY(fr_host_alloc(e->device, n, sizeof *f->nll, &f->nll));
        f->nll_capacity = n;
    }
    fr_device_get(e->device, f->nll, e->nll, n * (int64_t)sizeof *f->nll);
    f->nll_there = fr_device_mark(e->device);
    f->has_nll = true;
    return FR_OK;
}

/* The nats of the flight's examples, where they are wanted, go to its pass. */
static fr_status spread_nll(fr_engine *e, flight *f)
{
    if (f->has_nll) {
        FR_TRY(fr_group_wait_device(e->grid->world, e->device, f->nll_there));
        fr_pass_spread(f->pass, f->microbatch, f->nll);
        f->has_nll = false;
    }
    return FR_OK;
}

/* ---- messages --------------------------------------------------------------------------------- */

static fr_status begin_input(fr_engine *e, fr_f32 *input, int64_t bytes,
                             fr_transfer *coming)
{
    return fr_link_receive_begin(e->pipeline, e->grid->stage - 1, FR_TAG_FORWARD, input,
                                 bytes, coming);
}

fr_status fr_engine_expect(fr_engine *engine, const fr_pass *pass, int64_t index)
{
    ahead *next = &engine->ahead;
    if (fr_stage_is_first(engine->stage) || next->is_expected) {
        return FR_OK;
    }
    const fr_microbatch *microbatch =
        fr_plan_microbatch(pass->plan, engine->grid->replica, index);
    /* The plan gives the size of the message, so the batch need not be filled yet. */
    int64_t n_tokens = microbatch->n_rows;
    FR_TRY(fr_stage_input_reserve(engine->stage, n_tokens, &next->input));
    next->is_expected = true;
    return begin_input(engine, next->input.x_TD, edge_bytes(engine, n_tokens),
                       &next->coming);
}

static fr_status prepare(fr_engine *e, flight *f)
{
    return fr_activations_prepare(e->stage, f->activations, &f->batch, f->pass->prefix);
}

/* Make a flight's activations ready and wait for its input. An input that was expected is received into memory that the
 * activations now take over. The batch is checked before the wait: where it is refused, no stage sends anything. */
static fr_status prepare_with_input(fr_engine *e, flight *f)
{
    ahead *next = &e->ahead;
    if (next->is_expected) {
        fr_activations_swap_input(f->activations, &next->input);
    }
    FR_TRY(prepare(e, f));
    if (!next->is_expected) {
        FR_TRY(begin_input(e, fr_activations_input(f->activations),
                           edge_bytes(e, f->batch.n_tokens), &next->coming));
    }
    next->is_expected = false;
    return await(e, &next->coming, &f->pass->traffic.forward_wait_ns);
}

/* Whether this stage has a backward: whether some layer up to its last has a prefix. */
static bool goes_backward(const fr_engine *e, const fr_pass *pass)
{
    return pass->sum != NULL &&
           fr_stage_lowest(e->stage, pass->prefix) < fr_stage_n_layers(e->stage);
}

/* Send the output on and, where a backward follows, expect its gradient. */
static fr_status pass_on(fr_engine *e, flight *f)
{
    int next = e->grid->stage + 1;
    int64_t bytes = edge_bytes(e, f->batch.n_tokens);
    f->pass->traffic.forward_bytes += bytes;
    FR_TRY(fr_link_send_begin(e->pipeline, next, FR_TAG_FORWARD,
                              fr_activations_output(f->activations), bytes,
                              &f->output_sent));
    if (!goes_backward(e, f->pass)) {
        return FR_OK;
    }
    return fr_link_receive_begin(e->pipeline, next, FR_TAG_BACKWARD,
                                 fr_activations_gradient(f->activations), bytes,
                                 &f->gradient_coming);
}

/* The gradient of the stage's input lies where that of its output was received: a layer's backward works in place. */
static fr_status pass_back(fr_engine *e, flight *f)
{
    int64_t bytes = edge_bytes(e, f->batch.n_tokens);
    f->pass->traffic.backward_bytes += bytes;
    return fr_link_send_begin(e->pipeline, e->grid->stage - 1, FR_TAG_BACKWARD,
                              fr_activations_gradient(f->activations), bytes,
                              &f->gradient_sent);
}

/* ---- one microbatch --------------------------------------------------------------------------- */

/* The flight is free: what was sent from it has left. */
static fr_status run_forward(fr_engine *e, flight *f)
{
    FR_TRY(fr_stage_is_first(e->stage) ? prepare(e, f) : prepare_with_input(e, f));
    FR_TRY(
        fr_stage_forward(e->stage, &f->batch, f->pass->prefix, NULL, f->activations));
    return fr_stage_is_last(e->stage) ? compute_loss(e, f) : pass_on(e, f);
}

/* A transfer that is complete or was never begun is no wait. */
static fr_status await_sent(fr_engine *e, flight *f)
{
    FR_TRY(fr_link_join(e->pipeline, &f->output_sent));
    return fr_link_join(e->pipeline, &f->gradient_sent);
}

/* Put a microbatch into a flight, whose last one has ended. */
static fr_status load(fr_engine *e, flight *f, fr_pass *pass, int64_t index)
{
    FR_TRY(spread_nll(e, f));
    f->pass = pass;
    f->microbatch = fr_plan_microbatch(pass->plan, e->grid->replica, index);
    FR_TRY(await_sent(e, f));
    return fr_pass_fill_batch(e->ctx, pass, f->microbatch, &e->scratch, &f->batch);
}

fr_status fr_engine_forward(fr_engine *engine, fr_pass *pass, int64_t index)
{
    fr_engine *e = engine;
    flight *f = &e->flights[(e->oldest + e->n_in_flight) % e->max_in_flight];
    e->n_in_flight++;
    FR_TRY(load(e, f, pass, index));
    return run_forward(e, f);
}

static fr_status run_backward(fr_engine *e, flight *f)
{
    fr_pass *pass = f->pass;
    if (!goes_backward(e, pass)) {
        return FR_OK;
    }
    FR_TRY(await(e, &f->gradient_coming, &pass->traffic.backward_wait_ns));
    FR_TRY(fr_stage_backward(e->stage, &f->batch, pass->prefix, f->activations,
                             pass->sum));
    /* Below the first layer with a prefix no gradient is of use, so the earlier stages expect none. */
    bool ends_here = fr_stage_first_layer(e->stage) <= pass->prefix->layers.first;
    return ends_here ? FR_OK : pass_back(e, f);
}

/* The flight counts as free before its backward is done. Nothing can take it meanwhile, because one thread runs
 * both. */
fr_status fr_engine_backward(fr_engine *engine)
{
    fr_engine *e = engine;
    flight *f = &e->flights[e->oldest];
    e->oldest = (e->oldest + 1) % e->max_in_flight;
    e->n_in_flight--;
    return run_backward(e, f);
}

static fr_status settle(fr_engine *e, flight *flights, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        FR_TRY(await_sent(e, &flights[i]));
        FR_TRY(spread_nll(e, &flights[i]));
    }
    return FR_OK;
}

fr_status fr_engine_settle(fr_engine *engine)
{
    return settle(engine, engine->flights, engine->max_in_flight);
}

/* ---- whole passes ----------------------------------------------------------------------------- */

fr_status fr_engine_run(fr_engine *engine, fr_pass *pass)
{
    int64_t n = fr_plan_count(pass->plan, engine->grid->replica);
    int n_used = fr_stage_is_last(engine->stage) ? 1 : N_PASSING; /* it sends nothing */
    for (int64_t i = 0; i < n; i++) {
        flight *f = &engine->passing[i % n_used];
        fr_watch_microbatch(fr_group_watch(engine->grid->world), i);
        FR_TRY(load(engine, f, pass, i));
        FR_TRY(run_forward(engine, f));
    }
    return settle(engine, engine->passing, N_PASSING);
}

/* One short text, so nothing is overlapped and the messages block. The first stage reads the ids; the others need
 * only their number and positions. */
static fr_status run_text(fr_engine *e, const int32_t *ids, int64_t n, fr_cache *cache)
{
    static const fr_stage_prefix NONE = {0};
    int stage = e->grid->stage;
    flight *f = &e->passing[0];
    fr_transfer message;
    fr_sequence text = {ids, NULL, n};
    int64_t bytes = edge_bytes(e, n);
    fr_batch_clear(&f->batch);
    FR_TRY(fr_batch_add(e->ctx, &f->batch, 0, &text, NULL, 0));
    FR_TRY(fr_activations_prepare(e->stage, f->activations, &f->batch, &NONE));
    if (!fr_stage_is_first(e->stage)) {
        FR_TRY(fr_link_receive_begin(e->pipeline, stage - 1, FR_TAG_FORWARD,
                                     fr_activations_input(f->activations), bytes,
                                     &message));
        FR_TRY(fr_link_join(e->pipeline, &message));
    }
    FR_TRY(fr_stage_forward(e->stage, &f->batch, &NONE, cache, f->activations));
    if (!fr_stage_is_last(e->stage)) {
        FR_TRY(fr_link_send_begin(e->pipeline, stage + 1, FR_TAG_FORWARD,
                                  fr_activations_output(f->activations), bytes,
                                  &message));
        FR_TRY(fr_link_join(e->pipeline, &message));
    }
    return FR_OK;
}

/* The cache's layers that are wanted, `layer` numbers each. */
static void lay_cache(const fr_engine *e, fr_layer_range own, int64_t layer,
                      const fr_prefix_keys *keys, fr_cache *cache)
{
    for (int64_t i = 0; i < own.count; i++) {
        int64_t at = own.first - fr_stage_first_layer(e->stage) + i;
        cache->layers[at] = (fr_layer_cache){.k = fr_view_at(keys->k, i * layer),
                                             .v = fr_view_at(keys->v, i * layer),
                                             .prefixes_U = cache->layer_prefixes_U};
    }
}

/* The text's cache is the prefix. What all ranks fail at alike is left to the caller's agreement. */
fr_status fr_engine_keys_of_text(fr_engine *engine, const int32_t *ids, int64_t n,
                                 fr_layer_range layers, float *k, float *v)
{
    static const fr_stage_prefix NONE = {0};
    fr_engine *e = engine;
    const fr_stage_prefix *prefixes[] = {&NONE};
    fr_attention_prefix scratch[1];
    fr_prefix_image image = {0};
    fr_prefix_keys keys = {0};
    int64_t n_layers = fr_stage_n_layers(e->stage);
    int64_t layer = fr_arch_prefix_elements(fr_stage_arch(e->stage), n);
    fr_layer_range own =
        fr_layers_within(layers, fr_stage_first_layer(e->stage), n_layers);
    fr_cache cache = {
        .n_layers = n_layers, .layer_prefixes_U = scratch, .prefixes_U = prefixes};
    fr_status status = fr_alloc(e->ctx, n_layers, sizeof *cache.layers, &cache.layers);
    if (status == FR_OK) {
        status = fr_prefix_image_open(e->device, k, v, own.count * layer, &image);
    }
    if (status == FR_OK) {
        status = fr_prefix_keys_open(e->device, &image, own.count * layer,
                                     fr_stage_work(e->stage), &keys);
    }
    if (status == FR_OK) {
        lay_cache(e, own, layer, &keys, &cache);
        status = run_text(e, ids, n, &cache);
    }
    if (status == FR_OK) {
        fr_prefix_keys_bring(e->device, &image, own.count * layer, &keys);
        fr_prefix_image_get(e->device, &image);
        status =
            fr_group_wait_device(e->grid->world, e->device, fr_device_mark(e->device));
        fr_prefix_image_take(&image);
    }
    fr_prefix_keys_close(e->device, &keys);
    fr_prefix_image_close(e->device, &image);
    free(cache.layers);
    bool is_alone = status == FR_ERR_DEVICE || status == FR_ERR_NO_MEMORY;
    return is_alone ? fr_group_abandon(e->grid->world, status) : status;
}
