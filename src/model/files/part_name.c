#include "model/files/part_name.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "-00002-of-00003" */
enum { DIGITS = 5, MARK_BYTES = 4, TAIL_BYTES = 1 + DIGITS + MARK_BYTES + DIGITS };

/* Exactly five digits, as every writer of parts makes them; -1 for anything else. */
static int64_t read_digits(const char *at)
{
    int64_t value = 0;
    for (int i = 0; i < DIGITS; i++) {
        if (at[i] < '0' || at[i] > '9') {
            return -1;
        }
        value = 10 * value + (at[i] - '0');
    }
    return value;
}

bool fr_part_name_read(const char *path, const char *ending, fr_part_name *out)
{
    static const char MARK[] = "-of-";
    size_t bytes = strlen(path);
    size_t n_ending = strlen(ending);
    if (bytes < n_ending + TAIL_BYTES || strcmp(path + bytes - n_ending, ending) != 0) {
        return false;
    }
    size_t stem = bytes - n_ending - TAIL_BYTES;
    const char *tail = path + stem;
    if (tail[0] != '-' || memcmp(tail + 1 + DIGITS, MARK, MARK_BYTES) != 0) {
        return false;
    }
    int64_t number = read_digits(tail + 1);
    int64_t count = read_digits(tail + 1 + DIGITS + MARK_BYTES);
    *out = (fr_part_name){.stem = stem, .number = number, .count = count};
    return number >= 1 && number <= count;
}

fr_status fr_part_path(fr_ctx *ctx, const char *path, const fr_part_name *name,
                       const char *ending, int64_t number, char **out)
{
    size_t bytes = name->stem + TAIL_BYTES + strlen(ending) + 1;
    FR_TRY(fr_alloc(ctx, (int64_t)bytes, 1, out));
    memcpy(*out, path, name->stem);
    (void)snprintf(*out + name->stem, bytes - name->stem, "-%05d-of-%05d%s",
                   (int)(number % (FR_MAX_PARTS + 1)),
                   (int)(name->count % (FR_MAX_PARTS + 1)), ending);
    return FR_OK;
}

fr_status fr_part_missing(fr_ctx *ctx, const char *path, const fr_part_name *name,
                          const char *ending, int64_t *number)
{
    *number = 0;
    for (int64_t i = 1; i <= name->count && *number == 0; i++) {
        char *part = NULL;
        FR_TRY(fr_part_path(ctx, path, name, ending, i, &part));
        *number = fr_file_exists(part) ? 0 : i;
        free(part);
    }
    return FR_OK;
}
