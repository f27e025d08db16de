/* Direct links on an emulated GPU, over an MPI that stands in for one that takes its memory (cuda_aware_mpi.c), and which kind of
 * link is settled on whatever that MPI does. */
#define _POSIX_C_SOURCE 200809L
#include "comm/grid.h"
#include "comm/link_settle.h"
#include "device/kinds.h"
#include "late.h"
#include "support/device_memory.h"

enum { WORDS = 11, MESSAGE = (1 << 16) + 1, N_SEEDS = 6 };

static void say_mpi(const char *mode)
{
    CU_ASSERT_EQUAL(setenv("FR_EMULATED_MPI", mode, 1), 0);
}

/* One rank's end. */
typedef struct end {
    fr_group *world;
    fr_device *device;
    fr_link *link;
    int rank;
    int size;
} end;

static void open_end(int64_t seed, end *e)
{
    say_mpi("aware");
    *e = (end){.world = fr_test_world()};
    e->rank = fr_group_rank(e->world);
    e->size = fr_group_size(e->world);
    e->device = open_device(seed * 8 + e->rank);
    fr_link_params params = {
        .group = e->world, .device = e->device, .kind = FR_LINK_DIRECT};
    FR_ASSERT_OK(fr_link_open(fr_test_ctx(), &params, &e->link));
    CU_ASSERT_PTR_NOT_NULL_FATAL(e->link);
}

static void close_end(end *e)
{
    fr_link_close(&e->link);
    FR_ASSERT_OK(fr_group_barrier(e->world));
    close_device(e->device);
    fr_group_destroy(&e->world);
}

/* ---- the device's order ----------------------------------------------------------------------- */

static void expect(const char *what, fr_device *device, const unsigned char *memory,
                   int64_t bytes, uint64_t seed)
{
    unsigned char *wanted = numbers(bytes, seed);
    unsigned char *got = malloc((size_t)bytes + 1);
    fr_test_fetch(device, got, memory, bytes);
    fr_assert_same_bytes(what, got, wanted, (size_t)bytes);
    free(got);
    free(wanted);
}

/* What is sent is computed by work that is queued, and overwritten once it is joined. */
static void send_late(const end *e, int64_t bytes, uint64_t seed)
{
    unsigned char *now = numbers(bytes, seed);
    unsigned char *made = fr_test_bring(e->device, now, bytes, 1);
    unsigned char *sent = fr_test_room(e->device, bytes, 1);
    fr_transfer transfer;
    finish(e->device);
    fr_device_copy(e->device, sent, made, bytes);
    FR_ASSERT_OK(fr_link_send_begin(e->link, e->rank + 1, FR_TAG_FORWARD, sent, bytes,
                                    &transfer));
    FR_ASSERT_OK(fr_link_join(e->link, &transfer));
    fr_device_zero(e->device, sent, bytes);
    fr_device_free(e->device, sent);
    fr_device_free(e->device, made);
    free(now);
}

/* What is received into is still written and read by work that is queued, and is read by work behind the join. */
static void receive_late(const end *e, int64_t bytes, uint64_t seed)
{
    unsigned char *old = numbers(bytes, 3);
    unsigned char *made = fr_test_bring(e->device, old, bytes, 1);
    unsigned char *got = fr_test_room(e->device, bytes, 1);
    unsigned char *before = fr_test_room(e->device, bytes, 1);
    unsigned char *behind = fr_test_room(e->device, bytes, 1);
    fr_transfer transfer;
    finish(e->device);
    fr_device_copy(e->device, got, made, bytes);
    fr_device_copy(e->device, before, got, bytes);
    FR_ASSERT_OK(fr_link_receive_begin(e->link, e->rank - 1, FR_TAG_FORWARD, got, bytes,
                                       &transfer));
    FR_ASSERT_OK(fr_link_join(e->link, &transfer));
    fr_device_copy(e->device, behind, got, bytes);
    fr_device_zero(e->device, got, bytes);
    expect("what was there before", e->device, before, bytes, 3);
    expect("what was received", e->device, behind, bytes, seed);
    fr_device_free(e->device, behind);
    fr_device_free(e->device, before);
    fr_device_free(e->device, got);
    fr_device_free(e->device, made);
    free(old);
}

static void messages_keep_the_order_of_the_device(void)
{
    static const int64_t BYTES[] = {1, 4096, MESSAGE, 3 * MIB + 5};
    for (int64_t seed = 0; seed < N_SEEDS; seed++) {
        end e;
        open_end(seed, &e);
        for (int i = 0; i < FR_N_CASES(BYTES); i++) {
            uint64_t pattern = (uint64_t)(100 * seed + i);
            if (e.rank > 0) {
                receive_late(&e, BYTES[i], pattern);
            }
            if (e.rank + 1 < e.size) {
                send_late(&e, BYTES[i], pattern);
            }
        }
        close_end(&e);
    }
}

/* ---- several at once -------------------------------------------------------------------------- */

/* The n-th message is as long as no other one, and one is empty. */
static int64_t length_of(int n)
{
    return n * 7919 % MESSAGE;
}

/* Up and down between ranks 0 and 1, begun as they are made and joined last first. */
static void messages_under_way_at_once_keep_their_order(void)
{
    for (int64_t seed = 0; seed < N_SEEDS; seed++) {
        end e;
        fr_transfer out[WORDS];
        fr_transfer in[WORDS];
        unsigned char *sent[WORDS];
        unsigned char *got[WORDS];
        open_end(seed, &e);
        for (int n = 0; n < WORDS && e.rank < 2; n++) {
            int64_t bytes = length_of(n);
            fr_tag up = e.rank == 0 ? FR_TAG_FORWARD : FR_TAG_BACKWARD;
            fr_tag down = e.rank == 0 ? FR_TAG_BACKWARD : FR_TAG_FORWARD;
            unsigned char *now = numbers(bytes, (uint64_t)(100 * e.rank + n));
            sent[n] = fr_test_bring(e.device, now, bytes, 1);
            got[n] = fr_test_room(e.device, bytes, 1);
            FR_ASSERT_OK(
                fr_link_send_begin(e.link, 1 - e.rank, up, sent[n], bytes, &out[n]));
            FR_ASSERT_OK(
                fr_link_receive_begin(e.link, 1 - e.rank, down, got[n], bytes, &in[n]));
            free(now);
        }
        for (int n = WORDS - 1; n >= 0 && e.rank < 2; n--) {
            FR_ASSERT_OK(fr_link_join(e.link, &in[n]));
            FR_ASSERT_OK(fr_link_join(e.link, &out[n]));
            expect("a message", e.device, got[n], length_of(n),
                   (uint64_t)(100 * (1 - e.rank) + n));
            fr_device_free(e.device, sent[n]);
            fr_device_free(e.device, got[n]);
        }
        close_end(&e);
    }
}

/* A GPU that fails says that its marks have passed. What should have been computed must not be sent, nor its memory be touched;
 * the last rank never hears of rank 0. */
static void nothing_is_sent_from_a_gpu_that_has_failed(void)
{
    end e;
    fr_transfer transfer;
    CU_ASSERT_EQUAL(setenv("FR_EMULATED_ERROR", "cuMemsetD8Async:9:700", 1), 0);
    open_end(0, &e);
    CU_ASSERT_EQUAL(unsetenv("FR_EMULATED_ERROR"), 0);
    unsigned char *data = fr_test_room(e.device, MESSAGE, 1);
    if (e.rank == 0) {
        while (fr_device_check(e.device) == FR_OK) {
            fr_device_zero(e.device, data, MESSAGE);
        }
        fr_ctx_clear_error(fr_test_ctx());
        FR_ASSERT_FAILS(
            fr_link_send_begin(e.link, 1, FR_TAG_FORWARD, data, MESSAGE, &transfer),
            FR_ERR_DEVICE, "700");
        CU_ASSERT_PTR_NULL(transfer.handle);
        fr_link_close(&e.link);
        fr_device_destroy(&e.device);
        FR_ASSERT_OK(fr_group_barrier(e.world));
        fr_group_destroy(&e.world);
        return;
    }
    fr_device_free(e.device, data);
    close_end(&e);
}

/* ---- which kind ------------------------------------------------------------------------------- */

/* The last rank's MPI is in this mode, that of the others is aware. `reason`: what an error says; NULL: there must be none. */
static fr_link_kind settle(const char *mode, const char *asked, int n_stages,
                           const char *reason)
{
    end e;
    fr_grid grid;
    fr_link_kind kind = FR_LINK_HOST;
    open_end(1, &e);
    if (e.rank == e.size - 1) {
        say_mpi(mode);
    }
    FR_ASSERT_OK(
        fr_grid_init(fr_test_ctx(), e.world, NULL, n_stages, e.size / n_stages, &grid));
    fr_assert_status(
        fr_link_settle(fr_test_ctx(), &grid, e.device, "cuda", asked, &kind),
        reason != NULL ? FR_ERR_UNSUPPORTED : FR_OK, reason, __FILE__, __LINE__);
    fr_grid_fini(&grid);
    close_end(&e);
    return kind;
}

static int count_ranks(void)
{
    fr_group *world = fr_test_world();
    int size = fr_group_size(world);
    fr_group_destroy(&world);
    return size;
}

static void direct_links_are_settled_on_where_the_trial_passes(void)
{
    int size = count_ranks();
    CU_ASSERT_EQUAL(settle("aware", "auto", size, NULL), FR_LINK_DIRECT);
    CU_ASSERT_EQUAL(settle("aware", "direct", size, NULL), FR_LINK_DIRECT);
    CU_ASSERT_EQUAL(settle("aware", "staged", size, NULL), FR_LINK_STAGED);
    /* no message crosses */
    CU_ASSERT_EQUAL(settle("none", "direct", 1, NULL), FR_LINK_STAGED);
}

static void what_one_rank_cannot_do_no_rank_does(void)
{
    int size = count_ranks();
    CU_ASSERT_EQUAL(settle("none", "auto", size, NULL), FR_LINK_STAGED);
    CU_ASSERT_EQUAL(settle("corrupt", "auto", size, NULL), FR_LINK_STAGED);
    (void)settle("none", "direct", size, "MPIX_Query_cuda_support");
    (void)settle("corrupt", "direct", size, "are not what was sent");
}

static void direct_links_of_the_processor_are_refused(void)
{
    fr_grid grid;
    fr_device *cpu = NULL;
    fr_link_kind kind = FR_LINK_DIRECT;
    fr_group *world = fr_test_world();
    FR_ASSERT_OK(fr_device_create_host(fr_test_ctx(), 1, &cpu));
    FR_ASSERT_OK(
        fr_grid_init(fr_test_ctx(), world, NULL, fr_group_size(world), 1, &grid));
    FR_ASSERT_FAILS(fr_link_settle(fr_test_ctx(), &grid, cpu, "cpu", "direct", &kind),
                    FR_ERR_UNSUPPORTED, "no GPU computes");
    FR_ASSERT_OK(fr_link_settle(fr_test_ctx(), &grid, cpu, "cpu", "auto", &kind));
    CU_ASSERT_EQUAL(kind, FR_LINK_HOST);
    FR_ASSERT_OK(fr_link_settle(fr_test_ctx(), &grid, cpu, "cpu", "staged", &kind));
    CU_ASSERT_EQUAL(kind, FR_LINK_HOST);
    fr_grid_fini(&grid);
    fr_device_destroy(&cpu);
    fr_group_destroy(&world);
}

/* The group goes on behind each of them. */
static void all_ranks_hear_what_a_trial_failed_at(void)
{
    static const char *const BAD[][2] = {{"corrupt", "1 of 1114116 bytes from stage"},
                                         {"cut", "sent 2051 bytes"},
                                         {"broken", "send failed"},
                                         {"lost", "on their way after 1 seconds"}};
    for (int i = 0; i < FR_N_CASES(BAD); i++) {
        end e;
        open_end(i, &e);
        int64_t sum = 1;
        if (e.rank == e.size - 1) {
            say_mpi(BAD[i][0]);
        }
        FR_ASSERT_FAILS(fr_link_try(fr_test_ctx(), e.world, e.device, 1),
                        FR_ERR_UNSUPPORTED, BAD[i][1]);
        FR_ASSERT_OK(fr_group_allreduce(e.world, FR_SUM, &sum, 1));
        CU_ASSERT_EQUAL(sum, e.size);
        say_mpi("aware");
        FR_ASSERT_OK(fr_link_try(fr_test_ctx(), e.world, e.device, 10));
        close_end(&e);
    }
}

static const fr_case CASES[] = {
    FR_CASE(messages_keep_the_order_of_the_device),
    FR_CASE(messages_under_way_at_once_keep_their_order),
    FR_CASE(nothing_is_sent_from_a_gpu_that_has_failed),
    FR_CASE(direct_links_are_settled_on_where_the_trial_passes),
    FR_CASE(what_one_rank_cannot_do_no_rank_does),
    FR_CASE(direct_links_of_the_processor_are_refused),
    FR_CASE(all_ranks_hear_what_a_trial_failed_at),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("link_direct", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
