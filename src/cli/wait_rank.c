/*
 * A rank that waits for a debugger.
 *
 * The wait ends when the kernel names a tracer in /proc/self/status, so a debugger has nothing to set: `gdb -p PID`,
 * breakpoints, `continue`. Where only parents may trace (kernel.yama.ptrace_scope=1), the process lifts that limit for
 * itself. The rank waits before any watch exists, so no timeout ends the wait; a first SIGTERM or SIGINT does.
 */
#define _GNU_SOURCE
#include "cli/wait_rank.h"

#include "base/clock.h"
#include "base/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { HOST_BYTES = 256, LINE_BYTES = 256, MAX_DIGITS = 9 };

/* The rank that the environment names; -1: none. */
static fr_status read_setting(fr_ctx *ctx, int n_ranks, int *out)
{
    const char *text = getenv("FORERUN_WAIT_RANK");
    *out = -1;
    if (text == NULL || text[0] == '\0') {
        return FR_OK;
    }
    size_t n_digits = strspn(text, "0123456789");
    if (text[n_digits] == '\0' && n_digits <= MAX_DIGITS) {
        *out = (int)strtol(text, NULL, 10);
    }
    if (*out < 0 || *out >= n_ranks) {
        return FR_FAIL(
            ctx, FR_ERR_ARG,
            "FORERUN_WAIT_RANK is \"%s\"; allowed is a rank of this run, from 0 "
            "to %d",
            text, n_ranks - 1);
    }
    return FR_OK;
}

static bool is_traced(void)
{
    static const char KEY[] = "TracerPid:";
    char line[LINE_BYTES];
    long tracer = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, KEY, sizeof KEY - 1) == 0) {
            tracer = strtol(line + sizeof KEY - 1, NULL, 10);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return tracer != 0;
}

fr_status fr_wait_for_debugger(fr_ctx *ctx, fr_group *world)
{
    enum {
        PAUSE_NS = 50 * 1000 * 1000
    }; /* a person at a debugger does not notice it */
    char host[HOST_BYTES];
    int rank = -1;
    FR_TRY(fr_group_agree(world, read_setting(ctx, fr_group_size(world), &rank)));
    if (rank != fr_group_rank(world)) {
        return FR_OK;
    }
    fr_machine_host("an unknown host", host, sizeof host);
    (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    fr_log_own(ctx, FR_LOG_WARN,
               "rank %d waits on %s for a debugger (FORERUN_WAIT_RANK): gdb -p %ld",
               rank, host, (long)getpid());
    while (!is_traced()) {
        fr_sleep_ns(PAUSE_NS);
    }
    return FR_OK;
}
