/*
 * where.h - from the name of a model, as users give it, to a path.
 *
 * A name is a path, or the name of a model on the Hugging Face hub that lies in the hub's cache on this machine (hub.h). A path
 * that exists always comes first. Each command resolves a name where it first opens the model, and each rank by itself, since
 * hosts may keep their caches in different places; everything after that sees a path.
 */
#ifndef FR_MODEL_FILES_WHERE_H
#define FR_MODEL_FILES_WHERE_H

#include "base/ctx.h"

/** How much of a model is needed: a snapshot that was fetched in part may do. */
typedef enum fr_model_extent {
    FR_MODEL_WHOLE,
    FR_MODEL_HEAD, /* its settings or its tokenizer */
} fr_model_extent;

/**
 * Find the path that a name stands for, and log it if it is another one. A path that does not exist is returned as it is:
 * opening it says so. Nothing is fetched.
 * @param[out] path  the caller frees
 * @return FR_OK; FR_ERR_DATA: the hub's cache lacks the model or a part of it, and the message has the command that fetches it;
 *         or the name is an address, or one file of a model's folder
 */
FR_MUST_CHECK fr_status fr_model_find(fr_ctx *ctx, const char *name,
                                      fr_model_extent extent, char **path);

/**
 * fr_output_apart for all files of a model, by its name as it was given: also the other parts of a GGUF file in parts. A model that
 * is not there is no error here.
 * @return FR_OK; FR_ERR_ARG
 */
FR_MUST_CHECK fr_status fr_model_apart(fr_ctx *ctx, const char *option,
                                       const char *output, const char *reader,
                                       const char *name);

#endif
