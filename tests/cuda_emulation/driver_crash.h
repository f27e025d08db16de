/*
 * driver_crash.h - says which kernel touched what it may not, or that the host touched the GPU's memory, before the program ends
 * as it would without this.
 */
#ifndef FR_CUDA_EMULATION_DRIVER_CRASH_H
#define FR_CUDA_EMULATION_DRIVER_CRASH_H

#include "driver_state.h"

#include <csignal>

namespace
{

struct sigaction before; /* what is done about a crash otherwise */

void tell_crash(int number, siginfo_t *info, void *)
{
    char text[256];
    auto at = reinterpret_cast<fr_cu_address>(info->si_addr);
    bool is_memory = all.space.is_reserved(at, 1);
    if (all.running != nullptr || is_memory) {
        int n = snprintf(text, sizeof text, "emulation: %s%s touches %p, which is %s\n",
                         all.running != nullptr ? "kernel " : "the host",
                         all.running != nullptr ? all.running : "", info->si_addr,
                         !is_memory               ? "outside the GPU's memory"
                         : all.running != nullptr ? "not mapped"
                                                  : "the GPU's memory");
        if (write(STDERR_FILENO, text, static_cast<size_t>(n)) != n) {
            /* it is lost */
        }
    }
    (void)sigaction(number, &before, nullptr); /* it happens again at once */
}

/* A stack may be what overflowed, so it has one of its own. */
void watch_for_crashes(void)
{
    static char own[64 << 10];
    static bool watches = false;
    if (watches) {
        return;
    }
    watches = true;
    stack_t old = {};
    stack_t stack = {};
    stack.ss_sp = own;
    stack.ss_size = sizeof own;
    struct sigaction what = {};
    what.sa_sigaction = tell_crash;
    what.sa_flags = SA_SIGINFO | SA_ONSTACK;
    if (sigaltstack(nullptr, &old) == 0 && (old.ss_flags & SS_DISABLE) != 0) {
        (void)sigaltstack(&stack, nullptr);
    }
    (void)sigaction(SIGSEGV, &what, &before);
}

} // namespace

#endif
