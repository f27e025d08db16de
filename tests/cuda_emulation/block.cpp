/*
 * block.cpp - runs a grid block by block, and a block warp by warp, in a drawn order.
 *
 * A pass goes over the lanes of a warp in an order of its own and runs each that can run until it waits or returns. A lane
 * hands over to the next one of the pass itself. A lane that returns leaves its fiber to the next lane that has not begun, so
 * that a warp of lanes that never wait takes one fiber and one switch.
 *
 * The last lane of a warp to ask lets the warp go on; the block goes on when all its threads wait for it. Values that lanes
 * bring lie in two sets that take turns: a lane that goes on can reach its next question before others have read the answers
 * to this one, but not the one after.
 *
 * What always holds: a lane is running, can run (ready), waits for its warp, waits for its block, or has returned (no bit).
 */
#include "block.h"

#include "fiber.h"
#include "tensor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

fr_emulated_place fr_emulated;

namespace
{

struct thread {
    fr_fiber *fiber; /* once it has begun */
    unsigned turn;
};

struct warp {
    uint64_t values[2][FR_EMULATED_WARP];
    uint32_t ready;
    uint32_t fresh; /* those of the ready that have not begun */
    uint32_t at_warp;
    uint32_t at_block;
    fr_emulated_question question; /* of those at_warp, */
    int line;                      /* and where they ask it */
};

/* The lanes of a warp once, in the order first, first + step, ... */
struct pass {
    int warp;
    unsigned first;
    unsigned step; /* odd */
    unsigned next;
};

enum { STACK_BYTES = 256 << 10, RUBBISH = 0xA7, MARGIN = 64 };
constexpr uint32_t WHOLE_WARP = 0xffffffffU;

thread threads[FR_EMULATED_THREADS];
warp warps[FR_EMULATED_THREADS / FR_EMULATED_WARP];
fr_fiber *spare[FR_EMULATED_THREADS]; /* fibers without a thread */
int n_spare;
int n_at_block;
int n_done;
uint32_t n_runs;
int line_of_block; /* where those wait */
pass now;
const fr_emulated_launch *running;
uint64_t drawn;

/* splitmix64 */
uint64_t draw(void)
{
    drawn += 0x9e3779b97f4a7c15ULL;
    uint64_t x = drawn;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

/* ---- lanes -------------------------------------------------------------------------------------- */

/* A switch of lanes is most of what an emulated kernel costs, so what it takes is inlined. */
#define FR_AT_ONCE inline __attribute__((always_inline))

FR_AT_ONCE unsigned lane_of(int t)
{
    return static_cast<unsigned>(t) % FR_EMULATED_WARP;
}

FR_AT_ONCE uint32_t bit_of(int t)
{
    return 1U << lane_of(t);
}

FR_AT_ONCE warp *warp_of(int t)
{
    return &warps[static_cast<unsigned>(t) / FR_EMULATED_WARP];
}

/* @return the thread that runs next in this pass, or -1 */
FR_AT_ONCE int next_thread(void)
{
    const uint32_t ready = warps[now.warp].ready;
    while (now.next < FR_EMULATED_WARP) {
        unsigned lane = (now.first + now.next++ * now.step) % FR_EMULATED_WARP;
        if ((ready >> lane & 1) != 0) {
            return now.warp * FR_EMULATED_WARP + static_cast<int>(lane);
        }
    }
    return -1;
}

void live(void);

/* Thread t is the one that runs. @return whether it begins */
FR_AT_ONCE bool start(int t)
{
    warp *w = warp_of(t);
    bool begins = (w->fresh & bit_of(t)) != 0;
    w->ready &= ~bit_of(t);
    w->fresh &= ~bit_of(t);
    fr_emulated.thread = t;
    if (begins) {
        threads[t].turn = 0;
    }
    return begins;
}

/* Hand over to thread t, or to the scheduler for -1. */
FR_AT_ONCE void switch_to(fr_fiber *from, int t)
{
    if (t < 0) {
        fr_fiber_switch(from, fr_fiber_here());
        return;
    }
    if (start(t)) {
        if (n_spare == 0) {
            spare[n_spare] = fr_fiber_create(STACK_BYTES);
            fr_fiber_begin(spare[n_spare++], live);
        }
        threads[t].fiber = spare[--n_spare];
    }
    fr_fiber_switch(from, threads[t].fiber);
}

/* A fiber's life: one thread after the other. */
void live(void)
{
    for (;;) {
        fr_fiber *own = threads[fr_emulated.thread].fiber;
        running->kernel->entry(running->arguments);
        fr_emulated_copies_end();
        n_done++;
        int t = next_thread();
        if (t >= 0 && (warp_of(t)->fresh & bit_of(t)) != 0) {
            (void)start(t);
            threads[t].fiber = own;
        } else {
            spare[n_spare++] = own;
            switch_to(own, t);
        }
    }
}

void leave(int t)
{
    switch_to(threads[t].fiber, next_thread());
}

/* ---- blocks --------------------------------------------------------------------------------------- */

void run_warp(int w)
{
    uint64_t order = draw();
    uint64_t haste = order >> 58; /* some lag, and some hurry as far as they can */
    uint64_t times = haste % 8 == 0 ? UINT64_MAX - 1 : haste % 3;
    for (uint64_t i = 0; i <= times && warps[w].ready != 0; i++, order >>= 10) {
        now = {w, static_cast<unsigned>(order % FR_EMULATED_WARP),
               static_cast<unsigned>(order / FR_EMULATED_WARP % FR_EMULATED_WARP | 1),
               0};
        int t = next_thread();
        if (t >= 0) {
            switch_to(fr_fiber_here(), t);
        }
    }
}

/* @return whether one could run */
bool run_warps(int n_warps)
{
    bool ran = false;
    uint64_t order = draw();
    int first = static_cast<int>((order >> 1) % static_cast<uint64_t>(n_warps));
    for (int i = 0; i < n_warps; i++) {
        int w = (first + (order % 2 == 0 ? i : n_warps - i)) % n_warps;
        if (warps[w].ready != 0) {
            run_warp(w);
            ran = true;
        }
    }
    return ran;
}

/* All wait or have returned. @return whether there is more to do */
bool go_on(int n_warps)
{
    if (n_done == fr_emulated.threads) {
        return false;
    }
    for (int t = 0; t < fr_emulated.threads; t++) {
        if ((warp_of(t)->at_warp & bit_of(t)) != 0) {
            fr_emulated.thread = t;
            fr_emulated_stop("it waits for lanes of its warp that do something else");
        }
    }
    if (n_done != 0) {
        fr_emulated_stop(
            "some threads of the block have returned, and others wait for them");
    }
    for (int w = 0; w < n_warps; w++) {
        warps[w].ready = WHOLE_WARP;
        warps[w].at_block = 0;
    }
    n_at_block = 0;
    fr_emulated.at_block++;
    return true;
}

void run_block(void)
{
    int n_warps = fr_emulated.threads / FR_EMULATED_WARP;
    for (int w = 0; w < n_warps; w++) {
        warps[w].ready = WHOLE_WARP;
        warps[w].fresh = WHOLE_WARP;
        warps[w].at_warp = 0;
        warps[w].at_block = 0;
    }
    n_at_block = 0;
    n_done = 0;
    fr_emulated.run = ++n_runs;
    do {
        while (run_warps(n_warps)) {
        }
    } while (go_on(n_warps));
}

/* Shared memory ends at a page that nobody may touch, but for the bytes that its alignment takes. Those, and some in front of
 * it, hold rubbish that must stay. */
struct shared_memory {
    char *memory;
    size_t bytes;
    char *at;
    size_t wanted;
    size_t rest;
    void take(size_t n)
    {
        auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        size_t room = (n + 15) / 16 * 16;
        size_t whole = (room + MARGIN + page - 1) / page * page;
        if (whole > bytes) {
            if (memory != nullptr) {
                (void)munmap(memory, bytes + page);
            }
            void *m = mmap(nullptr, whole + page, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (m == MAP_FAILED) {
                fr_emulated_stop("no memory for its shared memory");
            }
            memory = static_cast<char *>(m);
            bytes = whole;
            (void)mprotect(memory + whole, page, PROT_NONE);
        }
        at = memory + bytes - room;
        wanted = n;
        rest = room - n;
    }
    void spoil(void)
    {
        memset(at - MARGIN, RUBBISH, MARGIN + wanted + rest);
    }
    void check(void) const
    {
        for (const char *c = at - MARGIN; c < at + wanted + rest; c++) {
            c = c == at ? at + wanted : c;
            if (c < at + wanted + rest && static_cast<unsigned char>(*c) != RUBBISH) {
                fr_emulated_stop("it has written beside its shared memory");
            }
        }
    }
};
shared_memory shared;

} // namespace

void fr_emulated_stop(const char *what)
{
    (void)fprintf(stderr, "emulation: kernel %s, block %lld.%lld, thread %d: %s\n",
                  running->kernel->name, static_cast<long long>(fr_emulated.block),
                  static_cast<long long>(fr_emulated.block_y), fr_emulated.thread,
                  what);
    abort();
}

void fr_emulated_sync(int line)
{
    int t = fr_emulated.thread;
    if (n_at_block++ == 0) {
        line_of_block = line;
    } else if (line_of_block != line) {
        fr_emulated_stop("threads of the block wait at different lines");
    }
    warp_of(t)->at_block |= bit_of(t);
    leave(t);
}

/* All lanes get here; the last one does `work` if there is some. */
FR_AT_ONCE static const uint64_t *meet(fr_emulated_question question, int line,
                                       uint64_t bits, void (*work)(const uint64_t *))
{
    int t = fr_emulated.thread;
    warp *w = warp_of(t);
    uint64_t *values = w->values[threads[t].turn++ % 2];
    values[lane_of(t)] = bits;
    if (w->at_warp == 0) {
        w->question = question;
        w->line = line;
    } else if (w->question != question || w->line != line) {
        fr_emulated_stop("lanes of its warp ask for different things");
    }
    w->at_warp |= bit_of(t);
    if (w->at_warp != WHOLE_WARP) {
        leave(t);
        return values;
    }
    if (work != nullptr) {
        work(values);
    }
    w->ready = WHOLE_WARP & ~bit_of(t);
    w->at_warp = 0;
    fr_emulated.at_warp[t / FR_EMULATED_WARP]++;
    return values;
}

const uint64_t *fr_emulated_exchange(fr_emulated_question question, int line,
                                     uint64_t bits)
{
    return meet(question, line, bits, nullptr);
}

void fr_emulated_together(fr_emulated_question question, int line, uint64_t bits,
                          void (*work)(const uint64_t *brought))
{
    (void)meet(question, line, bits, work);
}

void fr_emulated_run(const fr_emulated_launch *launch)
{
    running = launch;
    drawn = launch->seed;
    fr_emulated = {};
    fr_emulated.threads = launch->threads;
    fr_emulated.blocks = launch->blocks;
    fr_emulated.launch = launch;
    if (launch->threads < 1 || launch->threads > launch->kernel->threads ||
        launch->threads > FR_EMULATED_THREADS ||
        launch->threads % FR_EMULATED_WARP != 0) {
        fr_emulated_stop(
            "a block has warps of 32 threads, as many as its kernel is made for");
    }
    shared.take(launch->shared_bytes);
    fr_emulated.shared = shared.at;
    fr_emulated.shared_bytes = launch->shared_bytes;
    fr_emulated.first_run = n_runs + 1;
    int64_t n = launch->blocks * launch->blocks_y;
    int64_t first = n > 0 ? static_cast<int64_t>(draw() % static_cast<uint64_t>(n)) : 0;
    bool up = draw() % 2 == 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = (first + (up ? i : n - i)) % n;
        fr_emulated.block = at % launch->blocks;
        fr_emulated.block_y = at / launch->blocks;
        shared.spoil();
        run_block();
        shared.check();
    }
    fr_emulated.run = 0;
    fr_emulated.launch = nullptr;
}
