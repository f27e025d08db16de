#define _POSIX_C_SOURCE 200809L
#include "comm/signals.h"

#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * One thread waits for all signals by sigwait; no handler is ever installed.
 *
 * A handler would run inside any call of the main thread and could use almost nothing. The thread can format text
 * and call `leave`. For that the signals must be blocked in every thread: the creating thread blocks them before it
 * starts any other, and all others inherit its mask. The main thread never waits for a signal; it reads stop_wanted
 * between two steps. What the two share is atomic.
 */

/* A process that a signal ends has the exit code 128 + the signal's number by convention of the shell. */
enum { TEXT_BYTES = 256, EXIT_SIGNAL = 128 };

/* `params` and `wanted` do not change once the thread runs. */
struct fr_signals {
    fr_signals_params params;
    sigset_t wanted;
    atomic_bool holds;
    atomic_int rank; /* meaningful once it holds */
    atomic_bool stop_wanted;
    atomic_bool counts; /* SIGINT */
    atomic_llong n_interrupts;
    atomic_bool is_ending;
    pthread_t thread;
};

static const char *name_of(int number)
{
    return number == SIGINT    ? "SIGINT"
           : number == SIGTERM ? "SIGTERM"
           : number == SIGHUP  ? "SIGHUP"
                               : "SIGUSR1";
}

/* Commands that do not train have nothing to save, and say nothing of it. */
static void leave(const fr_signals *s, int number)
{
    char text[TEXT_BYTES] = "";
    if (atomic_load(&s->holds) && !s->params.trains) {
        (void)snprintf(text, sizeof text, "second %s: rank %d leaves at once\n",
                       name_of(number), atomic_load(&s->rank));
    } else if (atomic_load(&s->holds)) {
        (void)snprintf(text, sizeof text,
                       "second %s: rank %d leaves at once; the newest checkpoint is "
                       "whole, start again with --resume\n",
                       name_of(number), atomic_load(&s->rank));
    } else if (s->params.trains) {
        (void)snprintf(text, sizeof text,
                       "%s: process %ld leaves before the first step; what the run "
                       "folder holds is whole\n",
                       name_of(number), (long)getpid());
    }
    s->params.leave(s->params.argument, EXIT_SIGNAL + number, text);
}

/* Notes a request to stop. @return whether the process has to leave at once */
static bool answer(fr_signals *s, int number, int *n_ends)
{
    if (number == SIGINT && atomic_load(&s->counts)) {
        (void)atomic_fetch_add(&s->n_interrupts, 1);
        return false;
    }
    if (!atomic_load(&s->holds)) {
        if (number == SIGUSR1) {
            atomic_store(&s->stop_wanted, true);
        }
        return number != SIGUSR1;
    }
    atomic_store(&s->stop_wanted, true);
    *n_ends += number == SIGINT || number == SIGTERM;
    return (number == SIGINT || number == SIGTERM) && *n_ends > 1;
}

/* fr_signals_destroy wakes the thread with SIGUSR1, which ends it without a further effect. */
static void *take(void *argument)
{
    fr_signals *s = argument;
    int n_ends = 0;
    for (;;) {
        int number = 0;
        if (sigwait(&s->wanted, &number) != 0) {
            continue;
        }
        if (atomic_load(&s->is_ending)) {
            return NULL;
        }
        if (answer(s, number, &n_ends)) {
            leave(s, number);
            return NULL;
        }
    }
}

/* nohup starts a program with SIGHUP ignored, and it stays so. */
static bool is_ignored(int number)
{
    struct sigaction now;
    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

/* SIGPIPE is ignored only where the process trains: other commands must end by it when their reader ends. */
static void choose_signals(fr_signals *s)
{
    (void)sigemptyset(&s->wanted);
    (void)sigaddset(&s->wanted, SIGINT);
    (void)sigaddset(&s->wanted, SIGTERM);
    (void)sigaddset(&s->wanted, SIGUSR1);
    if (!is_ignored(SIGHUP)) {
        (void)sigaddset(&s->wanted, SIGHUP);
    }
    if (s->params.trains) {
        struct sigaction ignore = {.sa_handler = SIG_IGN};
        (void)sigaction(SIGPIPE, &ignore, NULL);
    }
}

/* The thread inherits a mask that blocks all signals; sigwait takes those that it waits for. */
static int start(fr_signals *s)
{
    sigset_t all;
    sigset_t before;
    sigset_t with_wanted;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &s->wanted, &before);
    (void)pthread_sigmask(SIG_SETMASK, &all, &with_wanted);
    int code = pthread_create(&s->thread, NULL, take, s);
    (void)pthread_sigmask(SIG_SETMASK, code == 0 ? &with_wanted : &before, NULL);
    return code;
}

/* If the thread cannot be started, the mask is as before, and signals have their usual effect. */
fr_status fr_signals_create(fr_ctx *ctx, const fr_signals_params *params,
                            fr_signals **out)
{
    fr_signals *s = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *s, &s));
    s->params = *params;
    choose_signals(s);
    int code = start(s);
    if (code != 0) {
        free(s);
        return FR_FAIL(ctx, FR_ERR_INTERNAL,
                       "cannot start the thread that takes signals: %s; see ulimit -u",
                       strerror(code));
    }
    *out = s;
    return FR_OK;
}

void fr_signals_destroy(fr_signals **signals)
{
    fr_signals *s = *signals;
    *signals = NULL;
    if (s != NULL) {
        atomic_store(&s->is_ending, true);
        (void)pthread_kill(s->thread, SIGUSR1);
        (void)pthread_join(s->thread, NULL);
        free(s);
    }
}

/* The rank is stored first: the thread reads it once it sees `holds`. */
void fr_signals_hold(fr_signals *signals, int rank)
{
    if (signals != NULL) {
        atomic_store(&signals->rank, rank);
        atomic_store(&signals->holds, true);
    }
}

void fr_signals_count_interrupts(fr_signals *signals)
{
    if (signals != NULL) {
        atomic_store(&signals->counts, true);
    }
}

int64_t fr_signals_interrupts(const fr_signals *signals)
{
    return signals != NULL ? atomic_load(&signals->n_interrupts) : 0;
}

bool fr_signals_stop_wanted(const fr_signals *signals)
{
    return signals != NULL && atomic_load(&signals->stop_wanted);
}
