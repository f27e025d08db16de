/* A device's memory in one piece: blocks come from it, free places become one again, and where it is too little the message
 * names what was asked and what was free. The pool only computes with addresses, so the memory behind them is a number. */
#include "base/rng.h"
#include "device/pool.h"
#include "support/suite.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { GRAIN = FR_POOL_GRAIN_BYTES, UNIT = FR_POOL_ALIGNMENT };

typedef struct memory {
    int64_t limit;
    int64_t bytes;
    int n_grown;
} memory;

static fr_status grow(void *context, int64_t bytes)
{
    memory *m = context;
    CU_ASSERT_TRUE(bytes > m->bytes && bytes <= m->limit);
    m->bytes = bytes;
    m->n_grown++;
    return FR_OK;
}

static int64_t available(void *context)
{
    const memory *m = context;
    return m->limit - m->bytes;
}

static char *const BASE = (char *)(uintptr_t)(1 << 30);

static fr_pool *make(memory *m, int64_t limit)
{
    fr_pool *pool = NULL;
    *m = (memory){.limit = limit};
    fr_pool_source source = {BASE, m, grow, available};
    FR_ASSERT_OK(fr_pool_create(fr_test_ctx(), &source, &pool));
    return pool;
}

static char *take(fr_pool *pool, int64_t bytes)
{
    void *out = NULL;
    FR_ASSERT_OK(fr_pool_take(pool, bytes, &out));
    return out;
}

static void what_is_reserved_is_taken_at_once(void)
{
    memory m;
    fr_pool *pool = make(&m, 100 * (int64_t)GRAIN);
    FR_ASSERT_OK(fr_pool_reserve(pool, 3 * GRAIN + 1));
    CU_ASSERT_EQUAL(m.bytes, 4 * (int64_t)GRAIN);
    CU_ASSERT_EQUAL(fr_pool_bytes(pool), 4 * (int64_t)GRAIN);
    CU_ASSERT_PTR_EQUAL(take(pool, GRAIN), BASE);
    CU_ASSERT_PTR_EQUAL(take(pool, 3 * GRAIN), BASE + GRAIN);
    CU_ASSERT_EQUAL(m.n_grown, 1);
    FR_ASSERT_OK(fr_pool_reserve(pool, GRAIN));
    CU_ASSERT_EQUAL(m.n_grown, 1);
    /* what a run needs beyond that is taken when it is asked for */
    CU_ASSERT_PTR_EQUAL(take(pool, 1), BASE + 4 * (int64_t)GRAIN);
    CU_ASSERT_EQUAL(m.n_grown, 2);
    CU_ASSERT_EQUAL(fr_pool_used(pool), 4 * (int64_t)GRAIN + UNIT);
    fr_pool_destroy(&pool);
}

static void free_places_become_one(void)
{
    static const int ORDERS[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    memory m;
    fr_pool *pool = make(&m, GRAIN);
    for (size_t i = 0; i < sizeof ORDERS / sizeof ORDERS[0]; i++) {
        char *blocks[3];
        for (int k = 0; k < 3; k++) {
            blocks[k] = take(pool, GRAIN / 4);
        }
        CU_ASSERT_PTR_EQUAL(take(pool, GRAIN / 4), BASE + 3 * (GRAIN / 4));
        for (int k = 0; k < 3; k++) {
            CU_ASSERT_EQUAL(fr_pool_give(pool, blocks[ORDERS[i][k]]), GRAIN / 4);
        }
        CU_ASSERT_PTR_EQUAL(take(pool, 3 * (GRAIN / 4)), BASE);
        (void)fr_pool_give(pool, BASE);
        (void)fr_pool_give(pool, BASE + 3 * (GRAIN / 4));
        CU_ASSERT_EQUAL(fr_pool_used(pool), 0);
    }
    CU_ASSERT_EQUAL(fr_pool_most_used(pool), GRAIN);
    fr_pool_destroy(&pool);
}

static void the_smallest_place_that_is_large_enough_is_taken(void)
{
    memory m;
    fr_pool *pool = make(&m, GRAIN);
    char *large = take(pool, 8 * UNIT);
    (void)take(pool, UNIT);
    char *small = take(pool, 4 * UNIT);
    (void)take(pool, UNIT);
    (void)fr_pool_give(pool, large);
    (void)fr_pool_give(pool, small);
    CU_ASSERT_PTR_EQUAL(take(pool, 3 * UNIT), small);
    CU_ASSERT_PTR_EQUAL(take(pool, 5 * UNIT), large);
    fr_pool_destroy(&pool);
}

static void too_little_is_told_with_what_is_free(void)
{
    memory m;
    void *out = &m;
    fr_pool *pool = make(&m, 3 * GRAIN + 100 * UNIT);
    FR_ASSERT_FAILS(
        fr_pool_reserve(pool, 5 * GRAIN), FR_ERR_NO_MEMORY,
        "10.00 MiB are asked for, 0 B of the 0 B that this rank has reserved "
        "are free, and the device has 6.02 MiB more; use more stages");
    FR_ASSERT_OK(fr_pool_reserve(pool, 2 * GRAIN));
    (void)take(pool, GRAIN);
    FR_ASSERT_FAILS(
        fr_pool_take(pool, 3 * GRAIN, &out), FR_ERR_NO_MEMORY,
        "6.00 MiB are asked for, 2.00 MiB of the 4.00 MiB that this rank has "
        "reserved are free, and the device has 2.02 MiB more");
    CU_ASSERT_PTR_NULL(out);
    FR_ASSERT_FAILS(fr_pool_take(pool, INT64_MAX, &out), FR_ERR_NO_MEMORY,
                    "8192.00 PiB are asked for");
    FR_ASSERT_FAILS(fr_pool_reserve(pool, INT64_MAX), FR_ERR_NO_MEMORY,
                    "8192.00 PiB are asked for");
    /* all that there is can be had, though it is no multiple of the grain */
    CU_ASSERT_PTR_EQUAL(take(pool, 2 * GRAIN + 100 * UNIT), BASE + GRAIN);
    CU_ASSERT_EQUAL(fr_pool_used(pool), m.limit);
    fr_pool_destroy(&pool);
}

/* Blocks of all sizes come and go: none overlaps another, all are aligned, and in the end the pool is whole. */
static void blocks_never_overlap(void)
{
    enum { N = 100, TURNS = 5000 };
    memory m;
    char *blocks[N] = {NULL};
    int64_t bytes[N] = {0};
    fr_pool *pool = make(&m, (int64_t)1 << 40);
    for (uint64_t turn = 0; turn < TURNS; turn++) {
        int at = (int)(fr_rng_uniform(1, FR_RNG_TEST, 0, 2 * turn) * N);
        if (blocks[at] != NULL) {
            CU_ASSERT_TRUE(fr_pool_give(pool, blocks[at]) >= bytes[at]);
            blocks[at] = NULL;
            continue;
        }
        bytes[at] = (int64_t)(fr_rng_uniform(1, FR_RNG_TEST, 0, 2 * turn + 1) * GRAIN);
        blocks[at] = take(pool, bytes[at]);
        CU_ASSERT_EQUAL((blocks[at] - BASE) % UNIT, 0);
        CU_ASSERT_TRUE(blocks[at] + bytes[at] <= BASE + m.bytes);
        for (int i = 0; i < N; i++) {
            CU_ASSERT_TRUE(i == at || blocks[i] == NULL ||
                           blocks[i] + bytes[i] <= blocks[at] ||
                           blocks[at] + bytes[at] <= blocks[i]);
        }
    }
    /* holes are used again: half of the blocks are there at a time, of half a grain each */
    CU_ASSERT_TRUE(m.bytes < 2 * fr_pool_most_used(pool));
    for (int i = 0; i < N; i++) {
        if (blocks[i] != NULL) {
            (void)fr_pool_give(pool, blocks[i]);
        }
    }
    CU_ASSERT_EQUAL(fr_pool_used(pool), 0);
    CU_ASSERT_PTR_EQUAL(take(pool, m.bytes), BASE);
    fr_pool_destroy(&pool);
}

int main(int argc, char **argv)
{
    static const fr_case CASES[] = {
        FR_CASE(what_is_reserved_is_taken_at_once),
        FR_CASE(free_places_become_one),
        FR_CASE(the_smallest_place_that_is_large_enough_is_taken),
        FR_CASE(too_little_is_told_with_what_is_free),
        FR_CASE(blocks_never_overlap),
    };
    return fr_suite_main("pool", CASES, sizeof CASES / sizeof CASES[0], argc, argv);
}
