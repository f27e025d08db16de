#define _POSIX_C_SOURCE 200809L
#include "comm/rank_line.h"
#include "comm/watch.h"
#include "comm/watch_clock.h"
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

/*
 * The watch's time, which advance() moves on. It moves only while each thread of the watch sleeps until a later time, or
 * hangs, or has left: so what the threads do depends on this clock alone, however busy the machine is.
 */
enum { STEP_MS = 50, N_THREADS = 2, BEGIN_MS = 7000 };
static const int64_t MORNING_MS = 1732488000000;

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    int64_t now_ms;
    struct {
        bool is_used;
        int64_t until_ms;
    } sleepers[N_THREADS];
} hours = {.mutex = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
static pthread_t main_thread;
static atomic_int n_hanging; /* threads that never come back from a file */

static int64_t clock_now(void *argument)
{
    (void)argument;
    (void)pthread_mutex_lock(&hours.mutex);
    int64_t now = hours.now_ms;
    (void)pthread_mutex_unlock(&hours.mutex);
    return now;
}

static int64_t clock_wall(void *argument)
{
    return MORNING_MS + clock_now(argument);
}

static void rest_ms(int ms)
{
    struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* The mutex is given up, so the caller looks again at what it waits for, every millisecond at least. */
static void sleep_as_thread(int64_t until_ms)
{
    struct timespec soon;
    int i = 0;
    (void)clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 1000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&hours.mutex);
    while (hours.sleepers[i].is_used) {
        i++;
    }
    hours.sleepers[i].is_used = true;
    hours.sleepers[i].until_ms = until_ms;
    if (hours.now_ms < until_ms) {
        (void)pthread_cond_timedwait(&hours.moved, &hours.mutex, &soon);
    }
    hours.sleepers[i].is_used = false;
    (void)pthread_mutex_unlock(&hours.mutex);
}

/* The main thread sleeps in fr_watch_destroy alone, for a thread of the watch: time passes for it where that one hangs. */
static void clock_sleep(void *argument, pthread_cond_t *wake, pthread_mutex_t *mutex,
                        int64_t until_ms)
{
    (void)argument;
    (void)wake;
    (void)pthread_mutex_unlock(mutex);
    if (!pthread_equal(pthread_self(), main_thread)) {
        sleep_as_thread(until_ms);
    } else if (atomic_load(&n_hanging) > 0) {
        (void)pthread_mutex_lock(&hours.mutex);
        hours.now_ms = until_ms;
        (void)pthread_mutex_unlock(&hours.mutex);
    } else {
        rest_ms(1);
    }
    (void)pthread_mutex_lock(mutex);
}

static const fr_watch_clock CLOCK = {
    .monotonic_ms = clock_now, .wall_ms = clock_wall, .sleep = clock_sleep};

static bool all_sleep(const farewell *left)
{
    int n = atomic_load(&n_hanging) + atomic_load(&left->n_calls);
    (void)pthread_mutex_lock(&hours.mutex);
    for (int i = 0; i < N_THREADS; i++) {
        n += hours.sleepers[i].is_used && hours.sleepers[i].until_ms > hours.now_ms;
    }
    (void)pthread_mutex_unlock(&hours.mutex);
    return n >= N_THREADS;
}

/* Wait until no thread of the watch has anything to do at this time. */
static void settle(const farewell *left)
{
    while (!all_sleep(left)) {
        const struct timespec moment = {0, 20000};
        (void)nanosleep(&moment, NULL);
    }
}

/* So much of the watch's time passes, or less if it leaves. */
static void advance(const farewell *left, int64_t ms)
{
    settle(left);
    for (int64_t passed = 0; passed < ms && atomic_load(&left->n_calls) == 0;
         passed += STEP_MS) {
        (void)pthread_mutex_lock(&hours.mutex);
        hours.now_ms += STEP_MS;
        (void)pthread_cond_broadcast(&hours.moved);
        (void)pthread_mutex_unlock(&hours.mutex);
        settle(left);
    }
}

static const char *line_path(const char *folder, int rank, char path[PATH_BYTES])
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
                              .argument = left,
                              .clock = &CLOCK};
    hours.now_ms = BEGIN_MS; /* no thread of a watch is there */
    FR_ASSERT_OK(fr_watch_create(fr_test_ctx(), &params, &watch));
    CU_ASSERT_PTR_NOT_NULL_FATAL(watch);
    return watch;
}

/* Rank 0's line a beat later, which must be in this state. */
static fr_rank_line line_in_state(const farewell *left, const char *folder,
                                  const char *state)
{
    enum { BEAT_MS = 500 };
    char path[PATH_BYTES];
    fr_rank_line line = {0};
    advance(left, BEAT_MS);
    CU_ASSERT_TRUE(fr_rank_line_read(line_path(folder, 0, path), &line));
    CU_ASSERT_STRING_EQUAL(line.state, state);
    return line;
}

/* The watch's milliseconds until it leaves; -1 if it does not within `max`. */
static int64_t until_left(const farewell *left, int64_t max)
{
    int64_t begin = clock_now(NULL);
    advance(left, max);
    return atomic_load(&left->n_calls) > 0 ? clock_now(NULL) - begin : -1;
}

static void write_peer(const char *folder, int rank, const char *state, int64_t span_ms)
{
    char path[PATH_BYTES];
    fr_rank_line line = {
        .rank = rank, .pid = 77, .peer = -1, .step = 3, .microbatch = -1};
    line.beat_ms = clock_wall(NULL);
    line.since_ms = line.beat_ms - span_ms;
    fr_rank_line_word("farhost", line.host, FR_RANK_LINE_HOST_BYTES);
    fr_rank_line_word(state, line.state, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(NULL, line.what, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(NULL, line.task, FR_RANK_LINE_TASK_BYTES);
    CU_ASSERT_TRUE_FATAL(fr_rank_line_write(line_path(folder, rank, path), &line));
}

static void the_line_file_follows_the_rank(void)
{
    char path[PATH_BYTES];
    farewell left = {0};
    struct stat info;
    const char *folder = fr_test_folder();
    fr_watch *watch = start(folder, 1, 0, &left);
    fr_rank_line line = line_in_state(&left, folder, "starting");
    int64_t first_beat = line.beat_ms;
    CU_ASSERT_EQUAL(line.pid, getpid());
    CU_ASSERT_EQUAL(line.step, -1);
    CU_ASSERT_EQUAL(stat(line_path(folder, 0, path), &info), 0);
    CU_ASSERT_EQUAL(info.st_size, FR_RANK_LINE_BYTES);

    fr_watch_at(watch, 12, "debdesc", 3);
    line = line_in_state(&left, folder, "computing");
    CU_ASSERT_EQUAL(line.step, 12);
    CU_ASSERT_STRING_EQUAL(line.task, "debdesc");
    CU_ASSERT_EQUAL(line.microbatch, 3);
    CU_ASSERT_EQUAL(line.peer, -1);
    CU_ASSERT_STRING_EQUAL(line.what, "-");
    CU_ASSERT_TRUE(line.beat_ms > first_beat);

    fr_watch_microbatch(watch, 4);
    fr_watch_wait_begin(watch, "receive", 2);
    line = line_in_state(&left, folder, "waiting");
    CU_ASSERT_STRING_EQUAL(line.what, "receive");
    CU_ASSERT_EQUAL(line.peer, 2);
    CU_ASSERT_EQUAL(line.microbatch, 4);
    CU_ASSERT_EQUAL(line.step, 12);

    fr_watch_wait_end(watch);
    fr_watch_busy(watch, "saving");
    line = line_in_state(&left, folder, "saving");
    CU_ASSERT_EQUAL(line.peer, -1);
    CU_ASSERT_EQUAL(line.status, FR_RANK_LINE_RUNNING);
    fr_watch_busy(watch, NULL);
    (void)line_in_state(&left, folder, "computing");
    fr_watch_destroy(&watch);
    CU_ASSERT_PTR_NULL(watch);
    CU_ASSERT_TRUE(fr_rank_line_read(path, &line));
    CU_ASSERT_EQUAL(line.status, FR_RANK_LINE_ENDED);

    watch = start(folder, 1, 0, &left);
    fr_watch_fail(watch);
    fr_watch_destroy(&watch);
    CU_ASSERT_TRUE(fr_rank_line_read(path, &line));
    CU_ASSERT_EQUAL(line.status, FR_RANK_LINE_FAILED);
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
    fr_rank_line line;
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
    CU_ASSERT_TRUE(fr_rank_line_read(line_path(folder, 0, path), &line));
    CU_ASSERT_EQUAL(line.status, FR_RANK_LINE_FAILED);
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

/* The watch's milliseconds until rank 0 leaves, which waits for a beating rank in this state; -1 as until_left. */
static int64_t wait_for_peer(const char *state, int64_t timeout, int64_t max,
                             farewell *left)
{
    enum { PEER_BEAT_MS = 200 };
    const char *folder = fr_test_folder();
    int64_t passed = 0;
    fr_watch *watch = start(folder, 2, timeout, left);
    fr_watch_at(watch, 3, "t", 0);
    fr_watch_wait_begin(watch, "reduction", -1);
    while (passed < max && atomic_load(&left->n_calls) == 0) {
        write_peer(folder, 1, state, passed);
        advance(left, PEER_BEAT_MS);
        passed = clock_now(NULL) - BEGIN_MS;
    }
    fr_watch_destroy(&watch);
    return atomic_load(&left->n_calls) > 0 ? passed : -1;
}

static void a_rank_that_loads_is_waited_for(void)
{
    farewell left = {0};
    CU_ASSERT_EQUAL(wait_for_peer("loading", 1, 5000, &left), -1);
}

static void a_rank_that_computes_for_ever_is_blamed(void)
{
    farewell left = {0};
    int64_t passed = wait_for_peer("computing", 2, 7000, &left);
    CU_ASSERT_TRUE(passed >= 1900);
    CU_ASSERT_EQUAL(left.exit_code, 5);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(left.text, "rank 1 on farhost has computed without sending a message"));
}

static void ranks_that_all_wait_are_a_deadlock(void)
{
    farewell left = {0};
    int64_t passed = wait_for_peer("waiting", 2, 7000, &left);
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
        atomic_store(&n_hanging, 1);
        (void)pause();
    }
    return fstatat(AT_FDCWD, path, out, 0);
}

static void a_folder_that_hangs_cannot_hold_the_rank(void)
{
    char path[PATH_BYTES];
    farewell left = {0};
    const char *folder = fr_test_folder();
    (void)memcpy(hanging_path, line_path(folder, 1, path), sizeof hanging_path);
    atomic_store(&is_hanging, true);
    fr_watch *watch = start(folder, 2, 3, &left);
    fr_watch_at(watch, 9, "t", 0);
    fr_watch_wait_begin(watch, "receive", 1);
    int64_t passed = until_left(&left, 8000);
    CU_ASSERT_TRUE(passed >= 2900 && passed <= 8000);
    CU_ASSERT_EQUAL(left.exit_code, 5);
    CU_ASSERT_PTR_NOT_NULL(strstr(left.text, "cannot be read or written in time"));
    CU_ASSERT_PTR_NOT_NULL(strstr(left.text, "step 9 of t, waiting (receive)"));
    int64_t begin = clock_now(NULL);
    fr_watch_destroy(&watch);
    CU_ASSERT_EQUAL(clock_now(NULL) - begin, 3000);
    atomic_store(&is_hanging, false);
    atomic_store(&n_hanging, 0);
}

static const fr_case CASES[] = {
    FR_CASE(the_line_file_follows_the_rank),
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
    main_thread = pthread_self();
    return fr_suite_main("watch", CASES, FR_N_CASES(CASES), argc, argv);
}
