/* Steps under way: one a task at most, each a state machine that is moved on between other work and during waits.
 *
 * The order of events of one step: begin (plan it, zero its sums) - microbatches run - close - the exact gradient is
 * summed over the replicas of the stage - it and the totals of the pass come from the device - with an MLP, its shared
 * gradient is summed over the stages - the step summary is summed over the world - the prefix is updated. Each
 * reduction is started when the one before is complete, in leave_phase, and nothing here waits for it, except
 * fr_step_finish.
 *
 * The step summary is a vector of int64 that all ranks add up. It holds exact sums (loss, counts), flags, and numbers
 * that one rank writes and all others leave 0, so that their sum is a gather. All ranks then hold the same summary and
 * draw the same conclusions from it.
 *
 * What always holds: `order` lists the steps under way in the order of begin, which all ranks share; a step starts a
 * reduction only when the step before it has started the same one, so reductions match on all ranks. */
#include "train/step/step.h"

#include "base/exact.h"
#include "base/mem.h"
#include "train/step/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The step summary: these entries, then the traffic of each edge, then the squared norm of each layer's gradient. */
enum { AT_LOSS, AT_NONFINITE, AT_STOP, AT_FAILED, AT_EDGES };
enum { EDGE_ENTRIES = sizeof(fr_traffic) / sizeof(int64_t) };
_Static_assert(EDGE_ENTRIES * sizeof(int64_t) == sizeof(fr_traffic),
               "traffic is int64 alone");

typedef enum phase {
    PHASE_DONE,
    PHASE_COMPUTING,
    PHASE_CLOSED,
    PHASE_REDUCING,
    PHASE_FETCHING, /* the device's sums, on their way to the host */
    PHASE_SCALING,  /* with a reparam: its two reductions over the stages */
    PHASE_ADDING,
    PHASE_AGREEING
} phase;

typedef struct step {
    phase phase;
    fr_stage_prefix prefix;
    fr_exact_sum sum;
    fr_pass pass;
    int64_t totals[FR_PASS_TOTALS];
    fr_image totals_image;
    fr_mark fetched;
    int64_t *summary;
    int64_t largest;     /* of the reparam's contributions */
    fr_transfer summing; /* the reduction of the gradient */
    fr_request request;  /* the other reduction under way, or the agreement */
    fr_step_result result;
} step;

struct fr_steps {
    const fr_task_env *env;
    fr_grid *grid;
    fr_link *replicas; /* borrowed */
    fr_task *tasks;
    int64_t n_tasks;
    int64_t n_summary;
    step *steps;    /* [n_tasks] */
    int64_t *order; /* [n_tasks] tasks whose step is under way, oldest first */
    int64_t n_under_way;
    fr_status status; /* of what failed during progress */
};

/* Floats at the start of each layer's K (and V) that are never updated: the first slot, if frozen. */
static int64_t frozen_floats(const fr_arch *arch, const fr_task *task)
{
    return task->config->prefix.freeze_first ? fr_arch_prefix_elements(arch, 1) : 0;
}

/* g = exact sum / (2^E * target tokens), the gradient of the mean loss; a frozen slot has none. */
static void to_gradient(const fr_arch *arch, fr_task *task, int exponent,
                        int64_t n_counted)
{
    double scale = ldexp(1.0, -exponent) / (double)n_counted;
    int64_t frozen = frozen_floats(arch, task);
    for (int64_t i = 0; i < 2 * task->n_local; i++) {
        bool is_frozen = i % task->layer_floats < frozen;
        task->gradient[i] = is_frozen ? 0.0f : (float)((double)task->sum[i] * scale);
    }
}

/* Squared norm of the gradient of one of this rank's layers. */
static double layer_norm(const fr_task *task, int64_t layer)
{
    int64_t at = layer * task->layer_floats;
    return task->reparam != NULL
               ? fr_reparam_layer_norm(task->reparam, layer)
               : fr_squared_norm(task->gradient + at, task->layer_floats) +
                     fr_squared_norm(task->gradient + task->n_local + at,
                                     task->layer_floats);
}

/* The norms' bits. Only one replica writes each entry (others leave it 0), so the sum of all ranks is a gather. */
static void put_norms(const fr_task *task, int64_t *summary)
{
    for (int64_t i = 0; i < task->local.count; i++) {
        double norm = layer_norm(task, i);
        memcpy(&summary[task->local.first + i], &norm, sizeof norm);
    }
}

/* Layers in order, then what a reparam shares between them. */
static double add_norms(const fr_task *task, int64_t n_layers, const int64_t *summary)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n_layers; i++) {
        double norm = 0.0;
        memcpy(&norm, &summary[i], sizeof norm);
        sum += norm;
    }
    if (task->reparam != NULL) {
        sum += fr_reparam_shared_norm(task->reparam);
    }
    return sqrt(sum);
}

/* Every replica of a stage runs it on the same gradient and so holds the same prefix. A frozen slot lies at the
 * start of each layer, so each layer is one run of floats behind it. */
static fr_status update_prefix(const fr_arch *arch, fr_task *task, double learning_rate,
                               double scale)
{
    if (task->reparam != NULL) {
        return fr_reparam_update(task->reparam, task->progress.step, learning_rate,
                                 scale, &task->state);
    }
    int64_t frozen = frozen_floats(arch, task);
    fr_prefix_state *s = &task->state;
    for (int64_t at = frozen; at < task->n_local; at += task->layer_floats) {
        int64_t n = task->layer_floats - frozen;
        fr_update k = {n, s->k + at, task->gradient + at, s->m_k + at, s->s_k + at};
        fr_update v = {n, s->v + at, task->gradient + task->n_local + at, s->m_v + at,
                       s->s_v + at};
        fr_optimizer_update(task->config, task->progress.step, learning_rate, scale,
                            &k);
        fr_optimizer_update(task->config, task->progress.step, learning_rate, scale,
                            &v);
    }
    return FR_OK;
}

/* ---- the step summary ---------------------------------------------------------------------------------- */

static int64_t first_norm(int n_stages)
{
    return AT_EDGES + (int64_t)(n_stages - 1) * EDGE_ENTRIES;
}

int64_t fr_step_summary_length(int n_stages, int64_t n_layers)
{
    return first_norm(n_stages) + n_layers;
}

/* What this stage knows of its two edges, each number at its own entry: the sum of all ranks gathers the stages and
 * adds up the replicas. */
static void put_traffic(const fr_grid *grid, const fr_traffic *traffic,
                        int64_t *summary)
{
    fr_traffic *edges = (fr_traffic *)(void *)(summary + AT_EDGES);
    if (grid->stage + 1 < grid->n_stages) {
        edges[grid->stage].forward_bytes = traffic->forward_bytes;
        edges[grid->stage].backward_wait_ns = traffic->backward_wait_ns;
    }
    if (grid->stage > 0) {
        edges[grid->stage - 1].backward_bytes = traffic->backward_bytes;
        edges[grid->stage - 1].forward_wait_ns = traffic->forward_wait_ns;
    }
}

static void fill_summary(fr_steps *s, const fr_task *task, step *now)
{
    now->summary[AT_LOSS] = now->totals[FR_PASS_LOSS];
    now->summary[AT_NONFINITE] = now->totals[FR_PASS_REFUSED];
    put_traffic(s->grid, &now->pass.traffic, now->summary);
    if (s->grid->replica == 0) {
        put_norms(task, now->summary + first_norm(s->grid->n_stages));
    }
}

/* All ranks hold the same summary, so they update and count alike. */
static fr_status finish_step(fr_steps *s, fr_task *task, step *now)
{
    const fr_task_env *env = s->env;
    const int64_t *summary = now->summary;
    fr_step_result *out = &now->result;
    double nats = fr_exact_value(summary[AT_LOSS], now->pass.loss_exponent);
    /* The plan is the same on all ranks, so its counts need no reduction. */
    out->n_counted = task->plan.n_counted;
    out->n_useful = task->plan.n_useful;
    out->n_examples = task->plan.n_examples;
    out->n_rows = task->plan.n_rows;
    out->learning_rate =
        fr_learning_rate(task->config, task->progress.step, task->n_steps);
    out->skipped = summary[AT_NONFINITE] != 0;
    out->stop_requested = summary[AT_STOP] != 0;
    out->failed = summary[AT_FAILED] != 0;
    out->n_edges = s->grid->n_stages - 1;
    out->edges = (const fr_traffic *)(const void *)(summary + AT_EDGES);
    out->loss = out->skipped ? (double)NAN : nats / (double)out->n_counted;
    out->gradient_norm = (double)NAN;
    /* A skipped step counts as a step and moves the cursor, so that the next one gets other examples. */
    if (out->skipped) {
        task->progress.skipped++;
        task->progress.skipped_in_row++;
    } else {
        out->gradient_norm = add_norms(task, env->arch->n_layers,
                                       summary + first_norm(s->grid->n_stages));
        double scale = fr_clip_factor(out->gradient_norm, task->config->optimizer.clip);
        FR_TRY(update_prefix(env->arch, task, out->learning_rate, scale));
        fr_task_show_prefix(task);
        task->progress.skipped_in_row = 0;
        task->progress.last_loss = out->loss;
    }
    task->progress.step++;
    task->progress.cursor += task->config->batch.examples;
    return FR_OK;
}

/* ---- phases --------------------------------------------------------------------------------- */

/* Each function below runs when the reduction before it is complete, and starts the next one. */

static fr_status begin_agreeing(fr_steps *s, fr_task *task, step *now)
{
    fill_summary(s, task, now);
    now->phase = PHASE_AGREEING;
    return fr_group_allreduce_begin(s->grid->world, FR_SUM, now->summary, s->n_summary,
                                    &now->request);
}

/* Nothing writes the sums any more: all of the step's microbatches were asked of the device before it was closed. */
static void begin_fetching(fr_task *task, step *now)
{
    fr_image_get(task->device, &task->sum_image);
    fr_image_get(task->device, &now->totals_image);
    now->fetched = fr_device_mark(task->device);
    now->phase = PHASE_FETCHING;
}

static fr_status leave_fetching(fr_steps *s, fr_task *task, step *now)
{
    fr_image_take(&task->sum_image);
    fr_image_take(&now->totals_image);
    to_gradient(s->env->arch, task, now->sum.exponent, task->plan.n_counted);
    if (task->reparam == NULL) {
        return begin_agreeing(s, task, now);
    }
    FR_TRY(fr_reparam_contribute(task->reparam, task->gradient, &now->largest));
    now->phase = PHASE_SCALING;
    return fr_group_allreduce_begin(s->grid->pipeline, FR_MAX, &now->largest, 1,
                                    &now->request);
}

/* With a reparam the gradient of the prefix is complete on each stage by now; only what the MLP shares between
 * stages is still missing. */
static fr_status leave_scaling(fr_steps *s, fr_task *task, step *now)
{
    int64_t *sum = NULL;
    int64_t n = 0;
    fr_reparam_scale(task->reparam, now->largest, &sum, &n);
    now->phase = PHASE_ADDING;
    return fr_group_allreduce_begin(s->grid->pipeline, FR_SUM, sum, n, &now->request);
}

static fr_status leave_adding(fr_steps *s, fr_task *task, step *now)
{
    FR_TRY(fr_reparam_complete(task->reparam, &now->totals[FR_PASS_REFUSED]));
    return begin_agreeing(s, task, now);
}

/* One transition: it starts the next reduction, or finishes the step. Calls of this kind must run in the same order
 * on all ranks, which move_on sees to. */
static fr_status leave_phase(fr_steps *s, fr_task *task, step *now)
{
    switch (now->phase) {
    case PHASE_CLOSED:
        now->phase = PHASE_REDUCING;
        return fr_link_sum_begin(s->replicas, task->sum_image.device, 2 * task->n_local,
                                 &now->summing);
    case PHASE_REDUCING:
        begin_fetching(task, now);
        return FR_OK;
    case PHASE_FETCHING:
        return leave_fetching(s, task, now);
    case PHASE_SCALING:
        return leave_scaling(s, task, now);
    case PHASE_ADDING:
        return leave_adding(s, task, now);
    case PHASE_AGREEING:
    case PHASE_COMPUTING:
    case PHASE_DONE:
    default:
        now->phase = PHASE_DONE;
        return finish_step(s, task, now);
    }
}

/* Whether what the phase waits for is complete. */
static fr_status test_phase(fr_steps *s, const fr_task *task, step *now, bool *is_done)
{
    if (now->phase == PHASE_REDUCING) {
        return fr_link_test(s->replicas, &now->summing, is_done);
    }
    if (now->phase == PHASE_FETCHING) {
        *is_done = fr_device_passed(task->device, now->fetched);
        return *is_done ? fr_device_check(task->device) : FR_OK;
    }
    fr_group *group = now->phase == PHASE_AGREEING ? s->grid->world : s->grid->pipeline;
    return fr_group_test(group, &now->request, is_done);
}

/* `limit` is the phase of the step before: this step starts to reduce only when that one has, and to agree only when
 * that one has. */
static fr_status move_on(fr_steps *s, int64_t index, phase limit, bool *moved)
{
    step *now = &s->steps[index];
    *moved = now->phase == PHASE_CLOSED
                 ? limit >= PHASE_REDUCING
                 : now->phase == PHASE_AGREEING ||
                       (now->phase >= PHASE_REDUCING && limit == PHASE_AGREEING);
    if (*moved && now->phase != PHASE_CLOSED) {
        FR_TRY(test_phase(s, &s->tasks[index], now, moved));
    }
    return *moved ? leave_phase(s, &s->tasks[index], now) : FR_OK;
}

/* The order of those that stay does not change. */
static void drop_done(fr_steps *s)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < s->n_under_way; i++) {
        if (s->steps[s->order[i]].phase != PHASE_DONE) {
            s->order[kept++] = s->order[i];
        }
    }
    s->n_under_way = kept;
}

void fr_steps_progress(fr_steps *steps)
{
    fr_steps *s = steps;
    /* The oldest step waits for nobody. */
    phase limit = PHASE_AGREEING;
    for (int64_t i = 0; i < s->n_under_way && s->status == FR_OK; i++) {
        const step *now = &s->steps[s->order[i]];
        bool moved = true;
        /* A step may pass several phases at once, as far as its reductions are complete. */
        while (moved && s->status == FR_OK) {
            s->status = move_on(s, s->order[i], limit, &moved);
        }
        if (now->phase != PHASE_DONE && now->phase < limit) {
            limit = now->phase;
        }
    }
    drop_done(s);
}

static void progress_during_waits(void *steps)
{
    fr_steps_progress(steps);
}

/* ---- the interface -------------------------------------------------------------------------- */

fr_status fr_steps_create(const fr_task_env *env, fr_grid *grid, fr_link *replicas,
                          fr_task *tasks, int64_t n_tasks, fr_steps **out)
{
    fr_steps *s = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(env->ctx, 1, sizeof *s, &s));
    *s = (fr_steps){.env = env,
                    .grid = grid,
                    .replicas = replicas,
                    .tasks = tasks,
                    .n_tasks = n_tasks};
    s->n_summary = fr_step_summary_length(grid->n_stages, env->arch->n_layers);
    fr_status status = fr_alloc(env->ctx, n_tasks, sizeof *s->steps, &s->steps);
    if (status == FR_OK) {
        status = fr_alloc(env->ctx, n_tasks, sizeof *s->order, &s->order);
    }
    for (int64_t i = 0; status == FR_OK && i < n_tasks; i++) {
        step *one = &s->steps[i];
        status = fr_alloc(env->ctx, s->n_summary, sizeof(int64_t), &one->summary);
        if (status == FR_OK) {
            status = fr_image_open(tasks[i].device, one->totals, sizeof one->totals,
                                   &one->totals_image);
        }
    }
    if (status != FR_OK) {
        fr_steps_destroy(&s);
    } else {
        /* Waits for messages also move steps on: else a rank that waits for a neighbour would hold up everybody's
         * reduction. */
        fr_group_set_progress(grid->world, progress_during_waits, s);
    }
    *out = s;
    return status;
}

void fr_steps_destroy(fr_steps **steps)
{
    fr_steps *s = *steps;
    if (s == NULL) {
        return;
    }
    fr_group_set_progress(s->grid->world, NULL, NULL);
    for (int64_t i = 0; s->steps != NULL && i < s->n_tasks; i++) {
        fr_image_close(s->tasks[i].device, &s->steps[i].totals_image);
        free(s->steps[i].summary);
    }
    free(s->steps);
    free(s->order);
    free(s);
    *steps = NULL;
}

fr_status fr_step_begin(fr_steps *steps, int64_t task, int64_t *n_own)
{
    fr_steps *s = steps;
    fr_task *t = &s->tasks[task];
    step *now = &s->steps[task];
    fr_i64 *totals = now->totals_image.device;
    FR_TRY(s->status);
    fr_plan_params how = fr_plan_of_task(t->config, t->train, s->grid->n_replicas);
    how.microbatch_tokens = t->microbatch_tokens;
    FR_TRY(fr_plan_step(s->env->ctx, &how, &t->sampler, t->progress.cursor,
                        t->config->batch.examples, &t->plan));
    fr_device_zero(t->device, t->sum_image.device, t->sum_image.bytes);
    fr_device_zero(t->device, now->totals_image.device, now->totals_image.bytes);
    memset(now->summary, 0, (size_t)s->n_summary * sizeof *now->summary);
    now->prefix = fr_task_prefix(t);
    /* A unit adds one term to a sum, and there are at most as many units as examples. */
    now->sum = fr_task_sum(t, totals + FR_PASS_REFUSED);
    now->pass = (fr_pass){.dataset = t->train,
                          .plan = &t->plan,
                          .prefix = &now->prefix,
                          .sum = &now->sum,
                          .totals = totals,
                          .loss_exponent = fr_exact_exponent(t->plan.n_counted)};
    now->phase = PHASE_COMPUTING;
    s->order[s->n_under_way++] = task;
    *n_own = fr_plan_count(&t->plan, s->grid->replica);
    return FR_OK;
}

fr_pass *fr_step_pass(fr_steps *steps, int64_t task)
{
    return &steps->steps[task].pass;
}

void fr_step_close(fr_steps *steps, int64_t task, bool stop, bool failed)
{
    step *now = &steps->steps[task];
    now->summary[AT_STOP] = stop;
    now->summary[AT_FAILED] = failed;
    now->phase = PHASE_CLOSED;
    fr_steps_progress(steps);
}

bool fr_step_is_done(const fr_steps *steps, int64_t task)
{
    return steps->steps[task].phase == PHASE_DONE;
}

/* What fr_step_finish waits for. */
typedef struct awaited {
    fr_steps *steps;
    int64_t task;
} awaited;

static bool is_over(void *argument)
{
    const awaited *a = argument;
    fr_steps_progress(a->steps);
    return a->steps->status != FR_OK || fr_step_is_done(a->steps, a->task);
}

fr_status fr_step_finish(fr_steps *steps, int64_t task, fr_step_result *out)
{
    awaited a = {steps, task};
    fr_group_wait_until(steps->grid->world, "reduction", is_over, &a);
    *out = steps->steps[task].result;
    return steps->status;
}
