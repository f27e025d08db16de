/*
 * hub.h - models of the Hugging Face hub that its own tools have downloaded into their cache.
 *
 * The cache is the folder HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE (its older name), else hub in HF_HOME, else
 * huggingface/hub in XDG_CACHE_HOME or ~/.cache. An empty variable counts as not set. In each, a leading ~ and $NAME are
 * replaced, as the hub's library replaces them. The model OWNER/NAME lies in models--OWNER--NAME:
 *
 *   refs/REVISION           the commit that a branch or tag was at when it was fetched
 *   snapshots/COMMIT/FILE   links to blobs/DIGEST
 *
 * Everything here reads names and links alone; nothing is fetched or written.
 */
#ifndef FR_MODEL_FILES_HUB_H
#define FR_MODEL_FILES_HUB_H

#include "base/ctx.h"
#include "base/text.h"

/** OWNER/NAME[@REVISION][:FILE], as views into the text that was read. */
typedef struct fr_hub_name {
    fr_text owner;
    fr_text name;
    fr_text
        revision; /* a branch, a tag, or a commit's first 7 or more digits; empty: main */
    fr_text file; /* path in the repository; empty: whatever model it holds */
} fr_hub_name;

/**
 * Read a name by the hub's rules: two words of letters, digits, '-', '_' and '.', neither with other characters than letters,
 * digits and '_' at its ends, without "--" or ".." and up to 96 bytes each. Neither a word, a revision nor a file's name can lead
 * out of the model's folder.
 * @return false if the text is no such name
 */
bool fr_hub_name_read(const char *text, fr_hub_name *out);

/** The cache's folder, which need not exist; NULL if no variable says where it is. The caller frees. */
FR_MUST_CHECK fr_status fr_hub_folder(fr_ctx *ctx, char **out);

/**
 * Find what a name stands for.
 * @param text          the name as it was given, for messages
 * @param with_weights  false: settings or a tokenizer are enough
 * @param[out] path     a folder that holds the model, or a GGUF file; NULL: the cache has nothing of this name. The caller frees
 * @return FR_OK; FR_ERR_DATA: the cache lacks the revision, the file, the weights or a part of them, or there are several
 *         models; the message has the command that fetches what is missing. FR_ERR_FORMAT: the cache is damaged
 */
FR_MUST_CHECK fr_status fr_hub_find(fr_ctx *ctx, const char *text,
                                    const fr_hub_name *name, bool with_weights,
                                    char **path);

/** The command that fetches what a name stands for; the whole repository if the file has no plain name. */
typedef struct fr_hub_command {
    char text[1024];
} fr_hub_command;
fr_hub_command fr_hub_command_for(const fr_hub_name *name);

#endif
