/* Rank 1 fails while the others wait for its message: for abandon.sh. With an argument (staged, direct), in the middle of
 * transfers of that kind of link. */
#include "comm/link.h"
#include "device/kinds.h"

#include <stdio.h>
#include <string.h>

enum { PIECE = 1 << 16, N_PIECES = 5 };

static char memory[2][N_PIECES * PIECE];

static fr_status fail(fr_ctx *ctx, fr_group *world)
{
    fr_status status =
        fr_group_abandon(world, FR_FAIL(ctx, FR_ERR_NO_MEMORY, "no room"));
    (void)fprintf(stderr, "%s, abandoned %d\n", fr_ctx_error(ctx),
                  fr_group_is_abandoned(world));
    return status;
}

static fr_status run_host(fr_ctx *ctx, fr_group *world)
{
    char byte = 0;
    return fr_group_rank(world) == 1
               ? fail(ctx, world)
               : fr_group_receive(world, 1, FR_TAG_FORWARD, &byte, 1);
}

/* Rank 1 still sends to rank 0 and still receives from rank 2, which sends nothing. Joining and closing do not wait then. */
static fr_status run_transfers(fr_ctx *ctx, fr_group *world, fr_link *link)
{
    fr_transfer out = {NULL};
    fr_transfer in = {NULL};
    fr_status status = FR_OK;
    if (fr_group_rank(world) != 1) {
        FR_TRY(fr_link_receive_begin(link, 1, FR_TAG_FORWARD, memory[0],
                                     sizeof memory[0], &in));
        return fr_link_join(link, &in);
    }
    FR_TRY(
        fr_link_send_begin(link, 0, FR_TAG_FORWARD, memory[0], sizeof memory[0], &out));
    FR_TRY(fr_link_receive_begin(link, 2, FR_TAG_FORWARD, memory[1], sizeof memory[1],
                                 &in));
    status = fail(ctx, world);
    return fr_link_join(link, &in) == FR_ERR_COMM ? status : FR_ERR_INTERNAL;
}

static fr_status run_link(fr_ctx *ctx, fr_group *world, fr_link_kind kind)
{
    fr_device *device = NULL;
    fr_link *link = NULL;
    fr_device_params params = {.kind = "cpu", .n_threads = 1};
    FR_TRY(fr_device_create(ctx, &params, &device));
    fr_link_params how = {.group = world,
                          .device = device,
                          .kind = kind,
                          .n_streams = 2,
                          .piece_bytes = PIECE};
    fr_status status = fr_link_open(ctx, &how, &link);
    if (status == FR_OK) {
        status = run_transfers(ctx, world, link);
    }
    fr_link_close(&link);
    fr_device_destroy(&device);
    return status;
}

int main(int argc, char **argv)
{
    fr_group *world = NULL;
    bool has_link = argc > 1;
    fr_link_kind kind =
        has_link && strcmp(argv[1], "direct") == 0 ? FR_LINK_DIRECT : FR_LINK_STAGED;
    fr_ctx *ctx = fr_ctx_create();
    if (ctx == NULL || fr_group_create_world(ctx, &argc, &argv, &world) != FR_OK) {
        return 1;
    }
    fr_status status = has_link ? run_link(ctx, world, kind) : run_host(ctx, world);
    fr_group_destroy(&world);
    fr_ctx_destroy(&ctx);
    return status == FR_ERR_NO_MEMORY ? 42 : 1;
}
