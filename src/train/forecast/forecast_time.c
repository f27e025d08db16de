/* Time of a round (one step of every task): the timeline of one replica in its steady state.
 *
 * Order: each stage's pass times and memory (forecast_stage), messages and reductions (forecast_links.h), then the
 * timeline is played for ROUNDS rounds and the steady round is the mean between the ends of two of them. Replicas
 * meet only in reductions, which count as a delay of the update, so one replica is enough: that whose messages take the
 * longest.
 *
 * A round of many microbatches is not played whole. Once tasks fill each other's bubble, a further microbatch
 * lengthens a steady round by exactly the slowest stage's two passes, so those that are left out are added by
 * multiplication. This bounds the work of a forecast, whatever the size of a step.
 *
 * Links count in two ways: as a delay of each message within the timeline, and as a lower bound of the round, since
 * all messages of an edge pass through one link one after the other.
 */
#include "train/forecast/forecast_time.h"
#include "base/integer.h"
#include "base/mem.h"
#include "train/forecast/forecast_links.h"

#include <math.h>
#include <stdlib.h>

/* Rounds that are played, and the two between whose ends the steady state is measured: the first round fills the
 * pipeline, the last one empties it, and the steady state is the mean of the three between. */
enum { ROUNDS = 6, FROM = 1, TO = 4 };

/* What one replica does in a round. */
typedef struct replica_round {
    int64_t n_microbatches;
    double n_rows;
    double rows;      /* of a mean microbatch */
    double head_rows; /* likewise */
} replica_round;

static replica_round round_of(const fr_forecast_params *p)
{
    replica_round r = {0};
    double all = 0.0;
    double counted = 0.0;
    for (int64_t t = 0; t < p->n_tasks; t++) {
        r.n_microbatches += p->tasks[t].n_microbatches;
        r.n_rows += p->tasks[t].replica_rows;
        all += p->tasks[t].step_rows;
        counted += p->tasks[t].counted_tokens;
    }
    r.rows = r.n_microbatches > 0 ? r.n_rows / (double)r.n_microbatches : 0.0;
    r.head_rows = all > 0.0 ? r.rows * fmin(1.0, counted / all) : 0.0;
    return r;
}

/* ---- the timeline ----------------------------------------------------------------------------- */

/* Microbatches of a round that are played: four pipelines full, enough for tasks to fill each other's bubble, and few
 * enough that deep pipelines stay near two million passes. */
static int64_t worth_playing(const fr_forecast_params *p)
{
    static const int64_t MAX_PASSES = 2000000;
    int64_t enough = 4 * p->n_stages * p->warmup_depth;
    int64_t affordable = MAX_PASSES / (2 * ROUNDS * (int64_t)p->n_stages);
    return enough < affordable ? enough : affordable;
}

/* A round ends with the last pass of its step on any stage. */
static double round_end(const fr_timeline *timeline, int64_t round)
{
    double end = 0.0;
    for (int64_t i = 0; i < timeline->n_spans; i++) {
        const fr_time_span *span = &timeline->spans[i];
        if (span->step == round && span->end > end) {
            end = span->end;
        }
    }
    return end;
}

/* The arrays that the timeline reads. */
typedef struct script {
    int64_t *n_microbatches; /* [n_tasks] that are played */
    int64_t *n_steps;        /* [n_tasks] */
    double *forward;         /* [n_stages] */
    double *backward;        /* [n_stages] of a task that has one there */
    double *hops;            /* [n_stages] */
    int *lowest;             /* [n_tasks] */
    int64_t left_out;        /* microbatches of a round that are not played */
} script;

static void script_fini(script *s)
{
    free(s->n_microbatches);
    free(s->n_steps);
    free(s->forward);
    free(s->backward);
    free(s->hops);
    free(s->lowest);
}

/* Rows of a step of the tasks that go backward on a stage. */
static double rows_backward(const fr_forecast_params *p, int stage)
{
    double rows = 0.0;
    for (int64_t t = 0; t < p->n_tasks; t++) {
        bool has = fr_forecast_kept(p, stage, &p->tasks[t]) > 0;
        rows += has ? p->tasks[t].step_rows : 0.0;
    }
    return rows;
}

/* The lowest stage to which a task's backward pass comes. */
static int lowest_stage(const fr_forecast_params *p, const fr_task_workload *task)
{
    int stage = 0;
    while (stage < p->n_stages - 1 && fr_forecast_kept(p, stage, task) == 0) {
        stage++;
    }
    return stage;
}

static fr_status script_init(fr_ctx *ctx, const fr_forecast_params *p,
                             const fr_stage_forecast *stages, int64_t n_rounds,
                             script *s)
{
    FR_TRY(fr_alloc(ctx, p->n_tasks, sizeof *s->n_microbatches, &s->n_microbatches));
    FR_TRY(fr_alloc(ctx, p->n_tasks, sizeof *s->n_steps, &s->n_steps));
    FR_TRY(fr_alloc(ctx, p->n_stages, sizeof *s->forward, &s->forward));
    FR_TRY(fr_alloc(ctx, p->n_stages, sizeof *s->backward, &s->backward));
    FR_TRY(fr_alloc(ctx, p->n_stages, sizeof *s->hops, &s->hops));
    FR_TRY(fr_alloc(ctx, p->n_tasks, sizeof *s->lowest, &s->lowest));
    int64_t share = fr_ceil_div(worth_playing(p), p->n_tasks);
    for (int64_t t = 0; t < p->n_tasks; t++) {
        int64_t n = p->tasks[t].n_microbatches;
        s->n_microbatches[t] = n < share ? n : share;
        s->left_out += n - s->n_microbatches[t];
        s->n_steps[t] = n_rounds;
        s->lowest[t] = lowest_stage(p, &p->tasks[t]);
    }
    for (int i = 0; i < p->n_stages; i++) {
        s->forward[i] = stages[i].forward_seconds;
        s->hops[i] = stages[i].message_seconds;
        /* the forecast's time is a mean over all tasks; here only those with a backward pass on the stage count */
        double rows = rows_backward(p, i);
        double all = rows_backward(p, p->n_stages - 1);
        s->backward[i] = rows > 0.0 ? stages[i].backward_seconds * (all / rows) : 0.0;
    }
    return FR_OK;
}

static double slowest_stage(const fr_forecast *f)
{
    double slowest = 0.0;
    for (int i = 0; i < f->n_stages; i++) {
        slowest =
            fmax(slowest, f->stages[i].forward_seconds + f->stages[i].backward_seconds);
    }
    return slowest;
}

fr_status fr_forecast_play(fr_ctx *ctx, const fr_forecast_params *params,
                           const fr_forecast *forecast, int64_t n_rounds,
                           fr_timeline *out, int64_t *n_left_out)
{
    const fr_forecast_params *p = params;
    script s = {0};
    *out = (fr_timeline){0};
    fr_status status = script_init(ctx, p, forecast->stages, n_rounds, &s);
    fr_timeline_params timeline = {.n_stages = p->n_stages,
                                   .warmup_depth = p->warmup_depth,
                                   .n_tasks = p->n_tasks,
                                   .n_microbatches = s.n_microbatches,
                                   .n_steps = s.n_steps,
                                   .forward = s.forward,
                                   .backward = s.backward,
                                   .lowest = s.lowest,
                                   .hops = s.hops,
                                   .update = forecast->update_seconds};
    if (status == FR_OK) {
        status = fr_timeline_run(ctx, &timeline, out);
    }
    *n_left_out = s.left_out;
    script_fini(&s);
    return status;
}

static fr_status steady_round(fr_ctx *ctx, const fr_forecast_params *p, fr_forecast *f)
{
    fr_timeline timeline;
    int64_t left_out = 0;
    FR_TRY(fr_forecast_play(ctx, p, f, ROUNDS, &timeline, &left_out));
    double played = round_end(&timeline, TO) - round_end(&timeline, FROM);
    f->round_seconds = played / (TO - FROM) + (double)left_out * slowest_stage(f);
    f->n_simulated = timeline.n_spans;
    fr_timeline_fini(&timeline);
    return FR_OK;
}

/* ---- a layout ---------------------------------------------------------------------------------- */

static void forecast_stage(const fr_forecast_params *p, const replica_round *r,
                           int stage, fr_forecast *f)
{
    fr_stage_forecast *s = &f->stages[stage];
    s->first_layer = p->bounds[stage];
    s->n_layers = p->bounds[stage + 1] - p->bounds[stage];
    s->max_in_flight = fr_schedule_max_in_flight(p->n_stages, stage, p->warmup_depth);
    s->forward_seconds = fr_pass_seconds(p, stage, true, r->rows, r->head_rows);
    s->backward_seconds = fr_pass_seconds(p, stage, false, r->rows, r->head_rows);
    for (int64_t t = 0; t < p->n_tasks; t++) {
        const fr_task_workload *task = &p->tasks[t];
        int64_t n = fr_layers_within(task->layers, s->first_layer, s->n_layers).count;
        s->reduction_bytes += fr_reduction_bytes(p->arch, n, task->length);
    }
    if (stage > 0) {
        double rows = rows_backward(p, stage - 1);
        s->backward_bytes = fr_edge_bytes(p->arch, llrint(rows));
    }
    fr_forecast_memory(p, stage, &s->memory);
    const fr_rank_memory *largest = &f->stages[f->largest].memory;
    if (p->device_is_apart ? s->memory.device > largest->device
                           : s->memory.total > largest->total) {
        f->largest = stage;
    }
    if (stage == 0 || s->forward_seconds < f->shortest_pass) {
        f->shortest_pass = s->forward_seconds;
    }
}

/* What the numbers of the stages mean together. Link-bound is the round that ends with its messages, not its passes. */
static void judge(const fr_forecast_params *p, const replica_round *r, fr_forecast *f)
{
    double busy = 0.0;
    double useful = 0.0;
    for (int i = 0; i < f->n_stages; i++) {
        busy += f->stages[i].forward_seconds + f->stages[i].backward_seconds;
    }
    for (int64_t t = 0; t < p->n_tasks; t++) {
        useful += p->tasks[t].useful_tokens;
    }
    double link = fr_forecast_edge_seconds(p, f, r->n_rows);
    f->link_bound = link > f->round_seconds;
    f->round_seconds = fmax(f->round_seconds, link);
    f->balance = busy / (f->n_stages * slowest_stage(f));
    f->bubble =
        1.0 - busy * (double)r->n_microbatches / (f->n_stages * f->round_seconds);
    int64_t mean = (r->n_microbatches + p->n_tasks / 2) / p->n_tasks;
    f->bubble_formula = fr_bubble_formula(p->n_tasks, mean, f->n_stages);
    f->tokens_per_second = useful / f->round_seconds;
}

fr_status fr_forecast_run(fr_ctx *ctx, const fr_forecast_params *params,
                          fr_forecast *out)
{
    replica_round r = round_of(params);
    *out = (fr_forecast){.n_stages = params->n_stages};
    FR_TRY(fr_alloc(ctx, params->n_stages, sizeof *out->stages, &out->stages));
    for (int stage = 0; stage < params->n_stages; stage++) {
        forecast_stage(params, &r, stage, out);
    }
    /* no tasks, as for inference: only the memory is forecast */
    if (r.n_microbatches == 0) {
        return FR_OK;
    }
    fr_forecast_links(params, r.rows, out);
    fr_status status = steady_round(ctx, params, out);
    if (status == FR_OK) {
        judge(params, &r, out);
    } else {
        fr_forecast_fini(out);
    }
    return status;
}

void fr_forecast_fini(fr_forecast *forecast)
{
    free(forecast->stages);
    *forecast = (fr_forecast){0};
}
