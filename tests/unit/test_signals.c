#define _POSIX_C_SOURCE 200809L
#include "comm/signals.h"
#include "support/suite.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LEFT_BYTES = 512, SOON_MS = 5000, MOMENT_MS = 300 };

/* What was said on leaving; this leave returns. */
typedef struct farewell {
    atomic_int n_calls;
    int exit_code;
    char text[LEFT_BYTES];
} farewell;

static void note_leave(void *argument, int exit_code, const char *text)
{
    farewell *f = argument;
    f->exit_code = exit_code;
    (void)snprintf(f->text, sizeof f->text, "%s", text);
    atomic_fetch_add(&f->n_calls, 1);
}

static void rest_ms(int ms)
{
    struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL);
}

static bool leaves(farewell *f, int max_ms)
{
    for (int passed = 0; atomic_load(&f->n_calls) == 0 && passed < max_ms;
         passed += 10) {
        rest_ms(10);
    }
    return atomic_load(&f->n_calls) > 0;
}

static bool stop_comes(const fr_signals *signals)
{
    for (int passed = 0; !fr_signals_stop_wanted(signals) && passed < SOON_MS;
         passed += 10) {
        rest_ms(10);
    }
    return fr_signals_stop_wanted(signals);
}

static fr_signals *start(bool trains, farewell *left)
{
    fr_signals *signals = NULL;
    fr_signals_params params = {
        .trains = trains, .leave = note_leave, .argument = left};
    FR_ASSERT_OK(fr_signals_create(fr_test_ctx(), &params, &signals));
    CU_ASSERT_PTR_NOT_NULL_FATAL(signals);
    return signals;
}

static void the_first_signal_leaves_before_the_run_holds(void)
{
    static const int NUMBERS[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 6; i++) {
        farewell left = {0};
        int number = NUMBERS[i % 3];
        fr_signals *signals = start(i < 3, &left);
        (void)kill(getpid(), number);
        CU_ASSERT_TRUE(leaves(&left, SOON_MS));
        CU_ASSERT_EQUAL(left.exit_code, 128 + number);
        CU_ASSERT_EQUAL(strstr(left.text, "leaves before the first step") != NULL,
                        i < 3);
        CU_ASSERT_EQUAL(left.text[0] == '\0', i >= 3);
        fr_signals_destroy(&signals);
        CU_ASSERT_PTR_NULL(signals);
    }
}

/* As a dialogue has it: SIGINT is counted and ends nothing, SIGTERM does. */
static void interrupts_are_counted_where_that_is_asked_for(void)
{
    farewell left = {0};
    fr_signals *signals = start(false, &left);
    fr_signals_count_interrupts(signals);
    CU_ASSERT_EQUAL(fr_signals_interrupts(signals), 0);
    for (int64_t n = 1; n <= 3; n++) {
        (void)kill(getpid(), SIGINT);
        for (int passed = 0; fr_signals_interrupts(signals) < n && passed < SOON_MS;
             passed += 10) {
            rest_ms(10);
        }
        CU_ASSERT_EQUAL(fr_signals_interrupts(signals), n);
    }
    CU_ASSERT_EQUAL(atomic_load(&left.n_calls), 0);
    CU_ASSERT_FALSE(fr_signals_stop_wanted(signals));
    (void)kill(getpid(), SIGTERM);
    CU_ASSERT_TRUE(leaves(&left, SOON_MS));
    fr_signals_destroy(&signals);
    fr_signals_count_interrupts(NULL);
    CU_ASSERT_EQUAL(fr_signals_interrupts(NULL), 0);
}

static void once_it_holds_the_first_asks_and_the_second_leaves(void)
{
    static const int NUMBERS[] = {SIGINT, SIGTERM};
    for (int i = 0; i < 2; i++) {
        farewell left = {0};
        fr_signals *signals = start(true, &left);
        fr_signals_hold(signals, 3);
        CU_ASSERT_FALSE(fr_signals_stop_wanted(signals));
        (void)kill(getpid(), NUMBERS[i]);
        CU_ASSERT_TRUE(stop_comes(signals));
        CU_ASSERT_FALSE(leaves(&left, MOMENT_MS));
        (void)kill(getpid(), NUMBERS[1 - i]);
        CU_ASSERT_TRUE(leaves(&left, SOON_MS));
        CU_ASSERT_EQUAL(left.exit_code, 128 + NUMBERS[1 - i]);
        CU_ASSERT_PTR_NOT_NULL(strstr(left.text, "rank 3 leaves at once"));
        fr_signals_destroy(&signals);
    }
}

static void sigusr1_and_sighup_ask_and_never_leave(void)
{
    static const int NUMBERS[] = {SIGUSR1, SIGHUP};
    for (int i = 0; i < 2; i++) {
        farewell left = {0};
        fr_signals *signals = start(true, &left);
        fr_signals_hold(signals, 0);
        for (int n = 0; n < 3; n++) {
            (void)kill(getpid(), NUMBERS[i]);
            CU_ASSERT_TRUE(stop_comes(signals));
            rest_ms(50);
        }
        (void)kill(getpid(), SIGTERM); /* the first of its kind */
        CU_ASSERT_FALSE(leaves(&left, MOMENT_MS));
        fr_signals_destroy(&signals);
    }
}

static void a_sigusr1_before_the_run_holds_is_remembered(void)
{
    farewell left = {0};
    fr_signals *signals = start(true, &left);
    (void)kill(getpid(), SIGUSR1);
    CU_ASSERT_TRUE(stop_comes(signals));
    fr_signals_hold(signals, 0);
    CU_ASSERT_TRUE(fr_signals_stop_wanted(signals));
    (void)kill(getpid(), SIGINT);
    CU_ASSERT_FALSE(leaves(&left, MOMENT_MS));
    fr_signals_destroy(&signals);
}

static void an_ignored_sighup_stays_ignored(void)
{
    farewell left = {0};
    struct sigaction before;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t hangup;
    (void)sigemptyset(&hangup);
    (void)sigaddset(&hangup, SIGHUP);
    (void)pthread_sigmask(SIG_UNBLOCK, &hangup, NULL);
    (void)sigaction(SIGHUP, &ignore, &before);
    fr_signals *signals = start(true, &left);
    fr_signals_hold(signals, 0);
    (void)kill(getpid(), SIGHUP);
    CU_ASSERT_FALSE(leaves(&left, MOMENT_MS));
    CU_ASSERT_FALSE(fr_signals_stop_wanted(signals));
    fr_signals_destroy(&signals);
    (void)sigaction(SIGHUP, &before, NULL);
}

static void none_is_allowed_everywhere(void)
{
    fr_signals *none = NULL;
    fr_signals_hold(NULL, 0);
    CU_ASSERT_FALSE(fr_signals_stop_wanted(NULL));
    fr_signals_destroy(&none);
}

static const fr_case CASES[] = {
    FR_CASE(the_first_signal_leaves_before_the_run_holds),
    FR_CASE(interrupts_are_counted_where_that_is_asked_for),
    FR_CASE(once_it_holds_the_first_asks_and_the_second_leaves),
    FR_CASE(sigusr1_and_sighup_ask_and_never_leave),
    FR_CASE(a_sigusr1_before_the_run_holds_is_remembered),
    FR_CASE(an_ignored_sighup_stays_ignored),
    FR_CASE(none_is_allowed_everywhere),
};

int main(int argc, char **argv)
{
    return fr_suite_main("signals", CASES, FR_N_CASES(CASES), argc, argv);
}
