#define _POSIX_C_SOURCE 200809L
#include "base/mem.h"
#include "comm/group.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Longer than one block of group_mpi.c, and not a multiple of it. */
enum { LONG_BYTES = (5 << 20) + 12345, POLL_SECONDS = 20 };

static unsigned char *make_bytes(int64_t bytes)
{
    unsigned char *data = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), bytes, 1, &data));
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    return data;
}

/* A pattern that differs by sender and does not repeat at block borders. */
static void fill(unsigned char *data, int64_t bytes, int seed)
{
    uint32_t state = 2654435761u * (uint32_t)(seed + 1);
    for (int64_t i = 0; i < bytes; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (unsigned char)(state >> 24);
    }
}

static int64_t bytes_unlike(const unsigned char *data, int64_t bytes, int seed)
{
    uint32_t state = 2654435761u * (uint32_t)(seed + 1);
    int64_t unlike = 0;
    for (int64_t i = 0; i < bytes; i++) {
        state = state * 1664525u + 1013904223u;
        unlike += data[i] != (unsigned char)(state >> 24);
    }
    return unlike;
}

static void world_gives_the_context_its_rank(void)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_ctx_set_rank(ctx, 77, 78);
    fr_group *world = fr_test_world();
    int rank = fr_group_rank(world);
    CU_ASSERT_EQUAL(fr_ctx_rank(ctx), rank);
    CU_ASSERT_TRUE(fr_group_launched_by_mpi());
    CU_ASSERT_EQUAL(fr_group_node_size(world), fr_group_size(world));
    CU_ASSERT_EQUAL(fr_group_node_rank(world), rank);
    int64_t bits = (int64_t)1 << rank;
    FR_ASSERT_OK(fr_group_allreduce(world, FR_SUM, &bits, 1));
    CU_ASSERT_EQUAL(bits, ((int64_t)1 << fr_group_size(world)) - 1);
    fr_group_destroy(&world);
    CU_ASSERT_PTR_NULL(world);
    fr_group_destroy(&world);
}

static void reductions_are_exact_on_large_integers(void)
{
    fr_group *world = fr_test_world();
    int size = fr_group_size(world);
    int rank = fr_group_rank(world);
    const int64_t large = ((int64_t)1 << 60) + 1; /* not a double, 4 of them fit */
    int64_t sum[2] = {large, rank == 0 ? -large : 1};
    int64_t smallest[2] = {rank + 5, INT64_MAX - rank};
    int64_t largest[2] = {-rank - 5, INT64_MIN + rank};
    FR_ASSERT_OK(fr_group_allreduce(world, FR_SUM, sum, 2));
    FR_ASSERT_OK(fr_group_allreduce(world, FR_MIN, smallest, 2));
    FR_ASSERT_OK(fr_group_allreduce(world, FR_MAX, largest, 2));
    CU_ASSERT_EQUAL(sum[0], large * size);
    CU_ASSERT_EQUAL(sum[1], size - 1 - large);
    CU_ASSERT_EQUAL(smallest[0], 5);
    CU_ASSERT_EQUAL(smallest[1], INT64_MAX - size + 1);
    CU_ASSERT_EQUAL(largest[0], -5);
    CU_ASSERT_EQUAL(largest[1], INT64_MIN + size - 1);
    FR_ASSERT_OK(fr_group_allreduce(world, FR_SUM, NULL, 0));
    fr_group_destroy(&world);
}

static void a_reduction_of_several_pieces_adds_every_value(void)
{
    enum { VALUES = (1 << 22) + 3 };
    fr_group *world = fr_test_world();
    int64_t size = fr_group_size(world);
    int64_t rank = fr_group_rank(world);
    int64_t *values = (int64_t *)(void *)make_bytes(VALUES * (int64_t)sizeof *values);
    int64_t wrong = 0;
    for (int64_t i = 0; i < VALUES; i++) {
        values[i] = i * (rank + 1);
    }
    FR_ASSERT_OK(fr_group_allreduce(world, FR_SUM, values, VALUES));
    for (int64_t i = 0; i < VALUES; i++) {
        wrong += values[i] != i * (size * (size + 1) / 2);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    free(values);
    fr_group_destroy(&world);
}

static void a_gather_brings_all_parts_in_the_order_of_the_ranks(void)
{
    enum { N = 3 };
    fr_group *world = fr_test_world();
    int rank = fr_group_rank(world);
    int size = fr_group_size(world);
    int64_t mine[N] = {rank, -rank, INT64_MIN + rank};
    int64_t *all = (int64_t *)(void *)make_bytes((int64_t)size * N * 8);
    memset(all, 0x55, (size_t)size * N * 8);
    FR_ASSERT_OK(fr_group_gather(world, mine, N, all));
    for (int r = 0; r < size; r++) {
        CU_ASSERT_EQUAL(all[N * r], r);
        CU_ASSERT_EQUAL(all[N * r + 1], -r);
        CU_ASSERT_EQUAL(all[N * r + 2], INT64_MIN + r);
    }
    free(all);
    fr_group_destroy(&world);
}

static void every_root_broadcasts_short_and_long_data(void)
{
    static const int64_t SIZES[] = {1, 4096, LONG_BYTES};
    fr_group *world = fr_test_world();
    unsigned char *data = make_bytes(LONG_BYTES);
    for (int root = 0; root < fr_group_size(world); root++) {
        for (int i = 0; i < FR_N_CASES(SIZES); i++) {
            fill(data, SIZES[i], fr_group_rank(world));
            FR_ASSERT_OK(fr_group_broadcast(world, root, data, SIZES[i]));
            CU_ASSERT_EQUAL(bytes_unlike(data, SIZES[i], root), 0);
        }
    }
    FR_ASSERT_OK(fr_group_broadcast(world, 0, NULL, 0));
    free(data);
    fr_group_destroy(&world);
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The ranks share one clock: leaving must come after the entering of the rank that is late. */
static void nobody_passes_a_barrier_before_all_are_there(void)
{
    fr_group *world = fr_test_world();
    for (int late = 0; late < fr_group_size(world); late++) {
        if (fr_group_rank(world) == late) {
            struct timespec pause = {0, 50 * 1000 * 1000};
            (void)nanosleep(&pause, NULL);
        }
        int64_t entered = now_ns();
        FR_ASSERT_OK(fr_group_barrier(world));
        int64_t left = now_ns();
        FR_ASSERT_OK(fr_group_allreduce(world, FR_MAX, &entered, 1));
        CU_ASSERT_TRUE(left >= entered);
    }
    fr_group_destroy(&world);
}

/* Every rank sends to all others before it receives: only possible with messages under way. */
static void a_long_wait_sleeps(void)
{
    static const struct timespec WHILE = {.tv_nsec = 500000000};
    struct timespec began;
    struct timespec ended;
    fr_group *world = fr_test_world();
    FR_ASSERT_OK(fr_group_barrier(world));
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &began);
    if (fr_group_rank(world) == fr_group_size(world) - 1) {
        (void)nanosleep(&WHILE, NULL);
    }
    FR_ASSERT_OK(fr_group_barrier(world));
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ended);
    double used = (double)(ended.tv_sec - began.tv_sec) +
                  1e-9 * (double)(ended.tv_nsec - began.tv_nsec);
    CU_ASSERT_TRUE(used < 0.25); /* of half a second */
    fr_group_destroy(&world);
}

static void all_pairs_exchange_long_messages_at_once(void)
{
    enum { MAX_RANKS = 8 };
    fr_group *world = fr_test_world();
    int size = fr_group_size(world);
    int rank = fr_group_rank(world);
    unsigned char *mine = make_bytes(LONG_BYTES);
    unsigned char *theirs[MAX_RANKS] = {NULL};
    fr_request sends[MAX_RANKS] = {{NULL}};
    fr_request receives[MAX_RANKS] = {{NULL}};
    CU_ASSERT_TRUE_FATAL(size <= MAX_RANKS);
    fill(mine, LONG_BYTES, rank);
    for (int peer = 0; peer < size; peer++) {
        if (peer != rank) {
            theirs[peer] = make_bytes(LONG_BYTES);
            FR_ASSERT_OK(fr_group_send_begin(world, peer, 30000, mine, LONG_BYTES,
                                             &sends[peer]));
            FR_ASSERT_OK(fr_group_receive_begin(world, peer, 30000, theirs[peer],
                                                LONG_BYTES, &receives[peer]));
        }
    }
    for (int peer = 0; peer < size; peer++) {
        FR_ASSERT_OK(fr_group_wait(world, &receives[peer]));
        FR_ASSERT_OK(fr_group_wait(world, &sends[peer]));
        CU_ASSERT_PTR_NULL(receives[peer].handle);
        CU_ASSERT_PTR_NULL(sends[peer].handle);
        if (peer != rank) {
            CU_ASSERT_EQUAL(bytes_unlike(theirs[peer], LONG_BYTES, peer), 0);
        }
        free(theirs[peer]);
    }
    free(mine);
    fr_group_destroy(&world);
}

/* Same tag: order of sending. Different tags: order of asking. */
static void messages_match_by_tag_and_keep_their_order(void)
{
    fr_group *world = fr_test_world();
    int64_t words[4] = {10, 11, 12, 13};
    int64_t got[4] = {0};
    const fr_tag tags[4] = {5, 5, 6, 0};
    const int asked[4] = {3, 2, 0, 1};
    if (fr_group_rank(world) == 0) {
        for (int i = 0; i < 4; i++) {
            FR_ASSERT_OK(fr_group_send(world, 1, tags[i], &words[i], 8));
        }
    } else if (fr_group_rank(world) == 1) {
        for (int i = 0; i < 4; i++) {
            FR_ASSERT_OK(fr_group_receive(world, 0, tags[asked[i]], &got[i], 8));
            CU_ASSERT_EQUAL(got[i], words[asked[i]]);
        }
    }
    FR_ASSERT_OK(fr_group_barrier(world));
    fr_group_destroy(&world);
}

static void an_empty_message_arrives(void)
{
    fr_group *world = fr_test_world();
    if (fr_group_rank(world) == 0) {
        FR_ASSERT_OK(fr_group_send(world, 1, 1, NULL, 0));
    } else if (fr_group_rank(world) == 1) {
        FR_ASSERT_OK(fr_group_receive(world, 0, 1, NULL, 0));
    }
    FR_ASSERT_OK(fr_group_barrier(world));
    fr_group_destroy(&world);
}

static bool is_in_time(time_t start)
{
    return time(NULL) - start < POLL_SECONDS;
}

/* Both sides poll and nothing else, with a message waiting that nobody asked for: the last byte
 * can only arrive if polling moves the long message. */
static void polling_alone_brings_a_long_message_over(void)
{
    fr_group *world = fr_test_world();
    unsigned char *data = make_bytes(LONG_BYTES);
    volatile unsigned char *last = data + LONG_BYTES - 1;
    fr_request request = {NULL};
    int64_t word = 1;
    time_t start = time(NULL);
    if (fr_group_rank(world) == 0) {
        memset(data, 9, LONG_BYTES);
        FR_ASSERT_OK(fr_group_send(world, 1, 2, &word, sizeof word));
        FR_ASSERT_OK(fr_group_send_begin(world, 1, 3, data, LONG_BYTES, &request));
        struct timespec pause = {0, 1000 * 1000};
        for (int i = 0; i < 300; i++) {
            fr_group_poll(world);
            (void)nanosleep(&pause, NULL);
        }
    } else if (fr_group_rank(world) == 1) {
        FR_ASSERT_OK(fr_group_receive_begin(world, 0, 3, data, LONG_BYTES, &request));
        while (*last != 9 && is_in_time(start)) {
            fr_group_poll(world);
        }
        CU_ASSERT_EQUAL(*last, 9);
    }
    FR_ASSERT_OK(fr_group_wait(world, &request));
    if (fr_group_rank(world) == 1) {
        FR_ASSERT_OK(fr_group_receive(world, 0, 2, &word, sizeof word));
    }
    FR_ASSERT_OK(fr_group_barrier(world));
    free(data);
    fr_group_destroy(&world);
}

static void split_orders_by_key_and_separates_the_parts(void)
{
    fr_group *world = fr_test_world();
    fr_group *part = NULL;
    int size = fr_group_size(world);
    int rank = fr_group_rank(world);
    int n_like = (size + 1 - rank % 2) / 2;
    FR_ASSERT_OK(fr_group_split(world, rank % 2, -rank, &part));
    CU_ASSERT_PTR_NOT_NULL_FATAL(part);
    CU_ASSERT_EQUAL(fr_group_size(part), n_like);
    CU_ASSERT_EQUAL(fr_group_rank(part), n_like - 1 - rank / 2);
    CU_ASSERT_EQUAL(fr_group_node_size(part), n_like);
    int64_t sum = rank;
    int64_t wanted = 0;
    for (int r = rank % 2; r < size; r += 2) {
        wanted += r;
    }
    FR_ASSERT_OK(fr_group_allreduce(part, FR_SUM, &sum, 1));
    CU_ASSERT_EQUAL(sum, wanted);
    FR_ASSERT_OK(fr_group_barrier(part));
    fr_group_destroy(&part);
    fr_group_destroy(&world);
}

static void wrong_arguments_fail_before_anything_is_sent(void)
{
    fr_group *world = fr_test_world();
    int size = fr_group_size(world);
    int rank = fr_group_rank(world);
    int peer = (rank + 1) % size;
    int64_t word = 3;
    fr_group *part = NULL;
    FR_ASSERT_FAILS(fr_group_send(world, rank, 1, &word, 8), FR_ERR_INTERNAL,
                    "must be another rank");
    FR_ASSERT_FAILS(fr_group_send(world, size, 1, &word, 8), FR_ERR_INTERNAL, "rank");
    FR_ASSERT_FAILS(fr_group_receive(world, -1, 1, &word, 8), FR_ERR_INTERNAL,
                    "rank -1");
    FR_ASSERT_FAILS(fr_group_send(world, peer, 30001, &word, 8), FR_ERR_INTERNAL,
                    "tag 30001");
    FR_ASSERT_FAILS(fr_group_receive(world, peer, (fr_tag)-1, &word, 8),
                    FR_ERR_INTERNAL, "tag -1");
    FR_ASSERT_FAILS(fr_group_send(world, peer, 1, &word, -8), FR_ERR_INTERNAL,
                    "-8 bytes");
    FR_ASSERT_FAILS(fr_group_broadcast(world, size, &word, 8), FR_ERR_INTERNAL, "rank");
    FR_ASSERT_FAILS(fr_group_split(world, -5, 0, &part), FR_ERR_INTERNAL, "color -5");
    FR_ASSERT_OK(fr_group_barrier(world));
    fr_group_destroy(&world);
}

/* Each on a world of its own: after FR_ERR_COMM a group is good for destroy alone. */
static void expect_length_error(int64_t sent, int64_t asked, const char *part)
{
    fr_group *judge = fr_test_world();
    fr_group *world = fr_test_world();
    int64_t words[4] = {0};
    if (fr_group_rank(world) == 0) {
        FR_ASSERT_OK(fr_group_send(world, 1, 9, words, sent));
    } else if (fr_group_rank(world) == 1) {
        FR_ASSERT_FAILS(fr_group_receive(world, 0, 9, words, asked), FR_ERR_COMM, part);
    }
    fr_group_destroy(&world);
    FR_ASSERT_OK(fr_group_barrier(judge));
    fr_group_destroy(&judge);
}

static void a_shorter_message_names_both_lengths(void)
{
    expect_length_error(8, 24,
                        "rank 0 sent 8 bytes with tag 9 where rank 1 expects 24");
}

static void a_longer_message_fails_with_the_text_of_mpi(void)
{
    expect_length_error(24, 8, "MPI_ERR_TRUNCATE");
}

static const fr_case CASES[] = {
    FR_CASE(world_gives_the_context_its_rank),
    FR_CASE(reductions_are_exact_on_large_integers),
    FR_CASE(a_reduction_of_several_pieces_adds_every_value),
    FR_CASE(a_gather_brings_all_parts_in_the_order_of_the_ranks),
    FR_CASE(every_root_broadcasts_short_and_long_data),
    FR_CASE(nobody_passes_a_barrier_before_all_are_there),
    FR_CASE(a_long_wait_sleeps),
    FR_CASE(all_pairs_exchange_long_messages_at_once),
    FR_CASE(messages_match_by_tag_and_keep_their_order),
    FR_CASE(an_empty_message_arrives),
    FR_CASE(polling_alone_brings_a_long_message_over),
    FR_CASE(split_orders_by_key_and_separates_the_parts),
    FR_CASE(wrong_arguments_fail_before_anything_is_sent),
    FR_CASE(a_shorter_message_names_both_lengths),
    FR_CASE(a_longer_message_fails_with_the_text_of_mpi),
};

/* MPI is started and ended by a group of this file, as the program does it. */
int main(int argc, char **argv)
{
    fr_ctx *ctx = fr_ctx_create();
    fr_group *outer = NULL;
    int result = EXIT_FAILURE;
    if (ctx != NULL && fr_group_create_world(ctx, &argc, &argv, &outer) == FR_OK) {
        result = fr_suite_main_mpi("group", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
    }
    fr_group_destroy(&outer);
    fr_ctx_destroy(&ctx);
    return result;
}
