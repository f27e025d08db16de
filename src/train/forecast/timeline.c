/* The schedule played through in time.
 *
 * Each stage walks its own fr_schedule. Its next action can happen when what it needs has a time: a forward needs the
 * same forward's end on the stage before, a backward that of the stage after, a new step needs its task's last step
 * to be done everywhere. The stages are visited in turn, and each moves as far as it can. A whole turn in which none
 * moves is a deadlock; the schedule excludes that, so it is an internal error.
 *
 * The result does not depend on the order of visits: a stage's clock advances only through its own actions, each of
 * which starts at the later of the stage's clock and the arrival of what it needs. Times that do not exist yet are
 * NaN.
 */
#include "train/forecast/timeline.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

/* One stage while it is played. */
typedef struct stage_state {
    fr_schedule schedule;
    fr_action next;
    bool has_next;
    bool ended;
    double now;
    int64_t *step; /* [n_tasks] step that is open, or the last one */
    int64_t n_spans;
    fr_time_span *spans;
    double *forward_end; /* [n_passes] in list order */
    double *backward_end;
} stage_state;

typedef struct player {
    fr_ctx *ctx;
    const fr_timeline_params *params;
    int64_t n_passes; /* forwards of the whole run on one stage */
    int64_t n_rounds;
    stage_state *stages;
    double *closed;     /* [n_tasks][n_rounds] latest end of the step's last backward */
    int64_t *closed_by; /* [n_tasks][n_rounds] stages that have finished the step */
    int64_t *lead_of;   /* [n_rounds] first live task */
    int64_t max_kept[2]; /* as in fr_timeline */
} player;

static int64_t step_index(const player *p, int64_t task, int64_t step)
{
    return task * p->n_rounds + step;
}

static bool is_live(const player *p, int64_t task, int64_t round)
{
    return round < p->params->n_steps[task];
}

/* The update of a step is done at *time; false while some stage has not finished it. */
static bool step_is_done(const player *p, int64_t task, int64_t step, double *time)
{
    int64_t at = step_index(p, task, step);
    if (step < 0) {
        return true;
    }
    *time = fmax(*time, p->closed[at] + p->params->update);
    return p->closed_by[at] == p->params->n_stages;
}

static void close_step(player *p, const stage_state *s, int64_t task)
{
    int64_t at = step_index(p, task, s->step[task]);
    p->closed[at] = fmax(p->closed[at], s->now);
    p->closed_by[at]++;
}

/* ---- the actions; each returns whether the stage could move -------------------------------- */

static int64_t round_of(const stage_state *s)
{
    return s->step[0];
}

/* A round begins when the last round's step of its first live task is done on all stages. */
static bool play_round(player *p, stage_state *s)
{
    int64_t round = round_of(s) + 1;
    double time = s->now;
    if (round > 0 && round <= p->n_rounds &&
        !step_is_done(p, p->lead_of[round - 1], round - 1, &time)) {
        return false;
    }
    s->now = time;
    if (round >= p->n_rounds) {
        fr_schedule_end(&s->schedule);
    } else {
        fr_schedule_begin_round(&s->schedule);
    }
    return true;
}

/* A task that has no step left, or a step without microbatches, opens with none: the schedule must see all tasks in
 * order. */
static bool play_open(player *p, stage_state *s, const fr_action *action)
{
    int64_t task = action->task;
    int64_t round = s->step[task] + 1;
    bool live = is_live(p, task, round);
    int64_t n = live ? p->params->n_microbatches[task] : 0;
    double time = s->now;
    if (live && !step_is_done(p, task, round - 1, &time)) {
        return false;
    }
    s->now = time;
    s->step[task] = round;
    fr_schedule_open(&s->schedule, n, live);
    if (live && n == 0) {
        close_step(p, s, task);
    }
    return true;
}

static void add_span(stage_state *s, const fr_action *action, int stage, double start)
{
    s->spans[s->n_spans++] = (fr_time_span){.stage = stage,
                                            .forward = action->act == FR_ACT_FORWARD,
                                            .task = action->task,
                                            .step = s->step[action->task],
                                            .microbatch = action->microbatch,
                                            .start = start,
                                            .end = s->now};
}

/* @param lower  the lower one of the two stages of an edge */
static double hop_of(const player *p, int lower)
{
    return p->params->hops != NULL ? p->params->hops[lower] : 0.0;
}

/* `pass` counts the stage's passes of one direction; it is the same number on every stage. */
static bool play_pass(player *p, int stage, stage_state *s, const fr_action *action)
{
    const fr_timeline_params *t = p->params;
    bool forward = action->act == FR_ACT_FORWARD;
    bool computes = forward || t->lowest == NULL || stage >= t->lowest[action->task];
    int64_t pass = forward ? s->schedule.forwards - 1 : s->schedule.backwards - 1;
    int from = forward ? stage - 1 : stage + 1;
    double start = s->now;
    if (computes && from >= 0 && from < t->n_stages) {
        const stage_state *other = &p->stages[from];
        double sent = forward ? other->forward_end[pass] : other->backward_end[pass];
        if (isnan(sent)) {
            return false;
        }
        start = fmax(start, sent + hop_of(p, forward ? from : stage));
    }
    if (computes) {
        s->now = start + (forward ? t->forward[stage] : t->backward[stage]);
        add_span(s, action, stage, start);
    }
    *(forward ? &s->forward_end[pass] : &s->backward_end[pass]) = s->now;
    if (!forward && action->closes) {
        close_step(p, s, action->task);
    }
    return true;
}

/* Microbatches in flight on the first and on the last stage, the two ends of what a schedule keeps. */
static void count_kept(player *p, int stage)
{
    int64_t kept = fr_schedule_in_flight(&p->stages[stage].schedule);
    for (int i = 0; i < 2; i++) {
        if (stage == (i == 0 ? 0 : p->params->n_stages - 1) && kept > p->max_kept[i]) {
            p->max_kept[i] = kept;
        }
    }
}

/* Actions that wait for an answer of all stages. */
static bool asks(const fr_action *action)
{
    return action->act == FR_ACT_ROUND || action->act == FR_ACT_OPEN;
}

static bool play(player *p, int stage)
{
    stage_state *s = &p->stages[stage];
    bool moved = false;
    if (!s->has_next) {
        s->next = fr_schedule_next(&s->schedule);
        s->has_next = true;
        count_kept(p, stage);
    }
    if (asks(&s->next) && !s->next.must) {
        fr_schedule_defer(
            &s->schedule); /* a stage does not wait for an answer while it can compute */
        s->has_next = false;
        return true;
    }
    switch (s->next.act) {
    case FR_ACT_ROUND:
        moved = play_round(p, s);
        break;
    case FR_ACT_OPEN:
        moved = play_open(p, s, &s->next);
        break;
    case FR_ACT_FORWARD:
    case FR_ACT_BACKWARD:
        moved = play_pass(p, stage, s, &s->next);
        break;
    case FR_ACT_END:
    default:
        s->ended = true;
        moved = true;
        break;
    }
    s->has_next = !moved;
    return moved;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static fr_status stage_init(player *p, int stage, stage_state *s)
{
    const fr_timeline_params *t = p->params;
    FR_TRY(fr_schedule_init(
        p->ctx, t->n_tasks,
        fr_schedule_max_in_flight(t->n_stages, stage, t->warmup_depth), &s->schedule));
    FR_TRY(fr_alloc(p->ctx, t->n_tasks, sizeof *s->step, &s->step));
    FR_TRY(fr_alloc(p->ctx, 2 * p->n_passes, sizeof *s->spans, &s->spans));
    FR_TRY(fr_alloc(p->ctx, p->n_passes, sizeof(double), &s->forward_end));
    FR_TRY(fr_alloc(p->ctx, p->n_passes, sizeof(double), &s->backward_end));
    for (int64_t i = 0; i < t->n_tasks; i++) {
        s->step[i] = -1;
    }
    for (int64_t i = 0; i < p->n_passes; i++) {
        s->forward_end[i] = s->backward_end[i] = (double)NAN;
    }
    return FR_OK;
}

static fr_status player_init(player *p)
{
    const fr_timeline_params *t = p->params;
    for (int64_t i = 0; i < t->n_tasks; i++) {
        p->n_passes += t->n_microbatches[i] * t->n_steps[i];
        p->n_rounds = t->n_steps[i] > p->n_rounds ? t->n_steps[i] : p->n_rounds;
    }
    int64_t n_steps = t->n_tasks * p->n_rounds;
    FR_TRY(fr_alloc(p->ctx, t->n_stages, sizeof *p->stages, &p->stages));
    FR_TRY(fr_alloc(p->ctx, n_steps, sizeof *p->closed, &p->closed));
    FR_TRY(fr_alloc(p->ctx, n_steps, sizeof *p->closed_by, &p->closed_by));
    FR_TRY(fr_alloc(p->ctx, p->n_rounds, sizeof *p->lead_of, &p->lead_of));
    for (int64_t round = 0; round < p->n_rounds; round++) {
        /* ends: n_rounds is the longest task's number of steps */
        while (!is_live(p, p->lead_of[round], round)) {
            p->lead_of[round]++;
        }
    }
    for (int stage = 0; stage < t->n_stages; stage++) {
        FR_TRY(stage_init(p, stage, &p->stages[stage]));
    }
    return FR_OK;
}

static void player_fini(player *p)
{
    for (int i = 0; p->stages != NULL && i < p->params->n_stages; i++) {
        stage_state *s = &p->stages[i];
        fr_schedule_fini(&s->schedule);
        free(s->step);
        free(s->spans);
        free(s->forward_end);
        free(s->backward_end);
    }
    free(p->stages);
    free(p->closed);
    free(p->closed_by);
    free(p->lead_of);
}

/* A stage moves as far as it can before the next one is visited. */
static fr_status play_all(player *p)
{
    int n_ended = 0;
    while (n_ended < p->params->n_stages) {
        bool moved = false;
        n_ended = 0;
        for (int stage = 0; stage < p->params->n_stages; stage++) {
            while (!p->stages[stage].ended && play(p, stage)) {
                moved = true;
            }
            n_ended += p->stages[stage].ended;
        }
        if (!moved && n_ended < p->params->n_stages) {
            return FR_FAIL(p->ctx, FR_ERR_INTERNAL,
                           "the schedule of %d stages is deadlocked",
                           p->params->n_stages);
        }
    }
    return FR_OK;
}

static fr_status collect(const player *p, fr_timeline *out)
{
    FR_TRY(fr_alloc(p->ctx, 2 * p->n_passes * p->params->n_stages, sizeof *out->spans,
                    &out->spans));
    for (int stage = 0; stage < p->params->n_stages; stage++) {
        const stage_state *s = &p->stages[stage];
        for (int64_t i = 0; i < s->n_spans; i++) {
            out->spans[out->n_spans++] = s->spans[i];
            out->busy += s->spans[i].end - s->spans[i].start;
        }
        out->end = fmax(out->end, s->now);
    }
    out->max_kept[0] = p->max_kept[0];
    out->max_kept[1] = p->max_kept[1];
    return FR_OK;
}

fr_status fr_timeline_run(fr_ctx *ctx, const fr_timeline_params *params,
                          fr_timeline *out)
{
    player p = {.ctx = ctx, .params = params};
    *out = (fr_timeline){0};
    fr_status status = player_init(&p);
    if (status == FR_OK) {
        status = play_all(&p);
    }
    if (status == FR_OK) {
        status = collect(&p, out);
    }
    player_fini(&p);
    if (status != FR_OK) {
        fr_timeline_fini(out);
    }
    return status;
}

void fr_timeline_fini(fr_timeline *timeline)
{
    free(timeline->spans);
    *timeline = (fr_timeline){0};
}

/* S even stages without links need m + S - 1 turns for m microbatches; n tasks fill n times m of each stage's turns. */
double fr_bubble_formula(int64_t n_tasks, int64_t n_microbatches, int n_stages)
{
    double m = (double)n_microbatches;
    return fmax(0.0, 1.0 - (double)n_tasks * m / (m + n_stages - 1));
}
