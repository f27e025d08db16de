#define _POSIX_C_SOURCE 200809L
#include "train/engine.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Messages between neighbours keep their order, so one tag a direction is enough. */
enum { TAG_FORWARD = 1, TAG_BACKWARD = 2 };

/* A microbatch in flight. */
typedef struct flight {
    fr_slot *slot;
    fr_batch batch;
    fr_request output_sent;
    fr_request gradient_sent;
    fr_request gradient_coming;
} flight;

/* The input of the forward that comes next, on its way before its flight is free. */
typedef struct ahead {
    fr_request coming;
    bool is_expected;
    float *input; /* [T, D] */
    int64_t room; /* bytes */
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
    int64_t nll_room;
    fr_sequence *targets; /* scratch for one unit */
    int64_t target_room;
};

int fr_exact_exponent(int64_t n_terms)
{
    int bits = 0;
    while (bits < 44 && ((int64_t)1 << bits) < n_terms) {
        bits++;
    }
    return 62 - bits - 17;
}

void fr_exact_add_one(double x, int exponent, int64_t *sum, int64_t *n_bad)
{
    static const double LIMIT = 0x1p17;
    if (fabs(x) < LIMIT) {
        *sum += llrint(ldexp(x, exponent));
    } else {
        (*n_bad)++;
    }
}

double fr_exact_value(int64_t sum, int exponent)
{
    return ldexp((double)sum, -exponent);
}

static fr_status flight_init(fr_stage *stage, bool keep, flight *out)
{
    *out = (flight){0};
    return fr_slot_create(stage, keep, &out->slot);
}

static void flight_fini(flight *f)
{
    fr_slot_destroy(&f->slot);
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

static fr_status reserve_targets(fr_engine *e, int64_t n)
{
    if (n <= e->target_room) {
        return FR_OK;
    }
    free(e->targets);
    e->target_room = 0;
    FR_TRY(fr_alloc(e->ctx, n, sizeof *e->targets, &e->targets));
    e->target_room = n;
    return FR_OK;
}

static fr_status build_batch(fr_engine *e, const fr_pass *pass,
                             const fr_microbatch *microbatch, fr_batch *batch)
{
    const fr_step_plan *plan = pass->plan;
    fr_batch_clear(batch);
    for (int64_t i = 0; i < microbatch->n_units; i++) {
        const fr_unit *unit = &plan->units[plan->order[microbatch->first_unit + i]];
        fr_sequence source = fr_dataset_source(pass->dataset, unit->row);
        FR_TRY(reserve_targets(e, unit->n_targets));
        for (int64_t t = 0; t < unit->n_targets; t++) {
            e->targets[t] = fr_dataset_target(pass->dataset, unit->row,
                                              plan->targets[unit->first_target + t]);
        }
        FR_TRY(fr_batch_add(e->ctx, batch, pass->prefix->length, &source, e->targets,
                            unit->n_targets));
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

/* Nats of each example; what a source predicts itself (earlier turns of a dialogue) goes to the first. */
static void spread_nll(const fr_pass *pass, const fr_microbatch *microbatch,
                       const double *nll)
{
    const fr_step_plan *plan = pass->plan;
    for (int64_t i = 0; i < microbatch->n_units; i++) {
        const fr_unit *unit = &plan->units[plan->order[microbatch->first_unit + i]];
        fr_sequence source = fr_dataset_source(pass->dataset, unit->row);
        int64_t of_source = fr_sequence_predictions(&source, false);
        double before = add_up(nll, of_source);
        nll += of_source;
        for (int64_t t = 0; t < unit->n_targets; t++) {
            int64_t place = unit->first_target + t;
            fr_sequence target =
                fr_dataset_target(pass->dataset, unit->row, plan->targets[place]);
            int64_t n = fr_sequence_predictions(&target, source.count > 0);
            pass->example_nll[place] = before + add_up(nll, n);
            before = 0.0;
            nll += n;
        }
    }
}

static fr_status compute_loss(fr_engine *e, fr_pass *pass,
                              const fr_microbatch *microbatch, flight *f)
{
    int64_t n = f->batch.n_targets;
    if (n > e->nll_room) {
        free(e->nll);
        e->nll_room = 0;
        FR_TRY(fr_alloc(e->ctx, n, sizeof *e->nll, &e->nll));
        e->nll_room = n;
    }
    FR_TRY(fr_stage_loss(e->stage, &f->batch, f->slot, pass->sum != NULL, e->nll));
    for (int64_t r = 0; r < n; r++) {
        fr_exact_add_one(e->nll[r], pass->loss_exponent, &pass->loss_sum, &pass->n_bad);
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
    if (bytes > next->room) {
        free(next->input);
        next->room = 0;
        FR_TRY(fr_alloc(engine->ctx, bytes, 1, &next->input));
        next->room = bytes;
    }
    next->is_expected = true;
    return fr_group_receive_begin(engine->grid->pipeline, engine->grid->stage - 1,
                                  TAG_FORWARD, next->input, bytes, &next->coming);
}

/* The input of the microbatch whose batch is built. */
static fr_status take_input(fr_engine *e, fr_pass *pass, flight *f)
{
    fr_request coming = {NULL};
    int64_t bytes = edge_bytes(e, f->batch.n_tokens);
    if (e->ahead.is_expected) {
        FR_TRY(await(e, &e->ahead.coming, &pass->traffic.forward_wait_ns));
        memcpy(fr_slot_input(f->slot), e->ahead.input, (size_t)bytes);
        e->ahead.is_expected = false;
        return FR_OK;
    }
    FR_TRY(fr_group_receive_begin(e->grid->pipeline, e->grid->stage - 1, TAG_FORWARD,
                                  fr_slot_input(f->slot), bytes, &coming));
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
    FR_TRY(fr_group_send_begin(pipeline, next, TAG_FORWARD, fr_slot_output(f->slot),
                               bytes, &f->output_sent));
    if (!goes_backward(e, pass)) {
        return FR_OK;
    }
    return fr_group_receive_begin(pipeline, next, TAG_BACKWARD,
                                  fr_slot_gradient(f->slot), bytes,
                                  &f->gradient_coming);
}

static fr_status run_forward(fr_engine *e, fr_pass *pass,
                             const fr_microbatch *microbatch, flight *f)
{
    fr_group *pipeline = e->grid->pipeline;
    FR_TRY(fr_group_wait(pipeline, &f->output_sent));
    FR_TRY(fr_group_wait(pipeline, &f->gradient_sent));
    FR_TRY(build_batch(e, pass, microbatch, &f->batch));
    FR_TRY(fr_slot_prepare(e->stage, f->slot, &f->batch, pass->prefix));
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
    float *gradient = fr_slot_gradient(f->slot);
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
    return fr_group_send_begin(e->grid->pipeline, e->grid->stage - 1, TAG_BACKWARD,
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
    pass->loss_sum = 0;
    pass->n_bad = 0;
    for (int64_t i = 0; i < m; i++) {
        fr_watch_microbatch(fr_group_watch(engine->grid->world), i);
        FR_TRY(run_forward(engine, pass, own_microbatch(engine, pass->plan, i),
                           &engine->forward[i % 2]));
    }
    return wait_all(engine, engine->forward, 2);
}

fr_status fr_engine_keys_of_text(fr_engine *engine, const int32_t *ids, int64_t n,
                                 fr_layer_range layers, float *k, float *v)
{
    const fr_stage_prefix none = {.layers = layers};
    fr_group *pipeline = engine->grid->pipeline;
    int stage = engine->grid->stage;
    flight *f = &engine->flights[0];
    fr_sequence text = {ids, NULL, n};
    int64_t width = fr_arch_kv_width(fr_stage_arch(engine->stage));
    fr_batch_clear(&f->batch);
    FR_TRY(fr_batch_add(engine->ctx, &f->batch, 0, &text, NULL, 0));
    FR_TRY(fr_slot_prepare(engine->stage, f->slot, &f->batch, &none));
    if (!fr_stage_is_first(engine->stage)) {
        FR_TRY(fr_group_receive(pipeline, stage - 1, TAG_FORWARD,
                                fr_slot_input(f->slot),
                                edge_bytes(engine, f->batch.n_tokens)));
    }
    FR_TRY(fr_stage_forward(engine->stage, &f->batch, &none, NULL, f->slot));
    if (!fr_stage_is_last(engine->stage)) {
        FR_TRY(fr_group_send(pipeline, stage + 1, TAG_FORWARD, fr_slot_output(f->slot),
                             edge_bytes(engine, f->batch.n_tokens)));
    }
    int64_t first = fr_stage_first_layer(engine->stage);
    layers = fr_layers_within(layers, first, fr_stage_n_layers(engine->stage));
    for (int64_t i = 0; i < layers.count; i++) {
        fr_stage_copy_keys(engine->stage, f->slot, layers.first - first + i, n,
                           k + i * n * width, v + i * n * width);
    }
    return FR_OK;
}
