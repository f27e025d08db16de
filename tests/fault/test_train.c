#include "base/file.h"
#include "base/mem.h"
#include "support/fault.h"
#include "train/checkpoint/checkpoint.h"
#include "train/checkpoint/writer.h"
#include "train/config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char CONFIG[] =
    "base: {path: base.gguf}\n"
    "run: {dir: runs/x, seed: 7, steps: 20}\n"
    "sweep: {task: second, prefix.length: [2, 3], prefix.init: [{zero: true}, {text: "
    "a}]}\n"
    "tasks:\n"
    "  - name: first\n"
    "    train: data/train.jsonl\n"
    "    template: \"{source} ->{target}\"\n"
    "    prefix: {init: {text: \"Write one line.\"}}\n"
    "    optimizer: {lr: 5.0e-3, warmup: 10, schedule: cosine}\n"
    "    batch: {examples: 4, microbatch_tokens: 64}\n"
    "  - name: second\n"
    "    train: data/other.jsonl\n"
    "    prefix: {length: 4, init: {random: 0.02}}\n";

typedef struct place {
    char path[4096];
    const fr_checkpoint *checkpoint;
} place;

static fr_status read_config(fr_ctx *ctx, void *argument)
{
    const place *at = argument;
    static const char *const SETS[] = {"tasks.first.optimizer.lr=1e-2"};
    fr_config *config = NULL;
    char *text = NULL;
    fr_status status = fr_config_read(ctx, at->path, SETS, 1, &config);
    if (status == FR_OK) {
        status = fr_config_write(ctx, config, &text);
    }
    free(text);
    fr_config_destroy(&config);
    return status;
}

static fr_status make_checkpoint(fr_ctx *ctx, fr_checkpoint **out)
{
    fr_status status = fr_checkpoint_create(ctx, 1, out);
    fr_checkpoint_task *task = status == FR_OK ? &(*out)->tasks[0] : NULL;
    if (status == FR_OK) {
        task->length = 3;
        task->n_layers = 2;
        task->n_kv_heads = 2;
        task->head_dim = 4;
        task->progress.step = 5;
        status = fr_checkpoint_task_alloc(ctx, task, true);
    }
    if (status == FR_OK) {
        status = fr_copy_string(ctx, "only", &task->name);
    }
    if (status == FR_OK) {
        status = fr_copy_string(ctx, "zero", &task->init);
    }
    if (status == FR_OK) {
        status = fr_copy_string(ctx, "run: {}\n", &(*out)->config);
    }
    if (status == FR_OK) {
        status = fr_copy_string(ctx, "llama", &(*out)->base_shape);
    }
    return status;
}

static fr_status build_checkpoint(fr_ctx *ctx, void *argument)
{
    (void)argument;
    fr_checkpoint *checkpoint = NULL;
    fr_status status = make_checkpoint(ctx, &checkpoint);
    fr_checkpoint_destroy(&checkpoint);
    return status;
}

static fr_status write_checkpoint(fr_ctx *ctx, void *argument)
{
    const place *at = argument;
    return fr_checkpoint_write(ctx, at->path, at->checkpoint);
}

static fr_status read_checkpoint(fr_ctx *ctx, void *argument)
{
    const place *at = argument;
    fr_checkpoint *checkpoint = NULL;
    fr_status status = fr_checkpoint_read(ctx, at->path, &checkpoint);
    fr_checkpoint_destroy(&checkpoint);
    return status;
}

static void config_survives_each_failed_allocation(void)
{
    place at = {.checkpoint = NULL};
    (void)snprintf(at.path, sizeof at.path, "%s/config.yaml", fr_test_folder());
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), at.path, CONFIG, sizeof CONFIG - 1));
    CU_ASSERT_TRUE(fr_fault_sweep("config", read_config, &at) >= 10);
}

static void building_a_checkpoint_survives_each_failed_allocation(void)
{
    CU_ASSERT_TRUE(fr_fault_sweep("build", build_checkpoint, NULL) >= 8);
}

/* A write that fails leaves the file that was there. */
static void checkpoint_survives_each_failed_allocation(void)
{
    fr_checkpoint *checkpoint = NULL;
    place at = {.checkpoint = NULL};
    (void)snprintf(at.path, sizeof at.path, "%s/c.h5", fr_test_folder());
    FR_ASSERT_OK(make_checkpoint(fr_test_ctx(), &checkpoint));
    CU_ASSERT_PTR_NOT_NULL_FATAL(checkpoint);
    at.checkpoint = checkpoint;
    FR_ASSERT_OK(write_checkpoint(fr_test_ctx(), &at));
    CU_ASSERT_TRUE(fr_fault_sweep("read", read_checkpoint, &at) >= 5);
    checkpoint->tasks[0].progress.step = 6;
    fr_fault_outcome outcome = fr_fault_run(fr_test_ctx(), 1, write_checkpoint, &at);
    CU_ASSERT_TRUE(outcome.fired && outcome.status != FR_OK);
    fr_checkpoint *kept = NULL;
    FR_ASSERT_OK(fr_checkpoint_read(fr_test_ctx(), at.path, &kept));
    CU_ASSERT_PTR_NOT_NULL_FATAL(kept);
    CU_ASSERT_EQUAL(kept->tasks[0].progress.step, 5);
    fr_checkpoint_destroy(&kept);
    CU_ASSERT_TRUE(fr_fault_sweep("write", write_checkpoint, &at) >= 1);
    fr_checkpoint_destroy(&checkpoint);
}

static fr_status run_writer(fr_ctx *ctx, void *argument)
{
    const place *at = argument;
    fr_writer *writer = NULL;
    fr_status status = fr_writer_create(ctx, at->path, 1, &writer);
    fr_writer_destroy(&writer);
    return status;
}

static void starting_a_writer_survives_each_failed_allocation(void)
{
    place at = {.checkpoint = NULL};
    (void)snprintf(at.path, sizeof at.path, "%s", fr_test_folder());
    CU_ASSERT_TRUE(fr_fault_sweep("writer", run_writer, &at) >= 3);
}

static const fr_case CASES[] = {
    FR_CASE(config_survives_each_failed_allocation),
    FR_CASE(building_a_checkpoint_survives_each_failed_allocation),
    FR_CASE(checkpoint_survives_each_failed_allocation),
    FR_CASE(starting_a_writer_survives_each_failed_allocation),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fault_train", CASES, FR_N_CASES(CASES), argc, argv);
}
