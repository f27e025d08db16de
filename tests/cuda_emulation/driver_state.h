/*
 * driver_state.h - the emulated driver's one state, its settings, and what each function begins with.
 */
#ifndef FR_CUDA_EMULATION_DRIVER_STATE_H
#define FR_CUDA_EMULATION_DRIVER_STATE_H

#include "driver_settings.h"
#include "gpu.h"

#include <mutex>
#include <unistd.h>

using namespace fr_emulation;

/* The functions are fr_driver_<name in the list> here, and have the driver's names in the library. */
#define FR_DECLARE(name, symbol, parameters)                                           \
    extern "C" __attribute__((visibility("default")))                                  \
    fr_cu_result fr_driver_##name parameters __asm__(symbol);
FR_CUDA_DRIVER(FR_DECLARE)
#undef FR_DECLARE

namespace
{

enum call {
#define FR_CALL(name, symbol, parameters) CALL_##name,
    FR_CUDA_DRIVER(FR_CALL)
#undef FR_CALL
        CALLS
};
const char *const SYMBOLS[] = {
#define FR_SYMBOL(name, symbol, parameters) symbol,
    FR_CUDA_DRIVER(FR_SYMBOL)
#undef FR_SYMBOL
};

enum {
    INVALID_VALUE = 1,
    NOT_INITIALIZED = 3,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    FIRST_STICKY = 700,

    SHARED_DEFAULT = 48 << 10,
    SHARED_MOST = 227 << 10,
    MOST_QUEUED = 1024, /* the real one waits at such a number, too */
};
constexpr size_t MOST_HELD = size_t{64} << 20;

struct driver {
    std::recursive_mutex lock;
    settings set = read_settings();
    long counts[CALLS] = {};
    long since_start[CALLS] = {};
    size_t copied_bytes = 0; /* within the memory of GPUs */
    size_t set_bytes = 0;
    bool is_started = false;
    fr_cu_result sticky = 0;
    bool has_failed = false;       /* a call did, on request */
    const char *running = nullptr; /* the kernel */

    gpu gpus[ALL_GPUS] = {};
    address_space space;
    std::map<unsigned long long, memory> memories;
    std::map<const char *, size_t> pinned;
    std::map<fr_cu_stream, stream> streams;
    std::set<fr_cu_stream> destroyed; /* streams with work that has to run yet */
    std::map<fr_cu_event, event> events;
    std::map<fr_cu_module, module> modules;
    std::map<fr_cu_function, function> functions;
    size_t left = 0; /* when their contexts ended */
    uintptr_t last_handle = 0x1000;

    ~driver(); /* writes the counts */
    void start_again(void);
    void run(fr_cu_stream which, uint64_t until);
    int depth = 0;               /* of calls that have opened the wall */
    fr_cu_stream busy = nullptr; /* whose foreign work has begun and is not over */
    bool end_foreign(void);
    void finish(fr_cu_stream which, uint64_t until);
    void open_wall(void);
    void close_wall(void);
    bool is_held(const stream &s) const;
    void overtake(fr_cu_stream which);
    fr_cu_result ask(fr_cu_stream which, work &&what);
    template <typename T> T handle(void)
    {
        last_handle += 0x10;
        return reinterpret_cast<T>(last_handle);
    }
};

driver all;
thread_local int current = -1; /* the GPU whose context is set */

/* Nobody uses it: as if it were loaded now. What is still pinned went with the last context. */
void driver::start_again(void)
{
    left += pinned.size();
    for (const auto &p : pinned) {
        free(const_cast<char *>(p.first));
    }
    pinned.clear();
    set = read_settings();
    sticky = 0;
    has_failed = false;
    memset(since_start, 0, sizeof since_start);
}

/* What is queued on a GPU (-1: on all) never runs. */
void forget_work(int gpu)
{
    for (auto &s : all.streams) {
        if (gpu < 0 || s.second.gpu == gpu) {
            s.second.queue.clear();
            s.second.held = 0;
            s.second.done = s.second.asked;
            all.busy = all.busy == s.first ? nullptr : all.busy;
        }
    }
}

/* What each call begins with. @return 0, or what it has to return at once */
fr_cu_result enter(call which, bool needs_context)
{
    all.counts[which]++;
    long n = ++all.since_start[which];
    for (const failure &f : all.set.failures) {
        if (f.symbol == SYMBOLS[which] && f.n == n) {
            all.has_failed = true;
            if (f.code >= FIRST_STICKY) {
                all.sticky = f.code;
                forget_work(-1);
            }
            return f.code;
        }
    }
    if (which == CALL_version || which == CALL_error_name || which == CALL_init) {
        return FR_CU_SUCCESS;
    }
    if (!all.is_started) {
        return NOT_INITIALIZED;
    }
    if (all.sticky != 0 && (needs_context || which == CALL_context_retain)) {
        return all.sticky;
    }
    bool has_context = current >= 0 && all.gpus[current].retained > 0;
    return needs_context && !has_context ? +INVALID_CONTEXT : +FR_CU_SUCCESS;
}

#define FR_ENTER_AS(name, needs_context)                                               \
    std::lock_guard<std::recursive_mutex> guard(all.lock);                             \
    fr_cu_result refused = enter(CALL_##name, needs_context);                          \
    if (refused != FR_CU_SUCCESS)                                                      \
    return refused
#define FR_ENTER(name) FR_ENTER_AS(name, true)
#define FR_REFUSE_IF(condition, code)                                                  \
    if (condition)                                                                     \
    return (code)

bool is_stream(fr_cu_stream s)
{
    return all.streams.count(s) != 0 && all.destroyed.count(s) == 0;
}

int n_gpus(void)
{
    return static_cast<int>(all.set.gpus.size());
}

bool is_device(fr_cu_device device)
{
    return device >= 0 && device < n_gpus();
}

/* For calls that the real driver may let wait for all work, or not. A program that a call failed cannot do better. */
void no_work_may_be_queued(const char *call, const char *what)
{
    std::vector<fr_cu_stream> late;
    for (const auto &s : all.streams) {
        if (!s.second.queue.empty()) {
            late.push_back(s.first);
        }
    }
    if (!late.empty() && !all.has_failed) {
        stop(call, what);
    }
    for (fr_cu_stream s : late) {
        all.run(s, UINT64_MAX);
    }
}

void *host(fr_cu_address at)
{
    return reinterpret_cast<void *>(at);
}

} // namespace

#endif
