/*
 * Entries of the user's cache: found, checked, written, and bounded in number.
 *
 * A read trusts neither the folder nor the entry. Both must belong to this user and be writable by nobody else, and
 * the entry must have the expected length, header and SHA-256. Anything else is treated as an absent entry, and the
 * caller computes the result anew. A write makes the folder with mode 0700 if need be, replaces the entry as a
 * whole, and removes the oldest entry where there are too many. Errors go to the log at level debug: a cache must
 * not make a run fail.
 */
#define _GNU_SOURCE /* O_NOFOLLOW, fstatat */
#include "base/user_cache.h"

#include "base/digest.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* PATH_BYTES is the longest path that Linux takes. MAX_ENTRIES: see remove_oldest. */
enum { PATH_BYTES = 4096, MAX_ENTRIES = 1024 };
/* Begins every entry. Another format needs another number, and entries of the old one then count as absent. */
static const char HEADER[] = "forerun cache 1\n";
enum { HEADER_BYTES = sizeof HEADER - 1 };

/* What another user could have written is not trusted: an entry stands in for a check of the data that it
 * describes. */
static bool is_private(const struct stat *info)
{
    return info->st_uid == geteuid() && (info->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* The folder, if what lies in it is this user's. */
static bool find_folder(fr_ctx *ctx, char out[PATH_BYTES])
{
    struct stat info;
    if (!fr_ctx_cache_folder(ctx, out, PATH_BYTES)) {
        return false;
    }
    if (stat(out, &info) != 0) {
        fr_log(ctx, FR_LOG_DEBUG, "cache folder %s: %s", out, strerror(errno));
        return false;
    }
    if (!S_ISDIR(info.st_mode) || !is_private(&info)) {
        fr_log(ctx, FR_LOG_DEBUG,
               "cache folder %s is not used: it is not a folder, belongs to another "
               "user, or "
               "others may write to it",
               out);
        return false;
    }
    return true;
}

/* False: the path does not fit. */
static bool join(const char *folder, const char *name, char out[PATH_BYTES])
{
    int length = snprintf(out, PATH_BYTES, "%s/%s", folder, name);
    return length > 0 && length < PATH_BYTES;
}

/* ---- reading ----------------------------------------------------------------------------------- */

/* A file that became shorter meanwhile gives false. */
static bool read_whole(int file, uint8_t *data, size_t bytes)
{
    size_t used = 0;
    while (used < bytes) {
        ssize_t got = read(file, data + used, bytes - used);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return false;
        }
        used += got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* Does not follow a symbolic link, and does not wait for a FIFO. */
static bool read_private(fr_ctx *ctx, const char *path, uint8_t *data, size_t bytes)
{
    struct stat info;
    int file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool is_fine = file >= 0 && fstat(file, &info) == 0 && S_ISREG(info.st_mode);
    if (is_fine && !is_private(&info)) {
        fr_log(ctx, FR_LOG_DEBUG,
               "cache entry %s is not used: it belongs to another user, or others may "
               "write to it",
               path);
        is_fine = false;
    }
    is_fine = is_fine && info.st_size == (off_t)bytes && read_whole(file, data, bytes);
    if (file >= 0) {
        (void)close(file);
    }
    return is_fine;
}

/* Header, data, SHA-256 of both. */
static bool is_whole(fr_ctx *ctx, const uint8_t *entry, size_t bytes)
{
    uint8_t digest[FR_DIGEST_BYTES];
    size_t sealed = bytes - FR_DIGEST_BYTES;
    if (fr_digest_of(ctx, entry, sealed, digest) != FR_OK) {
        fr_ctx_clear_error(ctx);
        return false;
    }
    return memcmp(entry, HEADER, HEADER_BYTES) == 0 &&
           memcmp(entry + sealed, digest, sizeof digest) == 0;
}

bool fr_user_cache_read(fr_ctx *ctx, const char *name, void *data, size_t bytes)
{
    char folder[PATH_BYTES];
    char path[PATH_BYTES];
    size_t entry_bytes = HEADER_BYTES + bytes + FR_DIGEST_BYTES;
    if (!find_folder(ctx, folder) || !join(folder, name, path)) {
        return false;
    }
    uint8_t *entry = malloc(entry_bytes);
    bool is_there = entry != NULL && read_private(ctx, path, entry, entry_bytes) &&
                    is_whole(ctx, entry, entry_bytes);
    if (is_there) {
        memcpy(data, entry + HEADER_BYTES, bytes);
        fr_log(ctx, FR_LOG_DEBUG, "read from the cache: %s", path);
    }
    free(entry);
    return is_there;
}

/* ---- writing ----------------------------------------------------------------------------------- */

/* The folder for this user alone, in one that is there or can be made. */
static void make_folder(fr_ctx *ctx)
{
    char folder[PATH_BYTES];
    struct stat info;
    if (!fr_ctx_cache_folder(ctx, folder, sizeof folder) || stat(folder, &info) == 0) {
        return;
    }
    char *slash = strrchr(folder, '/');
    if (slash != NULL && slash != folder) {
        *slash = '\0';
        if (fr_make_folder(ctx, folder) != FR_OK) {
            fr_log(ctx, FR_LOG_DEBUG, "no cache: %s", fr_ctx_error(ctx));
            fr_ctx_clear_error(ctx);
        }
        *slash = '/';
    }
    (void)mkdir(folder, 0700); /* find_folder sees whether it is there */
}

/* Entries of models that are no longer used would pile up. One removal for each new entry bounds the folder; a thousand
 * entries of some hundred bytes are small. */
static void remove_oldest(const char *folder)
{
    DIR *list = opendir(folder);
    const struct dirent *entry = NULL;
    char oldest[sizeof entry->d_name] = "";
    struct timespec when = {0, 0};
    int64_t n = 0;
    while (list != NULL && (entry = readdir(list)) != NULL) {
        struct stat info;
        if (fstatat(dirfd(list), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(info.st_mode)) {
            continue;
        }
        n++;
        if (oldest[0] == '\0' || info.st_mtim.tv_sec < when.tv_sec) {
            memcpy(oldest, entry->d_name, sizeof oldest);
            when = info.st_mtim;
        }
    }
    if (n > MAX_ENTRIES) {
        (void)unlinkat(dirfd(list), oldest, 0);
    }
    if (list != NULL) {
        (void)closedir(list);
    }
}

/* The file is replaced as a whole, so a process that reads at the same time sees a complete entry. An error is
 * logged and cleared, since the caller goes on without a cache. */
void fr_user_cache_write(fr_ctx *ctx, const char *name, const void *data, size_t bytes)
{
    char folder[PATH_BYTES];
    char path[PATH_BYTES];
    size_t sealed = HEADER_BYTES + bytes;
    make_folder(ctx);
    if (!find_folder(ctx, folder) || !join(folder, name, path)) {
        return;
    }
    uint8_t *entry = malloc(sealed + FR_DIGEST_BYTES);
    if (entry == NULL) {
        return;
    }
    memcpy(entry, HEADER, HEADER_BYTES);
    memcpy(entry + HEADER_BYTES, data, bytes);
    fr_status status = fr_digest_of(ctx, entry, sealed, entry + sealed);
    if (status == FR_OK) {
        status = fr_file_replace(ctx, path, entry, sealed + FR_DIGEST_BYTES);
    }
    if (status == FR_OK) {
        fr_log(ctx, FR_LOG_DEBUG, "kept in the cache: %s", path);
        remove_oldest(folder);
    } else {
        fr_log(ctx, FR_LOG_DEBUG, "not kept in the cache: %s", fr_ctx_error(ctx));
        fr_ctx_clear_error(ctx);
    }
    free(entry);
}
