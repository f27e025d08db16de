/*
 * What the compiler calls where a kernel reads or writes memory.
 */
#include "seen.h"

namespace
{

enum { STACK = 256 << 10 };

void see(const void *memory, size_t bytes, bool writes, const void *from)
{
    auto at = reinterpret_cast<uintptr_t>(memory);
    auto place = reinterpret_cast<uintptr_t>(&fr_emulated);
    auto stack = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    if (fr_emulated.run != 0 && at - place >= sizeof fr_emulated &&
        at - stack >= STACK) {
        fr_see(memory, bytes, writes, from);
    }
}

} // namespace

#define FR_SEEN(bytes)                                                                 \
    void __tsan_read##bytes(const void *at)                                            \
    {                                                                                  \
        see(at, bytes, false, __builtin_return_address(0));                            \
    }                                                                                  \
    void __tsan_write##bytes(void *at)                                                 \
    {                                                                                  \
        see(at, bytes, true, __builtin_return_address(0));                             \
    }                                                                                  \
    void __tsan_unaligned_read##bytes(const void *at)                                  \
    {                                                                                  \
        see(at, bytes, false, __builtin_return_address(0));                            \
    }                                                                                  \
    void __tsan_unaligned_write##bytes(void *at)                                       \
    {                                                                                  \
        see(at, bytes, true, __builtin_return_address(0));                             \
    }

/* What the compiler calls. */
extern "C" {
void __tsan_init(void)
{
}
void __tsan_func_entry(void *)
{
}
void __tsan_func_exit(void)
{
}
FR_SEEN(1)
FR_SEEN(2)
FR_SEEN(4)
FR_SEEN(8)
FR_SEEN(16)
void __tsan_read_range(const void *at, unsigned long bytes)
{
    see(at, bytes, false, __builtin_return_address(0));
}
void __tsan_write_range(void *at, unsigned long bytes)
{
    see(at, bytes, true, __builtin_return_address(0));
}
}
