#define _POSIX_C_SOURCE 200809L
#include "base/clock.h"

enum { NS_PER_SECOND = 1000000000, NS_PER_MS = 1000000, MS_PER_SECOND = 1000 };

/* The clocks named here exist on every system that the program runs on, so the call cannot fail. */
static struct timespec read_clock(clockid_t clock)
{
    struct timespec now = {0, 0};
    (void)clock_gettime(clock, &now);
    return now;
}

static int64_t nanoseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * NS_PER_SECOND + (int64_t)time.tv_nsec;
}

static double seconds(struct timespec time)
{
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int64_t fr_clock_ns(void)
{
    return nanoseconds(read_clock(CLOCK_MONOTONIC));
}

int64_t fr_clock_ms(void)
{
    return fr_clock_ns() / NS_PER_MS;
}

double fr_clock_seconds(void)
{
    return seconds(read_clock(CLOCK_MONOTONIC));
}

int64_t fr_clock_wall_ns(void)
{
    return nanoseconds(read_clock(CLOCK_REALTIME));
}

/* Processor time of this thread alone: it stands still while the thread waits. */
double fr_clock_thread_seconds(void)
{
    return seconds(read_clock(CLOCK_THREAD_CPUTIME_ID));
}

/* Milliseconds and nanoseconds are added apart, so that tv_nsec stays below a second. */
struct timespec fr_clock_after(int64_t ms)
{
    struct timespec time = read_clock(CLOCK_MONOTONIC);
    int64_t ns = (int64_t)time.tv_nsec + ms % MS_PER_SECOND * NS_PER_MS;
    time.tv_sec += (time_t)(ms / MS_PER_SECOND + ns / NS_PER_SECOND);
    time.tv_nsec = (long)(ns % NS_PER_SECOND);
    return time;
}

/* A signal may end the sleep early. Callers sleep in loops that test what they wait for, so that does no harm. */
void fr_sleep_ns(int64_t ns)
{
    const struct timespec pause = {(time_t)(ns / NS_PER_SECOND),
                                   (long)(ns % NS_PER_SECOND)};
    (void)nanosleep(&pause, NULL);
}
