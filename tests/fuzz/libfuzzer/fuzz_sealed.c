/* Prefix files and checkpoints with a right seal. What is accepted is written and read again. */
#include "support/sealed.h"
#include "train/checkpoint/checkpoint.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void write_again(fr_ctx *ctx, const fr_checkpoint *checkpoint)
{
    fr_checkpoint *read = NULL;
    fr_difference difference;
    uint8_t *image = NULL;
    size_t n_image = 0;
    fr_status status = fr_checkpoint_image(ctx, "again", checkpoint, &image, &n_image);
    if (status == FR_OK) {
        status = fr_checkpoint_parse(ctx, "again", image, n_image, &read);
    }
    if (status == FR_OK) {
        status = fr_checkpoint_compare(ctx, checkpoint, read, &difference);
    }
    if (status != FR_OK || !difference.identical) {
        abort(); /* a reader that accepts what the writer refuses, or other content */
    }
    fr_checkpoint_destroy(&read);
    free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    size_t n_sealed = 0;
    fr_checkpoint *read = NULL;
    fr_ctx *ctx = fr_ctx_create();
    uint8_t *image = ctx != NULL ? fr_test_seal(ctx, data, bytes, &n_sealed) : NULL;
    if (image != NULL) {
        fr_status status = fr_checkpoint_parse(ctx, "fuzzed", image, n_sealed, &read);
        if (status == FR_OK) {
            write_again(ctx, read);
        } else if (status != FR_ERR_CHECKPOINT && status != FR_ERR_NUMERIC) {
            abort(); /* an unclear refusal */
        }
    }
    fr_checkpoint_destroy(&read);
    free(image);
    fr_ctx_destroy(&ctx);
    return 0;
}
