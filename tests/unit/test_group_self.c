#define _POSIX_C_SOURCE 200809L
#include "comm/grid.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static fr_group *make_self(void)
{
    fr_group *group = NULL;
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &group));
    CU_ASSERT_PTR_NOT_NULL_FATAL(group);
    return group;
}

static void self_is_rank_0_of_1_alone_on_its_node(void)
{
    fr_group *group = make_self();
    CU_ASSERT_EQUAL(fr_group_rank(group), 0);
    CU_ASSERT_EQUAL(fr_group_size(group), 1);
    CU_ASSERT_EQUAL(fr_group_node_rank(group), 0);
    CU_ASSERT_EQUAL(fr_group_node_size(group), 1);
    fr_group_destroy(&group);
    CU_ASSERT_PTR_NULL(group);
    fr_group_destroy(&group);
}

static void collectives_of_one_rank_change_nothing(void)
{
    fr_group *group = make_self();
    int64_t values[3] = {INT64_MIN, 0, INT64_MAX};
    const int64_t before[3] = {INT64_MIN, 0, INT64_MAX};
    FR_ASSERT_OK(fr_group_barrier(group));
    FR_ASSERT_OK(fr_group_allreduce(group, FR_SUM, values, 3));
    FR_ASSERT_OK(fr_group_allreduce(group, FR_MIN, values, 3));
    FR_ASSERT_OK(fr_group_allreduce(group, FR_MAX, values, 3));
    FR_ASSERT_OK(fr_group_broadcast(group, 0, values, sizeof values));
    FR_ASSERT_OK(fr_group_allreduce(group, FR_SUM, NULL, 0));
    fr_assert_same_bytes("values", values, before, sizeof before);
    fr_group_destroy(&group);
}

static void wrong_collective_arguments_are_named(void)
{
    fr_group *group = make_self();
    int64_t value = 7;
    fr_group *part = group;
    FR_ASSERT_FAILS(fr_group_allreduce(group, FR_SUM, &value, -2), FR_ERR_INTERNAL,
                    "-2 values");
    FR_ASSERT_FAILS(fr_group_allreduce(group, (fr_reduce)9, &value, 1), FR_ERR_INTERNAL,
                    "reduction 9");
    FR_ASSERT_FAILS(fr_group_broadcast(group, 1, &value, 8), FR_ERR_INTERNAL,
                    "rank 1 of 1");
    FR_ASSERT_FAILS(fr_group_broadcast(group, -1, &value, 8), FR_ERR_INTERNAL,
                    "rank -1 of 1");
    FR_ASSERT_FAILS(fr_group_broadcast(group, 0, &value, -8), FR_ERR_INTERNAL,
                    "-8 bytes");
    FR_ASSERT_FAILS(fr_group_split(group, -1, 0, &part), FR_ERR_INTERNAL, "color -1");
    CU_ASSERT_PTR_NULL(part);
    fr_group_destroy(&group);
}

static void messages_to_oneself_are_refused(void)
{
    fr_group *group = make_self();
    int64_t value = 5;
    int anything = 0;
    fr_request request = {.handle = &anything};
    FR_ASSERT_FAILS(fr_group_send(group, 0, 1, &value, 8), FR_ERR_INTERNAL,
                    "rank 0 and rank 0 of 1");
    FR_ASSERT_FAILS(fr_group_receive(group, 0, 1, &value, 8), FR_ERR_INTERNAL,
                    "another rank");
    FR_ASSERT_FAILS(fr_group_send(group, 1, 1, &value, 8), FR_ERR_INTERNAL,
                    "rank 1 of 1");
    FR_ASSERT_FAILS(fr_group_send_begin(group, 0, 1, &value, 8, &request),
                    FR_ERR_INTERNAL, "another rank");
    CU_ASSERT_PTR_NULL(request.handle);
    FR_ASSERT_FAILS(fr_group_receive_begin(group, 0, 1, &value, 8, &request),
                    FR_ERR_INTERNAL, "another rank");
    CU_ASSERT_EQUAL(value, 5);
    fr_group_destroy(&group);
}

static void waiting_for_nothing_is_done_at_once(void)
{
    fr_group *group = make_self();
    fr_request request = {.handle = NULL};
    FR_ASSERT_OK(fr_group_wait(group, &request));
    fr_group_poll(group);
    fr_group_destroy(&group);
}

static void split_gives_a_group_that_outlives_its_parent(void)
{
    fr_group *group = make_self();
    fr_group *part = NULL;
    FR_ASSERT_OK(fr_group_split(group, 3, -8, &part));
    CU_ASSERT_PTR_NOT_NULL_FATAL(part);
    CU_ASSERT_PTR_NOT_EQUAL(part, group);
    fr_group_destroy(&group);
    CU_ASSERT_EQUAL(fr_group_size(part), 1);
    FR_ASSERT_OK(fr_group_barrier(part));
    fr_group_destroy(&part);
}

static void agreement_of_one_leaves_the_message_as_it_is(void)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_group *group = make_self();
    CU_ASSERT_EQUAL(fr_group_agree(group, FR_OK), FR_OK);
    CU_ASSERT_EQUAL(fr_ctx_error_status(ctx), FR_OK);
    fr_status mine = FR_FAIL(ctx, FR_ERR_DATA, "row 7 is empty");
    CU_ASSERT_EQUAL(fr_group_agree(group, mine), FR_ERR_DATA);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(ctx), "row 7 is empty");
    CU_ASSERT_PTR_NOT_NULL(strstr(fr_ctx_error_place(ctx), "test_group_self.c:"));
    fr_group_destroy(&group);
}

static void the_environment_tells_a_launch_by_mpi(void)
{
    static const char *const NAMES[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK",
                                        "PMI_RANK"};
    for (int i = 0; i < FR_N_CASES(NAMES); i++) {
        CU_ASSERT_EQUAL_FATAL(unsetenv(NAMES[i]), 0);
    }
    CU_ASSERT_FALSE(fr_group_launched_by_mpi());
    for (int i = 0; i < FR_N_CASES(NAMES); i++) {
        CU_ASSERT_EQUAL_FATAL(setenv(NAMES[i], "", 1), 0);
        CU_ASSERT_FALSE(fr_group_launched_by_mpi());
        CU_ASSERT_EQUAL_FATAL(setenv(NAMES[i], "0", 1), 0);
        CU_ASSERT_TRUE(fr_group_launched_by_mpi());
        CU_ASSERT_EQUAL_FATAL(unsetenv(NAMES[i]), 0);
    }
}

static void grid_of_one_has_one_place(void)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_group *group = make_self();
    fr_grid grid;
    FR_ASSERT_OK(fr_grid_init(ctx, group, NULL, 1, 1, &grid));
    CU_ASSERT_EQUAL(grid.stage, 0);
    CU_ASSERT_EQUAL(grid.replica, 0);
    CU_ASSERT_EQUAL(fr_group_size(grid.pipeline), 1);
    CU_ASSERT_EQUAL(fr_group_size(grid.replicas), 1);
    fr_grid_fini(&grid);
    CU_ASSERT_PTR_NULL(grid.pipeline);
    CU_ASSERT_PTR_NULL(grid.replicas);
    FR_ASSERT_FAILS(fr_grid_init(ctx, group, NULL, 4, 3, &grid), FR_ERR_CONFIG,
                    "run.stages 4 x run.replicas 3 is not the number of ranks 1");
    fr_group_destroy(&group);
}

static const fr_case CASES[] = {
    FR_CASE(self_is_rank_0_of_1_alone_on_its_node),
    FR_CASE(collectives_of_one_rank_change_nothing),
    FR_CASE(wrong_collective_arguments_are_named),
    FR_CASE(messages_to_oneself_are_refused),
    FR_CASE(waiting_for_nothing_is_done_at_once),
    FR_CASE(split_gives_a_group_that_outlives_its_parent),
    FR_CASE(agreement_of_one_leaves_the_message_as_it_is),
    FR_CASE(the_environment_tells_a_launch_by_mpi),
    FR_CASE(grid_of_one_has_one_place),
};

int main(int argc, char **argv)
{
    return fr_suite_main("group_self", CASES, FR_N_CASES(CASES), argc, argv);
}
