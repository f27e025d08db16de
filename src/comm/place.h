/*
 * place.h - where a rank is, written by its main thread and read by its watchdog thread.
 *
 * A sequence lock of atomic words: the writer never waits and makes no system call, and a reader that meets a
 * write repeats its read. One writer, any number of readers.
 */
#ifndef FR_COMM_PLACE_H
#define FR_COMM_PLACE_H

#include <stdatomic.h>
#include <stdint.h>

enum { FR_PLACE_TASK_BYTES = 128, FR_PLACE_TASK_WORDS = FR_PLACE_TASK_BYTES / 8 };

/** `phase` and `wait` are borrowed and must be constants of the program. */
typedef struct fr_position {
    int64_t step;       /* being worked on, from 1; -1: none */
    int64_t microbatch; /* of this replica, from 0; -1: none */
    int64_t peer;       /* world rank that is waited for; -1: all, or none */
    int64_t since_ms;   /* wall clock at which this position was taken */
    const char *phase;  /* may take long without a message (loading); NULL: computing */
    const char *wait;   /* what is waited for; NULL: nothing */
    char task[FR_PLACE_TASK_BYTES];
} fr_position;

typedef struct fr_place {
    atomic_uint_fast64_t sequence; /* odd while it is being written */
    atomic_int_fast64_t step, microbatch, peer, since_ms;
    _Atomic(const char *) phase, wait;
    atomic_uint_fast64_t task[FR_PLACE_TASK_WORDS];
} fr_place;

/** Sets the first position, before any thread reads. */
void fr_place_init(fr_place *place, const fr_position *position);

void fr_place_set(fr_place *place, const fr_position *position);

/**
 * A position as it was at one moment.
 * @return its number, which changes with each fr_place_set
 */
uint64_t fr_place_get(const fr_place *place, fr_position *out);

#endif
