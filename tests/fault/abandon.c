/* Rank 1 fails while the others wait for its message: for abandon.sh. */
#include "comm/group.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    fr_group *world = NULL;
    char byte = 0;
    fr_ctx *ctx = fr_ctx_create();
    if (ctx == NULL || fr_group_create_world(ctx, &argc, &argv, &world) != FR_OK) {
        return 1;
    }
    fr_status status = FR_OK;
    if (fr_group_rank(world) == 1) {
        status = fr_group_abandon(world, FR_FAIL(ctx, FR_ERR_NO_MEMORY, "no room"));
        (void)fprintf(stderr, "%s, abandoned %d\n", fr_ctx_error(ctx),
                      fr_group_is_abandoned(world));
    } else {
        status = fr_group_receive(world, 1, 1, &byte, 1);
    }
    fr_group_destroy(&world);
    fr_ctx_destroy(&ctx);
    return status == FR_ERR_NO_MEMORY ? 42 : 1;
}
