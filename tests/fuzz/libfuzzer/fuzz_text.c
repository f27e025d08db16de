/* Any bytes as text, by both splitting rules, by a large vocabulary, and as the source and target of a row. */
#include "fuzz/libfuzzer/fuzz.h"
#include "fuzz/libfuzzer/use.h"
#include "support/suite.h"
#include "train/data/text.h"

#include <stdlib.h>

static fr_tokenizer *large;

static void close_large(void)
{
    fr_tokenizer_close(&large);
}

static const fr_tokenizer *large_tokenizer(fr_ctx *ctx)
{
    if (large == NULL) {
        const char *path = fr_test_data("golden/tokens/ggml-vocab-gpt-2.gguf");
        fuzz_check(fuzz_answer(ctx, fr_tokenizer_open(ctx, path, &large)),
                   "the vocabulary of gpt-2 opens");
        (void)atexit(close_large);
    }
    return large;
}

static void use_row(fr_ctx *ctx, const fr_tokenizer *tokenizer, const char *text,
                    size_t bytes)
{
    fr_template t;
    fr_ids ids = {NULL, 0, 0};
    fr_ids own = {NULL, 0, 0};
    fr_text row = {text, bytes};
    fuzz_check(
        fuzz_answer(
            ctx, fr_template_parse(ctx, "t", "<|im_start|>{source}\n x{target} y", &t)),
        "a template");
    for (int special = 0; special < 2; special++) {
        (void)fuzz_answer(ctx, fr_text_encode_source(ctx, tokenizer, &t, row,
                                                     special != 0, &ids, &own));
        (void)fuzz_answer(ctx, fr_text_encode_target(ctx, tokenizer, &t, row,
                                                     special != 0, &ids, &own));
    }
    fuzz_check(ids.count > 0, "a template's own text has tokens");
    fuzz_check(own.count == ids.count, "every id has its flag");
    fr_ids_fini(&ids);
    fr_ids_fini(&own);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_ctx *ctx = fuzz_ctx();
    const char *text = (const char *)data;
    for (int smollm = 0; smollm < 2; smollm++) {
        const fr_tokenizer *tokenizer = fuzz_tokenizer(smollm != 0);
        fuzz_use_text(ctx, tokenizer, text, size);
        use_row(ctx, tokenizer, text, size);
    }
    fuzz_use_text(ctx, large_tokenizer(ctx), text, size);
    return 0;
}
