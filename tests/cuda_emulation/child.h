/*
 * child.h - a test in a process of its own, which may end in any way.
 */
#ifndef FR_CUDA_EMULATION_CHILD_H
#define FR_CUDA_EMULATION_CHILD_H

#include "support/suite.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct fr_child {
    bool crashed; /* by a signal, or as a sanitizer ends it */
    int code;
    char said[4096]; /* on stderr */
} fr_child;

/** Run `what` with a seed in a child; its result is the exit code. */
static inline fr_child fr_child_run(int (*what)(void), int seed)
{
    fr_child out = {false, -1, ""};
    int ends[2];
    char text[16];
    (void)fflush(NULL);
    if (pipe(ends) != 0) {
        return out;
    }
    pid_t child = fork();
    if (child == 0) {
        (void)snprintf(text, sizeof text, "%d", seed);
        (void)setenv("FR_EMULATED_SEED", text, 1);
        (void)dup2(ends[1], STDERR_FILENO);
        (void)close(ends[0]);
        _exit(what());
    }
    (void)close(ends[1]);
    size_t n = 0;
    char rest[512];
    for (ssize_t got = 1; got > 0;) {
        bool fits = n < sizeof out.said - 1;
        got = fits ? read(ends[0], out.said + n, sizeof out.said - 1 - n)
                   : read(ends[0], rest, sizeof rest);
        n += fits && got > 0 ? (size_t)got : 0;
    }
    (void)close(ends[0]);
    int status = 0;
    if (child > 0 && waitpid(child, &status, 0) == child) {
        out.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        out.crashed =
            WIFSIGNALED(status) || strstr(out.said, "AddressSanitizer") != NULL;
    }
    return out;
}

/** Assert that the child ends with this code for the seeds 0 to 7. */
static inline void fr_child_assert(const char *name, int (*what)(void), int code)
{
    for (int seed = 0; seed < 8; seed++) {
        fr_child child = fr_child_run(what, seed);
        if (child.crashed || child.code != code) {
            printf("%s, seed %d: code %d for %d; %s\n", name, seed, child.code, code,
                   child.said);
        }
        CU_ASSERT(!child.crashed);
        CU_ASSERT_EQUAL(child.code, code);
    }
}

/** Assert that it crashes with a message that has this part, for each of the seeds. */
static inline void fr_child_assert_crash(const char *name, int (*what)(void),
                                         const char *part)
{
    for (int seed = 0; seed < 8; seed++) {
        fr_child child = fr_child_run(what, seed);
        bool says_so = strstr(child.said, part) != NULL;
        if (!child.crashed || !says_so) {
            printf("%s, seed %d: code %d, \"%s\" wanted; %s\n", name, seed, child.code,
                   part, child.said);
        }
        CU_ASSERT(child.crashed);
        CU_ASSERT(says_so);
    }
}

/** Assert that it ends with this code for some of the seeds: bits that are wrong now and then. */
static inline void fr_child_assert_at_times(const char *name, int (*what)(void),
                                            int code)
{
    int n = 0;
    for (int seed = 0; seed < 8; seed++) {
        fr_child child = fr_child_run(what, seed);
        CU_ASSERT(!child.crashed);
        n += child.code == code;
    }
    if (n == 0) {
        printf("%s: code %d never comes\n", name, code);
    }
    CU_ASSERT(n > 0);
}

#endif
