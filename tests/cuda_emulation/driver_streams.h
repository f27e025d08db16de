/*
 * driver_streams.h - the part of driver.cpp about streams: when queued work runs, in which order, and what waits for what.
 */
#ifndef FR_CUDA_EMULATION_DRIVER_STREAMS_H
#define FR_CUDA_EMULATION_DRIVER_STREAMS_H

#include "driver_state.h"

#include <sched.h>

namespace
{

void do_work(work &w)
{
    switch (w.what) {
    case work::TO_DEVICE:
        memcpy(w.to, w.held.data(), w.bytes);
        break;
    case work::TO_DEVICE_LATE:
    case work::TO_HOST:
        memcpy(w.to, w.from, w.bytes);
        break;
    case work::ON_DEVICE:
        memmove(w.to, w.from, w.bytes);
        break;
    case work::SET:
        memset(w.to, w.value, w.bytes);
        break;
    case work::LAUNCH:
        w.launch.arguments = w.held.data();
        all.running = w.launch.kernel->name;
        w.image->run(&w.launch);
        all.running = nullptr;
        break;
    case work::CALL:
        all.running = "a kernel of another library";
        w.call(w.held.data());
        all.running = nullptr;
        break;
    case work::WAIT:    /* what it waits for is done */
    case work::FOREIGN: /* end_foreign */
        break;
    }
}

/* Running one stream may run another, which it waits for. */
void driver::open_wall(void)
{
    if (depth++ == 0 && !space.is_open) {
        space.protect(PROT_READ | PROT_WRITE);
    }
}

void driver::close_wall(void)
{
    if (--depth == 0 && !set.has_no_wall) {
        space.protect(PROT_NONE);
    }
}

/* Whether the next work of a stream waits for work of another that has not run. */
bool driver::is_held(const stream &s) const
{
    if (s.queue.empty() || s.queue.front().what != work::WAIT) {
        return s.queue.empty() || s.queue.front().what == work::FOREIGN;
    }
    auto it = streams.find(s.queue.front().behind);
    return it != streams.end() && it->second.done < s.queue.front().at;
}

/* A stream overtakes the others as far as it waits for none of them. */
void driver::overtake(fr_cu_stream which)
{
    stream &s = streams.at(which);
    bool others_are_late = false;
    for (const auto &other : streams) {
        others_are_late =
            others_are_late || (other.first != which && !other.second.queue.empty());
    }
    while (others_are_late && busy == nullptr && !is_held(s)) {
        run(which, s.done + 1);
    }
}

/* Foreign work takes the whole GPU from its first step to its last: nothing says that two kernels run at once.
 * @return whether none is under way any more */
bool driver::end_foreign(void)
{
    if (busy == nullptr) {
        return true;
    }
    stream &s = streams.at(busy);
    const work &w = s.queue.front();
    if (w.step(w.to) == 0) {
        return false;
    }
    s.queue.pop_front();
    s.done++;
    busy = nullptr;
    return true;
}

/* Run a stream's work up to a place in its order, or as far as foreign work lets it. */
void driver::run(fr_cu_stream which, uint64_t until)
{
    auto it = streams.find(which);
    if (it == streams.end() || it->second.done >= until) {
        return;
    }
    stream &s = it->second;
    open_wall();
    while (end_foreign() && s.done < until && !s.queue.empty()) {
        work &w = s.queue.front();
        if (w.what == work::FOREIGN) {
            busy = which;
            continue;
        }
        if (w.what == work::WAIT) {
            run(w.behind, w.at);
            auto other = streams.find(w.behind);
            if (other != streams.end() && other->second.done < w.at) {
                break;
            }
        }
        do_work(w);
        s.held -= w.held.size();
        s.queue.pop_front();
        s.done++;
    }
    close_wall();
    if (s.queue.empty() && destroyed.erase(which) != 0) {
        streams.erase(it);
    }
}

/* The same, however long foreign work takes. */
void driver::finish(fr_cu_stream which, uint64_t until)
{
    auto it = streams.find(which);
    while (it != streams.end() && it->second.done < until) {
        run(which, until);
        (void)sched_yield();
        it = streams.find(which);
    }
}

fr_cu_result driver::ask(fr_cu_stream which, work &&what)
{
    stream &s = streams.at(which);
    s.held += what.held.size();
    s.queue.push_back(std::move(what));
    s.asked++;
    if (s.queue.size() > MOST_QUEUED || s.held > MOST_HELD) {
        run(which, s.done + (s.queue.size() + 1) / 2);
    } else if (set.overtakes && set.random.one_in(2)) {
        overtake(which);
    } else if (set.hurries && set.random.one_in(16)) {
        run(which, s.done + 1 + set.random.draw() % s.queue.size());
    }
    return FR_CU_SUCCESS;
}

} // namespace

#endif
