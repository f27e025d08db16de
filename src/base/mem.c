#define _DEFAULT_SOURCE /* madvise */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

bool fr_mul_i64(int64_t a, int64_t b, int64_t *out)
{
    if (a < 0 || b < 0 || (b != 0 && a > INT64_MAX / b)) {
        return false;
    }
    *out = a * b;
    return true;
}

enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };

/* Memory of more than `bytes`, a multiple of `alignment`; its size in *padded. */
static fr_status allocate(fr_ctx *ctx, int64_t bytes, size_t alignment, void *out,
                          size_t *padded)
{
    *padded = ((size_t)bytes / alignment + 1) * alignment;
    void *memory = aligned_alloc(alignment, *padded);
    memcpy(out, &memory, sizeof memory);
    return fr_check_memory(ctx, memory != NULL, *padded);
}

fr_status fr_alloc(fr_ctx *ctx, int64_t count, size_t size, void *out)
{
    void *memory = NULL;
    int64_t bytes = 0;
    size_t padded = 0;
    memcpy(out, &memory, sizeof memory);
    if (!fr_mul_i64(count, (int64_t)size, &bytes) || bytes > INT64_MAX - ALIGNMENT) {
        return FR_FAIL(ctx, FR_ERR_NO_MEMORY,
                       "allocation of %lld elements of %zu bytes overflows",
                       (long long)count, size);
    }
    FR_TRY(allocate(ctx, bytes, ALIGNMENT, &memory, &padded));
    memset(memory, 0, padded);
    memcpy(out, &memory, sizeof memory);
    return FR_OK;
}

fr_status fr_alloc_large(fr_ctx *ctx, int64_t bytes, void *out)
{
    void *memory = NULL;
    size_t padded = 0;
    size_t alignment = bytes < 2 * HUGE_PAGE ? ALIGNMENT : HUGE_PAGE;
    FR_TRY(allocate(ctx, bytes, alignment, &memory, &padded));
    memcpy(out, &memory, sizeof memory);
    if (alignment == HUGE_PAGE) {
        (void)madvise(memory, padded, MADV_HUGEPAGE); /* a wish */
    }
    return FR_OK;
}

fr_status fr_copy_string(fr_ctx *ctx, const char *text, char **out)
{
    size_t bytes = strlen(text) + 1;
    *out = malloc(bytes);
    FR_TRY(fr_check_memory(ctx, *out != NULL, bytes));
    memcpy(*out, text, bytes);
    return FR_OK;
}
