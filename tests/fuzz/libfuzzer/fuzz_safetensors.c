/* A folder with one model.safetensors. Parts: config.json, model.safetensors. */
#include "fuzz/libfuzzer/fuzz.h"
#include "fuzz/libfuzzer/use.h"
#include "model/files/safetensors.h"
#include "support/mutate.h"

#include <stdlib.h>
#include <string.h>

static void use_file(fr_ctx *ctx, fuzz_part part)
{
    fr_safetensors *file = NULL;
    uint64_t sum = 1;
    char *bytes = fuzz_block(part);
    if (fuzz_answer(ctx, fr_safetensors_parse(ctx, "x", (const uint8_t *)bytes,
                                              part.bytes, &file))) {
        for (int64_t i = 0; i < fr_safetensors_n_tensors(file); i++) {
            const fr_safetensor *tensor = fr_safetensors_tensor_at(file, i);
            sum += fr_test_sum(tensor->data, tensor->bytes);
            sum += fr_test_sum(tensor->name.data, tensor->name.bytes);
            fuzz_check(fr_safetensors_find(file, tensor->name.data) == tensor ||
                           strlen(tensor->name.data) != tensor->name.bytes,
                       "a tensor is found by its name");
        }
    }
    fuzz_check(sum > 0, "a sum");
    fr_safetensors_close(&file);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_ctx *ctx = fuzz_ctx();
    fuzz_part parts[2];
    if (fuzz_split(data, size, parts, 2) == 2) {
        (void)fuzz_write("config.json", parts[0].data, parts[0].bytes);
        (void)fuzz_write("model.safetensors", parts[1].data, parts[1].bytes);
        (void)fuzz_use_model(ctx, fuzz_folder());
        use_file(ctx, parts[1]);
    }
    return 0;
}
