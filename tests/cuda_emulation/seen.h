/*
 * seen.h - each access of a kernel whose source is compiled with -fsanitize=thread: seen.cpp is what the compiler calls, in the
 * place of that sanitizer's library, and hands it on to races.cpp or to traffic.cpp, whichever a program is linked with.
 */
#ifndef FR_CUDA_EMULATION_SEEN_H
#define FR_CUDA_EMULATION_SEEN_H

#include "block.h"

#include <cstddef>
#include <cstdint>

/** The running thread reads or writes memory that is no variable of its own. `from`: the place in the program. */
void fr_see(const void *memory, size_t bytes, bool writes, const void *from);

inline bool fr_is_shared(const void *memory)
{
    return reinterpret_cast<uintptr_t>(memory) -
               reinterpret_cast<uintptr_t>(fr_emulated.shared) <
           fr_emulated.shared_bytes;
}

#endif
