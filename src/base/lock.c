/*
 * A lock on a file, in two forms: one whose file stays (run folders), and one whose file the holder removes
 * (outputs).
 *
 * The lock is a POSIX record lock over the whole file. The kernel drops it when the holder ends, so a killed run
 * leaves nothing to clean up; a file that only marks its presence would. The content of a lock file is a note for
 * people: who holds it, with the host, since over a shared file system the process id alone says little.
 *
 * A file that its holder removes needs one more step. A process that waited gets the lock of the removed file, while
 * a third one may have created a new file under the name. So the lock counts only if the name still leads to the
 * locked file, and otherwise the process starts again.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/lock.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/machine.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* HOLDER_BYTES must hold "pid ", a long, " on " and a host. */
enum { HOLDER_BYTES = 160, HOST_BYTES = 128 };

struct fr_lock {
    int file;
};

/* POSIX allows both errors for a lock that another process holds. Any other error means that there are no locks. */
static bool is_held_by_another(int error)
{
    return error == EACCES || error == EAGAIN;
}

/* 0, or the error number. */
/* A length of 0, left out here, means the whole file, however long it grows. */
static int try_lock(int file)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int result = fcntl(file, F_SETLK, &whole);
    while (result != 0 && errno == EINTR) {
        result = fcntl(file, F_SETLK, &whole);
    }
    return result == 0 ? 0 : errno;
}

/* Tries again until the time is over, since the processes of a killed launcher may live a moment longer. 20 ms
 * between two tries: no user notices the delay, and a server of a shared file system is not flooded. */
static int try_for(fr_ctx *ctx, int file, const char *what, double wait_seconds)
{
    enum { PAUSE_NS = 20000000 };
    int error = try_lock(file);
    if (is_held_by_another(error) && wait_seconds > 0) {
        fr_log(ctx, FR_LOG_INFO, "the %s is in use; waiting up to %.0f s", what,
               wait_seconds);
    }
    for (double waited = 0; is_held_by_another(error) && waited < wait_seconds;
         waited += 1e-9 * PAUSE_NS) {
        fr_sleep_ns(PAUSE_NS);
        error = try_lock(file);
    }
    return error;
}

/* Whether the file is empty or holds what write_holder writes. Anything else may be another file under a second
 * name (a hard link), and is not overwritten. */
static bool is_lock_file(int file)
{
    static const char START[] = "pid ";
    char start[sizeof START - 1];
    ssize_t n = pread(file, start, sizeof start, 0);
    return n == 0 ||
           (n == (ssize_t)sizeof start && memcmp(start, START, sizeof start) == 0);
}

/* For people alone, so a failure to write it is ignored. */
static void write_holder(int file)
{
    char text[HOLDER_BYTES];
    char host[HOST_BYTES];
    fr_machine_host("?", host, sizeof host);
    int length = snprintf(text, sizeof text, "pid %ld on %s\n", (long)getpid(), host);
    if (!is_lock_file(file) || ftruncate(file, 0) != 0 ||
        pwrite(file, text, (size_t)length, 0) != length) {
        return;
    }
}

/* The first line of the file, or "unknown pid": the holder may be just about to write it. */
static void read_holder(int file, char out[HOLDER_BYTES])
{
    ssize_t length = pread(file, out, HOLDER_BYTES - 1, 0);
    out[length > 0 ? length : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    if (out[0] == '\0') {
        (void)snprintf(out, HOLDER_BYTES, "unknown pid");
    }
}

/* Creates the file where it is missing. A link or another kind of file was put there by somebody else, so the
 * message asks the user to look. */
static fr_status open_file(fr_ctx *ctx, const char *path, int *file)
{
    *file = fr_open_own(path, O_RDWR);
    if (*file < 0 && (errno == ELOOP || errno == EISDIR || errno == ENOTSUP)) {
        return FR_FAIL(ctx, FR_ERR_IO,
                       "%s is not a regular file (%s); find out who made it, and "
                       "remove it",
                       path,
                       errno == ELOOP ? "a symbolic link"
                                      : "a folder, FIFO, device or socket");
    }
    if (*file < 0) {
        return FR_FAIL(ctx, FR_ERR_IO,
                       "cannot create %s: %s; check the folder and its permissions",
                       path, strerror(errno));
    }
    return FR_OK;
}

/* The lock, with what try_for returned: 0, or the error of a file system without locks, which is a warning. */
static fr_status keep(fr_ctx *ctx, int file, const char *path, const char *what,
                      int error, fr_lock **out)
{
    if (error != 0) {
        fr_log_own(ctx, FR_LOG_WARN,
                   "cannot lock %s: %s; make sure that no other run uses the %s", path,
                   strerror(error), what);
    }
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    (*out)->file = file;
    return FR_OK;
}

fr_status fr_lock_take(fr_ctx *ctx, const char *path, const char *what,
                       double wait_seconds, fr_lock **out)
{
    char holder[HOLDER_BYTES];
    int file = -1;
    *out = NULL;
    FR_TRY(open_file(ctx, path, &file));
    fr_status status = FR_OK;
    int error = try_for(ctx, file, what, wait_seconds);
    if (is_held_by_another(error)) {
        read_holder(file, holder);
        status = FR_FAIL(ctx, FR_ERR_IO,
                         "another run (%s) is writing to the %s; wait for its end, "
                         "stop it, or choose another folder",
                         holder, what);
    } else {
        if (error == 0) {
            write_holder(file);
        }
        status = keep(ctx, file, path, what, error, out);
    }
    if (status != FR_OK) {
        (void)close(file);
    }
    return status;
}

/* Whether the name still leads to the open file. A holder removes the file before it gives the lock back, so a
 * process that waited may get the lock of a file that no name leads to any more. */
static bool is_named(int file, const char *path)
{
    struct stat by_name;
    struct stat opened;
    return fstat(file, &opened) == 0 && lstat(path, &by_name) == 0 &&
           opened.st_dev == by_name.st_dev && opened.st_ino == by_name.st_ino;
}

/* The file has the caller's content, so the kernel is asked for the holder. It gives 0 where the holder has just
 * ended. */
static fr_status fail_held(fr_ctx *ctx, int file, const char *what)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    long pid = fcntl(file, F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK
                   ? (long)whole.l_pid
                   : 0;
    return FR_FAIL(ctx, FR_ERR_IO,
                   "another process (pid %ld) is writing to the %s; wait for its end, "
                   "stop it, or name another one",
                   pid, what);
}

fr_status fr_lock_take_removable(fr_ctx *ctx, const char *path, const char *what,
                                 double wait_seconds, fr_lock **out)
{
    /* Each try is lost only if another process removes the file during it. */
    enum { TRIES = 100 };
    *out = NULL;
    for (int i = 0; i < TRIES; i++) {
        int file = -1;
        FR_TRY(open_file(ctx, path, &file));
        int error = try_for(ctx, file, what, wait_seconds);
        fr_status status = FR_OK;
        if (is_held_by_another(error)) {
            status = fail_held(ctx, file, what);
        } else if (is_named(file, path)) {
            status = keep(ctx, file, path, what, error, out);
        }
        if (*out != NULL) {
            return FR_OK;
        }
        (void)close(file);
        FR_TRY(status);
    }
    return FR_FAIL(
        ctx, FR_ERR_IO,
        "cannot lock %s: other processes remove it again and again; end them, or "
        "name another file",
        path);
}

int fr_lock_file(const fr_lock *lock)
{
    return lock->file;
}

void fr_lock_release(fr_lock **lock)
{
    if (*lock != NULL) {
        (void)close((*lock)->file);
        free(*lock);
        *lock = NULL;
    }
}
