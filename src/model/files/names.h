/*
 * names.h - find entries of a directory by name, and show names from files in messages.
 *
 * A directory is an array of structs whose first member is an fr_text. Its index is an array of pointers to those
 * members, sorted by bytes.
 */
#ifndef FR_MODEL_FILES_NAMES_H
#define FR_MODEL_FILES_NAMES_H

#include "base/ctx.h"
#include "base/text.h"

#include <stdint.h>

/** Bytes of a shown name with its NUL: a message stays within about a line of a terminal. */
enum { FR_SHOWN_BYTES = 100 };

/** A name as printable ASCII. Any other byte is shown as '?'; a long name is cut and ends in "...". */
typedef struct fr_shown {
    char text[FR_SHOWN_BYTES];
} fr_shown;
fr_shown fr_show(fr_text name);

/**
 * Sort pointers to the first members of `count` structs of `stride` bytes.
 *
 * @param[out] index  `count` pointers, freed by the caller
 */
FR_MUST_CHECK fr_status fr_names_sort(fr_ctx *ctx, const void *entries, int64_t count,
                                      size_t stride, const fr_text ***index);

/** A name that occurs twice in the index; NULL if there is none. */
const fr_text *fr_names_duplicate(const fr_text *const *index, int64_t count);

/** The entry of that name (a pointer to its struct); NULL if there is none. */
const void *fr_names_find(const fr_text *const *index, int64_t count, const char *name);
const void *fr_names_find_text(const fr_text *const *index, int64_t count,
                               fr_text name);

#endif
