#include "comm/place.h"

#include <sched.h>
#include <string.h>

_Static_assert(sizeof(uint_fast64_t) * FR_PLACE_TASK_WORDS == FR_PLACE_TASK_BYTES,
               "the name is copied word by word");

/*
 * Fields are stored with release and loaded with acquire order. So a reader that loads a new field also sees the odd
 * sequence that was stored before it, and repeats its copy.
 */
static void store(fr_place *place, const fr_position *position)
{
    atomic_store_explicit(&place->step, position->step, memory_order_release);
    atomic_store_explicit(&place->microbatch, position->microbatch,
                          memory_order_release);
    atomic_store_explicit(&place->peer, position->peer, memory_order_release);
    atomic_store_explicit(&place->since_ms, position->since_ms, memory_order_release);
    for (size_t i = 0; i < FR_PLACE_TASK_WORDS; i++) {
        uint_fast64_t word = 0;
        memcpy(&word, position->task + i * sizeof word, sizeof word);
        atomic_store_explicit(&place->task[i], word, memory_order_release);
    }
    atomic_store_explicit(&place->phase, position->phase, memory_order_release);
    atomic_store_explicit(&place->wait, position->wait, memory_order_release);
}

static void load(const fr_place *place, fr_position *out)
{
    out->step = atomic_load_explicit(&place->step, memory_order_acquire);
    out->microbatch = atomic_load_explicit(&place->microbatch, memory_order_acquire);
    out->peer = atomic_load_explicit(&place->peer, memory_order_acquire);
    out->since_ms = atomic_load_explicit(&place->since_ms, memory_order_acquire);
    for (size_t i = 0; i < FR_PLACE_TASK_WORDS; i++) {
        uint_fast64_t word =
            atomic_load_explicit(&place->task[i], memory_order_acquire);
        memcpy(out->task + i * sizeof word, &word, sizeof word);
    }
    out->phase = atomic_load_explicit(&place->phase, memory_order_acquire);
    out->wait = atomic_load_explicit(&place->wait, memory_order_acquire);
}

void fr_place_init(fr_place *place, const fr_position *position)
{
    atomic_init(&place->sequence, 0);
    store(place, position);
}

/* An odd sequence marks a write in progress. One thread writes, so the number needs no atomic addition. */
void fr_place_set(fr_place *place, const fr_position *position)
{
    uint64_t number = atomic_load_explicit(&place->sequence, memory_order_relaxed);
    atomic_store_explicit(&place->sequence, number + 1, memory_order_release);
    store(place, position);
    atomic_store_explicit(&place->sequence, number + 2, memory_order_release);
}

/* Repeats until no write fell into the copy. A write takes nanoseconds, so this hardly ever loops. */
uint64_t fr_place_get(const fr_place *place, fr_position *out)
{
    for (;;) {
        uint64_t before = atomic_load_explicit(&place->sequence, memory_order_acquire);
        load(place, out);
        uint64_t after = atomic_load_explicit(&place->sequence, memory_order_acquire);
        if (before == after && before % 2 == 0) {
            return before;
        }
        (void)sched_yield(); /* the writer may want this core */
    }
}
