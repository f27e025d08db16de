#include "train/session/rank_sets.h"

#include <stdio.h>
#include <string.h>

/* The capacity is enough for every set with everything that may be asked for. */
static void add(char *out, size_t capacity, const char *text)
{
    size_t used = strlen(out);
    (void)snprintf(out + used, capacity - used, "%s", text);
}

static void add_name(char *out, size_t capacity, int isa)
{
    add(out, capacity, out[0] != '\0' ? ", " : "");
    add(out, capacity, fr_isa_name((fr_isa)isa));
}

void fr_rank_sets_names(const fr_rank_sets *sets, char out[FR_SET_NAMES])
{
    out[0] = '\0';
    for (int isa = 0; isa < FR_ISA_COUNT; isa++) {
        int64_t n = 0;
        for (int asked = 0; asked <= FR_ISA_COUNT; asked++) {
            n += sets->ranks[asked][isa];
        }
        if (n > 0) {
            add_name(out, FR_SET_NAMES, isa);
        }
    }
}

/* Kinds are pairs of a used set and the one asked for; FR_ISA_COUNT as `asked` means that none was asked for. */
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

/* The number of ranks is left out if all are alike, which is the usual case. */
void fr_rank_sets_text(const fr_rank_sets *sets, char out[FR_SETS_TEXT])
{
    enum { PIECE_BYTES = 80 };
    char piece[PIECE_BYTES];
    bool differ = count_kinds(sets) > 1;
    out[0] = '\0';
    for (int isa = 0; isa < FR_ISA_COUNT; isa++) {
        for (int asked = 0; asked <= FR_ISA_COUNT; asked++) {
            int64_t n = sets->ranks[asked][isa];
            if (n == 0) {
                continue;
            }
            add_name(out, FR_SETS_TEXT, isa);
            if (differ) {
                (void)snprintf(piece, sizeof piece, " on %lld rank%s", (long long)n,
                               n == 1 ? "" : "s");
                add(out, FR_SETS_TEXT, piece);
            }
            if (asked < FR_ISA_COUNT) {
                (void)snprintf(piece, sizeof piece, " (FORERUN_ISA=%s%s)",
                               fr_isa_name((fr_isa)asked),
                               asked > isa ? ", which the processor lacks" : "");
                add(out, FR_SETS_TEXT, piece);
            }
        }
    }
}
