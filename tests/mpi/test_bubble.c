/* The schedule in real time over real messages, with stages that sleep instead of computing: idle time against
 * the formula. A busy machine only adds idle time, so of several attempts the best counts. */
#define _POSIX_C_SOURCE 200809L
#include "comm/group.h"
#include "support/suite.h"
#include "train/forecast/timeline.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

enum { ATTEMPTS = 40, MAX_TASKS = 4, PASS_MS = 8, TAG_FORWARD = 1, TAG_BACKWARD = 2 };

typedef struct trial {
    fr_group *world;
    fr_schedule schedule;
    int64_t n_microbatches;
    int64_t n_steps;
    int64_t done[MAX_TASKS]; /* steps begun */
    int64_t word[MAX_TASKS];
    fr_request update[MAX_TASKS];
    char message;
    double busy;
} trial;

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void work(trial *t)
{
    const struct timespec pass = {0, PASS_MS * 1000000L};
    double began = now();
    (void)nanosleep(&pass, NULL);
    t->busy += now() - began;
}

/* A wait that leaves the cores to the ranks that have work. */
static void await(trial *t, fr_request *request)
{
    const struct timespec moment = {0, 50000};
    bool is_done = false;
    FR_ASSERT_OK(fr_group_test(t->world, request, &is_done));
    while (!is_done) {
        (void)nanosleep(&moment, NULL);
        FR_ASSERT_OK(fr_group_test(t->world, request, &is_done));
    }
}

static void run_pass(trial *t, const fr_action *action)
{
    bool forward = action->act == FR_ACT_FORWARD;
    int rank = fr_group_rank(t->world);
    int from = forward ? rank - 1 : rank + 1;
    int to = forward ? rank + 1 : rank - 1;
    int tag = forward ? TAG_FORWARD : TAG_BACKWARD;
    fr_request coming = {NULL};
    if (from >= 0 && from < fr_group_size(t->world)) {
        FR_ASSERT_OK(
            fr_group_receive_begin(t->world, from, tag, &t->message, 1, &coming));
        await(t, &coming);
    }
    work(t);
    if (to >= 0 && to < fr_group_size(t->world)) {
        FR_ASSERT_OK(fr_group_send(t->world, to, tag, "x", 1));
    }
    if (!forward && action->closes) {
        t->word[action->task] = 1;
        FR_ASSERT_OK(fr_group_allreduce_begin(t->world, FR_SUM, &t->word[action->task],
                                              1, &t->update[action->task]));
    }
}

static void answer(trial *t, const fr_action *action)
{
    if (!action->must) {
        fr_schedule_defer(&t->schedule);
    } else if (action->act == FR_ACT_OPEN) {
        await(t, &t->update[action->task]);
        t->done[action->task]++;
        fr_schedule_open(&t->schedule, t->n_microbatches, true);
    } else if (t->done[0] == t->n_steps) {
        fr_schedule_end(&t->schedule);
    } else {
        fr_schedule_begin_round(&t->schedule);
    }
}

/* Idle share of all stages in one run. */
static double measure(fr_group *world, int64_t n_tasks, int64_t m, int64_t n_steps)
{
    trial t = {.world = world, .n_microbatches = m, .n_steps = n_steps};
    int n = fr_group_size(world);
    FR_ASSERT_OK(fr_schedule_init(fr_test_ctx(), n_tasks,
                                  fr_schedule_max_in_flight(n, fr_group_rank(world), 1),
                                  &t.schedule));
    FR_ASSERT_OK(fr_group_barrier(world));
    double began = now();
    for (fr_action next = fr_schedule_next(&t.schedule); next.act != FR_ACT_END;
         next = fr_schedule_next(&t.schedule)) {
        if (next.act == FR_ACT_ROUND || next.act == FR_ACT_OPEN) {
            answer(&t, &next);
        } else {
            run_pass(&t, &next);
        }
    }
    for (int64_t i = 0; i < n_tasks; i++) {
        await(&t, &t.update[i]);
    }
    fr_schedule_fini(&t.schedule);
    int64_t times[2] = {(int64_t)(1e9 * t.busy), 0};
    FR_ASSERT_OK(fr_group_allreduce(world, FR_SUM, times, 1));
    times[1] = (int64_t)(1e9 * (now() - began));
    FR_ASSERT_OK(fr_group_allreduce(world, FR_MAX, &times[1], 1));
    return 1.0 - (double)times[0] / (n * (double)times[1]);
}

static double best_of(fr_group *world, int64_t n_tasks, int64_t m, int64_t n_steps,
                      double enough)
{
    double best = 1.0;
    for (int i = 0; i < ATTEMPTS && best > enough; i++) {
        best = fmin(best, measure(world, n_tasks, m, n_steps));
    }
    if (fr_group_rank(world) == 0) {
        (void)printf("    %lld tasks x %lld microbatches, %d stages: idle %.1f %%\n",
                     (long long)n_tasks, (long long)m, fr_group_size(world),
                     100 * best);
    }
    return best;
}

static void one_task_idles_as_the_formula_says(void)
{
    enum { M = 8, STEPS = 5 };
    fr_group *world = fr_test_world();
    double wanted = fr_bubble_formula(1, M, fr_group_size(world));
    double got = best_of(world, 1, M, STEPS, wanted + 0.01);
    CU_ASSERT(fabs(got - wanted) < 0.02);
    fr_group_destroy(&world);
}

/* All but the start and the end of the run. */
static void enough_tasks_leave_no_idle_time(void)
{
    enum { M = 4, STEPS = 12, TASKS = 3 };
    fr_group *world = fr_test_world();
    double ends = (fr_group_size(world) - 1.0) / (TASKS * M * STEPS);
    double got = best_of(world, TASKS, M, STEPS, ends + 0.01);
    CU_ASSERT(got - ends < 0.02);
    fr_group_destroy(&world);
}

static const fr_case CASES[] = {
    FR_CASE(one_task_idles_as_the_formula_says),
    FR_CASE(enough_tasks_leave_no_idle_time),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("bubble", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
