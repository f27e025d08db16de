#define _POSIX_C_SOURCE 200809L
#include "base/output.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static fr_status fail_write(fr_ctx *ctx, const char *path, const char *why)
{
    return FR_FAIL(ctx, FR_ERR_IO, "cannot write to %s: %s; name another file", path,
                   why);
}

/* The file is written beside its final place and renamed, so the right to write to the folder decides, not that to
 * the file. */
static fr_status check_folder(fr_ctx *ctx, const char *path)
{
    char *copy = NULL;
    FR_TRY(fr_copy_string(ctx, path, &copy));
    const char *folder = dirname(copy);
    fr_status status = FR_OK;
    if (access(folder, W_OK | X_OK) != 0) {
        status = FR_FAIL(ctx, FR_ERR_IO,
                         "cannot write to %s: its folder %s: %s; make the folder or "
                         "name another file",
                         path, folder, strerror(errno));
    } else if (!fr_is_folder(folder)) {
        status = FR_FAIL(ctx, FR_ERR_IO, "cannot write to %s: %s is not a folder", path,
                         folder);
    }
    free(copy);
    return status;
}

/* Before hours of work, so that a wrong name shows at once. A FIFO or device is written to directly and needs no
 * folder. */
fr_status fr_output_check(fr_ctx *ctx, const char *path)
{
    struct stat info;
    size_t length = strlen(path);
    if (length == 0 || path[length - 1] == '/') {
        return fail_write(ctx, path, "it is not the name of a file");
    }
    if (lstat(path, &info) != 0) {
        return errno == ENOENT ? check_folder(ctx, path)
                               : fail_write(ctx, path, strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) {
        return FR_FAIL(ctx, FR_ERR_IO,
                       "cannot write to %s: it is a folder; name a file in it", path);
    }
    if (S_ISLNK(info.st_mode) && strncmp(path, "/dev/", 5) != 0) {
        return fail_write(ctx, path, "it is a symbolic link");
    }
    return S_ISREG(info.st_mode) ? check_folder(ctx, path) : FR_OK;
}

/* Names may differ by links or dots; device and inode do not. */
static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Any entry of a model folder may be read, so each one counts. */
static bool is_entry(const char *folder, const struct stat *file)
{
    bool found = false;
    DIR *directory = opendir(folder);
    if (directory == NULL) {
        return false;
    }
    for (const struct dirent *entry = readdir(directory); entry != NULL && !found;
         entry = readdir(directory)) {
        struct stat info;
        found = fstatat(dirfd(directory), entry->d_name, &info, 0) == 0 &&
                is_same(&info, file);
    }
    (void)closedir(directory);
    return found;
}

/* A file that does not exist yet cannot be an input. */
fr_status fr_output_apart(fr_ctx *ctx, const char *option, const char *output,
                          const char *reader, const char *input)
{
    struct stat to;
    struct stat from;
    if (output == NULL || input == NULL || stat(output, &to) != 0 ||
        !S_ISREG(to.st_mode) || stat(input, &from) != 0) {
        return FR_OK;
    }
    bool is_folder = S_ISDIR(from.st_mode);
    if (is_folder ? !is_entry(input, &to) : !is_same(&to, &from)) {
        return FR_OK;
    }
    return FR_FAIL(ctx, FR_ERR_ARG, "%s %s is %s that %s reads; name another one",
                   option, output, is_folder ? "a file of the folder" : "the file",
                   reader);
}

/* A regular file is replaced as a whole; anything else is written to. */
fr_status fr_output_write(fr_ctx *ctx, const char *path, const char *text, size_t bytes)
{
    struct stat info;
    if (lstat(path, &info) != 0 || S_ISREG(info.st_mode)) {
        return fr_file_replace(ctx, path, text, bytes);
    }
    FILE *file = NULL;
    FR_TRY(fr_file_open_output(ctx, path, &file));
    bool good = fwrite(text, 1, bytes, file) == bytes;
    good = fclose(file) == 0 && good;
    return good ? FR_OK
                : FR_FAIL(ctx, FR_ERR_IO, "cannot write to %s: %s", path,
                          strerror(errno));
}
