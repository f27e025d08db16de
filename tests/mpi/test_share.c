#define _GNU_SOURCE /* sched_setaffinity */
#include "comm/share.h"
#include "support/suite.h"

#include <sched.h>

static const int64_t GIB = (int64_t)1 << 30;

/* A machine with 6 GiB free for each rank of this test. */
static fr_limits machine(const fr_group *node)
{
    return (fr_limits){.machine_bytes = 100 * GIB,
                       .machine_available = 6 * GIB * fr_group_size(node),
                       .process_bytes = FR_NO_LIMIT,
                       .process_available = FR_NO_LIMIT};
}

static void free_memory_is_divided(void)
{
    fr_group *node = fr_test_world();
    fr_limits limits = machine(node);
    fr_share share;
    FR_ASSERT_OK(fr_share_measure(fr_test_ctx(), node, &limits, &share));
    CU_ASSERT_EQUAL(share.memory.bytes, 6 * GIB);
    CU_ASSERT_EQUAL(share.memory.bound, FR_BOUND_MACHINE);
    CU_ASSERT_EQUAL(share.memory.n_sharers, fr_group_size(node));
    CU_ASSERT_EQUAL(share.quota, 0.0);
    fr_group_destroy(&node);
}

static void ranks_of_one_group_share_its_limit(void)
{
    fr_group *node = fr_test_world();
    int n = fr_group_size(node);
    fr_limits limits = machine(node);
    fr_share share;
    limits.n_memory = 1;
    limits.memory[0] =
        (fr_memory_limit){.id = 7, .bytes = 4 * GIB, .available = 3 * GIB};
    limits.n_cpu = 1;
    limits.cpu[0] = (fr_cpu_limit){7, 1.5};
    FR_ASSERT_OK(fr_share_measure(fr_test_ctx(), node, &limits, &share));
    CU_ASSERT_EQUAL(share.memory.bytes, 3 * GIB / n);
    CU_ASSERT_EQUAL(share.memory.bound, FR_BOUND_CONTAINER);
    CU_ASSERT_EQUAL(share.memory.limit, 4 * GIB);
    CU_ASSERT_DOUBLE_EQUAL(share.quota, 1.5 / n, 1e-12);
    fr_group_destroy(&node);
}

/* Tasks in groups of their own below that of their job: the least of both ways counts. */
static void groups_of_their_own_are_not_divided(void)
{
    fr_group *node = fr_test_world();
    int n = fr_group_size(node);
    int64_t own = 100 + fr_group_rank(node);
    fr_limits limits = machine(node);
    fr_share share;
    limits.n_memory = 2;
    limits.memory[0] =
        (fr_memory_limit){.id = own, .bytes = 2 * GIB, .available = 2 * GIB};
    limits.memory[1] =
        (fr_memory_limit){.id = 7, .bytes = 50 * GIB, .available = 3 * GIB * n};
    limits.n_cpu = 1;
    limits.cpu[0] = (fr_cpu_limit){own, 2.0};
    FR_ASSERT_OK(fr_share_measure(fr_test_ctx(), node, &limits, &share));
    CU_ASSERT_EQUAL(share.memory.bytes, 2 * GIB);
    CU_ASSERT_EQUAL(share.quota, 2.0);
    limits.memory[1].available = GIB * n;
    FR_ASSERT_OK(fr_share_measure(fr_test_ctx(), node, &limits, &share));
    CU_ASSERT_EQUAL(share.memory.bytes, GIB);
    CU_ASSERT_EQUAL(share.memory.n_sharers, n);
    limits.process_bytes = GIB;
    limits.process_available = GIB / 2; /* nobody shares it */
    FR_ASSERT_OK(fr_share_measure(fr_test_ctx(), node, &limits, &share));
    CU_ASSERT_EQUAL(share.memory.bytes, GIB / 2);
    CU_ASSERT_EQUAL(share.memory.bound, FR_BOUND_PROCESS);
    fr_group_destroy(&node);
}

/* Ranks bound to processors of their own have them whole; ranks that may run on the same ones share them. */
static void processors_are_shared_by_those_that_may_use_them(void)
{
    fr_group *node = fr_test_world();
    int n = fr_group_size(node);
    fr_limits limits = machine(node);
    fr_share share;
    cpu_set_t all;
    cpu_set_t one;
    CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof all, &all), 0);
    FR_ASSERT_OK(fr_share_measure(fr_test_ctx(), node, &limits, &share));
    CU_ASSERT_DOUBLE_EQUAL(share.processors, (double)CPU_COUNT(&all) / n, 1e-9);
    int turn = 0;
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &all) && turn++ == fr_group_rank(node)) {
            CPU_SET(i, &one);
        }
    }
    if (CPU_COUNT(&all) >= n) {
        CU_ASSERT_EQUAL(sched_setaffinity(0, sizeof one, &one), 0);
        FR_ASSERT_OK(fr_share_measure(fr_test_ctx(), node, &limits, &share));
        CU_ASSERT_DOUBLE_EQUAL(share.processors, 1.0, 1e-9);
        CU_ASSERT_EQUAL(sched_setaffinity(0, sizeof all, &all), 0);
    }
    fr_group_destroy(&node);
}

static void threads_follow_processors_and_quota(void)
{
    static const struct {
        double processors;
        double quota;
        int threads;
    } CASES_OF[] = {{8.0, 0.0, 8},  {2.9999999, 0.0, 3}, {0.5, 0.0, 1}, {1.5, 0.0, 1},
                    {8.0, 1.5, 2},  {8.0, 1.4, 1},       {8.0, 0.2, 1}, {8.0, 7.9, 8},
                    {2.0, 16.0, 2}, {8.0, 2.5, 3}};
    for (size_t i = 0; i < sizeof CASES_OF / sizeof CASES_OF[0]; i++) {
        fr_share share = {.processors = CASES_OF[i].processors,
                          .quota = CASES_OF[i].quota};
        CU_ASSERT_EQUAL(fr_share_threads(&share), CASES_OF[i].threads);
    }
}

static const fr_case CASES[] = {
    FR_CASE(free_memory_is_divided),
    FR_CASE(ranks_of_one_group_share_its_limit),
    FR_CASE(groups_of_their_own_are_not_divided),
    FR_CASE(processors_are_shared_by_those_that_may_use_them),
    FR_CASE(threads_follow_processors_and_quota),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("share", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
