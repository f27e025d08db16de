#define _POSIX_C_SOURCE 200809L
#include "cli/commands.h"

#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* Longest wait for a reader of standard error, per piece. */
enum { PIPE_MS = 300 };

/*
 * Runs in a thread while the main thread may be anywhere, so: no lock of the C library, no flush, no handler
 * of exit. A pipe that is polled writable takes PIPE_BUF bytes without blocking.
 */
_Noreturn void fr_leave(void *argument, int exit_code, const char *text)
{
    (void)argument;
    size_t left = strlen(text);
    ssize_t written = 1;
    while (left > 0 && written > 0) {
        struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
        written = poll(&out, 1, PIPE_MS) == 1
                      ? write(STDERR_FILENO, text, left < PIPE_BUF ? left : PIPE_BUF)
                      : 0;
        text += written > 0 ? written : 0;
        left -= written > 0 ? (size_t)written : 0;
    }
    _exit(exit_code);
}
