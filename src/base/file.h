/*
 * file.h - read-only mappings, whole-file reads, and atomic replacement of files.
 *
 * Layer L0.
 */
#ifndef FR_BASE_FILE_H
#define FR_BASE_FILE_H

#include "base/ctx.h"

#include <stddef.h>
#include <stdint.h>

/** A file mapped read-only and shared; `data` is NULL for an empty file. */
typedef struct fr_map {
    const uint8_t *data;
    size_t bytes;
} fr_map;

/** Map a regular file. @return FR_OK; FR_ERR_DATA (missing, not a file, no permission). */
FR_MUST_CHECK fr_status fr_map_open(fr_ctx *ctx, const char *path, fr_map *out);
void fr_map_close(fr_map *map);

/** Give the pages that hold `bytes` at `data` of a mapped file back: this process no longer counts them, and a later
 * read maps them again. */
void fr_map_release(const void *data, size_t bytes);

/** Read a whole file into a NUL-terminated buffer that the caller frees. */
FR_MUST_CHECK fr_status fr_file_read(fr_ctx *ctx, const char *path, char **out,
                                     size_t *out_bytes);

/** Write `bytes` under a temporary name (`path`.tmp.PID), fsync, rename over `path`, fsync the folder: readers see
 * the old or the new content, never a part. FR_OK: the new content is there to stay. FR_ERR_IO: the temporary file
 * is removed and `path` holds the old content, or the new one if only the folder's fsync failed; so a caller may
 * report the failure, but assume neither. A process that is killed may leave its temporary file. */
FR_MUST_CHECK fr_status fr_file_replace(fr_ctx *ctx, const char *path, const void *data,
                                        size_t bytes);

/** The last part of fr_file_replace: fsync `temporary`, rename it to `path`, fsync the folder; failures alike. */
FR_MUST_CHECK fr_status fr_file_commit(fr_ctx *ctx, const char *temporary,
                                       const char *path);

/** Create a folder and its parents; an existing one is fine. */
FR_MUST_CHECK fr_status fr_make_folder(fr_ctx *ctx, const char *path);

bool fr_file_exists(const char *path);
bool fr_is_folder(const char *path);

/** Join folder and name with one '/'; the caller frees. */
FR_MUST_CHECK fr_status fr_join_path(fr_ctx *ctx, const char *folder, const char *name,
                                     char **out);

#endif
