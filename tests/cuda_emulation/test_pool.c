/*
 * The pool of a CUDA device, where its room ends, and what operators take from it: lists and scratch.
 */
#define _POSIX_C_SOURCE 200809L
#include "device/cuda/memory.h"
#include "late.h"

/* ---- the pool ------------------------------------------------------------------------------------------- */

static void assert_bytes(fr_device *device, const fr_byte *memory, int64_t bytes,
                         unsigned char value)
{
    unsigned char *got = malloc((size_t)bytes);
    unsigned char *wanted = malloc((size_t)bytes);
    memset(wanted, value, (size_t)bytes);
    fr_device_get(device, got, memory, bytes);
    finish(device);
    fr_assert_same_bytes("memory", got, wanted, (size_t)bytes);
    free(got);
    free(wanted);
}

static void put_value(fr_device *device, fr_byte *memory, int64_t bytes,
                      unsigned char value)
{
    unsigned char *from = malloc((size_t)bytes);
    memset(from, value, (size_t)bytes);
    fr_device_put(device, memory, from, bytes);
    free(from);
}

/* Blocks keep their bytes while the pool grows, and come zeroed, also where others were, whose work is still queued. */
static void the_pool_grows_beyond_what_was_reserved(void)
{
    enum { N = 12, BYTES = 3 * MIB + 100 };
    fr_byte *blocks[N];
    fr_device *device = open_device(3);
    FR_ASSERT_OK(fr_device_reserve(device, 4 * MIB));
    int64_t room = fr_device_room(device);
    for (int i = 0; i < N; i++) {
        FR_ASSERT_OK(fr_device_alloc(device, BYTES, 1, &blocks[i]));
        CU_ASSERT_EQUAL((uintptr_t)blocks[i] % 64, 0);
        put_value(device, blocks[i], BYTES, (unsigned char)(i + 1));
    }
    CU_ASSERT(!fr_gpu_is_emulated ||
              fr_device_room(device) <= room - N * (int64_t)BYTES);
    CU_ASSERT(fr_device_most_used(device) >= N * (int64_t)BYTES);
    for (int i = 0; i < N; i++) {
        assert_bytes(device, blocks[i], BYTES, (unsigned char)(i + 1));
        put_value(device, blocks[i], BYTES, RUBBISH); /* queued when it is given back */
        fr_device_free(device, blocks[i]);
        FR_ASSERT_OK(fr_device_alloc(device, BYTES, 1, &blocks[i]));
        assert_bytes(device, blocks[i], BYTES, 0);
    }
    for (int i = 0; i < N; i++) {
        fr_device_free(device, blocks[i]);
    }
    /* of a GPU others take memory meanwhile, the driver among them */
    CU_ASSERT(!fr_gpu_is_emulated || fr_device_room(device) == room);
    close_device(device);
}

static void memory_that_is_lacking_is_refused_with_sizes(void)
{
    fr_byte *memory = NULL;
    if (skip_on_a_gpu()) {
        return;
    }
    set("FR_EMULATED_MEMORY", 64 * MIB);
    fr_device *device = open_device(0);
    int64_t room = fr_device_room(device);
    CU_ASSERT(room > 60 * MIB && room <= 64 * MIB);
    FR_ASSERT_FAILS(fr_device_reserve(device, 65 * MIB), FR_ERR_NO_MEMORY, "65.00 MiB");
    FR_ASSERT_FAILS(fr_device_alloc(device, 65 * MIB, 1, &memory), FR_ERR_NO_MEMORY,
                    "65.00 MiB");
    CU_ASSERT_PTR_NULL(memory);
    FR_ASSERT_FAILS(fr_device_alloc(device, INT64_MAX, 1, &memory), FR_ERR_NO_MEMORY,
                    "too little memory of the device");
    FR_ASSERT_OK(fr_device_alloc(device, room, 1, &memory)); /* to the last byte */
    CU_ASSERT_EQUAL(fr_device_room(device), 0);
    assert_bytes(device, memory, 100, 0);
    void *scratch = NULL;
    FR_ASSERT_FAILS(fr_cuda_scratch(device, FR_CUDA_USE_VALUES, 1, &scratch),
                    FR_ERR_NO_MEMORY, "too little memory of the device");
    CU_ASSERT_PTR_NULL(scratch);
    fr_device_free(device, memory);
    FR_ASSERT_OK(fr_cuda_scratch(device, FR_CUDA_USE_VALUES, 1, &scratch));
    close_device(device);
    CU_ASSERT_EQUAL(unsetenv("FR_EMULATED_MEMORY"), 0);
}

/* A void operator has no other way to say it. */
static void a_lack_that_is_kept_comes_out_at_the_check(void)
{
    void *scratch = NULL;
    if (skip_on_a_gpu()) {
        return;
    }
    set("FR_EMULATED_MEMORY", 16 * MIB);
    fr_device *device = open_device(0);
    CU_ASSERT(fr_cuda_keep(device, FR_OK));
    FR_ASSERT_OK(fr_device_check(device));
    CU_ASSERT_FALSE(fr_cuda_keep(
        device, fr_cuda_scratch(device, FR_CUDA_USE_SLICE, 1 << 30, &scratch)));
    FR_ASSERT_FAILS(fr_device_check(device), FR_ERR_NO_MEMORY, "1.00 GiB");
    FR_ASSERT_FAILS(fr_device_check(device), FR_ERR_NO_MEMORY, "an operator needs");
    CU_ASSERT(fr_device_passed(device, fr_device_mark(device)));
    fr_device_destroy(&device);
    CU_ASSERT_EQUAL(unsetenv("FR_EMULATED_MEMORY"), 0);
}

/* What an operator fails at otherwise is not called a lack of memory. */
static void a_failure_that_is_kept_is_the_one_that_it_was(void)
{
    fr_device *device = open_device(0);
    fr_ctx *ctx = fr_test_ctx();
    fr_ctx_clear_error(ctx);
    CU_ASSERT_FALSE(
        fr_cuda_keep(device, FR_FAIL(ctx, FR_ERR_UNSUPPORTED, "heads are too long")));
    fr_ctx_clear_error(ctx);
    FR_ASSERT_FAILS(fr_device_check(device), FR_ERR_UNSUPPORTED, "heads are too long");
    CU_ASSERT_PTR_NULL(strstr(fr_ctx_error(ctx), "cuMemCreate"));
    fr_ctx_clear_error(ctx);
    fr_device_destroy(&device);
}

/* The pool has grown once, and the GPU says that it has room. */
static void memory_that_the_driver_refuses_is_told_with_a_remedy(void)
{
    fr_byte *memory = NULL;
    CU_ASSERT_EQUAL(setenv("FR_EMULATED_ERROR", "cuMemCreate:2:2", 1), 0);
    fr_device *device = open_device(0);
    FR_ASSERT_OK(fr_device_reserve(device, 4 * MIB));
    FR_ASSERT_FAILS(fr_device_alloc(device, 16 * MIB, 1, &memory), FR_ERR_NO_MEMORY,
                    "too little memory of GPU 0 (Emulated GPU): 12.00 MiB more are "
                    "asked for, and it has 7.99 GiB free, but cuMemCreate gave");
    FR_ASSERT_OK(fr_device_check(device));
    FR_ASSERT_OK(fr_device_alloc(device, 16 * MIB, 1, &memory)); /* later it has */
    fr_device_free(device, memory);
    close_device(device);
    CU_ASSERT_EQUAL(unsetenv("FR_EMULATED_ERROR"), 0);
}

static void facts_are_of_the_gpu(void)
{
    fr_device_facts facts;
    if (skip_on_a_gpu()) {
        return;
    }
    set("FR_EMULATED_MEMORY", 1 << 30);
    FR_ASSERT_OK(fr_cuda_backend.facts(fr_test_ctx(), 0, &facts));
    CU_ASSERT_FALSE(facts.in_host_memory);
    CU_ASSERT_EQUAL(facts.bytes, 1 << 30);
    CU_ASSERT(facts.available > 1000 * (int64_t)MIB && facts.available <= facts.bytes);
    CU_ASSERT_EQUAL(facts.work, FR_BF16);
    CU_ASSERT_EQUAL(unsetenv("FR_EMULATED_MEMORY"), 0);
}

/* The emulation writes a GPU's number in the machine behind a byte of its own, fe. */
static void assert_gpu(const char *visible, int node_rank, const char *number)
{
    fr_device_facts facts;
    CU_ASSERT_EQUAL(setenv("CUDA_VISIBLE_DEVICES", visible, 1), 0);
    FR_ASSERT_OK(fr_cuda_backend.facts(fr_test_ctx(), node_rank, &facts));
    if (strncmp(facts.which, "GPU-fe", 6) != 0 ||
        strncmp(facts.which + 6, number, 2) != 0) {
        printf("\"%s\", rank %d: %s\n", visible, node_rank, facts.which);
        CU_FAIL("another GPU");
    }
}

/* A number that is none hides itself and what follows. */
static void ranks_take_the_visible_gpus_in_turn(void)
{
    fr_device_facts facts;
    set("FR_EMULATED_GPUS", 4);
    assert_gpu("3,1", 0, "03");
    assert_gpu("3,1", 1, "01");
    assert_gpu("3,1", 2, "03");
    assert_gpu("2,4,1", 1, "02");
    assert_gpu("0,2,-1,1", 2, "00");
    assert_gpu("1,1", 1, "01");
    CU_ASSERT_EQUAL(setenv("CUDA_VISIBLE_DEVICES", "", 1), 0);
    FR_ASSERT_FAILS(fr_cuda_backend.facts(fr_test_ctx(), 0, &facts), FR_ERR_UNSUPPORTED,
                    "CUDA_VISIBLE_DEVICES may hide them");
    CU_ASSERT_EQUAL(unsetenv("CUDA_VISIBLE_DEVICES"), 0);
    for (int rank = 0; rank < 6; rank++) {
        fr_device *device = NULL;
        fr_device_params params = {.kind = "cuda", .n_threads = 1, .node_rank = rank};
        FR_ASSERT_OK(fr_cuda_backend.facts(fr_test_ctx(), rank, &facts));
        CU_ASSERT_EQUAL(facts.which[7], '0' + rank % 4);
        FR_ASSERT_OK(fr_cuda_backend.create(fr_test_ctx(), &params, &device));
        CU_ASSERT_EQUAL(fr_cuda_of(device)->ordinal, rank % 4);
        fr_device_destroy(&device);
    }
    CU_ASSERT_EQUAL(unsetenv("FR_EMULATED_GPUS"), 0);
}

/* ---- lists and scratch ------------------------------------------------------------------------------------ */

/* Lists of two calls: what the first brings is copied on the device before the second call overwrites it. */
static void check_lists(fr_device *device, int64_t first, int64_t second)
{
    unsigned char *a = numbers(first + 1, 5);
    unsigned char *b = numbers(second + 1, 6);
    unsigned char *got = malloc((size_t)(first + second + 1));
    fr_byte *kept = NULL;
    FR_ASSERT_OK(fr_device_alloc(device, 2 * (first + second), 1, &kept));
    for (int turn = 0; turn < 2; turn++) {
        fr_cuda_list lists[] = {
            {a + turn, first, NULL}, {NULL, 0, a}, {b, second, NULL}};
        fr_byte *to = kept + turn * (first + second);
        FR_ASSERT_OK(fr_cuda_lists(device, 3, lists));
        CU_ASSERT_PTR_NULL(lists[1].at);
        CU_ASSERT_EQUAL((uintptr_t)lists[0].at % 64, 0);
        CU_ASSERT_EQUAL((uintptr_t)lists[2].at % 64, 0);
        fr_device_copy(device, to, lists[0].at, first);
        fr_device_copy(device, to + first, lists[2].at, second);
    }
    for (int turn = 0; turn < 2; turn++) {
        fr_device_get(device, got, kept + turn * (first + second), first + second);
        finish(device);
        fr_assert_same_bytes("first list", got, a + turn, (size_t)first);
        fr_assert_same_bytes("second list", got + first, b, (size_t)second);
    }
    fr_device_free(device, kept);
    free(a);
    free(b);
    free(got);
}

static void lists_are_there_until_the_next_call(void)
{
    for (int64_t seed = 0; seed < 4; seed++) {
        fr_device *device = open_device(seed);
        FR_ASSERT_OK(fr_cuda_lists(device, 0, NULL));
        for (int i = 0; i < 100; i++) {
            check_lists(device, 4 + 100 * i, 1 + 70 * i);
        }
        check_lists(device, 4 * MIB, 1);     /* as long as a block, and a bit */
        check_lists(device, 9 * MIB + 1, 3); /* than a block */
        close_device(device);
    }
}

static void each_use_has_scratch_of_its_own(void)
{
    void *slice = NULL;
    void *values = NULL;
    void *again = NULL;
    fr_device *device = open_device(0);
    FR_ASSERT_OK(fr_cuda_scratch(device, FR_CUDA_USE_SLICE, 1000, &slice));
    FR_ASSERT_OK(fr_cuda_scratch(device, FR_CUDA_USE_VALUES, 1000, &values));
    CU_ASSERT_PTR_NOT_EQUAL(slice, values);
    put_value(device, slice, 1000, 1);
    put_value(device, values, 1000, 2);
    FR_ASSERT_OK(fr_cuda_scratch(device, FR_CUDA_USE_SLICE, 900, &again));
    CU_ASSERT_PTR_EQUAL(again, slice);
    assert_bytes(device, slice, 1000, 1);
    FR_ASSERT_OK(fr_cuda_scratch(device, FR_CUDA_USE_SLICE, 5 * MIB, &again));
    put_value(device, again, 5 * MIB, 3);
    assert_bytes(device, values, 1000, 2);
    close_device(device);
}

static const fr_case CASES[] = {
    FR_CASE(the_pool_grows_beyond_what_was_reserved),
    FR_CASE(memory_that_is_lacking_is_refused_with_sizes),
    FR_CASE(a_lack_that_is_kept_comes_out_at_the_check),
    FR_CASE(a_failure_that_is_kept_is_the_one_that_it_was),
    FR_CASE(memory_that_the_driver_refuses_is_told_with_a_remedy),
    FR_CASE(facts_are_of_the_gpu),
    FR_CASE(ranks_take_the_visible_gpus_in_turn),
    FR_CASE(lists_are_there_until_the_next_call),
    FR_CASE(each_use_has_scratch_of_its_own),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_pool", CASES, FR_N_CASES(CASES), argc, argv);
}
