/*
 * clock.h - the only readers of the computer's clocks, and the only place that sleeps.
 *
 * Durations come from the monotonic clock, which never jumps; its zero is arbitrary and differs between hosts. Times that
 * people read or that are compared with times of files come from the wall clock. Every function may be called by any thread.
 */
#ifndef FR_BASE_CLOCK_H
#define FR_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/** The monotonic clock, in nanoseconds, milliseconds and seconds. */
int64_t fr_clock_ns(void);
int64_t fr_clock_ms(void);
double fr_clock_seconds(void);

/** Nanoseconds since the beginning of 1970, UTC. */
int64_t fr_clock_wall_ns(void);

/** Processor time that the calling thread has used, in seconds. */
double fr_clock_thread_seconds(void);

/** The monotonic time `ms` milliseconds from now: for pthread_cond_timedwait on a condition whose clock is
 * CLOCK_MONOTONIC. */
struct timespec fr_clock_after(int64_t ms);

/** Sleep that long; a signal may end the sleep earlier. */
void fr_sleep_ns(int64_t ns);

#endif
