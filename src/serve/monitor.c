#define _POSIX_C_SOURCE 200809L
#include "serve/monitor.h"

#include "base/clock.h"

#include <signal.h>
#include <string.h>

/* Waits are measured by the monotonic clock: a change of the system's time must not shorten or lengthen them. */
static int open_both(fr_monitor *monitor)
{
    pthread_condattr_t attributes;
    int code = pthread_condattr_init(&attributes);
    if (code != 0) {
        return code;
    }
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    code = pthread_cond_init(&monitor->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (code == 0) {
        code = pthread_mutex_init(&monitor->mutex, NULL);
        if (code != 0) {
            (void)pthread_cond_destroy(&monitor->changed);
        }
    }
    return code;
}

fr_status fr_monitor_open(fr_ctx *ctx, fr_monitor *monitor)
{
    int code = open_both(monitor);
    return code == 0 ? FR_OK
                     : FR_FAIL(ctx, FR_ERR_INTERNAL, "cannot make a mutex: %s",
                               strerror(code));
}

void fr_monitor_close(fr_monitor *monitor)
{
    (void)pthread_mutex_destroy(&monitor->mutex);
    (void)pthread_cond_destroy(&monitor->changed);
}

void fr_monitor_enter(fr_monitor *monitor)
{
    (void)pthread_mutex_lock(&monitor->mutex);
}

void fr_monitor_leave(fr_monitor *monitor)
{
    (void)pthread_mutex_unlock(&monitor->mutex);
}

void fr_monitor_tell(fr_monitor *monitor)
{
    (void)pthread_cond_broadcast(&monitor->changed);
}

void fr_monitor_wait(fr_monitor *monitor, int64_t ms)
{
    struct timespec until = fr_clock_after(ms);
    (void)pthread_cond_timedwait(&monitor->changed, &monitor->mutex, &until);
}

/* A thread inherits its creator's mask, so all signals are blocked while it is made. They then reach the threads that handle
 * them. */
fr_status fr_monitor_thread(fr_ctx *ctx, const char *what, void *(*run)(void *argument),
                            void *argument, pthread_t *out)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(out, NULL, run, argument);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code == 0 ? FR_OK
                     : FR_FAIL(ctx, FR_ERR_INTERNAL,
                               "cannot start the thread that %s: %s; see ulimit -u",
                               what, strerror(code));
}
