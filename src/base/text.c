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
