/*
 * part_name.h - names of files that are parts of one set: NAME-00002-of-00003.gguf, or the same with another ending.
 */
#ifndef FR_MODEL_FILES_PART_NAME_H
#define FR_MODEL_FILES_PART_NAME_H

#include "base/ctx.h"

#include <stdint.h>

/** Five digits hold no larger count. */
enum { FR_MAX_PARTS = 99999 };

typedef struct fr_part_name {
    size_t stem;    /* bytes of the path in front of "-00002-of-" */
    int64_t number; /* 1 to count */
    int64_t count;
} fr_part_name;

/** Read the end of a path; false if it is not that of a part. `ending` begins with the dot: ".gguf". */
bool fr_part_name_read(const char *path, const char *ending, fr_part_name *out);

/** The path of part `number` of the same set; the caller frees. */
FR_MUST_CHECK fr_status fr_part_path(fr_ctx *ctx, const char *path,
                                     const fr_part_name *name, const char *ending,
                                     int64_t number, char **out);

/** The first part that is not there, a link that leads nowhere among them; 0: all are. */
FR_MUST_CHECK fr_status fr_part_missing(fr_ctx *ctx, const char *path,
                                        const fr_part_name *name, const char *ending,
                                        int64_t *number);

#endif
