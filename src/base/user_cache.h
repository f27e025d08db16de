/*
 * user_cache.h - small results that are kept from one process to the next, in a folder of this user.
 *
 * The folder is fr_ctx_cache_folder's. An entry counts only if it and the folder belong to this user, no other
 * user may write to them, and the entry is whole; otherwise it counts as absent. Nothing here fails: without a usable
 * folder nothing is kept, and a line of the log at level debug says why.
 *
 * An entry is a file of a line, the data, and their SHA-256: docs/formats.md.
 */
#ifndef FR_BASE_USER_CACHE_H
#define FR_BASE_USER_CACHE_H

#include "base/ctx.h"

#include <stddef.h>

/** Read an entry of exactly `bytes` bytes. False: there is none; *data is then undefined.
 * @param name  of its file, without a folder */
FR_MUST_CHECK bool fr_user_cache_read(fr_ctx *ctx, const char *name, void *data,
                                      size_t bytes);

/** Keep an entry: readers see the old one or the new one, never a part. The oldest entry is removed where there are more
 * than a thousand. */
void fr_user_cache_write(fr_ctx *ctx, const char *name, const void *data, size_t bytes);

#endif
