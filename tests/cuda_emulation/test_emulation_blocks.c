/* The emulated blocks catch what they must: kernels with a fault end with a message, or give other bits. */
#define _GNU_SOURCE
#include "block.h"
#include "child.h"

enum { THREADS = 128, LINE = 1, OTHER_LINE = 2 };

static float numbers[4 * THREADS];

static int run(void (*entry)(const void *), int threads, size_t shared_bytes)
{
    const fr_emulated_kernel kernel = {"tried", entry, 0, FR_EMULATED_THREADS};
    const char *seed = getenv("FR_EMULATED_SEED");
    fr_emulated_launch launch = {.kernel = &kernel,
                                 .blocks = 3,
                                 .blocks_y = 2,
                                 .threads = threads,
                                 .shared_bytes = shared_bytes,
                                 .seed = seed != NULL ? strtoull(seed, NULL, 10) : 0};
    for (int i = 0; i < 4 * THREADS; i++) {
        numbers[i] = (float)i;
    }
    fr_emulated_run(&launch);
    return 0;
}

static float *shared(void)
{
    return fr_emulated.shared;
}

static int lane(void)
{
    return fr_emulated.thread % FR_EMULATED_WARP;
}

/* ---- barriers of the block ----------------------------------------------------------------------- */

static void turn_round(bool waits)
{
    int t = fr_emulated.thread;
    shared()[t] = (float)t;
    if (waits) {
        fr_emulated_sync(LINE);
    }
    numbers[t] = shared()[THREADS - 1 - t];
}
static void with_barrier(const void *a)
{
    (void)a;
    turn_round(true);
}
static void without_barrier(const void *a)
{
    (void)a;
    turn_round(false);
}
static int check_round(void)
{
    for (int t = 0; t < THREADS; t++) {
        if (numbers[t] != (float)(THREADS - 1 - t)) {
            return 1;
        }
    }
    return 0;
}
static int run_with_barrier(void)
{
    return run(with_barrier, THREADS, THREADS * sizeof(float)) + check_round();
}
static int run_without_barrier(void)
{
    return run(without_barrier, THREADS, THREADS * sizeof(float)) + check_round();
}

static void test_missing_barrier(void)
{
    fr_child_assert("with a barrier", run_with_barrier, 0);
    fr_child_assert("without", run_without_barrier, 1);
}

/* The second write may come before the first one is read. */
static void use_twice(bool waits)
{
    int t = fr_emulated.thread;
    for (int i = 0; i < 3; i++) {
        shared()[t] = (float)(i + t);
        fr_emulated_sync(LINE);
        numbers[t] = shared()[(t + FR_EMULATED_WARP) % THREADS];
        if (waits) {
            fr_emulated_sync(OTHER_LINE);
        }
        if (numbers[t] != (float)(i + (t + FR_EMULATED_WARP) % THREADS)) {
            numbers[THREADS] = -1;
        }
    }
}
static void twice(const void *a)
{
    (void)a;
    use_twice(true);
}
static void twice_too_early(const void *a)
{
    (void)a;
    use_twice(false);
}
static int run_twice(void)
{
    return run(twice, THREADS, THREADS * sizeof(float)) + (numbers[THREADS] < 0);
}
static int run_twice_too_early(void)
{
    return run(twice_too_early, THREADS, THREADS * sizeof(float)) +
           (numbers[THREADS] < 0);
}

static void test_missing_second_barrier(void)
{
    fr_child_assert("with both", run_twice, 0);
    fr_child_assert("with one", run_twice_too_early, 1);
}

static void returns_early(const void *a)
{
    (void)a;
    if (fr_emulated.thread != 77) {
        fr_emulated_sync(LINE);
    }
}
static void warp_returns_early(const void *a)
{
    (void)a;
    if (fr_emulated.thread >= FR_EMULATED_WARP) {
        fr_emulated_sync(LINE);
    }
}
static void waits_elsewhere(const void *a)
{
    (void)a;
    fr_emulated_sync(fr_emulated.thread < THREADS / 2 ? LINE : OTHER_LINE);
}
static int run_returns_early(void)
{
    return run(returns_early, THREADS, 0);
}
static int run_warp_returns_early(void)
{
    return run(warp_returns_early, THREADS, 0);
}
static int run_waits_elsewhere(void)
{
    return run(waits_elsewhere, THREADS, 0);
}

static void test_divergent_barrier(void)
{
    fr_child_assert_crash("a thread returns", run_returns_early, "have returned");
    fr_child_assert_crash("a warp returns", run_warp_returns_early, "have returned");
    fr_child_assert_crash("two barriers", run_waits_elsewhere, "different lines");
}

/* ---- warps ----------------------------------------------------------------------------------------- */

static void pass_on(bool waits)
{
    int t = fr_emulated.thread;
    shared()[t] = (float)t;
    if (waits) {
        (void)fr_emulated_exchange(FR_EMULATED_SYNC, LINE, 0);
    }
    numbers[t] = shared()[t ^ 1];
}
static void with_warp_barrier(const void *a)
{
    (void)a;
    pass_on(true);
}
static void without_warp_barrier(const void *a)
{
    (void)a;
    pass_on(false);
}
static int check_pairs(void)
{
    for (int t = 0; t < THREADS; t++) {
        if (numbers[t] != (float)(t ^ 1)) {
            return 1;
        }
    }
    return 0;
}
static int run_with_warp_barrier(void)
{
    return run(with_warp_barrier, THREADS, THREADS * sizeof(float)) + check_pairs();
}
static int run_without_warp_barrier(void)
{
    return run(without_warp_barrier, THREADS, THREADS * sizeof(float)) + check_pairs();
}

static void test_missing_warp_barrier(void)
{
    fr_child_assert("with a warp's barrier", run_with_warp_barrier, 0);
    fr_child_assert("without", run_without_warp_barrier, 1);
}

/* Sums over lanes by five questions, many times: answers are those of this question, whoever hurries. */
static void sums(const void *a)
{
    (void)a;
    uint64_t wanted = 0;
    for (uint64_t i = 0; i < FR_EMULATED_WARP; i++) {
        wanted += i;
    }
    for (uint64_t round = 0; round < 50; round++) {
        uint64_t sum = (uint64_t)lane() + round;
        for (int step = FR_EMULATED_WARP / 2; step > 0; step /= 2) {
            sum += fr_emulated_exchange(FR_EMULATED_VALUE, LINE, sum)[lane() ^ step];
        }
        if (sum != wanted + FR_EMULATED_WARP * round) {
            numbers[0] = -1;
        }
        if (round % 7 == (uint64_t)(fr_emulated.block % 7)) {
            fr_emulated_sync(LINE);
        }
    }
}
static int run_sums(void)
{
    return run(sums, FR_EMULATED_THREADS, 0) + (numbers[0] < 0);
}

static void asks_otherwise(const void *a)
{
    (void)a;
    (void)fr_emulated_exchange(lane() < 5 ? FR_EMULATED_BALLOT : FR_EMULATED_VALUE,
                               LINE, 0);
}
static void asks_elsewhere(const void *a)
{
    (void)a;
    (void)fr_emulated_exchange(FR_EMULATED_VALUE, lane() < 5 ? LINE : OTHER_LINE, 0);
}
static void some_ask(const void *a)
{
    (void)a;
    if (lane() != 9) {
        (void)fr_emulated_exchange(FR_EMULATED_VALUE, LINE, 0);
    }
}
static void some_wait_for_block(const void *a)
{
    (void)a;
    if (lane() == 9) {
        fr_emulated_sync(LINE);
    } else {
        (void)fr_emulated_exchange(FR_EMULATED_SYNC, LINE, 0);
    }
}
static int run_asks_otherwise(void)
{
    return run(asks_otherwise, THREADS, 0);
}
static int run_asks_elsewhere(void)
{
    return run(asks_elsewhere, THREADS, 0);
}
static int run_some_ask(void)
{
    return run(some_ask, THREADS, 0);
}
static int run_some_wait_for_block(void)
{
    return run(some_wait_for_block, THREADS, 0);
}

static void test_questions(void)
{
    fr_child_assert("sums", run_sums, 0);
    fr_child_assert_crash("two questions", run_asks_otherwise, "different things");
    fr_child_assert_crash("two lines", run_asks_elsewhere, "different things");
    fr_child_assert_crash("some ask", run_some_ask, "do something else");
    fr_child_assert_crash("block and warp", run_some_wait_for_block,
                          "do something else");
}

/* ---- memory ---------------------------------------------------------------------------------------- */

static int64_t place; /* where a byte of shared memory is written */
static void writes(const void *a)
{
    (void)a;
    if (fr_emulated.thread == 5) {
        *((volatile char *)fr_emulated.shared + place) = 1;
    }
}
static int run_writes(int64_t at)
{
    place = at;
    return run(writes, THREADS, 1001);
}
static int writes_last(void)
{
    return run_writes(1000);
}
static int writes_behind(void)
{
    return run_writes(1001);
}
static int writes_before(void)
{
    return run_writes(-1);
}
static int writes_far_behind(void)
{
    return run_writes(1008);
}
static int writes_without_any(void)
{
    place = 0;
    return run(writes, THREADS, 0);
}
static int reads_rubbish(void)
{
    return run(without_barrier, THREADS, 0) + 1;
}

static void test_shared_memory(void)
{
    fr_child_assert("the last byte", writes_last, 0);
    fr_child_assert_crash("one behind", writes_behind, "beside its shared memory");
    fr_child_assert_crash("one before", writes_before, "beside its shared memory");
    fr_child_assert_crash("a page behind", writes_far_behind, "");
    fr_child_assert_crash("none at all", writes_without_any, "");
    fr_child_assert_crash("numbers without any", reads_rubbish, "");
}

static void too_deep(const void *a)
{
    volatile char much[512 << 10];
    (void)a;
    for (size_t i = sizeof much; i > 0; i -= 1024) {
        much[i - 1] = 1;
    }
}
static int run_too_deep(void)
{
    return run(too_deep, THREADS, 0);
}
static int run_half_a_warp(void)
{
    return run(twice, 48, 0);
}

static void test_limits(void)
{
    fr_child_assert_crash("a stack", run_too_deep, "");
    fr_child_assert_crash("half a warp", run_half_a_warp, "warps of 32");
}

/* ---- order ------------------------------------------------------------------------------------------- */

static int first_thread;
static void notes_first(const void *a)
{
    (void)a;
    if (first_thread < 0) {
        first_thread = (int)(fr_emulated.block * THREADS) + fr_emulated.thread;
    }
    numbers[fr_emulated.thread] += 1;
}
static int run_notes_first(void)
{
    first_thread = -1;
    (void)run(notes_first, THREADS, 0);
    for (int t = 0; t < THREADS; t++) {
        if (numbers[t] != (float)(t + 6)) {
            return 255;
        }
    }
    return first_thread % 251;
}

/* Each thread of each block runs once; which is first depends on the seed alone. */
static void test_order(void)
{
    int n_others = 0;
    int first = fr_child_run(run_notes_first, 0).code;
    CU_ASSERT_EQUAL(fr_child_run(run_notes_first, 0).code, first);
    for (int seed = 1; seed < 8; seed++) {
        int code = fr_child_run(run_notes_first, seed).code;
        CU_ASSERT(code >= 0 && code < 255);
        n_others += code != first;
    }
    CU_ASSERT(n_others > 3);
}

static const fr_case CASES[] = {
    FR_CASE(test_missing_barrier),
    FR_CASE(test_missing_second_barrier),
    FR_CASE(test_divergent_barrier),
    FR_CASE(test_missing_warp_barrier),
    FR_CASE(test_questions),
    FR_CASE(test_shared_memory),
    FR_CASE(test_limits),
    FR_CASE(test_order),
};

int main(int argc, char **argv)
{
    return fr_suite_main("emulation_blocks", CASES, FR_N_CASES(CASES), argc, argv);
}
