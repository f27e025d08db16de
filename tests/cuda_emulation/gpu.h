/*
 * gpu.h - what the emulated driver keeps of a GPU (driver.cpp): memory behind a wall, and streams that are late.
 *
 * Reserved addresses are real ones of this process, closed to it but while queued work runs (open_wall, close_wall). New memory
 * is a private copy of a file of rubbish, so that it takes room only once it is written.
 */
#ifndef FR_CUDA_EMULATION_GPU_H
#define FR_CUDA_EMULATION_GPU_H

#include "block.h"
#include "device/cuda/driver.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace fr_emulation
{

constexpr size_t GRAIN = size_t{2} << 20;
constexpr size_t RUBBISH_BYTES = size_t{8} << 20;
constexpr int RUBBISH = 0xA7;
constexpr int ALL_GPUS = 64;

[[noreturn]] inline void stop(const char *call, const char *what)
{
    (void)fprintf(stderr, "emulation: %s: %s\n", call, what);
    abort();
}

/* splitmix64 */
struct dice {
    uint64_t at;
    uint64_t draw(void)
    {
        at += 0x9e3779b97f4a7c15ULL;
        uint64_t x = at;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
        return x ^ (x >> 31);
    }
    bool one_in(uint64_t n)
    {
        return draw() % n == 0;
    }
};

struct memory {
    size_t bytes;
    int gpu;
    bool is_mapped;
    bool was_mapped;
    bool is_released;
};

struct mapping {
    size_t bytes;
    unsigned long long handle;
    bool is_open; /* cuMemSetAccess was called */
};

/* By address. */
struct address_space {
    std::map<fr_cu_address, size_t> reserved;
    std::map<fr_cu_address, mapping> mapped;
    bool is_open = false; /* the wall */

    /* Whether all bytes are mapped and may be used. */
    bool holds(fr_cu_address at, size_t bytes) const
    {
        auto it = mapped.upper_bound(at);
        if (it == mapped.begin() || at + bytes < at) {
            return false;
        }
        --it;
        fr_cu_address end = at + bytes;
        while (it != mapped.end() && it->first <= at && it->second.is_open) {
            fr_cu_address here = it->first + it->second.bytes;
            if (end <= here) {
                return true;
            }
            if (here <= at) {
                return false;
            }
            at = here;
            ++it;
        }
        return false;
    }

    bool is_reserved(fr_cu_address at, size_t bytes) const
    {
        auto it = reserved.upper_bound(at);
        if (it == reserved.begin()) {
            return false;
        }
        --it;
        return at + bytes >= at && at + bytes <= it->first + it->second;
    }

    /* Whether [at, at + bytes) is made of whole mappings. */
    bool whole(fr_cu_address at, size_t bytes) const
    {
        fr_cu_address end = at + bytes;
        auto it = mapped.find(at);
        while (it != mapped.end() && it->first == at && at < end) {
            at += it->second.bytes;
            ++it;
        }
        return at == end && bytes != 0;
    }

    void protect(int how)
    {
        auto it = mapped.begin();
        while (it != mapped.end()) {
            fr_cu_address at = it->first;
            fr_cu_address end = at;
            while (it != mapped.end() && it->first == end && it->second.is_open) {
                end += it->second.bytes;
                ++it;
            }
            if (end == at) {
                ++it;
            } else if (mprotect(reinterpret_cast<void *>(at), end - at, how) != 0) {
                perror("emulation: mprotect");
                abort();
            }
        }
        is_open = how != PROT_NONE;
    }
};

/* Work of a stream, in its order. */
struct work {
    enum kind {
        TO_DEVICE,
        TO_DEVICE_LATE,
        TO_HOST,
        ON_DEVICE,
        SET,
        LAUNCH,
        WAIT,
        CALL,   /* a kernel of another library */
        FOREIGN /* another library's, in steps */
    } what;
    void *to;
    const void *from;
    size_t bytes;
    int value;
    std::vector<unsigned char>
        held; /* copied at the call: pageable memory, arguments */
    fr_emulated_launch launch;
    const fr_emulated_image *image;
    fr_cu_stream behind = nullptr;        /* WAIT: for that stream, */
    uint64_t at = 0;                      /* until so much of it is done */
    void (*call)(const void *) = nullptr; /* CALL: of `held` */
    int (*step)(void *argument) =
        nullptr; /* FOREIGN: does what it can, with `to`; @return whether it is over */
};

struct stream {
    int gpu;
    uint64_t asked; /* how much was queued ever, */
    uint64_t done;  /* and how much has run */
    size_t held;    /* bytes in the queue */
    std::deque<work> queue;
};

struct event {
    int gpu;
    fr_cu_stream stream; /* nullptr: was never recorded */
    uint64_t at;         /* it has passed when so much is done */
};

struct function {
    int gpu;
    const fr_emulated_kernel *kernel;
    const fr_emulated_image *image;
    size_t shared_bytes;
};

struct module {
    int gpu;
    const fr_emulated_image *image;
    std::map<std::string, fr_cu_function> functions;
};

struct gpu {
    int retained;
    size_t used;
};

/* A file of rubbish, which all new memory begins as a copy of. */
static int rubbish_file(void)
{
    static int file = -1;
    if (file >= 0) {
        return file;
    }
    file = memfd_create("rubbish", MFD_CLOEXEC);
    void *m = MAP_FAILED;
    if (file >= 0 && ftruncate(file, static_cast<off_t>(RUBBISH_BYTES)) == 0) {
        m = mmap(nullptr, RUBBISH_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    }
    if (m == MAP_FAILED) {
        perror("emulation: memory of rubbish");
        abort();
    }
    memset(m, RUBBISH, RUBBISH_BYTES);
    (void)munmap(m, RUBBISH_BYTES);
    return file;
}

/* @return whether it worked */
static bool map_rubbish(fr_cu_address at, size_t bytes, int how)
{
    for (size_t i = 0; i < bytes; i += RUBBISH_BYTES) {
        size_t n = bytes - i < RUBBISH_BYTES ? bytes - i : RUBBISH_BYTES;
        if (mmap(reinterpret_cast<void *>(at + i), n, how,
                 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, rubbish_file(),
                 0) == MAP_FAILED) {
            return false;
        }
    }
    return true;
}

inline void close_addresses(fr_cu_address at, size_t bytes)
{
    (void)mmap(reinterpret_cast<void *>(at), bytes, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
}

} // namespace fr_emulation

#endif
