#define _POSIX_C_SOURCE 200809L
#include "comm/group.h"
#include "comm/rank_line.h"
#include "support/suite.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    FOLDER_BYTES = 512,
    WAIT_MS = 1500,
    LOOK_MS = 50,
    LOOKS = 1200,
    FOREVER_S = 3600
};

/* What all cases need; one folder that all ranks know. */
typedef struct stage {
    fr_group *world;
    fr_watch *watch;
    char folder[FOLDER_BYTES];
} stage;

static void never_leave(void *argument, int exit_code, const char *text)
{
    (void)argument;
    (void)exit_code;
    CU_FAIL("the watch wants to leave");
    (void)printf("%s", text);
}

static void open_stage(stage *s)
{
    *s = (stage){0};
    s->world = fr_test_world();
    CU_ASSERT_PTR_NULL(fr_group_watch(s->world));
    if (fr_group_rank(s->world) == 0) {
        (void)snprintf(s->folder, sizeof s->folder, "%s", fr_test_folder());
    }
    FR_ASSERT_OK(fr_group_broadcast(s->world, 0, s->folder, sizeof s->folder));
    fr_watch_params params = {.folder = s->folder,
                              .rank = fr_group_rank(s->world),
                              .n_ranks = fr_group_size(s->world),
                              .timeout_seconds = FOREVER_S,
                              .leave = never_leave};
    FR_ASSERT_OK(fr_watch_create(fr_test_ctx(), &params, &s->watch));
    CU_ASSERT_PTR_NOT_NULL_FATAL(s->watch);
}

static void close_stage(stage *s)
{
    FR_ASSERT_OK(fr_group_barrier(s->world));
    fr_group_destroy(&s->world);
    fr_watch_destroy(&s->watch);
}

static void rest(int ms)
{
    struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* The line of a rank once it says this, which it does until this rank goes on; or as it is after a minute. */
static fr_rank_line line_of(const stage *s, int rank, const char *state,
                            const char *what)
{
    char path[FOLDER_BYTES + 32];
    fr_rank_line line = {0};
    bool is_there = false;
    (void)snprintf(path, sizeof path, "%s/rank-%04d.slot", s->folder, rank);
    for (int i = 0; i < LOOKS && !is_there; i++) {
        rest(LOOK_MS);
        is_there = fr_rank_line_read(path, &line) && strcmp(line.state, state) == 0 &&
                   strcmp(line.what, what) == 0;
    }
    CU_ASSERT_TRUE(is_there);
    return line;
}

static void expect_waiting(const stage *s, int rank, const char *what, int peer)
{
    fr_rank_line line = line_of(s, rank, "waiting", what);
    CU_ASSERT_EQUAL(line.rank, rank);
    CU_ASSERT_STRING_EQUAL(line.state, "waiting");
    CU_ASSERT_STRING_EQUAL(line.what, what);
    CU_ASSERT_EQUAL(line.peer, peer);
}

/* A pair of the last two ranks in turned order, so that its ranks are not the world's. */
static void check_pair(const stage *s, fr_group *pair)
{
    static char large[1 << 22];
    int last = fr_group_size(s->world) - 1;
    int rank = fr_group_rank(s->world);
    char letter = 'a';
    if (rank == last) { /* rank 0 of the pair */
        CU_ASSERT_EQUAL(fr_group_rank(pair), 0);
        expect_waiting(s, last - 1, "receive", last);
        FR_ASSERT_OK(fr_group_send(pair, 1, 5, &letter, 1));
        expect_waiting(s, last - 1, "send", last);
        FR_ASSERT_OK(fr_group_receive(pair, 1, 6, large, sizeof large));
        expect_waiting(s, last - 1, "broadcast", last);
        FR_ASSERT_OK(fr_group_broadcast(pair, 0, &letter, 1));
    } else if (rank == last - 1) {
        FR_ASSERT_OK(fr_group_receive(pair, 0, 5, &letter, 1));
        FR_ASSERT_OK(fr_group_send(pair, 0, 6, large, sizeof large));
        FR_ASSERT_OK(fr_group_broadcast(pair, 0, &letter, 1));
    }
}

static fr_group *make_pair(const stage *s)
{
    fr_group *pair = NULL;
    int rank = fr_group_rank(s->world);
    bool in_pair = rank >= fr_group_size(s->world) - 2;
    FR_ASSERT_OK(fr_group_split(s->world, in_pair ? 1 : 0, -rank, &pair));
    CU_ASSERT_PTR_NOT_NULL_FATAL(pair);
    return pair;
}

static void groups_split_before_the_watch_is_set_tell_it_of_their_waits(void)
{
    stage s;
    open_stage(&s);
    fr_group *pair = make_pair(&s);
    fr_group_set_watch(s.world, s.watch);
    CU_ASSERT_PTR_EQUAL(fr_group_watch(pair), s.watch);
    check_pair(&s, pair);
    fr_group_destroy(&pair);
    close_stage(&s);
}

static void groups_split_after_the_watch_is_set_tell_it_of_their_waits(void)
{
    stage s;
    fr_group *part = NULL;
    open_stage(&s);
    fr_group_set_watch(s.world, s.watch);
    fr_group *pair = make_pair(&s);
    FR_ASSERT_OK(fr_group_split(pair, 0, 0, &part)); /* a part of a part */
    CU_ASSERT_PTR_EQUAL(fr_group_watch(part), s.watch);
    check_pair(&s, part);
    fr_group_destroy(&part);
    fr_group_destroy(&pair);
    close_stage(&s);
}

static void reductions_and_barriers_wait_for_all(void)
{
    int64_t one = 1;
    stage s;
    open_stage(&s);
    fr_group_set_watch(s.world, s.watch);
    bool is_last = fr_group_rank(s.world) == fr_group_size(s.world) - 1;
    if (is_last) {
        expect_waiting(&s, 0, "reduction", -1);
    }
    FR_ASSERT_OK(fr_group_allreduce(s.world, FR_SUM, &one, 1));
    CU_ASSERT_EQUAL(one, fr_group_size(s.world));
    if (is_last) {
        expect_waiting(&s, 0, "barrier", -1);
    }
    FR_ASSERT_OK(fr_group_barrier(s.world));
    close_stage(&s);
}

/* After a wait the rank computes again, also in its line. */
static void a_wait_that_ends_is_over(void)
{
    stage s;
    open_stage(&s);
    fr_group_set_watch(s.world, s.watch);
    fr_watch_at(s.watch, 4, "t", 2);
    if (fr_group_rank(s.world) == 1) {
        rest(WAIT_MS);
    }
    FR_ASSERT_OK(fr_group_barrier(s.world));
    fr_rank_line line = line_of(&s, fr_group_rank(s.world), "computing", "-");
    CU_ASSERT_STRING_EQUAL(line.state, "computing");
    CU_ASSERT_STRING_EQUAL(line.what, "-");
    CU_ASSERT_EQUAL(line.peer, -1);
    CU_ASSERT_EQUAL(line.step, 4);
    close_stage(&s);
}

static const fr_case CASES[] = {
    FR_CASE(groups_split_before_the_watch_is_set_tell_it_of_their_waits),
    FR_CASE(groups_split_after_the_watch_is_set_tell_it_of_their_waits),
    FR_CASE(reductions_and_barriers_wait_for_all),
    FR_CASE(a_wait_that_ends_is_over),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("watch", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
