#define _POSIX_C_SOURCE 200809L
#include "comm/post.h"
#include "comm/watch.h"
#include "support/suite.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { FOREVER_S = 3600, ROUNDS = 2000 };

static void rest_ms(long ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

static fr_rank_line line_of(int rank, int64_t step)
{
    fr_rank_line line = {.rank = rank, .peer = -1, .step = step, .microbatch = -1};
    fr_rank_line_word("here", line.host, FR_RANK_LINE_HOST_BYTES);
    fr_rank_line_word("computing", line.state, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(NULL, line.what, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(NULL, line.task, FR_RANK_LINE_TASK_BYTES);
    return line;
}

/* From the first moment all are known; the newest line arrives; closing takes all ranks along and leaves no message under
 * way. */
static void lines_come_from_all_to_rank_0_and_back(void)
{
    fr_group *world = fr_test_world();
    int rank = fr_group_rank(world);
    int size = fr_group_size(world);
    fr_post *post = NULL;
    fr_rank_line seen;
    FR_ASSERT_OK(fr_post_create(fr_test_ctx(), world, &post));
    for (int peer = 0; peer < size; peer++) {
        bool is_heard = fr_post_read(post, peer, &seen);
        CU_ASSERT_EQUAL(is_heard, peer != rank && (rank == 0 || peer == 0));
        CU_ASSERT_TRUE(!is_heard || seen.rank == peer);
    }
    bool is_over = false;
    for (int64_t step = 1; step <= ROUNDS && !is_over; step++) {
        fr_rank_line own = line_of(rank, step);
        CU_ASSERT_TRUE(step < ROUNDS / 2 ? fr_post_exchange(post, &own)
                                         : fr_post_close(post, &own, &is_over));
        rest_ms(step < ROUNDS / 2 ? 0 : 5);
    }
    CU_ASSERT_TRUE(is_over);
    for (int peer = 0; peer < size; peer++) {
        if (fr_post_read(post, peer, &seen)) {
            CU_ASSERT_EQUAL(seen.rank, peer);
            CU_ASSERT_TRUE(seen.step >= ROUNDS / 2);
        }
    }
    fr_post_destroy(&post);
    CU_ASSERT_PTR_NULL(post);
    fr_group_destroy(&world);
}

static void never_leave(void *argument, int exit_code, const char *text)
{
    (void)argument;
    (void)exit_code;
    CU_FAIL("the watch wants to leave");
    (void)printf("%s", text);
}

/* The thread of the watch sends while the main thread waits, computes and splits. */
static void a_watch_by_messages_closes_with_all_ranks(void)
{
    fr_group *world = fr_test_world();
    fr_group *part = NULL;
    fr_post *post = NULL;
    fr_watch *watch = NULL;
    CU_ASSERT_TRUE_FATAL(fr_group_is_threaded(world));
    FR_ASSERT_OK(fr_post_create(fr_test_ctx(), world, &post));
    fr_watch_params params = {.channel = fr_post_channel(post),
                              .rank = fr_group_rank(world),
                              .n_ranks = fr_group_size(world),
                              .timeout_seconds = FOREVER_S,
                              .leave = never_leave};
    FR_ASSERT_OK(fr_watch_create(fr_test_ctx(), &params, &watch));
    fr_group_set_watch(world, watch);
    for (int i = 0; i < 5; i++) {
        int64_t one = 1;
        fr_watch_at(watch, i, "t", 0);
        rest_ms(fr_group_rank(world) == 0 ? 300 : 100);
        FR_ASSERT_OK(fr_group_allreduce(world, FR_SUM, &one, 1));
        CU_ASSERT_EQUAL(one, fr_group_size(world));
        FR_ASSERT_OK(fr_group_split(world, 0, fr_group_rank(world), &part));
        fr_group_destroy(&part);
    }
    fr_watch_close(watch);
    fr_post_destroy(&post);
    fr_group_destroy(&world);
    fr_watch_destroy(&watch);
    CU_ASSERT_PTR_NULL(watch);
}

static const fr_case CASES[] = {
    FR_CASE(lines_come_from_all_to_rank_0_and_back),
    FR_CASE(a_watch_by_messages_closes_with_all_ranks),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("post", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
