/*
 * Copies ahead under streams that are late: work finds what was awaited, and earlier work what lay there before. That the
 * emulation would show a missing wait is shown by calls that break the rules.
 */
#define _POSIX_C_SOURCE 200809L
#include "device/memory.h"
#include "late.h"

enum { LAYERS = 23, BYTES = 3 * MIB / 2, PASSES = 3 };

/* What a pass over layers that stay on the host does: each is copied to one of two slots while an earlier one is used, which here
 * is a copy to its own place. */
typedef struct play {
    fr_device *device;
    unsigned char *host; /* [LAYERS][BYTES], in memory of the device's choice */
    fr_byte *slots[FR_AHEAD_SLOTS];
    fr_byte *used; /* [LAYERS][BYTES] */
    bool without_await;
    bool too_early; /* a slot is overwritten before its last use is asked for */
} play;

static void start(play *p, int64_t seed)
{
    uint64_t random = (uint64_t)seed + 7;
    p->device = open_device(seed);
    FR_ASSERT_OK(fr_host_alloc(p->device, LAYERS, BYTES, &p->host));
    fill(&random, p->host, (int64_t)LAYERS * BYTES);
    for (int s = 0; s < FR_AHEAD_SLOTS; s++) {
        FR_ASSERT_OK(fr_device_alloc(p->device, 1, BYTES, &p->slots[s]));
    }
    FR_ASSERT_OK(fr_device_alloc(p->device, LAYERS, BYTES, &p->used));
}

/* In two pieces, as a layer is copied matrix by matrix. */
static void copy_ahead(play *p, int layer)
{
    int slot = layer % FR_AHEAD_SLOTS;
    int64_t first = 100 * (layer + 1);
    if (layer < LAYERS) {
        const unsigned char *from = p->host + (int64_t)layer * BYTES;
        fr_device_ahead(p->device, slot, p->slots[slot], from, first);
        fr_device_ahead(p->device, slot, p->slots[slot] + first, from + first,
                        BYTES - first);
    }
}

static void pass(play *p)
{
    copy_ahead(p, 0);
    copy_ahead(p, 1);
    for (int layer = 0; layer < LAYERS; layer++) {
        int slot = layer % FR_AHEAD_SLOTS;
        if (!p->without_await) {
            fr_device_await(p->device, slot);
        }
        if (p->too_early) {
            copy_ahead(p, layer + FR_AHEAD_SLOTS);
        }
        fr_device_copy(p->device, p->used + (int64_t)layer * BYTES, p->slots[slot],
                       BYTES);
        if (!p->too_early) {
            copy_ahead(p, layer + FR_AHEAD_SLOTS);
        }
    }
}

/* @return whether every layer was used as it is */
static bool end(play *p)
{
    unsigned char *got = malloc((size_t)LAYERS * BYTES);
    fr_device_get(p->device, got, p->used, (int64_t)LAYERS * BYTES);
    finish(p->device);
    bool is_same = memcmp(got, p->host, (size_t)LAYERS * BYTES) == 0;
    for (int s = 0; s < FR_AHEAD_SLOTS; s++) {
        fr_device_await(p->device, s);
        fr_device_free(p->device, p->slots[s]);
    }
    fr_device_free(p->device, p->used);
    fr_host_free(p->device, p->host);
    close_device(p->device);
    free(got);
    return is_same;
}

static int count_right(bool without_await, bool too_early)
{
    int n_right = 0;
    for (int64_t seed = 0; seed < SEEDS; seed++) {
        play p = {.without_await = without_await, .too_early = too_early};
        start(&p, seed);
        for (int i = 0; i < PASSES; i++) {
            fr_device_zero(p.device, p.used, (int64_t)LAYERS * BYTES);
            pass(&p);
        }
        n_right += end(&p);
    }
    return n_right;
}

static void work_finds_what_was_copied_ahead(void)
{
    CU_ASSERT_EQUAL(count_right(false, false), SEEDS);
}

static void a_missing_await_is_seen(void)
{
    CU_ASSERT_EQUAL(count_right(true, false), 0);
}

static void a_copy_that_is_asked_too_early_is_seen(void)
{
    CU_ASSERT(count_right(false, true) < SEEDS);
}

/* The host frees what a copy ahead still reads; the emulation would end the program. */
static void memory_is_freed_behind_its_copies(void)
{
    for (int64_t seed = 0; seed < SEEDS; seed++) {
        unsigned char *host = NULL;
        fr_byte *slot = NULL;
        fr_device *device = open_device(seed);
        FR_ASSERT_OK(fr_host_alloc(device, 1, BYTES, &host));
        FR_ASSERT_OK(fr_device_alloc(device, 1, BYTES, &slot));
        fr_device_ahead(device, 1, slot, host, BYTES);
        fr_host_free(device, host);
        fr_device_await(device, 1);
        fr_device_free(device, slot);
        close_device(device);
    }
}

/* A matrix is loaded by the ring of blocks that is there: the device pins two when it is made. */
static void a_load_pins_nothing(void)
{
    enum { LOADED = 9 * MIB + 5 };
    unsigned char *from = numbers(LOADED, 3);
    unsigned char *got = malloc(LOADED);
    fr_byte *to = NULL;
    CU_ASSERT_EQUAL(setenv("FR_EMULATED_ERROR", "cuMemHostAlloc:3:2", 1), 0);
    fr_device *device = open_device(1);
    FR_ASSERT_OK(fr_device_alloc(device, LOADED, 1, &to));
    FR_ASSERT_OK(fr_device_load(device, to, from, LOADED));
    fr_device_get(device, got, to, LOADED);
    finish(device);
    fr_assert_same_bytes("loaded", got, from, LOADED);
    fr_device_free(device, to);
    close_device(device);
    CU_ASSERT_EQUAL(unsetenv("FR_EMULATED_ERROR"), 0);
    free(from);
    free(got);
}

static const fr_case CASES[] = {
    FR_CASE(work_finds_what_was_copied_ahead),
    FR_CASE(a_missing_await_is_seen),
    FR_CASE(a_copy_that_is_asked_too_early_is_seen),
    FR_CASE(memory_is_freed_behind_its_copies),
    FR_CASE(a_load_pins_nothing),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_ahead", CASES, FR_N_CASES(CASES), argc, argv);
}
