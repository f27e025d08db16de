#include "base/json_out.h"

#include "base/print.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *fr_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* jansson refuses text that is not UTF-8. Only then is the text rebuilt, each wrong byte as \xHH, which takes four
 * characters. */
json_t *fr_json_string(const char *text)
{
    enum { ESCAPED = 4 };
    json_t *string = json_string(text);
    size_t bytes = strlen(text);
    size_t used = 0;
    if (string != NULL || bytes > SIZE_MAX / ESCAPED - 1) {
        return string;
    }
    char *shown = malloc(ESCAPED * bytes + 1);
    if (shown == NULL) {
        return NULL;
    }
    for (size_t at = 0; at < bytes;) {
        uint32_t code = 0;
        size_t step = fr_utf8_next(text + at, bytes - at, &code);
        if (step > 0) {
            memcpy(shown + used, text + at, step);
            used += step;
        } else {
            used += (size_t)snprintf(shown + used, ESCAPED + 1, "\\x%02x",
                                     (unsigned char)text[at]);
            step = 1;
        }
        at += step;
    }
    string = json_stringn(shown, used);
    free(shown);
    return string;
}
