/*
 * foreign.h - what people give in a model's place: named for what it is, with the way out.
 *
 * Looks at names alone (of paths, files, tensors); contents are told by file_kind.h.
 */
#ifndef FR_MODEL_FILES_FOREIGN_H
#define FR_MODEL_FILES_FOREIGN_H

#include "model/files/gguf.h"

/**
 * A path that stands for a model, before it is opened.
 * @return FR_OK, also for a plain path that is missing: whoever opens it says so; FR_ERR_DATA: the name of a hub's
 *         repository, or a part of a model's folder
 */
FR_MUST_CHECK fr_status fr_foreign_path(fr_ctx *ctx, const char *path);

/** A folder without config.json. @return FR_OK (nothing known is in it either); FR_ERR_DATA or FR_ERR_UNSUPPORTED */
FR_MUST_CHECK fr_status fr_foreign_folder(fr_ctx *ctx, const char *folder);

/** A folder with config.json and without the weights that are looked for. Never FR_OK. */
FR_MUST_CHECK fr_status fr_foreign_weights(fr_ctx *ctx, const char *folder);

/** What a tensor of that name belongs to, as "PATH holds tensor NAME, ..." goes on; NULL: a model, as far as names tell. */
const char *fr_foreign_tensor(fr_text name);

#endif
