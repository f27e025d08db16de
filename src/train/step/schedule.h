/*
 * schedule.h - the order in which a stage runs the forwards and backwards of several tasks.
 *
 * Without communication and without a clock: every rank derives its own part, and nothing is negotiated.
 *
 * The list. A round gives every live task one step; the microbatches of a step are a block; blocks follow
 * each other round by round, task by task. Forwards run in list order on every stage, and so do backwards.
 *
 * The rule. A stage runs the next forward while fewer than max_in_flight are in flight, else the oldest backward:
 * 1F1B (Narayanan et al., SC 2021) over the whole list, so that one task's forwards run while another would leave
 * the stage idle.
 * A block opens only after the same task's block before it is finished on this stage (its update comes in
 * between), and a round's first block only after the first block of the round before (its step summary says
 * whether the run goes on). Where the blocks in between hold fewer forwards than max_in_flight, the stage drains.
 *
 * No deadlock: max_in_flight falls from stage to stage and the conditions above count finished backwards alone. So
 * before backward n a stage has run every forward that any later stage runs before its own backward n, and
 * the last stage, which has one in flight at most, never waits for more than the next forward. On a stage below the
 * first prefixed layer of a task a backward computes nothing and waits for no message: the order stays the same, with
 * fewer conditions.
 */
#ifndef FR_TRAIN_STEP_SCHEDULE_H
#define FR_TRAIN_STEP_SCHEDULE_H

#include "base/ctx.h"

#include <stdint.h>

/**
 * Microbatches that a stage holds at most: warmup_depth * (n_stages - 1 - stage) + 1. Depth 1 is 1F1B's; with
 * 2 the messages between two stages are sent while another microbatch is computed.
 */
int64_t fr_schedule_max_in_flight(int n_stages, int stage, int64_t warmup_depth);

typedef enum fr_act {
    FR_ACT_ROUND, /* a round may begin: answer with fr_schedule_begin_round, _drain or _end */
    FR_ACT_OPEN,     /* the block of `task` is next: answer with fr_schedule_open */
    FR_ACT_FORWARD,  /* of `microbatch` of `task`, which is in flight from now on */
    FR_ACT_BACKWARD, /* of the oldest in flight: `microbatch` of `task` */
    FR_ACT_END       /* nothing is left */
} fr_act;

typedef struct fr_action {
    fr_act act;
    int64_t task;
    int64_t microbatch; /* of this replica, within the block */
    bool closes;        /* the last forward, or backward, of its block */
    bool
        must; /* FR_ACT_ROUND, FR_ACT_OPEN: nothing else can be done; else fr_schedule_defer may be answered */
} fr_action;

/* A block whose backwards are not all done. */
typedef struct fr_block {
    int64_t task;
    int64_t n;
    int64_t forwards; /* done */
    int64_t backwards;
} fr_block;

/** Where a stage is in the list. Plain data; `blocks` is owned. */
typedef struct fr_schedule {
    int64_t n_tasks;
    int64_t max_in_flight;
    int64_t forwards; /* done, of all blocks */
    int64_t backwards;
    int64_t next_task; /* of the round; n_tasks: the round is open */
    int64_t lead;      /* task of the round's first block; -1: none yet */
    bool draining;
    bool ended;
    bool deferred;
    int64_t first; /* ring of open blocks: at most one a task */
    int64_t n_open;
    fr_block *blocks;
} fr_schedule;

FR_MUST_CHECK fr_status fr_schedule_init(fr_ctx *ctx, int64_t n_tasks,
                                         int64_t max_in_flight, fr_schedule *out);
void fr_schedule_fini(fr_schedule *schedule);

/** What comes next. FORWARD and BACKWARD count as done with this call; the others stay until answered. */
fr_action fr_schedule_next(fr_schedule *schedule);

/** A round begins: FR_ACT_OPEN follows for task 0, 1, .... */
void fr_schedule_begin_round(fr_schedule *schedule);
/** Finish all that is in flight; FR_ACT_ROUND comes again afterwards, with nothing in flight. */
void fr_schedule_drain(fr_schedule *schedule);
/** No round follows. */
void fr_schedule_end(fr_schedule *schedule);
/** The block has n microbatches on this replica; without any it is finished with the blocks before it. `live` is
 * false for a task that has ended: it has no block. */
void fr_schedule_open(fr_schedule *schedule, int64_t n, bool live);
/** The caller cannot answer yet: the next action is a backward. Only where `must` is false. */
void fr_schedule_defer(fr_schedule *schedule);

/** Microbatches in flight. */
int64_t fr_schedule_in_flight(const fr_schedule *schedule);

#endif
