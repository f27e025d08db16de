/* strftime_now: the time that is given, as Python's strftime writes it in the C locale. */
#include "model/jinja/jinja_call.h"

#include <stdio.h>
#include <string.h>

static const char *const DAYS[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};
static const char *const MONTHS[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

/* A directive that is a number: its value and the digits that it is filled up to with zeros; 0 digits: it is none. */
static int number_of(const struct tm *t, char letter, int *digits)
{
    enum { MONDAY_LAST = 6 };
    *digits = letter == 'Y' ? 4 : letter == 'j' ? 3 : letter == 'w' ? 1 : 2;
    switch (letter) {
    case 'Y':
        return t->tm_year + 1900;
    case 'y':
        return t->tm_year % 100;
    case 'm':
        return t->tm_mon + 1;
    case 'd':
        return t->tm_mday;
    case 'j':
        return t->tm_yday + 1;
    case 'H':
        return t->tm_hour;
    case 'I':
        return (t->tm_hour + 11) % 12 + 1;
    case 'M':
        return t->tm_min;
    case 'S':
        return t->tm_sec;
    case 'w':
        return t->tm_wday;
    case 'U': /* weeks that begin on Sunday */
        return (t->tm_yday + 7 - t->tm_wday) / 7;
    case 'W': /* on Monday */
        return (t->tm_yday + 7 - (t->tm_wday + MONDAY_LAST) % 7) / 7;
    default:
        *digits = 0;
        return 0;
    }
}

/* A directive that is a word, as the C locale has it; of NULL it is none. */
static const char *word_of(const struct tm *t, char letter)
{
    switch (letter) {
    case 'a':
    case 'A':
        return DAYS[t->tm_wday];
    case 'b':
    case 'B':
        return MONTHS[t->tm_mon];
    case 'p':
        return t->tm_hour < 12 ? "AM" : "PM";
    case '%':
        return "%";
    default:
        return NULL;
    }
}

/* Writes the directive that stands behind '%' in `rest`; *bytes of it are read, 0: it is not supported. Those that tell of zones,
 * fractions or the locale are not. A '-' leaves out zeros in front. */
static fr_status write_directive(fr_jinja_machine *m, fr_jinja_writer *w, fr_text rest,
                                 size_t *bytes)
{
    enum { LONGEST = 24 };
    char number[LONGEST];
    int digits = 0;
    bool bare = rest.bytes > 0 && rest.data[0] == '-';
    char letter = rest.bytes > bare ? rest.data[bare] : '\0';
    int counted = number_of(m->clock, letter, &digits);
    const char *word = word_of(m->clock, letter);
    *bytes = 0;
    if (digits > 0) {
        (void)snprintf(number, sizeof number, "%0*d", bare ? 1 : digits, counted);
        *bytes = bare + (size_t)1;
        return fr_jinja_write(m, w, number, strlen(number));
    }
    if (word == NULL || bare) {
        return FR_OK;
    }
    *bytes = 1;
    return fr_jinja_write(m, w, word,
                          letter == 'a' || letter == 'b' ? 3 : strlen(word));
}

fr_status fr_jinja_tell_time(fr_jinja_machine *m, const fr_jinja_arguments *arguments,
                             fr_jinja_value *out)
{
    const fr_jinja_value *format = fr_jinja_argument(arguments, 0, "format");
    fr_jinja_writer w = {0};
    if (format == NULL || format->type != FR_JINJA_IS_STRING) {
        return fr_jinja_fail(m, "strftime_now takes a format");
    }
    if (m->clock == NULL) {
        return fr_jinja_fail(m,
                             "strftime_now asks for the time, and no clock is given; "
                             "set one (chat.clock, --chat-clock)");
    }
    const fr_text text = format->as.text;
    for (size_t at = 0, step = 0; at < text.bytes; at += step) {
        step = 1;
        if (text.data[at] != '%') {
            FR_TRY(fr_jinja_write(m, &w, text.data + at, 1));
            continue;
        }
        const fr_text rest = {text.data + at + 1, text.bytes - at - 1};
        FR_TRY(write_directive(m, &w, rest, &step));
        if (step++ == 0) {
            return fr_jinja_fail(m, "strftime_now does not support '%.*s' in a format",
                                 rest.bytes < 2 ? (int)rest.bytes + 1 : 3,
                                 text.data + at);
        }
    }
    return fr_jinja_written(m, &w, out);
}
