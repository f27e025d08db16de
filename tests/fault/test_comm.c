#include "comm/group.h"
#include "support/fault.h"

#include <stdio.h>

static void never_leave(void *argument, int exit_code, const char *text)
{
    (void)argument;
    (void)exit_code;
    (void)text;
    CU_FAIL("the watch wants to leave");
}

static fr_status watch_a_group(fr_ctx *ctx, void *folder)
{
    fr_group *world = NULL;
    fr_group *part = NULL;
    fr_watch *watch = NULL;
    fr_watch_params params = {
        .folder = folder, .n_ranks = 3, .timeout_seconds = 60, .leave = never_leave};
    fr_status status = fr_watch_clear(ctx, folder);
    if (status == FR_OK) {
        status = fr_group_create_self(ctx, &world);
    }
    if (status == FR_OK) {
        status = fr_watch_create(ctx, &params, &watch);
    }
    if (status == FR_OK) {
        fr_group_set_watch(world, watch);
        status = fr_group_split(world, 0, 0, &part);
    }
    if (status == FR_OK) {
        fr_watch_at(fr_group_watch(part), 1, "t", 0);
    }
    fr_group_destroy(&part);
    fr_group_destroy(&world);
    fr_watch_destroy(&watch);
    return status;
}

static void watch_survives_each_failed_allocation(void)
{
    char folder[4096];
    (void)snprintf(folder, sizeof folder, "%s", fr_test_folder());
    /* two groups, the watch, and its six arrays */
    CU_ASSERT_TRUE(fr_fault_sweep("watch", watch_a_group, folder) >= 9);
}

static const fr_case CASES[] = {
    FR_CASE(watch_survives_each_failed_allocation),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fault_comm", CASES, FR_N_CASES(CASES), argc, argv);
}
