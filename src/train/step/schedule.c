/* Where one stage is in the list of forwards and backwards. schedule.h has the rule and why it cannot deadlock.
 *
 * Open blocks form a ring of at most n_tasks entries, because a task has at most one. Only the newest block has
 * forwards left, and only the oldest one gives backwards, so both orders are those of the list without a queue of
 * microbatches.
 *
 * The caller's answers (open, begin_round, drain, end, defer) only move this state. fr_schedule_next looks at
 * nothing else, so stages that get the same answers run the same list. */
#include "train/step/schedule.h"

#include "base/mem.h"

#include <stdlib.h>

int64_t fr_schedule_max_in_flight(int n_stages, int stage, int64_t warmup_depth)
{
    return warmup_depth * (n_stages - 1 - stage) + 1;
}

fr_status fr_schedule_init(fr_ctx *ctx, int64_t n_tasks, int64_t max_in_flight,
                           fr_schedule *out)
{
    *out = (fr_schedule){.n_tasks = n_tasks,
                         .max_in_flight = max_in_flight,
                         .next_task = n_tasks,
                         .lead = -1};
    return fr_alloc(ctx, n_tasks, sizeof *out->blocks, &out->blocks);
}

void fr_schedule_fini(fr_schedule *schedule)
{
    free(schedule->blocks);
    *schedule = (fr_schedule){0};
}

int64_t fr_schedule_in_flight(const fr_schedule *schedule)
{
    return schedule->forwards - schedule->backwards;
}

static fr_block *block_at(const fr_schedule *s, int64_t i)
{
    return &s->blocks[(s->first + i) % s->n_tasks];
}

/* A linear search: rings are as short as the list of tasks, and a microbatch takes far longer. */
static bool is_open(const fr_schedule *s, int64_t task)
{
    for (int64_t i = 0; i < s->n_open; i++) {
        if (block_at(s, i)->task == task) {
            return true;
        }
    }
    return false;
}

static fr_action forward(fr_schedule *s, fr_block *block)
{
    fr_action action = {
        .act = FR_ACT_FORWARD, .task = block->task, .microbatch = block->forwards};
    block->forwards++;
    s->forwards++;
    action.closes = block->forwards == block->n;
    return action;
}

/* Blocks end in the order in which they were opened, empty ones too. */
static void drop_finished(fr_schedule *s)
{
    while (s->n_open > 0 && block_at(s, 0)->backwards == block_at(s, 0)->n) {
        s->first = (s->first + 1) % s->n_tasks;
        s->n_open--;
    }
}

/* The oldest in flight belongs to the oldest open block. */
static fr_action backward(fr_schedule *s)
{
    fr_block *block = block_at(s, 0);
    fr_action action = {
        .act = FR_ACT_BACKWARD, .task = block->task, .microbatch = block->backwards};
    block->backwards++;
    s->backwards++;
    action.closes = block->backwards == block->n;
    drop_finished(s);
    s->deferred = false;
    return action;
}

/* Whether this stage may ask now if another step, or another round, should start. */
static bool may_ask(const fr_schedule *s)
{
    if (s->deferred) {
        return false;
    }
    if (s->next_task < s->n_tasks) {
        return !is_open(s, s->next_task);
    }
    /* After fr_schedule_drain the question comes again only when the stage is empty: its answer needs a collective. */
    if (s->draining) {
        return fr_schedule_in_flight(s) == 0;
    }
    return s->lead < 0 || !is_open(s, s->lead);
}

fr_action fr_schedule_next(fr_schedule *schedule)
{
    fr_schedule *s = schedule;
    int64_t in_flight = fr_schedule_in_flight(s);
    fr_block *newest = s->n_open > 0 ? block_at(s, s->n_open - 1) : NULL;
    /* A block that has begun is finished before anything else opens: its forwards come first in the list. */
    if (newest != NULL && newest->forwards < newest->n) {
        return in_flight < s->max_in_flight ? forward(s, newest) : backward(s);
    }
    if (s->ended && in_flight == 0) {
        return (fr_action){.act = FR_ACT_END};
    }
    /* Whenever nothing may be asked something is in flight: a block that is open has backwards left. */
    if (s->ended || !may_ask(s)) {
        return backward(s);
    }
    /* Below max_in_flight the rule wants a forward next, so the caller must answer. At the limit it may defer, and a
     * backward runs meanwhile. */
    return (fr_action){.act = s->next_task < s->n_tasks ? FR_ACT_OPEN : FR_ACT_ROUND,
                       .task = s->next_task,
                       .must = in_flight < s->max_in_flight};
}

void fr_schedule_begin_round(fr_schedule *schedule)
{
    schedule->next_task = 0;
    schedule->lead = -1;
    schedule->draining = false;
}

void fr_schedule_drain(fr_schedule *schedule)
{
    schedule->draining = true;
}

void fr_schedule_end(fr_schedule *schedule)
{
    schedule->ended = true;
}

void fr_schedule_open(fr_schedule *schedule, int64_t n, bool live)
{
    fr_schedule *s = schedule;
    int64_t task = s->next_task++;
    if (live && s->lead < 0) {
        s->lead = task;
    }
    /* A block without microbatches on this replica closes with the blocks before it, so that blocks end in order. */
    if (live) {
        s->n_open++;
        *block_at(s, s->n_open - 1) = (fr_block){.task = task, .n = n};
        drop_finished(s);
    }
}

/* The question is asked again after the backward. */
void fr_schedule_defer(fr_schedule *schedule)
{
    schedule->deferred = true;
}
