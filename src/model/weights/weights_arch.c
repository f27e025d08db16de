#include "base/file.h"
#include "base/mem.h"
#include "model/families/hf_config.h"
#include "model/files/foreign.h"
#include "model/weights/weights_impl.h"

/* The weights, where the folder has them, may hold a head of their own, whatever config.json says. */
static fr_status look_at_head(fr_ctx *ctx, const char *folder, fr_arch *arch)
{
    fr_weights *weights = NULL;
    fr_status status = fr_weights_open(ctx, folder, &weights);
    if (status == FR_ERR_DATA || status == FR_ERR_FORMAT ||
        status == FR_ERR_UNSUPPORTED) {
        fr_ctx_clear_error(ctx);
        return FR_OK;
    }
    FR_TRY(status);
    arch->tied_head = fr_weights_arch(weights)->tied_head;
    fr_weights_close(&weights);
    return FR_OK;
}

static fr_status read_folder(fr_ctx *ctx, const char *folder, fr_arch *out)
{
    fr_hf_config config;
    FR_TRY(fr_hf_folder_config(ctx, folder, &config));
    *out = config.arch;
    return config.arch.tied_head ? look_at_head(ctx, folder, out) : FR_OK;
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
    FR_TRY(fr_foreign_path(ctx, path));
    return fr_is_folder(path) ? read_folder(ctx, path, out) : read_file(ctx, path, out);
}
