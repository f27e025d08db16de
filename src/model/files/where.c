#define _POSIX_C_SOURCE 200809L
#include "model/files/where.h"

#include "base/mem.h"
#include "base/output.h"
#include "model/files/foreign.h"
#include "model/files/hub.h"
#include "model/files/part_name.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Anything at all at this path, a link that leads nowhere too: the user means it, and opening it says what is wrong. */
static bool is_there(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

/* A name that the cache does not have may be a slip in a path, or of a model that was never fetched. */
static fr_status find(fr_ctx *ctx, const char *name, fr_model_extent extent,
                      char **path)
{
    fr_hub_name hub;
    *path = NULL;
    if (!is_there(name) && fr_hub_name_read(name, &hub)) {
        FR_TRY(fr_hub_find(ctx, name, &hub, extent == FR_MODEL_WHOLE, path));
    }
    if (*path != NULL) {
        return FR_OK;
    }
    FR_TRY(fr_foreign_path(ctx, name));
    return fr_copy_string(ctx, name, path);
}

fr_status fr_model_find(fr_ctx *ctx, const char *name, fr_model_extent extent,
                        char **path)
{
    FR_TRY(find(ctx, name, extent, path));
    if (strcmp(name, *path) != 0) {
        fr_log(ctx, FR_LOG_INFO, "model %s is %s", name, *path);
    }
    return FR_OK;
}

fr_status fr_model_apart(fr_ctx *ctx, const char *option, const char *output,
                         const char *reader, const char *name)
{
    static const char GGUF[] = ".gguf";
    fr_part_name parts;
    char *path = NULL;
    if (output == NULL || name == NULL || !is_there(output)) {
        return FR_OK;
    }
    fr_status status = find(ctx, name, FR_MODEL_HEAD, &path);
    if (status == FR_ERR_DATA || status == FR_ERR_FORMAT) {
        fr_ctx_clear_error(ctx);
        return FR_OK;
    }
    FR_TRY(status);
    status = fr_output_apart(ctx, option, output, reader, path);
    bool is_part = fr_part_name_read(path, GGUF, &parts);
    for (int64_t i = 1; is_part && i <= parts.count && status == FR_OK; i++) {
        char *part = NULL;
        status = fr_part_path(ctx, path, &parts, GGUF, i, &part);
        if (status == FR_OK) {
            status = fr_output_apart(ctx, option, output, reader, part);
        }
        free(part);
    }
    free(path);
    return status;
}
