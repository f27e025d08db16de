/*
 * Sectors that accesses touch. What a block does is kept until the next one begins, then sorted by access and counted.
 */
#include "sectors.h"

#include "block.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

extern "C" const char
    __executable_start[]; /* of the linker: the program's own memory */
extern "C" const char _end[];

namespace
{

enum { SECTOR = 32 };

/* One lane's part of an access. */
struct part {
    uint32_t site;
    uint32_t time; /* how often the lane has been there */
    uint32_t warp;
    uint32_t bytes;
    uintptr_t at;
    std::tuple<uint32_t, uint32_t, uint32_t> access(void) const
    {
        return {site, time, warp};
    }
};

struct total {
    int64_t accesses;
    int64_t sectors;
    int64_t needed; /* as many as the bytes of each access fill */
};

struct counter {
    const char *path = getenv("FR_EMULATED_SECTORS");
    std::map<std::string, total> kernels;
    uint32_t run = 0;
    std::string kernel; /* of that run */
    std::vector<part> parts;
    std::unordered_map<const void *, uint32_t> sites;
    std::vector<uint32_t> times; /* [site, thread] */

    /* Parts of one access, by address. */
    void count(std::vector<part>::const_iterator i,
               std::vector<part>::const_iterator end)
    {
        total &sum = kernels[kernel];
        int64_t bytes = 0;
        uintptr_t upto = 0; /* behind the bytes and in the sectors that were counted */
        uintptr_t next_sector = 0;
        for (; i != end; ++i) {
            uintptr_t stop = i->at + i->bytes;
            uintptr_t last = (stop - 1) / SECTOR;
            if (stop > upto) {
                bytes += static_cast<int64_t>(stop - std::max(upto, i->at));
                upto = stop;
            }
            if (last >= next_sector) {
                sum.sectors += static_cast<int64_t>(
                    last - std::max(next_sector, i->at / SECTOR) + 1);
                next_sector = last + 1;
            }
        }
        sum.accesses++;
        sum.needed += (bytes + SECTOR - 1) / SECTOR;
    }

    void end_block(void)
    {
        std::sort(parts.begin(), parts.end(), [](const part &a, const part &b) {
            return std::make_tuple(a.access(), a.at, a.bytes) <
                   std::make_tuple(b.access(), b.at, b.bytes);
        });
        for (auto i = parts.cbegin(); i != parts.cend();) {
            auto end = std::find_if(i, parts.cend(), [i](const part &p) {
                return p.access() != i->access();
            });
            count(i, end);
            i = end;
        }
        parts.clear();
        sites.clear();
        times.clear();
    }

    void see(uintptr_t at, size_t bytes, const void *from)
    {
        if (run != fr_emulated.run) {
            end_block();
            run = fr_emulated.run;
            kernel = fr_emulated.launch->kernel->name;
        }
        auto site =
            sites.emplace(from, static_cast<uint32_t>(sites.size())).first->second;
        times.resize(sites.size() * FR_EMULATED_THREADS);
        auto thread = static_cast<uint32_t>(fr_emulated.thread);
        parts.push_back({site, times[site * FR_EMULATED_THREADS + thread]++,
                         thread / FR_EMULATED_WARP, static_cast<uint32_t>(bytes), at});
    }

    ~counter()
    {
        end_block();
        FILE *file = path != nullptr ? fopen(path, "w") : nullptr;
        for (auto i = kernels.cbegin(); file != nullptr && i != kernels.cend(); ++i) {
            (void)fprintf(file, "%s %lld %lld %lld\n", i->first.c_str(),
                          static_cast<long long>(i->second.accesses),
                          static_cast<long long>(i->second.sectors),
                          static_cast<long long>(i->second.needed));
        }
        if (file != nullptr) {
            (void)fclose(file);
        }
    }
};
counter all;

bool is_in(uintptr_t at, const void *memory, size_t bytes)
{
    return at - reinterpret_cast<uintptr_t>(memory) < bytes;
}

} // namespace

bool fr_is_device_memory(uintptr_t at)
{
    const fr_emulated_launch *launch = fr_emulated.launch;
    return !is_in(at, launch->arguments, launch->kernel->argument_bytes) &&
           !is_in(at, __executable_start,
                  static_cast<size_t>(_end - __executable_start));
}

void fr_sectors_forget(void)
{
    all.end_block();
    all.kernels.clear();
}

void fr_sectors_see(uintptr_t at, size_t bytes, const void *from)
{
    if (all.path != nullptr && fr_is_device_memory(at)) {
        all.see(at, bytes, from);
    }
}
