/*
 * json_out.h - values for jansson that are always valid JSON.
 *
 * For what JSON cannot hold jansson gives NULL, and then NULL for everything that the value is packed into.
 */
#ifndef FR_BASE_JSON_OUT_H
#define FR_BASE_JSON_OUT_H

#include <jansson.h>

/** A number; null where JSON has none (NaN, infinities). */
json_t *fr_json_real(double value);

/** A text; bytes that are not UTF-8 (in a file's name, or where a text was cut) are written as \xHH. */
json_t *fr_json_string(const char *text);

#endif
