#include "train/rank_sets.h"

#include <stdarg.h>
#include <stdio.h>

static void add(char *out, size_t room, size_t *used, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The room is enough for every set and every wish. */
static void add(char *out, size_t room, size_t *used, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(out + *used, room - *used, format, arguments);
    va_end(arguments);
    *used += n > 0 && (size_t)n < room - *used ? (size_t)n : 0;
}

void fr_rank_sets_names(const fr_rank_sets *sets, char out[FR_SET_NAMES])
{
    size_t used = 0;
    out[0] = '\0';
    for (int isa = 0; isa < FR_ISA_COUNT; isa++) {
        int64_t n = 0;
        for (int asked = 0; asked <= FR_ISA_COUNT; asked++) {
            n += sets->ranks[asked][isa];
        }
        if (n > 0) {
            add(out, FR_SET_NAMES, &used, "%s%s", used > 0 ? ", " : "",
                fr_isa_name((fr_isa)isa));
        }
    }
}

static int count_kinds(const fr_rank_sets *sets)
{
    int kinds = 0;
    for (int isa = 0; isa < FR_ISA_COUNT; isa++) {
        for (int asked = 0; asked <= FR_ISA_COUNT; asked++) {
            kinds += sets->ranks[asked][isa] > 0;
        }
    }
    return kinds;
}

void fr_rank_sets_text(const fr_rank_sets *sets, char out[FR_SETS_TEXT])
{
    bool differ = count_kinds(sets) > 1;
    size_t used = 0;
    out[0] = '\0';
    for (int isa = 0; isa < FR_ISA_COUNT; isa++) {
        for (int asked = 0; asked <= FR_ISA_COUNT; asked++) {
            int64_t n = sets->ranks[asked][isa];
            if (n == 0) {
                continue;
            }
            add(out, FR_SETS_TEXT, &used, "%s%s", used > 0 ? ", " : "",
                fr_isa_name((fr_isa)isa));
            if (differ) {
                add(out, FR_SETS_TEXT, &used, " on %lld rank%s", (long long)n,
                    n == 1 ? "" : "s");
            }
            if (asked < FR_ISA_COUNT) {
                add(out, FR_SETS_TEXT, &used, " (FORERUN_ISA=%s%s)",
                    fr_isa_name((fr_isa)asked),
                    asked > isa ? ", which the processor lacks" : "");
            }
        }
    }
}
