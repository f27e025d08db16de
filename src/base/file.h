/*
 * file.h - opening files that others may have made, read-only mappings, whole-file reads, atomic replacement of files.
 *
 * Every file that the program reads or writes by its name is opened by one of the functions here, because a name may
 * lead to anything, such as a FIFO that nobody writes to or a link to somebody else's file.
 */
#ifndef FR_BASE_FILE_H
#define FR_BASE_FILE_H

#include "base/ctx.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/**
 * Open a regular file for reading. Anything else (folder, FIFO, device, socket) is refused at once: nothing waits for
 * it and no device is touched. Links are followed. Needs no context, so that threads may use it.
 * @return a descriptor that children do not inherit; -1 with errno: EISDIR a folder, ENOTSUP no regular file
 */
FR_MUST_CHECK int fr_open_regular(const char *path);
/** The same with a message. @return FR_OK; FR_ERR_DATA (missing, not a regular file, no permission) */
FR_MUST_CHECK fr_status fr_file_open(fr_ctx *ctx, const char *path, int *out);

/** Create a new file for writing. Whatever has this name already (a temporary file of a killed process, or a link) is
 * removed first, never followed or written to. @return a descriptor; -1 with errno */
FR_MUST_CHECK int fr_open_new(const char *path);

/** Open a file of the run folder to write to it, created if need be. A symbolic link is not followed (errno ELOOP),
 * anything but a regular file refused as by fr_open_regular.
 * @param flags  O_RDWR or O_WRONLY, and O_APPEND if wished */
FR_MUST_CHECK int fr_open_own(const char *path, int flags);

/** Write all bytes to a descriptor, in one call where the system takes them at once. False with errno. */
FR_MUST_CHECK bool fr_write_whole(int file, const void *data, size_t bytes);

/** Open a file that the user names for results, emptied. A pipe, terminal or device is written to; a symbolic link
 * outside /dev is refused, a FIFO that nobody reads too. @return FR_OK; FR_ERR_IO */
FR_MUST_CHECK fr_status fr_file_open_output(fr_ctx *ctx, const char *path, FILE **out);

/** Distinguishes one content of a file from another without reading it: writing to a file or replacing it changes at
 * least one of these. */
typedef struct fr_stamp {
    int64_t bytes;
    int64_t inode;
    int64_t modified_ns; /* of the content, since 1970 */
    int64_t changed_ns;  /* of content, name or permissions; no program can set it */
} fr_stamp;

/** Stamp of what lies at `path`; false with errno. */
FR_MUST_CHECK bool fr_file_stamp(const char *path, fr_stamp *out);

/** A file mapped read-only and shared; `data` is NULL for an empty file. */
typedef struct fr_map {
    const uint8_t *data;
    size_t bytes;
    /* The file belongs to this user or to root and nobody else may write to it, so its content stays as it was checked. */
    bool is_ours;
    fr_stamp stamp; /* of the file that is mapped */
} fr_map;

/** Map a regular file. @return FR_OK; FR_ERR_DATA (missing, not a file, no permission). */
FR_MUST_CHECK fr_status fr_map_open(fr_ctx *ctx, const char *path, fr_map *out);
void fr_map_close(fr_map *map);
/** Drop the pages that were read from this process's memory; the system reads them from the file again when needed. */
void fr_map_release(const fr_map *map);

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

/** fr_file_commit for a file that the caller has open and wants to keep: after a failure the temporary file stays. */
FR_MUST_CHECK fr_status fr_file_put(fr_ctx *ctx, int file, const char *temporary,
                                    const char *path);

/** Create a folder and its parents; an existing one is fine. */
FR_MUST_CHECK fr_status fr_make_folder(fr_ctx *ctx, const char *path);

bool fr_file_exists(const char *path);
bool fr_is_folder(const char *path);

/** Join folder and name with one '/'; the caller frees. */
FR_MUST_CHECK fr_status fr_join_path(fr_ctx *ctx, const char *folder, const char *name,
                                     char **out);

#endif
