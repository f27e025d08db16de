/*
 * signals.h - the thread that takes the signals which ask this process to end.
 *
 * It is started before anything that may hang, such as a config on a dead file system or MPI's start. It touches no file
 * and calls no MPI, so it answers a signal whatever the main thread does.
 *
 *                      until fr_signals_hold        from then on
 *   SIGINT, SIGTERM    leave at once                the first asks for a stop, the second leaves at once
 *   SIGHUP             leave at once                asks for a stop (a closed terminal may send it twice)
 *   SIGUSR1            is remembered as a request   asks for a stop
 *
 * The process leaves by a call of `leave` with 128 + the signal's number. SIGHUP stays ignored where the process was
 * started so (nohup).
 */
#ifndef FR_COMM_SIGNALS_H
#define FR_COMM_SIGNALS_H

#include "comm/watch.h"

typedef struct fr_signals fr_signals;

typedef struct fr_signals_params {
    /* The process trains: it will call fr_signals_hold, and says so when a signal comes before that. SIGPIPE is ignored:
     * the run goes on when its output is closed, because its results are files. */
    bool trains;
    fr_watch_leave *leave; /* must not block; if it returns, the thread ends */
    void *argument;        /* of leave */
} fr_signals_params;

/**
 * Block the signals in this thread, and so in all that it starts later, and start the one that takes them. Call
 * before any other thread is there: a signal that reached it would end the process.
 * @return FR_OK; FR_ERR_NO_MEMORY; FR_ERR_INTERNAL if there is no thread
 */
FR_MUST_CHECK fr_status fr_signals_create(fr_ctx *ctx, const fr_signals_params *params,
                                          fr_signals **out);

/** End the thread; the signals stay blocked. Accepts NULL inside, nulls the pointer. For tests: a program lets the thread
 * answer until the process has ended. */
void fr_signals_destroy(fr_signals **signals);

/** From now on the first signal asks for a stop, which the caller finds by fr_signals_stop_wanted and answers by saving.
 * Accepts NULL. */
void fr_signals_hold(fr_signals *signals, int rank);

/** From now on SIGINT ends nothing and is counted, for a command in which a person stops an answer by it. SIGTERM and SIGHUP leave at
 * once still. Accepts NULL. */
void fr_signals_count_interrupts(fr_signals *signals);

/** How often SIGINT has come since then. Cheap; 0 for NULL. */
int64_t fr_signals_interrupts(const fr_signals *signals);

/** Whether a stop was asked for. Cheap; false for NULL. */
bool fr_signals_stop_wanted(const fr_signals *signals);

#endif
