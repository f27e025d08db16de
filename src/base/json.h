/*
 * json.h - a walk over JSON text in place: no tree, no allocation, bounded depth.
 *
 * For text from outside whose structure the caller knows, such as a checkpoint's header. It accepts less than JSON allows:
 * ASCII alone, space as the only white space, keys without escapes, compared byte by byte. Pieces point into the text.
 */
#ifndef FR_BASE_JSON_H
#define FR_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Deepest nesting of a value that is stepped over. */
enum { FR_JSON_DEPTH = 8 };

/** A part of the text: of a value, all of it without white space around; of a key, what is between its quotes. */
typedef struct fr_json {
    const char *text;
    size_t bytes;
} fr_json;

/** A walk through one object or array. */
typedef struct fr_json_walk {
    const char *next;
    const char *end;
    char close;   /* '}' or ']' */
    bool started; /* something was taken: a comma must come */
    bool ended;   /* at its closing bracket, which ends the text */
} fr_json_walk;

/** Begin with an object (open '{') or array ('['); false unless the text begins as one. */
bool fr_json_enter(fr_json value, char open, fr_json_walk *out);

/** The next member of an object. False at the end (walk->ended) and where the text is not JSON (not ended). */
bool fr_json_member(fr_json_walk *walk, fr_json *key, fr_json *value);
/** The next element of an array, likewise. */
bool fr_json_element(fr_json_walk *walk, fr_json *value);

bool fr_json_is(fr_json piece, const char *text);

/** A whole number without fraction or exponent that fits; false otherwise. */
bool fr_json_i64(fr_json value, int64_t *out);
bool fr_json_u64(fr_json value, uint64_t *out);

/**
 * A string whose characters are U+0001 to U+00FF, each one byte of the result.
 * @param out  holds value.bytes; gets a final NUL
 * @return false if it is not a string or holds another character
 */
bool fr_json_text(fr_json value, char *out);

/** Bytes that fr_json_quote writes for a text. */
size_t fr_json_quoted_bytes(const char *text);
/** Write a text of any bytes but NUL as fr_json_text reads it, without a final NUL; the end of what was written. */
char *fr_json_quote(const char *text, char *out);

/** Text of a number with up to nine significant digits, in its shortest form; "null" for what JSON cannot hold (NaN,
 * infinities). `out` has FR_JSON_NUMBER_BYTES. @return out */
enum { FR_JSON_NUMBER_BYTES = 32 };
const char *fr_json_number(double value, char out[FR_JSON_NUMBER_BYTES]);

#endif
