/*
 * driver_memory.h - the part of driver.cpp about memory: addresses, what is mapped behind them, and pinned memory of the host.
 */
#ifndef FR_CUDA_EMULATION_DRIVER_MEMORY_H
#define FR_CUDA_EMULATION_DRIVER_MEMORY_H

#include "driver_state.h"

fr_cu_result fr_driver_memory_info(size_t *available, size_t *total)
{
    FR_ENTER(memory_info);
    FR_REFUSE_IF(available == nullptr || total == nullptr, INVALID_VALUE);
    *total = all.set.memory_bytes;
    *available = all.set.memory_bytes - all.gpus[current].used;
    return FR_CU_SUCCESS;
}

static bool is_allocation(const fr_cu_allocation *allocation)
{
    return allocation != nullptr && allocation->type == FR_CU_PINNED &&
           allocation->location.type == FR_CU_ON_DEVICE &&
           is_device(allocation->location.id);
}

fr_cu_result fr_driver_grain(size_t *grain, const fr_cu_allocation *allocation,
                             int which)
{
    FR_ENTER_AS(grain, false);
    FR_REFUSE_IF(grain == nullptr || !is_allocation(allocation) || which < 0 ||
                     which > 1,
                 INVALID_VALUE);
    *grain = GRAIN;
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_address_reserve(fr_cu_address *base, size_t bytes,
                                       size_t alignment, fr_cu_address wanted,
                                       unsigned long long flags)
{
    FR_ENTER(address_reserve);
    (void)wanted; /* a hint */
    FR_REFUSE_IF(base == nullptr || bytes == 0 || bytes % GRAIN != 0 || flags != 0 ||
                     (alignment & (alignment - 1)) != 0,
                 INVALID_VALUE);
    size_t align = alignment < GRAIN ? GRAIN : alignment;
    void *m = mmap(nullptr, bytes + align, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    FR_REFUSE_IF(m == MAP_FAILED, FR_CU_OUT_OF_MEMORY);
    auto first = reinterpret_cast<fr_cu_address>(m);
    fr_cu_address at = (first + align - 1) / align * align;
    if (at != first) {
        (void)munmap(m, at - first);
    }
    if (at + bytes != first + bytes + align) {
        (void)munmap(host(at + bytes), first + align - at);
    }
    all.space.reserved[at] = bytes;
    *base = at;
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_address_free(fr_cu_address base, size_t bytes)
{
    FR_ENTER(address_free);
    auto it = all.space.reserved.find(base);
    FR_REFUSE_IF(it == all.space.reserved.end() || it->second != bytes, INVALID_VALUE);
    auto inside = all.space.mapped.lower_bound(base);
    FR_REFUSE_IF(inside != all.space.mapped.end() && inside->first < base + bytes,
                 INVALID_VALUE);
    (void)munmap(host(base), bytes);
    all.space.reserved.erase(it);
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_memory_create(unsigned long long *handle, size_t bytes,
                                     const fr_cu_allocation *allocation,
                                     unsigned long long flags)
{
    FR_ENTER(memory_create);
    FR_REFUSE_IF(handle == nullptr || bytes == 0 || bytes % GRAIN != 0 || flags != 0 ||
                     !is_allocation(allocation),
                 INVALID_VALUE);
    gpu &g = all.gpus[allocation->location.id];
    FR_REFUSE_IF(bytes > all.set.memory_bytes - g.used, FR_CU_OUT_OF_MEMORY);
    g.used += bytes;
    *handle = reinterpret_cast<uintptr_t>(all.handle<void *>());
    all.memories[*handle] = {bytes, allocation->location.id, false, false, false};
    return FR_CU_SUCCESS;
}

static void forget_if_unused(unsigned long long handle)
{
    auto it = all.memories.find(handle);
    if (it->second.is_released && !it->second.is_mapped) {
        all.gpus[it->second.gpu].used -= it->second.bytes;
        all.memories.erase(it);
    }
}

fr_cu_result fr_driver_memory_release(unsigned long long handle)
{
    FR_ENTER(memory_release);
    auto it = all.memories.find(handle);
    FR_REFUSE_IF(it == all.memories.end() || it->second.is_released, INVALID_VALUE);
    it->second.is_released = true;
    forget_if_unused(handle);
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_memory_map(fr_cu_address at, size_t bytes, size_t offset,
                                  unsigned long long handle, unsigned long long flags)
{
    FR_ENTER(memory_map);
    auto it = all.memories.find(handle);
    FR_REFUSE_IF(it == all.memories.end() || it->second.is_released ||
                     it->second.bytes != bytes || offset != 0 || flags != 0 ||
                     at % GRAIN != 0 || !all.space.is_reserved(at, bytes),
                 INVALID_VALUE);
    auto next = all.space.mapped.lower_bound(at);
    FR_REFUSE_IF(next != all.space.mapped.end() && next->first < at + bytes,
                 INVALID_VALUE);
    if (next != all.space.mapped.begin()) {
        --next;
        FR_REFUSE_IF(next->first + next->second.bytes > at, INVALID_VALUE);
    }
    if (it->second.was_mapped) {
        stop("cuMemMap", "the emulation maps memory once");
    }
    FR_REFUSE_IF(!map_rubbish(at, bytes, PROT_NONE), FR_CU_OUT_OF_MEMORY);
    it->second.is_mapped = true;
    it->second.was_mapped = true;
    all.space.mapped[at] = {bytes, handle, false};
    return FR_CU_SUCCESS;
}

static void unmap(fr_cu_address at, size_t bytes)
{
    close_addresses(at, bytes);
    for (auto it = all.space.mapped.find(at);
         it != all.space.mapped.end() && it->first < at + bytes;) {
        unsigned long long handle = it->second.handle;
        it = all.space.mapped.erase(it);
        all.memories[handle].is_mapped = false;
        forget_if_unused(handle);
    }
}

fr_cu_result fr_driver_memory_unmap(fr_cu_address at, size_t bytes)
{
    FR_ENTER(memory_unmap);
    FR_REFUSE_IF(!all.space.whole(at, bytes), INVALID_VALUE);
    no_work_may_be_queued("cuMemUnmap", "work is queued that may use the memory");
    unmap(at, bytes);
    return FR_CU_SUCCESS;
}

/* The memory of a GPU whose context ends. Addresses and pinned memory are the process's. */
static size_t forget_memory(int gpu)
{
    std::vector<unsigned long long> handles;
    for (auto &m : all.memories) {
        if (m.second.gpu == gpu) {
            m.second.is_released = true;
            handles.push_back(m.first);
        }
    }
    for (unsigned long long handle : handles) {
        auto it = all.space.mapped.begin();
        while (it != all.space.mapped.end() && it->second.handle != handle) {
            ++it;
        }
        if (it != all.space.mapped.end()) {
            unmap(it->first, it->second.bytes);
        } else {
            forget_if_unused(handle);
        }
    }
    return handles.size();
}

fr_cu_result fr_driver_memory_access(fr_cu_address at, size_t bytes,
                                     const fr_cu_access *access, size_t count)
{
    FR_ENTER(memory_access);
    FR_REFUSE_IF(access == nullptr || count != 1 || !all.space.whole(at, bytes),
                 INVALID_VALUE);
    FR_REFUSE_IF(access->location.type != FR_CU_ON_DEVICE ||
                     !is_device(access->location.id) ||
                     access->flags != FR_CU_READ_WRITE,
                 INVALID_VALUE);
    for (auto it = all.space.mapped.find(at);
         it != all.space.mapped.end() && it->first < at + bytes; ++it) {
        it->second.is_open = true;
        all.space.is_open = false; /* not this memory, where there is no wall */
    }
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_host_alloc(void **memory, size_t bytes, unsigned flags)
{
    FR_ENTER(host_alloc);
    FR_REFUSE_IF(memory == nullptr || bytes == 0 || flags > 7, INVALID_VALUE);
    size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    size_t room = (bytes + page - 1) / page * page;
    void *m = aligned_alloc(page, room);
    FR_REFUSE_IF(m == nullptr, FR_CU_OUT_OF_MEMORY);
    memset(m, RUBBISH, room);
    all.pinned[static_cast<const char *>(m)] = room;
    *memory = m;
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_host_free(void *memory)
{
    FR_ENTER(host_free);
    auto it = all.pinned.find(static_cast<const char *>(memory));
    FR_REFUSE_IF(it == all.pinned.end(), INVALID_VALUE);
    bool is_used = false;
    for (const auto &s : all.streams) {
        for (const work &w : s.second.queue) {
            const void *at = w.what == work::TO_HOST          ? w.to
                             : w.what == work::TO_DEVICE_LATE ? w.from
                                                              : nullptr;
            auto used = static_cast<const char *>(at);
            is_used = is_used || (used >= it->first && used < it->first + it->second);
        }
    }
    if (is_used) {
        no_work_may_be_queued("cuMemFreeHost", "a queued copy uses the memory");
    }
    free(memory);
    all.pinned.erase(it);
    return FR_CU_SUCCESS;
}

#endif
