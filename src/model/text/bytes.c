#include "model/text/bytes.h"

#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Doubles, so that adding takes constant time on average. */
fr_status fr_bytes_add(fr_ctx *ctx, fr_bytes *bytes, const char *data, size_t n)
{
    enum { SMALLEST = 64 };
    if (n > bytes->capacity - bytes->count) {
        size_t capacity = bytes->capacity > 0 ? bytes->capacity : SMALLEST;
        while (capacity - bytes->count < n) {
            if (capacity > SIZE_MAX / 2) {
                return fr_check_memory(ctx, false, SIZE_MAX);
            }
            capacity *= 2;
        }
        char *grown = realloc(bytes->data, capacity);
        if (grown == NULL) {
            return fr_check_memory(ctx, false, capacity);
        }
        bytes->data = grown;
        bytes->capacity = capacity;
    }
    if (n > 0) {
        memcpy(bytes->data + bytes->count, data, n);
    }
    bytes->count += n;
    return FR_OK;
}

void fr_bytes_fini(fr_bytes *bytes)
{
    free(bytes->data);
    *bytes = (fr_bytes){NULL, 0, 0};
}

fr_text fr_bytes_text(const fr_bytes *bytes)
{
    return (fr_text){bytes->data != NULL ? bytes->data : "", bytes->count};
}
