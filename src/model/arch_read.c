#include "base/file.h"
#include "base/mem.h"
#include "model/hf_config.h"
#include "model/weights_impl.h"

#include <stdlib.h>

static fr_status read_folder(fr_ctx *ctx, const char *folder, fr_arch *out)
{
    fr_hf_config config;
    char *path = NULL;
    fr_status status = fr_join_path(ctx, folder, "config.json", &path);
    if (status == FR_OK) {
        status = fr_hf_config_read(ctx, path, &config);
    }
    if (status == FR_OK) {
        *out = config.arch;
    }
    free(path);
    return status;
}

static fr_status read_file(fr_ctx *ctx, const char *path, fr_arch *out)
{
    fr_weights *weights = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *weights, &weights));
    fr_status status = fr_copy_string(ctx, path, &weights->path);
    if (status == FR_OK) {
        status = fr_weights_open_gguf(ctx, weights);
    }
    if (status == FR_OK) {
        *out = weights->arch;
    }
    fr_weights_close(&weights);
    return status;
}

fr_status fr_arch_read(fr_ctx *ctx, const char *path, fr_arch *out)
{
    return fr_is_folder(path) ? read_folder(ctx, path, out) : read_file(ctx, path, out);
}
