/*
 * signals.h - the thread that takes the signals which ask this process to end.
 *
 * Layer L2; uses base. Started before anything that may hang (a config on a dead file system, MPI's start), and it
 * touches no file and calls no MPI, so a signal is answered wherever the main thread is.
 *
 *                      until fr_signals_hold        from then on
 *   SIGINT, SIGTERM    leave at once                the first asks for a stop, the second leaves at once
 *   SIGHUP             leave at once                asks for a stop (a closed terminal may send it twice)
 *   SIGUSR1            is remembered as a request   asks for a stop
 *
 * To leave is `leave` with 128 + the signal's number. SIGHUP is left alone where the process was started with it
 * ignored (nohup).
 */
#ifndef FR_COMM_SIGNALS_H
#define FR_COMM_SIGNALS_H

#include "comm/watch.h"

typedef struct fr_signals fr_signals;

typedef struct fr_signals_params {
    /* The process trains: it will hold, says so when a signal comes too early, and goes on when its output is closed
     * (SIGPIPE is ignored), for what it does lies in files. */
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

/** End the thread; the signals stay blocked. Accepts NULL inside, nulls the pointer. A program does without: the
 * thread answers until the process has ended. */
void fr_signals_destroy(fr_signals **signals);

/** From now on there is something to save: the first signal asks, the caller looks. Accepts NULL. */
void fr_signals_hold(fr_signals *signals, int rank);

/** Whether a stop was asked for. Cheap; false for NULL. */
bool fr_signals_stop_wanted(const fr_signals *signals);

#endif
