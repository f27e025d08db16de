/*
 * monitor.h - a mutex with a condition on the monotonic clock, and threads that no signal interrupts.
 */
#ifndef FR_SERVE_MONITOR_H
#define FR_SERVE_MONITOR_H

#include "base/ctx.h"

#include <pthread.h>

typedef struct fr_monitor {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
} fr_monitor;

/** FR_ERR_INTERNAL. */
FR_MUST_CHECK fr_status fr_monitor_open(fr_ctx *ctx, fr_monitor *monitor);
void fr_monitor_close(fr_monitor *monitor);

void fr_monitor_enter(fr_monitor *monitor);
void fr_monitor_leave(fr_monitor *monitor);
/** Within: wake who waits. */
void fr_monitor_tell(fr_monitor *monitor);
/** Within: wait until told, `ms` milliseconds at most; it may also return for no reason. */
void fr_monitor_wait(fr_monitor *monitor, int64_t ms);

/** Start a thread with all signals blocked. FR_ERR_INTERNAL. @param what  it does, for the message: "looks at prefixes" */
FR_MUST_CHECK fr_status fr_monitor_thread(fr_ctx *ctx, const char *what,
                                          void *(*run)(void *argument), void *argument,
                                          pthread_t *out);

#endif
