/* Time of layouts whose stages lie on several nodes, by hand on small numbers. */
#include "support/forecast_case.h"
#include "support/suite.h"
#include "train/forecast/forecast.h"

/* Four stages of one replica, two a node: 2560 bytes take 0.25 + 0.5 passes inside and 2 + 1 between. */
static fr_forecast_params two_kinds(const fr_task_workload *task, double pass)
{
    fr_forecast_params p = fr_forecast_even_stages(task, 1);
    p.machine.inside = (fr_link_speed){2560.0 / (0.25 * pass), 0.5 * pass};
    p.machine.between = (fr_link_speed){2560.0 / (2.0 * pass), pass};
    p.node_ranks_most = 2;
    return p;
}

/* One microbatch a step goes up and down the pipeline: its passes, and each edge twice. The sums of one replica are the step
 * summary alone: (4 + 3 4 + 8) 8 bytes over 4 ranks, 2 3/4 times, and 2 log2 4 latencies. */
static void an_edge_has_the_link_of_its_place(void)
{
    static const struct {
        int64_t node_ranks_most;
        double edges; /* passes that the three edges take */
        int n_leaving;
        bool sums_leave;
    } CASES[] = {
        {4, 3 * 0.75, 0, false},      {100, 3 * 0.75, 0, false},
        {3, 2 * 0.75 + 3.0, 1, true}, {2, 2 * 0.75 + 3.0, 1, true},
        {1, 3 * 3.0, 3, true},        {0, 3 * 3.0, 3, true},
    };
    fr_task_workload load = fr_forecast_load(1);
    fr_forecast_params even = fr_forecast_even_stages(&load, 1);
    double forward = fr_pass_seconds(&even, 0, true, 10.0, 0.0);
    double backward = fr_pass_seconds(&even, 0, false, 10.0, 0.0);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        fr_forecast_params p = two_kinds(&load, forward);
        fr_forecast f;
        p.node_ranks_most = CASES[i].node_ranks_most;
        FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
        const fr_link_speed *sums =
            CASES[i].sums_leave ? &p.machine.between : &p.machine.inside;
        double update = 2.0 * 192.0 * 0.75 / sums->bytes + 4.0 * sums->seconds;
        double round =
            4.0 * (forward + backward) + 2.0 * CASES[i].edges * forward + update;
        CU_ASSERT_DOUBLE_EQUAL(f.update_seconds / update, 1.0, 1e-9);
        CU_ASSERT_DOUBLE_EQUAL(f.round_seconds / round, 1.0, 1e-9);
        CU_ASSERT_EQUAL(f.n_leaving, CASES[i].n_leaving);
        CU_ASSERT_EQUAL(f.n_spanning, CASES[i].n_leaving > 0);
        CU_ASSERT_EQUAL(f.sums_leave, CASES[i].sums_leave);
        CU_ASSERT_EQUAL(f.stages[1].leaves_node, CASES[i].node_ranks_most < 3);
        CU_ASSERT_FALSE(f.stages[3].leaves_node);
        CU_ASSERT_DOUBLE_EQUAL(f.stages[3].message_seconds, 0.0, 0.0);
        CU_ASSERT_DOUBLE_EQUAL(f.message_seconds / forward,
                               CASES[i].n_leaving > 0 ? 3.0 : 0.75, 1e-9);
        fr_forecast_fini(&f);
    }
}

/* Six ranks a node: of three replicas of four stages the second lies half on each node. It is the one that is played. */
static void the_replica_with_the_most_changes_of_node_counts(void)
{
    fr_task_workload load = fr_forecast_load(1);
    fr_forecast_params p = two_kinds(&load, 1.0);
    fr_forecast f;
    p.n_replicas = 3;
    p.node_ranks_most = 6;
    FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
    CU_ASSERT_EQUAL(f.n_spanning, 1);
    CU_ASSERT_EQUAL(f.slowest_replica, 1);
    CU_ASSERT_EQUAL(f.n_leaving, 1);
    CU_ASSERT(!f.stages[0].leaves_node && f.stages[1].leaves_node &&
              !f.stages[2].leaves_node);
    fr_forecast_fini(&f);
    /* five a node: 4 | 1, 3 | 2, 2: two of them change once, and the first of these is played */
    p.node_ranks_most = 5;
    FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
    CU_ASSERT_EQUAL(f.n_spanning, 2);
    CU_ASSERT_EQUAL(f.slowest_replica, 1);
    CU_ASSERT(f.stages[0].leaves_node && !f.stages[1].leaves_node);
    fr_forecast_fini(&f);
    /* three a node: 3 1, 2 2, 1 3 */
    p.node_ranks_most = 3;
    FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
    CU_ASSERT_EQUAL(f.n_spanning, 3);
    CU_ASSERT_EQUAL(f.slowest_replica, 0);
    CU_ASSERT(f.stages[2].leaves_node && !f.stages[1].leaves_node);
    fr_forecast_fini(&f);
}

/* A deep warm-up hides latency, so the bandwidth of the slowest edge bounds the round: 8 messages, 100 passes each between
 * nodes and 10 inside one. */
static void the_slowest_edge_bounds_the_round(void)
{
    static const struct {
        int64_t node_ranks_most;
        double passes;
    } CASES[] = {{4, 80.0}, {2, 800.0}};
    fr_task_workload load = fr_forecast_load(8);
    fr_forecast_params p = fr_forecast_even_stages(&load, 1);
    double pass = fr_pass_seconds(&p, 0, true, 10.0, 0.0);
    p.warmup_depth = 2;
    p.machine.inside.bytes = 2560.0 / (10.0 * pass);
    p.machine.between.bytes = 2560.0 / (100.0 * pass);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        fr_forecast f;
        p.node_ranks_most = CASES[i].node_ranks_most;
        FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
        CU_ASSERT(f.round_seconds >= CASES[i].passes * pass * (1.0 - 1e-9));
        CU_ASSERT_EQUAL(f.round_seconds >= 800.0 * pass * (1.0 - 1e-9), i == 1);
        fr_forecast_fini(&f);
    }
}

/* The sum over two replicas of a stage that shares a node has the inside link until the run has a second node. */
static void sums_go_between_nodes_where_there_are_several(void)
{
    fr_task_workload load = fr_forecast_load(2);
    fr_forecast_params p = fr_forecast_even_stages(&load, 1);
    p.n_replicas = 2;
    p.machine.inside = (fr_link_speed){1000.0, 0.25};
    p.machine.between = (fr_link_speed){100.0, 2.0};
    double bytes = 2.0 * 2 * 6 * 32 * 8;
    double word = (4 + 3 * 4 + 8) * 8.0;
    for (int64_t most = 4; most <= 8; most += 4) {
        const fr_link_speed *link = most == 8 ? &p.machine.inside : &p.machine.between;
        fr_forecast f;
        p.node_ranks_most = most;
        FR_ASSERT_OK(fr_forecast_run(fr_test_ctx(), &p, &f));
        CU_ASSERT_DOUBLE_EQUAL(f.update_seconds,
                               bytes / link->bytes + 2.0 * link->seconds +
                                   2.0 * word * 0.875 / link->bytes +
                                   6.0 * link->seconds,
                               1e-9);
        fr_forecast_fini(&f);
    }
}

static const fr_case CASES[] = {
    FR_CASE(an_edge_has_the_link_of_its_place),
    FR_CASE(the_replica_with_the_most_changes_of_node_counts),
    FR_CASE(the_slowest_edge_bounds_the_round),
    FR_CASE(sums_go_between_nodes_where_there_are_several),
};

int main(int argc, char **argv)
{
    return fr_suite_main("forecast_links", CASES, FR_N_CASES(CASES), argc, argv);
}
