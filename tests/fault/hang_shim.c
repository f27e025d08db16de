/*
 * hang_shim.c - preloaded into a program, lets its calls on a path hang for ever, as those on a dead network folder
 * do. It stands in for one: the thread sleeps in the C library where a real one sleeps in the kernel.
 *
 * Environment:
 *   HANG_PATH     the file, or the folder with all that it holds
 *   HANG_CALL     open, write, fsync or mkdir: this call alone; not set: any of them
 *   HANG_MARK     a file that is created when the first call hangs
 *   HANG_RELEASE  calls go on once this file is there; not set: never
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 1024, LINK_BYTES = 64 };

static bool is_under(const char *path)
{
    const char *wanted = getenv("HANG_PATH");
    size_t length = wanted != NULL ? strlen(wanted) : 0;
    return length > 0 && strncmp(path, wanted, length) == 0 &&
           (path[length] == '/' || path[length] == '\0' || path[length] == '.');
}

static bool is_chosen(const char *call)
{
    const char *wanted = getenv("HANG_CALL");
    return wanted == NULL || strcmp(wanted, call) == 0;
}

static void hang(const char *call, const char *path)
{
    static const struct timespec PAUSE = {0, 20 * 1000 * 1000};
    const char *mark = getenv("HANG_MARK");
    const char *release = getenv("HANG_RELEASE");
    if (!is_under(path) || !is_chosen(call)) {
        return;
    }
    if (mark != NULL) {
        long file = syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT, 0666);
        (void)syscall(SYS_close, file);
    }
    while (release == NULL || access(release, F_OK) != 0) {
        (void)nanosleep(&PAUSE, NULL);
    }
}

static void hang_at(const char *call, int file)
{
    char name[LINK_BYTES];
    char path[PATH_BYTES];
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (length > 0) {
        path[length] = '\0';
        hang(call, path);
    }
}

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    hang("open", path);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    hang("open", path);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

FILE *fopen(const char *path, const char *mode)
{
    void *symbol = dlsym(RTLD_NEXT, "fopen");
    FILE *(*next)(const char *, const char *) = NULL;
    memcpy(&next, &symbol, sizeof next);
    hang("open", path);
    return next(path, mode);
}

ssize_t write(int file, const void *data, size_t bytes)
{
    hang_at("write", file);
    return (ssize_t)syscall(SYS_write, file, data, bytes);
}

int fsync(int file)
{
    hang_at("fsync", file);
    return (int)syscall(SYS_fsync, file);
}

int mkdir(const char *path, mode_t mode)
{
    hang("mkdir", path);
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
