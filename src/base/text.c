#include "base/text.h"

#include <string.h>

fr_text fr_text_of(const char *string)
{
    return (fr_text){string, strlen(string)};
}

bool fr_text_is(fr_text text, const char *string)
{
    size_t bytes = strlen(string);
    return text.bytes == bytes && (bytes == 0 || memcmp(text.data, string, bytes) == 0);
}

fr_text fr_text_trim(fr_text text)
{
    static const char SPACES[] = " \t\n\v\f\r";
    while (text.bytes > 0 && memchr(SPACES, text.data[0], sizeof SPACES - 1) != NULL) {
        text = (fr_text){text.data + 1, text.bytes - 1};
    }
    while (text.bytes > 0 &&
           memchr(SPACES, text.data[text.bytes - 1], sizeof SPACES - 1) != NULL) {
        text.bytes--;
    }
    return text;
}

/* How many bytes of `what` stand at the end of a text. */
static size_t n_same_at_end(fr_text in, fr_text what)
{
    size_t n = 0;
    while (n < what.bytes &&
           in.data[in.bytes - 1 - n] == what.data[what.bytes - 1 - n]) {
        n++;
    }
    return n;
}

/* A text of one letter would take the square of its length, hence the limit. */
bool fr_text_find_last(fr_text in, fr_text what, fr_text_span *out)
{
    enum { TIMES = 64 };
    size_t left = TIMES * (in.bytes + what.bytes);
    for (size_t at = in.bytes; what.bytes > 0 && at >= what.bytes; at--) {
        size_t same = n_same_at_end((fr_text){in.data, at}, what);
        if (same == what.bytes) {
            *out = (fr_text_span){at - what.bytes, at};
            return true;
        }
        if (same >= left) {
            return false;
        }
        left -= same;
    }
    return false;
}

bool fr_texts_differ(const char *a, const char *b)
{
    return (a == NULL) != (b == NULL) || (a != NULL && strcmp(a, b) != 0);
}
