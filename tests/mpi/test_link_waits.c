/* Who moves staged and direct transfers, what the watch hears of their waits, and what fails. */
#define _POSIX_C_SOURCE 200809L
#include "comm/rank_line.h"
#include "device/host.h"
#include "support/fault.h"
#include "support/link_ends.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const fr_ends_mode HOST = {FR_LINK_HOST, 0, 0};
static const fr_ends_mode STAGED = {FR_LINK_STAGED, 0, FR_ENDS_PIECE};
static const fr_ends_mode DIRECT = {FR_LINK_DIRECT, 0, 0};

/* ---- who moves them --------------------------------------------------------------------------- */

/* Longer than what MPI sends before anybody asks for it. */
enum { LARGE = 1 << 18 };
static const fr_ends_mode LATE[] = {{FR_LINK_STAGED, 3, LARGE}, {FR_LINK_DIRECT, 3, 0}};

static bool has_come(void *argument)
{
    const volatile unsigned char *last = argument;
    return *last == 7;
}

/* Rank 0 sends and then a word, over the group. Rank 1 only waits: for the word, or for the last byte. If its own wait did
 * not move its receive on, rank 0's join would never end. */
static void other_waits_and_polls_move_messages(void)
{
    for (int i = 0; i < 3 * FR_N_CASES(LATE); i++) {
        int by = i % 3;
        fr_ends e;
        int64_t word = 0;
        fr_transfer transfer = {NULL};
        fr_ends_open(&LATE[i / 3], &e);
        unsigned char *data = fr_ends_bytes(FR_ENDS_MAX_BYTES);
        if (e.rank == 0) {
            memset(data, 7, FR_ENDS_MAX_BYTES);
            FR_ASSERT_OK(fr_link_send_begin(e.link, 1, FR_TAG_FORWARD, data,
                                            FR_ENDS_MAX_BYTES, &transfer));
            fr_ends_join(&e, &transfer);
            FR_ASSERT_OK(
                fr_group_send(e.world, 1, FR_TAG_GENERATE, &word, sizeof word));
        } else if (e.rank == 1) {
            unsigned char *last = data + FR_ENDS_MAX_BYTES - 1;
            FR_ASSERT_OK(fr_link_receive_begin(e.link, 0, FR_TAG_FORWARD, data,
                                               FR_ENDS_MAX_BYTES, &transfer));
            if (by == 1) {
                fr_group_wait_until(e.world, "receive", has_come, last);
            }
            while (by == 2 && !has_come(last)) {
                fr_group_poll(e.world);
            }
            FR_ASSERT_OK(
                fr_group_receive(e.world, 0, FR_TAG_GENERATE, &word, sizeof word));
            fr_ends_join(&e, &transfer);
            CU_ASSERT_EQUAL(data[0], 7);
            CU_ASSERT_TRUE(has_come(last));
        }
        free(data);
        fr_ends_close(&e);
    }
}

/* What rank 1's progress function does: at its third call it lets rank 0 send. */
typedef struct starter {
    const fr_ends *ends;
    fr_request word;
    char byte;
    int n_calls;
} starter;

static void let_send(void *argument)
{
    starter *s = argument;
    if (++s->n_calls == 3) {
        FR_ASSERT_OK(fr_group_send_begin(s->ends->world, 0, FR_TAG_GENERATE, &s->byte,
                                         1, &s->word));
    }
}

/* As for a message of the group: else a rank that waits would hold up everybody's reductions. If it did not run, both would
 * wait for ever. */
static void check_progress(const fr_ends_mode *mode)
{
    fr_ends e;
    unsigned char byte = 0;
    char word = 0;
    fr_transfer transfer;
    fr_ends_open(mode, &e);
    starter s = {.ends = &e};
    if (e.rank == 0) {
        FR_ASSERT_OK(fr_group_receive(e.world, 1, FR_TAG_GENERATE, &word, 1));
        FR_ASSERT_OK(
            fr_link_send_begin(e.link, 1, FR_TAG_FORWARD, &byte, 1, &transfer));
        fr_ends_join(&e, &transfer);
    } else if (e.rank == 1) {
        fr_group_set_progress(e.world, let_send, &s);
        FR_ASSERT_OK(
            fr_link_receive_begin(e.link, 0, FR_TAG_FORWARD, &byte, 1, &transfer));
        fr_ends_join(&e, &transfer);
        fr_group_set_progress(e.world, NULL, NULL);
        FR_ASSERT_OK(fr_group_wait(e.world, &s.word));
    }
    fr_ends_close(&e);
}

static void the_progress_function_runs_while_a_transfer_is_joined(void)
{
    check_progress(&STAGED);
    check_progress(&DIRECT);
}

/* ---- the watch -------------------------------------------------------------------------------- */

enum { FOLDER_BYTES = 512 };

static void never_leave(void *argument, int exit_code, const char *text)
{
    (void)argument;
    (void)exit_code;
    CU_FAIL("the watch wants to leave");
    (void)printf("%s", text);
}

/* Rank 1's line says what it waits for: looked at by rank 0 for ten seconds at most. */
static void expect_waiting(const char *folder, const char *what, int peer)
{
    const struct timespec pause = {0, 100000000};
    char path[FOLDER_BYTES + 32];
    fr_rank_line line = {0};
    (void)snprintf(path, sizeof path, "%s/rank-%04d.slot", folder, 1);
    for (int i = 0; i < 100 && strcmp(line.what, what) != 0; i++) {
        (void)nanosleep(&pause, NULL);
        (void)fr_rank_line_read(path, &line);
    }
    CU_ASSERT_STRING_EQUAL(line.state, "waiting");
    CU_ASSERT_STRING_EQUAL(line.what, what);
    CU_ASSERT_EQUAL(line.peer, peer);
}

/* Rank 0 sends the pieces one by one, as a link would; with one missing, rank 1 waits for rank 0. */
static void receive_in_parts(const fr_ends *e, const char *folder)
{
    unsigned char data[2 * FR_ENDS_PIECE] = {0};
    fr_transfer transfer;
    if (e->rank == 0) {
        expect_waiting(folder, "receive", 0);
        FR_ASSERT_OK(fr_group_send(e->world, 1, FR_TAG_FORWARD, data, FR_ENDS_PIECE));
        expect_waiting(folder, "receive", 0);
        FR_ASSERT_OK(fr_group_send(e->world, 1, FR_TAG_FORWARD, data, FR_ENDS_PIECE));
    } else if (e->rank == 1) {
        FR_ASSERT_OK(fr_link_receive_begin(e->link, 0, FR_TAG_FORWARD, data,
                                           sizeof data, &transfer));
        fr_ends_join(e, &transfer);
    }
}

/* Rank 1, whose device wakes when rank 0 says that it has seen it hang. */
typedef struct sleeper {
    const fr_ends *ends;
    fr_request word;
    char byte;
} sleeper;

static void wake(void *argument)
{
    sleeper *s = argument;
    bool is_done = false;
    if (fr_ends_is_hanging()) {
        FR_ASSERT_OK(fr_group_test(s->ends->world, &s->word, &is_done));
        fr_ends_hang(!is_done);
    }
}

/* Then MPI holds it up, since nobody takes its message. */
static void send_from_a_device_that_hangs(const fr_ends *e, const char *folder)
{
    sleeper s = {.ends = e};
    unsigned char *data = fr_ends_bytes(LARGE);
    char byte = 0;
    fr_transfer transfer;
    if (e->rank == 0) {
        expect_waiting(folder, "device", -1);
        FR_ASSERT_OK(fr_group_send(e->world, 1, FR_TAG_GENERATE, &byte, 1));
        expect_waiting(folder, "send", 0);
        FR_ASSERT_OK(
            fr_link_receive_begin(e->link, 1, FR_TAG_BACKWARD, data, LARGE, &transfer));
        fr_ends_join(e, &transfer);
        CU_ASSERT_EQUAL(fr_ends_unlike(data, LARGE, 5), 0);
    } else if (e->rank == 1) {
        fr_ends_fill(data, LARGE, 5);
        fr_ends_hang(true);
        FR_ASSERT_OK(
            fr_group_receive_begin(e->world, 0, FR_TAG_GENERATE, &s.byte, 1, &s.word));
        fr_group_set_progress(e->world, wake, &s);
        FR_ASSERT_OK(
            fr_link_send_begin(e->link, 0, FR_TAG_BACKWARD, data, LARGE, &transfer));
        fr_ends_join(e, &transfer);
        fr_group_set_progress(e->world, NULL, NULL);
    }
    free(data);
}

static void the_watch_hears_who_holds_up_a_transfer(void)
{
    for (int i = 0; i < 1 + FR_N_CASES(LATE); i++) {
        fr_ends e;
        fr_watch *watch = NULL;
        char folder[FOLDER_BYTES] = "";
        fr_ends_open(i == 0 ? &STAGED : &LATE[i - 1], &e);
        if (e.rank == 0) {
            (void)snprintf(folder, sizeof folder, "%s", fr_test_folder());
        }
        FR_ASSERT_OK(fr_group_broadcast(e.world, 0, folder, sizeof folder));
        fr_watch_params params = {.folder = folder,
                                  .rank = e.rank,
                                  .n_ranks = e.size,
                                  .timeout_seconds = 3600,
                                  .leave = never_leave};
        FR_ASSERT_OK(fr_watch_create(fr_test_ctx(), &params, &watch));
        fr_group_set_watch(e.world, watch);
        if (i == 0) {
            receive_in_parts(&e, folder);
        } else {
            send_from_a_device_that_hangs(&e, folder);
        }
        fr_group_set_watch(e.world, NULL);
        fr_watch_destroy(&watch);
        fr_ends_close(&e);
    }
}

/* ---- what is refused, and what fails ---------------------------------------------------------- */

static void what_a_link_cannot_do_is_refused(void)
{
    fr_ends e;
    fr_transfer transfer = {&e};
    fr_link *link = NULL;
    int64_t value = 1;
    bool is_done = false;
    fr_ends_open(&STAGED, &e);
    int peer = e.rank == 0 ? 1 : 0;
    FR_ASSERT_FAILS(
        fr_link_send_begin(e.link, e.rank, FR_TAG_FORWARD, &value, 8, &transfer),
        FR_ERR_INTERNAL, "must be another rank");
    CU_ASSERT_PTR_NULL(transfer.handle);
    FR_ASSERT_FAILS(
        fr_link_receive_begin(e.link, peer, FR_TAG_FORWARD, &value, -1, &transfer),
        FR_ERR_INTERNAL, "-1 bytes");
    FR_ASSERT_FAILS(fr_link_sum_begin(e.link, fr_host_i64(&value), -1, &transfer),
                    FR_ERR_INTERNAL, "-1 values");
    FR_ASSERT_OK(fr_link_join(e.link, &transfer));
    FR_ASSERT_OK(fr_link_test(e.link, &transfer, &is_done));
    CU_ASSERT_TRUE(is_done);
    fr_link_params params = {
        .group = e.world, .device = e.device, .kind = FR_LINK_STAGED, .n_streams = 0};
    FR_ASSERT_OK(fr_link_open(fr_test_ctx(), &params, &link));
    FR_ASSERT_FAILS(fr_link_sum_begin(link, fr_host_i64(&value), 1, &transfer),
                    FR_ERR_INTERNAL, "opened for 0 streams");
    fr_link_close(&link);
    params.piece_bytes = 12;
    FR_ASSERT_FAILS(fr_link_open(fr_test_ctx(), &params, &link), FR_ERR_INTERNAL,
                    "multiple of 8");
    CU_ASSERT_PTR_NULL(link);
    fr_ends_close(&e);
}

/* Sums, which have a link of another kind. */
static void a_direct_link_carries_messages_alone(void)
{
    fr_ends e;
    int64_t value = 1;
    fr_transfer transfer = {&e};
    fr_ends_open(&DIRECT, &e);
    FR_ASSERT_FAILS(fr_link_sum_begin(e.link, fr_host_i64(&value), 1, &transfer),
                    FR_ERR_INTERNAL, "messages alone");
    CU_ASSERT_PTR_NULL(transfer.handle);
    CU_ASSERT_EQUAL(fr_link_kind_of_sums(FR_LINK_DIRECT), FR_LINK_STAGED);
    CU_ASSERT_EQUAL(fr_link_kind_of_sums(FR_LINK_STAGED), FR_LINK_STAGED);
    CU_ASSERT_EQUAL(fr_link_kind_of_sums(FR_LINK_HOST), FR_LINK_HOST);
    fr_ends_close(&e);
}

static void the_memory_of_a_link_is_foretold(void)
{
    CU_ASSERT_EQUAL(fr_link_bytes(FR_LINK_HOST, 4, 0), 0);
    CU_ASSERT_EQUAL(fr_link_bytes(FR_LINK_DIRECT, 4, 0), 0);
    CU_ASSERT_EQUAL(fr_link_bytes(FR_LINK_STAGED, 4, 0), 4 * 2 * (4 << 20));
    CU_ASSERT_EQUAL(fr_link_bytes(FR_LINK_STAGED, 1, FR_ENDS_PIECE), 2 * FR_ENDS_PIECE);
    fr_ends e;
    fr_ends_open(&HOST, &e);
    CU_ASSERT_EQUAL(fr_link_kind_for(e.device), FR_LINK_HOST);
    fr_ends_close(&e);
}

/* If the message is there already, begin finds out. */
static fr_status receive_whole(const fr_ends *e, int peer, void *data, int64_t bytes)
{
    fr_transfer transfer;
    FR_TRY(
        fr_link_receive_begin(e->link, peer, FR_TAG_FORWARD, data, bytes, &transfer));
    return fr_link_join(e->link, &transfer);
}

/* The last rank expects another length than its neighbour sends: a second piece that is shorter. */
static void check_other_length(const fr_ends_mode *mode, const char *reason)
{
    fr_ends e;
    unsigned char data[4 * FR_ENDS_PIECE] = {0};
    fr_transfer transfer;
    fr_ends_open(mode, &e);
    if (e.rank == e.size - 1) {
        FR_ASSERT_FAILS(receive_whole(&e, e.rank - 1, data, FR_ENDS_PIECE + 9),
                        FR_ERR_COMM, reason);
        FR_ASSERT_FAILS(
            fr_link_send_begin(e.link, e.rank - 1, FR_TAG_BACKWARD, data, 1, &transfer),
            FR_ERR_COMM, NULL);
        CU_ASSERT_PTR_NULL(transfer.handle);
    } else if (e.rank == e.size - 2) {
        FR_ASSERT_OK(fr_link_send_begin(e.link, e.rank + 1, FR_TAG_FORWARD, data,
                                        FR_ENDS_PIECE + 8, &transfer));
        fr_ends_join(&e, &transfer);
    }
    fr_ends_close(&e);
}

static void a_message_of_another_length_breaks_the_link(void)
{
    check_other_length(&STAGED, "sent 8 bytes");
    check_other_length(&DIRECT, "sent 72 bytes");
}

/* One short message from rank 0; the group holds a spare request by then. */
static fr_status receive_once(fr_ctx *ctx, void *argument)
{
    const fr_ends *e = argument;
    fr_link *link = NULL;
    fr_transfer transfer;
    unsigned char data[FR_ENDS_PIECE];
    fr_link_params params = {.group = e->world,
                             .device = e->device,
                             .kind = e->kind,
                             .n_streams = 1,
                             .piece_bytes = FR_ENDS_PIECE};
    fr_status status = fr_link_open(ctx, &params, &link);
    if (status == FR_OK) {
        status = fr_link_receive_begin(link, 0, FR_TAG_FORWARD, data, sizeof data,
                                       &transfer);
    }
    if (status == FR_OK) {
        status = fr_link_join(link, &transfer);
    }
    fr_link_close(&link);
    return status;
}

static void check_failed_allocations(const fr_ends_mode *mode, int n_allocations)
{
    fr_ends e;
    unsigned char data[FR_ENDS_PIECE] = {0};
    fr_ends_open(mode, &e);
    if (e.rank == 0) {
        FR_ASSERT_OK(fr_group_send(e.world, 1, FR_TAG_BACKWARD, data, FR_ENDS_PIECE));
        FR_ASSERT_OK(fr_group_send(e.world, 1, FR_TAG_FORWARD, data, FR_ENDS_PIECE));
    } else if (e.rank == 1) {
        FR_ASSERT_OK(
            fr_group_receive(e.world, 0, FR_TAG_BACKWARD, data, FR_ENDS_PIECE));
        CU_ASSERT_EQUAL(fr_fault_sweep("link", receive_once, &e), n_allocations);
    }
    fr_ends_close(&e);
}

static void a_link_survives_each_failed_allocation(void)
{
    check_failed_allocations(&STAGED, 4); /* the link, streams, blocks, the transfer */
    check_failed_allocations(&DIRECT, 2); /* the link, the transfer */
}

/* A message, and a sum at once where the link carries sums. */
static fr_status exchange(fr_ctx *ctx, void *argument)
{
    (void)ctx;
    const fr_ends *e = argument;
    unsigned char data[3 * FR_ENDS_PIECE] = {0};
    int64_t value = e->rank;
    fr_transfer transfer = {NULL};
    fr_transfer sum = {NULL};
    if (e->rank == 0) {
        FR_TRY(fr_link_send_begin(e->link, 1, FR_TAG_FORWARD, data, sizeof data,
                                  &transfer));
    } else if (e->rank == 1) {
        FR_TRY(fr_link_receive_begin(e->link, 0, FR_TAG_FORWARD, data, sizeof data,
                                     &transfer));
    }
    if (e->kind == fr_link_kind_of_sums(e->kind)) {
        FR_TRY(fr_link_sum_begin(e->link, fr_host_i64(&value), 1, &sum));
    }
    FR_TRY(fr_link_join(e->link, &transfer));
    return fr_link_join(e->link, &sum);
}

/* How many requests the group needs at once depends on who is faster: make more than ever. */
static void make_requests(const fr_ends *e)
{
    enum { N = 16 };
    fr_request requests[N];
    char bytes[N] = {0};
    int peer = e->rank == 0 ? 1 : 0;
    for (int i = 0; e->rank < 2 && i < N; i++) {
        FR_ASSERT_OK(i % 2 == 0
                         ? fr_group_send_begin(e->world, peer, FR_TAG_GENERATE,
                                               &bytes[i], 1, &requests[i])
                         : fr_group_receive_begin(e->world, peer, FR_TAG_GENERATE,
                                                  &bytes[i], 1, &requests[i]));
    }
    for (int i = 0; e->rank < 2 && i < N; i++) {
        FR_ASSERT_OK(fr_group_wait(e->world, &requests[i]));
    }
}

static void check_no_allocation(const fr_ends_mode *mode)
{
    fr_ends e;
    fr_ends_open(mode, &e);
    make_requests(&e);
    FR_ASSERT_OK(exchange(fr_test_ctx(), &e));
    fr_fault_outcome outcome = fr_fault_run(fr_test_ctx(), 1, exchange, &e);
    FR_ASSERT_OK(outcome.status);
    CU_ASSERT_FALSE(outcome.fired);
    fr_ends_close(&e);
}

static void transfers_allocate_nothing_after_the_first_ones(void)
{
    check_no_allocation(&STAGED);
    check_no_allocation(&DIRECT);
}

static const fr_case CASES[] = {
    FR_CASE(other_waits_and_polls_move_messages),
    FR_CASE(the_progress_function_runs_while_a_transfer_is_joined),
    FR_CASE(the_watch_hears_who_holds_up_a_transfer),
    FR_CASE(what_a_link_cannot_do_is_refused),
    FR_CASE(a_direct_link_carries_messages_alone),
    FR_CASE(the_memory_of_a_link_is_foretold),
    FR_CASE(a_link_survives_each_failed_allocation),
    FR_CASE(transfers_allocate_nothing_after_the_first_ones),
    FR_CASE(a_message_of_another_length_breaks_the_link),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("link_waits", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
