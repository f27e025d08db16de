/* Which rank has which stage, by hand for some nodes, and for all ways to put six ranks on three nodes. */
#include "comm/placement.h"
#include "support/suite.h"

#include <string.h>

enum { MAX_RANKS = 9 };

typedef struct placed {
    int n_ranks;
    int n_stages;
    int64_t nodes[MAX_RANKS];
    int rank_at[MAX_RANKS]; /* wanted */
    int n_spanning;
    int first_spanning;
} placed;

static void check(const placed *c)
{
    fr_placement p;
    bool is_moved = false;
    FR_ASSERT_OK(
        fr_placement_init(fr_test_ctx(), c->nodes, c->n_ranks, c->n_stages, &p));
    for (int i = 0; i < c->n_ranks; i++) {
        int stage = -1;
        int replica = -1;
        CU_ASSERT_EQUAL(p.rank_at[i], c->rank_at[i]);
        fr_placement_of_rank(&p, c->rank_at[i], &stage, &replica);
        CU_ASSERT_EQUAL(stage, i % c->n_stages);
        CU_ASSERT_EQUAL(replica, i / c->n_stages);
        is_moved = is_moved || c->rank_at[i] != i;
    }
    CU_ASSERT_EQUAL(p.is_moved, is_moved);
    CU_ASSERT_EQUAL(p.n_spanning, c->n_spanning);
    CU_ASSERT_EQUAL(p.first_spanning, c->first_spanning);
    fr_placement_fini(&p);
    CU_ASSERT_PTR_NULL(p.rank_at);
}

static void ranks_in_a_row_keep_their_order(void)
{
    static const placed CASES[] = {
        {1, 1, {0}, {0}, 0, -1},
        {6, 3, {0, 0, 0, 0, 0, 0}, {0, 1, 2, 3, 4, 5}, 0, -1},
        {6, 3, {0, 0, 0, 3, 3, 3}, {0, 1, 2, 3, 4, 5}, 0, -1},
        {6, 6, {0, 0, 0, 3, 3, 3}, {0, 1, 2, 3, 4, 5}, 1, 0},
        {6, 1, {0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, 0, -1},
        /* every rank on a node of its own */
        {6, 2, {0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, 3, 0},
        /* three ranks a node, which two stages do not divide */
        {6, 2, {0, 0, 0, 3, 3, 3}, {0, 1, 2, 3, 4, 5}, 1, 1},
        /* unequal nodes: who wrote the host file decides */
        {8, 2, {0, 0, 0, 3, 3, 5, 5, 5}, {0, 1, 2, 3, 4, 5, 6, 7}, 2, 1},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        check(&CASES[i]);
    }
}

static void other_ranks_are_put_node_by_node(void)
{
    static const placed CASES[] = {
        /* round-robin over nodes */
        {4, 2, {0, 1, 0, 1}, {0, 2, 1, 3}, 0, -1},
        {4, 1, {0, 1, 0, 1}, {0, 2, 1, 3}, 0, -1},
        {4, 4, {0, 1, 0, 1}, {0, 2, 1, 3}, 1, 0},
        {6, 2, {0, 1, 2, 0, 1, 2}, {0, 3, 1, 4, 2, 5}, 0, -1},
        {6, 2, {0, 1, 0, 1, 0, 1}, {0, 2, 4, 1, 3, 5}, 1, 1},
        /* there and back */
        {4, 2, {0, 1, 1, 0}, {0, 3, 1, 2}, 0, -1},
        /* nodes of three, two and three ranks: after the first odd one comes the other odd one */
        {8, 2, {0, 1, 2, 0, 1, 2, 0, 2}, {0, 3, 6, 2, 5, 7, 1, 4}, 1, 1},
        /* four, three and two for three stages: four and two are two replicas */
        {9, 3, {0, 0, 0, 3, 3, 3, 6, 6, 0}, {0, 1, 2, 8, 6, 7, 3, 4, 5}, 1, 1},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        check(&CASES[i]);
    }
}

static void without_nodes_all_ranks_are_on_one(void)
{
    fr_placement p;
    FR_ASSERT_OK(fr_placement_init(fr_test_ctx(), NULL, 6, 3, &p));
    for (int i = 0; i < 6; i++) {
        CU_ASSERT_EQUAL(p.rank_at[i], i);
    }
    CU_ASSERT(!p.is_moved);
    CU_ASSERT_EQUAL(p.n_spanning, 0);
    fr_placement_fini(&p);
}

/* Neighbouring stages on different nodes, of all replicas. */
static int edges_between(const int64_t *nodes, const int *rank_at, int n, int n_stages)
{
    int edges = 0;
    for (int i = 1; i < n; i++) {
        edges += i % n_stages != 0 && nodes[rank_at[i]] != nodes[rank_at[i - 1]];
    }
    return edges;
}

/* The ranks of a node follow each other, in order. */
static void check_nodes_stay_together(const int64_t *nodes, const int *rank_at, int n)
{
    for (int i = 1; i < n; i++) {
        bool is_new = nodes[rank_at[i]] != nodes[rank_at[i - 1]];
        CU_ASSERT_TRUE(is_new ? rank_at[i] == nodes[rank_at[i]]
                              : rank_at[i] > rank_at[i - 1]);
    }
}

static void no_order_is_worse_than_that_of_the_ranks(void)
{
    enum { N = 6, WAYS = 729 };
    static const int WORLD[N] = {0, 1, 2, 3, 4, 5};
    for (int way = 0; way < WAYS; way++) {
        int64_t nodes[N];
        int64_t lowest[3] = {-1, -1, -1};
        for (int r = 0, rest = way; r < N; r++, rest /= 3) {
            lowest[rest % 3] = lowest[rest % 3] < 0 ? r : lowest[rest % 3];
            nodes[r] = lowest[rest % 3];
        }
        for (int n_stages = 1; n_stages <= N; n_stages++) {
            fr_placement p;
            if (N % n_stages != 0) {
                continue;
            }
            FR_ASSERT_OK(fr_placement_init(fr_test_ctx(), nodes, N, n_stages, &p));
            CU_ASSERT_EQUAL(p.rank_at[0], 0);
            check_nodes_stay_together(nodes, p.rank_at, N);
            int edges = edges_between(nodes, p.rank_at, N, n_stages);
            CU_ASSERT(edges <= edges_between(nodes, WORLD, N, n_stages));
            CU_ASSERT_EQUAL(edges == 0, p.n_spanning == 0);
            fr_placement_fini(&p);
        }
    }
}

static void check_text(const int64_t *nodes, int n_ranks, int n_stages,
                       const char *wanted)
{
    fr_placement p;
    char text[FR_PLACEMENT_TEXT];
    FR_ASSERT_OK(fr_placement_init(fr_test_ctx(), nodes, n_ranks, n_stages, &p));
    fr_placement_text(&p, text);
    CU_ASSERT_STRING_EQUAL(text, wanted);
    fr_placement_fini(&p);
}

static void what_is_unusual_is_said(void)
{
    static const int64_t ROW[] = {0, 0, 2, 2};
    static const int64_t ROBIN[] = {0, 1, 0, 1};
    static const int64_t ALONE[] = {0, 1, 2, 3};
    check_text(ROW, 4, 2, "");
    check_text(NULL, 4, 4, "");
    check_text(ROBIN, 4, 2,
               "ranks of one node do not follow each other, so stages are given out "
               "node by node: replica 0 has the ranks 0, 2");
    check_text(ROW, 4, 4,
               "1 of 1 replica lies on several nodes, the first is replica 0: some "
               "messages between its stages go from node to node");
    check_text(ALONE, 4, 2,
               "2 of 2 replicas lie on several nodes, the first is replica 0: some "
               "messages between their stages go from node to node");
}

/* Ranks of ten digits: nothing of the text is cut. */
static void a_text_has_room_for_many_ranks(void)
{
    enum { N = 4096 };
    static int64_t nodes[N];
    fr_placement p;
    char text[FR_PLACEMENT_TEXT];
    for (int r = 0; r < N; r++) {
        nodes[r] = r % 2;
    }
    FR_ASSERT_OK(fr_placement_init(fr_test_ctx(), nodes, N, N, &p));
    for (int i = 0; i < N; i++) {
        p.rank_at[i] = INT32_MAX;
    }
    p.n_spanning = INT32_MAX;
    p.first_spanning = INT32_MAX;
    fr_placement_text(&p, text);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(text, "2147483647, ...; 2147483647 of 1 replica lie "));
    CU_ASSERT_STRING_EQUAL(text + strlen(text) - strlen("from node to node"),
                           "from node to node");
    fr_placement_fini(&p);
}

static const fr_case CASES[] = {
    FR_CASE(ranks_in_a_row_keep_their_order),
    FR_CASE(other_ranks_are_put_node_by_node),
    FR_CASE(without_nodes_all_ranks_are_on_one),
    FR_CASE(no_order_is_worse_than_that_of_the_ranks),
    FR_CASE(what_is_unusual_is_said),
    FR_CASE(a_text_has_room_for_many_ranks),
};

int main(int argc, char **argv)
{
    return fr_suite_main("placement", CASES, FR_N_CASES(CASES), argc, argv);
}
