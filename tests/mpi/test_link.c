/*
 * Links of both kinds, and the staged one on a device that is late: its copies to the host arrive only when the mark behind
 * them has been looked at some times, and hold other bytes before.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/mem.h"
#include "comm/link.h"
#include "comm/rank_line.h"
#include "device/kinds.h"
#include "support/fault.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PIECE = 64, MAX_BYTES = 9 << 20, N_STREAMS = 4, MANY = 64 };

/* ---- a device that is late -------------------------------------------------------------------- */

typedef struct late_copy {
    void *to;
    const void *from;
    int64_t bytes;
} late_copy;

/* The linker's --wrap gives no way to pass state. */
static struct {
    int delay; /* looks at a mark until it passes; 0: as the device is */
    int looks;
    bool hangs; /* no mark passes */
    uint64_t n_asked;
    uint64_t n_done;
    late_copy copies[MANY]; /* ring */
} late;

void __real_fr_device_get(fr_device *device, void *to, const void *from, int64_t bytes);
void __wrap_fr_device_get(fr_device *device, void *to, const void *from, int64_t bytes);
fr_mark __wrap_fr_device_mark(fr_device *device);
bool __wrap_fr_device_passed(fr_device *device, fr_mark mark);

void __wrap_fr_device_get(fr_device *device, void *to, const void *from, int64_t bytes)
{
    if (late.delay == 0) {
        __real_fr_device_get(device, to, from, bytes);
        return;
    }
    CU_ASSERT_FATAL(late.n_asked - late.n_done < MANY);
    memset(to, 0xEE, (size_t)bytes);
    late.copies[late.n_asked++ % MANY] = (late_copy){to, from, bytes};
}

fr_mark __wrap_fr_device_mark(fr_device *device)
{
    (void)device;
    return (fr_mark){late.n_asked};
}

bool __wrap_fr_device_passed(fr_device *device, fr_mark mark)
{
    if (mark.at > late.n_done && !late.hangs && ++late.looks >= late.delay) {
        late_copy next = late.copies[late.n_done++ % MANY];
        late.looks = 0;
        __real_fr_device_get(device, next.to, next.from, next.bytes);
    }
    return mark.at <= late.n_done;
}

static void set_late(int delay)
{
    CU_ASSERT_EQUAL_FATAL(late.n_asked, late.n_done);
    late.delay = delay;
}

/* ---- what all cases need ---------------------------------------------------------------------- */

typedef struct ends {
    fr_group *world;
    fr_device *device;
    fr_link *link;
    int rank;
    int size;
} ends;

typedef struct mode {
    fr_link_kind kind;
    int delay;
    int64_t piece;
} mode;

static const mode MODES[] = {{FR_LINK_HOST, 0, 0},
                             {FR_LINK_STAGED, 0, PIECE},
                             {FR_LINK_STAGED, 9, PIECE},
                             {FR_LINK_STAGED, 0, 0}};

static void open_ends(const mode *m, ends *out)
{
    fr_device_params device = {.kind = "cpu", .n_threads = 1};
    *out = (ends){.world = fr_test_world()};
    out->rank = fr_group_rank(out->world);
    out->size = fr_group_size(out->world);
    FR_ASSERT_OK(fr_device_create(fr_test_ctx(), &device, &out->device));
    fr_link_params link = {.group = out->world,
                           .device = out->device,
                           .kind = m->kind,
                           .n_streams = N_STREAMS,
                           .piece_bytes = m->piece};
    FR_ASSERT_OK(fr_link_open(fr_test_ctx(), &link, &out->link));
    CU_ASSERT_PTR_NOT_NULL_FATAL(out->link);
    set_late(m->delay);
}

static void close_ends(ends *e)
{
    set_late(0);
    fr_link_close(&e->link);
    CU_ASSERT_PTR_NULL(e->link);
    fr_link_close(&e->link);
    FR_ASSERT_OK(fr_group_barrier(e->world));
    fr_device_destroy(&e->device);
    fr_group_destroy(&e->world);
}

static unsigned char *make_bytes(int64_t bytes)
{
    unsigned char *data = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), bytes, 1, &data));
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    return data;
}

static void fill(unsigned char *data, int64_t bytes, int seed)
{
    uint32_t state = 2654435761u * (uint32_t)(seed + 1);
    for (int64_t i = 0; i < bytes; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (unsigned char)(state >> 24);
    }
}

static int64_t bytes_unlike(const unsigned char *data, int64_t bytes, int seed)
{
    uint32_t state = 2654435761u * (uint32_t)(seed + 1);
    int64_t unlike = 0;
    for (int64_t i = 0; i < bytes; i++) {
        state = state * 1664525u + 1013904223u;
        unlike += data[i] != (unsigned char)(state >> 24);
    }
    return unlike;
}

static void join(const ends *e, fr_transfer *transfer)
{
    FR_ASSERT_OK(fr_link_join(e->link, transfer));
    CU_ASSERT_PTR_NULL(transfer->handle);
}

/* ---- messages --------------------------------------------------------------------------------- */

/* The byte behind the message stays as it is. */
static void pass_along(const ends *e, unsigned char *data, int64_t bytes)
{
    fr_transfer transfer = {NULL};
    memset(data, 0x55, (size_t)bytes + 1);
    if (e->rank > 0) {
        FR_ASSERT_OK(fr_link_receive_begin(e->link, e->rank - 1, FR_TAG_FORWARD, data,
                                           bytes, &transfer));
        join(e, &transfer);
        CU_ASSERT_EQUAL(bytes_unlike(data, bytes, (int)bytes), 0);
        CU_ASSERT_EQUAL(data[bytes], 0x55);
    } else {
        fill(data, bytes, (int)bytes);
    }
    if (e->rank + 1 < e->size) {
        FR_ASSERT_OK(fr_link_send_begin(e->link, e->rank + 1, FR_TAG_FORWARD, data,
                                        bytes, &transfer));
        join(e, &transfer);
    }
}

static void messages_of_all_sizes_go_through_all_ranks(void)
{
    static const int64_t SIZES[] = {
        0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 5 * PIECE + PIECE / 2};
    for (int m = 0; m < FR_N_CASES(MODES); m++) {
        ends e;
        open_ends(&MODES[m], &e);
        unsigned char *data = make_bytes(MAX_BYTES + 1);
        for (int i = 0; i < FR_N_CASES(SIZES); i++) {
            pass_along(&e, data, SIZES[i]);
        }
        if (MODES[m].piece == 0) {
            pass_along(&e, data, FR_LINK_PIECE_BYTES);
            pass_along(&e, data, MAX_BYTES);
        }
        free(data);
        close_ends(&e);
    }
}

enum { N_AT_ONCE = 6, MOST = 1000 };

/* Of the n-th message of a direction: none is as long as another, and one is empty. */
static int64_t length_of(int n)
{
    return n * 173 % MOST;
}

/* All messages between this rank and a neighbour. */
typedef struct crowd {
    unsigned char *sent[N_AT_ONCE];
    unsigned char *got[N_AT_ONCE];
    fr_transfer sends[N_AT_ONCE];
    fr_transfer receives[N_AT_ONCE];
} crowd;

/* Sends go out before receives on one rank and after them on its neighbour. */
static void begin_crowd(const ends *e, int peer, crowd *c)
{
    fr_tag out = peer > e->rank ? FR_TAG_FORWARD : FR_TAG_BACKWARD;
    fr_tag in = peer > e->rank ? FR_TAG_BACKWARD : FR_TAG_FORWARD;
    for (int i = 0; i < 2 * N_AT_ONCE; i++) {
        int n = i / 2;
        if ((i + e->rank) % 2 == 0) {
            c->sent[n] = make_bytes(MOST);
            fill(c->sent[n], MOST, 100 * e->rank + n);
            FR_ASSERT_OK(fr_link_send_begin(e->link, peer, out, c->sent[n],
                                            length_of(n), &c->sends[n]));
        } else {
            c->got[n] = make_bytes(MOST);
            FR_ASSERT_OK(fr_link_receive_begin(e->link, peer, in, c->got[n],
                                               length_of(n), &c->receives[n]));
        }
    }
}

static void end_crowd(const ends *e, int peer, crowd *c)
{
    for (int n = N_AT_ONCE - 1; n >= 0; n--) {
        join(e, &c->receives[n]);
        CU_ASSERT_EQUAL(bytes_unlike(c->got[n], length_of(n), 100 * peer + n), 0);
        CU_ASSERT_EQUAL(c->got[n][length_of(n)], 0);
    }
    for (int n = 0; n < N_AT_ONCE; n++) {
        join(e, &c->sends[n]);
        free(c->sent[n]);
        free(c->got[n]);
    }
}

/* Forward and backward messages of both neighbours, all begun before the first is joined, and received last first. */
static void messages_under_way_at_once_keep_their_order(void)
{
    for (int m = 0; m < FR_N_CASES(MODES); m++) {
        for (int round = 0; round < 3; round++) {
            ends e;
            crowd lower = {.sends = {{NULL}}};
            crowd upper = {.sends = {{NULL}}};
            open_ends(&MODES[m], &e);
            if (e.rank > 0) {
                begin_crowd(&e, e.rank - 1, &lower);
            }
            if (e.rank + 1 < e.size) {
                begin_crowd(&e, e.rank + 1, &upper);
                end_crowd(&e, e.rank + 1, &upper);
            }
            if (e.rank > 0) {
                end_crowd(&e, e.rank - 1, &lower);
            }
            close_ends(&e);
        }
    }
}

/* ---- sums ------------------------------------------------------------------------------------- */

static void begin_sum(const ends *e, int64_t *values, int64_t n, fr_transfer *transfer)
{
    for (int64_t i = 0; i < n; i++) {
        values[i] = (i + 1) * (e->rank + 1) + ((int64_t)1 << 58);
    }
    FR_ASSERT_OK(fr_link_sum_begin(e->link, values, n, transfer));
}

static int64_t count_wrong(const ends *e, const int64_t *values, int64_t n)
{
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; i++) {
        wrong += values[i] !=
                 (i + 1) * e->size * (e->size + 1) / 2 + e->size * ((int64_t)1 << 58);
    }
    return wrong;
}

/* Two at once, tested and joined in turn. */
static void sums_are_exact_however_many_are_under_way(void)
{
    static const int64_t SIZES[] = {0, 1, 8, 9, 1001};
    static const mode *const LAST = &MODES[FR_N_CASES(MODES) - 1];
    int64_t *values = (int64_t *)(void *)make_bytes(2 * MAX_BYTES);
    for (const mode *m = MODES; m <= LAST; m++) {
        ends e;
        open_ends(m, &e);
        for (int i = 0; i < FR_N_CASES(SIZES); i++) {
            int64_t n = SIZES[i] * (m->piece == 0 ? 1000 : 1);
            int64_t *other = values + n;
            fr_transfer sums[2];
            bool is_done = false;
            begin_sum(&e, values, n, &sums[0]);
            begin_sum(&e, other, 3, &sums[1]);
            while (!is_done) {
                FR_ASSERT_OK(fr_link_test(e.link, &sums[1], &is_done));
            }
            CU_ASSERT_PTR_NULL(sums[1].handle);
            join(&e, &sums[0]);
            CU_ASSERT_EQUAL(count_wrong(&e, values, n), 0);
            CU_ASSERT_EQUAL(count_wrong(&e, other, 3), 0);
        }
        close_ends(&e);
    }
    free(values);
}

/* ---- who moves them --------------------------------------------------------------------------- */

/* Longer than what MPI sends before anybody asks for it. */
static const mode LARGE_PIECES = {FR_LINK_STAGED, 3, 1 << 18};

static bool has_come(void *argument)
{
    const volatile unsigned char *last = argument;
    return *last == 7;
}

/* Rank 0 sends and then a word, over the group. Rank 1 only waits: for the word, or for the last byte. If its own wait did
 * not move its receive on, rank 0's join would never end. */
static void other_waits_and_polls_move_staged_messages(void)
{
    for (int by = 0; by < 3; by++) {
        ends e;
        int64_t word = 0;
        fr_transfer transfer = {NULL};
        open_ends(&LARGE_PIECES, &e);
        unsigned char *data = make_bytes(MAX_BYTES);
        if (e.rank == 0) {
            memset(data, 7, MAX_BYTES);
            FR_ASSERT_OK(fr_link_send_begin(e.link, 1, FR_TAG_FORWARD, data, MAX_BYTES,
                                            &transfer));
            join(&e, &transfer);
            FR_ASSERT_OK(
                fr_group_send(e.world, 1, FR_TAG_GENERATE, &word, sizeof word));
        } else if (e.rank == 1) {
            unsigned char *last = data + MAX_BYTES - 1;
            FR_ASSERT_OK(fr_link_receive_begin(e.link, 0, FR_TAG_FORWARD, data,
                                               MAX_BYTES, &transfer));
            if (by == 1) {
                fr_group_wait_until(e.world, "receive", has_come, last);
            }
            while (by == 2 && !has_come(last)) {
                fr_group_poll(e.world);
            }
            FR_ASSERT_OK(
                fr_group_receive(e.world, 0, FR_TAG_GENERATE, &word, sizeof word));
            join(&e, &transfer);
            CU_ASSERT_EQUAL(data[0], 7);
            CU_ASSERT_TRUE(has_come(last));
        }
        free(data);
        close_ends(&e);
    }
}

static void count(void *argument)
{
    ++*(int *)argument;
}

/* As for a message of the group: else a rank that waits would hold up everybody's reductions. */
static void the_progress_function_runs_while_a_staged_transfer_is_joined(void)
{
    int n = 0;
    ends e;
    unsigned char byte = 0;
    fr_transfer transfer;
    const struct timespec pause = {0, 50000000};
    open_ends(&MODES[1], &e);
    fr_group_set_progress(e.world, count, &n);
    if (e.rank == 0) {
        (void)nanosleep(&pause, NULL);
        FR_ASSERT_OK(
            fr_link_send_begin(e.link, 1, FR_TAG_FORWARD, &byte, 1, &transfer));
        join(&e, &transfer);
    } else if (e.rank == 1) {
        FR_ASSERT_OK(
            fr_link_receive_begin(e.link, 0, FR_TAG_FORWARD, &byte, 1, &transfer));
        join(&e, &transfer);
        CU_ASSERT_TRUE(n > 100);
    }
    fr_group_set_progress(e.world, NULL, NULL);
    close_ends(&e);
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
static void receive_in_parts(const ends *e, const char *folder)
{
    unsigned char data[2 * PIECE] = {0};
    fr_transfer transfer;
    if (e->rank == 0) {
        expect_waiting(folder, "receive", 0);
        FR_ASSERT_OK(fr_group_send(e->world, 1, FR_TAG_FORWARD, data, PIECE));
        expect_waiting(folder, "receive", 0);
        FR_ASSERT_OK(fr_group_send(e->world, 1, FR_TAG_FORWARD, data, PIECE));
    } else if (e->rank == 1) {
        FR_ASSERT_OK(fr_link_receive_begin(e->link, 0, FR_TAG_FORWARD, data,
                                           sizeof data, &transfer));
        join(e, &transfer);
    }
}

/* Rank 1, whose device wakes when rank 0 says that it has seen it hang. */
typedef struct sleeper {
    const ends *ends;
    fr_request word;
    char byte;
} sleeper;

static void wake(void *argument)
{
    sleeper *s = argument;
    bool is_done = false;
    if (late.hangs) {
        FR_ASSERT_OK(fr_group_test(s->ends->world, &s->word, &is_done));
        late.hangs = !is_done;
    }
}

/* Then MPI holds it up, since nobody takes its message. */
static void send_from_a_device_that_hangs(const ends *e, const char *folder)
{
    sleeper s = {.ends = e};
    unsigned char *data = make_bytes(LARGE_PIECES.piece);
    char byte = 0;
    fr_transfer transfer;
    if (e->rank == 0) {
        expect_waiting(folder, "device", -1);
        FR_ASSERT_OK(fr_group_send(e->world, 1, FR_TAG_GENERATE, &byte, 1));
        expect_waiting(folder, "send", 0);
        FR_ASSERT_OK(fr_link_receive_begin(e->link, 1, FR_TAG_BACKWARD, data,
                                           LARGE_PIECES.piece, &transfer));
        join(e, &transfer);
        CU_ASSERT_EQUAL(bytes_unlike(data, LARGE_PIECES.piece, 5), 0);
    } else if (e->rank == 1) {
        fill(data, LARGE_PIECES.piece, 5);
        late.hangs = true;
        FR_ASSERT_OK(
            fr_group_receive_begin(e->world, 0, FR_TAG_GENERATE, &s.byte, 1, &s.word));
        fr_group_set_progress(e->world, wake, &s);
        FR_ASSERT_OK(fr_link_send_begin(e->link, 0, FR_TAG_BACKWARD, data,
                                        LARGE_PIECES.piece, &transfer));
        join(e, &transfer);
        fr_group_set_progress(e->world, NULL, NULL);
    }
    free(data);
}

static void the_watch_hears_who_holds_up_a_staged_transfer(void)
{
    for (int i = 0; i < 2; i++) {
        ends e;
        fr_watch *watch = NULL;
        char folder[FOLDER_BYTES] = "";
        open_ends(i == 0 ? &MODES[1] : &LARGE_PIECES, &e);
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
        close_ends(&e);
    }
}

/* ---- what is refused, and what fails ---------------------------------------------------------- */

static void what_a_link_cannot_do_is_refused(void)
{
    ends e;
    fr_transfer transfer = {&e};
    fr_link *link = NULL;
    int64_t value = 1;
    bool is_done = false;
    open_ends(&MODES[1], &e);
    int peer = e.rank == 0 ? 1 : 0;
    FR_ASSERT_FAILS(
        fr_link_send_begin(e.link, e.rank, FR_TAG_FORWARD, &value, 8, &transfer),
        FR_ERR_INTERNAL, "must be another rank");
    CU_ASSERT_PTR_NULL(transfer.handle);
    FR_ASSERT_FAILS(
        fr_link_receive_begin(e.link, peer, FR_TAG_FORWARD, &value, -1, &transfer),
        FR_ERR_INTERNAL, "-1 bytes");
    FR_ASSERT_FAILS(fr_link_sum_begin(e.link, &value, -1, &transfer), FR_ERR_INTERNAL,
                    "-1 values");
    FR_ASSERT_OK(fr_link_join(e.link, &transfer));
    FR_ASSERT_OK(fr_link_test(e.link, &transfer, &is_done));
    CU_ASSERT_TRUE(is_done);
    fr_link_params params = {
        .group = e.world, .device = e.device, .kind = FR_LINK_STAGED, .n_streams = 0};
    FR_ASSERT_OK(fr_link_open(fr_test_ctx(), &params, &link));
    FR_ASSERT_FAILS(fr_link_sum_begin(link, &value, 1, &transfer), FR_ERR_INTERNAL,
                    "opened for 0 streams");
    fr_link_close(&link);
    params.piece_bytes = 12;
    FR_ASSERT_FAILS(fr_link_open(fr_test_ctx(), &params, &link), FR_ERR_INTERNAL,
                    "multiple of 8");
    CU_ASSERT_PTR_NULL(link);
    close_ends(&e);
}

static void the_memory_of_a_link_is_foretold(void)
{
    CU_ASSERT_EQUAL(fr_link_bytes(FR_LINK_HOST, 4, 0), 0);
    CU_ASSERT_EQUAL(fr_link_bytes(FR_LINK_STAGED, 4, 0), 4 * 2 * (4 << 20));
    CU_ASSERT_EQUAL(fr_link_bytes(FR_LINK_STAGED, 1, PIECE), 2 * PIECE);
    CU_ASSERT_EQUAL(fr_link_kind_for(NULL), FR_LINK_HOST);
}

/* If the message is there already, begin finds out. */
static fr_status receive_whole(const ends *e, int peer, void *data, int64_t bytes)
{
    fr_transfer transfer;
    FR_TRY(
        fr_link_receive_begin(e->link, peer, FR_TAG_FORWARD, data, bytes, &transfer));
    return fr_link_join(e->link, &transfer);
}

/* The last rank expects another length than its neighbour sends: a second piece that is shorter. */
static void a_message_of_another_length_breaks_the_link(void)
{
    ends e;
    unsigned char data[4 * PIECE] = {0};
    fr_transfer transfer;
    open_ends(&MODES[1], &e);
    if (e.rank == e.size - 1) {
        FR_ASSERT_FAILS(receive_whole(&e, e.rank - 1, data, PIECE + 9), FR_ERR_COMM,
                        "sent 8 bytes");
        FR_ASSERT_FAILS(
            fr_link_send_begin(e.link, e.rank - 1, FR_TAG_BACKWARD, data, 1, &transfer),
            FR_ERR_COMM, NULL);
        CU_ASSERT_PTR_NULL(transfer.handle);
    } else if (e.rank == e.size - 2) {
        FR_ASSERT_OK(fr_link_send_begin(e.link, e.rank + 1, FR_TAG_FORWARD, data,
                                        PIECE + 8, &transfer));
        join(&e, &transfer);
    }
    close_ends(&e);
}

/* One short message from rank 0; the group holds a spare request by then. */
static fr_status receive_once(fr_ctx *ctx, void *argument)
{
    const ends *e = argument;
    fr_link *link = NULL;
    fr_transfer transfer;
    unsigned char data[PIECE];
    fr_link_params params = {.group = e->world,
                             .device = e->device,
                             .kind = FR_LINK_STAGED,
                             .n_streams = 1,
                             .piece_bytes = PIECE};
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

static void a_link_survives_each_failed_allocation(void)
{
    ends e;
    unsigned char data[PIECE] = {0};
    open_ends(&MODES[0], &e);
    if (e.rank == 0) {
        FR_ASSERT_OK(fr_group_send(e.world, 1, FR_TAG_BACKWARD, data, PIECE));
        FR_ASSERT_OK(fr_group_send(e.world, 1, FR_TAG_FORWARD, data, PIECE));
    } else if (e.rank == 1) {
        FR_ASSERT_OK(fr_group_receive(e.world, 0, FR_TAG_BACKWARD, data, PIECE));
        /* the link, its streams, their blocks, the transfer */
        CU_ASSERT_EQUAL(fr_fault_sweep("link", receive_once, &e), 4);
    }
    close_ends(&e);
}

/* A message and a sum at once. */
static fr_status exchange(fr_ctx *ctx, void *argument)
{
    (void)ctx;
    const ends *e = argument;
    unsigned char data[3 * PIECE] = {0};
    int64_t value = e->rank;
    fr_transfer transfer = {NULL};
    fr_transfer sum;
    if (e->rank == 0) {
        FR_TRY(fr_link_send_begin(e->link, 1, FR_TAG_FORWARD, data, sizeof data,
                                  &transfer));
    } else if (e->rank == 1) {
        FR_TRY(fr_link_receive_begin(e->link, 0, FR_TAG_FORWARD, data, sizeof data,
                                     &transfer));
    }
    FR_TRY(fr_link_sum_begin(e->link, &value, 1, &sum));
    FR_TRY(fr_link_join(e->link, &transfer));
    return fr_link_join(e->link, &sum);
}

/* How many requests the group needs at once depends on who is faster: make more than ever. */
static void make_requests(const ends *e)
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

static void transfers_allocate_nothing_after_the_first_ones(void)
{
    ends e;
    open_ends(&MODES[1], &e);
    make_requests(&e);
    FR_ASSERT_OK(exchange(fr_test_ctx(), &e));
    fr_fault_outcome outcome = fr_fault_run(fr_test_ctx(), 1, exchange, &e);
    FR_ASSERT_OK(outcome.status);
    CU_ASSERT_FALSE(outcome.fired);
    close_ends(&e);
}

static const fr_case CASES[] = {
    FR_CASE(messages_of_all_sizes_go_through_all_ranks),
    FR_CASE(messages_under_way_at_once_keep_their_order),
    FR_CASE(sums_are_exact_however_many_are_under_way),
    FR_CASE(other_waits_and_polls_move_staged_messages),
    FR_CASE(the_progress_function_runs_while_a_staged_transfer_is_joined),
    FR_CASE(the_watch_hears_who_holds_up_a_staged_transfer),
    FR_CASE(what_a_link_cannot_do_is_refused),
    FR_CASE(the_memory_of_a_link_is_foretold),
    FR_CASE(a_link_survives_each_failed_allocation),
    FR_CASE(transfers_allocate_nothing_after_the_first_ones),
    FR_CASE(a_message_of_another_length_breaks_the_link),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("link", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
