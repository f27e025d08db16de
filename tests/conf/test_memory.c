/* Copies within a device, to it and from it, and zeros: every byte, and none beyond. */
#include "device/memory.h"
#include "support/devices.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

/* Below, at and above a thread's chunk, and with a rest; odd ends, since marks and masks are bytes. */
static const int64_t BYTES[] = {0, 1, 63, 16384, 16385, 40001, 262144};
enum { N_BYTES = sizeof BYTES / sizeof BYTES[0], OFFSET = 64, MOST = 262144 + 128 };

static void fill(uint8_t *data, int factor)
{
    for (int i = 0; i < MOST; i++) {
        data[i] = (uint8_t)((i * factor + i / 256) % 251 + 1);
    }
}

static void check_copies(fr_device *device, void *user)
{
    static uint8_t host[MOST];
    static uint8_t wanted[MOST];
    static uint8_t back[MOST];
    uint8_t *from = NULL;
    uint8_t *to = NULL;
    (void)user;
    FR_ASSERT_OK(fr_device_alloc(device, MOST, 1, &from));
    FR_ASSERT_OK(fr_device_alloc(device, MOST, 1, &to));
    for (int i = 0; i < N_BYTES; i++) {
        size_t n = (size_t)BYTES[i];
        fill(wanted, 7);
        fr_device_put(device, to, wanted, MOST);
        fill(host, 3);
        fr_device_put(device, from, host, MOST);
        fr_device_copy(device, to + OFFSET, from, BYTES[i]);
        memcpy(wanted + OFFSET, host, n);
        fr_device_get(device, back, to, MOST);
        CU_ASSERT(fr_device_passed(device, fr_device_mark(device)));
        fr_assert_same_bytes("copied", back, wanted, MOST);
        fr_device_zero(device, to + OFFSET, BYTES[i]);
        memset(wanted + OFFSET, 0, n);
        fr_device_get(device, back, to, MOST);
        CU_ASSERT(fr_device_passed(device, fr_device_mark(device)));
        fr_assert_same_bytes("zeroed", back, wanted, MOST);
    }
    fr_device_free(device, from);
    fr_device_free(device, to);
}

static void copies_and_zeros_reach_their_bytes_alone(void)
{
    fr_test_each_device(check_copies, NULL);
}

static const fr_case CASES[] = {
    FR_CASE(copies_and_zeros_reach_their_bytes_alone),
};

int main(int argc, char **argv)
{
    return fr_suite_main("memory", CASES, FR_N_CASES(CASES), argc, argv);
}
