/*
 * races.cpp - finds races of emulated kernels, whose accesses to memory come here (seen.h).
 *
 * Two accesses race if they share a byte, one of them writes, and nothing orders them. Threads of a block are ordered by its
 * barriers, lanes of a warp by the warp's too, blocks of a launch by nothing; launches follow each other. Each byte remembers
 * its last write and two reads by different threads, which are of different warps if there were such. Sums of integers
 * (fr_add_i64, fr_add_i32) are not seen. Threads may write the same value to one place: what is there before and after a second
 * write is compared when the next access comes.
 *
 * A race ends the program with a message, whatever order was drawn: one run shows what drawn orders may miss.
 */
#include "sectors.h"
#include "seen.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>

namespace
{

/* When a thread did something. */
struct access {
    uint32_t run; /* of a block; 0: never */
    uint32_t at_block;
    uint32_t at_warp;
    uint16_t thread;
    bool is_shared;
};

struct byte {
    access wrote;
    access read[2];
};

enum { PAGE = 4096, NEAR = 64, MOST_PAGES = 2048 };
using page = std::array<byte, PAGE>;

fr_pages<page, NEAR> pages;
uint32_t launch_seen; /* the first run of the launch that the pages are about */

/* Accesses of earlier launches matter no more, so their memory may go. */
void begin_launch(void)
{
    launch_seen = fr_emulated.first_run;
    if (pages.size() > MOST_PAGES) {
        pages.clear();
    }
}

byte *find(uintptr_t at)
{
    return &(*pages.find(at / PAGE))[at % PAGE];
}

bool is_before(const access &a, const access &b)
{
    if (a.run < launch_seen || a.run == 0) {
        return true;
    }
    if (a.run != b.run) {
        return a.is_shared && b.is_shared; /* each block's own */
    }
    return a.thread == b.thread || a.at_block < b.at_block ||
           (a.thread / FR_EMULATED_WARP == b.thread / FR_EMULATED_WARP &&
            a.at_warp < b.at_warp);
}

[[noreturn]] void stop(const access &before, bool wrote, uintptr_t at, bool writes,
                       const void *from)
{
    Dl_info info = {};
    uintptr_t base =
        dladdr(from, &info) != 0 ? reinterpret_cast<uintptr_t>(info.dli_fbase) : 0;
    char text[256];
    bool is_other = before.run != fr_emulated.run;
    (void)snprintf(
        text, sizeof text,
        "it %s what thread %d%s %s, and nothing orders the two: %s %p, byte "
        "%lld of shared memory if that; addr2line -ie %s 0x%llx",
        writes ? "writes" : "reads", before.thread, is_other ? " of another block" : "",
        wrote ? "wrote" : "read", "address", reinterpret_cast<void *>(at),
        static_cast<long long>(at - reinterpret_cast<uintptr_t>(fr_emulated.shared)),
        info.dli_fname != nullptr ? info.dli_fname : "PROGRAM",
        static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(from) - base - 1));
    fr_emulated_stop(text);
}

/* A second write, which comes before the next access. */
struct {
    bool is_open;
    access before;
    access own;
    const void *at;
    size_t bytes;
    const void *from;
    unsigned char was[16];
} second;

void check_second(void)
{
    second.is_open = false;
    if (second.own.run == fr_emulated.run &&
        memcmp(second.at, second.was, second.bytes) != 0) {
        fr_emulated.thread = second.own.thread;
        stop(second.before, true, reinterpret_cast<uintptr_t>(second.at), true,
             second.from);
    }
}

void note_second(const access &before, const access &own, const void *at, size_t bytes,
                 const void *from)
{
    if (bytes > sizeof second.was) {
        stop(before, true, reinterpret_cast<uintptr_t>(at), true, from);
    }
    second.is_open = true;
    second.before = before;
    second.own = own;
    second.at = at;
    second.bytes = bytes;
    second.from = from;
    memcpy(second.was, at, bytes);
}

void note_read(byte *b, const access &a)
{
    access *r = b->read;
    int own = a.thread / FR_EMULATED_WARP;
    if (is_before(r[0], a)) {
        r[0] = a;
    } else if (is_before(r[1], a)) {
        r[1] = a;
    } else if (r[0].run == a.run && r[1].run == a.run &&
               r[0].thread / FR_EMULATED_WARP == r[1].thread / FR_EMULATED_WARP &&
               r[0].thread / FR_EMULATED_WARP != own) {
        r[1] = a;
    } else if (r[0].run == r[1].run && r[1].run != a.run) {
        r[1] = a;
    }
}

} // namespace

void fr_see(const void *memory, size_t bytes, bool writes, const void *from)
{
    auto at = reinterpret_cast<uintptr_t>(memory);
    if (second.is_open) {
        check_second();
    }
    if (launch_seen != fr_emulated.first_run) {
        begin_launch();
    }
    access a = {fr_emulated.run, fr_emulated.at_block,
                fr_emulated.at_warp[fr_emulated.thread / FR_EMULATED_WARP],
                static_cast<uint16_t>(fr_emulated.thread), fr_is_shared(memory)};
    if (!a.is_shared) {
        fr_sectors_see(at, bytes, from);
    }
    for (size_t i = 0; i < bytes; i++) {
        byte *b = find(at + i);
        if (!is_before(b->wrote, a)) {
            if (!writes) {
                stop(b->wrote, true, at + i, writes, from);
            }
            note_second(b->wrote, a, memory, bytes, from);
        }
        if (!writes) {
            note_read(b, a);
            continue;
        }
        for (const access &r : b->read) {
            if (!is_before(r, a)) {
                stop(r, false, at + i, true, from);
            }
        }
        b->wrote = a;
    }
}
