#include "base/file.h"
#include "support/fault.h"
#include "train/exchange/peft.h"

#include <stdio.h>

/* An adapter that is read, and the folder where it is written again. */
typedef struct job {
    const char *adapter;
    const fr_arch *arch;
    fr_checkpoint_task *task;
    char folder[4096];
} job;

static fr_status read_adapter(fr_ctx *ctx, void *argument)
{
    const job *j = argument;
    fr_peft_config config;
    fr_checkpoint *checkpoint = NULL;
    FR_TRY(fr_checkpoint_create(ctx, 1, &checkpoint));
    fr_status status =
        fr_peft_read(ctx, j->adapter, "base", j->arch, &config, &checkpoint->tasks[0]);
    fr_checkpoint_destroy(&checkpoint);
    return status;
}

/* What a failed one left would be in the way of the next. */
static fr_status write_adapter(fr_ctx *ctx, void *argument)
{
    const job *j = argument;
    return fr_peft_write(ctx, j->folder, j->task, "base");
}

static void adapters_survive_each_failed_allocation(void)
{
    fr_arch arch;
    fr_peft_config config;
    fr_checkpoint *checkpoint = NULL;
    job j = {.adapter = fr_test_data("golden/adapter_tiny_llama_right_f32"),
             .arch = &arch};
    FR_ASSERT_OK(fr_arch_read(fr_test_ctx(), fr_test_data("golden/tiny_llama"), &arch));
    CU_ASSERT_TRUE(fr_fault_sweep("read", read_adapter, &j) >= 10);
    FR_ASSERT_OK(fr_checkpoint_create(fr_test_ctx(), 1, &checkpoint));
    j.task = &checkpoint->tasks[0];
    FR_ASSERT_OK(
        fr_peft_read(fr_test_ctx(), j.adapter, "base", &arch, &config, j.task));
    (void)snprintf(j.folder, sizeof j.folder, "%s/new", fr_test_folder());
    CU_ASSERT_TRUE(fr_fault_sweep("write", write_adapter, &j) >= 6);
    CU_ASSERT_TRUE(fr_is_folder(j.folder));
    fr_checkpoint_destroy(&checkpoint);
}

static const fr_case CASES[] = {
    FR_CASE(adapters_survive_each_failed_allocation),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fault_exchange", CASES, FR_N_CASES(CASES), argc, argv);
}
