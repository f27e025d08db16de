/* Sums over NCCL between emulated GPUs (tests/cuda_emulation/nccl.c), and what is settled on whatever the library does. */
#define _POSIX_C_SOURCE 200809L
#include "base/clock.h"
#include "comm/grid.h"
#include "comm/link_settle.h"
#include "device/cuda/runtime.h"
#include "device/kinds.h"
#include "device/lane.h"
#include "late.h"
#include "support/device_memory.h"

enum { N_SEEDS = 6, SECONDS = 1, N_SUMS = 5, MOST = 5000 };

static void say(const char *name, const char *value)
{
    CU_ASSERT_EQUAL(value != NULL ? setenv(name, value, 1) : unsetenv(name), 0);
}

/* `on`: the rank whose NCCL has that error; all others have none. */
static void say_error(int rank, int on, const char *error)
{
    say("FR_EMULATED_NCCL_ERROR", rank == on ? error : NULL);
}

/* One rank's end. */
typedef struct end {
    fr_group *world;
    fr_device *device;
    fr_link *link;
    int rank;
    int size;
} end;

static fr_status open_link(end *e)
{
    fr_link_params params = {.group = e->world,
                             .device = e->device,
                             .kind = FR_LINK_NCCL,
                             .seconds = SECONDS};
    return fr_link_open(fr_test_ctx(), &params, &e->link);
}

static void open_ends(int64_t seed, end *e)
{
    *e = (end){.world = fr_test_world()};
    e->rank = fr_group_rank(e->world);
    e->size = fr_group_size(e->world);
    e->device = open_device(seed * 8 + e->rank);
}

static void open_end(int64_t seed, end *e)
{
    say_error(0, 1, NULL);
    open_ends(seed, e);
    FR_ASSERT_OK(open_link(e));
    CU_ASSERT_PTR_NOT_NULL_FATAL(e->link);
}

static void close_end(end *e)
{
    fr_link_close(&e->link);
    CU_ASSERT_PTR_NULL(e->link);
    FR_ASSERT_OK(fr_group_barrier(e->world));
    close_device(e->device);
    fr_group_destroy(&e->world);
}

/* ---- sums ------------------------------------------------------------------------------------- */

static int64_t value_of(int64_t rank, int64_t i, int64_t n)
{
    return (i + 1) * (rank + 1) * (n + 3) - ((int64_t)1 << 58);
}

static int64_t *values_of(const end *e, int64_t n)
{
    int64_t *out = malloc((size_t)(n + 1) * sizeof *out);
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    for (int64_t i = 0; i < n; i++) {
        out[i] = value_of(e->rank, i, n);
    }
    return out;
}

static int64_t count_wrong(const end *e, const fr_i64 *memory, int64_t n)
{
    int64_t wrong = 0;
    int64_t *got = malloc((size_t)(n + 1) * sizeof *got);
    fr_test_fetch(e->device, got, memory, n * (int64_t)sizeof *got);
    for (int64_t i = 0; i < n; i++) {
        uint64_t sum = 0;
        for (int64_t r = 0; r < e->size; r++) {
            sum += (uint64_t)value_of(r, i, n);
        }
        wrong += (uint64_t)got[i] != sum;
    }
    free(got);
    return wrong;
}

/* What is summed is computed by work that is queued, and overwritten by work behind the join. */
static void sum_late(const end *e, int64_t n)
{
    int64_t bytes = n * (int64_t)sizeof(int64_t);
    int64_t *now = values_of(e, n);
    fr_i64 *made = fr_test_bring(e->device, now, n, sizeof *now);
    fr_i64 *summed = fr_test_room(e->device, n, sizeof *now);
    fr_i64 *behind = fr_test_room(e->device, n, sizeof *now);
    fr_transfer transfer;
    finish(e->device);
    fr_device_copy(e->device, summed, made, bytes);
    FR_ASSERT_OK(fr_link_sum_begin(e->link, summed, n, &transfer));
    FR_ASSERT_OK(fr_link_join(e->link, &transfer));
    CU_ASSERT_PTR_NULL(transfer.handle);
    fr_device_copy(e->device, behind, summed, bytes);
    fr_device_zero(e->device, summed, bytes);
    CU_ASSERT_EQUAL(count_wrong(e, behind, n), 0);
    fr_device_free(e->device, behind);
    fr_device_free(e->device, summed);
    fr_device_free(e->device, made);
    free(now);
}

static void sums_keep_the_order_of_the_device(void)
{
    static const int64_t SIZES[] = {1, 2, 1001, MOST};
    for (int64_t seed = 0; seed < N_SEEDS; seed++) {
        end e;
        open_end(seed, &e);
        for (int i = 0; i < FR_N_CASES(SIZES); i++) {
            sum_late(&e, SIZES[i]);
        }
        close_end(&e);
    }
}

/* Begun as they are made and joined last first, while the device has other work. */
static void sums_under_way_at_once_keep_their_order(void)
{
    for (int64_t seed = 0; seed < N_SEEDS; seed++) {
        end e;
        fr_transfer sums[N_SUMS];
        fr_i64 *memory[N_SUMS];
        open_end(seed, &e);
        fr_i64 *other = fr_test_room(e.device, MOST, sizeof(int64_t));
        for (int k = 0; k < N_SUMS; k++) {
            int64_t n = 1 + k * 700;
            int64_t *now = values_of(&e, n);
            memory[k] = fr_test_bring(e.device, now, n, sizeof *now);
            FR_ASSERT_OK(fr_link_sum_begin(e.link, memory[k], n, &sums[k]));
            fr_device_zero(e.device, other, MOST);
            free(now);
        }
        for (int k = N_SUMS - 1; k >= 0; k--) {
            bool is_done = false;
            while (k % 2 == 0 && !is_done) {
                FR_ASSERT_OK(fr_link_test(e.link, &sums[k], &is_done));
            }
            FR_ASSERT_OK(fr_link_join(e.link, &sums[k]));
            CU_ASSERT_EQUAL(count_wrong(&e, memory[k], 1 + k * 700), 0);
            fr_device_free(e.device, memory[k]);
        }
        fr_device_free(e.device, other);
        close_end(&e);
    }
}

/* The last rank's device has work that takes long, and it waits for a message of rank 0, whose device would have none of its own
 * work done while NCCL waits there. */
static void a_sum_does_not_hold_up_a_rank_that_others_wait_for(void)
{
    end e;
    fr_transfer sum;
    open_end(1, &e);
    fr_i64 *memory = fr_test_room(e.device, MOST, sizeof(int64_t));
    unsigned char byte = 7;
    if (e.rank == e.size - 1) {
        FR_ASSERT_OK(fr_group_receive(e.world, 0, FR_TAG_FORWARD, &byte, sizeof byte));
    }
    FR_ASSERT_OK(fr_link_sum_begin(e.link, memory, MOST, &sum));
    if (e.rank == 0) {
        for (int i = 0; i < 20; i++) { /* more questions than a sum takes */
            bool is_done = true;
            FR_ASSERT_OK(fr_link_test(e.link, &sum, &is_done));
            CU_ASSERT_FALSE(is_done);
            fr_group_poll(e.world);
        }
        fr_device_zero(e.device, memory + MOST / 2, 8);
        finish(e.device);
        FR_ASSERT_OK(fr_group_send(e.world, e.size - 1, FR_TAG_FORWARD, &byte, 1));
    }
    FR_ASSERT_OK(fr_link_join(e.link, &sum));
    fr_device_free(e.device, memory);
    close_end(&e);
}

static void messages_and_unlike_sums_are_refused(void)
{
    end e;
    fr_transfer transfer;
    open_end(2, &e);
    fr_i64 *memory = fr_test_room(e.device, MOST, sizeof(int64_t));
    int peer = e.rank == 0 ? 1 : 0;
    FR_ASSERT_FAILS(
        fr_link_send_begin(e.link, peer, FR_TAG_FORWARD, memory, 8, &transfer),
        FR_ERR_INTERNAL, "sums alone");
    FR_ASSERT_FAILS(
        fr_link_receive_begin(e.link, peer, FR_TAG_FORWARD, memory, 8, &transfer),
        FR_ERR_INTERNAL, "sums alone");
    FR_ASSERT_OK(fr_link_sum_begin(e.link, memory, 0, &transfer));
    CU_ASSERT_PTR_NULL(transfer.handle);
    fr_status status =
        fr_link_sum_begin(e.link, memory, e.rank == 0 ? 3 : 4, &transfer);
    if (status == FR_OK) {
        status = fr_link_join(e.link, &transfer);
    }
    FR_ASSERT_FAILS(status, FR_ERR_COMM, "meets one of 3 to 4");
    fr_device_free(e.device, memory);
    close_end(&e);
}

/* ---- failures --------------------------------------------------------------------------------- */

/* Rank `on` fails in the first sum behind that of the start. The others have it under way when they close their links. */
static void fail_in_a_sum(int64_t seed, int on, const char *error, const char *text)
{
    end e;
    fr_transfer sum;
    fr_group *beside = NULL; /* the sum's own group has no other collective now */
    open_ends(seed, &e);
    say_error(e.rank, on, error);
    FR_ASSERT_OK(fr_group_split(e.world, 0, e.rank, &beside));
    FR_ASSERT_OK(open_link(&e));
    fr_i64 *memory = fr_test_room(e.device, MOST, sizeof(int64_t));
    fr_status status = fr_link_sum_begin(e.link, memory, MOST, &sum);
    if (e.rank == on) {
        if (status == FR_OK) {
            status = fr_link_join(e.link, &sum);
        }
        FR_ASSERT_FAILS(status, FR_ERR_COMM, text);
        CU_ASSERT_EQUAL(fr_link_sum_begin(e.link, memory, 1, &sum), FR_ERR_COMM);
    } else {
        FR_ASSERT_OK(status);
    }
    FR_ASSERT_OK(fr_group_barrier(beside));
    fr_link_close(&e.link);
    fr_device_free(e.device, memory);
    fr_group_destroy(&beside);
    close_end(&e);
}

static void an_error_in_a_sum_names_function_and_result(void)
{
    static const char *const ERRORS[][2] = {
        {"ncclAllReduce:2:3", "ncclAllReduce gave ncclInternalError (3): on request"},
        {"sum:2:1", "ncclAllReduce gave ncclUnhandledCudaError (1): on request"}};
    for (int i = 0; i < FR_N_CASES(ERRORS); i++) {
        fail_in_a_sum(i, 0, ERRORS[i][0], ERRORS[i][1]);
        fail_in_a_sum(i, 1, ERRORS[i][0], ERRORS[i][1]);
    }
}

/* The rank that is gone says what it failed at, and the others hold their own words back for a while. */
static void that_another_rank_is_gone_is_said_late(void)
{
    int64_t began = fr_clock_ms();
    fail_in_a_sum(0, 1, "sum:2:6", "ncclAllReduce gave ncclRemoteError (6)");
    int64_t ms = fr_clock_ms() - began;
    CU_ASSERT(ms >= 1000 * SECONDS && ms < 1000 * (SECONDS + 20));
}

/* A GPU that fails says that its marks have passed. What should have been computed must not be summed. */
static void nothing_is_summed_on_a_gpu_that_has_failed(void)
{
    end e;
    fr_transfer sum;
    open_end(0, &e);
    fr_i64 *memory = fr_test_room(e.device, MOST, sizeof(int64_t));
    FR_ASSERT_OK(fr_group_barrier(e.world));
    if (e.rank == 0) {
        fr_lane *lane = NULL;
        FR_ASSERT_OK(fr_lane_open(e.device, &lane));
        CU_ASSERT_PTR_NOT_NULL(fr_lane_stream(lane));
        CU_ASSERT_TRUE(fr_lane_passed(lane));
        fr_lane_close(&lane);
        fr_lane_close(&lane);
        fr_cuda *cuda = fr_cuda_of(e.device);
        CU_ASSERT_FALSE(fr_cuda_took(cuda, 700, "cuLaunchKernel", "a test"));
        fr_status status = fr_link_sum_begin(e.link, memory, MOST, &sum);
        if (status == FR_OK) {
            status = fr_link_join(e.link, &sum);
        }
        FR_ASSERT_FAILS(status, FR_ERR_DEVICE, "700");
        FR_ASSERT_FAILS(fr_lane_open(e.device, &lane), FR_ERR_DEVICE, "700");
        CU_ASSERT_PTR_NULL(lane);
        fr_link_close(&e.link);
        fr_device_destroy(&e.device);
        FR_ASSERT_OK(fr_group_barrier(e.world));
        fr_group_destroy(&e.world);
        return;
    }
    fr_link_close(&e.link);
    fr_device_free(e.device, memory);
    close_end(&e);
}

/* The device's own work stands behind a sum that never ends: it is done all the same when this rank leaves. */
static void a_rank_that_abandons_the_others_takes_its_sum_off_the_gpu(void)
{
    end e;
    fr_transfer sum;
    bool is_done = false;
    open_ends(0, &e);
    say_error(e.rank, 1, "sum:2:-1");
    FR_ASSERT_OK(open_link(&e));
    fr_i64 *memory = fr_test_room(e.device, MOST, sizeof(int64_t));
    FR_ASSERT_OK(fr_link_sum_begin(e.link, memory, MOST, &sum));
    for (int64_t began = fr_clock_ms(); fr_clock_ms() < began + 500;) {
        FR_ASSERT_OK(fr_link_test(e.link, &sum, &is_done));
        CU_ASSERT_FALSE(is_done);
    }
    fr_device_zero(e.device, memory, MOST);
    fr_status mine = FR_FAIL(fr_test_ctx(), FR_ERR_NUMERIC, "a test");
    CU_ASSERT_EQUAL(fr_group_abandon(e.world, mine), FR_ERR_NUMERIC);
    fr_ctx_clear_error(fr_test_ctx());
    finish(e.device);
    FR_ASSERT_FAILS(fr_link_join(e.link, &sum), FR_ERR_COMM, "abandoned the others");
    fr_link_close(&e.link);
    fr_device_free(e.device, memory);
    close_device(e.device);
    fr_group_destroy(&e.world);
}

static void a_close_that_never_ends_is_aborted(void)
{
    end e;
    open_ends(0, &e);
    say_error(e.rank, 1, "ncclCommFinalize:1:-1");
    FR_ASSERT_OK(open_link(&e));
    int64_t began = fr_clock_ms();
    fr_link_close(&e.link);
    int64_t ms = fr_clock_ms() - began;
    CU_ASSERT(e.rank != 1 || (ms >= 1000 * SECONDS && ms < 1000 * (SECONDS + 20)));
    close_end(&e);
}

/* ---- what is settled on ----------------------------------------------------------------------- */

/* Rank `on` has the variable. `reason`: what an error says; NULL: there must be none. @return whether sums go over NCCL */
static bool settle(int on, const char *name, const char *value, const fr_sums_wanted *w,
                   const char *reason)
{
    end e;
    fr_grid grid;
    open_ends(on + 1, &e);
    say("FR_EMULATED_NCCL_ERROR", NULL);
    say(name, e.rank == on ? value : NULL);
    FR_ASSERT_OK(fr_grid_init(fr_test_ctx(), e.world, NULL, 1, e.size, &grid));
    fr_status status = fr_link_settle_sums(fr_test_ctx(), &grid, e.device, w, &e.link);
    if (reason != NULL) {
        FR_ASSERT_FAILS(status, FR_ERR_UNSUPPORTED, reason);
        CU_ASSERT_PTR_NULL(e.link);
    } else {
        FR_ASSERT_OK(status);
    }
    say(name, NULL);
    bool is_nccl = e.link != NULL;
    char text[FR_LINK_NAME_BYTES];
    fr_link_name_of_sums(e.link, text);
    CU_ASSERT_STRING_EQUAL(text, is_nccl ? "NCCL 2.28.9" : "");
    if (is_nccl) {
        sum_late(&e, MOST);
    }
    fr_link_close(&e.link);
    fr_grid_fini(&grid);
    close_end(&e);
    return is_nccl;
}

static const fr_sums_wanted AUTO = {
    .asked = "auto", .kind = "cuda", .seconds = SECONDS};
static const fr_sums_wanted MUST = {
    .asked = "nccl", .kind = "cuda", .seconds = SECONDS};
static const char ERROR[] = "FR_EMULATED_NCCL_ERROR";
static const char VERSION[] = "FR_EMULATED_NCCL_VERSION";

static void sums_go_over_nccl_where_it_is_and_works(void)
{
    fr_sums_wanted staged = {.asked = "staged", .kind = "cuda"};
    CU_ASSERT_TRUE(settle(0, ERROR, NULL, &AUTO, NULL));
    CU_ASSERT_TRUE(settle(0, ERROR, NULL, &MUST, NULL));
    CU_ASSERT_FALSE(settle(0, ERROR, NULL, &staged, NULL));
}

static void ranks_that_share_a_gpu_do_without(void)
{
    fr_sums_wanted shared = AUTO;
    shared.is_shared = true;
    CU_ASSERT_FALSE(settle(0, ERROR, NULL, &shared, NULL));
    shared.asked = "nccl";
    CU_ASSERT_FALSE(settle(0, ERROR, NULL, &shared, "ranks share a GPU"));
}

static void an_old_version_or_another_one_will_not_do(void)
{
    CU_ASSERT_FALSE(settle(1, VERSION, "21705", &AUTO, NULL));
    CU_ASSERT_FALSE(
        settle(1, VERSION, "21705", &MUST, "2.17.5, but must be 2.18 or later"));
    CU_ASSERT_FALSE(settle(0, VERSION, "22003", &AUTO, NULL));
    CU_ASSERT_FALSE(settle(0, VERSION, "22003", &MUST, "the version of NCCL is"));
}

/* The rank that failed says why, not one that waited for it. */
static void where_one_rank_cannot_start_none_does(void)
{
    static const struct {
        int on;
        const char *error;
        const char *reason;
    } BAD[] = {{0, "ncclGetUniqueId:1:2", "ncclGetUniqueId gave ncclSystemError (2)"},
               {1, "ncclCommInitRankConfig:1:5", "gave ncclInvalidUsage (5)"},
               {1, "init:1:2", "rank 1 on "},
               {0, "init:1:3", "gave ncclInternalError (3)"},
               {1, "ncclAllReduce:1:3", "ncclAllReduce gave ncclInternalError (3)"},
               {0, "sum:1:1", "gave ncclUnhandledCudaError (1)"},
               {1, "wrong:1:1", "1 of 4099 numbers of a first sum are wrong"}};
    for (int i = 0; i < FR_N_CASES(BAD); i++) {
        CU_ASSERT_FALSE(settle(BAD[i].on, ERROR, BAD[i].error, &AUTO, NULL));
        CU_ASSERT_FALSE(settle(BAD[i].on, ERROR, BAD[i].error, &MUST, BAD[i].reason));
    }
    CU_ASSERT_TRUE(settle(0, ERROR, NULL, &AUTO, NULL));
}

static void nobody_waits_for_ever_for_a_start(void)
{
    int64_t began = fr_clock_ms();
    CU_ASSERT_FALSE(settle(1, ERROR, "init:1:-1", &MUST, "after 1 seconds"));
    CU_ASSERT_FALSE(settle(0, ERROR, "sum:1:-1", &MUST, "after 1 seconds"));
    CU_ASSERT(fr_clock_ms() - began < 60000);
}

static void sums_of_the_processor_are_not_over_nccl(void)
{
    fr_group *world = fr_test_world();
    fr_grid grid;
    fr_link *link = NULL;
    fr_device *cpu = NULL;
    fr_lane *lane = NULL;
    fr_sums_wanted wanted = {.asked = "nccl", .kind = "cpu"};
    fr_device_params params = {.kind = "cpu", .n_threads = 1};
    FR_ASSERT_OK(fr_device_create(fr_test_ctx(), &params, &cpu));
    FR_ASSERT_OK(
        fr_grid_init(fr_test_ctx(), world, NULL, 1, fr_group_size(world), &grid));
    FR_ASSERT_FAILS(fr_link_settle_sums(fr_test_ctx(), &grid, cpu, &wanted, &link),
                    FR_ERR_UNSUPPORTED, "no GPU computes");
    wanted.asked = "auto";
    FR_ASSERT_OK(fr_link_settle_sums(fr_test_ctx(), &grid, cpu, &wanted, &link));
    CU_ASSERT_PTR_NULL(link);
    FR_ASSERT_FAILS(fr_lane_open(cpu, &lane), FR_ERR_UNSUPPORTED, "without streams");
    CU_ASSERT_PTR_NULL(lane);
    CU_ASSERT_EQUAL(fr_link_bytes(FR_LINK_NCCL, 1, 0), 0);
    fr_grid_fini(&grid);
    fr_device_destroy(&cpu);
    fr_group_destroy(&world);
}

static const fr_case CASES[] = {
    FR_CASE(sums_keep_the_order_of_the_device),
    FR_CASE(sums_under_way_at_once_keep_their_order),
    FR_CASE(a_sum_does_not_hold_up_a_rank_that_others_wait_for),
    FR_CASE(messages_and_unlike_sums_are_refused),
    FR_CASE(an_error_in_a_sum_names_function_and_result),
    FR_CASE(that_another_rank_is_gone_is_said_late),
    FR_CASE(nothing_is_summed_on_a_gpu_that_has_failed),
    FR_CASE(a_rank_that_abandons_the_others_takes_its_sum_off_the_gpu),
    FR_CASE(a_close_that_never_ends_is_aborted),
    FR_CASE(sums_go_over_nccl_where_it_is_and_works),
    FR_CASE(ranks_that_share_a_gpu_do_without),
    FR_CASE(an_old_version_or_another_one_will_not_do),
    FR_CASE(where_one_rank_cannot_start_none_does),
    FR_CASE(nobody_waits_for_ever_for_a_start),
    FR_CASE(sums_of_the_processor_are_not_over_nccl),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("link_nccl", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
