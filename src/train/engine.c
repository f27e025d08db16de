#include "train/engine.h"

#include "base/mem.h"
#include "train/schedule.h"

#include <math.h>
#include <stdlib.h>

/* Messages between neighbours keep their order, so one tag a direction is enough. */
enum { TAG_FORWARD = 1, TAG_BACKWARD = 2 };

/* A microbatch in flight. */
typedef struct flight {
    fr_slot *slot;
    fr_batch batch;
    fr_request output_sent;
    fr_request gradient_sent;
} flight;

struct fr_engine {
    fr_ctx *ctx;
    fr_grid *grid;
    fr_stage *stage;
    int64_t n_flights;
    flight *flights; /* for training: kept activations */
    flight
        forward[2]; /* for forward-only passes: one computes while the other is sent */
    double *nll;    /* scratch for one microbatch */
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

fr_status fr_engine_create(fr_ctx *ctx, const fr_engine_params *params, fr_engine **out)
{
    fr_engine *e = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *e, &e));
    e->ctx = ctx;
    e->grid = params->grid;
    e->stage = params->stage;
    int64_t depth = e->grid->n_stages - e->grid->stage;
    fr_status status = fr_alloc(ctx, depth, sizeof *e->flights, &e->flights);
    e->n_flights = status == FR_OK ? depth : 0;
    for (int64_t i = 0; status == FR_OK && i < depth; i++) {
        status = flight_init(e->stage, true, &e->flights[i]);
    }
    for (int i = 0; status == FR_OK && i < 2; i++) {
        status = flight_init(e->stage, false, &e->forward[i]);
    }
    if (status != FR_OK) {
        fr_engine_destroy(&e);
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
    free(e->nll);
    free(e->targets);
    free(e);
    *engine = NULL;
}

int64_t fr_engine_first_layer(const fr_engine *engine)
{
    return fr_stage_first_layer(engine->stage);
}

static int64_t edge_bytes(const fr_engine *e, const fr_batch *batch)
{
    return batch->n_tokens * fr_stage_arch(e->stage)->d_model * (int64_t)sizeof(float);
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

static fr_status run_forward(fr_engine *e, fr_pass *pass,
                             const fr_microbatch *microbatch, flight *f)
{
    fr_group *pipeline = e->grid->pipeline;
    int stage = e->grid->stage;
    FR_TRY(fr_group_wait(pipeline, &f->output_sent));
    FR_TRY(fr_group_wait(pipeline, &f->gradient_sent));
    FR_TRY(build_batch(e, pass, microbatch, &f->batch));
    FR_TRY(fr_slot_prepare(e->stage, f->slot, &f->batch));
    if (!fr_stage_is_first(e->stage)) {
        FR_TRY(fr_group_receive(pipeline, stage - 1, TAG_FORWARD,
                                fr_slot_input(f->slot), edge_bytes(e, &f->batch)));
    }
    FR_TRY(fr_stage_forward(e->stage, &f->batch, pass->prefix, NULL, f->slot));
    if (fr_stage_is_last(e->stage)) {
        return compute_loss(e, pass, microbatch, f);
    }
    return fr_group_send_begin(pipeline, stage + 1, TAG_FORWARD,
                               fr_slot_output(f->slot), edge_bytes(e, &f->batch),
                               &f->output_sent);
}

static fr_status run_backward(fr_engine *e, fr_pass *pass, flight *f)
{
    fr_group *pipeline = e->grid->pipeline;
    int stage = e->grid->stage;
    float *gradient = fr_slot_gradient(f->slot);
    if (!fr_stage_is_last(e->stage)) {
        FR_TRY(fr_group_receive(pipeline, stage + 1, TAG_BACKWARD, gradient,
                                edge_bytes(e, &f->batch)));
    }
    FR_TRY(fr_stage_backward(e->stage, &f->batch, pass->prefix, f->slot, pass->sum));
    if (fr_stage_is_first(e->stage)) {
        return FR_OK;
    }
    return fr_group_send_begin(pipeline, stage - 1, TAG_BACKWARD, gradient,
                               edge_bytes(e, &f->batch), &f->gradient_sent);
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

static int64_t count_own(const fr_engine *e, const fr_step_plan *plan)
{
    int64_t n = 0;
    for (int64_t b = 0; b < plan->n_microbatches; b++) {
        n += plan->microbatches[b].replica == e->grid->replica;
    }
    return n;
}

static fr_status run_training(fr_engine *e, fr_pass *pass, int64_t m)
{
    fr_schedule order;
    fr_status status = fr_schedule_init(e->ctx, 1, e->n_flights, &order);
    while (status == FR_OK) {
        fr_action next = fr_schedule_next(&order);
        flight *f = &e->flights[next.flight];
        if (next.act == FR_ACT_END) {
            break;
        }
        if (next.act == FR_ACT_ROUND && order.forwards > 0) {
            fr_schedule_end(&order);
        } else if (next.act == FR_ACT_ROUND) {
            fr_schedule_begin_round(&order);
        } else if (next.act == FR_ACT_OPEN) {
            fr_schedule_open(&order, m, true);
        } else if (next.act == FR_ACT_FORWARD) {
            status =
                run_forward(e, pass, own_microbatch(e, pass->plan, next.microbatch), f);
        } else {
            status = run_backward(e, pass, f);
        }
    }
    fr_schedule_fini(&order);
    return status;
}

static fr_status wait_all(fr_engine *e, flight *flights, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        FR_TRY(fr_group_wait(e->grid->pipeline, &flights[i].output_sent));
        FR_TRY(fr_group_wait(e->grid->pipeline, &flights[i].gradient_sent));
    }
    return FR_OK;
}

fr_status fr_engine_run(fr_engine *engine, fr_pass *pass)
{
    int64_t m = count_own(engine, pass->plan);
    pass->loss_sum = 0;
    pass->n_bad = 0;
    if (pass->sum != NULL && m > 0) {
        FR_TRY(run_training(engine, pass, m));
        return wait_all(engine, engine->flights, engine->n_flights);
    }
    for (int64_t i = 0; i < m; i++) {
        fr_watch_microbatch(fr_group_watch(engine->grid->world), i);
        FR_TRY(run_forward(engine, pass, own_microbatch(engine, pass->plan, i),
                           &engine->forward[i % 2]));
    }
    return wait_all(engine, engine->forward, 2);
}

fr_status fr_engine_keys_of_text(fr_engine *engine, const int32_t *ids, int64_t n,
                                 float *k, float *v)
{
    static const fr_stage_prefix NONE = {0};
    fr_group *pipeline = engine->grid->pipeline;
    int stage = engine->grid->stage;
    flight *f = &engine->flights[0];
    fr_sequence text = {ids, NULL, n};
    int64_t width = fr_arch_kv_width(fr_stage_arch(engine->stage));
    fr_batch_clear(&f->batch);
    FR_TRY(fr_batch_add(engine->ctx, &f->batch, 0, &text, NULL, 0));
    FR_TRY(fr_slot_prepare(engine->stage, f->slot, &f->batch));
    if (!fr_stage_is_first(engine->stage)) {
        FR_TRY(fr_group_receive(pipeline, stage - 1, TAG_FORWARD,
                                fr_slot_input(f->slot), edge_bytes(engine, &f->batch)));
    }
    FR_TRY(fr_stage_forward(engine->stage, &f->batch, &NONE, NULL, f->slot));
    if (!fr_stage_is_last(engine->stage)) {
        FR_TRY(fr_group_send(pipeline, stage + 1, TAG_FORWARD, fr_slot_output(f->slot),
                             edge_bytes(engine, &f->batch)));
    }
    for (int64_t i = 0; i < fr_stage_n_layers(engine->stage); i++) {
        fr_stage_copy_keys(engine->stage, f->slot, i, n, k + i * n * width,
                           v + i * n * width);
    }
    return FR_OK;
}
