#include "base/h5.h"
#include "support/checkpoints.h"
#include "support/fault.h"
#include "train/checkpoint/collection.h"

#include <stdio.h>
#include <stdlib.h>

/* A folder with the checkpoint to save in it. */
typedef struct place {
    const char *folder;
    const fr_checkpoint *checkpoint;
    int64_t step;
} place;

/* An image with nothing reserved, so that it must grow again and again. */
static fr_status grow_image(fr_ctx *ctx, void *argument)
{
    enum { ROWS = 64, WIDTH = 64 };
    static const int64_t SHAPE[] = {ROWS, WIDTH};
    static const float DATA[ROWS * WIDTH] = {1};
    fr_h5 *h5 = NULL;
    uint8_t *image = NULL;
    size_t bytes = 0;
    char path[16];
    int64_t offset = 0;
    (void)argument;
    fr_status status = fr_h5_create(ctx, "grown.h5", FR_H5_MIN_BLOCK, 0, &h5);
    for (int i = 0; status == FR_OK && i < 16; i++) {
        (void)snprintf(path, sizeof path, "/x%d", i);
        status = fr_h5_write_f32(h5, path, SHAPE, 2, DATA, &offset);
    }
    if (status == FR_OK) {
        status = fr_h5_finish(h5, &image, &bytes);
    }
    fr_h5_destroy(&h5);
    free(image);
    return status;
}

static fr_status save(fr_ctx *ctx, void *argument)
{
    place *at = argument;
    at->step++;
    return fr_checkpoint_save(ctx, at->folder, at->step, 2, at->checkpoint);
}

static fr_status load(fr_ctx *ctx, void *argument)
{
    const place *at = argument;
    fr_checkpoint *read = NULL;
    char *path = NULL;
    fr_status status = fr_checkpoint_load_latest(ctx, at->folder, &read, &path);
    fr_checkpoint_destroy(&read);
    free(path);
    return status;
}

static void growing_image_survives_each_failed_allocation(void)
{
    CU_ASSERT_TRUE(fr_fault_sweep("grow", grow_image, NULL) >= 8);
}

/* After each disturbed save the newest file that is complete loads. */
static void run_folder_survives_each_failed_allocation(void)
{
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(2, true, 1);
    fr_fixture_add_mlp(&checkpoint->tasks[1]);
    place at = {fr_test_folder(), checkpoint, 0};
    FR_ASSERT_OK(save(fr_test_ctx(), &at));
    CU_ASSERT_TRUE(fr_fault_sweep("save", save, &at) >= 10);
    FR_ASSERT_OK(load(fr_test_ctx(), &at));
    CU_ASSERT_TRUE(fr_fault_sweep("load", load, &at) >= 10);
    fr_checkpoint_destroy(&checkpoint);
}

/* Each allocation of the changes to a collection, on content of its own. */
static fr_status change_collection(fr_ctx *ctx, void *argument)
{
    static const char *const NAMES[] = {"alpha", "x"};
    const char *path = argument;
    const fr_collection_names both = {NAMES, 2};
    const fr_collection_names one = {NAMES, 1};
    fr_collection_source source = {.path = path};
    fr_checkpoint *own = NULL;
    bool trained = false;
    fr_status status = fr_checkpoint_read(ctx, path, &source.file);
    if (status == FR_OK) {
        status = fr_collection_create(ctx, path, source.file, &own);
    }
    if (status == FR_OK) {
        status = fr_collection_add(ctx, own, "own.h5", &source, NULL, &trained);
    }
    fr_checkpoint_destroy(&source.file);
    if (status == FR_OK) {
        status = fr_checkpoint_read(ctx, path, &source.file);
    }
    if (status == FR_OK) {
        status = fr_collection_add(ctx, own, "own.h5", &source, "x", &trained);
    }
    if (status == FR_OK) {
        status = fr_collection_average(ctx, own, "own.h5", &both, "mean");
    }
    if (status == FR_OK) {
        status = fr_collection_rename(ctx, own, "own.h5", "mean", "middle");
    }
    if (status == FR_OK) {
        status = fr_collection_remove(ctx, own, "own.h5", &one);
    }
    fr_checkpoint_destroy(&source.file);
    fr_checkpoint_destroy(&own);
    return status;
}

static void collection_survives_each_failed_allocation(void)
{
    char path[4096];
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(1, true, 1);
    fr_fixture_path(fr_test_folder(), "source.h5", path);
    FR_ASSERT_OK(fr_checkpoint_write(fr_test_ctx(), path, checkpoint));
    CU_ASSERT_TRUE(fr_fault_sweep("collection", change_collection, path) >= 30);
    fr_checkpoint_destroy(&checkpoint);
}

static const fr_case CASES[] = {
    FR_CASE(growing_image_survives_each_failed_allocation),
    FR_CASE(run_folder_survives_each_failed_allocation),
    FR_CASE(collection_survives_each_failed_allocation),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fault_checkpoint", CASES, FR_N_CASES(CASES), argc, argv);
}
