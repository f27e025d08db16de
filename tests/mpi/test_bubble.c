/*
 * The schedule over real messages: the order of events on each stage, and the idle time that follows from it.
 *
 * Time is counted, not measured. A pass takes one unit; a message carries the time at which its pass ended, and the pass
 * that needs it begins no earlier; a task's next step begins no earlier than the end of its last one on all stages.
 * (Such clocks are Lamport's, 1978.) So the times are those of stages that never wait for a processor, however busy the
 * machine is, and they must be the times that the forecast plays through. tests/bench measures real time.
 */
#include "support/stage_walk.h"
#include "support/suite.h"
#include "train/forecast/timeline.h"

#include <math.h>
#include <stdlib.h>

/* What a stage does, in its order. */
typedef struct diary {
    int64_t now;
    int64_t n;
    fr_walk_pass *passes;
    int64_t *starts;
} diary;

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void work(void *argument, fr_walk_pass *pass, const fr_walk_pass *arrived)
{
    diary *d = argument;
    if (arrived != NULL) {
        CU_ASSERT_EQUAL(arrived->forward, pass->forward);
        CU_ASSERT_EQUAL(arrived->task, pass->task);
        CU_ASSERT_EQUAL(arrived->step, pass->step);
        CU_ASSERT_EQUAL(arrived->microbatch, pass->microbatch);
        d->now = later(d->now, arrived->end);
    }
    d->starts[d->n] = d->now;
    pass->end = ++d->now;
    d->passes[d->n++] = *pass;
}

static void updated(void *argument, int64_t end)
{
    diary *d = argument;
    d->now = later(d->now, end);
}

/* All stages' passes, stage by stage, as the forecast plays them. */
static fr_timeline foretell(const fr_walk_params *walk)
{
    enum { MAX_STAGES = 8 };
    int64_t microbatches[FR_WALK_MAX_TASKS];
    int64_t steps[FR_WALK_MAX_TASKS];
    double units[MAX_STAGES];
    fr_timeline timeline;
    for (int64_t i = 0; i < FR_WALK_MAX_TASKS; i++) {
        microbatches[i] = walk->n_microbatches;
        steps[i] = walk->n_steps;
    }
    for (int i = 0; i < MAX_STAGES; i++) {
        units[i] = 1.0;
    }
    fr_timeline_params params = {.n_stages = fr_group_size(walk->world),
                                 .warmup_depth = 1,
                                 .n_tasks = walk->n_tasks,
                                 .n_microbatches = microbatches,
                                 .n_steps = steps,
                                 .forward = units,
                                 .backward = units};
    FR_ASSERT_OK(fr_timeline_run(fr_test_ctx(), &params, &timeline));
    return timeline;
}

static void compare(const diary *d, const fr_timeline *timeline, int stage)
{
    int64_t n = 0;
    for (int64_t i = 0; i < timeline->n_spans; i++) {
        const fr_time_span *wanted = &timeline->spans[i];
        if (wanted->stage == stage && n < d->n) {
            const fr_walk_pass *got = &d->passes[n];
            CU_ASSERT_EQUAL(got->forward, wanted->forward);
            CU_ASSERT_EQUAL(got->task, wanted->task);
            CU_ASSERT_EQUAL(got->step, wanted->step);
            CU_ASSERT_EQUAL(got->microbatch, wanted->microbatch);
            CU_ASSERT((double)d->starts[n] == wanted->start);
            CU_ASSERT((double)got->end == wanted->end);
        }
        n += wanted->stage == stage;
    }
    CU_ASSERT_EQUAL(n, d->n);
}

/* A backward comes after its own forward, and no more microbatches are in flight than the stage may hold. */
static void check_order(const diary *d, const fr_walk_params *walk)
{
    int64_t max = fr_schedule_max_in_flight(fr_group_size(walk->world),
                                            fr_group_rank(walk->world), 1);
    int64_t n_forwards = 0;
    int64_t n_backwards = 0;
    for (int64_t i = 0; i < d->n; i++) {
        n_forwards += d->passes[i].forward;
        n_backwards += 1 - d->passes[i].forward;
        CU_ASSERT(n_backwards <= n_forwards && n_forwards - n_backwards <= max);
    }
    CU_ASSERT_EQUAL(n_forwards, walk->n_tasks * walk->n_microbatches * walk->n_steps);
    CU_ASSERT_EQUAL(n_backwards, n_forwards);
}

/* Idle share of all stages in one run, whose every event is checked. */
static double walk_and_check(int64_t n_tasks, int64_t m, int64_t n_steps)
{
    fr_group *world = fr_test_world();
    int n_stages = fr_group_size(world);
    int64_t n_passes = 2 * n_tasks * m * n_steps;
    diary d = {.passes = calloc((size_t)n_passes, sizeof *d.passes),
               .starts = calloc((size_t)n_passes, sizeof *d.starts)};
    CU_ASSERT_FATAL(d.passes != NULL && d.starts != NULL);
    fr_walk_params walk = {.world = world,
                           .n_tasks = n_tasks,
                           .n_microbatches = m,
                           .n_steps = n_steps,
                           .work = work,
                           .updated = updated,
                           .argument = &d};
    FR_ASSERT_OK(fr_walk_stage(fr_test_ctx(), &walk));
    fr_timeline timeline = foretell(&walk);
    compare(&d, &timeline, fr_group_rank(world));
    check_order(&d, &walk);
    int64_t end = d.passes[d.n - 1].end;
    FR_ASSERT_OK(fr_group_allreduce(world, FR_MAX, &end, 1));
    double idle = 1.0 - (double)n_passes / (double)end;
    double foretold = 1.0 - timeline.busy / (timeline.end * n_stages);
    CU_ASSERT(fabs(idle - foretold) < 1e-12);
    fr_timeline_fini(&timeline);
    free(d.passes);
    free(d.starts);
    fr_group_destroy(&world);
    return idle;
}

static int count_stages(void)
{
    fr_group *world = fr_test_world();
    int n = fr_group_size(world);
    fr_group_destroy(&world);
    return n;
}

static void one_task_idles_as_the_formula_says(void)
{
    enum { M = 8, STEPS = 5 };
    double idle = walk_and_check(1, M, STEPS);
    CU_ASSERT(fabs(idle - fr_bubble_formula(1, M, count_stages())) < 1e-12);
}

/* All but the start and the end of the run: the passes of one microbatch through the other stages. */
static void enough_tasks_leave_no_idle_time(void)
{
    enum { M = 4, STEPS = 12, TASKS = 3 };
    double idle = walk_and_check(TASKS, M, STEPS);
    double ends = count_stages() - 1.0;
    CU_ASSERT(fabs(idle - ends / (TASKS * M * STEPS + ends)) < 1e-12);
}

/* Two short tasks do not fill each other's bubble on many stages. */
static void too_few_tasks_idle_less_than_one(void)
{
    enum { M = 2, STEPS = 6 };
    double alone = walk_and_check(1, M, STEPS);
    double together = walk_and_check(2, M, STEPS);
    CU_ASSERT(together < alone);
}

static const fr_case CASES[] = {
    FR_CASE(one_task_idles_as_the_formula_says),
    FR_CASE(enough_tasks_leave_no_idle_time),
    FR_CASE(too_few_tasks_idle_less_than_one),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("bubble", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
