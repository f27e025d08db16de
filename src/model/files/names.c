#include "model/files/names.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Names in a damaged or hostile file can hold control sequences that a terminal would obey. */
fr_shown fr_show(fr_text name)
{
    static const char CUT[] = "...";
    fr_shown shown = {{0}};
    size_t capacity = sizeof shown.text - sizeof CUT;
    size_t bytes = name.bytes < capacity ? name.bytes : capacity;
    for (size_t i = 0; i < bytes; i++) {
        char c = name.data[i];
        shown.text[i] = c >= ' ' && c <= '~' ? c : '?';
    }
    if (bytes < name.bytes) {
        memcpy(shown.text + bytes, CUT, sizeof CUT);
    }
    return shown;
}

/* Order of bytes; a shorter text comes before its continuations. */
static int compare_texts(const fr_text *a, const fr_text *b)
{
    size_t common = a->bytes < b->bytes ? a->bytes : b->bytes;
    int order = common > 0 ? memcmp(a->data, b->data, common) : 0;
    if (order != 0) {
        return order;
    }
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static int compare_entries(const void *a, const void *b)
{
    const fr_text *const *x = a;
    const fr_text *const *y = b;
    return compare_texts(*x, *y);
}

fr_status fr_names_sort(fr_ctx *ctx, const void *entries, int64_t count, size_t stride,
                        const fr_text ***index)
{
    FR_TRY(fr_alloc(ctx, count, sizeof(fr_text *), index));
    for (int64_t i = 0; i < count; i++) {
        (*index)[i] = (const void *)((const char *)entries + (size_t)i * stride);
    }
    qsort(*index, (size_t)count, sizeof(fr_text *), compare_entries);
    return FR_OK;
}

const fr_text *fr_names_duplicate(const fr_text *const *index, int64_t count)
{
    for (int64_t i = 1; i < count; i++) {
        if (compare_texts(index[i - 1], index[i]) == 0) {
            return index[i];
        }
    }
    return NULL;
}

const void *fr_names_find_text(const fr_text *const *index, int64_t count, fr_text name)
{
    const fr_text *key = &name;
    if (count == 0) {
        return NULL;
    }
    const fr_text *const *found =
        bsearch(&key, index, (size_t)count, sizeof *index, compare_entries);
    return found != NULL ? *found : NULL;
}

const void *fr_names_find(const fr_text *const *index, int64_t count, const char *name)
{
    return fr_names_find_text(index, count, fr_text_of(name));
}
