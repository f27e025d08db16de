/*
 * The memory of a CUDA device under streams that are late: what memory.h promises of copies and marks, in any order of
 * calls.
 */
#define _POSIX_C_SOURCE 200809L
#include "device/memory.h"
#include "late.h"

/* ---- any order of calls --------------------------------------------------------------------------- */

/* A get that the host has asked for, what it has to bring, and the mark behind it. */
typedef struct expected {
    unsigned char *to;
    unsigned char *wanted;
    int64_t bytes;
    fr_mark mark;
    bool is_marked;
    bool is_pinned;
} expected;

enum { REGION = 40000, CALLS = 1200, MOST_GETS = 40 };

typedef struct play {
    fr_device *device;
    uint64_t random;
    fr_byte *region;
    unsigned char
        model[REGION]; /* what the region holds when all that was asked is done */
    expected gets[MOST_GETS];
    int n_gets;
} play;

/* A part of the region; long parts are rare. */
static int64_t draw_part(play *p, int64_t *at)
{
    int64_t bytes = (int64_t)draw(&p->random, draw(&p->random, 8) == 0 ? REGION : 300);
    *at = (int64_t)draw(&p->random, (uint64_t)(REGION - bytes + 1));
    return bytes;
}

/* Memory of the host for a copy, of either kind. */
static unsigned char *host_memory(play *p, int64_t bytes, bool is_pinned)
{
    unsigned char *memory = NULL;
    if (is_pinned) {
        FR_ASSERT_OK(fr_host_alloc(p->device, bytes, 1, &memory));
    } else {
        memory = malloc((size_t)bytes + 1);
    }
    return memory;
}

static void free_host_memory(play *p, unsigned char *memory, bool is_pinned)
{
    if (is_pinned) {
        fr_host_free(p->device, memory);
    } else {
        free(memory);
    }
}

/* The host writes over what it has put, and frees it. What is pinned would be read late. */
static void play_put(play *p)
{
    int64_t at = 0;
    int64_t bytes = draw_part(p, &at);
    bool is_pinned = draw(&p->random, 2) == 0;
    unsigned char *from = host_memory(p, bytes, is_pinned);
    fill(&p->random, from, bytes);
    memcpy(p->model + at, from, (size_t)bytes);
    fr_device_put(p->device, p->region + at, from, bytes);
    memset(from, RUBBISH, (size_t)bytes);
    free_host_memory(p, from, is_pinned);
}

static void play_copy(play *p)
{
    int64_t from = 0;
    int64_t to = 0;
    int64_t bytes = draw_part(p, &from);
    (void)draw_part(p, &to);
    if (to + bytes <= REGION && (to + bytes <= from || from + bytes <= to)) {
        memmove(p->model + to, p->model + from, (size_t)bytes);
        fr_device_copy(p->device, p->region + to, p->region + from, bytes);
    }
}

static void play_zero(play *p)
{
    int64_t at = 0;
    int64_t bytes = draw_part(p, &at);
    memset(p->model + at, 0, (size_t)bytes);
    fr_device_zero(p->device, p->region + at, bytes);
}

static void play_get(play *p)
{
    int64_t at = 0;
    int64_t bytes = draw_part(p, &at);
    if (p->n_gets == MOST_GETS) {
        return;
    }
    expected *e = &p->gets[p->n_gets++];
    *e = (expected){.bytes = bytes, .is_pinned = draw(&p->random, 2) == 0};
    e->to = host_memory(p, bytes, e->is_pinned);
    e->wanted = malloc((size_t)bytes + 1);
    memcpy(e->wanted, p->model + at, (size_t)bytes);
    fr_device_get(p->device, e->to, p->region + at, bytes);
}

static void play_mark(play *p)
{
    fr_mark mark = fr_device_mark(p->device);
    for (int i = 0; i < p->n_gets; i++) {
        if (!p->gets[i].is_marked) {
            p->gets[i].is_marked = true;
            p->gets[i].mark = mark;
        }
    }
}

/* Ask once for a get; it is checked when its mark has passed. */
static void play_ask(play *p)
{
    int which = p->n_gets > 0 ? (int)draw(&p->random, (uint64_t)p->n_gets) : 0;
    expected *e = &p->gets[which];
    if (p->n_gets == 0 || !e->is_marked || !fr_device_passed(p->device, e->mark)) {
        return;
    }
    fr_assert_same_bytes("get", e->to, e->wanted, (size_t)e->bytes);
    free_host_memory(p, e->to, e->is_pinned);
    free(e->wanted);
    *e = p->gets[--p->n_gets];
}

static void play_once(int64_t seed)
{
    static void (*const MOVES[])(play *) = {play_put, play_put, play_copy, play_zero,
                                            play_get, play_get, play_mark, play_ask,
                                            play_ask, play_ask};
    enum { N_MOVES = sizeof MOVES / sizeof MOVES[0] };
    play *p = calloc(1, sizeof *p);
    p->device = open_device(seed);
    p->random = (uint64_t)seed + 1;
    FR_ASSERT_OK(fr_device_alloc(p->device, REGION, 1, &p->region));
    for (int i = 0; i < CALLS; i++) {
        MOVES[draw(&p->random, N_MOVES)](p);
    }
    play_mark(p);
    while (p->n_gets > 0) {
        play_ask(p);
    }
    fr_device_free(p->device, p->region);
    close_device(p->device);
    free(p);
}

static void any_order_of_copies_gives_what_was_asked(void)
{
    for (int64_t seed = 0; seed < SEEDS; seed++) {
        play_once(seed);
    }
}

/* ---- sizes ------------------------------------------------------------------------------------------ */

/* Larger than all blocks of the ring together, and not a multiple of one. */
static void copies_may_be_larger_than_the_blocks(void)
{
    enum { BYTES = 21 * MIB + 12345 };
    unsigned char *wanted = numbers(BYTES, 1);
    unsigned char *plain = malloc(BYTES);
    unsigned char *pinned = NULL;
    fr_byte *memory = NULL;
    fr_device *device = open_device(1);
    FR_ASSERT_OK(fr_device_alloc(device, BYTES, 1, &memory));
    FR_ASSERT_OK(fr_host_alloc(device, BYTES + 1, 1, &pinned));
    memcpy(plain, wanted, BYTES);
    fr_device_put(device, memory, plain, BYTES);
    memset(plain, RUBBISH, BYTES);
    fr_device_get(device, plain, memory, BYTES);
    fr_device_get(device, pinned + 1, memory, BYTES); /* inside pinned memory */
    finish(device);
    fr_assert_same_bytes("plain", plain, wanted, BYTES);
    fr_assert_same_bytes("pinned", pinned + 1, wanted, BYTES);
    CU_ASSERT_EQUAL(pinned[0], 0);
    memset(plain, RUBBISH, BYTES);
    FR_ASSERT_OK(fr_device_load(device, memory, wanted, BYTES));
    fr_device_get(device, plain, memory, BYTES);
    finish(device);
    fr_assert_same_bytes("loaded", plain, wanted, BYTES);
    fr_host_free(device, pinned);
    fr_device_free(device, memory);
    close_device(device);
    free(wanted);
    free(plain);
}

/* More gets than there are places for them, without a mark between. */
static void many_small_gets_wait_for_one_mark(void)
{
    enum { N = 3000 };
    int32_t wanted[N];
    int32_t got[N];
    fr_i32 *memory = NULL;
    fr_device *device = open_device(2);
    FR_ASSERT_OK(fr_device_alloc(device, N, sizeof *memory, &memory));
    for (int32_t i = 0; i < N; i++) {
        wanted[i] = 7 * i + 1;
        int32_t number = wanted[i];
        fr_device_put(device, memory + i, &number, sizeof number);
    }
    for (int i = 0; i < N; i++) {
        fr_device_get(device, &got[i], memory + i, sizeof got[i]);
    }
    finish(device);
    fr_assert_same_bytes("numbers", got, wanted, sizeof wanted);
    fr_device_free(device, memory);
    close_device(device);
}

static void nothing_is_done_for_no_bytes(void)
{
    void *none = NULL;
    fr_device *device = open_device(0);
    fr_device_put(device, NULL, NULL, 0);
    fr_device_get(device, NULL, NULL, 0);
    fr_device_copy(device, NULL, NULL, 0);
    fr_device_zero(device, NULL, 0);
    fr_device_free(device, NULL);
    fr_host_free(device, NULL);
    FR_ASSERT_OK(fr_device_load(device, NULL, NULL, 0));
    FR_ASSERT_OK(fr_device_alloc(device, 0, 4, &none));
    CU_ASSERT_PTR_NOT_NULL(none);
    fr_device_free(device, none);
    FR_ASSERT_OK(fr_host_alloc(device, 0, 4, &none));
    CU_ASSERT_PTR_NOT_NULL(none);
    fr_host_free(device, none);
    close_device(device);
}

/* ---- marks -------------------------------------------------------------------------------------------- */

/* More marks than there are events: each passes, and none before an older one. */
static void thousands_of_marks_pass_in_their_order(void)
{
    enum { N = 4000 };
    static fr_mark marks[N];
    fr_byte *memory = NULL;
    for (int64_t seed = 0; seed < SEEDS; seed++) {
        fr_device *device = open_device(seed);
        uint64_t random = (uint64_t)seed;
        CU_ASSERT(fr_device_passed(device, (fr_mark){0}));
        FR_ASSERT_OK(fr_device_alloc(device, 1, 1, &memory));
        for (int i = 0; i < N; i++) {
            fr_device_zero(device, memory, 1);
            marks[i] = fr_device_mark(device);
            int later = (int)draw(&random, (uint64_t)i + 1);
            if (fr_device_passed(device, marks[later])) {
                int older = (int)draw(&random, (uint64_t)later + 1);
                CU_ASSERT(fr_device_passed(device, marks[older]));
            }
        }
        finish(device);
        for (int i = 0; i < N; i++) {
            CU_ASSERT(fr_device_passed(device, marks[i]));
        }
        fr_device_free(device, memory);
        close_device(device);
    }
}

/* The emulated work comes late: a mark that had passed at once would be a guess. */
static void a_mark_behind_work_passes_late(void)
{
    int late = 0;
    fr_byte *memory = NULL;
    if (skip_on_a_gpu()) {
        return;
    }
    for (int64_t seed = 0; seed < SEEDS; seed++) {
        fr_device *device = open_device(seed);
        FR_ASSERT_OK(fr_device_alloc(device, 1, 1, &memory));
        late += !fr_device_passed(device, fr_device_mark(device));
        finish(device);
        fr_device_free(device, memory);
        close_device(device);
    }
    CU_ASSERT(late > 0);
}

static void pinned_memory_is_zeroed_and_may_be_freed_early(void)
{
    enum { BYTES = 100000 };
    static const unsigned char ZEROS[BYTES];
    fr_byte *memory = NULL;
    fr_device *device = open_device(0);
    FR_ASSERT_OK(fr_device_alloc(device, BYTES, 1, &memory));
    for (int i = 0; i < 100; i++) {
        void *host = NULL;
        FR_ASSERT_OK(fr_host_alloc(device, BYTES, 1, &host));
        CU_ASSERT_EQUAL((uintptr_t)host % 64, 0);
        fr_assert_same_bytes("pinned", host, ZEROS, BYTES);
        fr_device_get(device, host, memory, BYTES);
        fr_host_free(device,
                     host); /* the emulated driver stops where a copy is queued */
    }
    close_device(device);
}

static const fr_case CASES[] = {
    FR_CASE(any_order_of_copies_gives_what_was_asked),
    FR_CASE(copies_may_be_larger_than_the_blocks),
    FR_CASE(many_small_gets_wait_for_one_mark),
    FR_CASE(nothing_is_done_for_no_bytes),
    FR_CASE(thousands_of_marks_pass_in_their_order),
    FR_CASE(a_mark_behind_work_passes_late),
    FR_CASE(pinned_memory_is_zeroed_and_may_be_freed_early),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_memory", CASES, FR_N_CASES(CASES), argc, argv);
}
