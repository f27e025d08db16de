/*
 * crash_shim.c - preloaded into a program, disturbs one of its system calls on the files of a folder.
 *
 * Environment:
 *   CRASH_FOLDER  the folder: it, and every path that starts with it and a slash
 *   CRASH_LOG     a file outside that gets a line "CALL_ID CALL PATH" for each call met; the id is m1, m2, ... for
 *                 calls of the main thread and w1, w2, ... for those of the one that writes checkpoints: each
 *                 thread's calls come in the same order in every run, whatever the other does
 *   CRASH_AT      id of the call to disturb; empty: only count
 *   CRASH_MODE    enospc, eio  the call fails and does nothing (a close closes all the same)
 *                 full         the call and every later one of any thread that takes space fail with ENOSPC
 *                 short        a write takes half of its bytes
 *                 kill         SIGKILL before the call; before a thread's call k + 1 is after its call k
 *                 torn         a write takes half of its bytes, then SIGKILL
 *                 hang         once there is a file CRASH_FOLDER/hang, opening a line file never ends
 *                 slow         every fsync takes CRASH_MS milliseconds, whatever CRASH_AT
 *
 * The C library's own calls do not come by here: streams are replaced by ones that write through this file.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { N_FILES = 256, PATH_BYTES = 1024, LINE_BYTES = PATH_BYTES + 64, ID_BYTES = 24 };

typedef enum action { PASS, FAIL, HALVE, TEAR } action;

/* What this process did so far; each count belongs to its thread. */
typedef struct record {
    long met_by_main;
    long met_by_writer;
    atomic_bool is_full;
    char paths[N_FILES][PATH_BYTES]; /* of open descriptors, "" for others */
} record;

static record done;

/* Written by a thread of its own whenever it likes: calls on it have no fixed number. */
static bool is_slot(const char *path)
{
    size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".slot") == 0;
}

static bool is_under(const char *path)
{
    const char *folder = getenv("CRASH_FOLDER");
    size_t length = folder != NULL ? strlen(folder) : 0;
    return length > 0 && !is_slot(path) && strncmp(path, folder, length) == 0 &&
           (path[length] == '/' || path[length] == '\0');
}

static const char *path_of(int file)
{
    return file >= 0 && file < N_FILES ? done.paths[file] : "";
}

static bool is_met(int file)
{
    return path_of(file)[0] != '\0';
}

static void log_call(const char *id, const char *call, const char *path)
{
    const char *name = getenv("CRASH_LOG");
    char line[LINE_BYTES];
    int bytes = snprintf(line, sizeof line, "%s %s %s\n", id, call, path);
    long log = name != NULL ? syscall(SYS_openat, AT_FDCWD, name,
                                      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)
                            : -1;
    if (log >= 0) {
        (void)syscall(SYS_write, log, line, (size_t)bytes);
        (void)syscall(SYS_close, log);
    }
}

/* Count a call and say what is to happen to it; errno is set for FAIL. */
static action meet(const char *call, const char *path, bool takes_space)
{
    const char *at = getenv("CRASH_AT");
    const char *mode = getenv("CRASH_MODE");
    bool is_main = syscall(SYS_gettid) == getpid();
    long *met = is_main ? &done.met_by_main : &done.met_by_writer;
    bool is_write = strstr(call, "write") != NULL;
    char id[ID_BYTES];
    (void)snprintf(id, sizeof id, "%c%ld", is_main ? 'm' : 'w', ++*met);
    log_call(id, call, path);
    bool is_chosen = mode != NULL && at != NULL && strcmp(at, id) == 0;
    if (is_chosen && strcmp(mode, "full") == 0) {
        atomic_store(&done.is_full, true);
    }
    if (atomic_load(&done.is_full) && takes_space) {
        errno = ENOSPC;
        return FAIL;
    }
    if (!is_chosen) {
        return PASS;
    }
    if (strcmp(mode, "kill") == 0) {
        (void)kill(getpid(), SIGKILL);
    }
    if (strcmp(mode, "enospc") == 0 || strcmp(mode, "eio") == 0) {
        errno = strcmp(mode, "eio") == 0 ? EIO : ENOSPC;
        return FAIL;
    }
    return strcmp(mode, "short") == 0 && is_write  ? HALVE
           : strcmp(mode, "torn") == 0 && is_write ? TEAR
                                                   : PASS;
}

static int open_met(const char *path, int flags, mode_t mode)
{
    if (meet((flags & O_CREAT) != 0 ? "create" : "open", path,
             (flags & O_CREAT) != 0) == FAIL) {
        return -1;
    }
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (file >= 0 && file < N_FILES) {
        (void)snprintf(done.paths[file], PATH_BYTES, "%s", path);
    }
    return file;
}

/* As on a network folder that was lost. */
static void hang_at(const char *path)
{
    char sign[PATH_BYTES];
    const char *folder = getenv("CRASH_FOLDER");
    const char *mode = getenv("CRASH_MODE");
    if (folder == NULL || mode == NULL || strcmp(mode, "hang") != 0 || !is_slot(path)) {
        return;
    }
    (void)snprintf(sign, sizeof sign, "%s/hang", folder);
    while (access(sign, F_OK) == 0) {
        (void)pause();
    }
}

/* A file without a name leaves nothing in the folder. */
int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    bool is_unnamed = (flags & O_TMPFILE) == O_TMPFILE;
    hang_at(path);
    if ((flags & O_CREAT) != 0 || is_unnamed) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    return is_under(path) && !is_unnamed
               ? open_met(path, flags, mode)
               : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int close(int file)
{
    action what = PASS;
    if (is_met(file)) {
        what = meet("close", path_of(file), false);
        done.paths[file][0] = '\0';
    }
    int error = errno;
    int result = (int)syscall(SYS_close, file);
    if (what == FAIL) {
        errno = error;
        return -1;
    }
    return result;
}

/* One write at an offset, or at the file's own where that is negative. */
static ssize_t write_met(const char *call, int file, const void *data, size_t bytes,
                         off_t offset)
{
    action what = is_met(file) ? meet(call, path_of(file), true) : PASS;
    if (what == FAIL) {
        return -1;
    }
    if (what != PASS && bytes > 1) {
        bytes /= 2;
    }
    ssize_t written = offset < 0
                          ? (ssize_t)syscall(SYS_write, file, data, bytes)
                          : (ssize_t)syscall(SYS_pwrite64, file, data, bytes, offset);
    if (what == TEAR) {
        (void)kill(getpid(), SIGKILL);
    }
    return written;
}

ssize_t write(int file, const void *data, size_t bytes)
{
    return write_met("write", file, data, bytes, -1);
}

ssize_t pwrite(int file, const void *data, size_t bytes, off_t offset)
{
    return write_met("pwrite", file, data, bytes, offset);
}

ssize_t writev(int file, const struct iovec *parts, int n_parts)
{
    return is_met(file) && n_parts > 0
               ? write_met("writev", file, parts[0].iov_base, parts[0].iov_len, -1)
               : (ssize_t)syscall(SYS_writev, file, parts, n_parts);
}

static void delay(void)
{
    const char *mode = getenv("CRASH_MODE");
    const char *ms = getenv("CRASH_MS");
    long wanted = ms != NULL ? strtol(ms, NULL, 10) : 0;
    if (mode != NULL && strcmp(mode, "slow") == 0) {
        const struct timespec rest = {wanted / 1000, wanted % 1000 * 1000000};
        (void)nanosleep(&rest, NULL);
    }
}

int fsync(int file)
{
    if (is_met(file)) {
        delay();
    }
    return is_met(file) && meet("fsync", path_of(file), true) == FAIL
               ? -1
               : (int)syscall(SYS_fsync, file);
}

int fdatasync(int file)
{
    return is_met(file) && meet("fdatasync", path_of(file), true) == FAIL
               ? -1
               : (int)syscall(SYS_fdatasync, file);
}

int ftruncate(int file, off_t bytes)
{
    return is_met(file) && meet("ftruncate", path_of(file), false) == FAIL
               ? -1
               : (int)syscall(SYS_ftruncate, file, bytes);
}

int rename(const char *from, const char *to)
{
    return is_under(to) && meet("rename", to, false) == FAIL
               ? -1
               : (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int unlink(const char *path)
{
    return is_under(path) && meet("unlink", path, false) == FAIL
               ? -1
               : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int mkdir(const char *path, mode_t mode)
{
    return is_under(path) && meet("mkdir", path, true) == FAIL
               ? -1
               : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

/* A stream's buffer goes out as the C library's own does: until all is written or a write fails. */
static ssize_t write_stream(void *cookie, const char *data, size_t bytes)
{
    size_t written = 0;
    while (written < bytes) {
        ssize_t part = write((int)(intptr_t)cookie, data + written, bytes - written);
        if (part < 0) {
            break;
        }
        written += (size_t)part;
    }
    return (ssize_t)written;
}

static int close_stream(void *cookie)
{
    return close((int)(intptr_t)cookie);
}

/* Streams for appending alone are counted; others are only read. */
FILE *fopen(const char *path, const char *mode)
{
    static const cookie_io_functions_t CALLS = {.write = write_stream,
                                                .close = close_stream};
    void *symbol = dlsym(RTLD_NEXT, "fopen");
    FILE *(*next)(const char *, const char *) = NULL;
    memcpy(&next, &symbol, sizeof next);
    if (!is_under(path) || mode[0] != 'a') {
        return next(path, mode);
    }
    int file = open_met(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    return file >= 0 ? fopencookie((void *)(intptr_t)file, mode, CALLS) : NULL;
}
