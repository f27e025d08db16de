/* Rank lines that other ranks, or anybody, wrote, and what a report says of them. Parts: one line a rank. */
#include "comm/hang.h"
#include "fuzz/libfuzzer/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { N_RANKS = 3, TIMEOUT_MS = 600000 };

static bool is_printable(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (text[i] != '\n' && (text[i] < ' ' || text[i] > '~')) {
            return false;
        }
    }
    return true;
}

/* The part as a whole line: padded as the writer pads. */
static bool parse(fuzz_part part, fr_rank_line *out)
{
    char line[FR_RANK_LINE_BYTES];
    char again[FR_RANK_LINE_BYTES];
    fr_rank_line twice;
    size_t n = part.bytes < FR_RANK_LINE_BYTES ? part.bytes : FR_RANK_LINE_BYTES;
    memset(line, ' ', sizeof line);
    line[FR_RANK_LINE_BYTES - 1] = '\n';
    if (n > 0) {
        memcpy(line, part.data, n);
    }
    if (!fr_rank_line_parse(line, out)) {
        return false;
    }
    fr_rank_line_format(out, again);
    fuzz_check(fr_rank_line_parse(again, &twice) &&
                   memcmp(out, &twice, sizeof twice) == 0,
               "a slot that was read is written and read again");
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_part parts[N_RANKS];
    fr_sighting ranks[N_RANKS] = {{.line = {.rank = 0}}};
    int n = fuzz_split(data, size, parts, N_RANKS);
    for (int r = 0; r < N_RANKS; r++) {
        fr_rank_line slot;
        ranks[r].line.rank = r;
        if (r < n && parse(parts[r], &slot)) {
            ranks[r] = (fr_sighting){
                .line = slot, .is_known = true, .is_beating = slot.microbatch != 7};
            ranks[r].silent_ms = slot.pid == 7 ? TIMEOUT_MS : 0;
        }
    }
    size_t bytes = fr_hang_report_bytes(N_RANKS);
    char *report = malloc(bytes);
    fuzz_check(report != NULL, "memory");
    fr_hang hang = fr_hang_judge(ranks, N_RANKS, TIMEOUT_MS);
    if (hang != FR_HANG_NONE) {
        size_t used = fr_hang_report(hang, ranks, N_RANKS, TIMEOUT_MS,
                                     &FR_HANG_BY_FILES, report, bytes);
        fuzz_check(used < bytes && report[used] == '\0', "a report fits");
        fuzz_check(is_printable(report, used), "a report can be printed");
    }
    free(report);
    return 0;
}
