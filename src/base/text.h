/*
 * text.h - a piece of text that lies somewhere else: borrowed bytes and how many, with no NUL behind them.
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
