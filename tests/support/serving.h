/*
 * serving.h - an engine of a server over a small model, with a folder of prefixes and requests whose events are kept.
 *
 * All calls but those of rank 0 are collective over the world.
 */
#ifndef FR_TESTS_SERVING_H
#define FR_TESTS_SERVING_H

#include "serve/engine.h"
#include "support/suite.h"

#include <stdatomic.h>

enum {
    FR_SERVING_PATH = 1024,
    FR_SERVING_NEW = 24, /* most tokens of an answer */
    FR_SERVING_CAPACITY = 64
};

typedef struct fr_serving_bench {
    fr_group *own; /* NULL: the world is the test's */
    fr_inference_params params;
    fr_inference inference;
    fr_generator *generator;
    char folder[FR_SERVING_PATH]; /* empty at first */
    fr_shelf *shelf;              /* rank 0; NULL elsewhere */
    fr_serving *serving;
} fr_serving_bench;

/** The model of four layers on all ranks of a world; NULL: on this one. Neither shelf nor engine. */
void fr_serving_bench_open(fr_group *world, fr_serving_bench *out);
/** With what was opened since. */
void fr_serving_bench_close(fr_serving_bench *bench);

/** Rank 0: write folder/file with so many tasks, a, b ...; their numbers depend on the seed alone. */
void fr_serving_write(const fr_serving_bench *bench, const char *file, int64_t n_tasks,
                      uint64_t seed);
/** Rank 0 opens the shelf; `memory` as in fr_shelf_params. */
void fr_serving_open_shelf(fr_serving_bench *bench, int64_t memory);
/** The engine. Zero where the test does not care: places 3, queue 64. */
typedef struct fr_serving_sizes {
    int64_t places;
    int64_t queue;
    int64_t prefix_bytes;
} fr_serving_sizes;
void fr_serving_open_engine(fr_serving_bench *bench, fr_serving_sizes sizes);

/** A request, and what is kept of its events. */
typedef struct fr_serving_ask {
    const char *prefix; /* NULL: the base alone */
    uint64_t number;    /* its prompt and options depend on it alone */
    double deadline;
    fr_serving *serving;
    uint64_t ticket;
    int64_t cancel_at; /* tokens after which the handler cancels it; 0: never */
    void (*at_first)(void *argument); /* called with its first token */
    void *argument;
    int64_t n;
    int32_t ids[FR_SERVING_NEW];
    double chosen[FR_SERVING_NEW]; /* logprobs */
    fr_serving_end end;
    bool has_message;
    atomic_int n_ends; /* written last, so that another thread may wait for it */
} fr_serving_ask;

/** Rank 0. */
fr_serving_verdict fr_serving_ask_submit(fr_serving_bench *bench, fr_serving_ask *ask);
/** Collective: what `forerun generate` gives for the same row, into ids, chosen, n and end. A prefix is read from the folder. */
void fr_serving_expect(const fr_serving_bench *bench, const char *file,
                       const char *task, fr_serving_ask *ask);
/** Assert that a request has got these tokens and one end. */
void fr_serving_compare(const fr_serving_ask *got, const fr_serving_ask *wanted);

#endif
