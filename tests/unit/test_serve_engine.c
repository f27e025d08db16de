/* Requests that come and go: their tokens are those of `generate`, and each gets one end, whatever happens. */
#include "support/model_files.h"
#include "support/serving.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

enum { N_KINDS = 4, N_ASKS = 24 };

/* Names on the shelf with their file and task; the first is the base. */
static const char *const NAMES[N_KINDS] = {NULL, "one", "two:a", "two:b"};
static const char *const FILES[N_KINDS] = {NULL, "one.h5", "two.h5", "two.h5"};
static const char *const TASKS[N_KINDS] = {NULL, NULL, "a", "b"};

static void open_bench(fr_serving_sizes sizes, fr_serving_bench *b)
{
    fr_serving_bench_open(NULL, b);
    fr_serving_write(b, "one.h5", 1, 1);
    fr_serving_write(b, "two.h5", 2, 2);
    fr_serving_open_shelf(b, 0);
    fr_serving_open_engine(b, sizes);
}

static void expect(const fr_serving_bench *b, int kind, fr_serving_ask *wanted)
{
    fr_serving_expect(b, FILES[kind], TASKS[kind], wanted);
}

/* Run until all that was submitted has ended. */
static void run(fr_serving_bench *b)
{
    fr_serving_drain(b->serving, 1000.0);
    FR_ASSERT_OK(fr_serving_run(b->serving));
}

static fr_serving_counters count(const fr_serving_bench *b)
{
    fr_serving_counters now;
    fr_serving_count(b->serving, &now);
    return now;
}

/* Requests of all kinds at a time, and their counters. */
static void check_all(fr_serving_sizes sizes, fr_serving_counters *counters)
{
    fr_serving_bench b;
    fr_serving_ask asks[N_ASKS] = {{0}};
    open_bench(sizes, &b);
    for (int i = 0; i < N_ASKS; i++) {
        asks[i].prefix = NAMES[i % N_KINDS];
        asks[i].number = (uint64_t)i;
        CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &asks[i]), FR_SERVING_TAKEN);
    }
    run(&b);
    for (int i = 0; i < N_ASKS; i++) {
        fr_serving_ask wanted = {.number = (uint64_t)i};
        expect(&b, i % N_KINDS, &wanted);
        fr_serving_compare(&asks[i], &wanted);
    }
    *counters = count(&b);
    fr_serving_bench_close(&b);
}

static void tokens_are_those_of_generate(void)
{
    fr_serving_counters c;
    check_all((fr_serving_sizes){.places = 5}, &c);
    CU_ASSERT_EQUAL(c.taken, N_ASKS);
    CU_ASSERT_EQUAL(c.ended[FR_SERVING_FULL], N_ASKS);
    CU_ASSERT_EQUAL(c.waiting + c.under_way, 0);
    CU_ASSERT_EQUAL(c.images, 3);
    CU_ASSERT_EQUAL(c.loads, 3);
    CU_ASSERT_TRUE(c.passes > 0 && c.prompt_tokens > 0 && c.answer_tokens > N_ASKS);
}

/* With room for one image, prefixes take turns; those under way are never dropped. */
static void images_come_back_where_there_is_room_for_one(void)
{
    fr_serving_counters c;
    check_all((fr_serving_sizes){.places = 5, .prefix_bytes = 1}, &c);
    CU_ASSERT_EQUAL(c.ended[FR_SERVING_FULL], N_ASKS);
    CU_ASSERT_EQUAL(c.images, 1);
    CU_ASSERT_TRUE(c.loads >= N_ASKS / 2);
}

static void a_cancelled_request_gives_its_place_to_the_next(void)
{
    fr_serving_bench b;
    fr_serving_ask first = {.prefix = "one", .number = 20, .cancel_at = 2};
    fr_serving_ask queued = {.prefix = "one", .number = 3};
    fr_serving_ask last = {.prefix = "two:b", .number = 9};
    fr_serving_ask wanted = {.number = 9};
    open_bench((fr_serving_sizes){.places = 1}, &b);
    CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &first), FR_SERVING_TAKEN);
    CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &queued), FR_SERVING_TAKEN);
    CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &last), FR_SERVING_TAKEN);
    fr_serving_cancel(b.serving, queued.ticket);
    fr_serving_cancel(b.serving, 12345); /* nobody's */
    run(&b);
    CU_ASSERT_EQUAL(first.end, FR_SERVING_CANCELLED);
    CU_ASSERT_EQUAL(first.n, 2);
    CU_ASSERT_EQUAL(queued.end, FR_SERVING_CANCELLED);
    CU_ASSERT_EQUAL(queued.n, 0);
    CU_ASSERT_TRUE(queued.has_message);
    expect(&b, 3, &wanted);
    fr_serving_compare(&last, &wanted);
    fr_serving_bench_close(&b);
}

static void a_request_ends_at_its_deadline(void)
{
    fr_serving_bench b;
    fr_serving_ask late = {.number = 1, .deadline = 1e-9};
    fr_serving_ask other = {.number = 2, .deadline = 1000.0};
    open_bench((fr_serving_sizes){0}, &b);
    CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &late), FR_SERVING_TAKEN);
    CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &other), FR_SERVING_TAKEN);
    run(&b);
    CU_ASSERT_EQUAL(late.end, FR_SERVING_EXPIRED);
    CU_ASSERT_TRUE(late.has_message);
    CU_ASSERT_EQUAL(other.end, FR_SERVING_FULL);
    fr_serving_bench_close(&b);
}

static void the_queue_is_bounded(void)
{
    fr_serving_bench b;
    fr_serving_ask asks[4] = {
        {.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
    open_bench((fr_serving_sizes){.queue = 2}, &b);
    CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &asks[0]), FR_SERVING_TAKEN);
    CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &asks[1]), FR_SERVING_TAKEN);
    CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &asks[2]), FR_SERVING_BUSY);
    CU_ASSERT_EQUAL(count(&b).refused[FR_SERVING_BUSY], 1);
    run(&b);
    CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &asks[3]), FR_SERVING_CLOSED);
    CU_ASSERT_EQUAL(asks[1].end, FR_SERVING_FULL);
    CU_ASSERT_EQUAL(asks[2].n_ends + asks[3].n_ends, 0);
    fr_serving_bench_close(&b);
}

static void drain_now(void *argument)
{
    fr_serving_drain(((fr_serving_bench *)argument)->serving, 0.0);
}

static void a_drain_ends_what_is_under_way_in_time(void)
{
    fr_serving_bench b;
    fr_serving_ask first = {.prefix = "one", .number = 20, .at_first = drain_now};
    fr_serving_ask queued = {.number = 3};
    open_bench((fr_serving_sizes){.places = 1}, &b);
    first.argument = &b;
    CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &first), FR_SERVING_TAKEN);
    CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &queued), FR_SERVING_TAKEN);
    FR_ASSERT_OK(fr_serving_run(b.serving));
    CU_ASSERT_EQUAL(first.end, FR_SERVING_DRAINED);
    CU_ASSERT_EQUAL(first.n, 1);
    CU_ASSERT_EQUAL(queued.end, FR_SERVING_DRAINED);
    fr_serving_bench_close(&b);
}

/* Its neighbours are answered. */
static void a_prompt_that_does_not_fit_fails_alone(void)
{
    fr_serving_bench b;
    fr_serving_ask other = {.prefix = "one", .number = 5};
    fr_serving_ask kept = {.number = 0};
    open_bench((fr_serving_sizes){0}, &b);
    fr_serving_ask_submit(&b, &other);
    fr_serving_request request = {.prefix = fr_shelf_find(b.shelf, NULL),
                                  .max_new_tokens = 1};
    for (int32_t i = 0; i < FR_SERVING_CAPACITY; i++) {
        FR_ASSERT_OK(fr_ids_add(fr_test_ctx(), &request.prompt, i));
    }
    CU_ASSERT_EQUAL(fr_serving_submit(b.serving, &request, &kept.ticket),
                    FR_SERVING_TAKEN);
    CU_ASSERT_PTR_NULL(request.prompt.data);
    fr_shelf_release(request.prefix);
    run(&b);
    CU_ASSERT_EQUAL(count(&b).ended[FR_SERVING_FAILED], 1);
    CU_ASSERT_EQUAL(other.end, FR_SERVING_FULL);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(fr_test_ctx()), "");
    fr_serving_bench_close(&b);
}

/* Numbers of a file are finite, what is computed with them need not be. */
static void a_prefix_that_overflows_fails_alone(void)
{
    fr_serving_bench b;
    fr_checkpoint *c = NULL;
    fr_serving_ask bad = {.prefix = "bad", .number = 4};
    fr_serving_ask other = {.prefix = "one", .number = 5};
    fr_serving_ask wanted = {.number = 5};
    fr_serving_bench_open(NULL, &b);
    fr_serving_write(&b, "one.h5", 1, 1);
    const char *one = fr_test_path(b.folder, "one.h5");
    FR_ASSERT_OK(fr_checkpoint_read(fr_test_ctx(), one, &c));
    const fr_checkpoint_task *task = &c->tasks[0];
    int64_t n = task->length * task->n_layers * task->n_kv_heads * task->head_dim;
    for (int64_t i = 0; i < n; i++) {
        task->state.v[i] = 3e38F;
    }
    FR_ASSERT_OK(
        fr_checkpoint_write(fr_test_ctx(), fr_test_path(b.folder, "bad.h5"), c));
    fr_checkpoint_destroy(&c);
    fr_serving_open_shelf(&b, 0);
    fr_serving_open_engine(&b, (fr_serving_sizes){0});
    fr_serving_ask_submit(&b, &bad);
    fr_serving_ask_submit(&b, &other);
    run(&b);
    CU_ASSERT_EQUAL(bad.end, FR_SERVING_FAILED);
    CU_ASSERT_TRUE(bad.has_message);
    expect(&b, 1, &wanted);
    fr_serving_compare(&other, &wanted);
    fr_serving_bench_close(&b);
}

/* ---- failures of all --------------------------------------------------------------------------------- */

/* Passes until one fails; the linker's --wrap gives no way to pass state. */
static int passes_left = INT_MAX;
fr_status __real_fr_generation_pass(fr_generation *generation);
fr_status __wrap_fr_generation_pass(fr_generation *generation);

fr_status __wrap_fr_generation_pass(fr_generation *generation)
{
    if (passes_left-- > 0) {
        return __real_fr_generation_pass(generation);
    }
    return FR_FAIL(fr_test_ctx(), FR_ERR_COMM, "rank 1 is gone");
}

static void a_failed_pass_ends_every_request(void)
{
    fr_serving_bench b;
    fr_serving_ask asks[4] = {
        {.prefix = "one", .number = 18}, {.number = 19}, {.number = 20}, {.number = 1}};
    open_bench((fr_serving_sizes){.places = 2}, &b);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &asks[i]), FR_SERVING_TAKEN);
    }
    passes_left = 6;
    fr_serving_drain(b.serving, 1000.0);
    FR_ASSERT_FAILS(fr_serving_run(b.serving), FR_ERR_COMM, "rank 1 is gone");
    passes_left = INT_MAX;
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(asks[i].end, FR_SERVING_LOST);
        CU_ASSERT_EQUAL(asks[i].n_ends, 1);
        CU_ASSERT_TRUE(asks[i].has_message);
    }
    CU_ASSERT_TRUE(asks[0].n > 0 && asks[2].n == 0);
    CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &asks[3]), FR_SERVING_CLOSED);
    fr_serving_bench_close(&b);
}

/* ---- the shelf changes meanwhile ----------------------------------------------------------------------- */

/* "one" gets other numbers, and "two" goes. The shelf reads what has kept its stamp from one look to the next. */
static void change_folder(void *argument)
{
    fr_serving_bench *b = argument;
    char path[2 * FR_SERVING_PATH];
    fr_serving_write(b, "one.h5", 1, 77);
    (void)snprintf(path, sizeof path, "%s/two.h5", b->folder);
    CU_ASSERT_EQUAL(remove(path), 0);
    FR_ASSERT_OK(fr_shelf_look(fr_test_ctx(), b->shelf));
    FR_ASSERT_OK(fr_shelf_look(fr_test_ctx(), b->shelf));
}

static void a_row_under_way_keeps_the_prefix_it_was_asked_with(void)
{
    fr_serving_bench b;
    fr_serving_ask first = {.prefix = "one", .number = 21, .at_first = change_folder};
    fr_serving_ask gone = {.prefix = "two:a", .number = 19};
    fr_serving_ask queued = {.prefix = "one", .number = 11};
    fr_serving_ask wanted[3] = {{.number = 21}, {.number = 19}, {.number = 11}};
    fr_serving_ask later = {.prefix = "one", .number = 11};
    open_bench((fr_serving_sizes){.places = 2}, &b);
    expect(&b, 1, &wanted[0]);
    expect(&b, 2, &wanted[1]);
    expect(&b, 1, &wanted[2]);
    first.argument = &b;
    fr_serving_ask_submit(&b, &first);
    fr_serving_ask_submit(&b, &gone);
    fr_serving_ask_submit(&b, &queued);
    run(&b);
    fr_serving_compare(&first, &wanted[0]);
    fr_serving_compare(&gone, &wanted[1]);
    fr_serving_compare(&queued, &wanted[2]);
    CU_ASSERT_PTR_NULL(fr_shelf_find(b.shelf, "two:a"));
    fr_serving_destroy(&b.serving);
    fr_serving_open_engine(&b, (fr_serving_sizes){0});
    fr_serving_ask_submit(&b, &later);
    run(&b);
    fr_serving_ask after = {.number = 11};
    expect(&b, 1, &after);
    fr_serving_compare(&later, &after);
    CU_ASSERT_TRUE(memcmp(later.ids, queued.ids, sizeof later.ids) != 0);
    fr_serving_bench_close(&b);
}

/* ---- other threads ------------------------------------------------------------------------------------ */

typedef struct client {
    fr_serving_bench *bench;
    int64_t n;
    fr_serving_ask ask;
} client;

/* One request after the other, each when the one before has ended; between them the engine has nothing to do. */
static void *ask_in_turn(void *argument)
{
    client *c = argument;
    for (int64_t i = 0; i < c->n; i++) {
        c->ask = (fr_serving_ask){.prefix = NAMES[i % N_KINDS], .number = 1};
        if (fr_serving_ask_submit(c->bench, &c->ask) != FR_SERVING_TAKEN) {
            break;
        }
        while (c->ask.n_ends == 0) {
            (void)sched_yield();
        }
    }
    fr_serving_drain(c->bench->serving, 1000.0);
    return NULL;
}

static void requests_come_from_other_threads_while_it_rests(void)
{
    fr_serving_bench b;
    client c = {.bench = &b, .n = 9};
    pthread_t thread;
    open_bench((fr_serving_sizes){0}, &b);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, ask_in_turn, &c), 0);
    FR_ASSERT_OK(fr_serving_run(b.serving));
    CU_ASSERT_EQUAL(pthread_join(thread, NULL), 0);
    CU_ASSERT_EQUAL(count(&b).ended[FR_SERVING_FULL], 9);
    fr_serving_bench_close(&b);
}

static void a_lost_server_tells_everyone_once(void)
{
    fr_serving_bench b;
    fr_serving_ask asks[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    open_bench((fr_serving_sizes){0}, &b);
    fr_serving_ask_submit(&b, &asks[0]);
    fr_serving_ask_submit(&b, &asks[1]);
    fr_serving_lost(b.serving, "rank 1 is gone");
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(asks[i].n_ends, 1);
        CU_ASSERT_EQUAL(asks[i].end, FR_SERVING_LOST);
        CU_ASSERT_TRUE(asks[i].has_message);
    }
    CU_ASSERT_EQUAL(fr_serving_ask_submit(&b, &asks[2]), FR_SERVING_CLOSED);
    CU_ASSERT_EQUAL(count(&b).ended[FR_SERVING_LOST], 2);
    fr_serving_bench_close(&b); /* tells nothing again */
    CU_ASSERT_EQUAL(asks[0].n_ends, 1);
}

/* Under the sanitizers nothing of them is left. */
static void many_requests_leave_nothing_behind(void)
{
    enum { ROUNDS = 12 };
    fr_serving_bench b;
    open_bench((fr_serving_sizes){.places = 8, .prefix_bytes = 1}, &b);
    fr_serving_bench *bench = &b;
    for (int round = 0; round < ROUNDS; round++) {
        fr_serving_ask asks[N_ASKS] = {{0}};
        for (int i = 0; i < N_ASKS; i++) {
            asks[i].prefix = NAMES[(i + round) % N_KINDS];
            asks[i].number = (uint64_t)(i % 7);
            asks[i].cancel_at = i % 3 == 0 ? 1 + i % 2 : 0;
            CU_ASSERT_EQUAL(fr_serving_ask_submit(bench, &asks[i]), FR_SERVING_TAKEN);
        }
        run(bench);
        int64_t bytes = count(bench).image_bytes;
        CU_ASSERT_TRUE(bytes > 0);
        fr_serving_destroy(&b.serving);
        fr_serving_open_engine(bench,
                               (fr_serving_sizes){.places = 8, .prefix_bytes = 1});
    }
    fr_shelf_counters shelf;
    fr_shelf_count(b.shelf, &shelf);
    CU_ASSERT_EQUAL(shelf.names, 3);
    fr_serving_bench_close(bench);
}

static const fr_case CASES[] = {
    FR_CASE(tokens_are_those_of_generate),
    FR_CASE(images_come_back_where_there_is_room_for_one),
    FR_CASE(a_cancelled_request_gives_its_place_to_the_next),
    FR_CASE(a_request_ends_at_its_deadline),
    FR_CASE(the_queue_is_bounded),
    FR_CASE(a_drain_ends_what_is_under_way_in_time),
    FR_CASE(a_prompt_that_does_not_fit_fails_alone),
    FR_CASE(a_prefix_that_overflows_fails_alone),
    FR_CASE(a_failed_pass_ends_every_request),
    FR_CASE(a_row_under_way_keeps_the_prefix_it_was_asked_with),
    FR_CASE(requests_come_from_other_threads_while_it_rests),
    FR_CASE(a_lost_server_tells_everyone_once),
    FR_CASE(many_requests_leave_nothing_behind),
};

int main(int argc, char **argv)
{
    return fr_suite_main("unit_serve_engine", CASES, FR_N_CASES(CASES), argc, argv);
}
