/*
 * foreign.h - recognise what users give in place of a model, and say what to give instead.
 *
 * These functions look at names alone (of paths, files and tensors); base/file_kind.h recognises contents.
 */
#ifndef FR_MODEL_FILES_FOREIGN_H
#define FR_MODEL_FILES_FOREIGN_H

#include "model/files/gguf.h"

/**
 * Check a path that should name a model, before it is opened.
 * @return FR_OK, also for a plain path that is missing (opening it reports that); FR_ERR_DATA if the path is the name
 *         of a hub's repository, an address, or one file of a model's folder
 */
FR_MUST_CHECK fr_status fr_foreign_path(fr_ctx *ctx, const char *path);

/** Check a folder without config.json.
 * @return FR_OK if it holds nothing that is recognised; else FR_ERR_DATA or FR_ERR_UNSUPPORTED */
FR_MUST_CHECK fr_status fr_foreign_folder(fr_ctx *ctx, const char *folder);

/** Explain a folder that has config.json and lacks the weights that are looked for. It never returns FR_OK. */
FR_MUST_CHECK fr_status fr_foreign_weights(fr_ctx *ctx, const char *folder);

/** What a tensor of this name belongs to, as the end of the message "PATH: the folder holds tensor NAME, ...". NULL
 * means that the name does not rule out a supported model. */
const char *fr_foreign_tensor(fr_text name);

/** Whether a tensor of this name belongs to a part for pictures, which models of several parts have beside their text
 * part. */
bool fr_foreign_is_other_part(fr_text name);

#endif
