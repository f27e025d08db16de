/* A GGUF file: values, tensors, the weights of every role, and its tokenizer. */
#include "fuzz/libfuzzer/fuzz.h"
#include "fuzz/libfuzzer/use.h"
#include "model/files/gguf.h"
#include "model/files/gguf_impl.h"
#include "support/mutate.h"

#include <stdlib.h>

/* Every value, and every array both as texts and as numbers. */
static uint64_t use_values(fr_ctx *ctx, const fr_gguf *gguf)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < gguf->n_pairs; i++) {
        fr_text key = gguf->pairs[i].key;
        const fr_gguf_value *value = &gguf->pairs[i].value;
        fr_text *texts = NULL;
        int64_t *ints = NULL;
        int64_t n = 0;
        char *name = fuzz_text((fuzz_part){(const uint8_t *)key.data, key.bytes});
        if (value->type != FR_GGUF_STRING && value->item_type != FR_GGUF_STRING) {
            size_t bytes = fr_gguf_item_bytes(value->item_type) * value->count;
            sum += fr_test_sum(value->data, bytes);
        }
        if (fuzz_answer(ctx, fr_gguf_get_texts(ctx, gguf, name, &texts, &n))) {
            for (int64_t k = 0; k < n; k++) {
                sum += fr_test_sum(texts[k].data, texts[k].bytes);
            }
        }
        if (fuzz_answer(ctx, fr_gguf_get_ints(ctx, gguf, name, &ints, &n))) {
            sum += fr_test_sum(ints, (size_t)n * sizeof *ints);
        }
        free(texts);
        free(ints);
        free(name);
    }
    return sum;
}

static uint64_t use_tensors(const fr_gguf *gguf)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < fr_gguf_n_tensors(gguf); i++) {
        const fr_gguf_tensor *tensor = fr_gguf_tensor_at(gguf, i);
        sum += fr_test_sum(tensor->name.data, tensor->name.bytes);
        sum += fr_test_sum(tensor->data, tensor->bytes);
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_ctx *ctx = fuzz_ctx();
    fr_gguf *gguf = NULL;
    if (fuzz_answer(ctx, fr_gguf_parse(ctx, "x", data, size, &gguf))) {
        fuzz_check(1 + use_values(ctx, gguf) + use_tensors(gguf) > 0, "a sum");
    }
    fr_gguf_close(&gguf);
    const char *path = fuzz_write("model.gguf", data, size);
    fuzz_use_model(ctx, path);
    fuzz_use_tokenizer(ctx, path);
    return 0;
}
