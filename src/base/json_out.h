/*
 * json_out.h - values for JSON that is always JSON.
 *
 * Layer L3; jansson, which gives NULL for what JSON cannot hold, and then for all that the value is packed into.
 */
#ifndef FR_BASE_JSON_OUT_H
#define FR_BASE_JSON_OUT_H

#include <jansson.h>

/** A number; null where JSON has none (NaN, infinities). */
json_t *fr_json_real(double value);

/** A text; bytes that are no UTF-8 (of a file's name, of a text that was cut) are shown as \xHH. */
json_t *fr_json_string(const char *text);

#endif
