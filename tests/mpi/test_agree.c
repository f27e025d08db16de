#define _POSIX_C_SOURCE 200809L
#include "comm/group.h"
#include "support/suite.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int *given_argc;
static char ***given_argv;

static fr_group *make_world(void)
{
    fr_group *world = NULL;
    FR_ASSERT_OK(
        fr_group_create_world(fr_test_ctx(), given_argc, given_argv, &world));
    CU_ASSERT_PTR_NOT_NULL_FATAL(world);
    return world;
}

/* All ranks of these tests share the host, so each knows the whole message. */
static void expect_message(int rank, const char *text)
{
    char host[256] = "";
    char wanted[1024];
    fr_ctx *ctx = fr_test_ctx();
    (void)ctx;
    (void)gethostname(host, sizeof host - 1);
    (void)snprintf(wanted, sizeof wanted, "rank %d on %s: %s", rank, host, text);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(ctx), wanted);
}

static void nobody_failing_is_ok_and_leaves_no_error(void)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_group *world = make_world();
    for (int i = 0; i < 50; i++) {
        FR_ASSERT_OK(fr_group_agree(world, FR_OK));
    }
    CU_ASSERT_EQUAL(fr_ctx_error_status(ctx), FR_OK);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(ctx), "");
    fr_group_destroy(&world);
}
