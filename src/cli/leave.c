/* How the process exits early: after a second signal, or when the watch gives a run up.
 *
 * fr_leave runs in a thread while the main thread may be anywhere, possibly inside malloc or stdio and holding their
 * locks. It therefore takes no lock of the C library, flushes nothing and runs no exit handler: it writes with
 * write(2), waits a bounded time for a reader of standard error, and calls _exit. What it prints was prepared by the
 * command beforehand (fr_farewell); the atomic flag publishes the text to that thread.
 *
 * A server has clients to tell that it ends (fr_farewell_tell). That takes locks, which the main thread does not hold while it waits
 * for another rank; so it is done only where the watch gives up such a wait, and after the text is out.
 */
#define _POSIX_C_SOURCE 200809L
#include "cli/commands.h"

#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Longest wait for a reader of standard error, for each piece: a reader that is slower than 0.3 s hangs. Longest
 * text. */
enum { PIPE_MS = 300, FAREWELL_BYTES = 8192 };

struct fr_farewell {
    atomic_bool is_set; /* the text is complete and applies */
    char text[FAREWELL_BYTES];
    void *user; /* of tell; set before it */
    _Atomic(fr_farewell_call *) tell;
};

fr_farewell *fr_farewell_create(void)
{
    return calloc(1, sizeof(fr_farewell));
}

void fr_farewell_set(fr_farewell *farewell, const char *text)
{
    if (farewell != NULL && text != NULL && !atomic_load(&farewell->is_set)) {
        (void)snprintf(farewell->text, sizeof farewell->text, "%s", text);
        atomic_store(&farewell->is_set, true);
    }
}

void fr_farewell_take_back(fr_farewell *farewell)
{
    if (farewell != NULL) {
        atomic_store(&farewell->is_set, false);
    }
}

void fr_farewell_tell(fr_farewell *farewell, fr_farewell_call *tell, void *user)
{
    if (farewell != NULL) {
        if (tell != NULL) {
            farewell->user = user;
        }
        atomic_store(&farewell->tell, tell);
    }
}

/* A pipe that is polled writable takes PIPE_BUF bytes without blocking. */
static void write_out(const char *text)
{
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
}

_Noreturn void fr_leave(void *argument, int exit_code, const char *text)
{
    fr_farewell *farewell = argument;
    write_out(text);
    if (farewell != NULL && atomic_load(&farewell->is_set)) {
        write_out(farewell->text);
    }
    fr_farewell_call *tell = farewell != NULL ? atomic_load(&farewell->tell) : NULL;
    if (tell != NULL && exit_code == fr_status_exit_code(FR_ERR_COMM)) {
        tell(farewell->user);
    }
    _exit(exit_code);
}
