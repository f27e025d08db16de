#include "comm/grid.h"
#include "support/suite.h"

#include <stdio.h>

/* What the ranks of `group` bring, added over the group. */
static int64_t total(fr_group *group, int64_t mine)
{
    FR_ASSERT_OK(fr_group_allreduce(group, FR_SUM, &mine, 1));
    return mine;
}

static void check_place(const fr_grid *grid, fr_group *world)
{
    int rank = fr_group_rank(world);
    CU_ASSERT_EQUAL(rank, grid->replica * grid->n_stages + grid->stage);
    CU_ASSERT_TRUE(grid->stage >= 0 && grid->stage < grid->n_stages);
    CU_ASSERT_TRUE(grid->replica >= 0 && grid->replica < grid->n_replicas);
    CU_ASSERT_EQUAL(fr_group_size(grid->pipeline), grid->n_stages);
    CU_ASSERT_EQUAL(fr_group_rank(grid->pipeline), grid->stage);
    CU_ASSERT_EQUAL(fr_group_size(grid->replicas), grid->n_replicas);
    CU_ASSERT_EQUAL(fr_group_rank(grid->replicas), grid->replica);
}

/* The members, not only their number: sums of 2^(world rank) over each group. */
static void check_members(const fr_grid *grid, fr_group *world)
{
    int64_t mine = (int64_t)1 << fr_group_rank(world);
    int64_t pipeline = 0;
    int64_t replicas = 0;
    for (int s = 0; s < grid->n_stages; s++) {
        pipeline |= (int64_t)1 << (grid->replica * grid->n_stages + s);
    }
    for (int r = 0; r < grid->n_replicas; r++) {
        replicas |= (int64_t)1 << (r * grid->n_stages + grid->stage);
    }
    CU_ASSERT_EQUAL(total(grid->pipeline, mine), pipeline);
    CU_ASSERT_EQUAL(total(grid->replicas, mine), replicas);
}

static void stages_of_a_replica_are_neighbours_in_every_layout(void)
{
    fr_group *world = fr_test_world();
    int size = fr_group_size(world);
    int n_layouts = 0;
    for (int n_stages = 1; n_stages <= size; n_stages++) {
        if (size % n_stages != 0) {
            continue;
        }
        fr_grid grid;
        FR_ASSERT_OK(
            fr_grid_init(fr_test_ctx(), world, NULL, n_stages, size / n_stages, &grid));
        check_place(&grid, world);
        check_members(&grid, world);
        fr_grid_fini(&grid);
        CU_ASSERT_PTR_NULL(grid.pipeline);
        CU_ASSERT_PTR_NULL(grid.replicas);
        n_layouts++;
    }
    CU_ASSERT_TRUE(n_layouts >= (size > 1 ? 2 : 1));
    fr_group_destroy(&world);
}

/* Even ranks on one node and odd ranks on another: first come the even ones. */
static int rank_at(int position, int size)
{
    int n_even = (size + 1) / 2;
    return position < n_even ? 2 * position : 2 * (position - n_even) + 1;
}

static void check_robin(const fr_grid *grid, fr_group *world)
{
    int64_t mine = (int64_t)1 << fr_group_rank(world);
    int64_t pipeline = 0;
    int64_t replicas = 0;
    int size = fr_group_size(world);
    CU_ASSERT_EQUAL(rank_at(grid->replica * grid->n_stages + grid->stage, size),
                    fr_group_rank(world));
    CU_ASSERT_EQUAL(fr_group_rank(grid->pipeline), grid->stage);
    CU_ASSERT_EQUAL(fr_group_rank(grid->replicas), grid->replica);
    for (int s = 0; s < grid->n_stages; s++) {
        pipeline |= (int64_t)1 << rank_at(grid->replica * grid->n_stages + s, size);
    }
    for (int r = 0; r < grid->n_replicas; r++) {
        replicas |= (int64_t)1 << rank_at(r * grid->n_stages + grid->stage, size);
    }
    CU_ASSERT_EQUAL(total(grid->pipeline, mine), pipeline);
    CU_ASSERT_EQUAL(total(grid->replicas, mine), replicas);
}

static void ranks_that_go_round_nodes_are_put_node_by_node(void)
{
    enum { MAX_RANKS = 6 };
    static const int64_t NODES[MAX_RANKS] = {0, 1, 0, 1, 0, 1};
    fr_group *world = fr_test_world();
    int size = fr_group_size(world);
    CU_ASSERT_FATAL(size <= MAX_RANKS);
    for (int n_stages = 1; n_stages <= size; n_stages++) {
        fr_grid grid;
        if (size % n_stages != 0) {
            continue;
        }
        FR_ASSERT_OK(fr_grid_init(fr_test_ctx(), world, NODES, n_stages,
                                  size / n_stages, &grid));
        check_robin(&grid, world);
        fr_grid_fini(&grid);
    }
    fr_group_destroy(&world);
}

/* All ranks of this test are on one node. */
static void the_nodes_of_all_ranks_are_known_to_all(void)
{
    enum { MAX_RANKS = 6 };
    int64_t nodes[MAX_RANKS] = {-1, -1, -1, -1, -1, -1};
    fr_group *world = fr_test_world();
    fr_group *upper = NULL;
    FR_ASSERT_OK(fr_group_nodes(world, nodes));
    for (int r = 0; r < fr_group_size(world); r++) {
        CU_ASSERT_EQUAL(nodes[r], 0);
    }
    /* in a group of its own, each rank is the lowest of its node */
    FR_ASSERT_OK(fr_group_split(world, fr_group_rank(world), 0, &upper));
    nodes[0] = -1;
    FR_ASSERT_OK(fr_group_nodes(upper, nodes));
    CU_ASSERT_EQUAL(nodes[0], 0);
    fr_group_destroy(&upper);
    fr_group_destroy(&world);
}

static void last_stage_talks_to_the_first_of_its_replica(void)
{
    fr_group *world = fr_test_world();
    int size = fr_group_size(world);
    int n_stages = size % 2 == 0 ? 2 : size;
    fr_grid grid;
    int64_t word = 0;
    FR_ASSERT_OK(
        fr_grid_init(fr_test_ctx(), world, NULL, n_stages, size / n_stages, &grid));
    if (n_stages > 1 && grid.stage == n_stages - 1) {
        word = 100 + grid.replica;
        FR_ASSERT_OK(fr_group_send(grid.pipeline, 0, 3, &word, sizeof word));
    } else if (n_stages > 1 && grid.stage == 0) {
        FR_ASSERT_OK(
            fr_group_receive(grid.pipeline, n_stages - 1, 3, &word, sizeof word));
        CU_ASSERT_EQUAL(word, 100 + grid.replica);
    }
    CU_ASSERT_EQUAL(total(grid.pipeline, word),
                    n_stages > 1 ? 2 * (100 + grid.replica) : 0);
    fr_grid_fini(&grid);
    fr_group_destroy(&world);
}

static void check_refused(fr_group *world, int n_stages, int n_replicas)
{
    char part[128];
    fr_grid grid;
    (void)snprintf(part, sizeof part,
                   "run.stages %d x run.replicas %d is not the number of ranks %d",
                   n_stages, n_replicas, fr_group_size(world));
    FR_ASSERT_FAILS(
        fr_grid_init(fr_test_ctx(), world, NULL, n_stages, n_replicas, &grid),
        FR_ERR_CONFIG, part);
    CU_ASSERT_PTR_NULL(grid.pipeline);
    CU_ASSERT_PTR_NULL(grid.replicas);
}

static void wrong_product_names_both_numbers(void)
{
    fr_group *world = fr_test_world();
    int size = fr_group_size(world);
    check_refused(world, size + 1, 1);
    check_refused(world, size, 2);
    check_refused(world, 0, size);
    check_refused(world, size, 0);
    check_refused(world, -1, -size);
    check_refused(world, 65536, 65536);
    check_refused(world, 2147483647, 2147483647);
    FR_ASSERT_OK(fr_group_barrier(world));
    fr_group_destroy(&world);
}

static const fr_case CASES[] = {
    FR_CASE(stages_of_a_replica_are_neighbours_in_every_layout),
    FR_CASE(ranks_that_go_round_nodes_are_put_node_by_node),
    FR_CASE(the_nodes_of_all_ranks_are_known_to_all),
    FR_CASE(last_stage_talks_to_the_first_of_its_replica),
    FR_CASE(wrong_product_names_both_numbers),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("grid", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
