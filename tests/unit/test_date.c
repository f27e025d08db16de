#define _GNU_SOURCE /* timegm */
#include "base/date.h"

#include "support/suite.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES = 64 };

/* The first and the last day of each month, as the C library counts them. */
static void dates_are_those_of_the_calendar(void)
{
    static const int DAYS[] = {1, 28, 29, 30, 31};
    int n = 0;
    for (int year = 1; year < 10000; year += year < 1600 ? 37 : 1) {
        for (int i = 0; i < 12 * 5; i++) {
            char text[TEXT_BYTES];
            struct tm got;
            struct tm wanted = {.tm_year = year - 1900,
                                .tm_mon = i / 5,
                                .tm_mday = DAYS[i % 5],
                                .tm_hour = 23,
                                .tm_min = 59,
                                .tm_sec = i % 60};
            (void)snprintf(text, sizeof text, "%04d-%02d-%02d%c23:59:%02d", year,
                           i / 5 + 1, DAYS[i % 5], i % 2 == 0 ? ' ' : 'T', i % 60);
            (void)timegm(&wanted);
            /* a day beyond the month's end becomes one of the next */
            bool exists = wanted.tm_mday == DAYS[i % 5];
            CU_ASSERT_EQUAL_FATAL(fr_date_read(text, &got), exists);
            if (exists) {
                n++;
                CU_ASSERT_EQUAL_FATAL(got.tm_year, wanted.tm_year);
                CU_ASSERT_EQUAL_FATAL(got.tm_mon, wanted.tm_mon);
                CU_ASSERT_EQUAL_FATAL(got.tm_mday, wanted.tm_mday);
                CU_ASSERT_EQUAL_FATAL(got.tm_wday, wanted.tm_wday);
                CU_ASSERT_EQUAL_FATAL(got.tm_yday, wanted.tm_yday);
                CU_ASSERT_EQUAL_FATAL(got.tm_hour, 23);
                CU_ASSERT_EQUAL_FATAL(got.tm_min, 59);
                CU_ASSERT_EQUAL_FATAL(got.tm_sec, i % 60);
            }
        }
    }
    CU_ASSERT_TRUE(n > 400000);
}

static void a_date_alone_is_its_midnight(void)
{
    struct tm got;
    CU_ASSERT_TRUE(fr_date_read("2026-01-31", &got));
    CU_ASSERT_EQUAL(got.tm_hour + got.tm_min + got.tm_sec, 0);
    CU_ASSERT_EQUAL(got.tm_yday, 30);
    CU_ASSERT_EQUAL(got.tm_wday, 6);
}

static void anything_else_is_refused(void)
{
    static const char *const TEXTS[] = {"",
                                        "today",
                                        "2026",
                                        "2026-1-31",
                                        "0000-01-01",
                                        "2026-13-01",
                                        "2026-00-10",
                                        "2026-01-00",
                                        "2026/01/31",
                                        "31-01-2026",
                                        "2026-01-31 ",
                                        "2026-01-31 24:00:00",
                                        "2026-01-31 23:60:00",
                                        "2026-01-31 23:59:60",
                                        "2026-01-31 23:59",
                                        "2026-01-31_23:59:59",
                                        "2026-01-31 23-59-59",
                                        "2026-01-31 -1:59:59",
                                        "2026-01-31T23:59:59Z",
                                        "+026-01-31"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        struct tm got;
        CU_ASSERT_FALSE(fr_date_read(TEXTS[i], &got));
    }
}

static const fr_case CASES[] = {
    FR_CASE(dates_are_those_of_the_calendar),
    FR_CASE(a_date_alone_is_its_midnight),
    FR_CASE(anything_else_is_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("date", CASES, FR_N_CASES(CASES), argc, argv);
}
