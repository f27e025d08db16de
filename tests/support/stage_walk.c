#define _POSIX_C_SOURCE 200809L
#include "support/stage_walk.h"

#include "train/step/schedule.h"

#include <time.h>

typedef struct walk {
    const fr_walk_params *params;
    fr_schedule schedule;
    int64_t n_opened[FR_WALK_MAX_TASKS]; /* steps */
    int64_t closed[FR_WALK_MAX_TASKS];   /* what the reduction of `update` holds */
    fr_request update[FR_WALK_MAX_TASKS];
} walk;

/* Leaves the core to the ranks that have work. */
static fr_status await(fr_group *world, fr_request *request)
{
    const struct timespec moment = {0, 50000};
    bool is_done = false;
    FR_TRY(fr_group_test(world, request, &is_done));
    while (!is_done) {
        (void)nanosleep(&moment, NULL);
        FR_TRY(fr_group_test(world, request, &is_done));
    }
    return FR_OK;
}

static fr_status run_pass(walk *w, const fr_action *action)
{
    fr_group *world = w->params->world;
    bool forward = action->act == FR_ACT_FORWARD;
    int from = fr_group_rank(world) + (forward ? -1 : 1);
    int to = fr_group_rank(world) + (forward ? 1 : -1);
    fr_tag tag = forward ? FR_TAG_FORWARD : FR_TAG_BACKWARD;
    bool receives = from >= 0 && from < fr_group_size(world);
    fr_walk_pass arrived = {0};
    fr_walk_pass pass = {.forward = forward,
                         .task = action->task,
                         .step = w->n_opened[action->task] - 1,
                         .microbatch = action->microbatch};
    if (receives) {
        fr_request coming;
        FR_TRY(fr_group_receive_begin(world, from, tag, &arrived, sizeof arrived,
                                      &coming));
        FR_TRY(await(world, &coming));
    }
    w->params->work(w->params->argument, &pass, receives ? &arrived : NULL);
    if (to >= 0 && to < fr_group_size(world)) {
        FR_TRY(fr_group_send(world, to, tag, &pass, sizeof pass));
    }
    if (!forward && action->closes) {
        w->closed[action->task] = pass.end;
        FR_TRY(fr_group_allreduce_begin(world, FR_MAX, &w->closed[action->task], 1,
                                        &w->update[action->task]));
    }
    return FR_OK;
}

static fr_status end_step(walk *w, int64_t task)
{
    FR_TRY(await(w->params->world, &w->update[task]));
    w->params->updated(w->params->argument, w->closed[task]);
    return FR_OK;
}

static fr_status answer(walk *w, const fr_action *action)
{
    if (!action->must) {
        fr_schedule_defer(&w->schedule);
    } else if (action->act == FR_ACT_OPEN) {
        FR_TRY(end_step(w, action->task));
        w->n_opened[action->task]++;
        fr_schedule_open(&w->schedule, w->params->n_microbatches, true);
    } else if (w->n_opened[0] == w->params->n_steps) {
        fr_schedule_end(&w->schedule);
    } else {
        fr_schedule_begin_round(&w->schedule);
    }
    return FR_OK;
}

static fr_status walk_all(walk *w)
{
    for (;;) {
        fr_action next = fr_schedule_next(&w->schedule);
        if (next.act == FR_ACT_END) {
            break;
        }
        bool asks = next.act == FR_ACT_ROUND || next.act == FR_ACT_OPEN;
        FR_TRY(asks ? answer(w, &next) : run_pass(w, &next));
    }
    for (int64_t task = 0; task < w->params->n_tasks; task++) {
        FR_TRY(end_step(w, task));
    }
    return FR_OK;
}

fr_status fr_walk_stage(fr_ctx *ctx, const fr_walk_params *params)
{
    walk w = {.params = params};
    fr_group *world = params->world;
    FR_TRY(fr_schedule_init(
        ctx, params->n_tasks,
        fr_schedule_max_in_flight(fr_group_size(world), fr_group_rank(world), 1),
        &w.schedule));
    fr_status status = walk_all(&w);
    fr_schedule_fini(&w.schedule);
    return status;
}
