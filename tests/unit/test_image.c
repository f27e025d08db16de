/* Memory of a device and images of the host's: on the CPU, where the two are one, and as walled.image on a device whose memory
 * the host cannot touch and whose copies come late. */
#include "base/mem.h"
#include "device/image.h"
#include "device/rowwise.h"
#include "support/device_memory.h"
#include "support/suite.h"

#include <string.h>

#ifdef FR_TEST_WALLED
enum { APART = 1 };
#else
enum { APART = 0 };
#endif

enum { N = 1000, BYTES = N * (int)sizeof(float) };

/* first, 2 first, ... */
static void fill(float *x, float first)
{
    for (int i = 0; i < N; i++) {
        x[i] = first * (float)(i + 1);
    }
}

static void check(const char *what, const float *got, float first)
{
    float wanted[N];
    fill(wanted, first);
    fr_assert_same_bytes(what, got, wanted, sizeof wanted);
}

/* Not one number is what it should be. */
static bool is_rubbish(const float *got, float first)
{
    bool any = false;
    for (int i = 0; i < N; i++) {
        any = any || got[i] == first * (float)(i + 1);
    }
    return !any;
}

static void wait_for_all(fr_device *device)
{
    fr_mark mark = fr_device_mark(device);
    while (!fr_device_passed(device, mark)) {
    }
}

/* Else walled.image tests the wrong device. */
static void the_device_is_the_one_of_the_list(void)
{
    fr_device *device = fr_test_any_device(1);
    CU_ASSERT_EQUAL(fr_device_in_host_memory(device), !APART);
    fr_device_destroy(&device);
}

static void an_image_shows_what_the_host_has_at_once(void)
{
    float host[N];
    float seen[N];
    fr_image image;
    fr_device *device = fr_test_any_device(1);
    fill(host, 1.0F);
    FR_ASSERT_OK(fr_image_open(device, host, sizeof host, &image));
    CU_ASSERT_EQUAL(image.device != (void *)host, APART);
    CU_ASSERT_EQUAL(image.bytes, BYTES);
    fr_test_fetch(device, seen, image.device, BYTES);
    check("image", seen, 1.0F);
    check("host", host, 1.0F);
    fr_image_close(device, &image);
    CU_ASSERT(image.device == NULL && image.host == NULL && image.block == NULL);
    check("host after the end", host, 1.0F);
    fr_device_destroy(&device);
}

/* A put is wanted where there are two memories, and the host's is as it was after it. */
static void the_device_sees_changes_after_a_put(void)
{
    float host[N];
    float seen[N];
    fr_image image;
    fr_device *device = fr_test_any_device(1);
    fill(host, 1.0F);
    FR_ASSERT_OK(fr_image_open(device, host, sizeof host, &image));
    for (int i = 2; i < 5; i++) {
        fill(host, (float)i);
        fr_test_fetch(device, seen, image.device, BYTES);
        check("before the put", seen, APART ? (float)(i - 1) : (float)i);
        fr_image_put(device, &image);
        fill(host, 0.0F);
        fill(host, (float)i);
        fr_test_fetch(device, seen, image.device, BYTES);
        check("after the put", seen, (float)i);
    }
    fr_image_close(device, &image);
    fr_device_destroy(&device);
}

static void the_host_has_the_numbers_after_the_mark(void)
{
    float host[N];
    fr_image image;
    fr_device *device = fr_test_any_device(1);
    fill(host, 1.0F);
    FR_ASSERT_OK(fr_image_open(device, host, sizeof host, &image));
    for (int i = 1; i < 4; i++) { /* asked again: the block is used again */
        float after = (float)(1 << i);
        float shown = APART ? after / 2.0F : after; /* by the host, meanwhile */
        fr_scale(device, N, 2.0F, image.device);
        check("before the question", host, shown);
        fr_image_get(device, &image);
        check("before the take", host, shown);
        fr_image_take(&image);
        CU_ASSERT_EQUAL(is_rubbish(host, after), APART);
        wait_for_all(device);
        fr_image_take(&image);
        check("after the mark", host, after);
    }
    fr_image_close(device, &image);
    fr_device_destroy(&device);
}

/* Later work may write what a copy reads, and a copy's target is the device's until the mark. */
static void a_copy_to_the_host_is_of_the_time_of_the_call(void)
{
    float host[N];
    float seen[N];
    fr_device *device = fr_test_any_device(1);
    fill(host, 1.0F);
    fr_f32 *x = fr_test_bring(device, host, N, sizeof *host);
    fr_device_get(device, seen, x, BYTES);
    fr_scale(device, N, 3.0F, x);
    CU_ASSERT_EQUAL(is_rubbish(seen, 1.0F), APART);
    wait_for_all(device);
    check("of the time of the call", seen, 1.0F);
    fr_test_fetch_last(device, seen, x, BYTES);
    check("after later work", seen, 3.0F);
    fr_device_destroy(&device);
}

/* Against fr_device_put, which may leave anything in its source. */
static void a_load_keeps_its_source(void)
{
    float host[N];
    float seen[N];
    fr_device *device = fr_test_any_device(1);
    fr_f32 *x = fr_test_room(device, N, sizeof *x);
    fill(host, 5.0F);
    FR_ASSERT_OK(fr_device_load(device, x, host, BYTES));
    check("source of a load", host, 5.0F);
    fr_test_fetch(device, seen, x, BYTES);
    check("loaded", seen, 5.0F);
    fill(host, 7.0F);
    fr_device_put(device, x, host, BYTES);
    CU_ASSERT_EQUAL(is_rubbish(host, 7.0F), APART);
    fr_test_fetch_last(device, seen, x, BYTES);
    check("put", seen, 7.0F);
    fr_device_destroy(&device);
}

static void memory_is_zeroed_and_aligned(void)
{
    static const float ZEROS[N];
    float seen[N];
    float *block = NULL;
    fr_device *device = fr_test_any_device(1);
    fr_f32 *x = fr_test_room(device, N, sizeof *x);
    FR_ASSERT_OK(fr_host_alloc(device, N, sizeof *block, &block));
    CU_ASSERT_PTR_NOT_NULL_FATAL(block);
    CU_ASSERT((uintptr_t)x % 64 == 0 && (uintptr_t)block % 64 == 0);
    fr_assert_same_bytes("block of the host", block, ZEROS, sizeof ZEROS);
    fr_test_fetch_last(device, seen, x, BYTES);
    fr_assert_same_bytes("memory of the device", seen, ZEROS, sizeof ZEROS);
    fr_host_free(device, block);
    fr_device_free(device, NULL);
    fr_host_free(device, NULL);
    fr_device_destroy(&device);
}

/* The numbers beside stay as they are. */
static void no_bytes_are_no_work(void)
{
    float host[N];
    float seen[N];
    void *none = NULL;
    fr_image image;
    fr_device *device = fr_test_any_device(1);
    fill(host, 1.0F);
    fr_f32 *x = fr_test_bring(device, host, N, sizeof *host);
    FR_ASSERT_OK(fr_device_alloc(device, 0, sizeof *host, &none));
    fr_device_free(device, none);
    fr_device_put(device, NULL, NULL, 0);
    fr_device_put(device, x, host, 0);
    fr_device_get(device, NULL, NULL, 0);
    fr_device_get(device, host, x, 0);
    FR_ASSERT_OK(fr_device_load(device, x, host, 0));
    fr_device_copy(device, NULL, NULL, 0);
    fr_device_zero(device, NULL, 0);
    fr_device_zero(device, x, 0);
    FR_ASSERT_OK(fr_image_open(device, host, 0, &image));
    fr_image_put(device, &image);
    fr_image_get(device, &image);
    wait_for_all(device);
    fr_image_take(&image);
    fr_image_close(device, &image);
    check("host", host, 1.0F);
    fr_test_fetch_last(device, seen, x, BYTES);
    check("device", seen, 1.0F);
    FR_ASSERT_OK(fr_device_check(device));
    fr_device_destroy(&device);
}

static void more_than_there_can_be_is_refused(void)
{
    static const struct {
        int64_t count;
        size_t size;
    } CASES[] = {{INT64_MAX, 2}, {INT64_MAX / 4, 8}, {INT64_MAX, sizeof(double)},
                 {-1, 4},        {INT64_MIN, 1},     {INT64_C(1) << 40, 1 << 20}};
    fr_device *device = fr_test_any_device(1);
    for (int i = 0; i < FR_N_CASES(CASES); i++) {
        int anything = 0;
        void *x = &anything;
        FR_ASSERT_FAILS(fr_device_alloc(device, CASES[i].count, CASES[i].size, &x),
                        FR_ERR_NO_MEMORY, "");
        CU_ASSERT_PTR_NULL(x);
        x = &anything;
        FR_ASSERT_FAILS(fr_host_alloc(device, CASES[i].count, CASES[i].size, &x),
                        FR_ERR_NO_MEMORY, "");
        CU_ASSERT_PTR_NULL(x);
    }
    FR_ASSERT_OK(fr_device_check(device));
    fr_device_destroy(&device);
}

/* Where it has memory of its own; nothing of the host's is read before that is there. */
static void an_image_without_room_is_none(void)
{
    float host[1] = {0.0F};
    fr_image image = {.device = host, .host = host, .bytes = 1, .block = host};
    fr_device *device = fr_test_any_device(1);
    if (APART) {
        FR_ASSERT_FAILS(fr_image_open(device, host, INT64_C(1) << 60, &image),
                        FR_ERR_NO_MEMORY, "");
        CU_ASSERT(image.device == NULL && image.host == NULL && image.block == NULL &&
                  image.bytes == 0);
        fr_image_close(device, &image);
    }
    fr_device_destroy(&device);
}

static const fr_case CASES[] = {
    FR_CASE(the_device_is_the_one_of_the_list),
    FR_CASE(an_image_shows_what_the_host_has_at_once),
    FR_CASE(the_device_sees_changes_after_a_put),
    FR_CASE(the_host_has_the_numbers_after_the_mark),
    FR_CASE(a_copy_to_the_host_is_of_the_time_of_the_call),
    FR_CASE(a_load_keeps_its_source),
    FR_CASE(memory_is_zeroed_and_aligned),
    FR_CASE(no_bytes_are_no_work),
    FR_CASE(more_than_there_can_be_is_refused),
    FR_CASE(an_image_without_room_is_none),
};

int main(int argc, char **argv)
{
    return fr_suite_main("image", CASES, FR_N_CASES(CASES), argc, argv);
}
