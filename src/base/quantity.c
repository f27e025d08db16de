#include "base/quantity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Factor of a unit; 0: there is no such unit. */
static double factor_of(const char *unit)
{
    static const char LETTERS[] = "KMGTP";
    static const char SMALL[] = "kmgtp";
    if (unit[0] == '\0' || strcmp(unit, "B") == 0) {
        return 1.0;
    }
    const char *letter = strchr(LETTERS, unit[0]);
    int power = letter != NULL ? (int)(letter - LETTERS) + 1 : 0;
    if (letter == NULL) {
        letter = strchr(SMALL, unit[0]);
        power = letter != NULL ? (int)(letter - SMALL) + 1 : 0;
    }
    bool binary = unit[1] == '\0' || strcmp(unit + 1, "iB") == 0;
    if (power == 0 || (!binary && strcmp(unit + 1, "B") != 0)) {
        return 0.0;
    }
    double factor = 1.0;
    for (int i = 0; i < power; i++) {
        factor *= binary ? 1024.0 : 1000.0;
    }
    return factor;
}

/* 2^60 bytes are beyond any memory, and far enough below 2^63 that sums of sizes do not overflow. */
bool fr_size_read(const char *text, int64_t *out)
{
    static const char NUMBER[] = "0123456789.";
    char *end = NULL;
    /* strtod would also take signs, spaces, hexadecimal numbers and words */
    if (text[0] == '\0' || strchr(NUMBER, text[0]) == NULL || text[1] == 'x' ||
        text[1] == 'X') {
        return false;
    }
    double value = strtod(text, &end);
    if (end == text) {
        return false;
    }
    end += end[0] == ' ' && end[1] != '\0';
    value *= factor_of(end);
    if (!(value >= 1.0 && value < 0x1p60)) {
        return false;
    }
    *out = (int64_t)value;
    return true;
}

/* Powers of 1024 with their standard names, since memory comes in these. */
void fr_size_text(double bytes, char out[FR_SIZE_BYTES])
{
    static const char *const UNITS[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    enum { N_UNITS = sizeof UNITS / sizeof UNITS[0] };
    int unit = 0;
    while (bytes >= 1024.0 && unit < N_UNITS - 1) {
        bytes /= 1024.0;
        unit++;
    }
    (void)snprintf(out, FR_SIZE_BYTES, unit == 0 ? "%.0f %s" : "%.2f %s", bytes,
                   UNITS[unit]);
}
