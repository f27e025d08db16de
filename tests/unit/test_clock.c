#include "base/clock.h"
#include "support/suite.h"

static void the_monotonic_clock_never_goes_back(void)
{
    int64_t ns = fr_clock_ns();
    for (int i = 0; i < 10000; i++) {
        int64_t next = fr_clock_ns();
        CU_ASSERT_TRUE(next >= ns);
        ns = next;
    }
}

static void units_are_those_of_one_clock(void)
{
    int64_t ns = fr_clock_ns();
    int64_t ms = fr_clock_ms();
    double seconds = fr_clock_seconds();
    int64_t end = fr_clock_ns();
    CU_ASSERT_TRUE(ms >= ns / 1000000 && ms <= end / 1000000);
    CU_ASSERT_TRUE(seconds >= 1e-9 * (double)ns - 1e-6);
    CU_ASSERT_TRUE(seconds <= 1e-9 * (double)end + 1e-6);
}

static void the_wall_clock_counts_from_1970(void)
{
    const int64_t year_2020 = 1577836800;
    CU_ASSERT_TRUE(fr_clock_wall_ns() / 1000000000 > year_2020);
}

static void a_sleep_takes_its_time_but_no_processor(void)
{
    enum { PAUSE_NS = 20000000 };
    int64_t began = fr_clock_ns();
    double processor = fr_clock_thread_seconds();
    fr_sleep_ns(PAUSE_NS);
    CU_ASSERT_TRUE(fr_clock_ns() - began >= PAUSE_NS);
    CU_ASSERT_TRUE(fr_clock_thread_seconds() - processor < 1e-9 * PAUSE_NS);
}

static int64_t nanoseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + (int64_t)time.tv_nsec;
}

static void a_time_ahead_is_a_valid_one(void)
{
    static const int64_t MS[] = {0, 1, 999, 1000, 1001, 123456};
    for (size_t i = 0; i < sizeof MS / sizeof MS[0]; i++) {
        int64_t before = fr_clock_ns();
        struct timespec time = fr_clock_after(MS[i]);
        int64_t after = fr_clock_ns();
        CU_ASSERT_TRUE(time.tv_nsec >= 0 && time.tv_nsec < 1000000000);
        CU_ASSERT_TRUE(nanoseconds(time) >= before + MS[i] * 1000000);
        CU_ASSERT_TRUE(nanoseconds(time) <= after + MS[i] * 1000000);
    }
}

static const fr_case CASES[] = {
    FR_CASE(the_monotonic_clock_never_goes_back),
    FR_CASE(units_are_those_of_one_clock),
    FR_CASE(the_wall_clock_counts_from_1970),
    FR_CASE(a_sleep_takes_its_time_but_no_processor),
    FR_CASE(a_time_ahead_is_a_valid_one),
};

int main(int argc, char **argv)
{
    return fr_suite_main("clock", CASES, FR_N_CASES(CASES), argc, argv);
}
