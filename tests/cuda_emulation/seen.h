/*
 * seen.h - each access of a kernel whose source is compiled with -fsanitize=thread: seen.cpp is what the compiler calls, in the
 * place of that sanitizer's library, and hands it on to races.cpp or to traffic.cpp, whichever a program is linked with.
 */
#ifndef FR_CUDA_EMULATION_SEEN_H
#define FR_CUDA_EMULATION_SEEN_H

#include "block.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>

/** The running thread reads or writes memory that is no variable of its own. `from`: the place in the program. */
void fr_see(const void *memory, size_t bytes, bool writes, const void *from);

inline bool fr_is_shared(const void *memory)
{
    return reinterpret_cast<uintptr_t>(memory) -
               reinterpret_cast<uintptr_t>(fr_emulated.shared) <
           fr_emulated.shared_bytes;
}

/** What is remembered of memory, page by page, made when a page is first asked for. The last of NEAR are found at once. */
template <typename T, size_t NEAR> class fr_pages
{
  public:
    T *find(uintptr_t number)
    {
        auto &n = near[number % NEAR];
        if (n.number != number || n.found == nullptr) {
            std::unique_ptr<T> &p = all[number];
            if (p == nullptr) {
                p = std::make_unique<T>();
            }
            n = {number, p.get()};
        }
        return n.found;
    }
    size_t size(void) const
    {
        return all.size();
    }
    void clear(void)
    {
        all.clear();
        for (auto &n : near) {
            n = {0, nullptr};
        }
    }

  private:
    std::unordered_map<uintptr_t, std::unique_ptr<T>> all;
    struct {
        uintptr_t number;
        T *found;
    } near[NEAR] = {};
};

#endif
