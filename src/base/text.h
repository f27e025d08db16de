/*
 * text.h - a borrowed piece of a text: where it begins and its length, without a final NUL.
 */
#ifndef FR_BASE_TEXT_H
#define FR_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct fr_text {
    const char *data;
    size_t bytes;
} fr_text;

/** View of a NUL-terminated string. */
fr_text fr_text_of(const char *string);
/** Whether the text is these bytes. */
bool fr_text_is(fr_text text, const char *string);

#endif
