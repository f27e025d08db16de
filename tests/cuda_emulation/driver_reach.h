/*
 * driver_reach.h - what an MPI that takes the memory of GPUs would ask the driver for: whether an address is in it, and copies
 * that are in no stream's order. For cuda_aware_mpi.c; the real driver has neither under these names.
 */
#ifndef FR_CUDA_EMULATION_DRIVER_REACH_H
#define FR_CUDA_EMULATION_DRIVER_REACH_H

#include "driver_state.h"

extern "C" __attribute__((visibility("default"))) int fr_emulated_holds(const void *at)
{
    std::lock_guard<std::recursive_mutex> guard(all.lock);
    return all.space.is_reserved(reinterpret_cast<fr_cu_address>(at), 1);
}

/* At once, past all that is queued. One side may be the host's. */
extern "C" __attribute__((visibility("default"))) void
fr_emulated_copy_now(void *to, const void *from, size_t bytes)
{
    std::lock_guard<std::recursive_mutex> guard(all.lock);
    const void *ends[] = {to, from};
    for (const void *end : ends) {
        auto at = reinterpret_cast<fr_cu_address>(end);
        if (all.space.is_reserved(at, 1) && !all.space.holds(at, bytes)) {
            stop("a message", "its memory is not that of a GPU throughout");
        }
    }
    all.space.protect(PROT_READ | PROT_WRITE);
    memcpy(to, from, bytes);
    all.space.protect(PROT_NONE);
}

#endif
