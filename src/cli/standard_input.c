#include "cli/standard_input.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A megabyte first, then twice as much each time. */
static fr_status grow(fr_ctx *ctx, char **text, size_t *capacity)
{
    enum { FIRST = 1 << 20 };
    size_t wanted = *capacity > 0 ? 2 * *capacity : FIRST;
    char *grown = realloc(*text, wanted);
    FR_TRY(fr_check_memory(ctx, grown != NULL, wanted));
    *text = grown;
    *capacity = wanted;
    return FR_OK;
}

static fr_status read_all(fr_ctx *ctx, char **text, size_t *bytes)
{
    size_t capacity = 0;
    size_t n = 1;
    while (n > 0) {
        if (capacity - *bytes < 2) {
            FR_TRY(grow(ctx, text, &capacity));
        }
        n = fread(*text + *bytes, 1, capacity - *bytes - 1, stdin);
        *bytes += n;
        if (*bytes > (size_t)FR_STANDARD_INPUT_BYTES) {
            return FR_FAIL(ctx, FR_ERR_DATA,
                           "standard input has more than %lld bytes; give a file",
                           (long long)FR_STANDARD_INPUT_BYTES);
        }
    }
    if (ferror(stdin) != 0) {
        return FR_FAIL(ctx, FR_ERR_IO, "cannot read standard input: %s",
                       strerror(errno));
    }
    (*text)[*bytes] = '\0';
    return FR_OK;
}

/* mpirun passes standard input to rank 0 alone. The other ranks may wait for it as long as it takes. */
fr_status fr_standard_input_read(fr_ctx *ctx, fr_group *world, char **out,
                                 size_t *bytes)
{
    char *text = NULL;
    int64_t n = 0;
    fr_status status = FR_OK;
    *out = NULL;
    *bytes = 0;
    fr_watch_busy(fr_group_watch(world), "reading");
    if (fr_group_rank(world) == 0) {
        status = read_all(ctx, &text, bytes);
        n = (int64_t)*bytes;
    }
    status = fr_group_agree(world, status);
    if (status == FR_OK) {
        status = fr_group_broadcast(world, 0, &n, sizeof n);
    }
    if (status == FR_OK && fr_group_rank(world) != 0) {
        status = fr_alloc(ctx, n + 1, 1, &text);
    }
    status = fr_group_agree(world, status);
    if (status == FR_OK && n > 0) {
        status = fr_group_broadcast(world, 0, text, n);
    }
    fr_watch_busy(fr_group_watch(world), "loading");
    if (status != FR_OK) {
        free(text);
        return status;
    }
    *out = text;
    *bytes = (size_t)n;
    return FR_OK;
}
