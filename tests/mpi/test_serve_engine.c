/* A server over the stages of a pipeline: rank 0 decides, and the tokens are those of `generate` on the same ranks. */
#include "support/serving.h"

#include "base/clock.h"

#include <pthread.h>
#include <sched.h>

enum { N_KINDS = 4, N_ASKS = 20 };

static const char *const NAMES[N_KINDS] = {NULL, "one", "two:a", "two:b"};
static const char *const FILES[N_KINDS] = {NULL, "one.h5", "two.h5", "two.h5"};
static const char *const TASKS[N_KINDS] = {NULL, NULL, "a", "b"};

static bool leads(const fr_serving_bench *b)
{
    return fr_group_rank(b->inference.session.world) == 0;
}

static void open_bench(fr_group *world, fr_serving_sizes sizes, fr_serving_bench *b)
{
    fr_serving_bench_open(world, b);
    if (leads(b)) {
        fr_serving_write(b, "one.h5", 1, 1);
        fr_serving_write(b, "two.h5", 2, 2);
    }
    fr_serving_open_shelf(b, 0);
    fr_serving_open_engine(b, sizes);
}

static void check_tokens(fr_serving_sizes sizes)
{
    fr_group *world = fr_test_world();
    fr_serving_bench b;
    fr_serving_ask asks[N_ASKS] = {{0}};
    fr_serving_counters c;
    open_bench(world, sizes, &b);
    for (int i = 0; i < N_ASKS && leads(&b); i++) {
        asks[i].prefix = NAMES[i % N_KINDS];
        asks[i].number = (uint64_t)i;
        asks[i].cancel_at = i % 6 == 5 ? 2 : 0;
        CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &asks[i]), FR_SERVING_TAKEN);
    }
    if (leads(&b)) {
        fr_serving_drain(b.serving, 1000.0);
    }
    FR_ASSERT_OK(fr_serving_run(b.serving));
    for (int i = 0; i < N_ASKS; i++) {
        fr_serving_ask wanted = {.number = (uint64_t)i};
        fr_serving_expect(&b, FILES[i % N_KINDS], TASKS[i % N_KINDS], &wanted);
        if (leads(&b) && asks[i].cancel_at == 0) {
            fr_serving_compare(&asks[i], &wanted);
        }
    }
    fr_serving_count(b.serving, &c);
    if (leads(&b)) {
        CU_ASSERT_EQUAL(c.ended[FR_SERVING_CANCELLED], 3);
        CU_ASSERT_EQUAL(c.ended[FR_SERVING_FULL], N_ASKS - 3);
    }
    fr_serving_bench_close(&b);
    fr_group_destroy(&world);
}

static void tokens_are_those_of_generate(void)
{
    check_tokens((fr_serving_sizes){.places = 4});
}

static void images_come_back_where_there_is_room_for_one(void)
{
    check_tokens((fr_serving_sizes){.places = 4, .prefix_bytes = 1});
}

/* Requests with pauses between them, in which all ranks rest. */
static void *ask_now_and_then(void *argument)
{
    enum { N = 4, PAUSE_NS = 30000000 };
    fr_serving_bench *b = argument;
    for (int64_t i = 0; i < N; i++) {
        fr_serving_ask ask = {.prefix = NAMES[i % N_KINDS], .number = 1};
        fr_sleep_ns(PAUSE_NS);
        if (fr_serving_ask_submit(b, &ask) != FR_SERVING_TAKEN) {
            break;
        }
        while (ask.n_ends == 0) {
            (void)sched_yield();
        }
    }
    fr_serving_drain(b->serving, 1000.0);
    return NULL;
}

static void ranks_rest_between_requests(void)
{
    fr_group *world = fr_test_world();
    fr_serving_bench b;
    pthread_t thread;
    open_bench(world, (fr_serving_sizes){0}, &b);
    if (leads(&b)) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, ask_now_and_then, &b), 0);
    }
    FR_ASSERT_OK(fr_serving_run(b.serving));
    if (leads(&b)) {
        fr_serving_counters now;
        CU_ASSERT_EQUAL(pthread_join(thread, NULL), 0);
        fr_serving_count(b.serving, &now);
        CU_ASSERT_EQUAL(now.ended[FR_SERVING_FULL], 4);
    }
    fr_serving_bench_close(&b);
    fr_group_destroy(&world);
}

static const fr_case CASES[] = {
    FR_CASE(tokens_are_those_of_generate),
    FR_CASE(images_come_back_where_there_is_room_for_one),
    FR_CASE(ranks_rest_between_requests),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("serve_engine", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
