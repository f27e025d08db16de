#define _POSIX_C_SOURCE 200809L
#include "comm/rank_line.h"
#include "comm/watch.h"
#include "support/suite.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 512, LEFT_BYTES = 8192 };

/* What the watch said when it wanted to leave; this leave returns. */
typedef struct farewell {
    atomic_int n_calls;
    int exit_code;
    char text[LEFT_BYTES];
} farewell;

static void note_leave(void *argument, int exit_code, const char *text)
{
    farewell *f = argument;
    if (atomic_load(&f->n_calls) == 0) {
        f->exit_code = exit_code;
        (void)snprintf(f->text, sizeof f->text, "%s", text);
    }
    atomic_fetch_add(&f->n_calls, 1);
}

static int64_t now_ms(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void rest_ms(int ms)
{
    struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL);
}

static const char *slot_path(const char *folder, int rank, char path[PATH_BYTES])
{
    (void)snprintf(path, PATH_BYTES, "%s/rank-%04d.slot", folder, rank);
    return path;
}

static fr_watch *start(const char *folder, int n_ranks, int64_t timeout, farewell *left)
{
    fr_watch *watch = NULL;
    fr_watch_params params = {.folder = folder,
                              .n_ranks = n_ranks,
                              .timeout_seconds = timeout,
                              .leave = note_leave,
                              .argument = left};
    FR_ASSERT_OK(fr_watch_create(fr_test_ctx(), &params, &watch));
    CU_ASSERT_PTR_NOT_NULL_FATAL(watch);
    return watch;
}

/* Rank 0's slot once its state is this one; waits 5 s at most. */
static fr_rank_line slot_in_state(const char *folder, const char *state)
{
    char path[PATH_BYTES];
    fr_rank_line slot = {0};
    for (int i = 0; i < 100; i++) {
        if (fr_rank_line_read(slot_path(folder, 0, path), &slot) &&
            strcmp(slot.state, state) == 0) {
            break;
        }
        rest_ms(50);
    }
    CU_ASSERT_STRING_EQUAL(slot.state, state);
    return slot;
}

/* Milliseconds until the watch leaves; -1 if it does not within `most`. */
static int64_t until_left(const farewell *left, int64_t max)
{
    int64_t begin = now_ms(CLOCK_MONOTONIC);
    int64_t passed = 0;
    while (atomic_load(&left->n_calls) == 0 && passed <= max) {
        rest_ms(20);
        passed = now_ms(CLOCK_MONOTONIC) - begin;
    }
    return atomic_load(&left->n_calls) > 0 ? passed : -1;
}

static void write_peer(const char *folder, int rank, const char *state, int64_t span_ms)
{
    char path[PATH_BYTES];
    fr_rank_line slot = {
        .rank = rank, .pid = 77, .peer = -1, .step = 3, .microbatch = -1};
    slot.beat_ms = now_ms(CLOCK_REALTIME);
    slot.since_ms = slot.beat_ms - span_ms;
    fr_rank_line_word("farhost", slot.host, FR_RANK_LINE_HOST_BYTES);
    fr_rank_line_word(state, slot.state, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(NULL, slot.what, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(NULL, slot.task, FR_RANK_LINE_TASK_BYTES);
    CU_ASSERT_TRUE_FATAL(fr_rank_line_write(slot_path(folder, rank, path), &slot));
}

static void the_slot_file_follows_the_rank(void)
{
    char path[PATH_BYTES];
    farewell left = {0};
    struct stat info;
    const char *folder = fr_test_folder();
    fr_watch *watch = start(folder, 1, 0, &left);
    fr_rank_line slot = slot_in_state(folder, "starting");
    int64_t first_beat = slot.beat_ms;
    CU_ASSERT_EQUAL(slot.pid, getpid());
    CU_ASSERT_EQUAL(slot.step, -1);
    CU_ASSERT_EQUAL(stat(slot_path(folder, 0, path), &info), 0);
    CU_ASSERT_EQUAL(info.st_size, FR_RANK_LINE_BYTES);

    fr_watch_at(watch, 12, "debdesc", 3);
    slot = slot_in_state(folder, "computing");
    CU_ASSERT_EQUAL(slot.step, 12);
    CU_ASSERT_STRING_EQUAL(slot.task, "debdesc");
    CU_ASSERT_EQUAL(slot.microbatch, 3);
    CU_ASSERT_EQUAL(slot.peer, -1);
    CU_ASSERT_STRING_EQUAL(slot.what, "-");
    CU_ASSERT_TRUE(slot.beat_ms > first_beat);

    fr_watch_microbatch(watch, 4);
    fr_watch_wait_begin(watch, "receive", 2);
    slot = slot_in_state(folder, "waiting");
    CU_ASSERT_STRING_EQUAL(slot.what, "receive");
    CU_ASSERT_EQUAL(slot.peer, 2);
    CU_ASSERT_EQUAL(slot.microbatch, 4);
    CU_ASSERT_EQUAL(slot.step, 12);

    fr_watch_wait_end(watch);
    fr_watch_busy(watch, "saving");
    slot = slot_in_state(folder, "saving");
    CU_ASSERT_EQUAL(slot.peer, -1);
    CU_ASSERT_EQUAL(slot.status, FR_RANK_LINE_RUNNING);
    fr_watch_busy(watch, NULL);
    (void)slot_in_state(folder, "computing");
    fr_watch_destroy(&watch);
    CU_ASSERT_PTR_NULL(watch);
    CU_ASSERT_TRUE(fr_rank_line_read(path, &slot));
    CU_ASSERT_EQUAL(slot.status, FR_RANK_LINE_ENDED);

    watch = start(folder, 1, 0, &left);
    fr_watch_fail(watch);
    fr_watch_destroy(&watch);
    CU_ASSERT_TRUE(fr_rank_line_read(path, &slot));
    CU_ASSERT_EQUAL(slot.status, FR_RANK_LINE_FAILED);
    CU_ASSERT_EQUAL(atomic_load(&left.n_calls), 0);
}

static void no_watch_is_allowed_everywhere(void)
{
    fr_watch *none = NULL;
    fr_watch_at(NULL, 1, "t", 0);
    fr_watch_microbatch(NULL, 1);
    fr_watch_busy(NULL, "saving");
    fr_watch_wait_begin(NULL, "send", 1);
    fr_watch_wait_end(NULL);
    fr_watch_fail(NULL);
    fr_watch_destroy(&none);
}

static void touch(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fclose(file);
}

static bool is_there(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static void what_an_earlier_run_left_is_cleared(void)
{
    const char *folder = fr_test_folder();
    touch(folder, "rank-0000.slot");
    touch(folder, "rank-12345.slot");
    touch(folder, "timeout.txt");
    touch(folder, "rank-0000.log");
    touch(folder, "other.slot");
    FR_ASSERT_OK(fr_watch_clear(fr_test_ctx(), folder));
    CU_ASSERT_FALSE(is_there(folder, "rank-0000.slot"));
    CU_ASSERT_FALSE(is_there(folder, "rank-12345.slot"));
    CU_ASSERT_FALSE(is_there(folder, "timeout.txt"));
    CU_ASSERT_TRUE(is_there(folder, "rank-0000.log"));
    CU_ASSERT_TRUE(is_there(folder, "other.slot"));
    FR_ASSERT_FAILS(fr_watch_clear(fr_test_ctx(), "/no such folder"), FR_ERR_IO,
                    "/no such folder");
}

static void a_folder_that_cannot_be_written_is_refused(void)
{
    fr_watch *watch = NULL;
    farewell left = {0};
    fr_watch_params params = {.folder = "/no such folder",
                              .n_ranks = 1,
                              .leave = note_leave,
                              .argument = &left};
    FR_ASSERT_FAILS(fr_watch_create(fr_test_ctx(), &params, &watch), FR_ERR_IO,
                    "/no such folder/rank-0000.slot");
    CU_ASSERT_PTR_NULL(watch);
}

static void a_silent_rank_makes_the_waiting_one_leave_with_the_table(void)
{
    char path[PATH_BYTES];
    farewell left = {0};
    fr_rank_line slot;
    const char *folder = fr_test_folder();
    write_peer(folder, 1, "computing", 10);
    fr_watch *watch = start(folder, 2, 3, &left);
    fr_watch_at(watch, 3, "t", 0);
    fr_watch_wait_begin(watch, "receive", 1);
    int64_t passed = until_left(&left, 8000);
    CU_ASSERT_TRUE(passed >= 2900 && passed <= 8000);
    CU_ASSERT_EQUAL(left.exit_code, 5);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(left.text, "rank 1 on farhost has stopped or been cut off"));
    CU_ASSERT_PTR_NOT_NULL(strstr(left.text, "who waits for whom"));
    CU_ASSERT_TRUE(is_there(folder, "timeout.txt"));
    fr_watch_destroy(&watch);
    CU_ASSERT_EQUAL(atomic_load(&left.n_calls), 1);
    CU_ASSERT_TRUE(fr_rank_line_read(slot_path(folder, 0, path), &slot));
    CU_ASSERT_EQUAL(slot.status, FR_RANK_LINE_FAILED);
}

static void the_second_rank_to_decide_leaves_silently(void)
{
    farewell left = {0};
    const char *folder = fr_test_folder();
    fr_watch *watch = start(folder, 2, 3, &left);
    touch(folder, "timeout.txt"); /* another rank speaks, while this one computes */
    int64_t passed = until_left(&left, 6000);
    CU_ASSERT_TRUE(passed >= 2000);
    CU_ASSERT_EQUAL(left.exit_code, 5);
    CU_ASSERT_STRING_EQUAL(left.text, "");
    fr_watch_destroy(&watch);
}

/* The other ranks of a test: one slot, beating. */
typedef struct puppet {
    const char *folder;
    const char *state;
    int64_t begin;
    atomic_bool ends;
} puppet;

static void *play(void *argument)
{
    puppet *p = argument;
    while (!atomic_load(&p->ends)) {
        write_peer(p->folder, 1, p->state, now_ms(CLOCK_REALTIME) - p->begin);
        rest_ms(200);
    }
    return NULL;
}

/* Milliseconds until rank 0 leaves, which waits for a beating rank in this state. */
static int64_t wait_for_puppet(const char *state, int64_t timeout, int64_t max,
                               farewell *left)
{
    pthread_t thread;
    puppet p = {.folder = fr_test_folder(), .state = state};
    p.begin = now_ms(CLOCK_REALTIME);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, play, &p), 0);
    fr_watch *watch = start(p.folder, 2, timeout, left);
    fr_watch_at(watch, 3, "t", 0);
    fr_watch_wait_begin(watch, "reduction", -1);
    int64_t passed = until_left(left, max);
    atomic_store(&p.ends, true);
    (void)pthread_join(thread, NULL);
    fr_watch_destroy(&watch);
    return passed;
}

static void a_rank_that_loads_is_waited_for(void)
{
    farewell left = {0};
    CU_ASSERT_EQUAL(wait_for_puppet("loading", 1, 5000, &left), -1);
}

static void a_rank_that_computes_for_ever_is_blamed(void)
{
    farewell left = {0};
    int64_t passed = wait_for_puppet("computing", 2, 7000, &left);
    CU_ASSERT_TRUE(passed >= 1900);
    CU_ASSERT_EQUAL(left.exit_code, 5);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(left.text, "rank 1 on farhost computes without a message"));
}

static void ranks_that_all_wait_are_a_deadlock(void)
{
    farewell left = {0};
    int64_t passed = wait_for_puppet("waiting", 2, 7000, &left);
    CU_ASSERT_TRUE(passed >= 1900);
    CU_ASSERT_PTR_NOT_NULL(strstr(left.text, "all ranks are alive and wait"));
}

static void without_a_timeout_nobody_leaves(void)
{
    farewell left = {0};
    const char *folder = fr_test_folder();
    fr_watch *watch = start(folder, 2, 0, &left);
    fr_watch_wait_begin(watch, "receive", 1);
    CU_ASSERT_EQUAL(until_left(&left, 4000), -1);
    fr_watch_destroy(&watch);
}

static void waits_that_end_in_time_trip_nobody(void)
{
    farewell left = {0};
    const char *folder = fr_test_folder();
    fr_watch *watch = start(folder, 2, 1, &left);
    for (int i = 0; i < 12; i++) {
        fr_watch_wait_begin(watch, "receive", 1);
        CU_ASSERT_EQUAL(until_left(&left, 400), -1);
        fr_watch_wait_end(watch);
    }
    fr_watch_destroy(&watch);
}

/* A path on a network folder that was lost: whoever looks at it waits for ever. In place of the C library's. */
static char hanging_path[PATH_BYTES];
static atomic_bool is_hanging;

int stat(const char *restrict path, struct stat *restrict out)
{
    while (atomic_load(&is_hanging) && strcmp(path, hanging_path) == 0) {
        (void)pause();
    }
    return fstatat(AT_FDCWD, path, out, 0);
}

static void a_folder_that_hangs_cannot_hold_the_rank(void)
{
    char path[PATH_BYTES];
    farewell left = {0};
    const char *folder = fr_test_folder();
    (void)memcpy(hanging_path, slot_path(folder, 1, path), sizeof hanging_path);
    atomic_store(&is_hanging, true);
    fr_watch *watch = start(folder, 2, 3, &left);
    fr_watch_at(watch, 9, "t", 0);
    fr_watch_wait_begin(watch, "receive", 1);
    int64_t passed = until_left(&left, 8000);
    CU_ASSERT_TRUE(passed >= 2900 && passed <= 8000);
    CU_ASSERT_EQUAL(left.exit_code, 5);
    CU_ASSERT_PTR_NOT_NULL(strstr(left.text, "cannot be read or written in time"));
    CU_ASSERT_PTR_NOT_NULL(strstr(left.text, "step 9 of t, waiting (receive)"));
    int64_t begin = now_ms(CLOCK_MONOTONIC);
    fr_watch_destroy(&watch);
    CU_ASSERT_TRUE(now_ms(CLOCK_MONOTONIC) - begin < 5000);
    atomic_store(&is_hanging, false);
}

static const fr_case CASES[] = {
    FR_CASE(the_slot_file_follows_the_rank),
    FR_CASE(no_watch_is_allowed_everywhere),
    FR_CASE(what_an_earlier_run_left_is_cleared),
    FR_CASE(a_folder_that_cannot_be_written_is_refused),
    FR_CASE(a_silent_rank_makes_the_waiting_one_leave_with_the_table),
    FR_CASE(the_second_rank_to_decide_leaves_silently),
    FR_CASE(a_rank_that_loads_is_waited_for),
    FR_CASE(a_rank_that_computes_for_ever_is_blamed),
    FR_CASE(ranks_that_all_wait_are_a_deadlock),
    FR_CASE(without_a_timeout_nobody_leaves),
    FR_CASE(waits_that_end_in_time_trip_nobody),
    FR_CASE(a_folder_that_hangs_cannot_hold_the_rank),
};

int main(int argc, char **argv)
{
    return fr_suite_main("watch", CASES, FR_N_CASES(CASES), argc, argv);
}
