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

/** Bytes of a text: those from `begin` up to `end`. */
typedef struct fr_text_span {
    size_t begin;
    size_t end;
} fr_text_span;

/** View of a NUL-terminated string. */
fr_text fr_text_of(const char *string);
/** The text without white space of ASCII at its ends. */
fr_text fr_text_trim(fr_text text);
/** The last place where `what` stands in a text; false if it is empty or not there, or if the search would compare more than some 64
 * times what both have. */
bool fr_text_find_last(fr_text in, fr_text what, fr_text_span *out);
/** Whether the text is these bytes. */
bool fr_text_is(fr_text text, const char *string);

/** Whether two texts differ; a missing one (NULL) equals only a missing one. */
bool fr_texts_differ(const char *a, const char *b);

#endif
