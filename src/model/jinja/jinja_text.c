/* The arena that trees and values lie in, and white space as Python defines it. */
#include "model/jinja/jinja_tree.h"

#include "base/mem.h"
#include "base/print.h"

#include <stdlib.h>
#include <string.h>

/* Memory is allocated in chunks: large enough that most templates need a few, small enough not to waste much on a tiny one.
 * A larger object has its own chunk. */
enum { CHUNK_BYTES = 1 << 16, ALIGNMENT = 16, MIB = 1 << 20 };

struct fr_jinja_chunk {
    fr_jinja_chunk *next;
    char pad[ALIGNMENT - sizeof(void *)];
    char data[];
};

static fr_status add_chunk(fr_jinja_arena *arena, size_t bytes)
{
    fr_jinja_chunk *chunk = NULL;
    size_t capacity = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    FR_TRY(fr_alloc(arena->ctx, (int64_t)(sizeof *chunk + capacity), 1, &chunk));
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->next = chunk->data;
    arena->left = capacity;
    return FR_OK;
}

fr_status fr_jinja_new(fr_jinja_arena *arena, int32_t line, size_t bytes, void *out)
{
    if (bytes > arena->max - arena->used) {
        return FR_FAIL(arena->ctx, FR_ERR_UNSUPPORTED,
                       "line %d: the template needs more than %zu MiB of memory", line,
                       arena->max / MIB);
    }
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (bytes > arena->left) {
        FR_TRY(add_chunk(arena, bytes));
    }
    void *made = arena->next;
    arena->next += bytes;
    arena->left -= bytes;
    arena->used += bytes < arena->max - arena->used ? bytes : arena->max - arena->used;
    memcpy(out, &made, sizeof made);
    return FR_OK;
}

void fr_jinja_arena_fini(fr_jinja_arena *arena)
{
    while (arena->chunks != NULL) {
        fr_jinja_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        free(chunk);
    }
    arena->next = NULL;
    arena->left = 0;
}

static bool is_space(uint32_t code)
{
    static const uint32_t SINGLE[] = {0x20,   0x85,   0xA0,   0x1680, 0x2028,
                                      0x2029, 0x202F, 0x205F, 0x3000};
    for (size_t i = 0; i < sizeof SINGLE / sizeof *SINGLE; i++) {
        if (code == SINGLE[i]) {
            return true;
        }
    }
    return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x1F) ||
           (code >= 0x2000 && code <= 0x200A);
}

size_t fr_jinja_space(const char *text, size_t bytes)
{
    uint32_t code = 0;
    size_t step = bytes > 0 ? fr_utf8_next(text, bytes, &code) : 0;
    return step > 0 && is_space(code) ? step : 0;
}

/* Bytes of the last character. */
static size_t last_character(fr_text text)
{
    size_t step = 1;
    while (step < text.bytes && (text.data[text.bytes - step] & 0xC0) == 0x80) {
        step++;
    }
    return step;
}

fr_text fr_jinja_strip(fr_text text, bool left, bool right)
{
    while (left && text.bytes > 0) {
        size_t step = fr_jinja_space(text.data, text.bytes);
        if (step == 0) {
            break;
        }
        text = (fr_text){text.data + step, text.bytes - step};
    }
    while (right && text.bytes > 0) {
        size_t step = last_character(text);
        if (fr_jinja_space(text.data + text.bytes - step, step) == 0) {
            break;
        }
        text.bytes -= step;
    }
    return text;
}
