#include "cli/path_ending.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

bool fr_path_ends_with(const char *path, const char *ending)
{
    size_t n = strlen(path);
    size_t m = strlen(ending);
    return n >= m && strcmp(path + n - m, ending) == 0;
}

fr_status fr_path_with_ending(fr_ctx *ctx, const char *path, const char *ending,
                              char **out)
{
    size_t bytes = strlen(path) + strlen(ending) + 1;
    FR_TRY(fr_alloc(ctx, (int64_t)bytes, 1, out));
    (void)snprintf(*out, bytes, "%s%s", path, ending);
    return FR_OK;
}
