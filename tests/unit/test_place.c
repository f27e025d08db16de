#include "comm/place.h"
#include "support/suite.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { N_READERS = 2, N_WRITES = 200000 };

static const char *const WORDS[] = {"forward", "receive", "reduction"};

/* A position whose every field follows from one number. */
static fr_position numbered(int64_t n)
{
    fr_position p = {.step = n,
                     .microbatch = 3 * n,
                     .peer = -n,
                     .since_ms = 7 * n,
                     .phase = WORDS[n % 3],
                     .wait = WORDS[(n + 1) % 3]};
    (void)snprintf(p.task, sizeof p.task, "task-%020lld-%020lld-%020lld", (long long)n,
                   (long long)n, (long long)n);
    return p;
}

static bool is_whole(const fr_position *p)
{
    fr_position wanted = numbered(p->step);
    return p->microbatch == wanted.microbatch && p->peer == wanted.peer &&
           p->since_ms == wanted.since_ms && p->phase == wanted.phase &&
           p->wait == wanted.wait && strcmp(p->task, wanted.task) == 0;
}

static void a_position_comes_back_as_it_was_set(void)
{
    fr_place place;
    fr_position first = numbered(4);
    fr_position second = numbered(5);
    fr_position got;
    fr_place_init(&place, &first);
    uint64_t before = fr_place_get(&place, &got);
    CU_ASSERT_EQUAL(got.step, 4);
    CU_ASSERT_TRUE(is_whole(&got));
    CU_ASSERT_EQUAL(fr_place_get(&place, &got), before);
    fr_place_set(&place, &second);
    CU_ASSERT_NOT_EQUAL(fr_place_get(&place, &got), before);
    CU_ASSERT_EQUAL(got.step, 5);
    CU_ASSERT_TRUE(is_whole(&got));
}

typedef struct reading {
    const fr_place *place;
    int64_t n_torn;
    int64_t n_backwards;
    int64_t n_different;
} reading;

static void *read_until_last(void *argument)
{
    reading *r = argument;
    fr_position got;
    uint64_t last = 0;
    do {
        uint64_t number = fr_place_get(r->place, &got);
        r->n_torn += !is_whole(&got);
        r->n_backwards += number < last;
        r->n_different += number != last;
        last = number;
    } while (got.step < N_WRITES);
    return NULL;
}

static void readers_never_see_a_torn_position(void)
{
    fr_place place;
    pthread_t threads[N_READERS];
    reading readings[N_READERS];
    fr_position start = numbered(0);
    fr_place_init(&place, &start);
    for (int i = 0; i < N_READERS; i++) {
        readings[i] = (reading){.place = &place};
        CU_ASSERT_EQUAL_FATAL(
            pthread_create(&threads[i], NULL, read_until_last, &readings[i]), 0);
    }
    for (int64_t n = 1; n <= N_WRITES; n++) {
        fr_position next = numbered(n);
        fr_place_set(&place, &next);
    }
    for (int i = 0; i < N_READERS; i++) {
        (void)pthread_join(threads[i], NULL);
        CU_ASSERT_EQUAL(readings[i].n_torn, 0);
        CU_ASSERT_EQUAL(readings[i].n_backwards, 0);
        CU_ASSERT_TRUE(readings[i].n_different > 1);
    }
}

static const fr_case CASES[] = {
    FR_CASE(a_position_comes_back_as_it_was_set),
    FR_CASE(readers_never_see_a_torn_position),
};

int main(int argc, char **argv)
{
    return fr_suite_main("place", CASES, FR_N_CASES(CASES), argc, argv);
}
