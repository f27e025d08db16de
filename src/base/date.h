/*
 * date.h - a moment as people write it.
 */
#ifndef FR_BASE_DATE_H
#define FR_BASE_DATE_H

#include <stdbool.h>
#include <time.h>

/** The forms that fr_date_read takes, for messages. */
#define FR_DATE_FORM "a date such as 2026-01-31, or with a time, 2026-01-31 14:30:00"

/** Reads "YYYY-MM-DD", or "YYYY-MM-DD HH:MM:SS" with a blank or a T between the two, as gmtime fills it: of the Gregorian calendar, years
 * 1 to 9999, without a time zone. False for anything else, and *out is then undefined. */
bool fr_date_read(const char *text, struct tm *out);

#endif
