/*
 * driver_reach.h - what other libraries have of a GPU. An MPI that takes its memory (cuda_aware_mpi.c): whether an address is in
 * it, and copies that are in no stream's order. A library of kernels (cublaslt.cpp): whether it may use memory, and work in
 * a stream's order. NCCL (nccl.c): such work that other ranks take part in. The real driver has none of them under these names.
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

extern "C" __attribute__((visibility("default"))) int
fr_emulated_may_use(const void *at, size_t bytes)
{
    std::lock_guard<std::recursive_mutex> guard(all.lock);
    return all.space.holds(reinterpret_cast<fr_cu_address>(at), bytes);
}

/* `run` gets a copy of these bytes. @return 0, or an error of the driver */
extern "C" __attribute__((visibility("default"))) int
fr_emulated_call(fr_cu_stream s, void (*run)(const void *), const void *arguments,
                 size_t bytes)
{
    std::lock_guard<std::recursive_mutex> guard(all.lock);
    bool has_context = current >= 0 && all.gpus[current].retained > 0;
    FR_REFUSE_IF(all.sticky != 0, all.sticky);
    FR_REFUSE_IF(!has_context, INVALID_CONTEXT);
    FR_REFUSE_IF(!is_stream(s), INVALID_HANDLE);
    work w = {work::CALL, nullptr, nullptr, 0, 0, {}, {}, nullptr};
    auto from = static_cast<const unsigned char *>(arguments);
    w.held.assign(from, from + bytes);
    w.call = run;
    return all.ask(s, std::move(w));
}

/* Work whose steps another library does: from the first one, when the stream reaches it, to the one that returns 1, nothing else
 * runs. The GPU's memory is open to them. @return whether there is such a stream, and the memory is that of a GPU throughout */
extern "C" __attribute__((visibility("default"))) int
fr_emulated_ask(void *on, int (*step)(void *argument), void *argument, const void *at,
                size_t bytes)
{
    std::lock_guard<std::recursive_mutex> guard(all.lock);
    auto which = static_cast<fr_cu_stream>(on);
    if (!is_stream(which) ||
        !all.space.holds(reinterpret_cast<fr_cu_address>(at), bytes)) {
        return 0;
    }
    work w = {work::FOREIGN, argument, nullptr, 0, 0, {}, {}, nullptr};
    w.step = step;
    return all.ask(which, std::move(w)) == FR_CU_SUCCESS;
}

#endif
