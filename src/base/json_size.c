#include "base/json_size.h"

/* Bytes of jansson 2.14 on 64-bit machines, heap headers and slots of the holder included. */
enum { LIST = 144, MAP = 256, TEXT = 96, MEMBER = 48 };

/* Bytes of the string that opens at text[at], up to and with its closing quote or the end. */
static size_t string_bytes(const char *text, size_t bytes, size_t at)
{
    size_t end = at + 1;
    while (end < bytes && text[end] != '"') {
        end += text[end] == '\\' ? 2 : 1;
    }
    return (end < bytes ? end + 1 : bytes) - at;
}

/* A comma stands for one more member or element. The walk ends once the limit is passed, so a huge text costs no
 * more than a large one. */
bool fr_json_fits(const char *text, size_t bytes)
{
    const size_t max = (size_t)FR_JSON_MAX_MIB << 20;
    size_t sum = bytes;
    for (size_t at = 0; at < bytes && sum <= max;) {
        size_t step = 1;
        switch (text[at]) {
        case '[':
            sum += LIST;
            break;
        case '{':
            sum += MAP;
            break;
        case ',':
            sum += MEMBER;
            break;
        case '"':
            step = string_bytes(text, bytes, at);
            sum += TEXT;
            break;
        default:
            break;
        }
        at += step;
    }
    return sum <= max;
}
