/* Every order of forwards and backwards up to 8 stages, 16 microbatches and 4 tasks: what is in it, what it
 * keeps, that it ends, and how long the stages are idle. */
#include "support/suite.h"
#include "train/forecast/timeline.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STAGES = 8, MAX_MICROBATCHES = 16, MAX_TASKS = 4, STEPS = 3 };

static const double ONES[MAX_STAGES] = {1, 1, 1, 1, 1, 1, 1, 1};

typedef struct order_case {
    int n_stages;
    int64_t depth;
    int64_t n_tasks;
    int64_t n_microbatches[MAX_TASKS];
    int64_t n_steps[MAX_TASKS];
} order_case;

static fr_timeline_params params_of(const order_case *c)
{
    return (fr_timeline_params){.n_stages = c->n_stages,
                                .warmup_depth = c->depth,
                                .n_tasks = c->n_tasks,
                                .n_microbatches = c->n_microbatches,
                                .n_steps = c->n_steps,
                                .forward = ONES,
                                .backward = ONES};
}

static const char *name_of(const order_case *c)
{
    static char text[200]; /* of a test program with one thread */
    int at = snprintf(text, sizeof text, "%d stages, depth %lld, microbatches x steps",
                      c->n_stages, (long long)c->depth);
    for (int64_t t = 0; t < c->n_tasks; t++) {
        at += snprintf(text + at, sizeof text - (size_t)at, " %lldx%lld",
                       (long long)c->n_microbatches[t], (long long)c->n_steps[t]);
    }
    return text;
}

/* ---- the list, written down directly ------------------------------------------------------- */

typedef struct pass {
    int64_t task;
    int64_t step;
    int64_t microbatch;
} pass;

static int64_t list_passes(const order_case *c, pass *out)
{
    int64_t n = 0;
    for (int64_t round = 0; round < STEPS; round++) {
        for (int64_t t = 0; t < c->n_tasks; t++) {
            for (int64_t m = 0; round < c->n_steps[t] && m < c->n_microbatches[t];
                 m++) {
                out[n++] = (pass){t, round, m};
            }
        }
    }
    return n;
}

static bool is_pass(const fr_time_span *span, const pass *wanted)
{
    return span->task == wanted->task && span->step == wanted->step &&
           span->microbatch == wanted->microbatch;
}

/* Forwards and backwards each in list order, and never more in flight than allowed. */
static bool stage_is_right(const order_case *c, int stage, const fr_time_span *spans,
                           const pass *list, int64_t n)
{
    int64_t max_in_flight = fr_schedule_max_in_flight(c->n_stages, stage, c->depth);
    int64_t forwards = 0;
    int64_t backwards = 0;
    for (int64_t i = 0; i < 2 * n; i++) {
        int64_t *done = spans[i].forward ? &forwards : &backwards;
        if (*done >= n || !is_pass(&spans[i], &list[*done]) ||
            spans[i].stage != stage) {
            return false;
        }
        ++*done;
        if (backwards > forwards || forwards - backwards > max_in_flight) {
            return false;
        }
    }
    return forwards == n && backwards == n;
}

typedef struct pass_times {
    double forward[2]; /* start, end */
    double backward[2];
} pass_times;

static void read_times(const fr_time_span *spans, int64_t n, pass_times *out)
{
    int64_t forwards = 0;
    int64_t backwards = 0;
    for (int64_t i = 0; i < 2 * n; i++) {
        double *times =
            spans[i].forward ? out[forwards++].forward : out[backwards++].backward;
        times[0] = spans[i].start;
        times[1] = spans[i].end;
    }
}

/* A message is sent before it is used, on both edges of a stage. */
static bool messages_match(const order_case *c, pass_times *const times[], int64_t n)
{
    for (int stage = 1; stage < c->n_stages; stage++) {
        for (int64_t i = 0; i < n; i++) {
            if (times[stage][i].forward[0] < times[stage - 1][i].forward[1] ||
                times[stage - 1][i].backward[0] < times[stage][i].backward[1]) {
                return false;
            }
        }
    }
    return true;
}

/* No forward of a step before every stage has done the step before of the same task. */
static bool updates_come_between(const order_case *c, pass_times *const times[],
                                 const pass *list, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < i; j++) {
            bool before = list[j].task == list[i].task && list[j].step < list[i].step;
            for (int stage = 0; before && stage < c->n_stages; stage++) {
                if (times[0][i].forward[0] < times[stage][j].backward[1]) {
                    return false;
                }
            }
        }
    }
    return true;
}

static void check_order(const order_case *c)
{
    enum { MAX = MAX_TASKS * MAX_MICROBATCHES * STEPS };
    pass list[MAX];
    pass_times *times[MAX_STAGES] = {NULL};
    fr_timeline timeline;
    fr_timeline_params params = params_of(c);
    int64_t n = list_passes(c, list);
    FR_ASSERT_OK(fr_timeline_run(fr_test_ctx(), &params, &timeline));
    bool right = timeline.n_spans == 2 * n * c->n_stages;
    for (int stage = 0; right && stage < c->n_stages; stage++) {
        const fr_time_span *spans = timeline.spans + 2 * n * stage;
        right = stage_is_right(c, stage, spans, list, n);
        times[stage] = calloc((size_t)n + 1, sizeof *times[stage]);
        if (right && times[stage] != NULL) {
            read_times(spans, n, times[stage]);
        }
    }
    right = right && messages_match(c, times, n) &&
            (c->n_stages > 4 || updates_come_between(c, times, list, n));
    if (!right) {
        (void)fprintf(stderr, "wrong order: %s\n", name_of(c));
    }
    CU_ASSERT(right);
    for (int stage = 0; stage < c->n_stages; stage++) {
        free(times[stage]);
    }
    fr_timeline_fini(&timeline);
}

static void every_order_of_equal_tasks_is_right(void)
{
    for (int stages = 1; stages <= MAX_STAGES; stages++) {
        for (int64_t tasks = 1; tasks <= MAX_TASKS; tasks++) {
            for (int64_t m = 1; m <= MAX_MICROBATCHES; m++) {
                for (int64_t depth = 1; depth <= 2; depth++) {
                    check_order(&(order_case){
                        stages, depth, tasks, {m, m, m, m}, {STEPS, STEPS, 1, STEPS}});
                }
            }
        }
    }
}

static void every_order_of_two_unequal_tasks_is_right(void)
{
    for (int stages = 1; stages <= MAX_STAGES; stages++) {
        for (int64_t m = 0; m <= MAX_MICROBATCHES; m++) {
            for (int64_t n = 0; n <= MAX_MICROBATCHES; n++) {
                check_order(
                    &(order_case){stages, 1 + (m + n) % 2, 2, {m, n}, {2, STEPS}});
            }
        }
    }
}

/* Also replicas that get no microbatch of some task, and tasks that end early. */
static void orders_of_four_unequal_tasks_are_right(void)
{
    static const int64_t SIZES[] = {0, 1, 3, 16};
    for (int stages = 1; stages <= MAX_STAGES; stages++) {
        for (int i = 0; i < 256; i++) {
            check_order(&(order_case){
                stages,
                1 + i % 2,
                MAX_TASKS,
                {SIZES[i % 4], SIZES[i / 4 % 4], SIZES[i / 16 % 4], SIZES[i / 64]},
                {1 + i % 3, STEPS, 1 + i / 3 % 3, 2}});
        }
    }
}

/* All sizes from 1 to 16 of four tasks, a million cases; by default every 997th. FORERUN_EXHAUSTIVE=1: all of them, in
 * minutes. */
static void orders_of_four_tasks_of_any_sizes_are_right(void)
{
    enum { SIZES_OF_FOUR = 1 << 16, STRIDE = 997 };
    int stride = getenv("FORERUN_EXHAUSTIVE") != NULL ? 1 : STRIDE;
    for (int i = 0; i < SIZES_OF_FOUR * MAX_STAGES * 2; i += stride) {
        int sizes = i % SIZES_OF_FOUR;
        check_order(&(order_case){1 + i / SIZES_OF_FOUR % MAX_STAGES,
                                  1 + i / SIZES_OF_FOUR / MAX_STAGES,
                                  MAX_TASKS,
                                  {1 + sizes % 16, 1 + sizes / 16 % 16,
                                   1 + sizes / 256 % 16, 1 + sizes / 4096},
                                  {2, STEPS, 2, 1}});
    }
}

/* ---- idle time ------------------------------------------------------------------------------ */

/* Share of the stages' time that is idle. */
static double bubble_of(const fr_timeline *timeline, int stages)
{
    double whole = timeline->end * stages;
    return whole > 0.0 ? 1.0 - timeline->busy / whole : 0.0;
}

static double measured_bubble(int stages, int64_t depth, int64_t tasks, int64_t m,
                              double hop)
{
    enum { LONG = 40 };
    order_case c = {stages, depth, tasks, {m, m, m, m}, {LONG, LONG, LONG, LONG}};
    fr_timeline timeline;
    fr_timeline_params params = params_of(&c);
    double hops[MAX_STAGES];
    for (int i = 0; i < MAX_STAGES; i++) {
        hops[i] = hop;
    }
    params.hops = hops;
    FR_ASSERT_OK(fr_timeline_run(fr_test_ctx(), &params, &timeline));
    double bubble = bubble_of(&timeline, stages);
    fr_timeline_fini(&timeline);
    return bubble;
}

/* Start and end of the run are idle too: (S - 1) of all passes. Where the other tasks are too few to fill a
 * task's round trip the order drains, and stages wait in a fixed order: idle time is then more than the best. */
static void idle_time_follows_the_formula(void)
{
    for (int stages = 1; stages <= MAX_STAGES; stages++) {
        for (int64_t tasks = 1; tasks <= MAX_TASKS; tasks++) {
            for (int64_t m = 1; m <= MAX_MICROBATCHES; m++) {
                double wanted = fr_bubble_formula(tasks, m, stages);
                double got = measured_bubble(stages, 1, tasks, m, 0.0);
                double ends = (stages - 1) / (40.0 * (double)(tasks * m));
                CU_ASSERT(got >= wanted - 1e-9);
                if (tasks == 1) {
                    CU_ASSERT_DOUBLE_EQUAL(got, wanted, 1e-9);
                } else if ((tasks - 1) * m >= stages - 1) {
                    CU_ASSERT_DOUBLE_EQUAL(wanted, 0.0, 1e-9);
                    CU_ASSERT(got <= ends);
                }
            }
        }
    }
}

static void a_deeper_warm_up_hides_the_links(void)
{
    double shallow = measured_bubble(4, 1, 3, 8, 0.2);
    double deep = measured_bubble(4, 2, 3, 8, 0.2);
    CU_ASSERT(shallow > 0.08);
    CU_ASSERT(deep < 0.01);
}

static void a_stage_keeps_as_many_as_may_be_in_flight(void)
{
    order_case c = {4, 2, 1, {16}, {1}};
    fr_timeline timeline;
    fr_timeline_params params = params_of(&c);
    FR_ASSERT_OK(fr_timeline_run(fr_test_ctx(), &params, &timeline));
    CU_ASSERT_EQUAL(timeline.max_kept[0], 7);
    CU_ASSERT_EQUAL(timeline.max_kept[1], 1);
    fr_timeline_fini(&timeline);
}

/* Whether an answer comes at once or late, the order of the passes is the same. */
static void late_answers_do_not_change_the_order(void)
{
    enum { PASSES = 60 };
    int64_t orders[2][PASSES];
    for (int late = 0; late < 2; late++) {
        fr_schedule s;
        int64_t n = 0;
        FR_ASSERT_OK(fr_schedule_init(fr_test_ctx(), 2, 3, &s));
        for (int i = 0; i < 1000 && n < PASSES; i++) {
            fr_action next = fr_schedule_next(&s);
            bool asks = next.act == FR_ACT_ROUND || next.act == FR_ACT_OPEN;
            if (asks && late == 1 && !next.must) {
                fr_schedule_defer(&s);
            } else if (next.act == FR_ACT_ROUND) {
                fr_schedule_begin_round(&s);
            } else if (next.act == FR_ACT_OPEN) {
                fr_schedule_open(&s, next.task == 0 ? 4 : 2, true);
            } else {
                orders[late][n++] = next.act * 100 + next.task * 10 + next.microbatch;
            }
        }
        CU_ASSERT_EQUAL(n, PASSES);
        fr_schedule_fini(&s);
    }
    CU_ASSERT(memcmp(orders[0], orders[1], sizeof orders[0]) == 0);
}

static void draining_empties_the_stage_before_the_next_round(void)
{
    fr_schedule s;
    FR_ASSERT_OK(fr_schedule_init(fr_test_ctx(), 2, 4, &s));
    int rounds = 0;
    bool drained = false;
    for (int i = 0; i < 1000; i++) {
        fr_action next = fr_schedule_next(&s);
        if (next.act == FR_ACT_ROUND && rounds == 2 && !drained) {
            fr_schedule_drain(&s);
            drained = true;
        } else if (next.act == FR_ACT_ROUND) {
            CU_ASSERT(!drained || rounds > 2 || fr_schedule_in_flight(&s) == 0);
            if (++rounds > 4) {
                fr_schedule_end(&s);
            } else {
                fr_schedule_begin_round(&s);
            }
        } else if (next.act == FR_ACT_OPEN) {
            fr_schedule_open(&s, 8, true);
        } else if (next.act == FR_ACT_END) {
            break;
        }
    }
    CU_ASSERT_EQUAL(rounds, 5);
    CU_ASSERT_EQUAL(s.forwards, 4 * 16);
    CU_ASSERT_EQUAL(s.backwards, 4 * 16);
    fr_schedule_fini(&s);
}

/* Stages below a task's first layer with a prefix have no backward of it: every order still ends, forwards are those
 * of the list, and as many backwards as there are stages above. */
static void tasks_that_end_at_different_stages_do_not_deadlock(void)
{
    for (int i = 0; i < 4096; i++) {
        int stages = 1 + i % MAX_STAGES;
        int lowest[MAX_TASKS];
        order_case c = {stages,
                        1 + i / 2 % 2,
                        1 + i / 16 % MAX_TASKS,
                        {1 + i % 7, 1 + i % 5, i % 3, 1 + i % 16},
                        {2, STEPS, 1 + i % 3, 2}};
        fr_timeline_params params = params_of(&c);
        int64_t wanted = 0;
        for (int64_t t = 0; t < c.n_tasks; t++) {
            lowest[t] = (i * 31 + (int)t * 5 + i / 64) % stages;
            wanted += c.n_microbatches[t] * c.n_steps[t] * (2 * stages - lowest[t]);
        }
        params.lowest = lowest;
        double hop = i % 4 * 0.25;
        const double hops[MAX_STAGES] = {hop, hop, hop, hop, hop, hop, hop, hop};
        params.hops = hops;
        fr_timeline timeline;
        FR_ASSERT_OK(fr_timeline_run(fr_test_ctx(), &params, &timeline));
        CU_ASSERT_EQUAL(timeline.n_spans, wanted);
        for (int64_t s = 0; s < timeline.n_spans; s++) {
            const fr_time_span *span = &timeline.spans[s];
            CU_ASSERT(span->forward || span->stage >= lowest[span->task]);
        }
        fr_timeline_fini(&timeline);
    }
}

/* Two stages, one task on the upper: below, forwards follow each other and no time passes between. */
static void a_stage_without_backward_runs_ahead(void)
{
    static const int UPPER[] = {1};
    order_case c = {2, 1, 1, {6}, {1}};
    fr_timeline timeline;
    fr_timeline_params params = params_of(&c);
    params.lowest = UPPER;
    FR_ASSERT_OK(fr_timeline_run(fr_test_ctx(), &params, &timeline));
    CU_ASSERT_EQUAL(timeline.n_spans, 6 + 12);
    CU_ASSERT_DOUBLE_EQUAL(timeline.spans[5].end, 6.0, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(timeline.end, 13.0, 1e-12);
    fr_timeline_fini(&timeline);
}

static const fr_case CASES[] = {
    FR_CASE(every_order_of_equal_tasks_is_right),
    FR_CASE(every_order_of_two_unequal_tasks_is_right),
    FR_CASE(orders_of_four_unequal_tasks_are_right),
    FR_CASE(orders_of_four_tasks_of_any_sizes_are_right),
    FR_CASE(idle_time_follows_the_formula),
    FR_CASE(a_deeper_warm_up_hides_the_links),
    FR_CASE(a_stage_keeps_as_many_as_may_be_in_flight),
    FR_CASE(late_answers_do_not_change_the_order),
    FR_CASE(draining_empties_the_stage_before_the_next_round),
    FR_CASE(tasks_that_end_at_different_stages_do_not_deadlock),
    FR_CASE(a_stage_without_backward_runs_ahead),
};

int main(int argc, char **argv)
{
    return fr_suite_main("schedule", CASES, FR_N_CASES(CASES), argc, argv);
}
