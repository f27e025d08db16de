/*
 * traffic.cpp - what launches of kernels ask of memory and of the units that multiply, for kernels whose accesses are seen (seen.h).
 *
 * FR_EMULATED_TRAFFIC names a file that holds at the end of the process a line for each kernel: its name, launches, tiles that
 * tensor cores multiplied (4096 operations each), other fused multiply-adds, sectors of 32 bytes that its launches read, and sectors
 * that they wrote. A launch reads and writes a sector once, as with a cache that holds all, and does not read what it wrote
 * before: that much a GPU must move at least. Copies to shared memory count, and sums of integers (fr_add_i64) do not. What is
 * no device memory is left out as in sectors.cpp, which counts all that warps ask for if it is told to.
 */
#include "traffic.h"
#include "sectors.h"
#include "seen.h"
#include "tensor.h"

#include <array>
#include <bitset>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

namespace
{

enum { SECTOR = 32, PAGE = 1 << 16, NEAR = 256 };

/* The sectors that the launch has read or written. */
struct page {
    std::bitset<PAGE / SECTOR> read;
    std::bitset<PAGE / SECTOR> wrote;
};

struct total {
    uint64_t launches;
    uint64_t tiles;
    uint64_t fused;
    uint64_t read;
    uint64_t written;
};

struct counter {
    const char *path = getenv("FR_EMULATED_TRAFFIC");
    std::map<std::string, total> kernels;
    uint32_t launch = 0; /* its first run */
    total *sum = nullptr;
    uint64_t tiles = 0; /* before that launch */
    uint64_t fused = 0;
    fr_pages<page, NEAR> pages;

    void end_launch(void)
    {
        if (sum != nullptr) {
            sum->tiles += fr_emulated_tiles - tiles;
            sum->fused += fr_emulated_fused - fused;
        }
        tiles = fr_emulated_tiles;
        fused = fr_emulated_fused;
        pages.clear();
    }

    /* The first thing that a kernel does is to read its arguments. */
    void begin_launch(void)
    {
        end_launch();
        launch = fr_emulated.first_run;
        sum = &kernels[fr_emulated.launch->kernel->name];
        sum->launches++;
    }

    void touch(uintptr_t at, size_t bytes, bool writes)
    {
        for (uintptr_t i = at / SECTOR; i <= (at + bytes - 1) / SECTOR; i++) {
            page *p = pages.find(i / (PAGE / SECTOR));
            size_t bit = i % (PAGE / SECTOR);
            if (writes) {
                sum->written += p->wrote[bit] ? 0 : 1;
                p->wrote[bit] = true;
            } else if (!p->wrote[bit]) {
                sum->read += p->read[bit] ? 0 : 1;
                p->read[bit] = true;
            }
        }
    }

    void forget(void)
    {
        end_launch();
        launch = 0;
        sum = nullptr;
        kernels.clear();
    }

    ~counter()
    {
        end_launch();
        FILE *file = path != nullptr ? fopen(path, "w") : nullptr;
        for (auto i = kernels.cbegin(); file != nullptr && i != kernels.cend(); ++i) {
            const total &t = i->second;
            (void)fprintf(file, "%s %llu %llu %llu %llu %llu\n", i->first.c_str(),
                          static_cast<unsigned long long>(t.launches),
                          static_cast<unsigned long long>(t.tiles),
                          static_cast<unsigned long long>(t.fused),
                          static_cast<unsigned long long>(t.read),
                          static_cast<unsigned long long>(t.written));
        }
        if (file != nullptr) {
            (void)fclose(file);
        }
    }
};
counter all;

} // namespace

void fr_see(const void *memory, size_t bytes, bool writes, const void *from)
{
    auto at = reinterpret_cast<uintptr_t>(memory);
    if (all.path == nullptr) {
        return;
    }
    if (all.launch != fr_emulated.first_run) {
        all.begin_launch();
    }
    if (!fr_is_shared(memory) && fr_is_device_memory(at)) {
        all.touch(at, bytes, writes);
        fr_sectors_see(at, bytes, from);
    }
}

void fr_traffic_forget(void)
{
    all.forget();
    fr_sectors_forget();
}
