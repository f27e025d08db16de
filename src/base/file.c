/*
 * Opening, mapping, reading and replacing files, with the checks that every path from outside needs.
 *
 * Reading: only regular files are opened. A FIFO would make the program wait for a writer, and a device may react to
 * being opened, so the kind is checked before the open and again on the open descriptor. All descriptors close on
 * exec.
 *
 * Replacing: data go to a temporary file in the same folder, which is synced, renamed over the old name, and made
 * durable by a sync of the folder. So a reader, or a restart after a power cut, finds the old content or the new
 * one, never a part. Two kinds of file are written in place instead: those of fr_open_own, and outputs that the
 * user names.
 */
#define _DEFAULT_SOURCE /* madvise */
#include "base/file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static fr_status fail_open(fr_ctx *ctx, const char *path)
{
    return FR_FAIL(ctx, FR_ERR_DATA, "%s: %s; check the path", path, strerror(errno));
}

/* For what this process writes: a full disk is the common cause, and has a remedy of its own. */
static fr_status fail_io(fr_ctx *ctx, const char *action, const char *path)
{
    const char *hint = errno == ENOSPC ? "free space or choose another folder"
                                       : "check the folder and its permissions";
    return FR_FAIL(ctx, FR_ERR_IO, "cannot %s %s: %s; %s", action, path,
                   strerror(errno), hint);
}

/* ---- opening ---------------------------------------------------------------------------------- */

/* 0, or the error that tells what lies there instead of a regular file. */
static int what_else(const struct stat *info)
{
    return S_ISREG(info->st_mode) ? 0 : S_ISDIR(info->st_mode) ? EISDIR : ENOTSUP;
}

static int close_with(int file, int error)
{
    (void)close(file);
    errno = error;
    return -1;
}

/* Passes on what open returned, if it is a regular file. O_NONBLOCK kept the open of a FIFO from waiting; it is
 * cleared. */
static int keep_regular(int file)
{
    struct stat info;
    if (file < 0) {
        return -1;
    }
    int error = fstat(file, &info) != 0 ? errno : what_else(&info);
    int flags = fcntl(file, F_GETFL);
    if (error == 0 && (flags < 0 || fcntl(file, F_SETFL, flags & ~O_NONBLOCK) != 0)) {
        error = errno;
    }
    return error == 0 ? file : close_with(file, error);
}

/* Checks before it opens, since merely opening some devices has effects, and again after, since the name may have
 * changed. */
int fr_open_regular(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return -1;
    }
    errno = what_else(&info);
    if (errno != 0) {
        return -1;
    }
    return keep_regular(open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

/* FR_ERR_DATA, because a path that is opened for reading comes from the user or a config. */
fr_status fr_file_open(fr_ctx *ctx, const char *path, int *out)
{
    *out = fr_open_regular(path);
    if (*out >= 0) {
        return FR_OK;
    }
    if (errno == EISDIR || errno == ENOTSUP) {
        return FR_FAIL(ctx, FR_ERR_DATA, "%s: not a regular file but a %s; give a file",
                       path, errno == EISDIR ? "folder" : "FIFO, device or socket");
    }
    return fail_open(ctx, path);
}

/* Always a new file, never the one that lies there: a hard link or symbolic link with the name of a temporary file
 * must not redirect what is written. What an interrupted process left under the name is removed first. */
int fr_open_new(const char *path)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const mode_t mode =
        0644; /* group and others read only: files are replaced, never written to */
    int file = open(path, flags, mode);
    if (file < 0 && errno == EEXIST && unlink(path) == 0) {
        file = open(path, flags, mode);
    }
    return file;
}

/* For files that stay and are rewritten in place (locks, rank lines, growing logs). Other kinds of file are refused
 * before the open, since opening a device may have effects. A symbolic link fails in the open, with ELOOP. */
int fr_open_own(const char *path, int flags)
{
    struct stat info;
    flags |= O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    if (lstat(path, &info) == 0 && !S_ISLNK(info.st_mode) && what_else(&info) != 0) {
        errno = what_else(&info);
        return -1;
    }
    return keep_regular(open(path, flags, 0666));
}

/* The user names this file, so a FIFO or a device is allowed. The open must not wait for the reader of a FIFO, but
 * writing to it may. Links are followed below /dev alone, where /dev/stdout is one. */
fr_status fr_file_open_output(fr_ctx *ctx, const char *path, FILE **out)
{
    bool may_follow = strncmp(path, "/dev/", 5) == 0; /* /dev/stdout, /dev/fd/63 */
    int file = open(path,
                    O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC |
                        (may_follow ? 0 : O_NOFOLLOW),
                    0666);
    *out = NULL;
    if (file < 0) {
        const char *why = errno == ELOOP ? "it is a symbolic link"
                          : errno == ENXIO
                              ? "it is a FIFO that nobody reads, or a socket"
                              : strerror(errno);
        return FR_FAIL(ctx, FR_ERR_IO, "cannot write to %s: %s; name another file",
                       path, why);
    }
    int flags = fcntl(file, F_GETFL);
    if (flags >= 0 && fcntl(file, F_SETFL, flags & ~O_NONBLOCK) == 0) {
        *out = fdopen(file, "w");
    }
    if (*out == NULL) {
        (void)close(file);
        return FR_FAIL(ctx, FR_ERR_IO, "cannot write to %s: %s", path, strerror(errno));
    }
    return FR_OK;
}

static int64_t nanoseconds(const struct timespec *t)
{
    enum { PER_SECOND = 1000000000 };
    return (int64_t)t->tv_sec * PER_SECOND + (int64_t)t->tv_nsec;
}

/* Together these four change whenever the content may have changed: a cache compares them in place of a digest. */
static fr_stamp stamp_of(const struct stat *info)
{
    return (fr_stamp){.bytes = (int64_t)info->st_size,
                      .inode = (int64_t)info->st_ino,
                      .modified_ns = nanoseconds(&info->st_mtim),
                      .changed_ns = nanoseconds(&info->st_ctim)};
}

bool fr_file_stamp(const char *path, fr_stamp *out)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return false;
    }
    *out = stamp_of(&info);
    return true;
}

/* ---- reading ---------------------------------------------------------------------------------- */

/* An empty file is a map without data, because mmap refuses a length of 0. The descriptor is not needed once the
 * map stands. "Ours" is a file that nobody but this user or root can change. */
fr_status fr_map_open(fr_ctx *ctx, const char *path, fr_map *out)
{
    fr_status status = FR_OK;
    struct stat info;
    *out = (fr_map){0};
    int file = -1;
    FR_TRY(fr_file_open(ctx, path, &file));
    if (fstat(file, &info) != 0) {
        status = fail_open(ctx, path);
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, file, 0);
        if (data == MAP_FAILED) {
            status = fail_open(ctx, path);
        } else {
            bool is_ours = (info.st_uid == geteuid() || info.st_uid == 0) &&
                           (info.st_mode & (S_IWGRP | S_IWOTH)) == 0;
            *out = (fr_map){data, (size_t)info.st_size, is_ours, stamp_of(&info)};
        }
    }
    (void)close(file);
    return status;
}

void fr_map_close(fr_map *map)
{
    if (map->data != NULL) {
        (void)munmap((void *)(uintptr_t)map->data, map->bytes);
    }
    *map = (fr_map){0};
}

/* Gives the pages back to the machine. The map stays valid: a later access reads the file again. */
void fr_map_release(const fr_map *map)
{
    if (map->data != NULL) {
        (void)madvise((void *)(uintptr_t)map->data, map->bytes, MADV_DONTNEED);
    }
}

/* One byte more than the file, for a final NUL: parsers of text can then stop at it. */
fr_status fr_file_read(fr_ctx *ctx, const char *path, char **out, size_t *out_bytes)
{
    fr_map map;
    *out = NULL;
    FR_TRY(fr_map_open(ctx, path, &map));
    *out = malloc(map.bytes + 1);
    fr_status status = fr_check_memory(ctx, *out != NULL, map.bytes + 1);
    if (status == FR_OK) {
        if (map.bytes > 0) {
            memcpy(*out, map.data, map.bytes);
        }
        (*out)[map.bytes] = '\0';
        *out_bytes = map.bytes;
    }
    fr_map_close(&map);
    return status;
}

/* ---- replacing -------------------------------------------------------------------------------- */

/* A rename is durable only once the folder that holds the name is on disk. */
static int sync_folder_of(const char *path)
{
    char *copy = strdup(path);
    if (copy == NULL) {
        return -1;
    }
    int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (folder < 0) {
        return -1;
    }
    int result = fsync(folder);
    (void)close(folder);
    return result;
}

/* For a file that the caller still has open. On failure the temporary file stays, and the caller decides about it. */
fr_status fr_file_put(fr_ctx *ctx, int file, const char *temporary, const char *path)
{
    if (fsync(file) != 0) {
        return fail_io(ctx, "sync", temporary);
    }
    if (rename(temporary, path) != 0) {
        return fail_io(ctx, "rename to", path);
    }
    return sync_folder_of(path) == 0 ? FR_OK : fail_io(ctx, "sync the folder of", path);
}

/* For a temporary file that is complete and closed, also by a library that gives no descriptor. On failure it is
 * removed and `path` is as before, unless only the sync of the folder failed: then the new content is in place but
 * may be lost by a power cut. */
fr_status fr_file_commit(fr_ctx *ctx, const char *temporary, const char *path)
{
    fr_status status = FR_OK;
    int file = open(temporary, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0 || fsync(file) != 0) {
        status = fail_io(ctx, "sync", temporary);
    }
    if (file >= 0 && close(file) != 0 && status == FR_OK) {
        status = fail_io(ctx, "close", temporary);
    }
    if (status == FR_OK && rename(temporary, path) != 0) {
        status = fail_io(ctx, "rename to", path);
    }
    if (status != FR_OK) {
        (void)unlink(temporary);
        return status;
    }
    return sync_folder_of(path) == 0 ? FR_OK : fail_io(ctx, "sync the folder of", path);
}

/* write may take only a part of the data, or be interrupted by a signal. */
bool fr_write_whole(int file, const void *data, size_t bytes)
{
    const uint8_t *next = data;
    while (bytes > 0) {
        ssize_t written = write(file, next, bytes);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        next += written > 0 ? written : 0;
        bytes -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

static fr_status write_all(fr_ctx *ctx, const char *path, const void *data,
                           size_t bytes)
{
    int file = fr_open_new(path);
    if (file < 0) {
        return fail_io(ctx, "create", path);
    }
    fr_status status = FR_OK;
    if (!fr_write_whole(file, data, bytes)) {
        status = fail_io(ctx, "write", path);
    }
    if (close(file) != 0 && status == FR_OK) {
        status = fail_io(ctx, "close", path);
    }
    return status;
}

/* The process id in the name keeps two processes that replace the same file apart. */
fr_status fr_file_replace(fr_ctx *ctx, const char *path, const void *data, size_t bytes)
{
    /* Holds ".tmp.", the digits of a long, and the NUL. */
    enum { SUFFIX_BYTES = 32 };
    size_t name_bytes = strlen(path) + SUFFIX_BYTES;
    char *temporary = malloc(name_bytes);
    FR_TRY(fr_check_memory(ctx, temporary != NULL, name_bytes));
    (void)snprintf(temporary, name_bytes, "%s.tmp.%ld", path, (long)getpid());
    fr_status status = write_all(ctx, temporary, data, bytes);
    if (status == FR_OK) {
        status = fr_file_commit(ctx, temporary, path);
    } else {
        (void)unlink(temporary);
    }
    free(temporary);
    return status;
}

/* Makes each missing parent in turn. EEXIST is not an error, since other ranks may make the same folder at the
 * same time; what lies there is checked at the end. */
fr_status fr_make_folder(fr_ctx *ctx, const char *path)
{
    char *copy = NULL;
    FR_TRY(fr_copy_string(ctx, path, &copy));
    fr_status status = FR_OK;
    for (char *end = copy + 1; status == FR_OK && *copy != '\0'; end++) {
        char saved = *end;
        if (saved != '/' && saved != '\0') {
            continue;
        }
        *end = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) {
            status = fail_io(ctx, "create the folder", copy);
        }
        *end = saved;
        if (saved == '\0') {
            break;
        }
    }
    free(copy);
    if (status == FR_OK && !fr_is_folder(path)) {
        status = FR_FAIL(ctx, FR_ERR_IO, "%s exists and is not a folder", path);
    }
    return status;
}

bool fr_file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool fr_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

fr_status fr_join_path(fr_ctx *ctx, const char *folder, const char *name, char **out)
{
    size_t length = strlen(folder);
    bool slash = length > 0 && folder[length - 1] == '/';
    size_t bytes = length + strlen(name) + 2;
    *out = malloc(bytes);
    FR_TRY(fr_check_memory(ctx, *out != NULL, bytes));
    (void)snprintf(*out, bytes, "%s%s%s", folder, slash ? "" : "/", name);
    return FR_OK;
}
