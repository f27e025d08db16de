/*
 * machine.h - where a translated thread is, its memory, and what it asks of its warp and its block.
 *
 * Accesses that the hardware refuses end the program with a message: addresses that are no multiple of what is accessed, and
 * shared memory beyond the block's. `line` is that of the PTX.
 */
#ifndef FR_CUDA_EMULATION_PTX_MACHINE_H
#define FR_CUDA_EMULATION_PTX_MACHINE_H

#include "block.h"
#include "ptx/numbers.h"

#include <cstdio>

namespace ptx
{

/* ---- memory -------------------------------------------------------------------------------------------------------- */

/* The block's shared memory begins here for the instructions of shared memory: not at 0, so that no offset passes for an address. */
enum : u32 { SHARED_BASE = 1024 };

[[noreturn]] inline void stop(const char *what, int line)
{
    char text[256];
    (void)snprintf(text, sizeof text, "line %d of its PTX: %s", line, what);
    fr_emulated_stop(text);
}

inline char *aligned(u64 address, u64 bytes, int line)
{
    if (address % bytes != 0) {
        stop("an address is no multiple of what is accessed there", line);
    }
    return reinterpret_cast<char *>(address);
}

inline char *at_global(u64 address, u64 bytes, int line)
{
    return aligned(address, bytes, line);
}
inline char *at_const(u64 address, u64 bytes, int line)
{
    return aligned(address, bytes, line);
}
inline char *at_param(u64 address, u64 bytes, int line)
{
    return aligned(address, bytes, line);
}
inline char *at_shared(u64 address, u64 bytes, int line)
{
    u64 at = address - SHARED_BASE;
    if (at > fr_emulated.shared_bytes || bytes > fr_emulated.shared_bytes - at) {
        stop("an address lies beyond the block's shared memory", line);
    }
    return aligned(reinterpret_cast<u64>(fr_emulated.shared) + at, bytes, line);
}

inline u64 generic_of(u64 shared)
{
    return shared - SHARED_BASE + reinterpret_cast<u64>(fr_emulated.shared);
}
inline u64 shared_of(u64 generic)
{
    return generic - reinterpret_cast<u64>(fr_emulated.shared) + SHARED_BASE;
}

template <typename T> inline T load(const char *from)
{
    T out;
    memcpy(&out, from, sizeof out);
    return out;
}
template <typename T> inline void store(char *to, T x)
{
    memcpy(to, &x, sizeof x);
}

/* One thread runs at a time, so what is between a load and a store is whole. Returns what was there. */
template <typename T, typename Change> inline T changed(char *at, Change change)
{
    T before = load<T>(at);
    store<T>(at, static_cast<T>(change(before)));
    return before;
}

/* ---- where the thread is --------------------------------------------------------------------------------------------- */

inline u32 tid_x(void)
{
    return static_cast<u32>(fr_emulated.thread);
}
inline u32 ntid_x(void)
{
    return static_cast<u32>(fr_emulated.threads);
}
inline u32 ctaid_x(void)
{
    return static_cast<u32>(fr_emulated.block);
}
inline u32 ctaid_y(void)
{
    return static_cast<u32>(fr_emulated.block_y);
}
inline u32 nctaid_x(void)
{
    return static_cast<u32>(fr_emulated.blocks);
}
inline u32 nctaid_y(void)
{
    return static_cast<u32>(fr_emulated.launch->blocks_y);
}
inline u32 laneid(void)
{
    return tid_x() % FR_EMULATED_WARP;
}

/* ---- warps and blocks -------------------------------------------------------------------------------------------------- */

inline void whole_warp(u32 mask, int line)
{
    if (mask != 0xffffffffU) {
        stop("lanes that are not the whole warp are asked for", line);
    }
}

inline void sync_warp(u32 mask, int line)
{
    whole_warp(mask, line);
    (void)fr_emulated_exchange(FR_EMULATED_SYNC, line, 0);
}

/* All lanes of a warp must wait at the same instruction, which the exchange shows. The warps of a block need not: the compiler
 * may have copied one barrier of the source into several places, and all of them are barrier 0. So its line is the same. */
inline void sync_block(int line)
{
    (void)fr_emulated_exchange(FR_EMULATED_SYNC, line, 0);
    fr_emulated_sync(0);
}

inline u32 ballot(bool yes, u32 mask, int line)
{
    whole_warp(mask, line);
    const u64 *all = fr_emulated_exchange(FR_EMULATED_BALLOT, line, yes ? 1 : 0);
    u32 out = 0;
    for (int lane = 0; lane < FR_EMULATED_WARP; lane++) {
        out |= static_cast<u32>(all[lane]) << lane;
    }
    return out;
}

enum shuffle_mode { BY_UP, BY_DOWN, BY_XOR, BY_INDEX };

struct shuffled {
    u32 value;
    bool inside; /* of the lane's segment; else the value is its own */
};

/* `ends`: the last lane of a segment in bits 0 to 4, and in bits 8 to 12 those of a lane's number that say its segment. */
inline shuffled shuffle(shuffle_mode mode, u32 x, u32 b, u32 ends, u32 mask, int line)
{
    whole_warp(mask, line);
    int lane = static_cast<int>(laneid());
    int by = static_cast<int>(b & 31);
    int segment = static_cast<int>(ends >> 8 & 31);
    int last = (lane & segment) | (static_cast<int>(ends & 31) & ~segment);
    int from = mode == BY_UP     ? lane - by
               : mode == BY_DOWN ? lane + by
               : mode == BY_XOR  ? lane ^ by
                                 : (lane & segment) | (by & ~segment);
    bool inside = mode == BY_UP ? from >= last : from <= last;
    const u64 *all = fr_emulated_exchange(FR_EMULATED_VALUE, line, x);
    return {static_cast<u32>(all[inside ? from : lane]), inside};
}

} // namespace ptx

#endif
