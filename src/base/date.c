#include "base/date.h"

#include <string.h>

enum { DATE_BYTES = 10, TIME_BYTES = 8, WHOLE_BYTES = DATE_BYTES + 1 + TIME_BYTES };

/* A number of `digits` decimal digits; -1 if one of them is not one. */
static int read_number(const char *text, int digits)
{
    int number = 0;
    for (int i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        number = 10 * number + (text[i] - '0');
    }
    return number;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_of_month(int year, int month)
{
    static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return DAYS[month - 1] + (month == 2 && is_leap(year) ? 1 : 0);
}

static bool read_date(const char *text, struct tm *out)
{
    int year = read_number(text, 4);
    int month = read_number(text + 5, 2);
    int day = read_number(text + 8, 2);
    if (year < 1 || month < 1 || month > 12 || day < 1 ||
        day > days_of_month(year, month) || text[4] != '-' || text[7] != '-') {
        return false;
    }
    out->tm_year = year - 1900;
    out->tm_mon = month - 1;
    out->tm_mday = day;
    for (int m = 1; m < month; m++) {
        out->tm_yday += days_of_month(year, m);
    }
    out->tm_yday += day - 1;
    /* the first day of the year 1 is a Monday */
    int before = year - 1;
    out->tm_wday =
        (1 + 365 * before + before / 4 - before / 100 + before / 400 + out->tm_yday) %
        7;
    return true;
}

static bool read_time(const char *text, struct tm *out)
{
    out->tm_hour = read_number(text, 2);
    out->tm_min = read_number(text + 3, 2);
    out->tm_sec = read_number(text + 6, 2);
    return out->tm_hour >= 0 && out->tm_hour < 24 && out->tm_min >= 0 &&
           out->tm_min < 60 && out->tm_sec >= 0 && out->tm_sec < 60 && text[2] == ':' &&
           text[5] == ':';
}

bool fr_date_read(const char *text, struct tm *out)
{
    size_t bytes = strlen(text);
    *out = (struct tm){0};
    if (bytes != DATE_BYTES && bytes != WHOLE_BYTES) {
        return false;
    }
    bool has_time = bytes == WHOLE_BYTES;
    return read_date(text, out) &&
           (!has_time || ((text[DATE_BYTES] == ' ' || text[DATE_BYTES] == 'T') &&
                          read_time(text + DATE_BYTES + 1, out)));
}
