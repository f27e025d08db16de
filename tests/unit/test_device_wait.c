/* The linker gives comm/device_wait.c this file's fr_device_passed (tests/CMakeLists.txt): a device whose work is late. */
#include "comm/device_wait.h"
#include "support/devices.h"
#include "support/suite.h"

/* Called in the place of fr_device_passed. */
bool __wrap_fr_device_passed(fr_device *device, fr_mark mark);

enum { LATE = 1000 };

typedef struct late_device {
    fr_device *device;
    fr_mark mark;
    int64_t polls;
} late_device;

static late_device late;

bool __wrap_fr_device_passed(fr_device *device, fr_mark mark)
{
    CU_ASSERT_PTR_EQUAL(device, late.device);
    CU_ASSERT_EQUAL(mark.at, late.mark.at);
    late.polls++;
    return late.polls > LATE;
}

/* A wait that fails to ask again returns before the last poll; one that blocks never makes it. */
static void a_wait_lasts_until_the_mark_has_passed(void)
{
    fr_group *alone = NULL;
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &alone));
    late = (late_device){fr_test_device(FR_ISA_GENERIC, 1), {17}, 0};
    FR_ASSERT_OK(fr_group_wait_device(alone, late.device, late.mark));
    CU_ASSERT_EQUAL(late.polls, LATE + 1);
    late.polls = LATE;
    FR_ASSERT_OK(fr_group_wait_device(alone, late.device, late.mark));
    CU_ASSERT_EQUAL(late.polls, LATE + 1);
    fr_device_destroy(&late.device);
    fr_group_destroy(&alone);
}

static const fr_case CASES[] = {
    FR_CASE(a_wait_lasts_until_the_mark_has_passed),
};

int main(int argc, char **argv)
{
    return fr_suite_main("device_wait", CASES, FR_N_CASES(CASES), argc, argv);
}
