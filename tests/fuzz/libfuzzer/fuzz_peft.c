/* The folder of an adapter of PEFT's, for a base of one layer and one head of two numbers. Parts: adapter_config.json,
 * adapter_model.safetensors. */
#include "base/mem.h"
#include "fuzz/libfuzzer/fuzz.h"
#include "train/exchange/peft.h"

#include <stdlib.h>

/* A prefix that was accepted is one that a prefix file takes. */
static void use_prefix(fr_ctx *ctx, fr_checkpoint *checkpoint,
                       const fr_peft_config *config)
{
    fr_checkpoint_task *task = &checkpoint->tasks[0];
    uint8_t *image = NULL;
    size_t bytes = 0;
    fuzz_check(task->length == config->length && task->length < 64 &&
                   task->n_layers == 1 && task->init != NULL,
               "the prefix is as the config says");
    fuzz_check(fr_all_finite(task->state.k, task->length * 2) &&
                   fr_all_finite(task->state.v, task->length * 2),
               "its numbers are finite");
    fuzz_check(fr_copy_string(ctx, "t", &task->name) == FR_OK, "memory");
    fuzz_check(fr_checkpoint_image(ctx, "x", checkpoint, &image, &bytes) == FR_OK,
               "it can be written");
    free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"adapter_config.json",
                                        "adapter_model.safetensors"};
    fr_ctx *ctx = fuzz_ctx();
    fr_checkpoint *checkpoint = NULL;
    fr_peft_config config;
    fr_arch arch = fr_arch_plain();
    arch.n_layers = 1;
    arch.n_kv_heads = 1;
    arch.head_dim = 2;
    arch.context_length = 64;
    (void)fuzz_write_parts(data, size, NAMES, 2);
    fuzz_check(fr_checkpoint_create(ctx, 1, &checkpoint) == FR_OK, "memory");
    if (fuzz_answer(ctx, fr_peft_read(ctx, fuzz_folder(), "base", &arch, &config,
                                      &checkpoint->tasks[0]))) {
        use_prefix(ctx, checkpoint, &config);
    }
    fr_checkpoint_destroy(&checkpoint);
    return 0;
}
